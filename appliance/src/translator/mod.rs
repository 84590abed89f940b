//! The translator (PORT-6): the file system that clients mount, made of rows of the VFS, objects of the cluster and the
//! write journal.
//!
//! | file | what |
//! |---|---|
//! | [`handle`] | what clients hold to name an object (pure) |
//! | [`export`] | which trees are offered to whom (pure) |
//! | [`access`] | permission bits (pure) |
//! | [`attributes`] | from row, metadata and staged view to attributes (pure) |
//! | `lookup` | MOUNT, LOOKUP, READLINK, ACCESS |
//! | `names` | CREATE, MKDIR, SYMLINK, REMOVE, RMDIR, RENAME |
//! | `audit` | who changed which name |
//! | `set` | SETATTR |
//! | `read`, `write` | READ; WRITE, COMMIT |
//! | `list` | READDIR, READDIRPLUS |
//! | `srl` | the text of a file of the `/SRL` tree |
//! | `kept` | `.versions`: what is kept of deleted and overwritten files |
//!
//! Whoever shows a file takes the journal's view of it *before* its row: when an upload ends, the row takes over before
//! the journal forgets, so in this order no moment shows the old contents again.

pub mod access;
pub mod attributes;
mod audit;
pub mod export;
pub mod handle;
mod kept;
mod list;
mod lookup;
mod names;
mod read;
mod set;
mod srl;
mod write;

#[cfg(test)]
mod rules_tests;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use nfs::duty::Duty;
use nfs::filesystem::{
    Access, Attributes, Caller, CreateHow, Export as ExportLine, Filesystem, FsError, FsResult, Handle,
    Limits, ListFrom, Listing, Mutation, Read, Renamed, SetAttributes, Space, Stability, Time, Wcc, Written,
};
use protocol::id::{CustomerId, ObjectId, Token};
use tokio::sync::watch;

use self::access::{Identity, Permissions};
use self::attributes::permissions;
use self::export::{Export, Exports};
use self::handle::{HandleKey, Place, View};
pub use self::lookup::Located;
use crate::center::{CenterError, StorageCenter};
use crate::customer::Customer;
use crate::directory_cache::Entry;
use crate::journal::{Base, FILE_BYTES_MAX, FileKey, Journal, JournalError, StagedView};
use crate::mirror::safety::Safety;
use crate::uploader::{Uploader, content_of};

/// Largest READ and WRITE: a block, and what Linux clients ask for at most.
const TRANSFER_BYTES_MAX: u32 = 1 << 20;
/// How often a change is tried again because the row moved on meanwhile.
const RACES_MAX: u32 = 8;

/// See the module.
pub struct Translator<C> {
    /// Replaced as a whole by a reload; a call goes on with the export it began with.
    exports: ArcSwap<Exports>,
    customers: HashMap<CustomerId, Arc<Customer<C>>>,
    journal: Journal,
    uploader: Arc<Uploader<C>>,
    key: HandleKey,
    duty: Duty,
    boot: [u8; 16],
    /// What durable writes wait for beside the journal's disk; `None` without another port.
    safety: Option<watch::Receiver<Safety>>,
    /// The journal refused the last write for want of room, and that was told.
    is_short_of_room: AtomicBool,
    /// READs of the `/SRL` tree that were answered.
    srl_reads: AtomicU64,
}

/// What a port has to heed of the other one of its pair. The default is a port without one.
#[derive(Clone, Debug, Default)]
pub struct Turn {
    /// When clients are answered.
    pub duty: Duty,
    /// What durable writes wait for.
    pub safety: Option<watch::Receiver<Safety>>,
}

/// An object named by a handle, as one caller sees it.
struct Object<'a, C> {
    place: Place,
    export: Arc<Export>,
    customer: &'a Arc<Customer<C>>,
    who: Identity<'a>,
    /// For how long SRLs shown through it are good: as the export says, until a rule is [heeded](Self::heed_rule_in).
    srl_seconds: u64,
}

impl<C: StorageCenter> Translator<C> {
    /// A file system of these parts. The write verifier depends on `boot`, which is random at each start, and on the
    /// time of duty: off duty nobody is told anything but an export's root, which probes ask for.
    pub fn new(
        exports: Exports,
        customers: HashMap<CustomerId, Arc<Customer<C>>>,
        journal: Journal,
        uploader: Arc<Uploader<C>>,
        key: HandleKey,
        boot: [u8; 16],
        turn: Turn,
    ) -> Self {
        let Turn { duty, safety } = turn;
        let is_short_of_room = AtomicBool::new(false);
        let exports = ArcSwap::from_pointee(exports);
        let srl_reads = AtomicU64::new(0);
        Self { exports, customers, journal, uploader, key, duty, boot, safety, is_short_of_room, srl_reads }
    }

    /// Offers other exports from the next call on. One of a customer that the port does not serve is offered to nobody.
    pub fn set_exports(&self, exports: Exports) {
        self.exports.store(Arc::new(exports));
    }

    /// The exports offered now.
    pub fn current_exports(&self) -> Arc<Exports> {
        self.exports.load_full()
    }

    /// READs of SRL trees that were answered since the start.
    pub fn srl_reads(&self) -> u64 {
        self.srl_reads.load(Ordering::Relaxed)
    }

    /// What a handle names. Asks nobody.
    fn object<'a>(&'a self, caller: &'a Caller, handle: &Handle) -> FsResult<Object<'a, C>> {
        if self.duty.is_on() { self.named(caller, handle) } else { Err(FsError::TryLater) }
    }

    fn named<'a>(&'a self, caller: &'a Caller, handle: &Handle) -> FsResult<Object<'a, C>> {
        let place = self.key.open(handle).ok_or(FsError::BadHandle)?;
        let export = Arc::clone(self.exports.load().of_handle(place.export, caller.address)?);
        // A handle of a time when this path was another customer's, or of another tree.
        if (export.customer, export.tree) != (place.customer, place.view.tree()) {
            return Err(FsError::Stale);
        }
        // Or of one when it showed versions.
        if matches!(place.view, View::Kept | View::Version(_)) && !export.versions {
            return Err(FsError::Stale);
        }
        let customer = self.customers.get(&place.customer).ok_or(FsError::Stale)?;
        let (who, srl_seconds) = (export.identity(caller), export.srl.seconds);
        Ok(Object { place, export, customer, who, srl_seconds })
    }

    /// The same for a call that changes something.
    fn writable<'a>(&'a self, caller: &'a Caller, handle: &Handle) -> FsResult<Object<'a, C>> {
        let object = self.object(caller, handle)?;
        if object.is_read_only() { Err(FsError::ReadOnly) } else { Ok(object) }
    }

    /// What is staged of an object.
    fn staged(&self, object: &Object<'_, C>) -> Option<StagedView> {
        self.journal.view(object.file())
    }

    /// The attributes of an entry in the tree of `object`.
    fn show(&self, object: &Object<'_, C>, entry: &Entry, staged: Option<&StagedView>) -> Attributes {
        match object.place.view {
            View::Files => attributes::attributes(entry, staged, object.export.fsid()),
            View::Srl => srl::attributes(object, entry, staged),
            View::Kept | View::Version(_) => kept::attributes(&object.export, &object.place, entry),
        }
    }

    /// The handle and attributes of an entry in the tree of `object`. The entry was there before the journal could be
    /// asked for its id; so where nothing is staged, an upload may just have put something newer into its place.
    fn found(&self, object: &Object<'_, C>, entry: &Entry) -> (Handle, Attributes) {
        let staged = self.journal.view(object.file_of(entry.row.id));
        let newest = match staged {
            None if content_of(&entry.row).is_some() => object.customer.directory.known(entry.row.id),
            _ => None,
        };
        let newest = newest.as_deref().filter(|newest| newest.row.version > entry.row.version);
        self.found_as(object, newest.unwrap_or(entry), staged.as_ref())
    }

    fn found_as(
        &self,
        object: &Object<'_, C>,
        entry: &Entry,
        staged: Option<&StagedView>,
    ) -> (Handle, Attributes) {
        (self.handle_of(object, entry), self.show(object, entry, staged))
    }

    /// The handle of an entry in the tree of `object`.
    fn handle_of(&self, object: &Object<'_, C>, entry: &Entry) -> Handle {
        self.key.seal(&Place { object: entry.row.id, ..object.place })
    }

    /// The attributes of an object after a call that failed, as far as they are at hand.
    fn known_after(&self, object: &Object<'_, C>) -> Wcc {
        let staged = self.staged(object);
        let entry = object.customer.directory.known(object.place.object);
        Wcc { before: None, after: entry.map(|entry| self.show(object, &entry, staged.as_ref())) }
    }

    /// The journal took a write: tells the end of a shortage.
    fn note_room(&self) {
        if self.is_short_of_room.load(Ordering::Relaxed)
            && self.is_short_of_room.swap(false, Ordering::Relaxed)
        {
            tracing::info!("the journal has room again");
        }
    }

    /// The file system's word for what the journal refused; a full journal is emptied at once.
    fn journal_error(&self, error: &JournalError) -> FsError {
        match error {
            JournalError::Full | JournalError::NoSpace(_) => {
                self.uploader.hurry();
                if !self.is_short_of_room.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        "{error}; writers wait until uploads have freed some. Is the storage center away, or the way \
                         to it too slow? Else give [journal] more room"
                    );
                }
                FsError::TryLater
            }
            JournalError::StaleBase | JournalError::IsMirror => FsError::TryLater,
            JournalError::TooLarge => FsError::FileTooLarge,
            // A port of a pair ends at that, and the client's next answer comes from the other one.
            JournalError::Failed(_) if self.safety.is_some() => FsError::TryLater,
            JournalError::Failed(_)
            | JournalError::InUse(_)
            | JournalError::NotAMirror
            | JournalError::Io { .. } => {
                tracing::error!("{error}");
                FsError::Io
            }
        }
    }
}

impl<C: StorageCenter> Object<'_, C> {
    /// Whether nobody may change it, whatever its permissions are.
    fn is_read_only(&self) -> bool {
        self.export.read_only || self.place.view != View::Files
    }

    /// What the journal and the readers of ahead call it. A version's is no object's: of it nothing is ever staged.
    fn file(&self) -> FileKey {
        self.file_of(ObjectId(self.place.fileid()))
    }

    fn file_of(&self, id: ObjectId) -> FileKey {
        FileKey { customer: self.place.customer, file: id }
    }

    /// Its row; `Stale` if it is gone.
    async fn entry(&self) -> FsResult<Arc<Entry>> {
        match self.place.view {
            View::Version(version) => {
                let kept = self.customer.directory.version_of(self.place.object, version).await?;
                kept.map(|kept| kept.entry).ok_or(FsError::Stale)
            }
            _ => self.beside(self.place.object).await,
        }
    }

    /// The row of another object seen as this one.
    async fn beside(&self, id: ObjectId) -> FsResult<Arc<Entry>> {
        let directory = &self.customer.directory;
        match self.place.view {
            View::Kept => kept::folder(directory, id).await,
            _ => directory.row(id).await.map_err(stale_if_gone),
        }
    }

    /// Looks up for how long SRLs of the files right in `folder` are good: whoever shows one in an SRL tree does so
    /// before, for on that depends how long its text is.
    async fn heed_rule_in(&mut self, folder: ObjectId) -> FsResult<()> {
        if self.place.view == View::Srl {
            let rule = self.customer.rule_in(folder).await.map_err(stale_if_gone)?;
            self.srl_seconds = rule.srl_seconds.unwrap_or(self.export.srl.seconds);
        }
        Ok(())
    }

    /// The same for this entry, if it is a file.
    async fn heed_rule_for(&mut self, entry: &Entry) -> FsResult<()> {
        match entry.row.parent.filter(|_| content_of(&entry.row).is_some()) {
            Some(folder) => self.heed_rule_in(folder).await,
            None => Ok(()),
        }
    }

    /// Its row as the VFS has it now.
    async fn entry_anew(&self) -> FsResult<Arc<Entry>> {
        let (directory, id) = (&self.customer.directory, self.place.object);
        match self.place.view {
            View::Version(version) => {
                let kept = directory.refresh_version_of(id, version).await?;
                kept.map(|kept| kept.entry).ok_or(FsError::Stale)
            }
            _ => directory.refresh(id).await.map_err(stale_if_gone),
        }
    }

    /// Its row and permissions, if it is a folder.
    async fn folder(&self) -> FsResult<(Arc<Entry>, Permissions)> {
        let entry = self.entry().await?;
        match content_of(&entry.row) {
            None => {
                let permissions = permissions(&entry);
                Ok((entry, permissions))
            }
            Some(_) => Err(FsError::NotDirectory),
        }
    }
}

/// An object asked for by its id that is not there any more was named by a stale handle.
fn stale_if_gone(error: CenterError) -> FsError {
    if error.is_not_found() { FsError::Stale } else { error.into() }
}

/// The base of changes to a file.
fn base_of(entry: &Entry) -> FsResult<Base> {
    let content = content_of(&entry.row).ok_or(FsError::IsDirectory)?;
    Ok(Base { content, version: entry.row.version })
}

/// The idempotency key of the `step`th change that one NFS call makes; the call's own key for the first.
fn step_key(caller: &Caller, step: u32) -> Option<Token> {
    if step == 0 {
        return Some(Token(caller.request.0));
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(&caller.request.0);
    hasher.update(&step.to_be_bytes());
    let mut key = [0; 16];
    hasher.finalize_xof().fill(&mut key);
    Some(Token(key))
}

/// A call that failed before it found its object.
fn failed<T>(error: FsError) -> Mutation<T> {
    Mutation { result: Err(error), wcc: Wcc::default() }
}

impl<C: StorageCenter> Filesystem for Translator<C> {
    fn exports(&self) -> Vec<ExportLine> {
        let line = |export: &Export| ExportLine {
            path: export.path.clone(),
            allowed: export.allowed.iter().map(ToString::to_string).collect(),
        };
        self.exports.load().iter().map(line).collect()
    }

    async fn mount(&self, caller: &Caller, path: &str) -> FsResult<Handle> {
        self.mount_path(caller, path).await
    }

    fn write_verifier(&self) -> [u8; 8] {
        self.key.write_verifier(&self.boot, self.duty.term())
    }

    fn limits(&self) -> Limits {
        Limits {
            read_bytes_max: TRANSFER_BYTES_MAX,
            write_bytes_max: TRANSFER_BYTES_MAX,
            file_bytes_max: FILE_BYTES_MAX,
            name_bytes_max: protocol::name::NAME_BYTES_MAX as u32,
            links_max: 1,
            symlinks: true,
        }
    }

    fn is_read_only(&self, caller: &Caller, object: &Handle) -> bool {
        matches!(self.writable(caller, object), Err(FsError::ReadOnly))
    }

    async fn getattr(&self, caller: &Caller, object: &Handle) -> FsResult<Attributes> {
        let mut object = if self.duty.is_on() {
            self.object(caller, object)?
        } else {
            self.probed(caller, object).await?
        };
        let staged = self.staged(&object);
        let entry = object.entry().await?;
        object.heed_rule_for(&entry).await?;
        Ok(self.show(&object, &entry, staged.as_ref()))
    }

    async fn setattr(
        &self,
        caller: &Caller,
        object: &Handle,
        set: SetAttributes,
        guard: Option<Time>,
    ) -> Mutation<()> {
        self.set_attributes(caller, object, &set, guard).await
    }

    async fn lookup(&self, caller: &Caller, dir: &Handle, name: &[u8]) -> FsResult<(Handle, Attributes)> {
        self.look_up(caller, dir, name).await
    }

    async fn access(
        &self,
        caller: &Caller,
        object: &Handle,
        wanted: Access,
    ) -> FsResult<(Access, Attributes)> {
        self.rights(caller, object, wanted).await
    }

    async fn readlink(&self, caller: &Caller, link: &Handle) -> FsResult<Bytes> {
        self.link_text(caller, link).await
    }

    async fn read(&self, caller: &Caller, file: &Handle, offset: u64, count: u32) -> FsResult<Read> {
        self.read_file(caller, file, offset, count).await
    }

    async fn write(
        &self,
        caller: &Caller,
        file: &Handle,
        offset: u64,
        data: Bytes,
        stability: Stability,
    ) -> Mutation<Written> {
        self.write_file(caller, file, offset, data, stability).await
    }

    async fn create(
        &self,
        caller: &Caller,
        dir: &Handle,
        name: &[u8],
        how: CreateHow,
    ) -> Mutation<(Handle, Attributes)> {
        let done = self.create_file(caller, dir, name, how).await;
        self.told(caller, "create", (dir, name), done)
    }

    async fn mkdir(
        &self,
        caller: &Caller,
        dir: &Handle,
        name: &[u8],
        set: SetAttributes,
    ) -> Mutation<(Handle, Attributes)> {
        let done = self.make_folder(caller, dir, name, set).await;
        self.told(caller, "mkdir", (dir, name), done)
    }

    async fn symlink(
        &self,
        caller: &Caller,
        dir: &Handle,
        name: &[u8],
        text: &[u8],
        set: SetAttributes,
    ) -> Mutation<(Handle, Attributes)> {
        let done = self.make_link(caller, dir, name, text, set).await;
        self.told(caller, "symlink", (dir, name), done)
    }

    async fn remove(&self, caller: &Caller, dir: &Handle, name: &[u8]) -> Mutation<()> {
        let done = self.delete(caller, dir, name, protocol::vfs::Kind::File).await;
        self.told(caller, "remove", (dir, name), done)
    }

    async fn rmdir(&self, caller: &Caller, dir: &Handle, name: &[u8]) -> Mutation<()> {
        let done = self.delete(caller, dir, name, protocol::vfs::Kind::Folder).await;
        self.told(caller, "rmdir", (dir, name), done)
    }

    async fn rename(
        &self,
        caller: &Caller,
        from_dir: &Handle,
        from_name: &[u8],
        to_dir: &Handle,
        to_name: &[u8],
        replace: bool,
    ) -> Renamed {
        let (from, to) = ((from_dir, from_name), (to_dir, to_name));
        let done = self.move_entry(caller, from, to, replace).await;
        self.tell(caller, "rename", from, Some(to), done.result);
        done
    }

    async fn list(
        &self,
        caller: &Caller,
        dir: &Handle,
        from: ListFrom,
        into: &mut impl Listing,
    ) -> FsResult<bool> {
        self.list_folder(caller, dir, from, into).await
    }

    async fn space(&self, caller: &Caller, object: &Handle) -> FsResult<Space> {
        let object = self.object(caller, object)?;
        // For an object that is gone there is no file system to tell of.
        object.entry().await?;
        let usage = object.customer.usage().await?;
        let free = usage
            .bytes_quota
            .map_or(usage.bytes_free, |quota| quota.saturating_sub(usage.bytes_used).min(usage.bytes_free));
        let files_free =
            usage.files_quota.map_or(u64::from(u32::MAX), |quota| quota.saturating_sub(usage.files_used));
        Ok(Space {
            bytes_total: usage.bytes_used.saturating_add(free),
            bytes_free: free,
            files_total: usage.files_used.saturating_add(files_free),
            files_free,
        })
    }

    async fn commit(&self, caller: &Caller, file: &Handle, _offset: u64, _count: u32) -> Mutation<()> {
        self.commit_file(caller, file).await
    }
}
