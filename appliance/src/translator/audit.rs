//! The audit log of an export: who changed which name, or tried to. One event each, of the target `audit`, so that a log's
//! reader finds them and a filter (`RUST_LOG=warn,audit=info`) keeps them.
//!
//! What a client chose is told quoted, control characters escaped: no name can look like another line of the log.

use nfs::filesystem::{Caller, FsError, Mutation};

use super::names::Entered;
use super::{Object, Translator};
use crate::center::StorageCenter;

impl<C: StorageCenter> Translator<C> {
    /// A change of one name, told; see [`tell`](Self::tell).
    pub(super) fn told<T>(
        &self,
        caller: &Caller,
        operation: &'static str,
        at: Entered<'_>,
        done: Mutation<T>,
    ) -> Mutation<T> {
        let outcome = done.result.as_ref().map(drop).map_err(|error| *error);
        self.tell(caller, operation, at, None, outcome);
        done
    }

    /// Tells of a change, if the export is one that is audited: the names are those that the client gave, the folders
    /// above them as far as they are at hand. A call that is repeated is told again.
    pub(super) fn tell(
        &self,
        caller: &Caller,
        operation: &'static str,
        at: Entered<'_>,
        to: Option<Entered<'_>>,
        outcome: Result<(), FsError>,
    ) {
        // Without an export that the caller may use there is nothing that was nearly changed.
        let Ok(dir) = self.named(caller, at.0) else { return };
        if !dir.export.audit {
            return;
        }
        let path = path_in(&dir, at.1);
        let to = to.and_then(|to| Some(path_in(&self.named(caller, to.0).ok()?, to.1)));
        let (export, client) = (&dir.export.path, caller.address.to_canonical());
        let Caller { uid, gid, .. } = *caller;
        let refused = outcome.err();
        let refused = refused.as_ref().map(tracing::field::display);
        tracing::info!(target: "audit", operation, export, path, to, %client, uid, gid, refused);
    }
}

/// Where a name of a folder is, from the customer's root.
fn path_in<C: StorageCenter>(dir: &Object<'_, C>, name: &[u8]) -> String {
    dir.customer.directory.path_in(dir.place.object, name)
}
