//! DELETE FILE and DELETE FOLDER (VFS-15, VFS-18).
//!
//! A recursive delete cuts the folder off at once: from then on nothing below it can be found, because what does not
//! hang from the root is not there ([`Tree::entry`](crate::vfs::tree::Tree::entry)). The rows below go in bounded
//! steps, the first within the operation itself, the others between the writer's batches, so that a folder of a
//! million files does not stop everybody else. Until they are gone they count against the quota.

use protocol::id::{CustomerId, ObjectId, Timestamp};
use protocol::vfs::{Changed, Kind, Target, VfsErrorCode, Why};

use super::{Edit, Failure};
use crate::vfs::engine::{Database, values};
use crate::vfs::tree::Entry;
use crate::vfs::versions::Retention;

/// Rows removed in one step: about 20 ms of the writer's time.
pub const SWEEP_ROWS: usize = 500;

impl Edit<'_> {
    pub(super) fn delete(
        &mut self,
        target: &Target,
        kind: Kind,
        recursive: bool,
    ) -> Result<Changed, Failure> {
        let mut entry = self.tree.find(target)?;
        check_kind(&entry, kind)?;
        let Some(parent) = entry.row.parent else {
            return Err(Failure::new(VfsErrorCode::Invalid, "the root folder stays"));
        };
        let mut folder = self.tree.folder(parent)?;
        let before = entry.snapshot();
        let id = entry.row.id;
        if entry.is_folder() && self.tree.has_children(id)? {
            if !recursive {
                return Err(not_empty());
            }
            self.cut_off(&mut entry)?;
            self.sweep_step(SWEEP_ROWS)?;
        } else {
            self.remove_row(&entry, Why::Deleted)?;
        }
        let change = self.touch_folder(&mut folder, -i64::from(kind == Kind::Folder))?;
        Ok(Changed {
            row: None,
            before: Some(before),
            created: false,
            removed: Some(id),
            folders: vec![change],
        })
    }

    /// Takes a folder out of the tree; its contents are swept later.
    fn cut_off(&mut self, folder: &mut Entry) -> Result<(), Failure> {
        let id = folder.row.id;
        self.leaves_work = true;
        // As it was in its folder: by it the versions of what was in it are found.
        self.give_up(folder, Why::Deleted)?;
        let db = self.tree.db;
        db.execute("UPDATE entry SET parent = NULL, name = NULL WHERE id = ?1", values![id.0])?;
        db.execute("INSERT INTO doomed (id, customer) VALUES (?1, ?2)", values![id.0, self.tree.customer.0])?;
        self.log(id, None)
    }

    /// Removes up to `rows` rows of the customer's cut-off folders.
    fn sweep_step(&mut self, rows: usize) -> Result<(), Failure> {
        let mut left = rows;
        while left > 0 {
            let of_customer = values![self.tree.customer.0];
            let sql = "SELECT id FROM doomed WHERE customer = ?1 LIMIT 1";
            let doomed = self.tree.db.first(sql, of_customer, |row| row.get(0).map(ObjectId))?;
            let Some(doomed) = doomed else { return Ok(()) };
            let children = self.tree.children(doomed, ObjectId(0), left)?;
            left = left.saturating_sub(children.len().max(1));
            if children.is_empty() {
                self.bury(doomed)?;
            }
            for mut child in children {
                match child.is_folder() {
                    true => self.cut_off(&mut child)?,
                    false => self.remove_row(&child, Why::Deleted)?,
                }
            }
        }
        Ok(())
    }

    /// Removes a cut-off folder that has become empty. Its end was logged when it was cut off.
    fn bury(&mut self, folder: ObjectId) -> Result<(), Failure> {
        self.tree.db.execute("DELETE FROM entry WHERE id = ?1", values![folder.0])?;
        self.tree.db.execute("DELETE FROM doomed WHERE id = ?1", values![folder.0])?;
        let usage = &mut self.tree.account.usage;
        usage.files_used = usage.files_used.saturating_sub(1);
        Ok(())
    }
}

/// A customer after whose recursive deletes there is something to clear up.
pub fn to_sweep(db: &dyn Database) -> Result<Option<CustomerId>, Failure> {
    Ok(db.first("SELECT customer FROM doomed LIMIT 1", &[], |row| row.get(0).map(CustomerId))?)
}

/// One step of clearing up after a customer's recursive deletes.
pub fn sweep(
    db: &dyn Database,
    customer: CustomerId,
    now: Timestamp,
    retention: Retention,
) -> Result<(), Failure> {
    let mut edit = Edit::begin(db, customer, now, retention)?;
    edit.sweep_step(SWEEP_ROWS)?;
    edit.finish().map(drop)
}

/// Refuses an object of the other kind.
pub(super) fn check_kind(entry: &Entry, kind: Kind) -> Result<(), Failure> {
    match (entry.row.kind(), kind) {
        (Kind::Folder, Kind::File) => Err(Failure::new(VfsErrorCode::IsFolder, "that is a folder")),
        (Kind::File, Kind::Folder) => Err(Failure::new(VfsErrorCode::NotFolder, "that is a file")),
        _ => Ok(()),
    }
}

pub(super) fn not_empty() -> Failure {
    Failure::new(VfsErrorCode::NotEmpty, "the folder has entries")
}
