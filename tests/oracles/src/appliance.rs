//! What the port finds on its own disks after a crash, and the handles that clients bring back.

use std::fs;

use appliance::fuzz::journal::{Change, Record, decode, encode, encode_header, file_name};
use appliance::fuzz::{index_record, snapshot};
use appliance::journal::{Base, FileKey, Journal, Lsn, Piece, Ready, Settings, StagedView};
use appliance::translator::handle::{ExportId, HandleKey, Place, View};
use nfs::filesystem::Handle;
use protocol::digest::{Content, Digest, Fingerprint};
use protocol::id::{CustomerId, ObjectId, Timestamp, Token, VersionId};

use crate::input::Input;

const RECORD_HEADER_BYTES: usize = 56;
const RECORDS_MAX: usize = 48;
const SEGMENTS_MAX: usize = 4;
const JOURNAL_BYTES: u64 = 256 << 10;
const READ_BYTES: u64 = 1 << 20;

/// One record: what is understood says the same when it is written again. The second try has right checksums, which no
/// fuzzer finds by itself.
pub fn journal_record(data: &[u8]) {
    check_record(data);
    let mut bytes = data.to_vec();
    if let Some((header, payload)) = bytes.split_first_chunk_mut::<RECORD_HEADER_BYTES>() {
        header[..4].copy_from_slice(b"SPJ1");
        let length = u32::from_le_bytes(header[20..24].try_into().unwrap()) as usize;
        let crc = crc32c::crc32c(&payload[..length.min(payload.len())]);
        header[48..52].copy_from_slice(&crc.to_le_bytes());
        let crc = crc32c::crc32c(&header[..52]);
        header[52..].copy_from_slice(&crc.to_le_bytes());
        check_record(&bytes);
    }
}

fn check_record(bytes: &[u8]) {
    let Some((record, length)) = decode(bytes) else { return };
    let again = encode(&record);
    assert_eq!(again.len(), length);
    assert_eq!(decode(&again), Some((record, length)));
}

/// A journal directory made of right records in any order, with damage: it opens, opens again to the same state, and
/// what it stages can be read to the last byte.
pub fn journal_replay(data: &[u8]) {
    let mut input = Input::new(data);
    let dir = tempfile::Builder::new().prefix("replay").tempdir_in(shared_memory()).unwrap();
    let damage = usize::from(input.byte() % 4);
    let damage: Vec<_> = (0..damage).map(|_| (input.byte(), input.u16(), input.byte())).collect();
    let cut = input.u16();
    let (mut segments, records) = build(&mut input);
    let is_whole = damage.is_empty() && cut == 0;
    for (segment, at, flip) in damage {
        let count = segments.len();
        let segment = &mut segments[usize::from(segment) % count];
        let at = usize::from(at) % segment.len();
        segment[at] ^= flip;
    }
    if cut != 0
        && let Some(last) = segments.last_mut()
    {
        last.truncate(last.len().saturating_sub(usize::from(cut)));
    }
    for (number, bytes) in segments.iter().enumerate() {
        fs::write(dir.path().join(file_name(number as u64 + 1)), bytes).unwrap();
    }
    let open = || Journal::open(Settings::new(dir.path().to_owned(), JOURNAL_BYTES)).unwrap();
    let (journal, recovery) = open();
    assert!(
        !is_whole || recovery.records == records && recovery.torn_bytes == 0,
        "{recovery:?} of {records}"
    );
    let staged = staged(&journal);
    assert_eq!(staged.len(), recovery.files);
    drop(journal);
    let (journal, again) = open();
    assert_eq!(self::staged(&journal), staged, "a second start comes to the same");
    assert_eq!(again.torn_bytes, 0, "what was torn is cut off");
}

/// Where a directory costs least.
fn shared_memory() -> std::path::PathBuf {
    let memory = std::path::PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

/// Segments of records that are right by themselves, and how many.
fn build(input: &mut Input<'_>) -> (Vec<Vec<u8>>, u64) {
    let mut lsn = u64::from(input.byte());
    let mut segments = vec![encode_header(1, Lsn(lsn)).to_vec()];
    let mut records = 0;
    while records < RECORDS_MAX as u64 && !input.is_empty() {
        let kind = input.byte();
        if kind >= 0xf0 && segments.len() < SEGMENTS_MAX {
            segments.push(encode_header(segments.len() as u64 + 1, Lsn(lsn)).to_vec());
        }
        lsn += 1 + u64::from(kind >> 4 == 0xe);
        let file = FileKey { customer: CustomerId(1), file: ObjectId(u64::from(input.byte() % 4)) };
        let time = Timestamp(i64::from(input.u16()));
        // Larger numbers are in no right record.
        let number = (input.u64() >> 2) >> (input.byte() % 64);
        let base = Base {
            content: Content { fingerprint: Fingerprint([1; 16]), size: number, digest: Digest([2; 32]) },
            version: u64::from(input.byte()),
        };
        let token = Token([input.byte() % 3; 16]);
        let change = match kind % 9 {
            0 => Change::Begin(base),
            1 => Change::Write { offset: number, data: input.take(usize::from(kind)) },
            2 => Change::Truncate(number),
            3 => Change::Times(time),
            4 => Change::Version(number),
            5 => Change::Seal(token),
            6 => Change::Finish(token, base),
            7 => Change::Rebase(base),
            _ => Change::Drop,
        };
        segments.last_mut().unwrap().extend(encode(&Record { lsn: Lsn(lsn), file, time, change }));
        records += 1;
    }
    (segments, records)
}

/// Every staged file with its view, after a look at whether its pieces fit together.
fn staged(journal: &Journal) -> Vec<(FileKey, StagedView)> {
    let all = Ready { quiet: Default::default(), age_max: Default::default(), limit: usize::MAX };
    let mut files = journal.candidates(Timestamp(i64::MAX), all, |_| true);
    files.sort_unstable();
    files
        .into_iter()
        .map(|file| {
            let (view, pieces) = journal.read(file, 0, READ_BYTES).unwrap();
            let mut len = 0;
            for piece in pieces {
                len += match piece {
                    Piece::Staged { log, position, len } => {
                        assert!(position + len <= log.metadata().unwrap().len());
                        len
                    }
                    Piece::Base { offset, len: piece } => {
                        assert_eq!(offset, len);
                        assert!(offset + piece <= view.base.content.size);
                        piece
                    }
                    Piece::Zero { len } => len,
                };
            }
            assert_eq!(len, view.size.min(READ_BYTES));
            (file, view)
        })
        .collect()
}

/// A snapshot of the directory cache, as it is and with a right checksum: what is taken is saved and taken again.
pub fn directory_snapshot(data: &[u8]) {
    let customer = CustomerId(1);
    let with_checksum = [data, blake3::hash(data).as_bytes()].concat();
    for bytes in [data, &with_checksum] {
        if let Some(saved) = snapshot(customer, bytes) {
            let again = snapshot(customer, &saved);
            assert!(again.is_some_and(|again| again == saved), "what was saved is taken");
            assert_eq!(snapshot(CustomerId(2), bytes), None, "another customer's");
        }
    }
}

/// A record of the data cache's index, as it is and with a right checksum.
pub fn cache_index(data: &[u8]) {
    let mut record = Input::new(data).array::<32>();
    check_index_record(&record);
    let crc = crc32c::crc32c(&record[..28]);
    record[28..].copy_from_slice(&crc.to_le_bytes());
    check_index_record(&record);
}

fn check_index_record(record: &[u8; 32]) {
    if let Some(again) = index_record(record) {
        assert_eq!(index_record(&again), Some(again));
        assert_eq!((again[0], &again[4..24]), (record[0], &record[4..24]), "the same block");
    }
}

/// A handle that was not given out opens to nothing; one that was, to its place, and no changed copy of it does.
pub fn handle(data: &[u8]) {
    let key = HandleKey::new([3; 32]);
    if let Some(foreign) = Handle::new(data) {
        assert_eq!(key.open(&foreign), None);
    }
    let mut input = Input::new(data);
    let view = match input.byte() & 3 {
        0 => View::Files,
        1 => View::Srl,
        2 => View::Kept,
        _ => View::Version(VersionId(input.u64())),
    };
    let (export, customer) = (ExportId(input.u32()), CustomerId(input.u32()));
    let place = Place { view, export, customer, object: ObjectId(input.u64()) };
    let sealed = key.seal(&place);
    assert_eq!(key.open(&sealed), Some(place));
    let (at, flip) = (usize::from(input.byte()) % sealed.as_bytes().len(), input.byte());
    if flip != 0 {
        let mut forged = sealed.as_bytes().to_vec();
        forged[at] ^= flip;
        assert_eq!(key.open(&Handle::new(&forged).unwrap()), None);
    }
}
