//! What the processes of a cluster say to each other, as any of them might get it from somebody who is none, or is
//! broken.

use std::collections::HashSet;
use std::fmt::Debug;

use protocol::dosp::announcement::{Announcement, Deleted, Failed, New, Updated};
use protocol::dosp::datagram::{self, Header, Kind};
use protocol::dosp::operations::*;
use protocol::dosp::preamble::{Chosen, Offer};
use protocol::dosp::replay::ReplayWindow;
use protocol::dosp::{
    ClusterKey, DatagramKey, Message, Operation, StoreHeader, Streamed, decode_reply, decode_request,
    encode_reply, heartbeat,
};

use crate::input::Input;

/// The key of the cluster in whose name the oracle signs.
pub const KEY: [u8; 32] = [7; 32];
/// Its name.
pub const CLUSTER: &str = "main";

/// What an operation makes of bytes.
struct Structures {
    code: u16,
    request: fn(&[u8]),
    reply: fn(&[u8]),
}

const OPERATIONS: &[Structures] = &[
    plain::<Null>(),
    plain::<Store>(),
    streamed::<Retrieve>(),
    streamed::<RetrieveRange>(),
    plain::<Delete>(),
    streamed::<GetContents>(),
    plain::<Heartbeat>(),
    plain::<GetDiskState>(),
    plain::<GetDiskStatus>(),
    plain::<Keep>(),
    plain::<Hold>(),
    plain::<Locate>(),
    plain::<Digests>(),
    plain::<References>(),
    plain::<Lacking>(),
    plain::<ReleaseOrphan>(),
    plain::<Verify>(),
    plain::<Drain>(),
    plain::<Scan>(),
    plain::<GetNodeStatus>(),
    plain::<Name>(),
    plain::<Replicate>(),
    plain::<Entitled>(),
    plain::<Restored>(),
    plain::<Access>(),
    plain::<AccessNews>(),
    plain::<DirectoryState>(),
    plain::<PullDirectory>(),
    plain::<CopyDirectory>(),
    plain::<HandOver>(),
    plain::<Forward>(),
    plain::<RenewLease>(),
    plain::<ClaimLease>(),
    plain::<Members>(),
    plain::<Find>(),
    plain::<CreateFile>(),
    plain::<GiveUp>(),
    plain::<UploadPage>(),
    plain::<CallbackHosts>(),
    plain::<StoreClientFile>(),
    plain::<FindClientFile>(),
    plain::<DeleteClientFile>(),
];

/// A code, and what must hold for its bytes.
type Announced = (u16, fn(&[u8]));

const ANNOUNCEMENTS: &[Announced] = &[
    announcement::<heartbeat::Heartbeat>(),
    announcement::<New>(),
    announcement::<Deleted>(),
    announcement::<Updated>(),
    announcement::<Failed>(),
];

const fn plain<O: Operation<In: Debug + PartialEq, Out: Debug + PartialEq>>() -> Structures {
    Structures { code: O::CODE, request: structure::<O::In>, reply: outcome::<O::Out> }
}

const fn streamed<O>() -> Structures
where
    O: Streamed<In: Debug + PartialEq, Out: Debug + PartialEq, Head: Debug + PartialEq>,
{
    let reply = |bytes: &[u8]| {
        outcome::<O::Out>(bytes);
        outcome::<O::Head>(bytes);
        if let Ok((_, Ok(head))) = decode_reply::<O::Head>(bytes) {
            O::length(&head);
        }
    };
    Structures { code: O::CODE, request: structure::<O::In>, reply }
}

const fn announcement<A: Announcement + Debug + PartialEq>() -> (u16, fn(&[u8])) {
    (A::CODE, structure::<A>)
}

fn operation(code: u16) -> Option<&'static Structures> {
    let found = OPERATIONS.iter().find(|structures| structures.code == code);
    assert_eq!(found.is_some(), name(code).is_some(), "operation {code} has no oracle");
    found
}

/// What is understood is written and understood to be the same, and takes no more room than it came in.
fn structure<M: Message + Debug + PartialEq>(bytes: &[u8]) {
    if let Ok(value) = M::from_bytes(bytes) {
        let again = value.to_bytes();
        assert!(again.len() <= bytes.len());
        assert_eq!(M::from_bytes(&again), Ok(value));
    }
}

fn outcome<M: Message + Debug + PartialEq>(bytes: &[u8]) {
    if let Ok((id, outcome)) = decode_reply::<M>(bytes) {
        let again = encode_reply(id, &outcome);
        assert!(again.len() <= bytes.len());
        assert_eq!(decode_reply(&again), Ok((id, outcome)));
    }
}

/// What a daemon gets: a preamble, a request, the header of a chunk.
pub fn request(data: &[u8]) {
    if let Ok(head) = decode_request(data)
        && let Some(operation) = operation(head.code)
    {
        (operation.request)(head.rest);
    }
    if let Some(bytes) = data.first_chunk()
        && let Ok(offer) = Offer::decode(bytes)
    {
        assert_eq!(offer.encode(), *bytes);
        let ours = Offer { lowest: 1, highest: 2 };
        let chosen = offer.choose(&ours);
        assert_eq!(chosen, ours.choose(&offer));
        for theirs in [offer, ours] {
            assert!(chosen.is_none_or(|version| (theirs.lowest..=theirs.highest).contains(&version)));
        }
    }
    if let Some((bytes, chunk)) = data.split_first_chunk()
        && let Ok(header) = StoreHeader::decode(bytes)
    {
        assert_eq!(header.encode(), *bytes);
        assert!(!header.matches(chunk) || StoreHeader::of(chunk, header.last) == header);
    }
}

/// What a client gets: the code of the operation it asked for, then a reply; or the answer to a preamble, or lines of
/// contents.
pub fn reply(data: &[u8]) {
    let mut input = Input::new(data);
    let code = input.u16();
    if let Some(operation) = operation(code) {
        (operation.reply)(input.rest());
    }
    if let Some(bytes) = data.first_chunk()
        && let Ok(chosen) = Chosen::decode(bytes, &Offer { lowest: 1, highest: 2 })
    {
        assert_eq!(chosen.encode(), *bytes);
    }
    for line in str::from_utf8(data).unwrap_or_default().lines() {
        if let Some(line) = ContentsLine::parse(line) {
            assert_eq!(line.to_string().strip_suffix('\n').and_then(ContentsLine::parse), Some(line));
        }
    }
}

/// A datagram as it comes, and what would be one if only its tag were right.
pub fn datagram(data: &[u8]) {
    let key = ClusterKey::new(KEY).datagram_key(CLUSTER);
    check_datagram(&key, data);
    let signed = sign(data);
    check_datagram(&key, &signed);
    // Some byte of it changed.
    if let Some(at) = data.first() {
        let mut forged = signed;
        let at = usize::from(*at) % forged.len();
        forged[at] ^= 1;
        assert!(datagram::decode(&key, &forged).is_err());
    }
}

/// Bytes with the tag that makes them a datagram of the cluster, as another program would compute it.
pub fn sign(bytes: &[u8]) -> Vec<u8> {
    let material = [&KEY[..], CLUSTER.as_bytes()].concat();
    let key = blake3::derive_key("storage-port dosp datagram v1", &material);
    [bytes, &blake3::keyed_hash(&key, bytes).as_bytes()[..16]].concat()
}

fn check_datagram(key: &DatagramKey, bytes: &[u8]) {
    let Ok((header, body)) = datagram::decode(key, bytes) else { return };
    assert_eq!(datagram::encode(key, &header, body).as_deref(), Ok(bytes));
    match header.kind {
        Kind::Request => operation(header.code).map(|operation| (operation.request)(body)),
        Kind::Reply => operation(header.code).map(|operation| (operation.reply)(body)),
        Kind::Announce => {
            let known = ANNOUNCEMENTS.iter().find(|(code, _)| *code == header.code);
            known.map(|(_, check)| check(body))
        }
    };
    check_window(&header, body);
}

/// Headers made of the body: none is taken twice, wherever the clock is.
fn check_window(first: &Header, body: &[u8]) {
    let (mut window, mut taken) = (ReplayWindow::new(), HashSet::new());
    let mut header = *first;
    let mut now_ms = first.sent_ms;
    for step in body.as_chunks::<4>().0 {
        if window.take(&header, now_ms).is_ok() {
            assert!(
                taken.insert((header.sender, header.boot, header.sequence)),
                "{header:?} was taken twice"
            );
            assert!(header.sent_ms.abs_diff(now_ms) <= 30_000);
        }
        header.sender = first.sender.wrapping_add(u32::from(step[0] & 1));
        header.boot = first.boot.wrapping_add(u64::from(step[0] >> 6));
        header.sequence = first.sequence.wrapping_add(u64::from(step[1]) << (step[0] >> 1 & 7));
        // A datagram keeps its time; only the clock goes on.
        header.sent_ms = first.sent_ms;
        now_ms = now_ms.wrapping_add(u64::from(step[2]) << (step[3] & 7));
    }
}
