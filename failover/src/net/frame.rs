//! ARP (RFC 826, 5227) and neighbour discovery (RFC 4861) as Ethernet frames.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pnet_base::MacAddr;
use pnet_packet::Packet;
use pnet_packet::arp::{ArpHardwareTypes, ArpOperation, ArpOperations, ArpPacket, MutableArpPacket};
use pnet_packet::ethernet::{EtherType, EtherTypes, EthernetPacket, MutableEthernetPacket};
use pnet_packet::icmpv6::ndp::{
    MutableNdpOptionPacket, MutableNeighborAdvertPacket, MutableNeighborSolicitPacket, NdpOptionType,
    NdpOptionTypes, NeighborAdvertPacket,
};
use pnet_packet::icmpv6::{Icmpv6Types, MutableIcmpv6Packet, checksum};
use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::ipv6::{Ipv6Packet, MutableIpv6Packet};

const ETHERNET: usize = EthernetPacket::minimum_packet_size();
const IPV6: usize = Ipv6Packet::minimum_packet_size();
/// Solicitation and advertisement are of one length.
const NEIGHBOUR: usize = NeighborAdvertPacket::minimum_packet_size();
/// A link-layer address as an option (RFC 4861 4.6.1): kind, length in units of eight bytes, address.
const OPTION: usize = 8;
/// What a receiver demands (RFC 4861 7.1): nobody but a neighbour can have sent it.
const FROM_THE_LINK: u8 = 255;
/// Take the address in place of one you know (RFC 4861 4.4). Not the flag of a router, for we are none, nor that of an
/// answer.
const OVERRIDE: u8 = 0b0010_0000;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// "I have it", to everybody: a gratuitous ARP as request and as answer, for some hosts heed only one of the two; or an
/// unsolicited neighbour advertisement.
pub fn announcements(mac: MacAddr, address: IpAddr) -> Vec<Vec<u8>> {
    match address {
        IpAddr::V4(address) => {
            let nobody = MacAddr::zero();
            vec![
                arp(ArpOperations::Request, (mac, address), (nobody, address)),
                arp(ArpOperations::Reply, (mac, address), (mac, address)),
            ]
        }
        IpAddr::V6(address) => vec![advertisement(mac, address)],
    }
}

/// "Who has `asked`? Tell `from`", to everybody on the link: he who answers has learned where `from` is. None if the
/// two are not of one family.
pub fn who_has(mac: MacAddr, from: IpAddr, asked: IpAddr) -> Option<Vec<u8>> {
    match (from, asked) {
        (IpAddr::V4(from), IpAddr::V4(asked)) => {
            Some(arp(ArpOperations::Request, (mac, from), (MacAddr::zero(), asked)))
        }
        (IpAddr::V6(from), IpAddr::V6(asked)) => Some(solicitation(mac, from, asked)),
        _ => None,
    }
}

/// "Does anybody have it?", without saying that we want it: nobody who hears it changes what he knows (RFC 5227 2.1.1,
/// RFC 4862 5.4.2).
pub fn probe(mac: MacAddr, address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => {
            arp(ArpOperations::Request, (mac, Ipv4Addr::UNSPECIFIED), (MacAddr::zero(), address))
        }
        IpAddr::V6(address) => solicitation(mac, Ipv6Addr::UNSPECIFIED, address),
    }
}

/// Who says in this frame that he has which address: the sender of an ARP, the target of an advertisement. A probe says
/// that of nobody.
pub fn claim(frame: &[u8]) -> Option<(MacAddr, IpAddr)> {
    let ethernet = EthernetPacket::new(frame)?;
    match ethernet.get_ethertype() {
        EtherTypes::Arp => {
            let arp = ArpPacket::new(ethernet.payload())?;
            let sender = arp.get_sender_proto_addr();
            let of_ipv4 = (arp.get_protocol_type(), arp.get_hw_addr_len(), arp.get_proto_addr_len());
            (of_ipv4 == (EtherTypes::Ipv4, 6, 4) && !sender.is_unspecified())
                .then_some((arp.get_sender_hw_addr(), sender.into()))
        }
        EtherTypes::Ipv6 => {
            let ipv6 = Ipv6Packet::new(ethernet.payload())?;
            if ipv6.get_next_header() != IpNextHeaderProtocols::Icmpv6 {
                return None;
            }
            let advertisement = NeighborAdvertPacket::new(ipv6.payload())?;
            (advertisement.get_icmpv6_type() == Icmpv6Types::NeighborAdvert)
                .then(|| (ethernet.get_source(), advertisement.get_target_addr().into()))
        }
        _ => None,
    }
}

fn arp(operation: ArpOperation, sender: (MacAddr, Ipv4Addr), target: (MacAddr, Ipv4Addr)) -> Vec<u8> {
    let mut frame = frame(sender.0, MacAddr::broadcast(), EtherTypes::Arp, ArpPacket::minimum_packet_size());
    if let Some(mut arp) = MutableArpPacket::new(&mut frame[ETHERNET..]) {
        arp.set_hardware_type(ArpHardwareTypes::Ethernet);
        arp.set_protocol_type(EtherTypes::Ipv4);
        arp.set_hw_addr_len(6);
        arp.set_proto_addr_len(4);
        arp.set_operation(operation);
        arp.set_sender_hw_addr(sender.0);
        arp.set_sender_proto_addr(sender.1);
        arp.set_target_hw_addr(target.0);
        arp.set_target_proto_addr(target.1);
    }
    frame
}

fn advertisement(mac: MacAddr, address: Ipv6Addr) -> Vec<u8> {
    let mut message = [0; NEIGHBOUR + OPTION];
    if let Some(mut advertisement) = MutableNeighborAdvertPacket::new(&mut message) {
        advertisement.set_icmpv6_type(Icmpv6Types::NeighborAdvert);
        advertisement.set_flags(OVERRIDE);
        advertisement.set_target_addr(address);
    }
    set_option(&mut message[NEIGHBOUR..], NdpOptionTypes::TargetLLAddr, mac);
    icmpv6(mac, address, ALL_NODES, &mut message)
}

fn solicitation(mac: MacAddr, from: Ipv6Addr, asked: Ipv6Addr) -> Vec<u8> {
    let mut message = [0; NEIGHBOUR + OPTION];
    if let Some(mut solicitation) = MutableNeighborSolicitPacket::new(&mut message) {
        solicitation.set_icmpv6_type(Icmpv6Types::NeighborSolicit);
        solicitation.set_target_addr(asked);
    }
    set_option(&mut message[NEIGHBOUR..], NdpOptionTypes::SourceLLAddr, mac);
    // The group of all who have this address or one that ends like it (RFC 4291 2.7.1).
    let [.., a, b, c] = asked.octets();
    let group = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c]);
    // Who has no address yet must not say his link-layer address (RFC 4861 4.3).
    let length = if from.is_unspecified() { NEIGHBOUR } else { NEIGHBOUR + OPTION };
    icmpv6(mac, from, group, &mut message[..length])
}

fn set_option(bytes: &mut [u8], kind: NdpOptionType, mac: MacAddr) {
    if let Some(mut option) = MutableNdpOptionPacket::new(bytes) {
        option.set_option_type(kind);
        option.set_length(1);
        option.set_data(&mac.octets());
    }
}

/// Completes `message` with its checksum and puts it into a frame to a group.
fn icmpv6(mac: MacAddr, source: Ipv6Addr, group: Ipv6Addr, message: &mut [u8]) -> Vec<u8> {
    if let Some(mut icmpv6) = MutableIcmpv6Packet::new(message) {
        let sum = checksum(&icmpv6.to_immutable(), &source, &group);
        icmpv6.set_checksum(sum);
    }
    let [.., a, b, c, d] = group.octets();
    let to_the_group = MacAddr::new(0x33, 0x33, a, b, c, d);
    let mut frame = frame(mac, to_the_group, EtherTypes::Ipv6, IPV6 + message.len());
    if let Some(mut ipv6) = MutableIpv6Packet::new(&mut frame[ETHERNET..]) {
        ipv6.set_version(6);
        ipv6.set_payload_length(message.len() as u16);
        ipv6.set_next_header(IpNextHeaderProtocols::Icmpv6);
        ipv6.set_hop_limit(FROM_THE_LINK);
        ipv6.set_source(source);
        ipv6.set_destination(group);
        ipv6.set_payload(message);
    }
    frame
}

fn frame(source: MacAddr, destination: MacAddr, kind: EtherType, payload: usize) -> Vec<u8> {
    let mut frame = vec![0; ETHERNET + payload];
    if let Some(mut ethernet) = MutableEthernetPacket::new(&mut frame) {
        ethernet.set_source(source);
        ethernet.set_destination(destination);
        ethernet.set_ethertype(kind);
    }
    frame
}

#[cfg(test)]
mod tests {
    use pnet_packet::icmpv6::Icmpv6Packet;

    use super::*;

    const MAC: MacAddr = MacAddr(2, 0, 0, 0, 0, 0xa);
    const FOUR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);

    fn six(end: u16) -> IpAddr {
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, end).into()
    }

    /// FO-2: what says "I have it" is read as that, by either family, and what asks without having it is not.
    #[test]
    fn an_announcement_claims_the_address_and_a_probe_does_not() {
        for address in [FOUR.into(), six(0x10)] {
            for frame in announcements(MAC, address) {
                assert_eq!(claim(&frame), Some((MAC, address)));
            }
            assert_eq!(claim(&probe(MAC, address)), None);
        }
        assert_eq!(
            claim(&who_has(MAC, FOUR.into(), Ipv4Addr::new(192, 0, 2, 1).into()).unwrap()),
            Some((MAC, FOUR.into()))
        );
        assert_eq!(who_has(MAC, FOUR.into(), six(1)), None);
    }

    /// FO-2: byte for byte what RFC 5227 2.1.1 and RFC 4861 4.3 and 4.4 say.
    #[test]
    fn frames_are_those_of_the_standards() {
        let arp = probe(MAC, FOUR.into());
        assert_eq!(
            arp,
            b"\xff\xff\xff\xff\xff\xff\x02\0\0\0\0\x0a\x08\x06\
              \0\x01\x08\0\x06\x04\0\x01\x02\0\0\0\0\x0a\0\0\0\0\0\0\0\0\0\0\xc0\0\x02\x0a"
        );
        let asked = who_has(MAC, six(0x10), six(0x1234)).unwrap();
        assert_eq!(&asked[..6], b"\x33\x33\xff\0\x12\x34");
        assert_eq!(&asked[14..22], b"\x60\0\0\0\0\x20\x3a\xff", "IPv6, 32 bytes of ICMPv6, from the link");
        assert_eq!(&asked[54..56], b"\x87\0");
        assert_eq!(&asked[78..], b"\x01\x01\x02\0\0\0\0\x0a", "our link-layer address");
        let told = &announcements(MAC, six(0x10))[0];
        assert_eq!(&told[..6], b"\x33\x33\0\0\0\x01");
        assert_eq!(&told[54..56], b"\x88\0");
        assert_eq!(&told[58..62], b"\x20\0\0\0", "override, not solicited, no router");
        assert_eq!(&told[78..], b"\x02\x01\x02\0\0\0\0\x0a");
        for frame in [asked, told.clone(), probe(MAC, six(0x10))] {
            let ipv6 = Ipv6Packet::new(&frame[ETHERNET..]).unwrap();
            let icmpv6 = Icmpv6Packet::new(ipv6.payload()).unwrap();
            assert_eq!(checksum(&icmpv6, &ipv6.get_source(), &ipv6.get_destination()), icmpv6.get_checksum());
        }
    }

    /// FO-11: whatever lies on the LAN, reading it ends well.
    #[test]
    fn a_frame_cut_anywhere_claims_nothing_or_the_same() {
        for frame in announcements(MAC, FOUR.into()).into_iter().chain(announcements(MAC, six(1))) {
            let whole = claim(&frame);
            for length in 0..frame.len() {
                let cut = claim(&frame[..length]);
                assert!(cut.is_none() || cut == whole);
            }
        }
    }
}
