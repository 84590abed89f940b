//! The directory cache on disk, so that a port that starts without its center still serves what it knew.
//!
//! One file per customer: magic and version, the contents below, and a BLAKE3 of all before it. Numbers little-endian.
//! A snapshot is only ever a help: one that is damaged, of another version or of another customer is ignored.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use protocol::digest::{Content, Digest, Fingerprint};
use protocol::id::{CustomerId, FeedPosition, ObjectId, Timestamp};
use protocol::name::Name;
use protocol::vfs::{Body, Row};

use super::core::{Contents, Entry};
use super::listing::Listing;
use crate::whole_file;

const MAGIC: &[u8; 8] = b"SPDIR\0\0\x01";
const CHECKSUM_BYTES: usize = 32;

/// Puts a snapshot at `path`.
///
/// # Errors
/// Of the disk; an older snapshot is still whole then.
pub(super) fn save(path: &Path, customer: CustomerId, contents: &Contents) -> io::Result<()> {
    whole_file::replace(path, &encode(customer, contents))
}

/// Reads a snapshot of at most `bytes_max` bytes; `None` if there is none fit for use.
pub(super) fn load(path: &Path, customer: CustomerId, bytes_max: u64) -> Option<Contents> {
    if fs::metadata(path).ok()?.len() > bytes_max {
        return None;
    }
    decode(customer, &fs::read(path).ok()?)
}

pub(super) fn encode(customer: CustomerId, contents: &Contents) -> Vec<u8> {
    let mut out = Vec::with_capacity(256 * contents.entries.len() + 1024);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&customer.0.to_le_bytes());
    put_u64(&mut out, contents.position.0);
    put_u64(&mut out, contents.root.0);
    put_u64(&mut out, contents.entries.len() as u64);
    for entry in &contents.entries {
        put_row(&mut out, &entry.row);
    }
    put_u64(&mut out, contents.listings.len() as u64);
    for (folder, listing) in &contents.listings {
        put_u64(&mut out, folder.0);
        put_u64(&mut out, listing.version());
        put_u64(&mut out, listing.pages().count() as u64);
        for (after, ids, end) in listing.pages() {
            put_u64(&mut out, after);
            out.push(u8::from(end));
            put_u64(&mut out, ids.len() as u64);
            ids.iter().for_each(|id| put_u64(&mut out, id.0));
        }
    }
    let checksum = blake3::hash(&out);
    out.extend_from_slice(checksum.as_bytes());
    out
}

pub(super) fn decode(customer: CustomerId, bytes: &[u8]) -> Option<Contents> {
    let (body, checksum) = bytes.split_at_checked(bytes.len().checked_sub(CHECKSUM_BYTES)?)?;
    if blake3::hash(body).as_bytes() != checksum {
        return None;
    }
    let mut from = Reader(body);
    if &from.array::<8>()? != MAGIC || from.u32()? != customer.0 {
        return None;
    }
    let position = FeedPosition(from.u64()?);
    let root = ObjectId(from.u64()?);
    let entries = (0..from.u64()?).map(|_| Some(Arc::new(Entry::new(from.row()?)))).collect::<Option<_>>()?;
    let listings = (0..from.u64()?)
        .map(|_| {
            let folder = ObjectId(from.u64()?);
            let mut listing = Listing::new(from.u64()?);
            for _ in 0..from.u64()? {
                let after = from.u64()?;
                let end = from.array::<1>()? != [0];
                let ids = (0..from.u64()?).map(|_| from.u64().map(ObjectId)).collect::<Option<_>>()?;
                listing.insert(after, ids, end);
            }
            Some((folder, listing))
        })
        .collect::<Option<_>>()?;
    from.0.is_empty().then_some(Contents { position, root, entries, listings })
}

fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Length first.
fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u64(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// The row without its SRL, which is never cached. A root's parent is 0, and its name is empty.
fn put_row(out: &mut Vec<u8>, row: &Row) {
    put_u64(out, row.id.0);
    put_u64(out, row.parent.map_or(0, |parent| parent.0));
    put_bytes(out, row.name.as_ref().map_or(&[], Name::as_bytes));
    put_u64(out, row.version);
    for time in [row.created, row.modified, row.changed] {
        out.extend_from_slice(&time.0.to_le_bytes());
    }
    put_bytes(out, &row.metadata);
    match &row.body {
        Body::Folder { subfolders } => {
            out.push(0);
            put_u64(out, u64::from(*subfolders));
        }
        Body::File { content } => {
            out.push(1);
            out.extend_from_slice(&content.fingerprint.0);
            put_u64(out, content.size);
            out.extend_from_slice(&content.digest.0);
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.u64()?).ok()?;
        self.take(len)
    }

    fn time(&mut self) -> Option<Timestamp> {
        self.array().map(i64::from_le_bytes).map(Timestamp)
    }

    fn row(&mut self) -> Option<Row> {
        let id = ObjectId(self.u64()?);
        let parent = Some(self.u64()?).filter(|&parent| parent != 0).map(ObjectId);
        let name = match self.bytes()? {
            [] => None,
            bytes => Some(Name::new(bytes).ok()?),
        };
        let version = self.u64()?;
        let (created, modified, changed) = (self.time()?, self.time()?, self.time()?);
        let metadata = self.bytes()?.to_vec();
        let body = match self.array::<1>()? {
            [0] => Body::Folder { subfolders: u32::try_from(self.u64()?).ok()? },
            [1] => {
                let fingerprint = Fingerprint(self.array()?);
                let size = self.u64()?;
                Body::File { content: Content { fingerprint, size, digest: Digest(self.array()?) } }
            }
            _ => return None,
        };
        Some(Row { id, parent, name, version, created, modified, changed, metadata, body, srl: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::rows::{file, folder};

    fn contents() -> Contents {
        let mut listing = Listing::new(4);
        listing.insert(0, vec![ObjectId(101), ObjectId(102)], true);
        Contents {
            position: FeedPosition(9),
            root: ObjectId(100),
            entries: [folder(100, None, 4), folder(101, Some(100), 1), file(102, 100, 2)]
                .map(|row| Arc::new(Entry::new(row)))
                .into(),
            listings: vec![(ObjectId(100), listing)],
        }
    }

    fn rows(contents: &Contents) -> Vec<&Row> {
        contents.entries.iter().map(|entry| &entry.row).collect()
    }

    #[test]
    fn what_was_saved_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("snapshot");
        save(&path, CustomerId(7), &contents()).unwrap();
        let loaded = load(&path, CustomerId(7), 1 << 20).unwrap();
        assert_eq!((loaded.position, loaded.root), (FeedPosition(9), ObjectId(100)));
        assert_eq!(rows(&loaded), rows(&contents()));
        assert_eq!(format!("{:?}", loaded.listings), format!("{:?}", contents().listings));
    }

    #[test]
    fn a_snapshot_unfit_for_use_is_ignored() {
        let good = encode(CustomerId(7), &contents());
        assert!(decode(CustomerId(7), &good).is_some());
        assert!(decode(CustomerId(8), &good).is_none(), "another customer");
        for len in 0..good.len() {
            assert!(decode(CustomerId(7), &good[..len]).is_none(), "cut at {len}");
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x40;
            assert!(decode(CustomerId(7), &bad).is_none(), "flipped at {at}");
        }
    }
}
