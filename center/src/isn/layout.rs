//! Where things lie on a disk.
//!
//! ```text
//! FORMAT                    whose disk this is; see [`super::format`]
//! LOCK                      held (flock) by the process that serves the disk
//! tmp/<sequence>            objects being received; swept when the disk is opened
//! obj/ab/cd/<32 hex>.MD5    an object, immutable, named by its fingerprint (ISN-6)
//! obj/ab/cd/<32 hex>.B3     its block digests, if it is larger than one block
//! index.redb                sizes, digests and references; see [`super::index`]
//! ```

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use protocol::digest::{Content, Digest, Fingerprint};
use rustix::fs::{RenameFlags, XattrFlags};

/// Extended attribute of an object file: its size and digest, so that the index can be rebuilt without reading it.
const ATTRIBUTE: &str = "user.sc";

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
}

/// The fingerprint in an object file's name; `None` for any other file.
pub fn fingerprint_of(name: &str) -> Option<Fingerprint> {
    Fingerprint::parse(name.strip_suffix(".MD5")?)
}

/// Moves a file to a name that must be free; `AlreadyExists` if it is not.
pub fn rename_to_free_name(from: &Path, to: &Path) -> io::Result<()> {
    rustix::fs::renameat_with(rustix::fs::CWD, from, rustix::fs::CWD, to, RenameFlags::NOREPLACE)?;
    Ok(())
}

/// Makes a directory's entries durable.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Writes size and digest beside the bytes. File systems without such attributes do without: the index is then
/// rebuilt by reading.
pub fn describe(file: &File, content: &Content) -> io::Result<()> {
    let text = format!("{} {}", content.size, content.digest);
    match rustix::fs::fsetxattr(file, ATTRIBUTE, text.as_bytes(), XattrFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOTSUP) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Reads what [`describe`] wrote. `None` if it is missing or not that of a file of this length.
pub fn described(path: &Path, fingerprint: Fingerprint) -> io::Result<Option<Content>> {
    let length = std::fs::metadata(path)?.len();
    let mut buffer = [0; 128];
    let used = match rustix::fs::getxattr(path, ATTRIBUTE, &mut buffer) {
        Ok(used) => used,
        Err(rustix::io::Errno::NODATA | rustix::io::Errno::NOTSUP) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    Ok(parse_description(&buffer[..used], fingerprint).filter(|content| content.size == length))
}

fn parse_description(text: &[u8], fingerprint: Fingerprint) -> Option<Content> {
    let (size, digest) = std::str::from_utf8(text).ok()?.split_once(' ')?;
    Some(Content { fingerprint, size: size.parse().ok()?, digest: Digest::parse(digest)? })
}

/// `Ok(None)` where the file does not exist.
pub fn optional<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
