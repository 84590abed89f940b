//! What the storage center keeps of deleted and overwritten files, as far as somebody asked lately.
//!
//! A version never changes. It only goes, when its time is over or it is restored, and no feed tells of that: so what is
//! held is believed for as long as the directory is without its feed, and without the center whatever its age.

use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;
use protocol::id::{ObjectId, Timestamp, VersionId};
use protocol::vfs::{Answer, Kind, Operation, Request, Version, Versioned};

use super::{Directory, Entry};
use crate::center::{CenterError, StorageCenter};

/// Versions held: what a few thousand clients look at, in some MB.
const HELD_MAX: NonZeroUsize = NonZeroUsize::new(4_096).expect("not zero");

/// A row as it was.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The version's number.
    pub id: VersionId,
    /// When the row was deleted, or its contents overwritten.
    pub at: Timestamp,
    /// The row just before.
    pub entry: Arc<Entry>,
}

impl From<Version> for Kept {
    fn from(Version { id, at, row, .. }: Version) -> Self {
        Self { id, at, entry: Arc::new(Entry::new(row)) }
    }
}

/// The versions held. Pure.
#[derive(Debug)]
pub(super) struct Memory {
    versions: LruCache<VersionId, (Kept, Instant)>,
    /// Deleted folders, each of which is one version.
    folders: LruCache<ObjectId, VersionId>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { versions: LruCache::new(HELD_MAX), folders: LruCache::new(HELD_MAX) }
    }
}

impl Memory {
    fn hold(&mut self, kept: &Kept, now: Instant) {
        if kept.entry.row.kind() == Kind::Folder {
            self.folders.put(kept.entry.row.id, kept.id);
        }
        self.versions.put(kept.id, (kept.clone(), now));
    }

    /// A version, if it is held for less than `believe`; however long, if that is `None`.
    fn version(&mut self, id: VersionId, now: Instant, believe: Option<Duration>) -> Option<Kept> {
        let (kept, held) = self.versions.get(&id)?;
        let age = now.saturating_duration_since(*held);
        believe.is_none_or(|believe| age < believe).then(|| kept.clone())
    }

    /// A deleted folder, likewise.
    fn folder(&mut self, id: ObjectId, now: Instant, believe: Option<Duration>) -> Option<Kept> {
        let version = *self.folders.get(&id)?;
        self.version(version, now, believe)
    }
}

impl<C: StorageCenter> Directory<C> {
    /// Versions of what was in a folder, there or deleted, with numbers above `after` and in their order, 1 to 1,000 of them
    /// at most; and whether more follow. Always asked of the VFS.
    ///
    /// # Errors
    /// Those of the center.
    pub async fn versions(
        &self,
        folder: ObjectId,
        after: VersionId,
        limit: u32,
    ) -> Result<(Vec<Kept>, bool), CenterError> {
        self.ask_versions(Versioned::Folder(folder), after, limit).await
    }

    /// The version of this number of what was in a folder; `None` if there is none, or none any more.
    ///
    /// # Errors
    /// Those of the center, if the version is not held.
    pub async fn version_in(&self, folder: ObjectId, id: VersionId) -> Result<Option<Kept>, CenterError> {
        let found = self.version(Versioned::Folder(folder), id).await?;
        Ok(found.filter(|kept| kept.entry.row.parent == Some(folder)))
    }

    /// The version of this number of a file; `None` if there is none any more.
    ///
    /// # Errors
    /// Those of the center, if the version is not held.
    pub async fn version_of(&self, file: ObjectId, id: VersionId) -> Result<Option<Kept>, CenterError> {
        let found = self.version(Versioned::Id(file), id).await?;
        Ok(found.filter(|kept| kept.entry.row.id == file))
    }

    /// The same as the VFS has it now.
    pub async fn refresh_version_of(
        &self,
        file: ObjectId,
        id: VersionId,
    ) -> Result<Option<Kept>, CenterError> {
        self.ask_version(Versioned::Id(file), id).await
    }

    /// A deleted folder; `None` if nothing is kept of it.
    ///
    /// # Errors
    /// Those of the center, if the folder is not held.
    pub async fn deleted_folder(&self, folder: ObjectId) -> Result<Option<Kept>, CenterError> {
        let ask = async { Ok(self.ask_versions(Versioned::Id(folder), VersionId(0), 1).await?.0.pop()) };
        self.held_or(|memory, now, believe| memory.folder(folder, now, believe), ask).await
    }

    async fn version(&self, of: Versioned, id: VersionId) -> Result<Option<Kept>, CenterError> {
        self.held_or(|memory, now, believe| memory.version(id, now, believe), self.ask_version(of, id)).await
    }

    async fn held_or(
        &self,
        held: impl Fn(&mut Memory, Instant, Option<Duration>) -> Option<Kept>,
        ask: impl Future<Output = Result<Option<Kept>, CenterError>>,
    ) -> Result<Option<Kept>, CenterError> {
        let believed = held(&mut self.kept(), Instant::now(), Some(self.settings.believe));
        if believed.is_some() {
            return Ok(believed);
        }
        match ask.await {
            Err(error) if error.is_unavailable() => {
                held(&mut self.kept(), Instant::now(), None).map(Some).ok_or(error)
            }
            answered => answered,
        }
    }

    /// A list that begins at a number has what there is of it in front.
    async fn ask_version(&self, of: Versioned, id: VersionId) -> Result<Option<Kept>, CenterError> {
        let (mut versions, _) = self.ask_versions(of, VersionId(id.0.saturating_sub(1)), 1).await?;
        let found = versions.pop().filter(|kept| kept.id == id);
        if found.is_none() {
            self.kept().versions.pop(&id);
        }
        Ok(found)
    }

    async fn ask_versions(
        &self,
        of: Versioned,
        after: VersionId,
        limit: u32,
    ) -> Result<(Vec<Kept>, bool), CenterError> {
        let operation = Operation::Versions { of, after: (after.0 > 0).then_some(after), limit };
        match self.operate(Request { key: None, operation }).await?.answer {
            Answer::Versions { versions, more } => {
                let versions: Vec<Kept> = versions.into_iter().map(Kept::from).collect();
                let (mut kept, now) = (self.kept(), Instant::now());
                versions.iter().for_each(|version| kept.hold(version, now));
                drop(kept);
                Ok((versions, more))
            }
            _ => Err(CenterError::unexpected_answer()),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Memory> {
        // No code panics while it holds the lock.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::rows::{file, folder};

    fn kept(id: u64, row: protocol::vfs::Row) -> Kept {
        Kept { id: VersionId(id), at: Timestamp(5), entry: Arc::new(Entry::new(row)) }
    }

    #[test]
    fn what_is_held_is_believed_for_some_time_and_no_more_than_the_bound_is_held() {
        let (mut memory, start) = (Memory::default(), Instant::now());
        memory.hold(&kept(1, file(101, 100, 1)), start);
        let second = Duration::from_secs(1);
        assert!(memory.version(VersionId(1), start + second, Some(2 * second)).is_some());
        assert!(memory.version(VersionId(1), start + 2 * second, Some(2 * second)).is_none());
        assert!(memory.version(VersionId(1), start + 9 * second, None).is_some(), "without the center");
        for id in 2..=HELD_MAX.get() as u64 + 1 {
            memory.hold(&kept(id, folder(200 + id, Some(100), 1)), start);
        }
        assert!(memory.version(VersionId(1), start, None).is_none());
        assert_eq!((memory.versions.len(), memory.folders.len()), (HELD_MAX.get(), HELD_MAX.get()));
        let found = memory.folder(ObjectId(202), start, None);
        assert_eq!(found.map(|kept| kept.id), Some(VersionId(2)));
    }
}
