//! The clients' connections at the floating addresses: listed, and ended without a word.
//!
//! For either the kernel walks its whole table of connections, once for each family: some milliseconds, more on a
//! machine with much memory. The thread that renews leases has no time for that.

use std::io;
use std::net::{IpAddr, SocketAddr};

use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, InetResponseHeader, SocketId, StateFlags};
use netlink_packet_sock_diag::{SockDiagDestroy, SockDiagMessage};
use rustix::net::netlink::SOCK_DIAG;

use super::netlink::Netlink;
use crate::machine::message::Connection;

/// Why connections cannot be listed or ended.
#[derive(Debug, thiserror::Error)]
pub enum SocketsError {
    /// Not built into this kernel. A client that comes back to this port while it still has the old connection then
    /// waits for minutes.
    #[error("this kernel cannot end connections: use one with CONFIG_INET_DIAG_DESTROY")]
    Unsupported,
    /// The kernel refuses.
    #[error("cannot ask for the clients' connections: {0}")]
    Kernel(#[from] io::Error),
}

/// Knows the TCP connections of this machine (of the network namespace it was made in).
#[derive(Debug)]
pub struct Sockets {
    netlink: Netlink,
}

impl Sockets {
    /// A way to ask.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new() -> io::Result<Self> {
        Ok(Self { netlink: Netlink::open(Some(SOCK_DIAG), 0)? })
    }

    /// The established connections of clients at those ports of the floating addresses.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn established(
        &mut self,
        floating: &[IpAddr],
        ports: &[u16],
    ) -> Result<Vec<Connection>, SocketsError> {
        let found = self.at(|local| floating.contains(&local), ports, StateFlags::ESTABLISHED)?;
        Ok(found.iter().map(|socket| (remote(&socket.socket_id), local(&socket.socket_id))).collect())
    }

    /// From where somebody is connected to the address at which this process listens; an unspecified one is all of this
    /// machine's. Needs no privilege.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn connected_to(&mut self, listen: SocketAddr) -> Result<Vec<SocketAddr>, SocketsError> {
        let is_there = |local| listen.ip().is_unspecified() || listen.ip().to_canonical() == local;
        let found = self.at(is_there, &[listen.port()], StateFlags::ESTABLISHED)?;
        Ok(found.iter().map(|socket| remote(&socket.socket_id)).collect())
    }

    /// Ends every connection there, in whatever state it is, and says how many. The process finds its sockets failed
    /// (ECONNABORTED). The kernel tells the client by an RST, which the fence must be shut to stop: that the address is
    /// removed stops it for IPv4 alone.
    ///
    /// # Errors
    /// See [`SocketsError`]; those before are ended.
    pub fn destroy(&mut self, floating: &[IpAddr], ports: &[u16]) -> Result<usize, SocketsError> {
        let connections = StateFlags::all() - StateFlags::LISTEN - StateFlags::CLOSE;
        let mut ended = 0;
        for socket in self.at(|local| floating.contains(&local), ports, connections)? {
            let which = request(socket.family, StateFlags::empty(), socket.socket_id);
            let order = SockDiagDestroy::new(SockDiagMessage::InetRequest(which));
            match self.netlink.ask(order, 0) {
                Ok(_) => ended += 1,
                // It has ended by itself.
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
                    return Err(SocketsError::Unsupported);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(ended)
    }

    fn at(
        &mut self,
        is_there: impl Fn(IpAddr) -> bool,
        ports: &[u16],
        states: StateFlags,
    ) -> Result<Vec<InetResponseHeader>, SocketsError> {
        let mut found = Vec::new();
        // A socket that listens for both families has its IPv4 connections as mapped ones among those of IPv6.
        let families = [AF_INET, AF_INET6];
        for (family, &port) in
            families.iter().flat_map(|family| ports.iter().map(move |port| (*family, port)))
        {
            // The kernel chooses by the port alone here.
            let any = SocketId { source_port: port, ..SocketId::new_v4() };
            let question = SockDiagMessage::InetRequest(request(family, states.clone(), any));
            for answer in self.netlink.dump(question)? {
                if let SockDiagMessage::InetResponse(socket) = answer
                    && is_there(local(&socket.header.socket_id).ip())
                {
                    found.push(socket.header);
                }
            }
        }
        Ok(found)
    }
}

fn request(family: u8, states: StateFlags, socket_id: SocketId) -> InetRequest {
    InetRequest { family, protocol: IPPROTO_TCP, extensions: ExtensionFlags::empty(), states, socket_id }
}

fn local(socket: &SocketId) -> SocketAddr {
    SocketAddr::new(socket.source_address.to_canonical(), socket.source_port)
}

fn remote(socket: &SocketId) -> SocketAddr {
    SocketAddr::new(socket.destination_address.to_canonical(), socket.destination_port)
}
