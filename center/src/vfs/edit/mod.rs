//! Changing a customer's tree: one operation inside the writer's transaction.
//!
//! Each operation has a file of its own. What they share is here: stamping times, counting versions and use, writing
//! the change feed and the outbox. An operation that fails leaves its savepoint to be rolled back, so nothing here
//! undoes anything.

mod create;
mod delete;
mod keep;
mod rename;
mod restore;
mod update;

pub use delete::{sweep, to_sweep};
#[cfg(test)]
pub use keep::EXPIRED_ROWS;
pub use keep::expire;

use protocol::digest::Content;
use protocol::id::{CustomerId, FeedPosition, ObjectId, Timestamp, Token};
use protocol::metadata::METADATA_BYTES_MAX;
use protocol::vfs::{Before, Body, Changed, FolderChange, Operation, Upload, VfsErrorCode, Why};

use super::engine::{Database, values};
use super::failure::Failure;
use super::references::Holder;
use super::tree::{Entry, Tree};
use super::versions::Retention;
use super::{feed, outbox, references};

/// Contents that the cluster was found to hold.
#[derive(Clone, Copy, Debug)]
pub struct Verified {
    /// The contents.
    pub content: Content,
    /// The reference's token; `None` for the empty object, which needs none.
    pub token: Option<Token>,
    /// Not after the question: a release acknowledged later may have undone the answer.
    pub asked: Timestamp,
}

/// One change in progress.
pub struct Edit<'a> {
    tree: Tree<'a>,
    now: Timestamp,
    /// For how long the customer's versions are kept; 0 for not at all.
    keep_seconds: u32,
    leaves_work: bool,
}

/// What an edit came to.
#[derive(Clone, Copy, Debug)]
pub struct Finished {
    /// Position of its last change in the feed.
    pub position: FeedPosition,
    /// Whether there is a reference to release or a folder to clear up.
    pub leaves_work: bool,
}

impl<'a> Edit<'a> {
    /// Begins an operation of `customer` at `now`, inside a transaction.
    pub fn begin(
        db: &'a dyn Database,
        customer: CustomerId,
        now: Timestamp,
        Retention(seconds): Retention,
    ) -> Result<Self, Failure> {
        let tree = Tree::open(db, customer)?;
        let keep_seconds = tree.account.kept.keep_seconds.unwrap_or(seconds);
        Ok(Self { tree, now, keep_seconds, leaves_work: false })
    }

    /// Applies a changing operation. `verified` stands for the operation's upload.
    pub fn apply(&mut self, operation: &Operation, verified: Option<Verified>) -> Result<Changed, Failure> {
        match operation {
            Operation::CreateFolder { parent, name, metadata } => self.create_folder(*parent, name, metadata),
            Operation::CreateFile { parent, name, metadata, existing, .. } => {
                self.create_file(*parent, name, metadata, verified, *existing)
            }
            Operation::Move { target, kind, parent, name, replace } => {
                self.rename(target, *kind, *parent, name, *replace)
            }
            Operation::Delete { target, kind, recursive } => self.delete(target, *kind, *recursive),
            Operation::Update { id, if_version, metadata, modified, changed, .. } => {
                let times = update::Times { modified: *modified, changed: *changed };
                self.update(*id, *if_version, metadata.as_deref(), times, verified)
            }
            Operation::Restore { version, parent, name, replace } => {
                self.restore(*version, *parent, name.as_ref(), *replace)
            }
            Operation::OpenRoot
            | Operation::OpenFolder { .. }
            | Operation::Open { .. }
            | Operation::Versions { .. }
            | Operation::Usage
            | Operation::Changes { .. }
            | Operation::PortLease { .. } => Err(Failure::new(VfsErrorCode::Invalid, "that changes nothing")),
        }
    }

    /// Writes the customer's row.
    pub fn finish(self) -> Result<Finished, Failure> {
        let account = self.tree.account;
        feed::trim(self.tree.db, self.tree.customer, account.position)?;
        let (usage, kept) = (account.usage, account.kept);
        self.tree.db.execute(
            "UPDATE customer SET position = ?2, bytes_used = ?3, files_used = ?4, bytes_kept = ?5, versions_kept = ?6
             WHERE id = ?1",
            values![
                self.tree.customer.0,
                account.position.0,
                usage.bytes_used,
                usage.files_used,
                kept.bytes,
                kept.versions,
            ],
        )?;
        Ok(Finished { position: account.position, leaves_work: self.leaves_work })
    }

    /// The next `changed` time of a row: the present, but always above the old one.
    fn stamp(&self, old: Timestamp) -> Timestamp {
        self.now.max(Timestamp(old.0.saturating_add(1)))
    }

    /// Appends to the change feed.
    fn log(&mut self, id: ObjectId, version: Option<u64>) -> Result<(), Failure> {
        let position = &mut self.tree.account.position;
        position.0 += 1;
        feed::append(self.tree.db, self.tree.customer, *position, id, version)
    }

    /// Counts a folder whose entries changed: version, times, and `grown` subfolders more or less.
    fn touch_folder(&mut self, folder: &mut Entry, grown: i64) -> Result<FolderChange, Failure> {
        let before = folder.snapshot();
        if let Body::Folder { subfolders } = &mut folder.row.body {
            *subfolders = u32::try_from(i64::from(*subfolders) + grown)
                .map_err(|_| Failure::new(VfsErrorCode::Invalid, "the folder has too many folders"))?;
        }
        folder.row.changed = self.stamp(folder.row.changed);
        folder.row.modified = folder.row.changed;
        self.save(folder)?;
        Ok(FolderChange { before, after: folder.row.clone() })
    }

    /// Writes a changed row under its next version.
    fn save(&mut self, entry: &mut Entry) -> Result<(), Failure> {
        let row = &mut entry.row;
        row.version += 1;
        let (subfolders, content) = match row.body {
            Body::Folder { subfolders } => (Some(subfolders), None),
            Body::File { content } => (None, Some(content)),
        };
        self.tree.db.execute(
            "UPDATE entry SET parent = ?2, name = ?3, version = ?4, modified = ?5, changed = ?6, metadata = ?7,
                 subfolders = ?8, fingerprint = ?9, size = ?10, digest = ?11, token = ?12
             WHERE id = ?1",
            values![
                row.id.0,
                row.parent.map(|parent| parent.0),
                row.name.as_ref().map(|name| name.as_bytes()),
                row.version,
                row.modified.0,
                row.changed.0,
                &row.metadata,
                subfolders,
                content.as_ref().map(|content| &content.fingerprint.0),
                content.as_ref().map(|content| content.size),
                content.as_ref().map(|content| &content.digest.0),
                entry.token.as_ref().map(|token| &token.0),
            ],
        )?;
        self.log(entry.row.id, Some(entry.row.version))
    }

    /// Removes a row and gives up its reference, in this one transaction (VFS-18).
    fn remove_row(&mut self, entry: &Entry, why: Why) -> Result<(), Failure> {
        self.tree.db.execute("DELETE FROM entry WHERE id = ?1", values![entry.row.id.0])?;
        self.tree.account.usage.files_used = self.tree.account.usage.files_used.saturating_sub(1);
        self.give_up(entry, why)?;
        self.log(entry.row.id, None)
    }

    /// Counts the bytes of new contents in place of `old_bytes`, which are already given up.
    fn charge_bytes(&mut self, old_bytes: u64, content: &Content) -> Result<(), Failure> {
        let usage = &mut self.tree.account.usage;
        let used = usage.bytes_used.checked_add(content.size);
        match (used, usage.bytes_quota) {
            (Some(used), Some(quota)) if used > quota && content.size > old_bytes => {
                Err(Failure::new(VfsErrorCode::QuotaExceeded, "the customer's bytes are used up"))
            }
            // What the database's integers hold.
            (Some(used), _) if i64::try_from(used).is_ok() => {
                usage.bytes_used = used;
                Ok(())
            }
            _ => Err(Failure::new(VfsErrorCode::Invalid, "more bytes than can be counted")),
        }
    }

    /// Counts one more file or folder.
    fn charge_entry(&mut self) -> Result<(), Failure> {
        let usage = &mut self.tree.account.usage;
        if usage.files_quota.is_some_and(|quota| usage.files_used >= quota) {
            return Err(Failure::new(VfsErrorCode::QuotaExceeded, "the customer's files are used up"));
        }
        usage.files_used += 1;
        Ok(())
    }

    /// Refuses an upload whose reference another row holds, or is on its way out, or went while the cluster was asked.
    /// A version that holds it gives it up to the row: its contents are in the tree again.
    fn claim_reference(&mut self, holder: Option<ObjectId>, verified: &Verified) -> Result<(), Failure> {
        let Some(token) = verified.token else { return Ok(()) };
        let fingerprint = verified.content.fingerprint;
        match references::holder(self.tree.db, self.tree.customer, fingerprint, token)? {
            Some(Holder::Row(other)) if Some(other) != holder => {
                return Err(Failure::new(
                    VfsErrorCode::Invalid,
                    "another file holds that upload: store it once more",
                ));
            }
            Some(Holder::Version(kept)) => self.take_version(&kept)?,
            _ => {}
        }
        if outbox::gone_since(self.tree.db, self.tree.customer, fingerprint, token, verified.asked)? {
            return Err(no_such_object());
        }
        Ok(())
    }
}

/// The contents an operation brings.
pub fn upload_of(operation: &Operation) -> Option<Upload> {
    match operation {
        Operation::CreateFile { upload, .. } | Operation::Update { upload, .. } => *upload,
        _ => None,
    }
}

/// The upload's contents are not in the cluster: the client stores them again.
pub fn no_such_object() -> Failure {
    Failure::new(VfsErrorCode::NoSuchObject, "the contents are not stored under this token: store them again")
}

fn check_metadata(metadata: &[u8]) -> Result<(), Failure> {
    match metadata.len() <= METADATA_BYTES_MAX {
        true => Ok(()),
        false => Err(Failure::new(VfsErrorCode::Invalid, "metadata has at most 64 KiB")),
    }
}

/// A folder that a change left as it was, in the shape of one that it changed.
fn untouched(folder: Entry) -> FolderChange {
    let before: Before = folder.snapshot();
    FolderChange { before, after: folder.row }
}
