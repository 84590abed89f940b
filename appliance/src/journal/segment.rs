//! Segment files: the log cut into files of one size, preallocated, so that space is found before it is needed and a
//! sync has no file size to write.
//!
//! A segment begins with a header of 64 bytes: magic, number, number of the last record before it, CRC-32C. Records
//! follow, then zeros. A segment is written once, front to back, and unlinked as a whole: never rewritten, never
//! truncated while the journal is open.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, fallocate};

use super::Lsn;
use super::record::{u32_at, u64_at};

/// Where the first record begins.
pub const SEGMENT_HEADER_BYTES: usize = 64;

const MAGIC: [u8; 8] = *b"SPJSEG01";

/// One open segment.
#[derive(Debug)]
pub struct Segment {
    /// Its number; grows by one from each to the next.
    pub number: u64,
    /// Where it is.
    pub path: PathBuf,
    /// Open for reading and writing.
    pub file: Arc<File>,
    /// Where the next record goes.
    pub end: u64,
    /// Records in it were lost: it is kept aside, not unlinked, when it is no longer needed.
    pub damaged: bool,
}

impl Segment {
    /// Makes a segment of `bytes` bytes, durable with its name.
    pub fn create(dir: &Path, number: u64, bytes: u64, previous: Lsn) -> io::Result<Self> {
        let path = dir.join(file_name(number));
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        let made = preallocate(&file, bytes)
            .and_then(|()| file.write_all_at(&encode_header(number, previous), 0))
            .and_then(|()| file.sync_all())
            .and_then(|()| sync_dir(dir));
        if let Err(error) = made {
            // Half a segment must neither hold space nor be met by a replay.
            std::fs::remove_file(&path).ok();
            return Err(error);
        }
        Ok(Self { number, path, file: Arc::new(file), end: SEGMENT_HEADER_BYTES as u64, damaged: false })
    }

    /// Opens a segment and reads it whole.
    pub fn open(path: PathBuf, number: u64) -> io::Result<(Self, Vec<u8>)> {
        let mut file = OpenOptions::new().read(true).write(true).open(&path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let end = bytes.len() as u64;
        Ok((Self { number, path, file: Arc::new(file), end, damaged: false }, bytes))
    }

    /// Cuts off what follows `end`, durably, and makes room for more. Only before the journal is open.
    pub fn cut(&mut self, end: u64, bytes: u64) -> io::Result<()> {
        self.end = end;
        self.file.set_len(end)?;
        preallocate(&self.file, bytes)?;
        self.file.sync_all()
    }

    /// Takes the name away; the bytes live as long as somebody reads them. Durable, because segments must go in
    /// order: an old one that came back without the next would stage again what was uploaded long ago. May be repeated.
    pub fn discard(&self, dir: &Path) -> io::Result<()> {
        let gone = if self.damaged { set_aside(&self.path) } else { std::fs::remove_file(&self.path) };
        match gone {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => sync_dir(dir),
        }
    }
}

/// Renames a segment so that no replay meets it any more.
pub fn set_aside(path: &Path) -> io::Result<()> {
    std::fs::rename(path, path.with_extension("damaged"))
}

/// Makes the names in a directory durable.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// The number of the last record before a segment, from its header. `None`: this is no header of that segment.
pub fn previous_lsn(bytes: &[u8], number: u64) -> Option<Lsn> {
    let header = bytes.get(..SEGMENT_HEADER_BYTES)?;
    let right = header[..8] == MAGIC
        && u64_at(header, 8) == number
        && crc32c::crc32c(&header[..60]) == u32_at(header, 60);
    right.then(|| Lsn(u64_at(header, 16)))
}

/// The segments of a directory in order of their numbers.
pub fn list(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if let Some(number) = path.file_name().and_then(parse_name) {
            found.push((number, path));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// The name of a segment.
pub fn file_name(number: u64) -> String {
    format!("segment-{number:012}.log")
}

fn parse_name(name: &OsStr) -> Option<u64> {
    name.to_str()?.strip_prefix("segment-")?.strip_suffix(".log")?.parse().ok()
}

/// The header of a segment behind the record `previous`.
pub fn encode_header(number: u64, previous: Lsn) -> [u8; SEGMENT_HEADER_BYTES] {
    let mut header = [0; SEGMENT_HEADER_BYTES];
    header[..8].copy_from_slice(&MAGIC);
    header[8..16].copy_from_slice(&number.to_le_bytes());
    header[16..24].copy_from_slice(&previous.0.to_le_bytes());
    let crc = crc32c::crc32c(&header[..60]);
    header[60..].copy_from_slice(&crc.to_le_bytes());
    header
}

fn preallocate(file: &File, bytes: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) => Ok(()),
        // Some file systems cannot; then space is found when it is written.
        Err(rustix::io::Errno::OPNOTSUPP) => file.set_len(bytes.max(file.metadata()?.len())),
        Err(error) => Err(error.into()),
    }
}
