//! READDIR and READDIRPLUS.
//!
//! Entries come in order of id, and the cookie of an entry is its id: so a cookie stays good whatever is added or
//! removed, after a restart, and on the other port of a pair. 1 and 2 are the cookies of `.` and `..`; no object has
//! such an id.

use bytes::Bytes;
use nfs::filesystem::{Caller, DirEntry, FsError, FsResult, Handle, ListFrom, Listing};

use super::lookup::parent;
use super::{Object, Translator};
use crate::center::StorageCenter;
use crate::directory_cache::Entry;

const SELF_COOKIE: u64 = 1;
const PARENT_COOKIE: u64 = 2;

impl<C: StorageCenter> Translator<C> {
    /// A part of a folder, as long as was asked for unless the folder ends.
    pub(super) async fn list_folder(
        &self,
        caller: &Caller,
        dir: &Handle,
        from: ListFrom,
    ) -> FsResult<Listing> {
        let dir = self.object(caller, dir)?;
        let (folder, permissions) = dir.folder().await?;
        permissions.may_list(&dir.who)?;
        let verifier = self.key.cookie_verifier(&dir.place);
        if from.cookie != 0 && from.verifier != verifier {
            return Err(FsError::BadCookie);
        }
        let mut entries = Vec::new();
        if from.cookie < SELF_COOKIE {
            entries.push(self.entry_of(&dir, &folder, b".", SELF_COOKIE, from.objects));
        }
        if from.cookie < PARENT_COOKIE && entries.len() < from.entries_max {
            let above = parent(&dir, &folder).await?;
            entries.push(self.entry_of(&dir, &above, b"..", PARENT_COOKIE, from.objects));
        }
        let mut after = if from.cookie > PARENT_COOKIE { from.cookie } else { 0 };
        let mut end = false;
        while entries.len() < from.entries_max && !end {
            let limit = from.entries_max - entries.len();
            let page = dir.customer.directory.page(folder.row.id, after, limit).await;
            let page = page.map_err(super::stale_if_gone)?;
            end = page.end;
            let Some(last) = page.entries.last() else { break };
            after = last.row.id.0;
            entries.extend(page.entries.iter().filter_map(|entry| {
                let name = entry.row.name.as_ref()?;
                Some(self.entry_of(&dir, entry, name.as_bytes(), entry.row.id.0, from.objects))
            }));
        }
        Ok(Listing { entries, end, verifier })
    }

    fn entry_of(
        &self,
        dir: &Object<'_, C>,
        entry: &Entry,
        name: &[u8],
        cookie: u64,
        with_object: bool,
    ) -> DirEntry {
        DirEntry {
            fileid: entry.row.id.0,
            name: Bytes::copy_from_slice(name),
            cookie,
            object: with_object.then(|| self.found(dir, entry)),
        }
    }
}
