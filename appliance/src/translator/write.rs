//! WRITE, COMMIT and truncation: into the journal (design "WRITE and COMMIT" for a single port).
//!
//! A write is taken only if it can also be uploaded: permissions and quota are checked before, for what was
//! acknowledged must not be lost afterwards.

use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, future};
use nfs::filesystem::{
    Before, Caller, FileKind, FsError, FsResult, Handle, Mutation, Stability, Wcc, Written,
};
use protocol::metadata::UnixMetadata;
use protocol::vfs::{Operation, Request, VfsErrorCode};
use tokio::time::timeout;

use super::attributes::{kind, next_change, permissions};
use super::{
    FILE_BYTES_MAX, Object, RACES_MAX, TRANSFER_BYTES_MAX, Translator, base_of, failed, stale_if_gone,
    step_key,
};
use crate::center::StorageCenter;
use crate::host;
use crate::journal::{FileKey, JournalError, Lsn};
use crate::mirror::safety::until;

/// How long a port of a pair tries to make a write outlast it before the client is told to come again.
const SAFE_TIME: Duration = Duration::from_secs(10);

/// What is staged.
enum Staging {
    Bytes(u64, Bytes),
    Size(u64),
}

impl<C: StorageCenter> Translator<C> {
    /// WRITE.
    pub(super) async fn write_file(
        &self,
        caller: &Caller,
        file: &Handle,
        offset: u64,
        mut data: Bytes,
        stability: Stability,
    ) -> Mutation<Written> {
        let object = match self.writable(caller, file) {
            Ok(object) => object,
            Err(error) => return failed(error),
        };
        data.truncate(TRANSFER_BYTES_MAX as usize);
        let count = data.len() as u32;
        let is_stable = stability != Stability::Unstable;
        let staged = self.stage_and_sync(caller, &object, Staging::Bytes(offset, data), is_stable).await;
        let committed = if is_stable { Stability::FileSync } else { Stability::Unstable };
        match staged {
            Ok(wcc) => Mutation { result: Ok(Written { count, committed }), wcc },
            Err(error) => Mutation { result: Err(error), wcc: self.known_after(&object) },
        }
    }

    /// COMMIT: of all that was written to the file, for one sync of the journal makes all of it durable.
    pub(super) async fn commit_file(&self, caller: &Caller, file: &Handle) -> Mutation<()> {
        let object = match self.writable(caller, file) {
            Ok(object) => object,
            Err(error) => return failed(error),
        };
        match self.commit_staged(&object).await {
            Ok(before) => {
                Mutation { result: Ok(()), wcc: Wcc { before: Some(before), ..self.known_after(&object) } }
            }
            Err(error) => Mutation { result: Err(error), wcc: self.known_after(&object) },
        }
    }

    async fn commit_staged(&self, object: &Object<'_, C>) -> FsResult<Before> {
        let staged = self.staged(object);
        let entry = object.entry().await?;
        match kind(&entry) {
            FileKind::Regular => permissions(&entry).may_write(&object.who)?,
            FileKind::Directory => return Err(FsError::IsDirectory),
            FileKind::Symlink => return Err(FsError::Invalid),
        }
        // If nothing is staged all of it is at the center; but the other port of a pair may not know that yet, and would
        // put older bytes over it.
        let last = match &staged {
            Some(view) => Some(view.lsn),
            None => self.safety.as_ref().map(|_| self.journal.last()),
        };
        if let Some(lsn) = last {
            self.sync(object.file(), lsn).await?;
        }
        Ok(Before::from(&self.show(object, &entry, staged.as_ref())))
    }

    /// Gives a file another size; durable before the answer.
    pub(super) async fn resize(&self, caller: &Caller, object: &Object<'_, C>, size: u64) -> FsResult<Wcc> {
        self.stage_and_sync(caller, object, Staging::Size(size), true).await
    }

    async fn stage_and_sync(
        &self,
        caller: &Caller,
        object: &Object<'_, C>,
        staging: Staging,
        is_stable: bool,
    ) -> FsResult<Wcc> {
        let (before, lsn) = self.stage(caller, object, &staging).await?;
        self.uploader.wake();
        if is_stable && let Some(lsn) = lsn {
            self.sync(object.file(), lsn).await?;
        }
        Ok(Wcc { before: Some(before), after: self.known_after(object).after })
    }

    async fn stage(
        &self,
        caller: &Caller,
        object: &Object<'_, C>,
        staging: &Staging,
    ) -> FsResult<(Before, Option<Lsn>)> {
        for attempt in 0..RACES_MAX {
            let staged = self.staged(object);
            let mut entry = if attempt == 0 { object.entry().await? } else { object.entry_anew().await? };
            match kind(&entry) {
                FileKind::Regular => permissions(&entry).may_write(&object.who)?,
                FileKind::Directory => return Err(FsError::IsDirectory),
                FileKind::Symlink => return Err(FsError::Invalid),
            }
            let shown = self.show(object, &entry, staged.as_ref());
            let size = match staging {
                Staging::Size(size) => *size,
                Staging::Bytes(offset, data) => {
                    let end = offset.checked_add(data.len() as u64).ok_or(FsError::FileTooLarge)?;
                    if data.is_empty() {
                        return Ok((Before::from(&shown), None));
                    }
                    end.max(shown.size)
                }
            };
            if size > FILE_BYTES_MAX {
                return Err(FsError::FileTooLarge);
            }
            let counted = base_of(&entry)?.content.size;
            object.customer.check_room(entry.row.id, counted, size).await?;
            if permissions(&entry).mode_after_write(&object.who) != entry.unix.mode {
                self.take_privilege(caller, object).await?;
                entry = object.entry().await?;
            }
            let (file, base) = (object.file(), base_of(&entry)?);
            let now = next_change(host::now(), &entry.row, staged.as_ref());
            let appended = match staging {
                Staging::Bytes(offset, data) => {
                    self.journal.write(file, base, *offset, data.clone(), now).await
                }
                Staging::Size(size) => self.journal.truncate(file, base, *size, now).await,
            };
            match appended {
                Ok(lsn) => {
                    object.customer.note(entry.row.id, || self.journal.view(file));
                    self.note_room();
                    return Ok((Before::from(&shown), Some(lsn)));
                }
                // An upload ended between: the row says so by now.
                Err(JournalError::StaleBase) => {}
                Err(error) => return Err(self.journal_error(&error)),
            }
        }
        Err(FsError::TryLater)
    }

    /// Takes set-user-id and set-group-id from a file that somebody else than root writes.
    async fn take_privilege(&self, caller: &Caller, object: &Object<'_, C>) -> FsResult<()> {
        for attempt in 0..RACES_MAX {
            let entry = if attempt == 0 { object.entry().await? } else { object.entry_anew().await? };
            let mode = permissions(&entry).mode_after_write(&object.who);
            if mode == entry.unix.mode {
                return Ok(());
            }
            let operation = Operation::Update {
                id: entry.row.id,
                if_version: Some(entry.row.version),
                metadata: Some(UnixMetadata { mode, ..entry.unix.clone() }.encode()),
                modified: Some(entry.row.modified),
                changed: None,
                upload: None,
            };
            let request = Request { key: step_key(caller, attempt + 1), operation };
            match object.customer.directory.change(request).await {
                Ok(_) => return Ok(()),
                Err(error) if error.code() == Some(VfsErrorCode::VersionMismatch) => {}
                Err(error) => return Err(stale_if_gone(error)),
            }
        }
        Err(FsError::TryLater)
    }

    /// Waits until the journal's records up to `lsn`, the last of them of `file`, outlast whatever may happen: on this
    /// port's disk, and in a pair where it has decided to.
    async fn sync(&self, file: FileKey, lsn: Lsn) -> FsResult<()> {
        let here = async { self.journal.sync(lsn).await.map_err(|error| self.journal_error(&error)) };
        let Some(safety) = &self.safety else { return here.await };
        let elsewhere = async {
            loop {
                until(safety, |safety| safety.is_kept(lsn)).await;
                let now = *safety.borrow();
                // Another decision may have come meanwhile.
                if now.is_kept(lsn) && (!now.center || self.uploader.has_uploaded(file, lsn)) {
                    return;
                }
                if now.center {
                    self.uploader.upload_soon(file, lsn).await;
                }
            }
        };
        let ((), ()) = timeout(SAFE_TIME, future::try_join(here, elsewhere.map(Ok)))
            .await
            .unwrap_or(Err(FsError::TryLater))?;
        Ok(())
    }

    /// Forgets what is staged of a file that was removed. If an upload of it has begun, the uploader finds the file
    /// gone and forgets it: only then is it known that the center keeps no reference of that upload, crash or not.
    pub(super) async fn forget_staged(&self, object: &Object<'_, C>, removed: protocol::id::ObjectId) {
        let file = object.file_of(removed);
        if self.journal.view(file).is_some_and(|view| !view.is_uploading) {
            if let Err(error) = self.journal.drop_file(file, host::now()).await {
                // The uploader finds the file gone and tries again.
                tracing::warn!(%removed, "removed, but not yet dropped from the journal: {error}");
            }
            object.customer.note(removed, || self.journal.view(file));
        }
    }

    /// Times set on a file that has staged writes must outlast their upload. Whether it had any.
    pub(super) async fn set_staged_times(
        &self,
        object: &Object<'_, C>,
        modified: Option<protocol::id::Timestamp>,
        changed: protocol::id::Timestamp,
    ) -> FsResult<bool> {
        let set = self.journal.set_times(object.file(), modified, changed).await;
        match set.map_err(|error| self.journal_error(&error))? {
            Some(lsn) => self.sync(object.file(), lsn).await.map(|()| true),
            None => Ok(false),
        }
    }
}
