//! `vectors/dosp.txt`, for others to check their programs by: what this library writes is what stands there, and what
//! stands there it reads.

use std::collections::BTreeMap;
use std::fmt::Debug;

use protocol::digest::{Content, Digest, Fingerprint};
use protocol::dosp::announcement::{Deleted, Failed, New, Updated};
use protocol::dosp::datagram::{self, Header, Kind};
use protocol::dosp::heartbeat::{DiskLoad, DiskState, Heartbeat as HeartbeatOut, NodeState, Roles};
use protocol::dosp::operations::*;
use protocol::dosp::preamble::{Chosen, Offer};
use protocol::dosp::{
    ClusterKey, Failure, Message, Reference, Status, StoreHeader, decode_reply, decode_request, encode_reply,
    encode_request,
};
use protocol::id::{ClientFile, CustomerId, ObjectId, Token};
use protocol::name::Name;
use protocol::pair::{Asker, PairName, Stamp};
use protocol::srl::{Mark, Secret};
use protocol::vfs::{Upload, VfsError, VfsErrorCode};

const ID: u64 = 0x0807_0605_0403_0201;
const FINGERPRINT: Fingerprint = Fingerprint([0xf1; 16]);
const OTHER: Fingerprint = Fingerprint([0xf2; 16]);
const DIGEST: Digest = Digest([0xd1; 32]);
const SIZE: u64 = 0x1122_3344_5566_7788;
const CONTENT: Content = Content { fingerprint: FINGERPRINT, size: SIZE, digest: DIGEST };
const CUSTOMER: CustomerId = CustomerId(0x0102_0304);
const TOKEN: Token = Token([0x71; 16]);
const REFERENCE: Reference = Reference { fingerprint: FINGERPRINT, customer: CUSTOMER, token: TOKEN };
const UPLOAD: Upload = Upload { content: CONTENT, token: TOKEN };
/// 2023-09-12.
const RENEWED: u64 = 0x6500_0000;

/// The vectors not checked yet.
struct Vectors(BTreeMap<&'static str, Vec<u8>>);

impl Vectors {
    fn load() -> Self {
        let text = include_str!("../../vectors/dosp.txt");
        let (_, lines) = text.split_once("\n\n").and_then(|(_, rest)| rest.split_once("\n\n")).unwrap();
        Self(
            lines
                .lines()
                .map(|line| line.split_once(": ").unwrap())
                .map(|(name, hex)| (name, bytes(hex)))
                .collect(),
        )
    }

    fn next(&mut self, name: &str) -> Vec<u8> {
        self.0.remove(name).unwrap_or_else(|| panic!("no vector, or a second use of it: {name}"))
    }

    fn both_ways<M: Message + Debug + PartialEq>(&mut self, name: &str, value: M) {
        let vector = self.next(name);
        assert_eq!(hex(&value.to_bytes()), hex(&vector), "{name}");
        assert_eq!(M::from_bytes(&vector), Ok(value), "{name}");
    }

    /// Something with a codec of its own.
    fn same(&mut self, name: &str, written: &[u8]) -> Vec<u8> {
        let vector = self.next(name);
        assert_eq!(hex(written), hex(&vector), "{name}");
        vector
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = if hex == "-" { "" } else { hex };
    digits
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// DOSP-2, DOSP-9: every operation has a vector for its In and one for its Out.
#[test]
fn every_operation_has_its_vectors() {
    let vectors = Vectors::load();
    for (_, name) in ALL {
        for structure in ["in", "out"] {
            let name = format!("{name} {structure}");
            assert!(vectors.0.contains_key(name.as_str()), "{name}");
        }
    }
}

/// DOSP-2: a change of the layout is a change of the protocol.
#[test]
fn the_published_vectors_hold() {
    let mut vectors = Vectors::load();
    objects(&mut vectors);
    references(&mut vectors);
    watch(&mut vectors);
    elsewhere(&mut vectors);
    upkeep(&mut vectors);
    directory(&mut vectors);
    mirror(&mut vectors);
    announcements(&mut vectors);
    messages(&mut vectors);
    datagrams(&mut vectors);
    assert!(vectors.0.is_empty(), "not checked: {:?}", vectors.0.keys());
}

fn objects(vectors: &mut Vectors) {
    let named = StoreOut { size: SIZE, digest: DIGEST, fingerprint: Some(FINGERPRINT) };
    vectors.both_ways("store in", StoreIn { length: SIZE, copies: 2, name: true });
    vectors.both_ways("store out", named);
    vectors.both_ways("store out, without name", StoreOut { fingerprint: None, ..named });
    let retrieve = RetrieveIn { customer: Some(CUSTOMER), fingerprint: FINGERPRINT };
    vectors.both_ways("retrieve in", retrieve);
    vectors.both_ways("retrieve in, for repair", RetrieveIn { customer: None, ..retrieve });
    vectors.both_ways("retrieve head", RetrieveHead { content: CONTENT, length: 5 });
    vectors.both_ways("retrieve out", ());
    let range = RetrieveRangeIn { customer: Some(CUSTOMER), fingerprint: FINGERPRINT, offset: 7, length: 9 };
    vectors.both_ways("retrieve-range in", range);
    vectors.both_ways("retrieve-range head", RetrieveHead { content: CONTENT, length: 9 });
    vectors.both_ways("retrieve-range out", ());
    vectors.both_ways("get-contents in", GetContentsIn { after: Some(FINGERPRINT), limit: 10_000 });
    vectors.both_ways("get-contents in, from the start", GetContentsIn { after: None, limit: 1 });
    vectors.both_ways("get-contents head", GetContentsHead { length: 80 });
    vectors.both_ways("get-contents out", GetContentsOut { last: Some(OTHER) });
    vectors.both_ways("get-contents out, at the end", GetContentsOut { last: None });
    vectors.both_ways("locate in", LocateIn { ids: vec![FINGERPRINT, OTHER] });
    vectors.both_ways(
        "locate out",
        LocateOut { found: vec![Located { content: CONTENT, disk: 3, leaving: true }] },
    );
    vectors.both_ways("digests in", DigestsIn { customer: Some(CUSTOMER), fingerprint: FINGERPRINT });
    let list = [[0xb1; 32], [0xb2; 32]].concat().into();
    vectors.both_ways("digests out", DigestsOut { content: CONTENT, list });
}

fn references(vectors: &mut Vectors) {
    vectors.both_ways("delete in", DeleteIn { reference: REFERENCE });
    vectors.both_ways("delete out", ());
    let kept = |renewed| KeptReference { customer: CUSTOMER, token: TOKEN, renewed };
    let references = vec![kept(0), kept(RENEWED)];
    vectors.both_ways("keep in", KeepIn { content: CONTENT, references, replica: true });
    vectors.both_ways("keep out", KeepOut { disk: 3 });
    let hold = |purpose| HoldIn { content: CONTENT, customer: CUSTOMER, token: TOKEN, purpose, age: 0 };
    vectors.both_ways("hold in", HoldIn { age: 90, ..hold(Purpose::Add) });
    vectors.both_ways("hold in, keep", hold(Purpose::Keep));
    vectors.both_ways("hold in, restore", hold(Purpose::Restore));
    vectors.both_ways("hold out", HoldOut { held: true });
    vectors.both_ways("references in", ReferencesIn { after: Some(REFERENCE), limit: 1_000 });
    let held = Held { reference: REFERENCE, renewed: RENEWED };
    vectors.both_ways("references out", ReferencesOut { references: vec![held] });
    let row = RowReference { content: CONTENT, customer: CUSTOMER, token: TOKEN };
    vectors.both_ways("lacking in", LackingIn { rows: vec![row] });
    let rows = vec![Presence::Absent, Presence::Held, Presence::Lacking];
    vectors.both_ways("lacking out", LackingOut { rows });
    vectors.both_ways("release-orphan in", ReleaseOrphanIn { reference: REFERENCE, renewed_before: RENEWED });
    vectors.both_ways("release-orphan out", ReleaseOrphanOut { released: false });
}

fn heartbeat(address: &str) -> HeartbeatOut {
    HeartbeatOut {
        node: 11,
        roles: Roles { ddm: true, dosm: true, isn: true },
        address: address.parse().unwrap(),
        state: NodeState::Draining,
        lost_references: true,
        ops_per_second: 250,
        outstanding: 3,
        disks: vec![
            DiskLoad { state: DiskState::Online, bytes_free: 0x1000, bytes_total: 0x2000 },
            DiskLoad { state: DiskState::Down, bytes_free: 0, bytes_total: 0 },
        ],
    }
}

fn watch(vectors: &mut Vectors) {
    vectors.both_ways("null in", ());
    let roles = Roles { isn: true, ..Roles::default() };
    vectors.both_ways("null out", NullOut { version: 1, node: 11, roles });
    vectors.both_ways("heartbeat in", ());
    vectors.both_ways("heartbeat out", heartbeat("10.3.100.1:7400"));
    vectors.both_ways("heartbeat out, IPv6", heartbeat("[2001:db8::1]:7400"));
    vectors.both_ways("disk-state in", DiskIn { disk: Some(1) });
    vectors.both_ways("disk-state in, all", DiskIn { disk: None });
    let states = vec![DiskState::Online, DiskState::Offline, DiskState::Down];
    vectors.both_ways("disk-state out", DiskStateOut { states });
    vectors.both_ways("disk-status in", DiskIn { disk: Some(1) });
    vectors.both_ways(
        "disk-status out",
        DiskStatusOut {
            bytes_free: vec![11, 12],
            bytes_available: vec![21, 22],
            inodes_used: vec![31, 32],
            inodes_available: vec![41, 42],
            outstanding: vec![51, 52],
        },
    );
    vectors.both_ways("node-status in", ());
    let disk = DiskReport {
        path: "/disk1".to_owned(),
        state: DiskState::Offline,
        reason: "full".to_owned(),
        draining: true,
        bytes_free: 0x1000,
        bytes_total: 0x2000,
        objects: 7,
        quarantined: 1,
        scrub: Scrub { read: 5, damaged: 1, began: RENEWED, ended: 0x6400_0000 },
    };
    vectors.both_ways(
        "node-status out",
        NodeStatus {
            node: 11,
            roles: Roles { ddm: true, dosm: false, isn: true },
            state: NodeState::Online,
            version: "0.1.0".to_owned(),
            uptime_seconds: 60,
            ops_per_second: 250,
            outstanding: 3,
            lost_references: false,
            copies_owed: 4,
            copies_made: 9,
            copies_spare: 2,
            disks: vec![disk],
        },
    );
}

fn elsewhere(vectors: &mut Vectors) {
    vectors.both_ways("members in", ());
    let report = MemberReport { heartbeat: heartbeat("10.3.100.1:7400"), boot: 7, silent_ms: 900 };
    vectors.both_ways("members out", MembersOut { members: vec![report] });
    vectors.both_ways("find in", FindIn { fingerprint: FINGERPRINT });
    vectors.both_ways("find out", FindOut { places: vec![FoundPlace { node: 111, disk: 1 }] });
}

fn upkeep(vectors: &mut Vectors) {
    vectors.both_ways("verify in", VerifyIn { fingerprint: FINGERPRINT });
    vectors.both_ways("verify out", VerifyOut { good: 1, bad: 2 });
    vectors.both_ways("drain in", DrainIn { disk: Some(1), on: true });
    vectors.both_ways("drain out", ());
    vectors.both_ways("name in", ());
    vectors.both_ways("name out", NameOut { fingerprint: FINGERPRINT });
    vectors.both_ways("replicate in", ReplicateIn { fingerprint: FINGERPRINT, target: 12 });
    vectors.both_ways("replicate out", ());
    vectors.both_ways("entitled in", EntitledIn { customer: CUSTOMER, fingerprint: FINGERPRINT });
    vectors.both_ways("entitled out", EntitledOut { entitled: true });
    vectors.both_ways("scan in", ());
    vectors.both_ways("scan out", ScanOut { objects: 3, found: 2, lost: 1 });
    vectors.both_ways("restored in", ());
    vectors.both_ways("restored out", ());
}

fn mirror(vectors: &mut Vectors) {
    let center = || "north".to_owned();
    let generation = || Generation { number: 3, writer: "south".to_owned(), first: 7 };
    vectors.both_ways("directory-state in", ());
    vectors.both_ways(
        "directory-state out",
        DirectoryStateOut { center: center(), generation: generation(), position: 9, writes: true },
    );
    vectors.both_ways(
        "pull-directory in",
        PullDirectoryIn { center: center(), schema: 7, generation: generation(), durable: 8, after: 9 },
    );
    let entry = Entry { number: 10, more: true, rows: [0xab, 0xcd].into() };
    vectors.both_ways(
        "pull-directory out",
        PullDirectoryOut {
            start_over: None,
            position: 11,
            generations: vec![generation()],
            entries: vec![entry],
        },
    );
    vectors.both_ways(
        "pull-directory out, start over",
        PullDirectoryOut { start_over: Some(2), position: 11, generations: Vec::new(), entries: Vec::new() },
    );
    vectors.both_ways(
        "copy-directory in",
        CopyDirectoryIn { center: center(), schema: 7, copy: 5, offset: 4_096 },
    );
    vectors.both_ways(
        "copy-directory out",
        CopyDirectoryOut { copy: 5, length: 8_192, digest: [0xd1; 32], bytes: [1, 2, 3].into() },
    );
    vectors.both_ways("hand-over in", HandOverIn { to: center() });
    vectors.both_ways("hand-over out", HandOverOut { generation: generation() });
    vectors.both_ways("forward in", ForwardIn { customer: CUSTOMER, document: (*b"<vfs/>").into() });
    vectors.both_ways("forward out", ForwardOut { position: 12, document: (*b"<vfs/>").into() });
    vectors.both_ways("renew-lease in", RenewLeaseIn { center: center(), generation: 3, alone: true });
    let lease = || LeaseOut { granted_ms: 5_000, generation: 3, writer: center() };
    vectors.both_ways("renew-lease out", lease());
    vectors.both_ways("claim-lease in", ClaimLeaseIn { center: center(), generation: 2 });
    vectors.both_ways("claim-lease out", lease());
}

fn stamp() -> Stamp {
    Stamp { pair: PairName::parse("site-1").unwrap(), generation: protocol::pair::Generation(7) }
}

fn directory(vectors: &mut Vectors) {
    vectors.both_ways("access in", AccessIn { customer: CUSTOMER });
    let secret = Secret::new(b"0123456789abcdef".to_vec()).unwrap();
    let revoked = vec![Mark([0xab; 16])];
    vectors.both_ways("access out", AccessOut { secrets: vec![secret], revoked, pairs: vec![stamp()] });
    vectors.both_ways("access-news in", AccessNewsIn { since: 7 });
    vectors.both_ways("access-news out", AccessNewsOut { until: 8, customers: vec![CUSTOMER] });
    vectors.both_ways(
        "create-file in",
        CreateFileIn {
            asker: Asker { customer: CUSTOMER, stamp: Some(stamp()) },
            parent: ObjectId(0x0a0b_0c0d),
            name: Name::new("größe".as_bytes()).unwrap(),
            upload: UPLOAD,
        },
    );
    vectors.both_ways("create-file out", CreateFileOut { file: Ok(ObjectId(0x0a0b_0c0e)) });
    let taken = VfsError { code: VfsErrorCode::Exists, message: "taken".to_owned() };
    vectors.both_ways("create-file out, refused", CreateFileOut { file: Err(taken) });
    vectors.both_ways("give-up in", GiveUpIn { reference: REFERENCE, stamp: Some(stamp()) });
    vectors.both_ways("give-up out", GiveUpOut { outcome: Ok(()) });
    let away = VfsError { code: VfsErrorCode::Unavailable, message: String::new() };
    vectors.both_ways("give-up out, refused", GiveUpOut { outcome: Err(away) });
    let superseded = VfsError { message: String::new(), ..VfsError::superseded(stamp().generation) };
    vectors.both_ways("give-up out, superseded", GiveUpOut { outcome: Err(superseded) });
    vectors.both_ways("upload-page in", UploadPageIn { customer: CUSTOMER });
    vectors.both_ways("upload-page out", UploadPageOut { url: "https://site/done".to_owned() });
    vectors.both_ways("upload-page out, none", UploadPageOut { url: String::new() });
    vectors.both_ways("callback-hosts in", CallbackHostsIn { customer: CUSTOMER });
    vectors.both_ways("callback-hosts out", CallbackHostsOut { hosts: "pay.site site:8443".to_owned() });
    client_files(vectors);
}

fn client_files(vectors: &mut Vectors) {
    let (customer, file) = (CUSTOMER, ClientFile([0xf3; 16]));
    let refused = |code| VfsError { code, message: String::new() };
    vectors.both_ways(
        "store-client-file in",
        StoreClientFileIn { asker: customer.into(), file, upload: UPLOAD, replace: true },
    );
    vectors.both_ways("store-client-file out", StoreClientFileOut { outcome: Ok(()) });
    let outcome = Err(refused(VfsErrorCode::Exists));
    vectors.both_ways("store-client-file out, refused", StoreClientFileOut { outcome });
    vectors.both_ways("find-client-file in", FindClientFileIn { customer, file });
    vectors.both_ways("find-client-file out", FindClientFileOut { content: Ok(CONTENT) });
    let content = Err(refused(VfsErrorCode::NotFound));
    vectors.both_ways("find-client-file out, refused", FindClientFileOut { content });
    vectors
        .both_ways("delete-client-file in", DeleteClientFileIn { asker: customer.into(), file, key: TOKEN });
    vectors.both_ways("delete-client-file out", DeleteClientFileOut { outcome: Ok(()) });
}

fn announcements(vectors: &mut Vectors) {
    vectors.both_ways("new", New { content: CONTENT, node: 11, disk: 3 });
    vectors.both_ways("deleted", Deleted { fingerprint: FINGERPRINT });
    vectors.both_ways("updated", Updated { fingerprint: FINGERPRINT });
    vectors.both_ways("failed", Failed { node: 11 });
}

fn messages(vectors: &mut Vectors) {
    let input = VerifyIn { fingerprint: FINGERPRINT };
    let request = vectors.same("request of verify", &encode_request::<Verify>(ID, &input));
    let head = decode_request(&request).unwrap();
    assert_eq!((head.code, head.id, head.input::<Verify>()), (23, ID, Ok(input)));
    let outcome = Ok(VerifyOut { good: 1, bad: 2 });
    let reply = vectors.same("reply of verify", &encode_reply(ID, &outcome));
    assert_eq!(decode_reply::<VerifyOut>(&reply), Ok((ID, outcome)));
    for (word, status) in [
        ("not-found", Status::NotFound),
        ("unsupported", Status::Unsupported),
        ("unavailable", Status::Unavailable),
        ("no-space", Status::NoSpace),
        ("collision", Status::Collision),
        ("mismatch", Status::Mismatch),
        ("malformed", Status::Malformed),
        ("refused", Status::Refused),
    ] {
        let outcome = Err(Failure::new(status, "größe"));
        let reply = vectors.same(&format!("failure, {word}"), &encode_reply::<()>(ID, &outcome));
        assert_eq!(decode_reply::<()>(&reply), Ok((ID, outcome)));
    }

    let header = StoreHeader::of(b"123456789", false);
    let bytes = vectors.same("chunk header", &header.encode());
    assert_eq!(StoreHeader::decode(bytes.first_chunk().unwrap()), Ok(header));
    let header = StoreHeader::of(b"", true);
    let bytes = vectors.same("chunk header, last and empty", &header.encode());
    assert_eq!(StoreHeader::decode(bytes.first_chunk().unwrap()), Ok(header));

    let offer = Offer { lowest: 1, highest: 2 };
    let bytes = vectors.same("offer", &offer.encode());
    assert_eq!(Offer::decode(bytes.first_chunk().unwrap()), Ok(offer));
    let bytes = vectors.same("chosen", &Chosen(1).encode());
    assert_eq!(Chosen::decode(bytes.first_chunk().unwrap(), &offer), Ok(Chosen(1)));
}

/// MC-1, MC-10: header, body, tag; and the keys.
fn datagrams(vectors: &mut Vectors) {
    let key = ClusterKey::new(std::array::from_fn(|at| at as u8));
    vectors.same("session key", &key.session_key("main"));
    let key = key.datagram_key("main");
    let mut datagram = |name: &str, kind, code, body: Vec<u8>| {
        let (boot, sent_ms) = (0x18bc_fe56_8000, 0x18bc_fe56_9000);
        let header = Header { kind, code, sender: 11, boot, sequence: 42, sent_ms };
        let bytes = vectors.same(name, &datagram::encode(&key, &header, &body).unwrap());
        assert_eq!(datagram::decode(&key, &bytes), Ok((header, &body[..])), "{name}");
    };
    let locate = LocateIn { ids: vec![FINGERPRINT] };
    datagram("datagram, request of locate", Kind::Request, 18, locate.to_bytes());
    let found = LocateOut { found: vec![Located { content: CONTENT, disk: 3, leaving: true }] };
    datagram("datagram, reply of locate", Kind::Reply, 18, encode_reply(42, &Ok(found)));
    let deleted = Deleted { fingerprint: FINGERPRINT };
    datagram("datagram, announcement of deleted", Kind::Announce, 65, deleted.to_bytes());
}
