//! What is kept of files and folders that were deleted, and of contents that were overwritten: rows as they were, each
//! with the reference that it held.
//!
//! So to keep something moves a reference from one row to another of the same transaction, and costs the storage
//! cluster nothing. When it is deleted for good, which is by age or because there is too much of it, `edit/keep.rs` puts
//! the reference into the outbox as always.

use protocol::digest::Fingerprint;
use protocol::id::{CustomerId, ObjectId, Timestamp, Token, VersionId};
use protocol::vfs::{Body, Version, Versioned, Why};

use super::engine::{Columns, Database, Value, values};
use super::failure::{Failure, StoreError};
use super::tree::Entry;

/// Versions kept of one customer's, whatever their age: some hundred MB of the database.
pub const KEPT_MAX: u64 = 1_000_000;

/// For how long versions are kept, in seconds, of customers for whom nothing else is said; 0 for not at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention(pub u32);

/// What a customer's versions come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeptUse {
    /// Bytes of their contents.
    pub bytes: u64,
    /// How many there are.
    pub versions: u64,
    /// For how long they are kept, in seconds; `None`: as the configuration says.
    pub keep_seconds: Option<u32>,
}

/// A version, and the reference it holds.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its number.
    pub id: VersionId,
    /// What became of the row.
    pub why: Why,
    /// When.
    pub at: Timestamp,
    /// The row as it was.
    pub entry: Entry,
}

impl From<Kept> for Version {
    fn from(Kept { id, why, at, entry }: Kept) -> Self {
        Self { id, why, at, row: entry.row }
    }
}

/// The columns of a row first, as [`Entry::from_columns`] expects them.
const COLUMNS: &str =
    "entry, parent, name, version, created, modified, changed, metadata, subfolders, fingerprint,
    size, digest, token, id, why, at";

fn from_columns(columns: &dyn Columns) -> Result<Kept, StoreError> {
    let why = match columns.get::<bool>(14)? {
        false => Why::Deleted,
        true => Why::Overwritten,
    };
    Ok(Kept {
        id: VersionId(columns.get(13)?),
        why,
        at: Timestamp(columns.get(15)?),
        entry: Entry::from_columns(columns)?,
    })
}

/// Keeps a row as it is. Its reference must be in no other row when the transaction ends.
pub fn insert(
    db: &dyn Database,
    customer: CustomerId,
    entry: &Entry,
    why: Why,
    at: Timestamp,
) -> Result<(), Failure> {
    let row = &entry.row;
    let (subfolders, content) = match row.body {
        Body::Folder { subfolders } => (Some(subfolders), None),
        Body::File { content } => (None, Some(content)),
    };
    Ok(db.execute(
        "INSERT INTO version (customer, why, at, entry, parent, name, version, created, modified, changed, metadata,
                              subfolders, fingerprint, size, digest, token)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
        values![
            customer.0,
            u32::from(why == Why::Overwritten),
            at.0,
            row.id.0,
            row.parent.map(|parent| parent.0),
            row.name.as_ref().map(|name| name.as_bytes()),
            row.version,
            row.created.0,
            row.modified.0,
            row.changed.0,
            &row.metadata,
            subfolders,
            content.as_ref().map(|content| &content.fingerprint.0),
            content.as_ref().map(|content| content.size),
            content.as_ref().map(|content| &content.digest.0),
            entry.token.as_ref().map(|token| &token.0),
        ],
    )?)
}

/// Removes a version; what becomes of its reference is the caller's matter.
pub fn remove(db: &dyn Database, id: VersionId) -> Result<(), Failure> {
    Ok(db.execute("DELETE FROM version WHERE id = ?1", values![id.0])?)
}

/// The version of this number.
pub fn find(db: &dyn Database, customer: CustomerId, id: VersionId) -> Result<Option<Kept>, Failure> {
    // No version has a number beyond what a database integer holds.
    let id = id.0.min(i64::MAX.unsigned_abs());
    Ok(select(db, "id = ?1 AND customer = ?2", values![id, customer.0])?.pop())
}

/// The version that holds a reference.
pub fn holding(
    db: &dyn Database,
    customer: CustomerId,
    fingerprint: Fingerprint,
    token: Token,
) -> Result<Option<Kept>, StoreError> {
    let reference = values![customer.0, &fingerprint.0, &token.0];
    Ok(select(db, "customer = ?1 AND fingerprint = ?2 AND token = ?3", reference)?.pop())
}

/// Versions with numbers above `after`, in that order.
pub fn list(
    db: &dyn Database,
    customer: CustomerId,
    of: &Versioned,
    after: VersionId,
    limit: usize,
) -> Result<Vec<Kept>, Failure> {
    let after = after.0.min(i64::MAX.unsigned_abs());
    let of_id = |column: &str, id: ObjectId| {
        let condition = format!("{column} = ?1 AND customer = ?2 AND id > ?3 ORDER BY id LIMIT ?4");
        // No row has an id beyond what a database integer holds.
        select(db, &condition, values![id.0.min(i64::MAX.unsigned_abs()), customer.0, after, limit])
    };
    Ok(match of {
        Versioned::Id(id) => of_id("entry", *id)?,
        Versioned::Folder(folder) => of_id("parent", *folder)?,
        Versioned::Name(folder, name) => select(
            db,
            "parent = ?1 AND name = ?5 AND customer = ?2 AND id > ?3 ORDER BY id LIMIT ?4",
            values![folder.0.min(i64::MAX.unsigned_abs()), customer.0, after, limit, name.as_bytes()],
        )?,
    })
}

/// A customer's oldest versions.
pub fn oldest(db: &dyn Database, customer: CustomerId, limit: usize) -> Result<Vec<Kept>, Failure> {
    Ok(select(db, "customer = ?1 ORDER BY at, id LIMIT ?2", values![customer.0, limit])?)
}

/// A customer who has versions that are too old, or too much of them.
///
/// Looks at customers who have any, one after the other along an index: where nothing is kept this costs nothing.
pub fn to_expire(
    db: &dyn Database,
    now: Timestamp,
    Retention(seconds): Retention,
) -> Result<Option<CustomerId>, Failure> {
    Ok(db.first(
        "WITH RECURSIVE keeper (id) AS (
             SELECT (SELECT min(customer) FROM version)
             UNION ALL
             SELECT (SELECT min(version.customer) FROM version WHERE version.customer > keeper.id)
             FROM keeper WHERE keeper.id IS NOT NULL)
         SELECT customer.id FROM keeper JOIN customer ON customer.id = keeper.id
         WHERE customer.bytes_kept > customer.bytes_quota OR customer.versions_kept > ?3
            OR EXISTS (SELECT 1 FROM version
                       WHERE version.customer = customer.id
                         AND version.at <= ?1 - COALESCE(customer.keep_seconds, ?2) * 1000000000)
         LIMIT 1",
        values![now.0, seconds, KEPT_MAX],
        |row| row.get(0).map(CustomerId),
    )?)
}

fn select(db: &dyn Database, condition: &str, values: &[Value<'_>]) -> Result<Vec<Kept>, StoreError> {
    db.list(&format!("SELECT {COLUMNS} FROM version WHERE {condition}"), values, from_columns)
}
