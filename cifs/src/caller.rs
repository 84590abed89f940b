//! Who a share acts as towards the file system.

use nfs::filesystem::{Caller, FsResult, Groups, RequestKey};
use nfs::local::{self, Keys};
use smb_server::SmbResult;

use crate::convert;
use crate::users::Identity;

/// One user of the file system. Towards an export he comes from [this very machine](local::ADDRESS): the server does not
/// tell from which address a request came, and users are known by their passwords.
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
        Caller { address: local::ADDRESS, uid, gid, groups: Groups::default(), request }
    }
}

/// Asks until the file system says something else than "not now": SMB has no word for it that clients heed.
pub(crate) async fn patiently<T, F: Future<Output = FsResult<T>>>(call: impl FnMut() -> F) -> SmbResult<T> {
    local::patiently(call).await.map_err(convert::error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_acts_is_the_same_for_all_calls() {
        let actor = Actor::new(Identity { uid: 5, gid: 6 }, Keys::new([1; 8]));
        assert_eq!(actor.asks().request, RequestKey::default());
        assert_ne!(actor.changes().request, RequestKey::default());
        assert_eq!((actor.asks().uid, actor.asks().gid), (5, 6));
    }
}
