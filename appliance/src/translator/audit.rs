//! The audit log of an export: who changed which name, or tried to. One event each, of the target `audit`, so that a log's
//! reader finds them and a filter (`RUST_LOG=warn,audit=info`) keeps them.
//!
//! What a client chose is told quoted, control characters escaped: no name can look like another line of the log.

use nfs::filesystem::{Caller, FsError, Mutation};
use protocol::id::ObjectId;
use protocol::vfs::Row;

use super::names::Entered;
use super::{Object, Translator};
use crate::center::StorageCenter;

/// Folders above a name that are told; deeper ones are left out.
const FOLDERS_MAX: usize = 64;

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
    let known = |id| dir.customer.directory.known(id);
    path(dir.place.object, name, |id| known(id).map(|entry| entry.row.clone()))
}

/// The same; a folder whose row is not at hand is told by its id.
fn path(folder: ObjectId, name: &[u8], row: impl Fn(ObjectId) -> Option<Row>) -> String {
    let mut parts = vec![String::from_utf8_lossy(name).into_owned()];
    let mut next = Some(folder);
    while let Some(id) = next.filter(|_| parts.len() <= FOLDERS_MAX) {
        match row(id) {
            Some(Row { parent, name: Some(name), .. }) => {
                parts.push(String::from_utf8_lossy(name.as_bytes()).into_owned());
                next = parent;
            }
            Some(_) => {
                parts.push(String::new());
                next = None;
            }
            None => {
                parts.push(format!("[{id}]"));
                next = None;
            }
        }
    }
    parts.reverse();
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use protocol::id::Timestamp;
    use protocol::name::Name;
    use protocol::vfs::Body;

    use super::*;

    /// The chain of folders 1, 2, 3 … of which the first is the root, as far as they are known.
    fn chain(known: std::ops::RangeInclusive<u64>) -> impl Fn(ObjectId) -> Option<Row> {
        move |id| {
            let name = (id.0 > 1).then(|| Name::new(format!("f{}", id.0).as_bytes()).unwrap());
            let parent = (id.0 > 1).then(|| ObjectId(id.0 - 1));
            let time = Timestamp(0);
            known.contains(&id.0).then(|| Row {
                id,
                parent,
                name,
                version: 1,
                created: time,
                modified: time,
                changed: time,
                metadata: Vec::new(),
                body: Body::Folder { subfolders: 0 },
                srl: None,
            })
        }
    }

    /// PORT-9: a name is told with its folders, as far as they are at hand, and with a bounded number of them.
    #[test]
    fn a_name_is_told_with_the_folders_that_are_known() {
        assert_eq!(path(ObjectId(1), b"a", chain(1..=9)), "/a");
        assert_eq!(path(ObjectId(3), b"a\nb", chain(1..=9)), "/f2/f3/a\nb");
        assert_eq!(path(ObjectId(3), b"a", chain(3..=9)), format!("[{}]/f3/a", ObjectId(2)));
        assert_eq!(path(ObjectId(3), b"\xff", chain(4..=9)), format!("[{}]/\u{fffd}", ObjectId(3)));
        let deep = path(ObjectId(1_000), b"a", chain(1..=1_000));
        assert_eq!((deep.split('/').count(), deep.split('/').next()), (FOLDERS_MAX + 1, Some("f937")));
    }
}
