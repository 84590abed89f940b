//! SETATTR: attributes into the row's metadata, sizes into the journal, times into both.

use nfs::filesystem::{
    Before, Caller, FsError, FsResult, Handle, Marks, Mutation, SetAttributes, SetTime, Time, Wcc,
};
use protocol::id::Timestamp;
use protocol::metadata::UnixMetadata;
use protocol::vfs::{Operation, Request, VfsErrorCode};

use super::attributes::{kind, next_change, permissions, timestamp};
use super::{Object, RACES_MAX, Translator, failed, stale_if_gone, step_key};
use crate::center::StorageCenter;
use crate::directory_cache::Entry;
use crate::host;
use crate::journal::StagedView;

impl<C: StorageCenter> Translator<C> {
    /// SETATTR.
    pub(super) async fn set_attributes(
        &self,
        caller: &Caller,
        object: &Handle,
        set: &SetAttributes,
        guard: Option<Time>,
    ) -> Mutation<()> {
        let object = match self.writable(caller, object) {
            Ok(object) => object,
            Err(error) => return failed(error),
        };
        match self.set(caller, &object, set, guard).await {
            Ok(before) => {
                Mutation { result: Ok(()), wcc: Wcc { before: Some(before), ..self.known_after(&object) } }
            }
            Err(error) => Mutation { result: Err(error), wcc: self.known_after(&object) },
        }
    }

    async fn set(
        &self,
        caller: &Caller,
        object: &Object<'_, C>,
        set: &SetAttributes,
        guard: Option<Time>,
    ) -> FsResult<Before> {
        for attempt in 0..RACES_MAX {
            let staged = self.staged(object);
            let entry = if attempt == 0 { object.entry().await? } else { object.entry_anew().await? };
            let shown = self.show(object, &entry, staged.as_ref());
            if guard.is_some_and(|guard| guard != shown.changed) {
                return self.answer_of_first(caller, object, &entry).await.map(|()| Before::from(&shown));
            }
            let wanted = Wanted::new(object, &entry, set, host::now())?;
            if wanted.changes_row(&entry) {
                let update = wanted.update(&entry, staged.as_ref());
                let request = Request { key: step_key(caller, attempt), operation: update };
                match object.customer.directory.change(request).await {
                    Ok(_) => {}
                    Err(error) if error.code() == Some(VfsErrorCode::VersionMismatch) => continue,
                    Err(error) => return Err(stale_if_gone(error)),
                }
                if let Some(view) = staged {
                    let changed = next_change(host::now(), &entry.row, Some(&view));
                    self.set_staged_times(object, wanted.modified, changed).await?;
                }
            }
            if let Some(size) = set.size {
                self.resize(caller, object, size).await?;
                if let Some(modified) = wanted.modified {
                    self.set_time_of_resized(object, modified).await?;
                }
            }
            return Ok(Before::from(&shown));
        }
        Err(FsError::TryLater)
    }

    /// A new size is a modification, but a time that came with it is the one to show (RFC 1813 §3.3.2).
    pub(super) async fn set_time_of_resized(
        &self,
        object: &Object<'_, C>,
        modified: Timestamp,
    ) -> FsResult<()> {
        let entry = object.entry().await?;
        let changed = next_change(host::now(), &entry.row, self.staged(object).as_ref());
        if !self.set_staged_times(object, Some(modified), changed).await? {
            // The new size was staged a moment ago, and a file is not uploaded before it is quiet: only one that the
            // journal hurries for want of room can be gone by now, and with it goes no more than this time.
            tracing::debug!(file = %entry.row.id, "uploaded before its time was set");
        }
        Ok(())
    }

    /// The guard does not match: either somebody changed the object, or this very call did, and its answer was lost. The
    /// VFS knows: an update that no version fits has no effect, but under the key of the first call gets its answer.
    async fn answer_of_first(&self, caller: &Caller, object: &Object<'_, C>, entry: &Entry) -> FsResult<()> {
        let operation = Operation::Update {
            id: entry.row.id,
            if_version: Some(0),
            metadata: None,
            modified: None,
            changed: None,
            upload: None,
        };
        let request = Request { key: step_key(caller, 0), operation };
        match object.customer.directory.change(request).await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some(VfsErrorCode::VersionMismatch) => Err(FsError::NotSync),
            Err(error) => Err(stale_if_gone(error)),
        }
    }
}

/// What a row is to become.
struct Wanted {
    unix: UnixMetadata,
    modified: Option<Timestamp>,
    is_foreign: bool,
}

impl Wanted {
    fn new<C>(object: &Object<'_, C>, entry: &Entry, set: &SetAttributes, now: Timestamp) -> FsResult<Self> {
        let new = permissions(entry).set(&object.who, set)?;
        let mut unix = UnixMetadata { mode: new.mode, uid: new.uid, gid: new.gid, ..entry.unix.clone() };
        if let Some(accessed) = point(set.accessed, now) {
            unix.accessed = accessed;
        }
        if let Some(born) = point(set.born, now) {
            unix.born = (born != entry.row.created).then_some(born);
        }
        if let Some(marks) = set.marks {
            unix.marks = (marks != Marks::usual(kind(entry))).then_some(marks.bits());
        }
        // The client has the answer of its exclusive create: it goes on to set the attributes it wanted.
        if unix != entry.unix {
            unix.create_verifier = None;
        }
        let is_foreign = entry.is_foreign && unix != entry.unix;
        if is_foreign {
            return Err(FsError::NotSupported);
        }
        Ok(Self { unix, modified: point(set.modified, now), is_foreign: entry.is_foreign })
    }

    fn changes_row(&self, entry: &Entry) -> bool {
        self.modified.is_some() || self.unix != entry.unix
    }

    fn update(&self, entry: &Entry, staged: Option<&StagedView>) -> Operation {
        Operation::Update {
            id: entry.row.id,
            if_version: Some(entry.row.version),
            metadata: (!self.is_foreign).then(|| self.unix.encode()),
            // An attribute is no content: without a new time the old one stays.
            modified: Some(self.modified.unwrap_or(entry.row.modified)),
            // What is staged hides the row's time, unless the row's is later.
            changed: staged.map(|view| next_change(host::now(), &entry.row, Some(view))),
            upload: None,
        }
    }
}

fn point(set: SetTime, now: Timestamp) -> Option<Timestamp> {
    match set {
        SetTime::Keep => None,
        SetTime::ServerTime => Some(now),
        SetTime::To(to) => Some(timestamp(to)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::translator::attributes::time;

    #[test]
    fn a_time_set_is_the_time_shown() {
        let set = Time { seconds: 1_700_000_000, nanos: 123_456_789 };
        assert_eq!(point(SetTime::To(set), Timestamp(0)).map(time), Some(set));
        assert_eq!(point(SetTime::ServerTime, Timestamp(5)), Some(Timestamp(5)));
        assert_eq!(point(SetTime::Keep, Timestamp(5)), None);
    }
}
