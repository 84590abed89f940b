//! All that the port holds for one customer, and how much room he has left.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use nfs::filesystem::{FsError, FsResult};
use protocol::id::{CustomerId, ObjectId};
use protocol::srl::Secret;
use protocol::vfs::Usage;

use crate::center::{CenterError, Fenced, StorageCenter};
use crate::directory_cache::{Directory, Entry};
use crate::folder_rules::{FolderRules, Rule};
use crate::journal::StagedView;
use crate::object::{Keeping, Objects};

/// How old the known use may be before it is asked for again.
const USAGE_AGE_MAX: Duration = Duration::from_secs(2);

/// One customer of the storage center.
pub struct Customer<C> {
    /// His id.
    pub id: CustomerId,
    /// The way to the center.
    pub center: Arc<C>,
    /// His rows.
    pub directory: Arc<Directory<C>>,
    /// His objects' bytes.
    pub objects: Objects<C>,
    /// It signs the SRLs of the `/SRL` tree.
    secret: ArcSwap<Secret>,
    rules: ArcSwap<FolderRules>,
    room: Mutex<Room>,
    is_asking: AtomicBool,
}

#[derive(Default)]
struct Room {
    usage: Option<(Usage, Instant)>,
    /// By how much each staged file is larger than what the VFS counts of it.
    staged: HashMap<ObjectId, u64>,
    staged_bytes: u64,
}

impl<C: StorageCenter> Customer<C> {
    /// A customer whose parts are ready.
    pub fn new(
        id: CustomerId,
        secret: Secret,
        center: Arc<C>,
        directory: Arc<Directory<C>>,
        objects: Objects<C>,
    ) -> Self {
        Self {
            id,
            center,
            directory,
            objects,
            secret: ArcSwap::from_pointee(secret),
            rules: ArcSwap::default(),
            room: Mutex::default(),
            is_asking: AtomicBool::new(false),
        }
    }

    /// His secret.
    pub fn secret(&self) -> Arc<Secret> {
        self.secret.load_full()
    }

    /// The rules of his folders; none at first.
    pub fn rules(&self) -> Arc<FolderRules> {
        self.rules.load_full()
    }

    /// Takes other rules.
    pub fn set_rules(&self, rules: FolderRules) {
        self.rules.store(Arc::new(rules));
    }

    /// Whether no folder of his has a rule: then none of the following asks anybody.
    fn is_unruled(&self) -> bool {
        self.rules.load().is_empty()
    }

    /// What holds for the files right in a folder.
    ///
    /// # Errors
    /// Of the center, if a folder on the way there is not at hand.
    pub async fn rule_in(&self, folder: ObjectId) -> Result<Rule, CenterError> {
        if self.is_unruled() {
            return Ok(Rule::default());
        }
        Ok(rule_of(&self.rules(), &self.directory.way(folder).await?))
    }

    /// What holds for a file.
    ///
    /// # Errors
    /// The same; `NotFound` of the VFS if the file is gone.
    pub async fn rule_for(&self, file: ObjectId) -> Result<Rule, CenterError> {
        if self.is_unruled() {
            return Ok(Rule::default());
        }
        match self.directory.row(file).await?.row.parent {
            Some(folder) => self.rule_in(folder).await,
            None => Ok(Rule::default()),
        }
    }

    /// The same without asking anybody; `None` if it is not at hand.
    pub fn known_rule_for(&self, file: ObjectId) -> Option<Rule> {
        if self.is_unruled() {
            return Some(Rule::default());
        }
        match self.directory.known(file)?.row.parent {
            Some(folder) => Some(rule_of(&self.rules(), &self.directory.known_way(folder)?)),
            None => Some(Rule::default()),
        }
    }

    /// Whether the contents of a file right in `folder` are kept in the cache. Not where nobody can say: what must not
    /// be kept is not kept then either, and what is there is found all the same.
    pub async fn keeping_in(&self, folder: Option<ObjectId>) -> Keeping {
        match folder {
            Some(folder) if !self.is_unruled() => {
                self.rule_in(folder).await.map_or(Keeping::Passing, Keeping::of)
            }
            _ => Keeping::Kept,
        }
    }

    /// Whether a file may grow to `size` bytes, where the VFS counts `counted` of it (design: quota is checked before
    /// a write is taken, for after that it must not be lost).
    ///
    /// # Errors
    /// `QuotaExceeded`, and only after the VFS was asked anew: the customer may have made room. A full cluster is no
    /// error: the journal keeps what it took until the operator has added disks.
    pub async fn check_room(self: &Arc<Self>, file: ObjectId, counted: u64, size: u64) -> FsResult<()> {
        if size <= counted {
            return Ok(());
        }
        let is_known = match self.room().usage {
            Some((_, asked)) if asked.elapsed() < USAGE_AGE_MAX => true,
            Some(_) => {
                self.ask_beside();
                true
            }
            None => false,
        };
        if is_known && self.room().takes(file, size - counted).is_ok() {
            return Ok(());
        }
        // The center away: take the write, as long as the journal does (design decision 13).
        if self.ask().await.is_err() {
            return Ok(());
        }
        self.room().takes(file, size - counted)
    }

    /// Notes what is staged of a file now, as `view` of the journal says, and how large it is beyond what the VFS counts
    /// of it. Whoever stages, uploads or drops says so afterwards, in any order: the view is taken under the lock, so
    /// that the last to say it says what is true, and a file that is settled stays so.
    pub fn note(&self, file: ObjectId, view: impl FnOnce() -> Option<StagedView>) {
        let mut room = self.room();
        match view() {
            Some(view) => room.stage(file, view.size.saturating_sub(view.base.content.size)),
            None => room.settle(file),
        }
    }

    /// Notes that nothing is staged of any file.
    pub fn note_nothing(&self) {
        let mut room = self.room();
        room.staged.clear();
        room.staged_bytes = 0;
    }

    /// Quota and use, with what is staged counted in; an older answer while the center is away.
    ///
    /// # Errors
    /// `TryLater` if the center never said.
    pub async fn usage(&self) -> FsResult<Usage> {
        let is_fresh = self.room().usage.is_some_and(|(_, asked)| asked.elapsed() < USAGE_AGE_MAX);
        if !is_fresh {
            // An older answer will do.
            let _ = self.ask().await;
        }
        let room = self.room();
        let (usage, _) = room.usage.ok_or(FsError::TryLater)?;
        Ok(Usage {
            bytes_used: usage.bytes_used.saturating_add(room.staged_bytes),
            bytes_free: usage.bytes_free.saturating_sub(room.staged_bytes),
            ..usage
        })
    }

    async fn ask(&self) -> FsResult<()> {
        let usage = self.directory.usage().await?;
        self.room().usage = Some((usage, Instant::now()));
        Ok(())
    }

    /// Asks in a task of its own, one at a time.
    fn ask_beside(self: &Arc<Self>) {
        if !self.is_asking.swap(true, Ordering::AcqRel) {
            let customer = Arc::clone(self);
            tokio::spawn(async move {
                // Asked again at the next write.
                let _ = customer.ask().await;
                customer.is_asking.store(false, Ordering::Release);
            });
        }
    }

    fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What holds right in the lowest of these folders.
fn rule_of(rules: &FolderRules, way: &[Arc<Entry>]) -> Rule {
    rules.at(way.iter().rev().filter_map(|folder| folder.row.name.as_ref()).map(|name| name.as_bytes()))
}

impl Customer<Fenced<client::Center>> {
    /// Takes another secret, for SRLs and for requests to the center.
    pub fn set_secret(&self, secret: Secret) {
        self.center.inner().set_secret(secret.clone());
        self.secret.store(Arc::new(secret));
    }
}

impl Room {
    fn takes(&self, file: ObjectId, growth: u64) -> FsResult<()> {
        let Some((usage, _)) = self.usage else { return Ok(()) };
        let others = self.staged_bytes - self.staged.get(&file).copied().unwrap_or(0);
        let staged = others.saturating_add(growth);
        match usage.bytes_quota {
            Some(quota) if usage.bytes_used.saturating_add(staged) > quota => Err(FsError::QuotaExceeded),
            _ => Ok(()),
        }
    }

    fn stage(&mut self, file: ObjectId, growth: u64) {
        let before = self.staged.insert(file, growth).unwrap_or(0);
        self.staged_bytes = self.staged_bytes - before + growth;
    }

    fn settle(&mut self, file: ObjectId) {
        self.staged_bytes -= self.staged.remove(&file).unwrap_or(0);
        // The VFS counts more than before: ask at the next chance.
        if let Some((_, asked)) = &mut self.usage {
            *asked = asked.checked_sub(USAGE_AGE_MAX).unwrap_or(*asked);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(used: u64, quota: Option<u64>) -> Room {
        let usage =
            Usage { bytes_used: used, files_used: 1, bytes_quota: quota, files_quota: None, bytes_free: 0 };
        Room { usage: Some((usage, Instant::now())), ..Room::default() }
    }

    #[test]
    fn staged_growth_counts_against_the_quota() {
        let mut room = room(60, Some(100));
        assert_eq!(room.takes(ObjectId(1), 40), Ok(()));
        assert_eq!(room.takes(ObjectId(1), 41), Err(FsError::QuotaExceeded));
        room.stage(ObjectId(1), 30);
        assert_eq!(room.takes(ObjectId(1), 40), Ok(()), "its own growth counts once");
        assert_eq!(room.takes(ObjectId(2), 11), Err(FsError::QuotaExceeded));
        room.stage(ObjectId(1), 0);
        assert_eq!(room.takes(ObjectId(2), 40), Ok(()));
    }
}
