//! Oracles for what two judges of a pair say to each other.

use failover::machine::Machine;
use failover::machine::event::{Event, Generation, Member, Path};
use failover::machine::message::{Kind, Message};
use failover::machine::settings::Settings;
use failover::machine::time::Time;
use failover::wire::{BYTES_MAX, Seal};
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// The key of the pair in whose name the oracle seals.
pub const KEY: &[u8] = b"the key of the pair";
/// Its name.
pub const PAIR: &str = "site-1";

/// A datagram as it comes, and what would be one if only its tag were right.
pub fn datagram(data: &[u8]) {
    check(data);
    let sealed = sign(data);
    check(&sealed);
    // Some byte of it changed.
    if let Some(at) = data.first() {
        let mut forged = sealed;
        let at = usize::from(*at) % forged.len();
        forged[at] ^= 1;
        for path in [Path::Heartbeat, Path::Lan] {
            assert!(seal(Member::A).open(path, &forged).is_err());
        }
    }
}

/// Bytes with the tag that makes them a datagram of the pair, as another program would compute it.
pub fn sign(bytes: &[u8]) -> Vec<u8> {
    let hmac = |key: &[u8], text: &[u8]| -> [u8; 32] {
        Hmac::<Sha256>::new_from_slice(key).unwrap().chain_update(text).finalize().into_bytes().into()
    };
    let key = hmac(KEY, &[b"port-failover datagram 1 ", PAIR.as_bytes()].concat());
    [bytes, &hmac(&key, bytes)[..16]].concat()
}

fn seal(member: Member) -> Seal {
    Seal::new(PAIR, member, KEY, None).unwrap()
}

fn check(bytes: &[u8]) {
    for (member, peer) in [(Member::A, Member::B), (Member::B, Member::A)] {
        for path in [Path::Heartbeat, Path::Lan] {
            let Ok(message) = seal(member).open(path, bytes) else { continue };
            assert_eq!(message.sender, peer);
            let again = seal(peer).seal(path, &message).unwrap();
            assert!(again.len() <= BYTES_MAX);
            assert_eq!(seal(member).open(path, &again).map(sorted), Ok(sorted(message.clone())));
            judge(member, path, message);
        }
    }
}

/// The families of the connections are told one after the other.
fn sorted(mut message: Message) -> Message {
    if let Kind::Status { opened, closed } = &mut message.kind {
        opened.sort();
        closed.sort();
    }
    message
}

/// A judge that has just been started takes it, believed or not, and goes on.
fn judge(member: Member, path: Path, mut message: Message) {
    let mut now = Time(1_000_000);
    let mut machine = Machine::new(Settings::new(member), 1, Generation(3), now);
    for echo in [message.echo, Some((1, 1))] {
        machine.step(Event::Timer, now);
        message.echo = echo;
        machine.step(Event::Received { path, message: message.clone() }, now);
        now = now + Settings::new(member).lease * 2;
    }
    assert!(machine.status(now).generation >= Generation(3));
}
