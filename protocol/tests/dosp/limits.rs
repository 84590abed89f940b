//! Every limit at its edge, and one past it.

use std::fmt::Debug;

use protocol::digest::{Content, Fingerprint};
use protocol::dosp::datagram::{BODY_BYTES_MAX, LOCATED_MAX};
use protocol::dosp::heartbeat::{DiskLoad, DiskState, Heartbeat as HeartbeatOut, NodeState, Roles};
use protocol::dosp::operations::*;
use protocol::dosp::{
    CENTER_BYTES_MAX, CONTENTS_MAX, COPY_BYTES_MAX, DIGESTS_BYTES_MAX, DISKS_MAX, DOCUMENT_BYTES_MAX,
    ENTRIES_MAX, ENTRY_BYTES_MAX, Failure, GENERATIONS_MAX, IDS_MAX, IN_BYTES_MAX, LACKING_MAX, Malformed,
    Message, NEWS_MAX, OUT_BYTES_MAX, REASON_BYTES_MAX, REFERENCES_MAX, REPLIES_BYTES_MAX, REPLY_BYTES_MAX,
    REQUEST_BYTES_MAX, REVOKED_MAX, Reference, SECRET_BYTES_MAX, SECRETS_MAX, Status, decode_reply,
    decode_request, encode_reply,
};
use protocol::id::{CustomerId, ObjectId, Token};
use protocol::name::Name;
use protocol::pair::{PAIRS_MAX, PairName, Stamp};
use protocol::srl::{Mark, Secret};
use protocol::vfs::{Upload, VfsError, VfsErrorCode};

const FINGERPRINT: Fingerprint = Fingerprint([1; 16]);
const CUSTOMER: CustomerId = CustomerId(1);
const TOKEN: Token = Token([2; 16]);
const REFERENCE: Reference = Reference { fingerprint: FINGERPRINT, customer: CUSTOMER, token: TOKEN };

/// A list of `max` is taken, and its structure fits where it belongs; one of `max + 1` is not taken.
fn limit<M: Message + Debug + PartialEq>(max: usize, room: usize, structure: impl Fn(usize) -> M) {
    let (edge, past) = (structure(max), structure(max + 1));
    let bytes = edge.to_bytes();
    assert!(bytes.len() <= room, "{} bytes", bytes.len());
    assert_eq!(M::from_bytes(&bytes), Ok(edge));
    assert_eq!(M::from_bytes(&past.to_bytes()), Err(Malformed::TooLong));
}

/// DOSP-2, DOSP-10: lists of requests.
#[test]
fn lists_of_requests_have_their_limits() {
    let kept = KeptReference { customer: CUSTOMER, token: TOKEN, renewed: 0 };
    let row = RowReference { content: Content::EMPTY, customer: CUSTOMER, token: TOKEN };
    limit(IDS_MAX, IN_BYTES_MAX, |count| LocateIn { ids: vec![FINGERPRINT; count] });
    limit(DOCUMENT_BYTES_MAX, IN_BYTES_MAX, |bytes| ForwardIn {
        customer: CUSTOMER,
        document: vec![8; bytes].into(),
    });
    limit(LACKING_MAX, IN_BYTES_MAX, |count| LackingIn { rows: vec![row; count] });
    limit(REFERENCES_MAX, IN_BYTES_MAX, |count| KeepIn {
        content: Content::EMPTY,
        references: vec![kept; count],
        replica: false,
    });
}

/// DOSP-2, DOSP-10: lists of replies.
#[test]
fn lists_of_replies_have_their_limits() {
    let out = OUT_BYTES_MAX;
    let located = Located { content: Content::EMPTY, disk: 0, leaving: false };
    let held = Held { reference: REFERENCE, renewed: 0 };
    limit(IDS_MAX, out, |count| LocateOut { found: vec![located; count] });
    limit(LACKING_MAX, out, |count| LackingOut { rows: vec![Presence::Held; count] });
    limit(REFERENCES_MAX, out, |count| ReferencesOut { references: vec![held; count] });
    limit(DIGESTS_BYTES_MAX, out, |count| DigestsOut {
        content: Content::EMPTY,
        list: vec![3; count].into(),
    });
    limit(DISKS_MAX, out, |count| DiskStateOut { states: vec![DiskState::Online; count] });
    for list in 0..5 {
        limit(DISKS_MAX, out, |count| {
            let mut status = DiskStatusOut::default();
            let lists = [
                &mut status.bytes_free,
                &mut status.bytes_available,
                &mut status.inodes_used,
                &mut status.inodes_available,
                &mut status.outstanding,
            ];
            *lists.into_iter().nth(list).unwrap() = vec![7; count];
            status
        });
    }
    let secret = |bytes: usize| Secret::new(vec![5; bytes]).unwrap();
    let access = |secrets, revoked, pairs| AccessOut { secrets, revoked, pairs };
    limit(SECRETS_MAX, out, |count| access(vec![secret(SECRET_BYTES_MAX); count], vec![], vec![]));
    limit(SECRET_BYTES_MAX, out, |bytes| access(vec![secret(bytes)], vec![], vec![]));
    limit(REVOKED_MAX, out, |count| access(vec![], vec![Mark([4; 16]); count], vec![]));
    let stamp = Stamp { pair: PairName::parse("site-1").unwrap(), generation: protocol::pair::Generation(7) };
    limit(PAIRS_MAX, out, |count| access(vec![], vec![], vec![stamp.clone(); count]));
    let pulled =
        |generations, entries| PullDirectoryOut { start_over: None, position: 0, generations, entries };
    let generation = || Generation { number: 1, writer: "x".repeat(CENTER_BYTES_MAX), first: 1 };
    let entry = |bytes: usize| Entry { number: 1, more: false, rows: vec![5; bytes].into() };
    limit(GENERATIONS_MAX, out, |count| pulled(vec![generation(); count], Vec::new()));
    limit(ENTRIES_MAX, out, |count| pulled(Vec::new(), vec![entry(1); count]));
    limit(ENTRY_BYTES_MAX, out, |bytes| pulled(Vec::new(), vec![entry(bytes)]));
    limit(COPY_BYTES_MAX, out, |bytes| CopyDirectoryOut {
        copy: 1,
        length: 1,
        digest: [0; 32],
        bytes: vec![6; bytes].into(),
    });
    limit(REPLIES_BYTES_MAX, out, |bytes| ForwardOut { position: 1, document: vec![7; bytes].into() });
    limit(NEWS_MAX, out, |count| AccessNewsOut { until: 1, customers: vec![CUSTOMER; count] });
    limit(DISKS_MAX, out, |count| status(vec![disk(usize::MAX); count]));
    let place = FoundPlace { node: 1, disk: 0 };
    limit(FOUND_MAX, out, |count| FindOut { places: vec![place; count] });
    let report = MemberReport { heartbeat: heartbeat(DISKS_MAX), boot: 1, silent_ms: 0 };
    limit(MEMBERS_MAX, out, |count| MembersOut { members: vec![report.clone(); count] });
}

/// Texts are as long as they may be, and cut.
fn disk(text: usize) -> DiskReport {
    let text = "x".repeat(text.min(10_000));
    DiskReport {
        path: text[..text.len().min(4_096)].to_owned(),
        state: DiskState::Down,
        reason: text[..text.len().min(REASON_BYTES_MAX)].to_owned(),
        draining: false,
        bytes_free: 0,
        bytes_total: 0,
        objects: 0,
        quarantined: 0,
        scrub: Scrub::default(),
    }
}

fn status(disks: Vec<DiskReport>) -> NodeStatus {
    NodeStatus {
        node: 1,
        roles: Roles::default(),
        state: NodeState::Online,
        version: String::new(),
        uptime_seconds: 0,
        ops_per_second: 0,
        outstanding: 0,
        lost_references: false,
        copies_owed: 0,
        copies_made: 0,
        copies_spare: 0,
        disks,
    }
}

/// A text for people is cut rather than refused.
#[test]
fn texts_are_cut() {
    let longer = "x".repeat(REASON_BYTES_MAX + 1);
    let error = VfsError { code: VfsErrorCode::Denied, message: longer.clone() };
    let Ok(GiveUpOut { outcome: Err(error) }) =
        GiveUpOut::from_bytes(&GiveUpOut { outcome: Err(error) }.to_bytes())
    else {
        panic!("the error is gone");
    };
    assert_eq!(error.message, longer[1..]);
    let mut report = disk(0);
    report.reason = longer.clone();
    let taken = NodeStatus::from_bytes(&status(vec![report]).to_bytes()).unwrap();
    assert_eq!(taken.disks[0].reason, longer[1..]);

    // And refused if somebody else does not cut it.
    let failure = Failure::new(Status::Refused, &longer[1..]);
    let mut bytes = encode_reply(1, &Err::<(), _>(failure.clone()));
    assert_eq!(decode_reply::<()>(&bytes), Ok((1, Err(failure))));
    bytes.push(b'x');
    assert_eq!(decode_reply::<()>(&bytes), Err(Malformed::TooLong));
}

/// DOSP-10: how many are wanted.
#[test]
fn wanted_numbers_have_their_limits() {
    let references = |limit| ReferencesIn::from_bytes(&ReferencesIn { after: None, limit }.to_bytes());
    let contents = |limit| GetContentsIn::from_bytes(&GetContentsIn { after: None, limit }.to_bytes());
    assert!(references(1).is_ok() && references(REFERENCES_MAX as u32).is_ok());
    assert_eq!(references(REFERENCES_MAX as u32 + 1), Err(Malformed::TooLong));
    assert_eq!(references(0), Err(Malformed::BadValue));
    assert!(contents(1).is_ok() && contents(CONTENTS_MAX).is_ok());
    assert_eq!(contents(CONTENTS_MAX + 1), Err(Malformed::TooLong));
    assert_eq!(contents(0), Err(Malformed::BadValue));
}

/// DOSP-10: a message as a whole.
#[test]
fn messages_have_their_limits() {
    let request = vec![0; REQUEST_BYTES_MAX + 1];
    assert_eq!(decode_request(&request[1..]).map(|head| head.rest.len()), Ok(IN_BYTES_MAX));
    assert_eq!(decode_request(&request), Err(Malformed::TooLong));
    assert_eq!(decode_request(&request[..9]), Err(Malformed::Truncated));
    assert!(decode_request(&request[..10]).is_ok());
    let reply = vec![0; REPLY_BYTES_MAX + 1];
    assert_eq!(decode_reply::<()>(&reply[1..]), Ok((0, Ok(()))));
    assert_eq!(decode_reply::<()>(&reply), Err(Malformed::TooLong));
}

/// The largest name and file fit.
#[test]
fn a_name_has_its_limit() {
    let mut bytes = CreateFileIn {
        asker: CUSTOMER.into(),
        parent: ObjectId(1),
        name: Name::new(&[b'n'; 255]).unwrap(),
        upload: Upload { content: Content::EMPTY, token: TOKEN },
    }
    .to_bytes();
    assert!(CreateFileIn::from_bytes(&bytes).is_ok());
    // The length stands behind customer, no stamp and folder.
    bytes[13..17].copy_from_slice(&256u32.to_le_bytes());
    assert_eq!(CreateFileIn::from_bytes(&bytes), Err(Malformed::TooLong));
}

fn heartbeat(disks: usize) -> HeartbeatOut {
    let disk = DiskLoad { state: DiskState::Online, bytes_free: u64::MAX, bytes_total: u64::MAX };
    HeartbeatOut {
        node: 1,
        roles: Roles { ddm: true, dosm: true, isn: true },
        address: "[2001:db8::1]:7400".parse().unwrap(),
        state: NodeState::Online,
        lost_references: false,
        ops_per_second: u32::MAX,
        outstanding: u32::MAX,
        disks: vec![disk; disks],
    }
}

/// MC-2, MC-6: what goes by datagram fits into one: the heartbeat of a node with all disks, a LOCATE, and its answer
/// up to the number that is told.
#[test]
fn what_is_sent_by_datagram_fits() {
    limit(DISKS_MAX, BODY_BYTES_MAX - 9, heartbeat);
    limit(IDS_MAX, BODY_BYTES_MAX, |count| LocateIn { ids: vec![FINGERPRINT; count] });
    let answer = |count| {
        let found = vec![Located { content: Content::EMPTY, disk: 0, leaving: false }; count];
        encode_reply(1, &Ok(LocateOut { found })).len()
    };
    assert!(answer(LOCATED_MAX) <= BODY_BYTES_MAX);
    assert!(answer(LOCATED_MAX + 1) > BODY_BYTES_MAX);
}

/// New cases of a byte are for later versions; this one does not guess.
#[test]
fn unknown_cases_are_malformed() {
    assert_eq!(DiskState::from_bytes(&[3]), Err(Malformed::BadValue));
    assert_eq!(NodeState::from_bytes(&[3]), Err(Malformed::BadValue));
    assert_eq!(Purpose::from_bytes(&[3]), Err(Malformed::BadValue));
    assert_eq!(Presence::from_bytes(&[3]), Err(Malformed::BadValue));
    // A part of the cluster that is not known yet does not make a process invisible.
    assert_eq!(Roles::from_bytes(&[0b1010]), Ok(Roles { dosm: true, ..Roles::default() }));
}
