//! READDIR and READDIRPLUS.
//!
//! Entries come in order of id, and the cookie of an entry is its id: so a cookie stays good whatever is added or
//! removed, after a restart, and on the other port of a pair. 1 and 2 are the cookies of `.` and `..`; no object has
//! such an id.
//!
//! In a folder of what is kept come the folders that are there, then the versions in order of their numbers, which grow
//! likewise; a version's cookie is its number with a bit that no id has.

use nfs::filesystem::{Caller, DirEntry, FsError, FsResult, Handle, ListFrom, Listing};
use protocol::id::ObjectId;

use super::handle::View;
use super::lookup::parent;
use super::{Object, Translator, kept, stale_if_gone};
use crate::center::StorageCenter;
use crate::directory_cache::{Entry, Page};
use crate::journal::{StagedView, Views};

pub(super) const SELF_COOKIE: u64 = 1;
pub(super) const PARENT_COOKIE: u64 = 2;
/// Entries taken from the cache at once: a third of what a reply of 64 KiB holds, so that few are taken in vain and
/// others need not wait long for the cache.
pub(super) const STEP_ENTRIES: usize = 128;

/// Some entries of a folder, and those of them that are staged, by their index and in its order.
struct Step {
    page: Page,
    staged: Vec<(usize, StagedView)>,
}

impl<C: StorageCenter> Translator<C> {
    /// Gives entries of a folder to `into` while it takes them; whether it took the last.
    pub(super) async fn list_folder(
        &self,
        caller: &Caller,
        dir: &Handle,
        from: ListFrom,
        into: &mut impl Listing,
    ) -> FsResult<bool> {
        let mut dir = self.object(caller, dir)?;
        let (folder, permissions) = dir.folder().await?;
        permissions.may_list(&dir.who)?;
        if from.objects {
            dir.heed_rule_in(folder.row.id).await?;
        }
        let verifier = self.key.cookie_verifier(&dir.place);
        if from.cookie != 0 && from.verifier != verifier {
            return Err(FsError::BadCookie);
        }
        into.begin(&self.show(&dir, &folder, None), verifier);
        if dir.place.view == View::Kept {
            return self.list_kept(&dir, &folder, from, into).await;
        }
        let hides = kept::has_entrance(&dir, &folder).await?;
        let mut add = |entry: &Entry, name: &[u8], cookie: u64, staged: Option<&StagedView>| {
            // Each where it stays: moving these from hand to hand would cost as much as making them.
            let (handle, attributes);
            let object = if from.objects {
                handle = self.handle_of(&dir, entry);
                attributes = self.show(&dir, entry, staged);
                Some((&handle, &attributes))
            } else {
                None
            };
            into.add(DirEntry { fileid: entry.row.id.0, name, cookie, object })
        };
        if from.cookie < SELF_COOKIE && !add(&folder, b".", SELF_COOKIE, None) {
            return Ok(false);
        }
        if from.cookie < PARENT_COOKIE && !add(&*parent(&dir, &folder).await?, b"..", PARENT_COOKIE, None) {
            return Ok(false);
        }
        let mut after = if from.cookie > PARENT_COOKIE { from.cookie } else { 0 };
        loop {
            let Step { page, staged } = self.step(&dir, folder.row.id, after).await?;
            let mut staged = staged.iter().peekable();
            for (index, entry) in page.entries().iter().enumerate() {
                let view = staged.next_if(|(staged, _)| *staged == index).map(|(_, view)| view);
                let Some(name) = &entry.row.name else { continue };
                if hides && name.as_bytes() == kept::NAME.as_bytes() {
                    continue;
                }
                if !add(entry, name.as_bytes(), entry.row.id.0, view) {
                    return Ok(false);
                }
            }
            match page.entries().last() {
                Some(last) if !page.end => after = last.row.id.0,
                _ => return Ok(true),
            }
        }
    }

    async fn step(&self, dir: &Object<'_, C>, folder: ObjectId, after: u64) -> FsResult<Step> {
        let directory = &dir.customer.directory;
        let known = || {
            self.journal.at_one_moment(|views| {
                let page = directory.known_page(folder, after, STEP_ENTRIES)?;
                Some(Step::new(page, dir, views))
            })
        };
        if let Some(step) = known() {
            return Ok(step);
        }
        let page = directory.page(folder, after, STEP_ENTRIES).await.map_err(stale_if_gone)?;
        // Usually it is held now. If not, because the folder changes all the time, the answer itself will do.
        Ok(known().unwrap_or_else(|| self.journal.at_one_moment(|views| Step::new(page, dir, views))))
    }
}

impl Step {
    fn new<C: StorageCenter>(page: Page, dir: &Object<'_, C>, views: Views<'_>) -> Self {
        let view = |(index, id)| Some((index, views.of(dir.file_of(id))?));
        let staged = page.entries().iter().map(|entry| entry.row.id).enumerate().filter_map(view).collect();
        Self { page, staged }
    }
}
