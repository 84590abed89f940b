//! The judges' datagrams: what is sealed is opened, by the peer and on its way alone; and two versions understand each
//! other (FO-4).

#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::time::Duration;

use failover::machine::connections::CHANGES_PER_STATUS;
use failover::machine::event::{Generation, Member, Path};
use failover::machine::message::{Connection, Kind, Message, Role};
use failover::wire::{BYTES_MAX, Dropped, KeyTooShort, Malformed, Seal, TooLong};
use hmac::{Hmac, Mac};
use proptest::collection::vec;
use proptest::prelude::*;
use sha2::Sha256;

const KEY: &[u8] = b"the key of the pair";
const TAG_BYTES: usize = 16;
const FIELDS_AT: usize = 68;

fn seal(member: Member) -> Seal {
    Seal::new("site-1", member, KEY, None).unwrap()
}

fn message(kind: Kind) -> Message {
    Message {
        speaks: 1,
        sender: Member::A,
        boot: 0x0102_0304_0506_0708,
        sequence: 9,
        echo: Some((10, 11)),
        role: Role::Active,
        generation: Generation(12),
        health: 13,
        lan: true,
        wan: false,
        eligible: true,
        kind,
    }
}

/// The tag as another program would compute it.
fn sign(bytes: &[u8]) -> Vec<u8> {
    let hmac = |key: &[u8], text: &[u8]| -> [u8; 32] {
        Hmac::<Sha256>::new_from_slice(key).unwrap().chain_update(text).finalize().into_bytes().into()
    };
    let key = hmac(KEY, b"port-failover datagram 1 site-1");
    [bytes, &hmac(&key, bytes)[..TAG_BYTES]].concat()
}

fn members() -> impl Strategy<Value = Member> {
    prop_oneof![Just(Member::A), Just(Member::B)]
}

fn paths() -> impl Strategy<Value = Path> {
    prop_oneof![Just(Path::Heartbeat), Just(Path::Lan)]
}

fn roles() -> impl Strategy<Value = Role> {
    prop_oneof![
        Just(Role::Starting),
        Just(Role::Passive),
        Just(Role::Acquiring),
        Just(Role::Active),
        Just(Role::Releasing)
    ]
}

/// Both addresses of one family. The families are told one after the other, so a list has IPv4 first.
fn connections() -> impl Strategy<Value = Vec<Connection>> {
    let v4 = any::<([u8; 4], u16, [u8; 4], u16)>().prop_map(|(client, port, floating, at)| {
        (SocketAddr::from((client, port)), SocketAddr::from((floating, at)))
    });
    let v6 = any::<([u8; 16], u16, [u8; 16], u16)>().prop_map(|(client, port, floating, at)| {
        (SocketAddr::from((client, port)), SocketAddr::from((floating, at)))
    });
    (vec(v4, 0..=6), vec(v6, 0..=6)).prop_map(|(v4, v6)| [v4, v6].concat())
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        any::<Option<u32>>().prop_map(|micros| Kind::Query {
            promise: micros.map(|micros| Duration::from_micros(micros.into()))
        }),
        (connections(), connections()).prop_map(|(opened, closed)| Kind::Status { opened, closed }),
        Just(Kind::Prepare),
        Just(Kind::Ready),
        Just(Kind::Release),
    ]
}

prop_compose! {
    fn messages()(
        (sender, role, kind) in (members(), roles(), kinds()),
        (speaks, boot, sequence, echo) in any::<(u8, u64, u64, Option<(u64, u64)>)>(),
        (generation, health, lan, wan, eligible) in any::<(u64, u32, bool, bool, bool)>(),
    ) -> Message {
        let generation = Generation(generation);
        Message { speaks, sender, boot, sequence, echo, role, generation, health, lan, wan, eligible, kind }
    }
}

fn other(member: Member) -> Member {
    if member == Member::A { Member::B } else { Member::A }
}

proptest! {
    /// FO-4: the peer reads what was said, on the way on which it was said; nobody else does, and no part of it.
    #[test]
    fn a_message_comes_to_the_peer_as_it_was_said(message in messages(), path in paths(), cut in any::<usize>()) {
        let bytes = seal(message.sender).seal(path, &message).unwrap();
        prop_assert!(bytes.len() <= BYTES_MAX);
        let peer = seal(other(message.sender));
        prop_assert_eq!(peer.open(path, &bytes), Ok(message.clone()));
        prop_assert_eq!(seal(message.sender).open(path, &bytes), Err(Dropped::Astray));
        let elsewhere = if path == Path::Lan { Path::Heartbeat } else { Path::Lan };
        prop_assert_eq!(peer.open(elsewhere, &bytes), Err(Dropped::Astray));
        prop_assert!(peer.open(path, &bytes[..cut % bytes.len()]).is_err());
    }

    /// FO-4: no bit of a datagram can be changed.
    #[test]
    fn no_bit_can_be_changed(message in messages(), at in any::<usize>()) {
        let mut bytes = seal(message.sender).seal(Path::Lan, &message).unwrap();
        let bit = at % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let opened = seal(other(message.sender)).open(Path::Lan, &bytes);
        prop_assert!(matches!(opened, Err(Dropped::Forged | Dropped::Foreign)), "{:?}", opened);
    }

    /// FO-4: whatever comes, nothing is believed without its tag.
    #[test]
    fn nothing_is_believed_without_its_tag(bytes in vec(any::<u8>(), 0..200)) {
        prop_assert!(seal(Member::B).open(Path::Lan, &bytes).is_err());
    }
}

/// FO-4: the bytes themselves, so that they stay the same from version to version.
#[test]
fn a_datagram_has_the_bytes_that_are_written_down() {
    let query = message(Kind::Query { promise: Some(Duration::from_millis(100)) });
    let bytes = seal(Member::A).seal(Path::Lan, &query).unwrap();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(&hex[..16], "5350464f0101011b");
    assert_eq!(&hex[32..38], "010402");
    let numbers =
        "0000000d01020304050607080000000000000009000000000000000a000000000000000b000000000000000c000186a0";
    assert_eq!(&hex[40..136], numbers);
    assert_eq!(bytes.len(), FIELDS_AT + TAG_BYTES);
    assert_eq!(sign(&bytes[..FIELDS_AT]), bytes);
}

/// FO-4: a judge of the next version, which says more than this one knows, is understood.
#[test]
fn the_next_version_is_understood() {
    let known = message(Kind::Status { opened: Vec::new(), closed: Vec::new() });
    let mut bytes = seal(Member::A).seal(Path::Lan, &known).unwrap();
    bytes.truncate(FIELDS_AT);
    bytes[5] = 2;
    bytes[7] |= 0b1110_0000;
    bytes.extend_from_slice(&[200, 0, 3, 1, 2, 3]);
    bytes.extend_from_slice(&[1, 0, 12, 192, 0, 2, 1, 3, 0, 192, 0, 2, 10, 8, 1]);
    bytes.extend_from_slice(&[255, 0, 0]);
    let connection = (([192, 0, 2, 1], 0x300).into(), ([192, 0, 2, 10], 2049).into());
    let expected =
        Message { speaks: 2, kind: Kind::Status { opened: vec![connection], closed: Vec::new() }, ..known };
    assert_eq!(seal(Member::B).open(Path::Lan, &sign(&bytes)), Ok(expected));
}

/// FO-4: authentic and still no message: each has its name.
#[test]
fn what_cannot_be_understood_is_named() {
    let bytes = seal(Member::A).seal(Path::Lan, &message(Kind::Prepare)).unwrap();
    let bytes = &bytes[..FIELDS_AT];
    let spoilt = |at: usize, value: u8| {
        let mut bytes = bytes.to_vec();
        bytes[at] = value;
        seal(Member::B).open(Path::Lan, &sign(&bytes))
    };
    assert_eq!(spoilt(4, 2), Err(Dropped::Foreign), "a version that this code cannot read");
    assert_eq!(spoilt(6, 77), Err(Malformed::Unknown("kind").into()));
    assert_eq!(spoilt(8, 0), Err(Dropped::Foreign), "another pair");
    assert_eq!(spoilt(16, 3), Err(Malformed::Unknown("member").into()));
    assert_eq!(spoilt(17, 9), Err(Malformed::Unknown("role").into()));
    assert_eq!(spoilt(18, 0), Err(Malformed::Unknown("path").into()));
    let with = |fields: &[u8]| seal(Member::B).open(Path::Lan, &sign(&[bytes, fields].concat()));
    assert_eq!(with(&[1, 0]), Err(Malformed::Truncated.into()));
    assert_eq!(with(&[1, 0, 13]), Err(Malformed::Truncated.into()));
    assert_eq!(with(&[&[1, 0, 13][..], &[0; 13]].concat()), Err(Malformed::List.into()));
    let many = (CHANGES_PER_STATUS + 1) * 12;
    assert_eq!(
        with(&[&[1, (many >> 8) as u8, many as u8][..], &vec![0; many]].concat()),
        Err(Malformed::List.into())
    );
    let long = vec![0; BYTES_MAX + 1];
    assert_eq!(seal(Member::B).open(Path::Lan, &long), Err(Dropped::Foreign));
}

/// FO-4: a key is changed while both run: first both accept the new one, then each uses it, then the old one goes.
#[test]
fn a_key_is_changed_in_steps() {
    let (old, new) = (&b"the key of last year"[..], &b"the key of this year"[..]);
    let steps = [(old, None), (old, Some(new)), (new, Some(old)), (new, None)];
    let with = |member, (key, also)| Seal::new("site-1", member, key, also).unwrap();
    let said = message(Kind::Ready);
    for pair in steps.windows(2) {
        for (from, to) in [(pair[0], pair[1]), (pair[1], pair[0])] {
            let bytes = with(Member::A, from).seal(Path::Lan, &said).unwrap();
            assert_eq!(with(Member::B, to).open(Path::Lan, &bytes), Ok(said.clone()));
        }
    }
    let bytes = with(Member::A, steps[0]).seal(Path::Lan, &said).unwrap();
    assert_eq!(with(Member::B, steps[3]).open(Path::Lan, &bytes), Err(Dropped::Forged));
}

#[test]
fn another_pair_is_not_believed() {
    let said = message(Kind::Release);
    let bytes = Seal::new("site-2", Member::A, KEY, None).unwrap().seal(Path::Lan, &said).unwrap();
    assert_eq!(seal(Member::B).open(Path::Lan, &bytes), Err(Dropped::Forged));
    assert_eq!(Seal::new("site-1", Member::A, b"short", None).unwrap_err(), KeyTooShort);
    assert!(!format!("{:?}", seal(Member::A)).contains("key"));
}

#[test]
fn a_status_has_its_limit() {
    let connection: Connection = (([192, 0, 2, 1], 700).into(), ([192, 0, 2, 10], 2049).into());
    let v6: Connection = (([7; 16], 700).into(), ([8; 16], 2049).into());
    let most = message(Kind::Status { opened: vec![v6; CHANGES_PER_STATUS], closed: Vec::new() });
    assert!(seal(Member::A).seal(Path::Lan, &most).unwrap().len() <= BYTES_MAX);
    let closed = vec![connection; CHANGES_PER_STATUS];
    let more = message(Kind::Status { opened: vec![connection], closed });
    assert_eq!(seal(Member::A).seal(Path::Lan, &more), Err(TooLong));
}
