//! Reading a customer's tree: rows by id, by name, and the entries of a folder.
//!
//! Works inside whatever transaction its connection is in, so that everything read through one [`Tree`] is of one
//! moment. Knows no locks and no clock.

use protocol::digest::{Content, Digest, Fingerprint};
use protocol::id::{CustomerId, FeedPosition, ObjectId, Timestamp, Token};
use protocol::name::Name;
use protocol::vfs::{Before, Body, Row, Target, Usage, VfsErrorCode};

use super::engine::{Columns, Database, Value, values};
use super::failure::{Failure, StoreError};
use super::versions::KeptUse;

/// Columns every row is read from, in the order [`Entry::from_columns`] expects.
const COLUMNS: &str = "id, parent, name, version, created, modified, changed, metadata, subfolders, fingerprint, size, digest, token";

/// A row, and the reference it holds.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The row as clients see it, without an SRL.
    pub row: Row,
    /// Token of the file's reference; `None` for folders and empty files.
    pub token: Option<Token>,
}

impl Entry {
    /// Reads it from [`COLUMNS`], or others like them; more may follow.
    pub(super) fn from_columns(columns: &dyn Columns) -> Result<Self, StoreError> {
        let body = match columns.get(8)? {
            Some(subfolders) => Body::Folder { subfolders },
            None => Body::File {
                content: Content {
                    fingerprint: Fingerprint(columns.get(9)?),
                    size: columns.get(10)?,
                    digest: Digest(columns.get(11)?),
                },
            },
        };
        let name: Option<&[u8]> = columns.get(2)?;
        let name = name.map(Name::new).transpose().map_err(|_| StoreError::Unreadable { column: 2 })?;
        let row = Row {
            id: ObjectId(columns.get(0)?),
            parent: columns.get::<Option<u64>>(1)?.map(ObjectId),
            name,
            version: columns.get(3)?,
            created: Timestamp(columns.get(4)?),
            modified: Timestamp(columns.get(5)?),
            changed: Timestamp(columns.get(6)?),
            metadata: columns.get(7)?,
            body,
            srl: None,
        };
        Ok(Self { row, token: columns.get::<Option<[u8; 16]>>(12)?.map(Token) })
    }

    /// The file's contents; `None` for a folder.
    pub fn content(&self) -> Option<Content> {
        match self.row.body {
            Body::File { content } => Some(content),
            Body::Folder { .. } => None,
        }
    }

    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        matches!(self.row.body, Body::Folder { .. })
    }

    /// Bytes it counts against the quota.
    pub fn size(&self) -> u64 {
        self.content().map_or(0, |content| content.size)
    }

    /// Version, size and times as they are now.
    pub fn snapshot(&self) -> Before {
        Before {
            version: self.row.version,
            size: self.size(),
            modified: self.row.modified,
            changed: self.row.changed,
        }
    }
}

/// A customer's own row.
#[derive(Clone, Copy, Debug)]
pub struct Account {
    /// The root folder.
    pub root: ObjectId,
    /// The folder of the customer's own file ids, if there is one ([`client_files`](super::client_files)).
    pub client_files: Option<ObjectId>,
    /// Position of the last change.
    pub position: FeedPosition,
    /// Quota and use, without the cluster's free space.
    pub usage: Usage,
    /// What is kept of deleted and overwritten files.
    pub kept: KeptUse,
    /// Whether a recursive delete is still clearing up, so that a row found by id may already be cut off.
    is_sweeping: bool,
}

impl Account {
    /// Reads it; `NotFound` when there is no such customer.
    pub fn read(db: &dyn Database, customer: CustomerId) -> Result<Self, Failure> {
        let account = db.first(
            "SELECT root, position, bytes_used, files_used, bytes_quota, files_quota,
                    client_files, EXISTS (SELECT 1 FROM doomed WHERE customer = ?1),
                    bytes_kept, versions_kept, keep_seconds
             FROM customer WHERE id = ?1",
            values![customer.0],
            |row| {
                Ok(Self {
                    root: ObjectId(row.get(0)?),
                    position: FeedPosition(row.get(1)?),
                    usage: Usage {
                        bytes_used: row.get(2)?,
                        files_used: row.get(3)?,
                        bytes_quota: row.get(4)?,
                        files_quota: row.get(5)?,
                        bytes_free: 0,
                    },
                    client_files: row.get::<Option<u64>>(6)?.map(ObjectId),
                    is_sweeping: row.get(7)?,
                    kept: KeptUse { bytes: row.get(8)?, versions: row.get(9)?, keep_seconds: row.get(10)? },
                })
            },
        )?;
        account.ok_or_else(|| Failure::new(VfsErrorCode::NotFound, "there is no such customer"))
    }
}

/// One customer's folders and files, of one moment.
pub struct Tree<'a> {
    /// The connection, inside a transaction.
    pub db: &'a dyn Database,
    /// Whose.
    pub customer: CustomerId,
    /// The customer's row.
    pub account: Account,
}

impl<'a> Tree<'a> {
    /// Looks at a customer's tree through a connection that is inside a transaction.
    pub fn open(db: &'a dyn Database, customer: CustomerId) -> Result<Self, Failure> {
        Ok(Self { db, customer, account: Account::read(db, customer)? })
    }

    /// The row with this id, if it is the customer's and still hangs from the root, or from the folder beside it.
    pub fn entry(&self, id: ObjectId) -> Result<Entry, Failure> {
        if i64::try_from(id.0).is_err() {
            return Err(not_found()); // More than a database id holds.
        }
        let entry = self.entry_anywhere(id)?.ok_or_else(not_found)?;
        if self.account.is_sweeping && !self.is_in_place(id)? {
            return Err(not_found());
        }
        Ok(entry)
    }

    fn is_in_place(&self, id: ObjectId) -> Result<bool, Failure> {
        let Account { root, client_files, .. } = self.account;
        if self.hangs_from(id, root)? {
            return Ok(true);
        }
        client_files.map_or(Ok(false), |folder| self.hangs_from(id, folder))
    }

    /// The row with this id, which must be a folder.
    pub fn folder(&self, id: ObjectId) -> Result<Entry, Failure> {
        let entry = self.entry(id)?;
        match entry.is_folder() {
            true => Ok(entry),
            false => Err(Failure::new(VfsErrorCode::NotFolder, "the parent is a file")),
        }
    }

    /// The row a target names.
    pub fn find(&self, target: &Target) -> Result<Entry, Failure> {
        match target {
            Target::Id(id) => self.entry(*id),
            Target::Name(folder, name) => {
                let folder = self.folder(*folder)?;
                self.child(folder.row.id, name)?.ok_or_else(not_found)
            }
        }
    }

    /// The entry of this name, if the folder has one.
    pub fn child(&self, folder: ObjectId, name: &Name) -> Result<Option<Entry>, Failure> {
        Ok(self.entries("parent = ?1 AND name = ?2", values![folder.0, name.as_bytes()])?.pop())
    }

    /// Up to `limit` entries of a folder with ids above `after`, in order of id.
    pub fn children(&self, folder: ObjectId, after: ObjectId, limit: usize) -> Result<Vec<Entry>, Failure> {
        self.entries("parent = ?1 AND id > ?2 ORDER BY id LIMIT ?3", values![folder.0, after.0, limit])
    }

    /// Whether a folder has any entry.
    pub fn has_children(&self, folder: ObjectId) -> Result<bool, Failure> {
        Ok(self.db.exists("SELECT EXISTS (SELECT 1 FROM entry WHERE parent = ?1)", values![folder.0])?)
    }

    /// Whether `id` is `ancestor` or lies below it. Steps upwards: as many as the tree is deep there.
    pub fn hangs_from(&self, id: ObjectId, ancestor: ObjectId) -> Result<bool, Failure> {
        Ok(self.db.exists(
            "WITH RECURSIVE above (id, parent) AS (
                 SELECT id, parent FROM entry WHERE id = ?1
                 UNION ALL
                 SELECT entry.id, entry.parent FROM entry JOIN above ON entry.id = above.parent WHERE above.id <> ?2)
             SELECT EXISTS (SELECT 1 FROM above WHERE id = ?2)",
            values![id.0, ancestor.0],
        )?)
    }

    fn entry_anywhere(&self, id: ObjectId) -> Result<Option<Entry>, Failure> {
        Ok(self.entries("id = ?1 AND customer = ?2", values![id.0, self.customer.0])?.pop())
    }

    fn entries(&self, condition: &str, values: &[Value<'_>]) -> Result<Vec<Entry>, Failure> {
        let sql = format!("SELECT {COLUMNS} FROM entry WHERE {condition}");
        Ok(self.db.list(&sql, values, Entry::from_columns)?)
    }
}

fn not_found() -> Failure {
    Failure::new(VfsErrorCode::NotFound, "there is no such file or folder")
}
