//! What the judge asks of the kernel: small synchronous shells, most of them for one real-time thread; `interfaces` and
//! `overhear` are for whoever looks for mistakes in a set-up.
//!
//! | module | what |
//! |---|---|
//! | [`clock`] | `CLOCK_BOOTTIME`, and a timer to poll |
//! | [`link`] | network interfaces: carrier, errors, news of them (rtnetlink) |
//! | [`interfaces`] | all network interfaces with their addresses (rtnetlink) |
//! | [`addresses`] | the floating addresses, with a lifetime (rtnetlink) |
//! | [`fence`] | no frame of a floating address passes but until a deadline (nftables) |
//! | [`frame`] | ARP and neighbour discovery as bytes (pure) |
//! | [`announce`] | says on the LAN who has the addresses, and asks whether somebody has |
//! | [`overhear`] | listens to the peer's datagrams beside whoever they are for |
//! | [`tickle`] | makes clients find out at once that their connection is gone |
//! | [`sockets`] | lists the clients' connections, and ends them without a word (sock_diag) |
//! | [`watchdog`] | the machine's hardware watchdog |
//! | [`realtime`] | lets the calling thread go before all others |
//!
//! Each socket belongs to the network namespace of the thread that made it. Nothing here waits but for nft, when the
//! fence is raised and removed: the kernel answers requests while they are sent, and what comes later comes to a
//! descriptor that can be polled. Most of it needs `CAP_NET_ADMIN` or `CAP_NET_RAW`.

pub mod addresses;
pub mod announce;
pub mod clock;
pub mod fence;
pub mod frame;
pub mod interfaces;
pub mod link;
pub mod overhear;
pub mod realtime;
pub mod sockets;
pub mod tickle;
pub mod watchdog;

mod netlink;
mod packet;
