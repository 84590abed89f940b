//! One record of the log, as bytes. Pure: no files, no clock.
//!
//! ```text
//!  0 magic "SPJ1"   4 kind u8, zero x3    8 lsn u64       16 customer u32   20 payload length u32
//! 24 file u64      32 argument u64       40 time i64 ns   48 payload crc32c 52 crc32c of bytes 0..52
//! 56 payload, then zeros to a multiple of 8
//! ```
//! Little-endian. A record says all that is needed to replay it, so it can be shipped byte for byte.

use std::borrow::Cow;

use protocol::digest::{Content, Digest, Fingerprint};
use protocol::id::{CustomerId, ObjectId, Timestamp, Token};

use super::{Base, FileKey, Lsn, WRITE_BYTES_MAX};

/// Length of a record without its payload.
pub const HEADER_BYTES: usize = 56;

/// Largest file: what signed 64-bit offsets, of clients and of file system calls, reach.
pub const FILE_BYTES_MAX: u64 = i64::MAX as u64;

const MAGIC: [u8; 4] = *b"SPJ1";
const BASE_BYTES: usize = 64;

/// What a record says about its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// The file is staged from here on.
    Begin(Base),
    /// Bytes written.
    Write {
        /// First byte in the file.
        offset: u64,
        /// The bytes.
        data: &'a [u8],
    },
    /// A new size.
    Truncate(u64),
    /// A new modification time.
    Times(Timestamp),
    /// The row has this version now, its contents are the same.
    Version(u64),
    /// The contents up to here are being uploaded under this token.
    Seal(Token),
    /// What was sealed under the token is in the row now.
    Finish(Token, Base),
    /// All changes stand on these contents now; nothing is sealed any more.
    Rebase(Base),
    /// The file is gone.
    Drop,
}

/// A record read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its number.
    pub lsn: Lsn,
    /// The file it is about.
    pub file: FileKey,
    /// When it was made.
    pub time: Timestamp,
    /// What it says.
    pub change: Change<'a>,
}

/// A record ready to be written, but for its number.
#[derive(Debug)]
pub struct Encoded<'a> {
    header: [u8; HEADER_BYTES],
    payload: Cow<'a, [u8]>,
}

impl<'a> Encoded<'a> {
    /// Encodes all but the number.
    pub fn new(file: FileKey, time: Timestamp, change: &Change<'a>) -> Self {
        let (kind, argument, payload): (u8, u64, Cow<'a, [u8]>) = match *change {
            Change::Begin(base) => (1, 0, Cow::Owned(encode_base(&base))),
            Change::Write { offset, data } => (2, offset, Cow::Borrowed(data)),
            Change::Truncate(size) => (3, size, Cow::default()),
            Change::Times(modified) => (4, modified.0 as u64, Cow::default()),
            Change::Version(version) => (5, version, Cow::default()),
            Change::Seal(token) => (6, 0, Cow::Owned(token.0.to_vec())),
            Change::Finish(token, base) => {
                (7, 0, Cow::Owned([encode_base(&base), token.0.to_vec()].concat()))
            }
            Change::Rebase(base) => (8, 0, Cow::Owned(encode_base(&base))),
            Change::Drop => (9, 0, Cow::default()),
        };
        let mut header = [0; HEADER_BYTES];
        header[..4].copy_from_slice(&MAGIC);
        header[4] = kind;
        header[16..20].copy_from_slice(&file.customer.0.to_le_bytes());
        header[20..24].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        header[24..32].copy_from_slice(&file.file.0.to_le_bytes());
        header[32..40].copy_from_slice(&argument.to_le_bytes());
        header[40..48].copy_from_slice(&time.0.to_le_bytes());
        header[48..52].copy_from_slice(&crc32c::crc32c(&payload).to_le_bytes());
        Self { header, payload }
    }

    /// Bytes it takes in the log.
    pub fn len(&self) -> u64 {
        padded(HEADER_BYTES + self.payload.len()) as u64
    }

    /// The header under its final number.
    pub fn header(&self, lsn: Lsn) -> [u8; HEADER_BYTES] {
        let mut header = self.header;
        header[8..16].copy_from_slice(&lsn.0.to_le_bytes());
        let crc = crc32c::crc32c(&header[..52]);
        header[52..].copy_from_slice(&crc.to_le_bytes());
        header
    }

    /// What follows the header.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }
}

/// Reads the record that begins `bytes`, and its whole length. `None` if there is none that is whole and right.
pub fn decode(bytes: &[u8]) -> Option<(Record<'_>, usize)> {
    let header: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
    if header[..4] != MAGIC || crc32c::crc32c(&header[..52]) != u32_at(header, 52) {
        return None;
    }
    let length = u32_at(header, 20) as usize;
    if length > WRITE_BYTES_MAX {
        return None;
    }
    let payload = bytes.get(HEADER_BYTES..HEADER_BYTES + length)?;
    if crc32c::crc32c(payload) != u32_at(header, 48) {
        return None;
    }
    let argument = u64_at(header, 32);
    let change = match header[4] {
        3..=5 | 9 if !payload.is_empty() => return None,
        2 if !fits(argument, length) => return None,
        3 if argument > FILE_BYTES_MAX => return None,
        1 => Change::Begin(decode_base(payload.try_into().ok()?)),
        2 => Change::Write { offset: argument, data: payload },
        3 => Change::Truncate(argument),
        4 => Change::Times(Timestamp(argument as i64)),
        5 => Change::Version(argument),
        6 => Change::Seal(Token(payload.try_into().ok()?)),
        7 => {
            let (base, token) = payload.split_first_chunk()?;
            Change::Finish(Token(token.try_into().ok()?), decode_base(base))
        }
        8 => Change::Rebase(decode_base(payload.try_into().ok()?)),
        9 => Change::Drop,
        _ => return None,
    };
    let record = Record {
        lsn: Lsn(u64_at(header, 8)),
        file: FileKey { customer: CustomerId(u32_at(header, 16)), file: ObjectId(u64_at(header, 24)) },
        time: Timestamp(u64_at(header, 40) as i64),
        change,
    };
    Some((record, padded(HEADER_BYTES + length)))
}

/// Whether so many bytes may be written there.
pub fn fits(offset: u64, len: usize) -> bool {
    len <= WRITE_BYTES_MAX && offset.checked_add(len as u64).is_some_and(|end| end <= FILE_BYTES_MAX)
}

/// Records begin at multiples of 8.
pub fn padded(length: usize) -> usize {
    length.next_multiple_of(8)
}

fn encode_base(base: &Base) -> Vec<u8> {
    let Content { fingerprint, size, digest } = base.content;
    [&fingerprint.0[..], &digest.0, &size.to_le_bytes(), &base.version.to_le_bytes()].concat()
}

fn decode_base(bytes: &[u8; BASE_BYTES]) -> Base {
    let mut fingerprint = Fingerprint([0; 16]);
    let mut digest = Digest([0; 32]);
    fingerprint.0.copy_from_slice(&bytes[..16]);
    digest.0.copy_from_slice(&bytes[16..48]);
    let content = Content { fingerprint, size: u64_at(bytes, 48), digest };
    Base { content, version: u64_at(bytes, 56) }
}

/// The little-endian number at a place that is inside `bytes`.
pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(value)
}

/// The little-endian number at a place that is inside `bytes`.
pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut value = [0; 4];
    value.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn base() -> impl Strategy<Value = Base> {
        any::<([u8; 16], [u8; 32], u64, u64)>().prop_map(|(fingerprint, digest, size, version)| Base {
            content: Content { fingerprint: Fingerprint(fingerprint), size, digest: Digest(digest) },
            version,
        })
    }

    fn change() -> impl Strategy<Value = Change<'static>> {
        let token = any::<[u8; 16]>().prop_map(Token);
        let data = prop::collection::vec(any::<u8>(), 0..100);
        prop_oneof![
            base().prop_map(Change::Begin),
            (0..=FILE_BYTES_MAX - 100, data)
                .prop_map(|(offset, data)| Change::Write { offset, data: data.leak() }),
            (0..=FILE_BYTES_MAX).prop_map(Change::Truncate),
            any::<i64>().prop_map(|time| Change::Times(Timestamp(time))),
            any::<u64>().prop_map(Change::Version),
            token.clone().prop_map(Change::Seal),
            (token, base()).prop_map(|(token, base)| Change::Finish(token, base)),
            base().prop_map(Change::Rebase),
            Just(Change::Drop),
        ]
    }

    fn bytes(record: &Record<'_>) -> Vec<u8> {
        let encoded = Encoded::new(record.file, record.time, &record.change);
        let mut bytes = [&encoded.header(record.lsn)[..], encoded.payload()].concat();
        bytes.resize(encoded.len() as usize, 0);
        bytes
    }

    proptest! {
        #[test]
        fn a_record_reads_back_as_written(
            (customer, file, lsn, time) in any::<(u32, u64, u64, i64)>(),
            change in change(),
        ) {
            let file = FileKey { customer: CustomerId(customer), file: ObjectId(file) };
            let record = Record { lsn: Lsn(lsn), file, time: Timestamp(time), change };
            let bytes = bytes(&record);
            prop_assert_eq!(decode(&bytes), Some((record, bytes.len())));
        }

        #[test]
        fn a_record_with_any_byte_changed_is_refused(change in change(), at in any::<prop::sample::Index>(), flip in 1u8..) {
            let file = FileKey { customer: CustomerId(1), file: ObjectId(100) };
            let record = Record { lsn: Lsn(7), file, time: Timestamp(5), change };
            let mut bytes = bytes(&record);
            let encoded = Encoded::new(record.file, record.time, &record.change);
            let at = at.index(HEADER_BYTES + encoded.payload().len());
            bytes[at] ^= flip;
            prop_assert_eq!(decode(&bytes), None);
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            decode(&bytes);
            if bytes.len() >= HEADER_BYTES {
                bytes[..4].copy_from_slice(&MAGIC);
                let crc = crc32c::crc32c(&bytes[..52]);
                bytes[52..56].copy_from_slice(&crc.to_le_bytes());
                decode(&bytes);
            }
        }
    }

    #[test]
    fn what_goes_over_the_largest_file_is_no_record() {
        let file = FileKey { customer: CustomerId(1), file: ObjectId(100) };
        let is_read = |change| {
            let bytes = bytes(&Record { lsn: Lsn(1), file, time: Timestamp(0), change });
            decode(&bytes).is_some()
        };
        assert!(is_read(Change::Write { offset: FILE_BYTES_MAX - 3, data: b"abc" }));
        assert!(!is_read(Change::Write { offset: FILE_BYTES_MAX - 2, data: b"abc" }));
        assert!(!is_read(Change::Write { offset: u64::MAX, data: b"abc" }));
        assert!(is_read(Change::Truncate(FILE_BYTES_MAX)));
        assert!(!is_read(Change::Truncate(FILE_BYTES_MAX + 1)));
    }

    #[test]
    fn a_write_has_the_published_layout() {
        let file = FileKey { customer: CustomerId(0x0102), file: ObjectId(0x64) };
        let change = Change::Write { offset: 0x1000, data: b"abc" };
        let bytes = bytes(&Record { lsn: Lsn(9), file, time: Timestamp(1), change });
        assert_eq!(bytes.len(), 64);
        assert_eq!(&bytes[..8], b"SPJ1\x02\0\0\0");
        assert_eq!(bytes[8..24], [9, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 3, 0, 0, 0]);
        assert_eq!(
            bytes[24..48],
            [0x64, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(u32_at(&bytes, 48), 0x364b_3fb7, "CRC-32C of \"abc\"");
        assert_eq!(&bytes[56..], b"abc\0\0\0\0\0");
    }
}
