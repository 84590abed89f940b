//! The cache's directory.
//!
//! ```text
//! LOCK                   held (flock) by the process that has the directory
//! part/<n>               an object that is being fetched; emptied at start
//! obj/ab/<32 hex>.MD5    a whole object, see [`super::trailer`]
//! ```
//!
//! Nothing is synced: after a power cut a file may hold anything, so what is found at start is checked on first use.
//! Blocking throughout, but for [`Files::run`].

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

use protocol::digest::{BlockDigests, Content, Fingerprint};
use rustix::fs::FlockOperation;

use super::trailer;
use crate::isn::{Interrupted, Pool, fingerprint_of, optional};

/// Blocking jobs at once: as on a disk of a node.
const JOBS: usize = 16;

/// See the module.
#[derive(Debug)]
pub struct Files {
    root: PathBuf,
    pool: Pool,
    next_part: AtomicU64,
    /// Something failed, and it was said.
    is_troubled: AtomicBool,
    /// Keeps other processes out.
    _lock: File,
}

/// A whole object found at start.
pub struct Found {
    /// Its name.
    pub fingerprint: Fingerprint,
    /// Length of its file.
    pub len: u64,
}

impl Files {
    /// Takes the directory, which is made if it is not there, and sweeps what an interrupted process left.
    pub fn open(root: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(root)?;
        let lock = File::create(root.join("LOCK"))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        optional(fs::remove_dir_all(root.join("part")))?;
        for folder in ["part", "obj"] {
            make_folder(&root.join(folder))?;
        }
        let (pool, root) = (Pool::new(JOBS), root.to_path_buf());
        Ok(Self {
            root,
            pool,
            next_part: AtomicU64::new(0),
            is_troubled: AtomicBool::new(false),
            _lock: lock,
        })
    }

    /// Runs blocking work of the cache beside the runtime.
    pub async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Interrupted> {
        self.pool.run(job).await
    }

    /// The whole objects, the one written last at the end.
    pub fn found(&self) -> io::Result<Vec<Found>> {
        let mut found: Vec<(SystemTime, Found)> = Vec::new();
        for folder in fs::read_dir(self.root.join("obj"))? {
            for file in fs::read_dir(folder?.path())? {
                let file = file?;
                let Some(fingerprint) = file.file_name().to_str().and_then(fingerprint_of) else { continue };
                let metadata = file.metadata()?;
                found.push((metadata.modified()?, Found { fingerprint, len: metadata.len() }));
            }
        }
        found.sort_by_key(|(modified, _)| *modified);
        Ok(found.into_iter().map(|(_, found)| found).collect())
    }

    /// A file for an object of which nothing is there yet.
    pub fn begin(&self, content: &Content, digests: &BlockDigests) -> io::Result<(File, PathBuf)> {
        let number = self.next_part.fetch_add(1, Ordering::Relaxed);
        let path = self.root.join("part").join(number.to_string());
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        match file.write_all_at(&trailer::encode(content, digests), content.size) {
            Ok(()) => Ok((file, path)),
            Err(error) => {
                // What stays is swept at the next start.
                let _ = fs::remove_file(path);
                Err(error)
            }
        }
    }

    /// Gives an object that is whole its name.
    pub fn place(&self, part: &Path, fingerprint: Fingerprint) -> io::Result<PathBuf> {
        let path = self.object(fingerprint);
        match fs::rename(part, &path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                make_folder(path.parent().unwrap_or(&self.root))?;
                fs::rename(part, &path)?;
            }
            renamed => renamed?,
        }
        Ok(path)
    }

    /// Opens a whole object; `None` if it is not there or makes no sense.
    pub fn open_object(&self, fingerprint: Fingerprint) -> io::Result<Option<(File, Content, BlockDigests)>> {
        let Some(file) = optional(File::open(self.object(fingerprint)))? else { return Ok(None) };
        Ok(trailer::read(&file)?.map(|(content, digests)| (file, content, digests)))
    }

    /// A whole object's file.
    pub fn object(&self, fingerprint: Fingerprint) -> PathBuf {
        let [first, ..] = fingerprint.0;
        self.root.join("obj").join(format!("{first:02x}")).join(format!("{fingerprint}.MD5"))
    }

    /// Says that the cache does not work, once until it works again.
    pub fn tell_trouble(&self, error: &io::Error) {
        if !self.is_troubled.swap(true, Ordering::Relaxed) {
            tracing::error!(
                directory = %self.root.display(), %error,
                "the data cache does not work: objects are served from the nodes; mend or empty its disk"
            );
        }
    }

    /// Something was written.
    pub fn tell_success(&self) {
        if self.is_troubled.load(Ordering::Relaxed) && self.is_troubled.swap(false, Ordering::Relaxed) {
            tracing::info!(directory = %self.root.display(), "the data cache works again");
        }
    }
}

fn make_folder(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}
