//! Says on the LAN who has the floating addresses now, and asks before whether somebody has.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use ipnetwork::IpNetwork;
use pnet_base::MacAddr;
use socket2::{SockFilter, Socket};

use super::frame;
use super::link::Interface;
use super::packet::{self, if_equal, load, pass};

/// Longer than any frame that counts.
const FRAME: usize = 128;

/// The mouth of the active. Everything it sends bears a floating address, so the fence lets it out only while it is
/// open.
#[derive(Debug)]
pub struct Announcer {
    socket: Socket,
    mac: MacAddr,
    floating: Vec<IpNetwork>,
}

impl Announcer {
    /// On the LAN interface.
    ///
    /// # Errors
    /// Not permitted, or no descriptor is left.
    pub fn new(interface: &Interface, floating: Vec<IpNetwork>) -> io::Result<Self> {
        Ok(Self { socket: packet::sender(interface.index)?, mac: interface.mac, floating })
    }

    /// Tells everybody: gratuitous ARP, unsolicited neighbour advertisements.
    ///
    /// # Errors
    /// A frame could not be sent (the interface is down, its queue full); the others were tried.
    pub fn announce(&self) -> io::Result<()> {
        let frames = self.floating.iter().flat_map(|floating| frame::announcements(self.mac, floating.ip()));
        packet::send_all(&self.socket, frames)
    }

    /// Asks each of these for his own link-layer address: switches that filter the unasked kind let questions pass, and
    /// he who is asked learns where the asker is. Who is behind a router is not asked; ask the router.
    ///
    /// # Errors
    /// As for [`Announcer::announce`].
    pub fn ask(&self, clients: impl IntoIterator<Item = IpAddr>) -> io::Result<()> {
        let frames = clients.into_iter().flat_map(|client| {
            let near = self.floating.iter().filter(move |floating| floating.contains(client));
            near.filter_map(move |floating| frame::who_has(self.mac, floating.ip(), client))
        });
        packet::send_all(&self.socket, frames)
    }
}

/// The address probe (RFC 5227, and duplicate detection of RFC 4862): the question, and ears for the answer. It is made
/// for one probe, for it costs something as long as it listens. It passes the fence, which is shut then, and hears what
/// comes before the fence drops it.
#[derive(Debug)]
pub struct Probe {
    socket: Socket,
    mac: MacAddr,
    floating: Vec<IpAddr>,
}

impl Probe {
    /// Begins to listen.
    ///
    /// # Errors
    /// Not permitted, or no descriptor is left.
    pub fn new(interface: &Interface, floating: &[IpNetwork]) -> io::Result<Self> {
        let socket = packet::listener(interface.index, &ANSWERS)?;
        Ok(Self { socket, mac: interface.mac, floating: floating.iter().map(IpNetwork::ip).collect() })
    }

    /// Asks once for each address.
    ///
    /// # Errors
    /// A frame could not be sent; the others were tried.
    pub fn ask(&self) -> io::Result<()> {
        let frames = self.floating.iter().map(|&address| frame::probe(self.mac, address));
        packet::send_all(&self.socket, frames)
    }

    /// Who else says that he has one of the addresses, as far as it has come. Another host's probe does not count: he
    /// has no address yet, and ours are about to be answered for.
    ///
    /// # Errors
    /// The socket cannot be read (the interface is down).
    pub fn heard(&self) -> io::Result<Option<(MacAddr, IpAddr)>> {
        // One's own frames come back too.
        let others =
            |&(mac, address): &(MacAddr, IpAddr)| mac != self.mac && self.floating.contains(&address);
        packet::first::<_, FRAME>(&self.socket, |bytes| frame::claim(bytes).filter(others))
    }
}

/// Readable when [`Probe::heard`] may know something.
impl AsFd for Probe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// ARP, and neighbour advertisements: a program of the kernel's packet filter (bpf(4)). Jumps count from the next line.
const ANSWERS: [SockFilter; 9] = [
    load(libc::BPF_H, 12), // the kind of frame
    if_equal(0x0806, 5, 0),
    if_equal(0x86dd, 0, 5),
    load(libc::BPF_B, 20), // IPv6: what follows its header
    if_equal(58, 0, 3),
    load(libc::BPF_B, 54), // ICMPv6: the kind of message
    if_equal(136, 0, 1),
    pass(u32::MAX),
    pass(0),
];
