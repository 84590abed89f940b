//! Listens to the peer's datagrams beside whoever they are for, who misses none of them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use pnet_packet::Packet;
use pnet_packet::ethernet::{EtherTypes, EthernetPacket};
use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::ipv4::Ipv4Packet;
use pnet_packet::ipv6::Ipv6Packet;
use pnet_packet::udp::UdpPacket;
use socket2::{SockFilter, Socket};

use super::link::Interface;
use super::packet::{self, if_equal, load, pass};

/// Longer than any frame of a judge.
const FRAME: usize = 2048;

/// UDP over IPv4 and IPv6.
const UDP: [SockFilter; 8] = [
    load(libc::BPF_H, 12), // the kind of frame
    if_equal(0x0800, 0, 2),
    load(libc::BPF_B, 23), // IPv4: what it carries
    if_equal(17, 3, 2),
    load(libc::BPF_B, 20), // IPv6: what follows its header; of other frames whatever stands there
    if_equal(17, 1, 0),
    pass(0),
    pass(u32::MAX),
];

/// Ears on an interface for the datagrams from one address and port to another.
#[derive(Debug)]
pub struct Ears {
    socket: Socket,
    from: SocketAddr,
    to: SocketAddr,
}

impl Ears {
    /// Begins to listen.
    ///
    /// # Errors
    /// Not permitted, or no descriptor is left.
    pub fn new(interface: &Interface, from: SocketAddr, to: SocketAddr) -> io::Result<Self> {
        Ok(Self { socket: packet::listener(interface.index, &UDP)?, from, to })
    }

    /// The next such datagram's payload, as far as one has come.
    ///
    /// # Errors
    /// The socket cannot be read (the interface is down).
    pub fn heard(&self) -> io::Result<Option<Vec<u8>>> {
        packet::first::<_, FRAME>(&self.socket, |frame| {
            let (from, to, payload) = datagram(frame)?;
            ((from, to) == (self.from, self.to)).then_some(payload)
        })
    }
}

/// Readable when [`Ears::heard`] may know something.
impl AsFd for Ears {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// From where to where a frame carries which datagram.
fn datagram(frame: &[u8]) -> Option<(SocketAddr, SocketAddr, Vec<u8>)> {
    let ethernet = EthernetPacket::new(frame)?;
    let (from, to, carried): (IpAddr, IpAddr, Vec<u8>) = match ethernet.get_ethertype() {
        EtherTypes::Ipv4 => {
            let ip = Ipv4Packet::new(ethernet.payload())?;
            let is_udp = ip.get_next_level_protocol() == IpNextHeaderProtocols::Udp;
            is_udp.then(|| (ip.get_source().into(), ip.get_destination().into(), ip.payload().to_vec()))?
        }
        EtherTypes::Ipv6 => {
            let ip = Ipv6Packet::new(ethernet.payload())?;
            let is_udp = ip.get_next_header() == IpNextHeaderProtocols::Udp;
            is_udp.then(|| (ip.get_source().into(), ip.get_destination().into(), ip.payload().to_vec()))?
        }
        _ => return None,
    };
    let udp = UdpPacket::new(&carried)?;
    let (source, destination) = (udp.get_source(), udp.get_destination());
    Some((SocketAddr::new(from, source), SocketAddr::new(to, destination), udp.payload().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ethernet, IPv4 and UDP around "hello", from 10.99.0.2:7420 to 10.99.0.1:7421.
    const FOUR: &[u8] = b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\0\
        \x45\0\0\x21\0\0\x40\0\x40\x11\0\0\x0a\x63\0\x02\x0a\x63\0\x01\
        \x1c\xfc\x1c\xfd\0\x0d\0\0hello";

    #[test]
    fn a_datagram_is_read_with_its_ends_and_a_cut_one_gives_nothing_else() {
        let (from, to, payload) = datagram(FOUR).unwrap();
        assert_eq!((from.to_string(), to.to_string()), ("10.99.0.2:7420".into(), "10.99.0.1:7421".into()));
        assert_eq!(payload, b"hello");
        let tcp: Vec<u8> =
            FOUR.iter().enumerate().map(|(at, byte)| if at == 23 { 6 } else { *byte }).collect();
        assert_eq!(datagram(&tcp), None);
        for length in 0..FOUR.len() {
            assert!(datagram(&FOUR[..length]).is_none_or(|(_, _, payload)| b"hello".starts_with(&payload)));
        }
    }
}
