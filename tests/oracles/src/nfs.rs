//! What strangers send to the NFS front end.

use std::io::{self, Cursor};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use nfs::filesystem::Time;
use nfs::fuzz::{Door, Programs};
use nfs::memory::MemoryFilesystem;
use nfs::nsm::ledger::{self, Ledger};
use nfs::record::{MARK_BYTES, Record, RecordError, RecordReader, Step};
use nfs::server::Addresses;
use nfs::xdr::{Decoder, Encoder};
use nfs::{mount, nlm, nsm, rpc, rpcbind, v3};
use nfs3_types::mount as mount_types;
use nfs3_types::nfs3::*;
use nfs3_types::xdr_codec::Unpack;
use tokio::runtime::{Builder, Runtime};

use crate::input::Input;

/// Calls of one input: enough to make something and come back to it.
const CALLS_MAX: usize = 24;
/// What any reply may take without having said so beforehand.
const SMALL_REPLY_BYTES: usize = 8 << 10;
/// First object id of the file system in memory: the root of its first export.
const FIRST_ID: u64 = 100;
/// Transaction id of all calls made here.
pub(crate) const XID: u32 = 0x5eed;

/// Wherever a stream is cut, the same records come out of it and the same error ends it; no record and no wish for
/// memory is beyond the limit.
pub fn record_marking(data: &[u8]) {
    let mut input = Input::new(data);
    let bytes_max = usize::from(input.u16()) % 5_000;
    let fragments_max = usize::from(input.byte()) % 8;
    let cut = usize::from(input.byte()).max(1);
    let stream = input.rest();
    let whole = records(stream, bytes_max, fragments_max, usize::MAX);
    assert_eq!(records(stream, bytes_max, fragments_max, cut), whole);
    assert_eq!(records(stream, bytes_max, fragments_max, 1), whole);
}

fn records(
    stream: &[u8],
    bytes_max: usize,
    fragments_max: usize,
    cut: usize,
) -> (Vec<Vec<u8>>, Option<RecordError>) {
    let mut reader = RecordReader::new(bytes_max, fragments_max);
    let (mut input, mut found) = (BytesMut::new(), Vec::new());
    for part in stream.chunks(cut.min(stream.len()).max(1)) {
        input.extend_from_slice(part);
        loop {
            let before = input.len();
            match reader.step(&mut input) {
                Ok(Step::Record(record)) => {
                    assert!(record.len() <= bytes_max && input.len() + MARK_BYTES <= before);
                    found.push(record.to_vec());
                    reader.give_back(record);
                }
                Ok(Step::Wanted { buffer, record }) => {
                    assert!(buffer > input.len() && buffer <= bytes_max + MARK_BYTES);
                    assert!(record <= 2 * bytes_max + MARK_BYTES);
                    break;
                }
                Err(error) => return (found, Some(error)),
            }
        }
    }
    (found, None)
}

/// Any record at all, at every kind of socket.
pub fn any_record(data: &[u8]) {
    let mut input = Input::new(data);
    let programs = match input.byte() % 3 {
        0 => Programs::NfsAndMount,
        1 => Programs::Mount,
        _ => Programs::Rpcbind,
    };
    let record = input.rest();
    let reply = Server::new().answer(programs, record);
    let is_call = record.len() >= 8 && record[4..8] == [0; 4];
    assert_eq!(reply.is_some(), is_call, "calls are answered, and nothing else");
    if let Some(reply) = reply {
        let xid = u32::from_be_bytes(record[..4].try_into().unwrap());
        check_reply(&reply, xid);
    }
}

/// Calls of NFS version 3, one after the other on one file system. For each: the procedure, who asks and which handle
/// comes first, the length of the other arguments, and these.
pub fn v3(data: &[u8]) {
    let mut input = Input::new(data);
    let server = Server::new();
    for _ in 0..CALLS_MAX {
        if input.is_empty() {
            return;
        }
        let procedure = u32::from(input.byte()) % 23;
        let choice = input.byte();
        let len = usize::from(input.u16()) % 1_024;
        let mut call = header(v3::PROGRAM, v3::VERSION, procedure, choice >> 6);
        // The handles of the first objects are worth trying first; 0 leaves the handle to the arguments.
        if let object @ 1.. = choice & 0x0f {
            call.opaque(&(FIRST_ID - 1 + u64::from(object)).to_be_bytes());
        }
        call.raw(input.take(len));
        if let Some(results) = server.call(Programs::NfsAndMount, call) {
            check_v3(procedure, &results);
        }
    }
}

/// Calls of MOUNT.
pub fn mount(data: &[u8]) {
    let programs = [3, 1, 2, 0, 4].map(|version| (mount::PROGRAM, version));
    calls(data, &programs, 8, Programs::Mount, |_, procedure, results| match procedure {
        1 => decoded::<mount_types::mountres3<'_>>(results),
        2 => decoded::<mount_types::mountlist<'_, '_>>(results),
        5 => decoded::<mount_types::exports<'_, '_>>(results),
        _ => assert!(results.is_empty()),
    });
}

/// Calls of rpcbind.
pub fn rpcbind(data: &[u8]) {
    let programs = [2, 3, 4, 1, 5].map(|version| (rpcbind::PROGRAM, version));
    calls(data, &programs, 14, Programs::Rpcbind, |_, _, _| ());
}

/// Calls of the lock manager and the status monitor, one after the other, on the files of [`v3`].
pub fn locks(data: &[u8]) {
    let programs = [(nlm::PROGRAM, 4), (nsm::PROGRAM, 1), (nlm::PROGRAM, 3), (nsm::PROGRAM, 2)];
    calls(data, &programs, 25, Programs::Mount, |program, procedure, results| {
        let mut results = Decoder::new(results);
        match (program, procedure) {
            (nlm::PROGRAM, 1..=5 | 20..=22) => {
                results.opaque(nlm::wire::NETOBJ_BYTES_MAX).unwrap();
                let status = results.u32().unwrap();
                assert!(status <= 9, "nlm4_stats {status}");
                match (procedure, status) {
                    (1, 1) => {
                        results.bool().unwrap();
                        results.u32().unwrap();
                        results.opaque(nlm::wire::NETOBJ_BYTES_MAX).unwrap();
                        results.u64().unwrap();
                        results.u64().unwrap();
                    }
                    (20 | 21, _) => assert_eq!(results.u32(), Ok(0)),
                    _ => {}
                }
            }
            (nsm::PROGRAM, 1 | 2) => assert!(results.u32() == Ok(1) && results.u32().is_ok()),
            (nsm::PROGRAM, 3 | 4) => assert!(results.u32().is_ok()),
            _ => {}
        }
        assert_eq!(results.end(), Ok(()));
    });
}

/// What a client, or somebody in its place, answers when it is told of a lock.
pub fn lock_reply(data: &[u8]) {
    let mut reply = Decoder::new(data);
    if rpc::decode_success(&mut reply, XID).is_err() {
        return;
    }
    assert_eq!(data[..8], [XID.to_be_bytes(), [0, 0, 0, 1]].concat());
    if let Ok((cookie, status)) = nlm::wire::decode_result(&mut reply) {
        let mut again = Encoder::new();
        nlm::wire::encode_result(&mut again, cookie, status);
        let again = again.into_bytes();
        assert_eq!(nlm::wire::decode_result(&mut Decoder::new(&again)), Ok((cookie, status)));
    }
}

/// The list of clients with locks, as it is and with a right checksum.
pub fn lock_ledger(data: &[u8]) {
    let with_checksum = [data, blake3::hash(data).as_bytes()].concat();
    for bytes in [data, &with_checksum] {
        if let Some(record) = ledger::Record::from_bytes(bytes) {
            assert_eq!(ledger::Record::from_bytes(&record.to_bytes()), Some(record));
        }
    }
}

/// Calls, each of a program and version by its index.
fn calls(
    data: &[u8],
    choices: &[(u32, u32)],
    procedures: u32,
    programs: Programs,
    check: impl Fn(u32, u32, &[u8]),
) {
    let mut input = Input::new(data);
    let server = Server::new();
    for _ in 0..CALLS_MAX {
        if input.is_empty() {
            return;
        }
        let (program, version) = choices[usize::from(input.byte()) % choices.len()];
        let procedure = u32::from(input.byte()) % procedures;
        let len = usize::from(input.u16()) % 1_200;
        let mut call = header(program, version, procedure, 1);
        call.raw(input.take(len));
        if let Some(results) = server.call(programs, call) {
            check(program, procedure, &results);
        }
    }
}

/// What another rpcbind, or somebody in its place, answers to a registration.
pub fn rpcbind_reply(data: &[u8]) {
    let mut input = Input::new(data);
    let xid = input.u32();
    let reply = input.rest();
    if nfs::fuzz::rpcbind_reply(reply, xid).is_some() {
        assert_eq!(reply[..8], [xid.to_be_bytes(), [0, 0, 0, 1]].concat());
        assert_eq!(nfs::fuzz::rpcbind_reply(reply, xid.wrapping_add(1)), None, "another call's reply");
    }
}

thread_local! {
    /// For the ledger's disk, where there is none.
    static RUNTIME: Runtime = Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
}

/// A ledger that keeps nothing.
#[derive(Debug)]
struct Forgetful;

impl Ledger for Forgetful {
    fn load(&self) -> io::Result<ledger::Record> {
        Ok(ledger::Record::default())
    }

    fn store(&self, _record: &ledger::Record) -> io::Result<()> {
        Ok(())
    }
}

struct Server(Door<MemoryFilesystem>);

impl Server {
    fn new() -> Self {
        let start = Time { seconds: 1_000_000_000, nanos: 0 };
        let filesystem = MemoryFilesystem::new(&["/export", "/SRL"], start).with_file_bytes_max(1 << 20);
        let nfs = vec!["192.0.2.1:2049".parse().unwrap(), "[2001:db8::1]:2049".parse().unwrap()];
        let rpcbind = vec!["0.0.0.0:111".parse().unwrap()];
        let locks = nlm::Settings {
            grace: Duration::ZERO,
            limits: nlm::Limits { locks: 8, waiting: 4, clients: 4, ..nlm::Limits::default() },
            ..nlm::Settings::new(Arc::new(Forgetful))
        };
        let addresses = Addresses { mount: nfs.clone(), nfs, rpcbind };
        Self(Door::new(filesystem, 16, Some(&locks), &addresses).unwrap())
    }

    fn answer(&self, programs: Programs, record: &[u8]) -> Option<Vec<u8>> {
        // As connections have it: small ones are copied, the others are part of what was received.
        let record = match record.len() {
            ..4_096 => Record::Copied(record.to_vec()),
            _ => Record::Received(Bytes::copy_from_slice(record)),
        };
        let call = self.0.answer(programs, &record);
        let (bytes_max, reply) = RUNTIME.with(|runtime| runtime.block_on(call));
        let len = reply.as_ref().map_or(0, Vec::len);
        assert!(len <= SMALL_REPLY_BYTES + bytes_max, "a reply of {len} bytes that said {bytes_max}");
        reply
    }

    /// The results of a call that is carried out.
    fn call(&self, programs: Programs, call: Encoder) -> Option<Vec<u8>> {
        let reply = self.answer(programs, &call.into_bytes()).expect("a call is answered");
        check_reply(&reply, XID).map(<[u8]>::to_vec)
    }
}

fn header(program: u32, version: u32, procedure: u32, who: u8) -> Encoder {
    let mut call = Encoder::new();
    call.u32s([XID, 0, 2, program, version, procedure]);
    match who {
        0 => call.u32s([0, 0]),
        who => {
            let mut credential = Encoder::new();
            // stamp, machine, user, group, groups
            credential.u32s([0, 0, 1_000 * u32::from(who - 1), 100, 1, 5]);
            call.u32(1);
            call.opaque(&credential.into_bytes());
        }
    }
    call.u32s([0, 0]);
    call
}

/// Checks the form of a reply (RFC 5531 §9, §11); gives the results if the call was carried out.
fn check_reply(reply: &[u8], xid: u32) -> Option<&[u8]> {
    let mut reader = Decoder::new(reply);
    let mark = reader.u32().unwrap();
    assert_eq!(
        mark,
        0x8000_0000 | (reply.len() - MARK_BYTES) as u32,
        "one last fragment, as long as it says"
    );
    assert!(reply.len().is_multiple_of(4), "XDR comes in words");
    assert_eq!((reader.u32(), reader.u32()), (Ok(xid), Ok(1)));
    match reader.u32().unwrap() {
        0 => {
            assert_eq!((reader.u32(), reader.opaque(400)), (Ok(0), Ok(&b""[..])), "the verifier");
            match reader.u32().unwrap() {
                0 => return Some(reader.rest()),
                2 => assert!(reader.u32().unwrap() <= reader.u32().unwrap()),
                1 | 3 | 4 => {}
                other => panic!("accept_stat {other}"),
            }
        }
        1 => match reader.u32().unwrap() {
            0 => assert_eq!((reader.u32(), reader.u32()), (Ok(2), Ok(2))),
            1 => assert!((1..=5).contains(&reader.u32().unwrap())),
            other => panic!("reject_stat {other}"),
        },
        other => panic!("reply_stat {other}"),
    }
    assert_eq!(reader.end(), Ok(()));
    None
}

/// Results are what an independent decoder takes, to the last byte.
fn decoded<T: Unpack>(results: &[u8]) {
    let mut cursor = Cursor::new(results);
    T::unpack(&mut cursor).unwrap_or_else(|error| panic!("{error:?} in {results:02x?}"));
    assert_eq!(cursor.position(), results.len() as u64, "bytes behind the results: {results:02x?}");
}

fn check_v3(procedure: u32, results: &[u8]) {
    match procedure {
        0 => assert!(results.is_empty()),
        1 => decoded::<GETATTR3res>(results),
        2 => decoded::<SETATTR3res>(results),
        3 => decoded::<LOOKUP3res>(results),
        4 => decoded::<ACCESS3res>(results),
        5 => decoded::<READLINK3res<'_>>(results),
        6 => decoded::<READ3res<'_>>(results),
        7 => decoded::<WRITE3res>(results),
        8 => decoded::<CREATE3res>(results),
        9 => decoded::<MKDIR3res>(results),
        10 => decoded::<SYMLINK3res>(results),
        11 => decoded::<MKNOD3res>(results),
        12 => decoded::<REMOVE3res>(results),
        13 => decoded::<RMDIR3res>(results),
        14 => decoded::<RENAME3res>(results),
        15 => decoded::<LINK3res>(results),
        16 => decoded::<READDIR3res<'_>>(results),
        17 => decoded::<READDIRPLUS3res<'_>>(results),
        18 => decoded::<FSSTAT3res>(results),
        19 => decoded::<FSINFO3res>(results),
        20 => decoded::<PATHCONF3res>(results),
        21 => decoded::<COMMIT3res>(results),
        other => panic!("procedure {other} does not exist and was carried out"),
    }
}
