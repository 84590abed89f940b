//! Copies of the whole directory for followers that are too far back: made one at a time, handed out in pieces.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use protocol::dosp::operations::{CopyDirectoryIn, CopyDirectoryOut};
use protocol::dosp::{COPY_BYTES_MAX, Failure, Status};
use tokio::time::Instant;

use crate::host;
use crate::vfs::mirror::Mirror;

/// A copy that nobody asks for any more is removed.
pub const UNUSED_MAX: Duration = Duration::from_secs(60);

/// The copy there is, if any.
pub struct Copies {
    mirror: Mirror,
    current: Mutex<Option<Copy>>,
}

#[derive(Clone)]
struct Copy {
    number: u64,
    center: String,
    used: Instant,
    made: Arc<OnceLock<Result<Made, String>>>,
}

struct Made {
    path: PathBuf,
    file: File,
    length: u64,
    digest: [u8; 32],
}

impl Copies {
    /// None yet.
    pub fn new(mirror: Mirror) -> Self {
        Self { mirror, current: Mutex::default() }
    }

    /// Answers a follower.
    ///
    /// # Errors
    /// `Unavailable` while another one is served, `NotFound` for a copy that is no more, `Refused` for other tables.
    pub async fn piece(&self, asked: CopyDirectoryIn) -> Result<CopyDirectoryOut, Failure> {
        let unavailable = |reason: String| Failure::new(Status::Unavailable, reason);
        let schema = self.mirror.schema().await.map_err(|error| unavailable(error.to_string()))?;
        if asked.schema != schema {
            return Err(Failure::new(Status::Refused, "run the same release in all storage centers"));
        }
        let copy = match asked.copy {
            0 => self.begin(asked.center)?,
            number => self.find(number)?,
        };
        let (number, offset) = (copy.number, asked.offset);
        let reading = tokio::task::spawn_blocking(move || match copy.made.get() {
            None => Ok(CopyDirectoryOut { copy: number, length: 0, digest: [0; 32], bytes: Box::default() }),
            Some(Ok(made)) => made.read(number, offset).map_err(|error| error.to_string()),
            Some(Err(reason)) => Err(reason.clone()),
        });
        reading.await.map_err(|error| unavailable(error.to_string()))?.map_err(unavailable)
    }

    fn begin(&self, center: String) -> Result<Copy, Failure> {
        let mut current = self.current();
        if let Some(copy) = &*current
            && copy.center != center
            && copy.used.elapsed() < UNUSED_MAX
        {
            return Err(Failure::new(
                Status::Unavailable,
                "another storage center takes a copy; ask again later",
            ));
        }
        let number = u64::from_le_bytes(host::random_bytes()).max(1);
        let copy = Copy { number, center, used: Instant::now(), made: Arc::default() };
        *current = Some(copy.clone());
        let (made, mirror) = (Arc::clone(&copy.made), self.mirror.clone());
        tokio::spawn(async move {
            let outcome = make(mirror).await;
            if let Err(reason) = &outcome {
                tracing::warn!(reason, "no copy of the directory was made for another storage center");
            }
            // Nobody else sets it.
            let _ = made.set(outcome);
        });
        Ok(copy)
    }

    fn find(&self, number: u64) -> Result<Copy, Failure> {
        match &mut *self.current() {
            Some(copy) if copy.number == number => {
                copy.used = Instant::now();
                Ok(copy.clone())
            }
            _ => Err(Failure::new(Status::NotFound, "that copy is no more; begin with a new one")),
        }
    }

    /// Removes a copy that was not asked for in this time.
    pub fn tidy(&self, unused: Duration) {
        let mut current = self.current();
        let is_over = |copy: &Copy| copy.used.elapsed() >= unused && copy.made.get().is_some();
        if current.as_ref().is_some_and(is_over)
            && let Some(Copy { made, .. }) = current.take()
            && let Some(Ok(made)) = made.get()
        {
            // A file that stays is overwritten by the next copy.
            let _ = fs::remove_file(&made.path);
        }
    }

    fn current(&self) -> MutexGuard<'_, Option<Copy>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn make(mirror: Mirror) -> Result<Made, String> {
    let path = mirror.copy().await.map_err(|error| error.to_string())?;
    let making = tokio::task::spawn_blocking(move || {
        let file = File::open(&path)?;
        let length = file.metadata()?.len();
        let digest = *blake3::Hasher::new().update_reader(&file)?.finalize().as_bytes();
        Ok::<_, std::io::Error>(Made { path, file, length, digest })
    });
    making.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}

impl Made {
    fn read(&self, copy: u64, offset: u64) -> std::io::Result<CopyDirectoryOut> {
        let left = self.length.saturating_sub(offset).min(COPY_BYTES_MAX as u64);
        let mut bytes = vec![0; usize::try_from(left).unwrap_or(0)];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(CopyDirectoryOut { copy, length: self.length, digest: self.digest, bytes: bytes.into() })
    }
}
