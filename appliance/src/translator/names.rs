//! Changes of folders: CREATE, MKDIR, SYMLINK, REMOVE, RMDIR, RENAME (PORT-9).
//!
//! Each is one operation of the VFS under the call's own key, and is never answered from the cache: so a repeated call,
//! over whatever connection and to either port of a pair, gets its first answer. Permissions are checked against what
//! is cached; a name that the cache believes absent is still asked for.

use std::sync::Arc;

use nfs::filesystem::{
    Attributes, Before, Caller, CreateHow, FileKind, FsError, FsResult, Handle, Marks, Mutation, Renamed,
    SetAttributes, SetTime, Wcc,
};
use protocol::id::ObjectId;
use protocol::metadata::{METADATA_BYTES_MAX, UnixMetadata};
use protocol::name::{Name, NameError};
use protocol::vfs::{Changed, Existing, Kind, Operation, Request, Target};

use super::access::{Permissions, STICKY};
use super::attributes::{attributes, folder_before, kind, permissions, timestamp};
use super::{Object, Translator, failed, kept, step_key};
use crate::center::{CenterError, StorageCenter};
use crate::directory_cache::Entry;
use crate::host;

/// Longest text of a symbolic link, `PATH_MAX` without its end: a Linux client reads no longer one. Percent-encoded it
/// must fit into a row's metadata.
const LINK_BYTES_MAX: usize = 4_095;
const _: () = assert!(3 * LINK_BYTES_MAX + 256 < METADATA_BYTES_MAX);

/// A name in a folder.
pub(super) type Entered<'a> = (&'a Handle, &'a [u8]);

impl<C: StorageCenter> Translator<C> {
    /// CREATE.
    pub(super) async fn create_file(
        &self,
        caller: &Caller,
        dir: &Handle,
        name: &[u8],
        how: CreateHow,
    ) -> Mutation<(Handle, Attributes)> {
        let dir = match self.writable(caller, dir) {
            Ok(dir) => dir,
            Err(error) => return failed(error),
        };
        let created = self.create_in(caller, &dir, name, &how).await;
        self.mutation(&dir, created)
    }

    async fn create_in(
        &self,
        caller: &Caller,
        dir: &Object<'_, C>,
        name: &[u8],
        how: &CreateHow,
    ) -> FsResult<(Changed, (Handle, Attributes))> {
        let checked = check_name(name)?;
        let (folder, rights) = dir.folder().await?;
        rights.may_search(&dir.who)?;
        kept::refuse_entrance(dir, &folder, name, FsError::Exists).await?;
        if let Err(denied) = rights.may_add(&dir.who) {
            // An existing file may be opened in a folder that takes no new ones.
            let existing = dir.customer.directory.lookup(folder.row.id, name).await?.ok_or(denied)?;
            let unchanged = Changed {
                row: Some(existing.row.clone()),
                before: None,
                created: false,
                removed: None,
                folders: Vec::new(),
            };
            let found = self.take_existing(caller, dir, existing, how).await?;
            return Ok((unchanged, found));
        }
        let none = SetAttributes::default();
        let (set, verifier, existing) = match how {
            CreateHow::Unchecked(set) => (set, None, Existing::Open),
            CreateHow::Guarded(set) => (set, None, Existing::Refuse),
            CreateHow::Exclusive(verifier) => (&none, Some(*verifier), Existing::Open),
        };
        let mut unix = new_metadata(rights.of_new(&dir.who, FileKind::Regular, set), set);
        unix.create_verifier = verifier;
        let operation = Operation::CreateFile {
            parent: folder.row.id,
            name: checked,
            metadata: unix.encode(),
            upload: None,
            existing,
        };
        let (changed, entry) = self.make(caller, dir, operation).await?;
        let found = if changed.created {
            self.finish_new(caller, dir, entry, set).await?
        } else {
            self.take_existing(caller, dir, entry, how).await?
        };
        Ok((changed, found))
    }

    /// CREATE of a name that is taken: of the attributes asked for only the size applies, for the others are those of a
    /// new file (as in `open(2)`).
    async fn take_existing(
        &self,
        caller: &Caller,
        dir: &Object<'_, C>,
        entry: Arc<Entry>,
        how: &CreateHow,
    ) -> FsResult<(Handle, Attributes)> {
        let set = match how {
            CreateHow::Unchecked(set) if kind(&entry) == FileKind::Regular => set,
            CreateHow::Exclusive(verifier) if entry.unix.create_verifier == Some(*verifier) => {
                return Ok(self.found(dir, &entry));
            }
            _ => return Err(FsError::Exists),
        };
        match set.size {
            Some(size) => self.with_size(caller, dir, &entry, size).await,
            None => Ok(self.found(dir, &entry)),
        }
    }

    /// Sets of a new object what a CREATE or MKDIR request of the VFS has no place for.
    async fn finish_new(
        &self,
        caller: &Caller,
        dir: &Object<'_, C>,
        entry: Arc<Entry>,
        set: &SetAttributes,
    ) -> FsResult<(Handle, Attributes)> {
        let modified = match set.modified {
            SetTime::To(modified) => Some(timestamp(modified)),
            SetTime::Keep | SetTime::ServerTime => None,
        };
        match (set.size, modified) {
            (Some(size), _) if size > 0 && kind(&entry) == FileKind::Regular => {
                let found = self.with_size(caller, dir, &entry, size).await?;
                let Some(modified) = modified else { return Ok(found) };
                let file = self.writable(caller, &found.0)?;
                self.set_time_of_resized(&file, modified).await?;
                Ok(self.found(dir, &entry))
            }
            (_, Some(modified)) => {
                let operation = Operation::Update {
                    id: entry.row.id,
                    if_version: Some(entry.row.version),
                    metadata: None,
                    modified: Some(modified),
                    changed: None,
                    upload: None,
                };
                let request = Request { key: step_key(caller, 1), operation };
                let changed = dir.customer.directory.change(request).await?;
                Ok(self.found(dir, &*entry_of(&changed)?))
            }
            _ => Ok(self.found(dir, &entry)),
        }
    }

    async fn with_size(
        &self,
        caller: &Caller,
        dir: &Object<'_, C>,
        entry: &Entry,
        size: u64,
    ) -> FsResult<(Handle, Attributes)> {
        let (handle, _) = self.found(dir, entry);
        let file = self.writable(caller, &handle)?;
        self.resize(caller, &file, size).await?;
        Ok(self.found(dir, entry))
    }

    /// MKDIR.
    pub(super) async fn make_folder(
        &self,
        caller: &Caller,
        dir: &Handle,
        name: &[u8],
        set: SetAttributes,
    ) -> Mutation<(Handle, Attributes)> {
        let dir = match self.writable(caller, dir) {
            Ok(dir) => dir,
            Err(error) => return failed(error),
        };
        let made = async {
            let (checked, (folder, rights)) = (check_name(name)?, dir.folder().await?);
            kept::refuse_entrance(&dir, &folder, name, FsError::Exists).await?;
            rights.may_add(&dir.who)?;
            let unix = new_metadata(rights.of_new(&dir.who, FileKind::Directory, &set), &set);
            let metadata = unix.encode();
            let operation = Operation::CreateFolder { parent: folder.row.id, name: checked, metadata };
            let (changed, entry) = self.make(caller, &dir, operation).await?;
            let found = self.finish_new(caller, &dir, entry, &set).await?;
            Ok((changed, found))
        };
        let made = made.await;
        self.mutation(&dir, made)
    }

    /// SYMLINK: a file without bytes whose metadata holds the text.
    pub(super) async fn make_link(
        &self,
        caller: &Caller,
        dir: &Handle,
        name: &[u8],
        text: &[u8],
        set: SetAttributes,
    ) -> Mutation<(Handle, Attributes)> {
        let dir = match self.writable(caller, dir) {
            Ok(dir) => dir,
            Err(error) => return failed(error),
        };
        let made = async {
            let (checked, (folder, rights)) = (check_name(name)?, dir.folder().await?);
            kept::refuse_entrance(&dir, &folder, name, FsError::Exists).await?;
            rights.may_add(&dir.who)?;
            match text.len() {
                // As `symlink(2)`.
                0 => return Err(FsError::NotFound),
                1..=LINK_BYTES_MAX => {}
                _ => return Err(FsError::NameTooLong),
            }
            let mut unix = new_metadata(rights.of_new(&dir.who, FileKind::Symlink, &set), &set);
            unix.symlink = Some(text.to_vec());
            let operation = Operation::CreateFile {
                parent: folder.row.id,
                name: checked,
                metadata: unix.encode(),
                upload: None,
                existing: Existing::Refuse,
            };
            let (changed, entry) = self.make(caller, &dir, operation).await?;
            let found = self.finish_new(caller, &dir, entry, &set).await?;
            Ok((changed, found))
        };
        let made = made.await;
        self.mutation(&dir, made)
    }

    /// REMOVE and RMDIR.
    pub(super) async fn delete(
        &self,
        caller: &Caller,
        dir: &Handle,
        name: &[u8],
        kind: Kind,
    ) -> Mutation<()> {
        let dir = match self.writable(caller, dir) {
            Ok(dir) => dir,
            Err(error) => return failed(error),
        };
        let deleted = async {
            let (checked, (folder, rights)) = (check_name(name)?, dir.folder().await?);
            kept::refuse_entrance(&dir, &folder, name, FsError::ReadOnly).await?;
            let entry = self.sticky_entry(&dir, &folder, &rights, name).await?;
            rights.may_remove(&dir.who, entry.as_ref())?;
            let target = Target::Name(folder.row.id, checked);
            let operation = Operation::Delete { target, kind, recursive: false };
            let changed = self.operate(caller, &dir, operation).await?;
            self.after_removal(&dir, &changed).await;
            Ok((changed, ()))
        };
        let deleted = deleted.await;
        self.mutation(&dir, deleted)
    }

    /// RENAME.
    pub(super) async fn move_entry(
        &self,
        caller: &Caller,
        from: Entered<'_>,
        to: Entered<'_>,
        replace: bool,
    ) -> Renamed {
        let unknown = |error| Renamed { result: Err(error), from: Wcc::default(), to: Wcc::default() };
        let (from_dir, to_dir) = match (self.writable(caller, from.0), self.writable(caller, to.0)) {
            (Ok(from_dir), Ok(to_dir)) => (from_dir, to_dir),
            (Err(error), _) | (_, Err(error)) => return unknown(error),
        };
        match self.move_between(caller, (&from_dir, from.1), (&to_dir, to.1), replace).await {
            Ok(changed) => Renamed {
                result: Ok(()),
                from: self.folder_wcc(&from_dir, &changed),
                to: self.folder_wcc(&to_dir, &changed),
            },
            Err(error) => Renamed {
                result: Err(error),
                from: self.known_after(&from_dir),
                to: self.known_after(&to_dir),
            },
        }
    }

    async fn move_between(
        &self,
        caller: &Caller,
        (from_dir, from_name): (&Object<'_, C>, &[u8]),
        (to_dir, to_name): (&Object<'_, C>, &[u8]),
        replace: bool,
    ) -> FsResult<Changed> {
        let in_one_export = (from_dir.place.export, from_dir.place.customer);
        if in_one_export != (to_dir.place.export, to_dir.place.customer) {
            return Err(FsError::CrossDevice);
        }
        let (from_checked, to_checked) = (check_name(from_name)?, check_name(to_name)?);
        let (from_folder, from_rights) = from_dir.folder().await?;
        let (to_folder, to_rights) = to_dir.folder().await?;
        kept::refuse_entrance(from_dir, &from_folder, from_name, FsError::ReadOnly).await?;
        kept::refuse_entrance(to_dir, &to_folder, to_name, FsError::ReadOnly).await?;
        let who = &from_dir.who;
        let replaced = self.sticky_entry(to_dir, &to_folder, &to_rights, to_name).await?;
        to_rights.may_remove(who, replaced.as_ref())?;
        from_rights.may_remove(who, None)?;
        if !who.is_root() {
            let moved = from_dir.customer.directory.lookup(from_folder.row.id, from_name).await?;
            let moved = moved.map(|entry| permissions(&entry));
            from_rights.may_remove(who, moved.as_ref())?;
            // A folder that comes to another one has its `..` rewritten.
            if let Some(moved) = moved.filter(|moved| moved.kind == FileKind::Directory)
                && from_folder.row.id != to_folder.row.id
            {
                moved.may_add(who)?;
            }
        }
        let operation = Operation::Move {
            target: Target::Name(from_folder.row.id, from_checked),
            kind: None,
            parent: to_folder.row.id,
            name: to_checked,
            replace,
        };
        let changed = self.operate(caller, from_dir, operation).await?;
        self.after_removal(to_dir, &changed).await;
        Ok(changed)
    }

    /// The permissions of the entry whose owner a sticky folder asks for; `None` where it does not matter.
    async fn sticky_entry(
        &self,
        dir: &Object<'_, C>,
        folder: &Entry,
        rights: &Permissions,
        name: &[u8],
    ) -> FsResult<Option<Permissions>> {
        if rights.mode & STICKY == 0 || dir.who.is_root() {
            return Ok(None);
        }
        let entry = dir.customer.directory.lookup(folder.row.id, name).await?;
        Ok(entry.map(|entry| permissions(&entry)))
    }

    /// An operation that makes an object, and the object.
    async fn make(
        &self,
        caller: &Caller,
        dir: &Object<'_, C>,
        operation: Operation,
    ) -> FsResult<(Changed, Arc<Entry>)> {
        let changed = self.operate(caller, dir, operation).await.map_err(|error| match error {
            // The name was not asked for: it is the folder that is gone.
            FsError::NotFound => FsError::Stale,
            FsError::IsDirectory => FsError::Exists,
            error => error,
        })?;
        let entry = entry_of(&changed)?;
        Ok((changed, entry))
    }

    async fn operate(&self, caller: &Caller, dir: &Object<'_, C>, operation: Operation) -> FsResult<Changed> {
        let request = Request { key: step_key(caller, 0), operation };
        Ok(dir.customer.directory.change(request).await?)
    }

    async fn after_removal(&self, dir: &Object<'_, C>, changed: &Changed) {
        if let Some(removed) = changed.removed {
            self.forget_staged(dir, removed).await;
        }
    }

    fn mutation<T>(&self, dir: &Object<'_, C>, done: FsResult<(Changed, T)>) -> Mutation<T> {
        match done {
            Ok((changed, value)) => Mutation { result: Ok(value), wcc: self.folder_wcc(dir, &changed) },
            Err(error) => Mutation { result: Err(error), wcc: self.known_after(dir) },
        }
    }

    /// The folder's attributes around a change, as the VFS read them in its transaction.
    fn folder_wcc(&self, dir: &Object<'_, C>, changed: &Changed) -> Wcc {
        let id: ObjectId = dir.place.object;
        match changed.folders.iter().find(|folder| folder.after.id == id) {
            Some(folder) => {
                let after = attributes(&Entry::new(folder.after.clone()), None, dir.export.fsid());
                Wcc { before: Some(folder_before(folder)), after: Some(after) }
            }
            // The change was none of its entries: an existing file opened, a name moved onto itself.
            None => {
                let Wcc { after, .. } = self.known_after(dir);
                Wcc { before: after.as_ref().map(Before::from), after }
            }
        }
    }
}

fn entry_of(changed: &Changed) -> FsResult<Arc<Entry>> {
    let row = changed.row.clone().ok_or_else(CenterError::unexpected_answer)?;
    Ok(Arc::new(Entry::new(row)))
}

fn new_metadata(new: Permissions, set: &SetAttributes) -> UnixMetadata {
    let accessed = match set.accessed {
        SetTime::To(time) => timestamp(time),
        SetTime::Keep | SetTime::ServerTime => host::now(),
    };
    let born = match set.born {
        SetTime::To(time) => Some(timestamp(time)),
        SetTime::Keep | SetTime::ServerTime => None,
    };
    let marks = set.marks.filter(|marks| *marks != Marks::usual(new.kind)).map(Marks::bits);
    let (uid, gid) = (new.uid, new.gid);
    UnixMetadata { uid, gid, accessed, born, marks, ..UnixMetadata::default_with_mode(new.mode) }
}

fn check_name(name: &[u8]) -> FsResult<Name> {
    Name::new(name).map_err(|error| match error {
        NameError::TooLong => FsError::NameTooLong,
        NameError::Invalid => FsError::Invalid,
    })
}
