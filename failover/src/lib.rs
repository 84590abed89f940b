//! The failover pair: which of two storage ports has the clients' address (FO-1 to FO-12).
//!
//! | module | what |
//! |---|---|
//! | [`machine`] | the judge: state, event, now → state, actions (pure) |
//! | [`wire`] | what two judges say to each other, as sealed datagrams (pure) |
//! | [`net`] | what it asks of the kernel: floating addresses, fence, ARP, sockets |
//! | [`health`] | how this port is: who looks, and what it comes to |
//! | [`config`] | what the operator may choose |
//! | [`daemon`] | `port-failover`: the machine, and everything around it |

pub mod config;
pub mod daemon;
pub mod health;
pub mod machine;
pub mod net;
pub mod wire;
