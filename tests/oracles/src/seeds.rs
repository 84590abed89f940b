//! Valid inputs for each oracle, for fuzzing to begin with.

mod dosp;
mod failover;

use appliance::fuzz::journal::{self as log, Change};
use appliance::journal::{FileKey, Lsn};
use nfs::nsm::ledger::{Client, Record, Remembered};
use nfs::v3::procedure;
use nfs::xdr::Encoder;
use protocol::digest::{Content, Fingerprint, ObjectHasher};
use protocol::id::{ClientFile, CustomerId, FeedPosition, ObjectId, Timestamp, Token, VersionId};
use protocol::metadata::UnixMetadata;
use protocol::name::Name;
use protocol::pair::{Generation, LeaseAnswer, LeaseQuestion, Member, PairName, Stamp};
use protocol::srl::{AccessMethod, ObjectName, Secret, SrlKind, SrlOperation, SrlRequest, SrlVersion};
use protocol::vfs::xml::{Stored, encode_error, encode_replies, encode_requests, encode_stored};
use protocol::vfs::{
    Answer, Answered, Before, Body, Change as FeedChange, Changed, Existing, FolderChange, Kind, Operation,
    Request, Row, Target, Upload, Usage, Version, Versioned, VfsError, VfsErrorCode, Why,
};

use crate::nfs::XID;

/// The seeds of a target; none for a name that is no target.
pub fn of(target: &str) -> Vec<Vec<u8>> {
    match target {
        "nfs_record" => records(),
        "nfs_rpc" => rpc(),
        "nfs_v3" => v3(),
        "nfs_mount" => mount(),
        "nfs_rpcbind" => rpcbind(),
        "nfs_rpcbind_reply" => vec![[&9u32.to_le_bytes()[..], &words(&[9, 1, 0, 0, 0, 0, 1])].concat()],
        "nfs_locks" => locks(),
        "lock_reply" => vec![words(&[XID, 1, 0, 0, 0, 0, 4, 42, 0])],
        "lock_ledger" => vec![ledger()],
        "vfs_requests" => requests(),
        "vfs_replies" => replies(),
        "vfs_documents" => vec![
            encode_error("not-found", None, "no such <file>"),
            encode_stored(&Stored { content: content(), token: Token([7; 16]), file: Some(ObjectId(9)) }),
        ],
        "srl" => srls(),
        "metadata" => metadata(),
        "block_digests" => block_digests(),
        "dosp_request" => dosp::requests(),
        "dosp_reply" => dosp::replies(),
        "dosp_datagram" => dosp::datagrams(),
        "judge_datagram" => failover::datagrams(),
        "journal_record" => changes().into_iter().map(record).collect(),
        "journal_replay" => vec![
            // No damage; Begin, Write, Seal, Write of file 0; a new segment; Finish.
            journal(0, &[0, 1, 5, 1, 0xf0, 6]),
            journal(0, &[0, 1, 2, 3, 4, 7, 8, 0, 1]),
            journal(1, &[0, 10, 19, 0xf0, 1, 1]),
        ],
        "directory_snapshot" => vec![snapshot()],
        "cache_index" => vec![
            [&[1, 0, 0, 0, 5, 0, 0, 0][..], &[3; 16], &[0, 0, 16, 0]].concat(),
            [&[2, 0, 0, 0, 5, 0, 0, 0][..], &[3; 16], &[0; 4]].concat(),
        ],
        "handle" => vec![(0..32).collect(), vec![1; 64]],
        _ => Vec::new(),
    }
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn encoded(encode: impl FnOnce(&mut Encoder)) -> Vec<u8> {
    let mut out = Encoder::new();
    encode(&mut out);
    out.into_bytes()
}

/// Limits and cut, then two records, the first in two fragments.
fn records() -> Vec<Vec<u8>> {
    let stream = encoded(|out| {
        out.u32s([4, 1, 0x8000_0004, 2, 0x8000_0008, 3, 4]);
    });
    vec![[&[100, 0, 4, 5][..], &stream].concat(), vec![100, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0]]
}

fn call(programs: u8, header: [u32; 3], arguments: &[u8]) -> Vec<u8> {
    let [program, version, procedure] = header;
    let record = encoded(|out| {
        out.u32s([77, 0, 2, program, version, procedure, 1]);
        // stamp, machine "ab", uid 1000, gid 100, groups 4 and 20
        out.opaque(&words(&[5, 2, u32::from_be_bytes(*b"ab\0\0"), 1_000, 100, 2, 4, 20]));
        out.u32s([0, 0]);
    });
    [&[programs][..], &record, arguments].concat()
}

fn rpc() -> Vec<Vec<u8>> {
    let root = encoded(|out| out.opaque(&100u64.to_be_bytes()));
    let path = encoded(|out| out.opaque(b"/export"));
    vec![
        call(0, [100_003, 3, procedure::NULL], &[]),
        call(0, [100_003, 3, procedure::GETATTR], &root),
        call(1, [100_005, 3, 1], &path),
        call(2, [100_000, 2, 3], &words(&[100_003, 3, 6, 0])),
        call(0, [100_003, 4, 0], &[]),
        [&[0][..], &words(&[77, 0, 3])].concat(),
        [&[0][..], &words(&[77, 1, 0])].concat(),
    ]
}

/// One call of `nfs_v3`: procedure, handle of the object (1: the root), other arguments.
fn step(procedure: u32, object: u8, encode: impl FnOnce(&mut Encoder)) -> Vec<u8> {
    let arguments = encoded(encode);
    let len = (arguments.len() as u16).to_le_bytes();
    [&[procedure as u8, 0x40 | object][..], &len, &arguments].concat()
}

/// `sattr3` that sets mode and size.
fn attributes(out: &mut Encoder) {
    out.u32s([1, 0o644, 0, 0, 1, 0, 3, 0, 0]);
}

/// `sattr3` that sets nothing.
fn no_attributes(out: &mut Encoder) {
    out.u32s([0; 6]);
}

fn v3() -> Vec<Vec<u8>> {
    use procedure::*;
    // Objects in order of id: 1 and 2 the roots, 3 and on what is made.
    let create = || {
        step(CREATE, 1, |out| {
            out.opaque(b"file");
            out.u32(0);
            attributes(out);
        })
    };
    let write = step(WRITE, 3, |out| {
        out.u64(5);
        out.u32s([4, 2]);
        out.opaque(b"data");
    });
    let read = step(READ, 3, |out| {
        out.u64(0);
        out.u32(100);
    });
    let commit = step(COMMIT, 3, |out| {
        out.u64(0);
        out.u32(0);
    });
    let setattr = step(SETATTR, 3, |out| {
        attributes(out);
        out.u32s([1, 1_000_000_000, 1_000]);
    });
    let times = step(SETATTR, 3, |out| out.u32s([0, 0, 0, 0, 1, 2, 5, 6, 0]));
    let name = |procedure, name: &'static [u8]| step(procedure, 1, |out| out.opaque(name));
    let mkdir = step(MKDIR, 1, |out| {
        out.opaque(b"dir");
        no_attributes(out);
    });
    let exclusive = step(CREATE, 1, |out| {
        out.opaque(b"once");
        out.u32(2);
        out.array(&[9; 8]);
    });
    let symlink = step(SYMLINK, 1, |out| {
        out.opaque(b"link");
        no_attributes(out);
        out.opaque(b"../file");
    });
    let mknod = step(MKNOD, 1, |out| {
        out.opaque(b"fifo");
        out.u32(7);
        no_attributes(out);
    });
    let device = step(MKNOD, 1, |out| {
        out.opaque(b"disk");
        out.u32(3);
        no_attributes(out);
        out.u32s([8, 1]);
    });
    let rename = step(RENAME, 1, |out| {
        out.opaque(b"file");
        out.opaque(&100u64.to_be_bytes());
        out.opaque(b"other");
    });
    let link = step(LINK, 3, |out| {
        out.opaque(&100u64.to_be_bytes());
        out.opaque(b"hard");
    });
    let readdir = step(READDIR, 1, |out| {
        out.u64(0);
        out.array(&[0; 8]);
        out.u32(512);
    });
    let readdirplus = step(READDIRPLUS, 1, |out| {
        out.u64(0);
        out.array(&[0; 8]);
        out.u32s([512, 4_096]);
    });
    let plain = |procedure| step(procedure, 1, |_| ());
    vec![
        [create(), write, commit, read, setattr, times].concat(),
        [mkdir.clone(), exclusive.clone(), exclusive, symlink, step(READLINK, 5, |_| ()), mknod, device]
            .concat(),
        [create(), name(LOOKUP, b"file"), rename, name(LOOKUP, b"other"), link, name(REMOVE, b"other")]
            .concat(),
        [mkdir, create(), readdir, readdirplus, name(RMDIR, b"dir"), name(LOOKUP, b"..")].concat(),
        [plain(NULL), plain(GETATTR), plain(FSSTAT), plain(FSINFO), plain(PATHCONF)].concat(),
        step(ACCESS, 1, |out| out.u32(0x3f)),
    ]
}

/// One call of the targets for small programs: index of program and version, procedure, arguments.
fn program_call(choice: u8, procedure: u8, arguments: &[u8]) -> Vec<u8> {
    [&[choice, procedure][..], &(arguments.len() as u16).to_le_bytes(), arguments].concat()
}

fn mount() -> Vec<Vec<u8>> {
    let path = |text: &[u8]| encoded(|out| out.opaque(text));
    let mount = || program_call(0, 1, &path(b"/export/"));
    let rest = [program_call(0, 2, &[]), program_call(1, 5, &[]), program_call(0, 3, &path(b"/export"))];
    vec![
        [mount(), rest.concat()].concat(),
        [mount(), program_call(2, 4, &[]), program_call(0, 2, &[])].concat(),
    ]
}

fn rpcbind() -> Vec<Vec<u8>> {
    let ask = encoded(|out| {
        out.u32s([100_003, 3]);
        out.opaque(b"tcp");
        out.opaque(b"192.0.2.7.8.1");
        out.opaque(b"");
    });
    let version_2 = [program_call(0, 3, &words(&[100_003, 3, 6, 0])), program_call(0, 4, &[])];
    let later = [program_call(1, 3, &ask), program_call(2, 9, &ask), program_call(2, 11, &ask)];
    let plain = [program_call(2, 4, &[]), program_call(1, 6, &[]), program_call(0, 1, &words(&[7, 1, 6, 9]))];
    vec![version_2.concat(), later.concat(), plain.concat()]
}

/// `nlm4_lock` on the root, for a process of a client.
fn lock(out: &mut Encoder, svid: u32, offset: u64, len: u64) {
    out.opaque(b"client");
    out.opaque(&100u64.to_be_bytes());
    out.opaque(b"7@client");
    out.u32(svid);
    out.u64(offset);
    out.u64(len);
}

fn locks() -> Vec<Vec<u8>> {
    const COOKIE: &[u8] = &[0, 0, 0, 42];
    let take = |procedure, svid, block| {
        let arguments = encoded(|out| {
            out.opaque(COOKIE);
            out.bool(block);
            out.bool(true);
            lock(out, svid, 5, 10);
            out.u32s([0, 3]);
        });
        program_call(0, procedure, &arguments)
    };
    let test = encoded(|out| {
        out.opaque(COOKIE);
        out.bool(false);
        lock(out, 8, 0, 0);
    });
    let unlock = encoded(|out| {
        out.opaque(COOKIE);
        lock(out, 7, 7, 2);
    });
    let cancel = encoded(|out| {
        out.opaque(COOKIE);
        out.u32s([1, 1]);
        lock(out, 8, 5, 10);
    });
    let share = encoded(|out| {
        out.opaque(COOKIE);
        out.opaque(b"client");
        out.opaque(&100u64.to_be_bytes());
        out.opaque(b"7@client");
        out.u32s([2, 1, 0]);
    });
    let named = encoded(|out| {
        out.opaque(b"client");
        out.u32(3);
    });
    let stat = encoded(|out| out.opaque(b"client"));
    vec![
        [take(2, 7, false), take(2, 8, true), program_call(0, 1, &test), program_call(0, 4, &unlock)]
            .concat(),
        [take(22, 7, false), take(2, 8, true), program_call(0, 3, &cancel), program_call(0, 23, &named)]
            .concat(),
        [program_call(0, 20, &share), program_call(0, 21, &share), program_call(0, 5, &test)].concat(),
        [take(2, 7, false), program_call(1, 6, &named), program_call(1, 1, &stat)].concat(),
    ]
}

/// A ledger without its checksum: one client.
fn ledger() -> Vec<u8> {
    let local = [192, 0, 2, 1].into();
    let client = Client { address: [192, 0, 2, 7].into(), name: (*b"client").into() };
    let mut bytes = Record { state: 7, clients: vec![Remembered { client, local }] }.to_bytes();
    bytes.truncate(bytes.len() - 32);
    bytes
}

fn content() -> Content {
    let mut hasher = ObjectHasher::new();
    hasher.update(b"contents");
    hasher.finish().0
}

fn name() -> Name {
    Name::new("größe & <1>.jpg".as_bytes()).unwrap()
}

fn requests() -> Vec<Vec<u8>> {
    let (id, parent, metadata) = (ObjectId(102), ObjectId(100), b"unix/1 mode=0644".to_vec());
    let upload = Some(Upload { content: content(), token: Token([7; 16]) });
    let by_name = Target::Name(parent, name());
    let operations = [
        Operation::OpenRoot,
        Operation::OpenFolder { folder: parent, after: Some(id), limit: 500, srl_expires: Some(0) },
        Operation::Open { target: by_name.clone(), srl_expires: None },
        Operation::CreateFolder { parent, name: name(), metadata: metadata.clone() },
        Operation::CreateFile {
            parent,
            name: name(),
            metadata: metadata.clone(),
            upload,
            existing: Existing::Open,
        },
        Operation::Move { target: by_name, kind: Some(Kind::File), parent, name: name(), replace: true },
        Operation::Delete { target: Target::Id(id), kind: Kind::Folder, recursive: true },
        Operation::Update {
            id,
            if_version: Some(3),
            metadata: Some(metadata),
            modified: Some(Timestamp(-5)),
            changed: Some(Timestamp(6)),
            upload,
        },
        Operation::Usage,
        Operation::Changes { since: FeedPosition(9), wait_ms: 25_000 },
        lease(LeaseQuestion::Acquire { from: Generation(6), renewals: Some(12), lease_ms: 300 }),
        lease(LeaseQuestion::Renew { generation: Generation(7), lease_ms: 300 }),
        lease(LeaseQuestion::Release { generation: Generation(7), renewals: Some(12) }),
        lease(LeaseQuestion::Ping),
        Operation::Versions { of: Versioned::Name(parent, name()), after: Some(VersionId(6)), limit: 500 },
        Operation::Versions { of: Versioned::Id(id), after: None, limit: 1 },
        Operation::Restore { version: VersionId(7), parent: Some(parent), name: Some(name()), replace: true },
    ];
    let request = |operation| Request { key: Some(Token([5; 16])), operation };
    let mut documents: Vec<_> = operations
        .iter()
        .cloned()
        .map(|operation| encode_requests(&[Request { key: None, operation }], None))
        .collect();
    let stamp = Stamp { pair: pair(), generation: Generation(7) };
    documents.push(encode_requests(&operations.map(request), Some(&stamp)));
    documents
}

fn pair() -> PairName {
    PairName::parse("site-1").unwrap()
}

fn lease(question: LeaseQuestion) -> Operation {
    Operation::PortLease { pair: pair(), member: Member::A, question }
}

fn row(id: u64, body: Body) -> Row {
    Row {
        id: ObjectId(id),
        parent: Some(ObjectId(100)),
        name: Some(name()),
        version: 3,
        created: Timestamp(1),
        modified: Timestamp(2),
        changed: Timestamp(3),
        metadata: b"unix/1 mode=0644".to_vec(),
        body,
        srl: Some("/MS8x/abc/name".to_owned()),
    }
}

fn replies() -> Vec<Vec<u8>> {
    let file = row(101, Body::File { content: content() });
    let root = Row { parent: None, name: None, srl: None, ..row(100, Body::Folder { subfolders: 2 }) };
    let before = Before { version: 2, size: 8, modified: Timestamp(1), changed: Timestamp(2) };
    let deleted = Row { srl: None, ..file.clone() };
    let version = Version { id: VersionId(7), why: Why::Deleted, at: Timestamp(4), row: deleted };
    let change = FeedChange { position: FeedPosition(4), id: ObjectId(101), version: Some(3) };
    let answers = [
        Answer::Row(root.clone()),
        Answer::Folder { folder: root.clone(), entries: vec![file.clone(), file.clone()], more: true },
        Answer::Changed(Changed {
            row: Some(file),
            before: Some(before),
            created: true,
            removed: Some(ObjectId(99)),
            folders: vec![FolderChange { before, after: root }],
        }),
        Answer::Usage(Usage {
            bytes_used: 1,
            files_used: 2,
            bytes_quota: Some(3),
            files_quota: None,
            bytes_free: 4,
        }),
        Answer::Changes {
            changes: vec![change, FeedChange { version: None, ..change }],
            position: FeedPosition(5),
            reset: false,
        },
        Answer::Lease(LeaseAnswer::Granted { generation: Generation(7), lease_ms: 300, renewals: 12 }),
        Answer::Lease(LeaseAnswer::Held { generation: Generation(7), renewals: 12, lease_ms: 300 }),
        Answer::Lease(LeaseAnswer::Superseded { generation: Generation(8) }),
        Answer::Lease(LeaseAnswer::Released),
        Answer::Lease(LeaseAnswer::InForce { generation: Generation(7) }),
        Answer::Versions { versions: vec![version], more: true },
    ];
    let error = VfsError { code: VfsErrorCode::NotEmpty, message: "the folder has <entries>".to_owned() };
    let mut documents: Vec<_> = answers
        .into_iter()
        .map(|answer| encode_replies(&[Ok(Answered { position: FeedPosition(9), answer })]))
        .collect();
    documents.push(encode_replies(&[Err(error)]));
    documents.push(encode_replies(&[Err(VfsError::superseded(Generation(8)))]));
    documents
}

fn srls() -> Vec<Vec<u8>> {
    let secret = Secret::new(b"0123456789abcdef".to_vec()).unwrap();
    let object = ObjectName::Content(Fingerprint([0xab; 16]));
    let fingerprint = Fingerprint([0xcd; 16]);
    let file = ClientFile([0xef; 16]);
    let operations = [
        SrlOperation::NoOp,
        SrlOperation::Store { parent: ObjectId(100) },
        SrlOperation::Fetch { object: object.clone() },
        SrlOperation::Fetch { object: ObjectName::ClientFile(file) },
        SrlOperation::FetchAuth { object, callback: "http://a.example/?b=c/d".to_owned() },
        SrlOperation::FetchDigests { fingerprint },
        SrlOperation::Delete { object: ObjectName::Content(fingerprint) },
        SrlOperation::Control { ticket: "0123456789abcdef".to_owned() },
        SrlOperation::StoreClientFile { file, replace: true },
    ];
    let versions = [SrlVersion::Md5, SrlVersion::HmacSha256];
    let signed = operations.into_iter().enumerate().map(|(number, operation)| {
        let request = SrlRequest {
            kind: SrlKind::Standard,
            version: versions[number % 2],
            expires: 1_800_000_000,
            access: AccessMethod::StoragePort,
            customer: CustomerId(1),
            operation,
        };
        request.sign(&secret).path(name().as_bytes()).into_bytes()
    });
    signed.chain([b"1/1/1800000000/2/1/32/abababababababababababababababab.MD5".to_vec()]).collect()
}

fn metadata() -> Vec<Vec<u8>> {
    let full = UnixMetadata {
        mode: 0o4755,
        uid: 1_000,
        gid: 100,
        accessed: Timestamp(-1),
        symlink: Some(b"../a b".to_vec()),
        born: Some(Timestamp(-2)),
        marks: Some(0x2002),
        create_verifier: Some([9; 8]),
    };
    vec![full.encode(), b"name".to_vec(), "ab".repeat(16).into_bytes(), "CD".repeat(32).into_bytes()]
}

/// Size and block unshifted, the root, and the list of an object of two blocks.
fn block_digests() -> Vec<Vec<u8>> {
    let mut hasher = ObjectHasher::new();
    hasher.update(&vec![5; (1 << 20) + 1]);
    let (content, digests) = hasher.finish();
    let numbers = [&content.size.to_le_bytes()[..], &[0], &1u64.to_le_bytes(), &[0]].concat();
    vec![[&numbers, &content.digest.0[..], &digests.as_bytes()].concat()]
}

fn changes() -> Vec<Change<'static>> {
    let base = appliance::journal::Base { content: content(), version: 4 };
    let token = Token([7; 16]);
    vec![
        Change::Begin(base),
        Change::Write { offset: 4_096, data: b"bytes" },
        Change::Truncate(9),
        Change::Times(Timestamp(5)),
        Change::Version(6),
        Change::Seal(token),
        Change::Finish(token, base),
        Change::Rebase(base),
        Change::Drop,
    ]
}

fn record(change: Change<'_>) -> Vec<u8> {
    let file = FileKey { customer: CustomerId(1), file: ObjectId(101) };
    log::encode(&log::Record { lsn: Lsn(9), file, time: Timestamp(8), change })
}

/// An input of `journal_replay`: so many damages at the start, then one record of each kind for file 0.
fn journal(damage: u8, kinds: &[u8]) -> Vec<u8> {
    let mut bytes = vec![damage];
    (0..damage).for_each(|_| bytes.extend([0, 70, 0, 1]));
    // No cut; the first number.
    bytes.extend([0, 0, 1]);
    for kind in kinds {
        // File 0, time, a number that stays small, version 1, token 1, and what a write of this kind takes.
        bytes.extend([*kind, 0, 5, 0]);
        bytes.extend(100u64.to_le_bytes());
        bytes.extend([0, 1, 1]);
        if kind % 9 == 1 {
            bytes.extend(vec![0x77; usize::from(*kind)]);
        }
    }
    bytes
}

/// A snapshot without its checksum: a root with one file, and a listing of both.
fn snapshot() -> Vec<u8> {
    let mut out = b"SPDIR\0\0\x01".to_vec();
    out.extend(1u32.to_le_bytes());
    let numbers = |out: &mut Vec<u8>, numbers: &[u64]| {
        numbers.iter().for_each(|number| out.extend(number.to_le_bytes()));
    };
    numbers(&mut out, &[9, 100, 1, 100, 0, 0, 4, 1, 2, 3, 0]);
    out.push(0);
    numbers(&mut out, &[1, 1, 100, 4, 1, 0]);
    out.push(1);
    numbers(&mut out, &[1, 101]);
    out
}
