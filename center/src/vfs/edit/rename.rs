//! MOVE: another folder, another name, or both, with POSIX's rules for replacing (VFS-12, VFS-14).

use protocol::id::ObjectId;
use protocol::name::Name;
use protocol::vfs::{Changed, Kind, Target, VfsErrorCode, Why};

use super::create::exists;
use super::delete::check_kind;
use super::{Edit, Failure, untouched};
use crate::vfs::tree::Entry;

impl Edit<'_> {
    pub(super) fn rename(
        &mut self,
        target: &Target,
        kind: Option<Kind>,
        parent: ObjectId,
        name: &Name,
        replace: bool,
    ) -> Result<Changed, Failure> {
        let mut moved = self.tree.find(target)?;
        let Some(old_parent) = moved.row.parent else {
            return Err(Failure::new(VfsErrorCode::Invalid, "the root folder stays where it is"));
        };
        if let Some(kind) = kind {
            check_kind(&moved, kind)?;
        }
        let new_folder = self.tree.folder(parent)?;
        if moved.is_folder() && self.tree.hangs_from(parent, moved.row.id)? {
            return Err(Failure::new(VfsErrorCode::Invalid, "a folder cannot go into its own subtree"));
        }
        let old_folder = match old_parent == parent {
            true => None,
            false => Some(self.tree.folder(old_parent)?),
        };
        let in_the_way = self.tree.child(parent, name)?;
        if in_the_way.as_ref().is_some_and(|other| other.row.id == moved.row.id) {
            return Ok(Changed {
                before: Some(moved.snapshot()),
                row: Some(moved.row),
                created: false,
                removed: None,
                folders: vec![untouched(new_folder)],
            });
        }
        if let Some(other) = &in_the_way {
            self.check_replaceable(&moved, other, replace)?;
            self.remove_row(other, Why::Overwritten)?;
        }

        let before = moved.snapshot();
        moved.row.parent = Some(parent);
        moved.row.name = Some(name.clone());
        moved.row.changed = self.stamp(moved.row.changed);
        self.save(&mut moved)?;
        let folders = self.touch_folders(old_folder, new_folder, &moved, in_the_way.as_ref())?;
        Ok(Changed {
            row: Some(moved.row),
            before: Some(before),
            created: false,
            removed: in_the_way.map(|other| other.row.id),
            folders,
        })
    }

    fn check_replaceable(&self, moved: &Entry, other: &Entry, replace: bool) -> Result<(), Failure> {
        if !replace {
            return Err(exists());
        }
        match (moved.is_folder(), other.is_folder()) {
            (false, true) => Err(Failure::new(VfsErrorCode::IsFolder, "a file does not replace a folder")),
            (true, false) => Err(Failure::new(VfsErrorCode::NotFolder, "a folder does not replace a file")),
            (true, true) if self.tree.has_children(other.row.id)? => Err(super::delete::not_empty()),
            _ => Ok(()),
        }
    }

    fn touch_folders(
        &mut self,
        old_folder: Option<Entry>,
        mut new_folder: Entry,
        moved: &Entry,
        replaced: Option<&Entry>,
    ) -> Result<Vec<protocol::vfs::FolderChange>, Failure> {
        let is_folder = i64::from(moved.is_folder());
        let lost = i64::from(replaced.is_some_and(Entry::is_folder));
        let Some(mut old_folder) = old_folder else {
            return Ok(vec![self.touch_folder(&mut new_folder, -lost)?]);
        };
        Ok(vec![
            self.touch_folder(&mut old_folder, -is_folder)?,
            self.touch_folder(&mut new_folder, is_folder - lost)?,
        ])
    }
}
