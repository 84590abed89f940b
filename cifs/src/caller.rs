//! Who a share acts as towards the file system.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nfs::filesystem::{Caller, FsError, FsResult, Groups, RequestKey};
use smb_server::{SmbError, SmbResult};
use tokio::time::{Instant, sleep};

use crate::convert;
use crate::users::Identity;

/// How long a request waits for a file system that says "not now". A client waits longer than this for its answer (60
/// s on Windows), but a user before it not much.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is asked again meanwhile.
const PAUSE: Duration = Duration::from_millis(100);

/// Makes each request's key another one.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    seed: [u8; 8],
    next: Arc<AtomicU64>,
}

impl Keys {
    /// With a seed that is random at each start.
    pub fn new(seed: [u8; 8]) -> Self {
        Self { seed, next: Arc::default() }
    }

    fn next(&self) -> RequestKey {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&self.seed);
        key[8..].copy_from_slice(&self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        RequestKey(key)
    }
}

/// One user of the file system. Towards an export he comes from this very machine (127.0.0.1): the server does not tell
/// from which address a request came, and users are known by their passwords.
#[derive(Clone, Debug)]
pub(crate) struct Actor {
    identity: Identity,
    keys: Keys,
}

impl Actor {
    pub const fn new(identity: Identity, keys: Keys) -> Self {
        Self { identity, keys }
    }

    /// For a call that changes nothing.
    pub fn asks(&self) -> Caller {
        self.caller(RequestKey::default())
    }

    /// For one that does.
    pub fn changes(&self) -> Caller {
        self.caller(self.keys.next())
    }

    fn caller(&self, request: RequestKey) -> Caller {
        let Identity { uid, gid } = self.identity;
        Caller { address: IpAddr::V4(Ipv4Addr::LOCALHOST), uid, gid, groups: Groups::default(), request }
    }
}

/// Asks until the file system says something else than "not now": SMB has no word for it that clients heed. A change is
/// asked for again under its key, so it is made once.
pub(crate) async fn patiently<T, F: Future<Output = FsResult<T>>>(call: impl FnMut() -> F) -> SmbResult<T> {
    within(PATIENCE, call).await
}

async fn within<T, F: Future<Output = FsResult<T>>>(
    patience: Duration,
    mut call: impl FnMut() -> F,
) -> SmbResult<T> {
    let deadline = Instant::now() + patience;
    loop {
        match call().await {
            Err(FsError::TryLater) if Instant::now() < deadline => sleep(PAUSE).await,
            Err(error) => return Err(told(error)),
            Ok(answer) => return Ok(answer),
        }
    }
}

fn told(error: FsError) -> SmbError {
    if error == FsError::TryLater {
        tracing::debug!("a CIFS client is told of a failure: the file system was not ready for {PATIENCE:?}");
    }
    convert::error(error)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[test]
    fn no_two_changes_have_one_key() {
        let actor = Actor::new(Identity { uid: 5, gid: 6 }, Keys::new([1; 8]));
        let other = actor.clone();
        let keys = [actor.changes().request, other.changes().request, actor.changes().request];
        assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
        assert_eq!(actor.asks().request, RequestKey::default());
        assert_eq!((actor.asks().uid, actor.asks().gid), (5, 6));
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
        assert!(matches!(never, Err(SmbError::Io(_))));
    }
}
