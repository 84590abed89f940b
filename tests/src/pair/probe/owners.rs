//! Who has the address: an ARP question to everybody every 5 ms, and all who answer it.
//!
//! Each question comes from another address of a pool, so that an answer names its question: one that comes late is not
//! taken for a second owner. It runs on a host of its own, whose link-layer address nobody else has, so that no client
//! learns from the answers.

use std::io::{self, ErrorKind};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use pnet_datalink::{Channel, Config, DataLinkSender, MacAddr, NetworkInterface};
use pnet_packet::Packet;
use pnet_packet::arp::{ArpHardwareTypes, ArpOperations, ArpPacket, MutableArpPacket};
use pnet_packet::ethernet::{EtherTypes, EthernetPacket, MutableEthernetPacket};

use super::report::Owners;
use crate::poll;

/// From question to question.
pub const PERIOD: Duration = Duration::from_millis(5);
/// The pool's addresses are those whose last byte is this and the 63 after it.
const POOL: u8 = 128;
const POOL_SIZE: usize = 64;
const ETHERNET_BYTES: usize = 14;
const ARP_BYTES: usize = 28;

/// What is known since the last mark.
pub struct Watch {
    seen: Owners,
    /// Who has answered the newest question from each address of the pool.
    answers: [Vec<MacAddr>; POOL_SIZE],
    owner: Option<MacAddr>,
}

impl Watch {
    /// Begins with nothing seen.
    pub fn new() -> Self {
        let answers = std::array::from_fn(|_| Vec::new());
        Self { seen: Owners::default(), answers, owner: None }
    }

    /// What was seen since the last mark.
    pub fn mark(&mut self) -> Owners {
        let mut seen = std::mem::take(&mut self.seen);
        seen.owner = self.owner.map(|owner| owner.to_string());
        seen
    }

    /// The slot's next question is about to leave: what the last one brought is final.
    fn close(&mut self, slot: usize) {
        let answers = std::mem::take(&mut self.answers[slot]);
        if answers.is_empty() {
            self.seen.unanswered += 1;
        }
        if answers.len() > 1 {
            self.seen.twice += PERIOD;
        }
        self.seen.asked += 1;
    }

    fn answered(&mut self, slot: usize, owner: MacAddr) {
        if !self.answers[slot].contains(&owner) {
            self.answers[slot].push(owner);
        }
        if self.owner != Some(owner) {
            self.seen.changes += u64::from(self.owner.is_some());
            self.owner = Some(owner);
        }
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}

/// Asks for `address` at the interface until the process ends.
///
/// # Errors
/// If there is no such interface, or no raw socket at it.
pub fn run(interface: &str, address: Ipv4Addr, watch: &Arc<Mutex<Watch>>) -> io::Result<()> {
    let interface = pnet_datalink::interfaces()
        .into_iter()
        .find(|candidate| candidate.name == interface)
        .ok_or_else(|| io::Error::new(ErrorKind::NotFound, format!("no interface {interface}")))?;
    let config = Config { read_timeout: Some(PERIOD), ..Config::default() };
    let Channel::Ethernet(mut sender, mut receiver) = pnet_datalink::channel(&interface, config)? else {
        return Err(io::Error::other("no Ethernet"));
    };
    let answers = Arc::clone(watch);
    thread::spawn(move || {
        loop {
            // A time-out is nothing; the interface does not go away.
            if let Ok(frame) = receiver.next()
                && let Some((slot, owner)) = answer(frame, address)
            {
                answers.lock().unwrap().answered(slot, owner);
            }
        }
    });
    let mut next = Instant::now();
    for slot in (0..POOL_SIZE).cycle() {
        watch.lock().unwrap().close(slot);
        ask(&mut *sender, &interface, slot, address)?;
        next += PERIOD;
        poll::pause(next.saturating_duration_since(Instant::now()));
    }
    Ok(())
}

fn ask(
    sender: &mut dyn DataLinkSender,
    interface: &NetworkInterface,
    slot: usize,
    address: Ipv4Addr,
) -> io::Result<()> {
    let own = interface.mac.ok_or_else(|| io::Error::other("no link-layer address"))?;
    let mut question = [0; ETHERNET_BYTES + ARP_BYTES];
    let mut ethernet = MutableEthernetPacket::new(&mut question).expect("is long enough");
    ethernet.set_destination(MacAddr::broadcast());
    ethernet.set_source(own);
    ethernet.set_ethertype(EtherTypes::Arp);
    let mut arp = MutableArpPacket::new(&mut question[ETHERNET_BYTES..]).expect("is long enough");
    arp.set_hardware_type(ArpHardwareTypes::Ethernet);
    arp.set_protocol_type(EtherTypes::Ipv4);
    arp.set_hw_addr_len(6);
    arp.set_proto_addr_len(4);
    arp.set_operation(ArpOperations::Request);
    arp.set_sender_hw_addr(own);
    arp.set_sender_proto_addr(pool(address, slot));
    arp.set_target_proto_addr(address);
    sender.send_to(&question, None).unwrap_or(Ok(()))
}

/// The slot of the question that a frame answers, and who answers.
fn answer(frame: &[u8], address: Ipv4Addr) -> Option<(usize, MacAddr)> {
    let ethernet = EthernetPacket::new(frame)?;
    if ethernet.get_ethertype() != EtherTypes::Arp {
        return None;
    }
    let arp = ArpPacket::new(ethernet.payload())?;
    if arp.get_operation() != ArpOperations::Reply || arp.get_sender_proto_addr() != address {
        return None;
    }
    let [.., last] = arp.get_target_proto_addr().octets();
    let slot = usize::from(last.checked_sub(POOL)?);
    (slot < POOL_SIZE).then(|| (slot, arp.get_sender_hw_addr()))
}

fn pool(address: Ipv4Addr, slot: usize) -> Ipv4Addr {
    let [first, second, third, _] = address.octets();
    Ipv4Addr::new(first, second, third, POOL + slot as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_answers_to_one_question_make_two_owners() {
        let (one, other) = (MacAddr::new(2, 0, 0, 0, 0, 1), MacAddr::new(2, 0, 0, 0, 0, 2));
        let mut watch = Watch::default();
        watch.answered(0, one);
        watch.answered(1, other);
        watch.answered(1, other);
        (0..3).for_each(|slot| watch.close(slot));
        let seen = watch.mark();
        assert_eq!((seen.asked, seen.unanswered, seen.twice, seen.changes), (3, 1, Duration::ZERO, 1));
        watch.answered(2, other);
        watch.answered(2, one);
        watch.close(2);
        assert_eq!(watch.mark().twice, PERIOD);
    }
}
