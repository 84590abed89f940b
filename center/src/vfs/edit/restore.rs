//! RESTORE: a version becomes a row again, and its reference that row's.

use protocol::id::{ObjectId, VersionId};
use protocol::name::Name;
use protocol::vfs::{Body, Changed, VfsErrorCode};

use super::create::{New, exists};
use super::{Edit, Failure, untouched};
use crate::vfs::engine::values;
use crate::vfs::tree::Entry;
use crate::vfs::versions::{self, Kept};

impl Edit<'_> {
    pub(super) fn restore(
        &mut self,
        version: VersionId,
        parent: Option<ObjectId>,
        name: Option<&Name>,
        replace: bool,
    ) -> Result<Changed, Failure> {
        let kept = versions::find(self.tree.db, self.tree.customer, version)?.ok_or_else(no_such_version)?;
        let row = &kept.entry.row;
        let (Some(old_parent), Some(old_name)) = (row.parent, row.name.clone()) else {
            return Err(no_such_version());
        };
        let folder = self.tree.folder(parent.unwrap_or(old_parent))?;
        let name = name.cloned().unwrap_or(old_name);
        match self.tree.child(folder.row.id, &name)? {
            None => self.restore_beside(kept, folder, &name),
            Some(_) if !replace || kept.entry.is_folder() => Err(exists()),
            Some(entry) if entry.is_folder() => {
                Err(Failure::new(VfsErrorCode::IsFolder, "the name is a folder's"))
            }
            Some(entry) => self.restore_over(kept, folder, entry),
        }
    }

    /// A row of its own. A file is another one than before: whoever knew that by its id has heard that it is gone. A folder
    /// is the same, without what was in it: by its id the versions of that are found, to be restored one by one.
    fn restore_beside(&mut self, kept: Kept, folder: Entry, name: &Name) -> Result<Changed, Failure> {
        self.take_version(&kept)?;
        let Entry { row, token } = kept.entry;
        let (again, body) = match row.body {
            Body::Folder { .. } => {
                self.check_cleared(row.id)?;
                (Some((row.id, row.version + 1)), Body::Folder { subfolders: 0 })
            }
            Body::File { content } => {
                self.charge_bytes(0, &content)?;
                (None, Body::File { content })
            }
        };
        let new = New {
            again,
            name,
            metadata: &row.metadata,
            body,
            token,
            created: row.created,
            modified: row.modified,
            changed: self.stamp(row.changed),
        };
        self.insert(folder, new)
    }

    /// Refuses a folder that a recursive delete has cut off and not cleared yet.
    fn check_cleared(&self, folder: ObjectId) -> Result<(), Failure> {
        let sql = "SELECT EXISTS (SELECT 1 FROM entry WHERE id = ?1)";
        match self.tree.db.exists(sql, values![folder.0])? {
            true => {
                let why = "the folder's contents are still being removed; try again later";
                Err(Failure::new(VfsErrorCode::Unavailable, why))
            }
            false => Ok(()),
        }
    }

    /// The contents and metadata of a row that goes on; what it has now is kept in turn.
    fn restore_over(&mut self, kept: Kept, folder: Entry, mut entry: Entry) -> Result<Changed, Failure> {
        let before = entry.snapshot();
        self.take_version(&kept)?;
        self.give_up_contents(&entry)?;
        let Entry { row, token } = kept.entry;
        if let Body::File { content } = row.body {
            self.charge_bytes(before.size, &content)?;
        }
        entry.row.changed = self.stamp(entry.row.changed);
        entry.row.modified = row.modified;
        entry.row.metadata = row.metadata;
        entry.row.body = row.body;
        entry.token = token;
        self.save(&mut entry)?;
        Ok(Changed {
            row: Some(entry.row),
            before: Some(before),
            created: false,
            removed: None,
            folders: vec![untouched(folder)],
        })
    }
}

fn no_such_version() -> Failure {
    Failure::new(VfsErrorCode::NotFound, "there is no such version any more")
}
