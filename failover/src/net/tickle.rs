//! Makes clients find out at once that their connection has gone: the tickle of CTDB.
//!
//! A client with a connection to the floating address does not know that it has moved. Until he sends something he
//! waits, and if the old port's kernel has acknowledged his request, he waits for ever. A tickle is a bare ACK that
//! seems to come from the other end, with numbers that cannot be right. He answers with the right ones (RFC 9293
//! 3.10.7.4), our kernel knows no such connection and resets it, and he connects anew.

use std::io;
use std::net::{IpAddr, SocketAddr};

use pnet_packet::Packet;
use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::ipv4::{Ipv4Packet, MutableIpv4Packet};
use pnet_packet::ipv6::{Ipv6Packet, MutableIpv6Packet};
use pnet_packet::tcp::{MutableTcpPacket, TcpFlags, TcpPacket, ipv4_checksum, ipv6_checksum};
use socket2::{Domain, Protocol, Socket, Type};

use crate::machine::message::Connection;

const TCP: usize = TcpPacket::minimum_packet_size();
/// Not zero: the client need not think that we are full.
const WINDOW: u16 = 1024;
const HOPS: u8 = 64;

/// Sends tickles.
#[derive(Debug)]
pub struct Tickler {
    four: Option<Socket>,
    six: Option<Socket>,
}

impl Tickler {
    /// A way to send them from these addresses, by the families that there are among them.
    ///
    /// # Errors
    /// Not permitted, or no descriptor is left.
    pub fn new(floating: &[IpAddr]) -> io::Result<Self> {
        let four = floating.iter().any(IpAddr::is_ipv4).then(|| raw(Domain::IPV4)).transpose()?;
        let six = floating.iter().any(IpAddr::is_ipv6).then(|| raw(Domain::IPV6)).transpose()?;
        Ok(Self { four, six })
    }

    /// Tickles each of these clients once.
    ///
    /// # Errors
    /// One could not be sent (there is no way to the client); the others were tried.
    pub fn tickle(&self, connections: impl IntoIterator<Item = Connection>) -> io::Result<()> {
        let mut outcome = Ok(());
        for (client, floating) in connections {
            outcome = outcome.and(self.send(client, floating));
        }
        outcome
    }

    fn send(&self, client: SocketAddr, floating: SocketAddr) -> io::Result<()> {
        let socket = if client.is_ipv4() { &self.four } else { &self.six };
        let (Some(socket), Some(packet)) = (socket, packet(client, floating)) else {
            return Ok(());
        };
        let mut to = client;
        // In a raw socket's address the port means a protocol.
        to.set_port(0);
        socket.send_to(&packet, &to.into()).map(drop)
    }
}

/// A socket whose user writes the header of IP himself (raw(7), ipv6(7)).
fn raw(domain: Domain) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(libc::IPPROTO_RAW)))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The packet, from the floating address. None if the two are not of one family: there is no such connection.
fn packet(client: SocketAddr, floating: SocketAddr) -> Option<Vec<u8>> {
    let mut segment = [0; TCP];
    let mut tcp = MutableTcpPacket::new(&mut segment)?;
    tcp.set_source(floating.port());
    tcp.set_destination(client.port());
    tcp.set_data_offset((TCP / 4) as u8);
    tcp.set_flags(TcpFlags::ACK);
    tcp.set_window(WINDOW);
    match (floating.ip(), client.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let sum = ipv4_checksum(&tcp.to_immutable(), &source, &destination);
            tcp.set_checksum(sum);
            let mut packet = vec![0; Ipv4Packet::minimum_packet_size() + TCP];
            let mut ipv4 = MutableIpv4Packet::new(&mut packet)?;
            ipv4.set_version(4);
            ipv4.set_header_length((Ipv4Packet::minimum_packet_size() / 4) as u8);
            ipv4.set_ttl(HOPS);
            ipv4.set_next_level_protocol(IpNextHeaderProtocols::Tcp);
            ipv4.set_source(source);
            ipv4.set_destination(destination);
            // Length, identification and checksum are the kernel's to write (raw(7)).
            ipv4.set_total_length((Ipv4Packet::minimum_packet_size() + TCP) as u16);
            ipv4.set_payload(tcp.packet());
            Some(packet)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let sum = ipv6_checksum(&tcp.to_immutable(), &source, &destination);
            tcp.set_checksum(sum);
            let mut packet = vec![0; Ipv6Packet::minimum_packet_size() + TCP];
            let mut ipv6 = MutableIpv6Packet::new(&mut packet)?;
            ipv6.set_version(6);
            ipv6.set_payload_length(TCP as u16);
            ipv6.set_next_header(IpNextHeaderProtocols::Tcp);
            ipv6.set_hop_limit(HOPS);
            ipv6.set_source(source);
            ipv6.set_destination(destination);
            ipv6.set_payload(tcp.packet());
            Some(packet)
        }
        _ => None,
    }
}
