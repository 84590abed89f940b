//! CREATE FOLDER and CREATE FILE (VFS-13, VFS-16, VFS-17).

use protocol::digest::Content;
use protocol::id::{ObjectId, Timestamp, Token};
use protocol::name::Name;
use protocol::vfs::{Body, Changed, Existing, Row, VfsErrorCode};

use super::update::Times;
use super::{Edit, Failure, Verified, check_metadata, untouched};
use crate::vfs::engine::values;
use crate::vfs::failure::StoreError;
use crate::vfs::tree::Entry;

impl Edit<'_> {
    pub(super) fn create_folder(
        &mut self,
        parent: ObjectId,
        name: &Name,
        metadata: &[u8],
    ) -> Result<Changed, Failure> {
        check_metadata(metadata)?;
        let folder = self.tree.folder(parent)?;
        if self.tree.child(parent, name)?.is_some() {
            return Err(exists());
        }
        self.insert(folder, name, metadata, Body::Folder { subfolders: 0 }, None)
    }

    pub(super) fn create_file(
        &mut self,
        parent: ObjectId,
        name: &Name,
        metadata: &[u8],
        verified: Option<Verified>,
        existing: Existing,
    ) -> Result<Changed, Failure> {
        check_metadata(metadata)?;
        let folder = self.tree.folder(parent)?;
        match (self.tree.child(parent, name)?, existing) {
            (Some(_), Existing::Refuse) => return Err(exists()),
            (Some(entry), Existing::Open | Existing::Replace) if entry.is_folder() => {
                return Err(Failure::new(VfsErrorCode::IsFolder, "the name is a folder's"));
            }
            (Some(entry), Existing::Open) => {
                return Ok(Changed {
                    before: Some(entry.snapshot()),
                    row: Some(entry.row),
                    created: false,
                    removed: None,
                    folders: vec![untouched(folder)],
                });
            }
            (Some(entry), Existing::Replace) => {
                let empty = Verified { content: Content::EMPTY, token: None, asked: self.now };
                let (metadata, contents) = (Some(metadata), Some(verified.unwrap_or(empty)));
                let changed = self.update(entry.row.id, None, metadata, Times::default(), contents)?;
                return Ok(Changed { folders: vec![untouched(folder)], ..changed });
            }
            (None, _) => {}
        }
        let (content, token) = match &verified {
            Some(verified) => {
                self.check_reference(None, verified)?;
                (verified.content, verified.token)
            }
            None => (Content::EMPTY, None),
        };
        self.charge_bytes(0, &content)?;
        self.insert(folder, name, metadata, Body::File { content }, token)
    }

    fn insert(
        &mut self,
        mut folder: Entry,
        name: &Name,
        metadata: &[u8],
        body: Body,
        token: Option<Token>,
    ) -> Result<Changed, Failure> {
        self.charge_entry()?;
        let subfolders = i64::from(matches!(body, Body::Folder { .. }));
        let row = self.insert_row(folder.row.id, name, metadata, body, token)?;
        self.log(row.id, Some(row.version))?;
        let change = self.touch_folder(&mut folder, subfolders)?;
        Ok(Changed { row: Some(row), before: None, created: true, removed: None, folders: vec![change] })
    }

    fn insert_row(
        &self,
        parent: ObjectId,
        name: &Name,
        metadata: &[u8],
        body: Body,
        token: Option<Token>,
    ) -> Result<Row, Failure> {
        let Timestamp(now) = self.now;
        let (subfolders, content) = match body {
            Body::Folder { subfolders } => (Some(subfolders), None),
            Body::File { content } => (None, Some(content)),
        };
        let id = self.tree.db.first(
            "INSERT INTO entry (customer, parent, name, version, created, modified, changed, metadata,
                                subfolders, fingerprint, size, digest, token)
             VALUES (?1, ?2, ?3, 1, ?4, ?4, ?4, ?5, ?6, ?7, ?8, ?9, ?10) RETURNING id",
            values![
                self.tree.customer.0,
                parent.0,
                name.as_bytes(),
                now,
                metadata,
                subfolders,
                content.as_ref().map(|content| &content.fingerprint.0),
                content.as_ref().map(|content| content.size),
                content.as_ref().map(|content| &content.digest.0),
                token.as_ref().map(|token| &token.0),
            ],
            |row| row.get(0),
        )?;
        Ok(Row {
            id: ObjectId(id.ok_or(StoreError::Unreadable { column: 0 })?),
            parent: Some(parent),
            name: Some(name.clone()),
            version: 1,
            created: self.now,
            modified: self.now,
            changed: self.now,
            metadata: metadata.to_vec(),
            body,
            srl: None,
        })
    }
}

pub(super) fn exists() -> Failure {
    Failure::new(VfsErrorCode::Exists, "the name is taken")
}
