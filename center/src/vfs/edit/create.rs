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

const INSERT: &str = "INSERT INTO entry
         (customer, parent, name, version, created, modified, changed, metadata,
          subfolders, fingerprint, size, digest, token)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) RETURNING id";

const INSERT_AGAIN: &str = "INSERT INTO entry
         (customer, parent, name, version, created, modified, changed, metadata,
          subfolders, fingerprint, size, digest, token, id)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) RETURNING id";

/// What a new row is.
pub(super) struct New<'a> {
    /// Id and version of a folder that was there before; `None` for the next id.
    pub again: Option<(ObjectId, u64)>,
    pub name: &'a Name,
    pub metadata: &'a [u8],
    pub body: Body,
    pub token: Option<Token>,
    pub created: Timestamp,
    pub modified: Timestamp,
    pub changed: Timestamp,
}

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
        self.insert(folder, self.new_row(name, metadata, Body::Folder { subfolders: 0 }, None))
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
                self.claim_reference(None, verified)?;
                (verified.content, verified.token)
            }
            None => (Content::EMPTY, None),
        };
        self.charge_bytes(0, &content)?;
        self.insert(folder, self.new_row(name, metadata, Body::File { content }, token))
    }

    /// A row that was never there before.
    fn new_row<'a>(&self, name: &'a Name, metadata: &'a [u8], body: Body, token: Option<Token>) -> New<'a> {
        let now = self.now;
        New { again: None, name, metadata, body, token, created: now, modified: now, changed: now }
    }

    pub(super) fn insert(&mut self, mut folder: Entry, new: New<'_>) -> Result<Changed, Failure> {
        self.charge_entry()?;
        let subfolders = i64::from(matches!(new.body, Body::Folder { .. }));
        let row = self.insert_row(folder.row.id, new)?;
        self.log(row.id, Some(row.version))?;
        let change = self.touch_folder(&mut folder, subfolders)?;
        Ok(Changed { row: Some(row), before: None, created: true, removed: None, folders: vec![change] })
    }

    fn insert_row(&self, parent: ObjectId, new: New<'_>) -> Result<Row, Failure> {
        let New { again, name, metadata, body, token, created, modified, changed } = new;
        let version = again.map_or(1, |(_, version)| version);
        let (subfolders, content) = match body {
            Body::Folder { subfolders } => (Some(subfolders), None),
            Body::File { content } => (None, Some(content)),
        };
        let values = values![
            self.tree.customer.0,
            parent.0,
            name.as_bytes(),
            version,
            created.0,
            modified.0,
            changed.0,
            metadata,
            subfolders,
            content.as_ref().map(|content| &content.fingerprint.0),
            content.as_ref().map(|content| content.size),
            content.as_ref().map(|content| &content.digest.0),
            token.as_ref().map(|token| &token.0),
            again.map(|(id, _)| id.0),
        ];
        let id = match again {
            None => self.tree.db.first(INSERT, &values[..13], |row| row.get(0))?,
            Some(_) => self.tree.db.first(INSERT_AGAIN, values, |row| row.get(0))?,
        };
        Ok(Row {
            id: ObjectId(id.ok_or(StoreError::Unreadable { column: 0 })?),
            parent: Some(parent),
            name: Some(name.clone()),
            version,
            created,
            modified,
            changed,
            metadata: metadata.to_vec(),
            body,
            srl: None,
        })
    }
}

pub(super) fn exists() -> Failure {
    Failure::new(VfsErrorCode::Exists, "the name is taken")
}
