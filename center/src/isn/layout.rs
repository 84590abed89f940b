//! Where things lie on a disk, and what they are called. Does no I/O.
//!
//! ```text
//! FORMAT                    whose disk this is; see [`super::format`]
//! LOCK                      held (flock) by the process that serves the disk
//! DRAIN                     there while the disk is to be emptied: it takes no new objects
//! LOST                      there while references are to be restored, because the index was lost
//! tmp/<sequence>            objects being received; swept when the disk is opened
//! obj/ab/cd/<32 hex>.MD5    an object, immutable, named by its fingerprint (ISN-6)
//! obj/ab/cd/<32 hex>.B3     its block digests, if it is larger than one block
//! quarantine/<32 hex>.<n>   a copy whose bytes were wrong, in the order of n; see [`super::quarantine`]
//! index.redb                sizes, digests and references; see [`super::index`]
//! ```

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use protocol::digest::{Content, Digest, Fingerprint};

/// Paths below one disk's directory.
#[derive(Clone, Debug)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The disk in this directory.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_path_buf() }
    }

    /// The disk's directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `FORMAT`.
    pub fn format(&self) -> PathBuf {
        self.root.join("FORMAT")
    }

    /// `LOCK`.
    pub fn lock(&self) -> PathBuf {
        self.root.join("LOCK")
    }

    /// `index.redb`.
    pub fn index(&self) -> PathBuf {
        self.root.join("index.redb")
    }

    /// `DRAIN`.
    pub fn drain_mark(&self) -> PathBuf {
        self.root.join("DRAIN")
    }

    /// `LOST`.
    pub fn lost_mark(&self) -> PathBuf {
        self.root.join("LOST")
    }

    /// `tmp/`.
    pub fn temporary(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// `obj/`.
    pub fn objects(&self) -> PathBuf {
        self.root.join("obj")
    }

    /// The folder an object lies in.
    pub fn folder_of(&self, fingerprint: Fingerprint) -> PathBuf {
        let [first, second, ..] = fingerprint.0;
        self.objects().join(format!("{first:02x}")).join(format!("{second:02x}"))
    }

    /// An object's file.
    pub fn object(&self, fingerprint: Fingerprint) -> PathBuf {
        self.folder_of(fingerprint).join(format!("{fingerprint}.MD5"))
    }

    /// An object's block digests.
    pub fn block_digests(&self, fingerprint: Fingerprint) -> PathBuf {
        self.folder_of(fingerprint).join(format!("{fingerprint}.B3"))
    }

    /// `quarantine/`.
    pub fn quarantine(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    /// The `number`th copy put into quarantine.
    pub fn quarantined(&self, fingerprint: Fingerprint, number: u64) -> PathBuf {
        self.quarantine().join(format!("{fingerprint}.{number}"))
    }
}

/// The fingerprint in an object file's name; `None` for any other file.
pub fn fingerprint_of(name: &str) -> Option<Fingerprint> {
    Fingerprint::parse(name.strip_suffix(".MD5")?)
}

/// The fingerprint in the name of a file of block digests; `None` for any other file.
pub fn list_of(name: &str) -> Option<Fingerprint> {
    Fingerprint::parse(name.strip_suffix(".B3")?)
}

/// The number in the name of a file in quarantine; `None` for any other file.
pub fn number_of(name: &str) -> Option<u64> {
    let (fingerprint, number) = name.split_once('.')?;
    Fingerprint::parse(fingerprint)?;
    number.parse().ok()
}

/// What an object file's attribute says: size and digest, so that the index can be rebuilt without reading the bytes.
pub fn describe(content: &Content) -> String {
    format!("{} {}", content.size, content.digest)
}

/// Reads what [`describe`] wrote. `None` if it is not the description of a file of this length.
pub fn described(attribute: &[u8], fingerprint: Fingerprint, length: u64) -> Option<Content> {
    let (size, digest) = std::str::from_utf8(attribute).ok()?.split_once(' ')?;
    let content = Content { fingerprint, size: size.parse().ok()?, digest: Digest::parse(digest)? };
    (content.size == length).then_some(content)
}

/// `Ok(None)` where the file does not exist.
pub fn optional<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
