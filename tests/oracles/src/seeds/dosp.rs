//! Of `dosp_request`, `dosp_reply` and `dosp_datagram`: each operation once, and each announcement.

use protocol::digest::Fingerprint;
use protocol::dosp::announcement::{Announcement, Deleted, Failed, New, Updated};
use protocol::dosp::datagram::{self, Header, Kind};
use protocol::dosp::heartbeat::{DiskLoad, DiskState, Heartbeat as HeartbeatOut, NodeState, Roles};
use protocol::dosp::operations::*;
use protocol::dosp::preamble::{Chosen, Offer};
use protocol::dosp::{
    ClusterKey, Failure, Message, Operation, Reference, Status, StoreHeader, encode_reply, encode_request,
};
use protocol::id::{ClientFile, CustomerId, ObjectId, Token};
use protocol::pair::{Asker, PairName, Stamp};
use protocol::srl::{Mark, Secret};
use protocol::vfs::{Upload, VfsError, VfsErrorCode};

use super::{content, name};
use crate::dosp::{CLUSTER, KEY};

const CUSTOMER: CustomerId = CustomerId(1);
const CLIENT_FILE: ClientFile = ClientFile([5; 16]);
const TOKEN: Token = Token([7; 16]);
const RENEWED: u64 = 1_800_000_000;

fn fingerprint() -> Fingerprint {
    content().fingerprint
}

fn generation() -> Generation {
    Generation { number: 3, writer: "north".to_owned(), first: 7 }
}

fn stamp() -> Stamp {
    Stamp { pair: PairName::parse("site-1").unwrap(), generation: protocol::pair::Generation(7) }
}

fn reference() -> Reference {
    Reference { fingerprint: fingerprint(), customer: CUSTOMER, token: TOKEN }
}

fn upload() -> Upload {
    Upload { content: content(), token: TOKEN }
}

fn request<O: Operation>(input: O::In) -> Vec<u8> {
    encode_request::<O>(9, &input)
}

pub fn requests() -> Vec<Vec<u8>> {
    let kept = KeptReference { customer: CUSTOMER, token: TOKEN, renewed: RENEWED };
    let row = RowReference { content: content(), customer: CUSTOMER, token: TOKEN };
    let (customer, fingerprint) = (Some(CUSTOMER), fingerprint());
    vec![
        request::<Null>(()),
        request::<Store>(StoreIn { length: 8, copies: 1, name: true }),
        request::<Retrieve>(RetrieveIn { customer, fingerprint }),
        request::<RetrieveRange>(RetrieveRangeIn { customer, fingerprint, offset: 1, length: 5 }),
        request::<Delete>(DeleteIn { reference: reference() }),
        request::<GetContents>(GetContentsIn { after: Some(fingerprint), limit: 1_000 }),
        request::<GetDiskState>(DiskIn { disk: Some(1) }),
        request::<Keep>(KeepIn { content: content(), references: vec![kept, kept], replica: true }),
        request::<Hold>(HoldIn {
            content: content(),
            customer: CUSTOMER,
            token: TOKEN,
            purpose: Purpose::Restore,
            age: 0,
        }),
        request::<Locate>(LocateIn { ids: vec![fingerprint, fingerprint] }),
        request::<Digests>(DigestsIn { customer: None, fingerprint }),
        request::<References>(ReferencesIn { after: Some(reference()), limit: 1_000 }),
        request::<Lacking>(LackingIn { rows: vec![row, row] }),
        request::<ReleaseOrphan>(ReleaseOrphanIn { reference: reference(), renewed_before: RENEWED }),
        request::<Verify>(VerifyIn { fingerprint }),
        request::<Drain>(DrainIn { disk: None, on: true }),
        request::<Replicate>(ReplicateIn { fingerprint, target: 12 }),
        request::<Entitled>(EntitledIn { customer: CUSTOMER, fingerprint }),
        request::<Access>(AccessIn { customer: CUSTOMER }),
        request::<AccessNews>(AccessNewsIn { since: 7 }),
        request::<PullDirectory>(PullDirectoryIn {
            center: "south".to_owned(),
            schema: 7,
            generation: generation(),
            durable: 8,
            after: 9,
        }),
        request::<CopyDirectory>(CopyDirectoryIn {
            center: "south".to_owned(),
            schema: 7,
            copy: 5,
            offset: 4_096,
        }),
        request::<HandOver>(HandOverIn { to: "south".to_owned() }),
        request::<Forward>(ForwardIn { customer: CUSTOMER, document: (*b"<vfs/>").into() }),
        request::<RenewLease>(RenewLeaseIn { center: "north".to_owned(), generation: 3, alone: true }),
        request::<ClaimLease>(ClaimLeaseIn { center: "south".to_owned(), generation: 3 }),
        request::<Find>(FindIn { fingerprint }),
        request::<CreateFile>(CreateFileIn {
            asker: Asker { customer: CUSTOMER, stamp: Some(stamp()) },
            parent: ObjectId(100),
            name: name(),
            upload: upload(),
        }),
        request::<GiveUp>(GiveUpIn { reference: reference(), stamp: Some(stamp()) }),
        request::<StoreClientFile>(StoreClientFileIn {
            asker: CUSTOMER.into(),
            file: CLIENT_FILE,
            upload: upload(),
            replace: true,
        }),
        request::<FindClientFile>(FindClientFileIn { customer: CUSTOMER, file: CLIENT_FILE }),
        request::<DeleteClientFile>(DeleteClientFileIn {
            asker: CUSTOMER.into(),
            file: CLIENT_FILE,
            key: TOKEN,
        }),
        Offer { lowest: 1, highest: 3 }.encode().to_vec(),
        [&StoreHeader::of(b"bytes", true).encode()[..], b"bytes"].concat(),
    ]
}

/// The code, then a reply with this Out or Head.
fn reply<O: Operation>(out: impl Message) -> Vec<u8> {
    [&O::CODE.to_le_bytes()[..], &encode_reply(9, &Ok(out))].concat()
}

fn heartbeat() -> HeartbeatOut {
    let disk = DiskLoad { state: DiskState::Online, bytes_free: 1 << 40, bytes_total: 1 << 41 };
    HeartbeatOut {
        node: 11,
        roles: Roles { isn: true, ..Roles::default() },
        address: ([10, 3, 100, 1], 7_400).into(),
        state: NodeState::Online,
        lost_references: false,
        ops_per_second: 250,
        outstanding: 3,
        disks: vec![disk, DiskLoad { state: DiskState::Down, ..disk }],
    }
}

fn status() -> NodeStatus {
    let disk = DiskReport {
        path: "/disk1".to_owned(),
        state: DiskState::Offline,
        reason: "full".to_owned(),
        draining: true,
        bytes_free: 0,
        bytes_total: 1 << 41,
        objects: 1_000,
        quarantined: 1,
        scrub: Scrub { read: 5, damaged: 1, began: RENEWED, ended: 0 },
    };
    NodeStatus {
        node: 11,
        roles: Roles { isn: true, ..Roles::default() },
        state: NodeState::Draining,
        version: "0.1.0".to_owned(),
        uptime_seconds: 60,
        ops_per_second: 250,
        outstanding: 3,
        lost_references: false,
        copies_owed: 4,
        copies_made: 9,
        copies_spare: 2,
        disks: vec![disk.clone(), disk],
    }
}

pub fn replies() -> Vec<Vec<u8>> {
    let content = content();
    let fingerprint = content.fingerprint;
    let numbers = || vec![1 << 40, 5];
    let failure = Failure::new(Status::NoSpace, "no disk has room");
    let denied = VfsError { code: VfsErrorCode::Denied, message: "no".to_owned() };
    vec![
        reply::<Null>(NullOut { version: 1, node: 11, roles: Roles::default() }),
        reply::<Store>(StoreOut { size: 8, digest: content.digest, fingerprint: Some(fingerprint) }),
        reply::<Retrieve>(RetrieveHead { content, length: 8 }),
        reply::<GetContents>(GetContentsHead { length: 45 }),
        reply::<GetContents>(GetContentsOut { last: Some(fingerprint) }),
        reply::<Heartbeat>(heartbeat()),
        reply::<GetDiskState>(DiskStateOut { states: vec![DiskState::Online, DiskState::Down] }),
        reply::<GetDiskStatus>(DiskStatusOut {
            bytes_free: numbers(),
            bytes_available: numbers(),
            inodes_used: numbers(),
            inodes_available: numbers(),
            outstanding: numbers(),
        }),
        reply::<Keep>(KeepOut { disk: 1 }),
        reply::<Hold>(HoldOut { held: true }),
        reply::<Locate>(LocateOut { found: vec![Located { content, disk: 1, leaving: false }] }),
        reply::<Digests>(DigestsOut { content, list: vec![5; 64].into() }),
        reply::<References>(ReferencesOut {
            references: vec![Held { reference: reference(), renewed: RENEWED }],
        }),
        reply::<Lacking>(LackingOut { rows: vec![Presence::Held, Presence::Lacking] }),
        reply::<Scan>(ScanOut { objects: 3, found: 2, lost: 1 }),
        reply::<GetNodeStatus>(status()),
        reply::<Name>(NameOut { fingerprint }),
        reply::<Entitled>(EntitledOut { entitled: true }),
        reply::<Access>(AccessOut {
            secrets: vec![Secret::new(vec![b's'; 16]).unwrap()],
            revoked: vec![Mark([0xab; 16])],
            pairs: vec![stamp()],
        }),
        reply::<AccessNews>(AccessNewsOut { until: 8, customers: vec![CUSTOMER] }),
        reply::<DirectoryState>(DirectoryStateOut {
            center: "north".to_owned(),
            generation: generation(),
            position: 9,
            writes: true,
        }),
        reply::<PullDirectory>(PullDirectoryOut {
            start_over: Some(2),
            position: 11,
            generations: vec![generation()],
            entries: vec![Entry { number: 10, more: true, rows: [0xab, 0xcd].into() }],
        }),
        reply::<CopyDirectory>(CopyDirectoryOut {
            copy: 5,
            length: 8_192,
            digest: [0xd1; 32],
            bytes: [1, 2, 3].into(),
        }),
        reply::<HandOver>(HandOverOut { generation: generation() }),
        reply::<Forward>(ForwardOut { position: 12, document: (*b"<vfs/>").into() }),
        reply::<RenewLease>(LeaseOut { granted_ms: 5_000, generation: 3, writer: "north".to_owned() }),
        reply::<CreateFile>(CreateFileOut { file: Ok(ObjectId(101)) }),
        reply::<GiveUp>(GiveUpOut { outcome: Err(denied) }),
        reply::<FindClientFile>(FindClientFileOut { content: Ok(content) }),
        [&Store::CODE.to_le_bytes()[..], &encode_reply::<StoreOut>(9, &Err(failure))].concat(),
        Chosen(1).encode().to_vec(),
        ContentsLine { fingerprint, node: 11, disk: 1, size: 8 }.to_string().into_bytes(),
    ]
}

/// Without a tag, which the oracle makes; the first one with it, too.
pub fn datagrams() -> Vec<Vec<u8>> {
    let content = content();
    let fingerprint = content.fingerprint;
    let key = ClusterKey::new(KEY).datagram_key(CLUSTER);
    let signed = |kind, code, body: Vec<u8>| {
        let header = Header { kind, code, sender: 11, boot: 5, sequence: 42, sent_ms: RENEWED * 1_000 };
        datagram::encode(&key, &header, &body).unwrap()
    };
    let located = LocateOut { found: vec![Located { content, disk: 1, leaving: false }] };
    let refused = Failure::new(Status::Refused, "ask point to point");
    let all = vec![
        signed(Kind::Announce, HeartbeatOut::CODE, heartbeat().to_bytes()),
        signed(Kind::Request, Locate::CODE, LocateIn { ids: vec![fingerprint; 3] }.to_bytes()),
        signed(Kind::Reply, Locate::CODE, encode_reply(41, &Ok(located))),
        signed(Kind::Reply, GetDiskStatus::CODE, encode_reply::<()>(41, &Err(refused))),
        signed(Kind::Announce, New::CODE, New { content, node: 11, disk: 1 }.to_bytes()),
        signed(Kind::Announce, Deleted::CODE, Deleted { fingerprint }.to_bytes()),
        signed(Kind::Announce, Updated::CODE, Updated { fingerprint }.to_bytes()),
        signed(Kind::Announce, Failed::CODE, Failed { node: 12 }.to_bytes()),
    ];
    let whole = all[0].clone();
    let untagged = all.into_iter().map(|bytes| bytes[..bytes.len() - 16].to_vec());
    untagged.chain([whole]).collect()
}
