//! Of `judge_datagram`: each kind once.

use std::time::Duration;

use failover::machine::event::{Generation, Member, Path};
use failover::machine::message::{Connection, Kind, Message, Role};
use failover::wire::Seal;

use crate::failover::{KEY, PAIR};

/// Without a tag, which the oracle makes; the first one with it, too.
pub fn datagrams() -> Vec<Vec<u8>> {
    let seal = Seal::new(PAIR, Member::A, KEY, None).unwrap();
    let v4: Connection = (([192, 0, 2, 1], 700).into(), ([192, 0, 2, 10], 2049).into());
    let v6: Connection = (([7; 16], 700).into(), ([8; 16], 2049).into());
    let kinds = [
        Kind::Query { promise: Some(Duration::from_millis(100)) },
        Kind::Status { opened: vec![v4, v6], closed: vec![v4] },
        Kind::Prepare,
        Kind::Ready,
        Kind::Release,
    ];
    let all = kinds.map(|kind| {
        let message = Message {
            speaks: 1,
            sender: Member::A,
            boot: 5,
            sequence: 9,
            echo: Some((1, 1)),
            role: Role::Active,
            generation: Generation(7),
            health: 0,
            lan: true,
            wan: true,
            eligible: true,
            kind,
        };
        seal.seal(Path::Lan, &message).unwrap()
    });
    let whole = all[0].clone();
    let untagged = all.into_iter().map(|bytes| bytes[..bytes.len() - 16].to_vec());
    untagged.chain([whole]).collect()
}
