//! The UDP sockets between the judges, one for each way.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// Longer than any datagram of ours; the rest of a longer one is cut off, and its seal with it.
const DATAGRAM_BYTES: usize = 2048;
/// Expedited forwarding (RFC 3246): before bulk data, where a switch heeds it.
const EXPEDITED: u32 = 46 << 2;

/// One way to the peer.
#[derive(Debug)]
pub(super) struct PeerSocket {
    socket: Socket,
    peer: SocketAddr,
}

impl PeerSocket {
    /// On one interface alone; the address may be there later.
    ///
    /// # Errors
    /// No such interface, or another program has the address and port.
    pub(super) fn open(interface: &str, listen: SocketAddr, peer: SocketAddr) -> io::Result<Self> {
        let domain = Domain::for_address(listen);
        let socket = Socket::new(domain, Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))?;
        socket.bind_device(Some(interface.as_bytes()))?;
        match domain {
            Domain::IPV4 => {
                socket.set_freebind_v4(true)?;
                socket.set_tos_v4(EXPEDITED)?;
            }
            _ => {
                socket.set_only_v6(true)?;
                socket.set_freebind_v6(true)?;
                socket.set_tclass_v6(EXPEDITED)?;
            }
        }
        socket.bind(&SockAddr::from(listen))?;
        Ok(Self { socket, peer })
    }

    /// Sends one datagram.
    ///
    /// # Errors
    /// The link is down, the queue full, the address not there: as if the network had lost it.
    pub(super) fn send(&self, datagram: &[u8]) -> io::Result<()> {
        self.socket.send_to(datagram, &SockAddr::from(self.peer)).map(drop)
    }

    /// The next datagram of the peer's address; `None` if no more have come. Others are passed over.
    pub(super) fn receive<'a>(&self, room: &'a mut [u8; DATAGRAM_BYTES]) -> Option<&'a [u8]> {
        loop {
            match rustix::net::recvfrom(&self.socket, &mut room[..], rustix::net::RecvFlags::empty()) {
                Ok((length, _, Some(from))) if from == self.peer.into() => return Some(&room[..length]),
                // A stranger's, or what the network said of an earlier one of ours.
                Ok(_) | Err(rustix::io::Errno::CONNREFUSED | rustix::io::Errno::INTR) => {}
                Err(_) => return None,
            }
        }
    }

    /// Room for [`PeerSocket::receive`].
    pub(super) const fn room() -> [u8; DATAGRAM_BYTES] {
        [0; DATAGRAM_BYTES]
    }
}

/// Readable when a datagram has come.
impl AsFd for PeerSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    /// FO-4: by the peer's own address, and nobody else's. Binding to a device needs root.
    #[test]
    fn datagrams_of_strangers_are_passed_over() {
        let peer = UdpSocket::bind("127.0.0.2:0").unwrap();
        let stranger = UdpSocket::bind("127.0.0.3:0").unwrap();
        let listen = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let ours = PeerSocket::open("lo", listen, peer.local_addr().unwrap()).unwrap();
        let mut room = PeerSocket::room();
        assert_eq!(ours.receive(&mut room), None);
        stranger.send_to(b"stranger", listen).unwrap();
        peer.send_to(b"peer", listen).unwrap();
        assert_eq!(ours.receive(&mut room), Some(&b"peer"[..]));
        assert_eq!(ours.receive(&mut room), None);
        ours.send(b"back").unwrap();
        let mut back = [0; 8];
        assert_eq!(peer.recv(&mut back).unwrap(), 4);
    }
}
