//! What front ends on this very machine have in common, which drive a [`Filesystem`](crate::filesystem::Filesystem)
//! beside NFS: from where their users come, keys for requests that bring none, patience for users whose protocol has no word for "not now", and
//! bytes where no `sendfile` takes them.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use crate::filesystem::{FsError, FsResult, RequestKey, Segment};

/// As from which address their users come to an export: this machine's own.
pub const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// How long a request waits for a file system that says "not now". Programs wait longer than this for their answer (a
/// CIFS client 60 s on Windows), but a user before one not much.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is asked again meanwhile.
const PAUSE: Duration = Duration::from_millis(100);

/// Makes each request's key another one.
#[derive(Clone, Debug)]
pub struct Keys {
    seed: [u8; 8],
    next: Arc<AtomicU64>,
}

impl Keys {
    /// With a seed that is random at each start.
    pub fn new(seed: [u8; 8]) -> Self {
        Self { seed, next: Arc::default() }
    }

    /// For a request that changes something.
    pub fn next(&self) -> RequestKey {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&self.seed);
        key[8..].copy_from_slice(&self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        RequestKey(key)
    }
}

/// Asks until the file system says something else than "not now", for 10 s. A change is asked for again under its key,
/// so it is made once.
///
/// # Errors
/// What it said at last.
pub async fn patiently<T, F: Future<Output = FsResult<T>>>(call: impl FnMut() -> F) -> FsResult<T> {
    within(PATIENCE, call).await
}

async fn within<T, F: Future<Output = FsResult<T>>>(
    patience: Duration,
    mut call: impl FnMut() -> F,
) -> FsResult<T> {
    let deadline = Instant::now() + patience;
    loop {
        match call().await {
            Err(FsError::TryLater) if Instant::now() < deadline => sleep(PAUSE).await,
            Err(FsError::TryLater) => {
                tracing::debug!(
                    "a user is told of a failure: the file system was not ready for {patience:?}"
                );
                return Err(FsError::TryLater);
            }
            answer => return answer,
        }
    }
}

/// A segment's bytes.
///
/// # Errors
/// The file they lie in cannot be read.
pub async fn bytes_of(segment: Segment) -> io::Result<Bytes> {
    let (file, offset, len) = match segment {
        Segment::Bytes(bytes) => return Ok(bytes),
        Segment::File { file, offset, len } => (file, offset, len),
    };
    let read = spawn_blocking(move || {
        let mut bytes = vec![0; len as usize];
        file.read_exact_at(&mut bytes, offset).map(|()| Bytes::from(bytes))
    });
    read.await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[test]
    fn no_two_changes_have_one_key() {
        let keys = Keys::new([1; 8]);
        let other = keys.clone();
        let made = [keys.next(), other.next(), keys.next()];
        assert!(made[0] != made[1] && made[1] != made[2] && made[0] != made[2]);
        assert!(!made.contains(&RequestKey::default()));
    }

    #[tokio::test]
    async fn not_now_is_asked_again_and_not_for_ever() {
        let asked = AtomicU32::new(0);
        let third = patiently(|| async {
            if asked.fetch_add(1, Ordering::Relaxed) < 2 { Err(FsError::TryLater) } else { Ok(()) }
        });
        third.await.unwrap();
        assert_eq!(asked.load(Ordering::Relaxed), 3);
        let never = within(PAUSE, || async { FsResult::<()>::Err(FsError::TryLater) }).await;
        assert_eq!(never, Err(FsError::TryLater));
    }
}
