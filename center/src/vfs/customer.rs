//! Customers and their secrets (VFS-5, SRL-14).

use protocol::id::{CustomerId, ObjectId, Timestamp};
use protocol::srl::Secret;
use protocol::vfs::Usage;

use super::access;
use super::engine::{Columns, Database, values};
use super::failure::StoreError;
use super::versions::KeptUse;

/// A customer to be added.
#[derive(Clone, Debug)]
pub struct NewCustomer {
    /// Its id; `None` for the next free one.
    pub id: Option<CustomerId>,
    /// Its name, unlike any other's.
    pub name: String,
    /// The secret that signs its SRLs, made by the caller.
    pub secret: Secret,
    /// Limits.
    pub quota: Quota,
    /// Metadata of its root folder: whose it is, in the terms of its clients.
    pub root_metadata: Vec<u8>,
}

/// A customer's limits; `None` for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Most bytes of all files.
    pub bytes: Option<u64>,
    /// Most files and folders, the root not counted.
    pub files: Option<u64>,
}

/// A customer as the store has it, without its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Customer {
    /// Its id.
    pub id: CustomerId,
    /// Its name.
    pub name: String,
    /// Its root folder.
    pub root: ObjectId,
    /// Quota and use; `bytes_free` is 0 here, the cluster knows it.
    pub usage: Usage,
    /// What is kept of deleted and overwritten files.
    pub kept: KeptUse,
}

/// Adds a customer with an empty root folder.
pub fn add(db: &dyn Database, new: &NewCustomer, now: Timestamp) -> Result<Customer, StoreError> {
    let taken = |error| match error {
        StoreError::Constraint(_) => {
            let id = new.id.map_or(String::new(), |id| format!("{id} or "));
            StoreError::CustomerExists(format!("{id}{:?}", new.name))
        }
        other => other,
    };
    let id = db.first(
        "INSERT INTO customer (id, name, bytes_quota, files_quota)
         VALUES (COALESCE(?1, (SELECT COALESCE(max(id), 0) + 1 FROM customer)), ?2, ?3, ?4) RETURNING id",
        values![new.id.map(|id| id.0), &new.name, new.quota.bytes, new.quota.files],
        |row| row.get::<u32>(0),
    );
    let id = CustomerId(id.map_err(taken)?.ok_or(StoreError::Unreadable { column: 0 })?);
    let root = insert_root(db, id, &new.root_metadata, now)?;
    db.execute("UPDATE customer SET root = ?2 WHERE id = ?1", values![id.0, root.0])?;
    insert_secret(db, id, &new.secret)?;
    find(db, id)
}

/// Makes a folder that hangs from no other.
pub fn insert_root(
    db: &dyn Database,
    id: CustomerId,
    metadata: &[u8],
    now: Timestamp,
) -> Result<ObjectId, StoreError> {
    let root = db.first(
        "INSERT INTO entry (customer, version, created, modified, changed, metadata, subfolders)
         VALUES (?1, 1, ?2, ?2, ?2, ?3, 0) RETURNING id",
        values![id.0, now.0, metadata],
        |row| row.get(0).map(ObjectId),
    )?;
    root.ok_or(StoreError::Unreadable { column: 0 })
}

/// All customers, by id.
pub fn list(db: &dyn Database) -> Result<Vec<Customer>, StoreError> {
    db.list(&format!("SELECT {COLUMNS} FROM customer ORDER BY id"), &[], from_columns)
}

/// Sets a customer's limits. What is over a new limit stays.
pub fn set_quota(db: &dyn Database, id: CustomerId, quota: Quota) -> Result<Customer, StoreError> {
    db.execute(
        "UPDATE customer SET bytes_quota = ?2, files_quota = ?3 WHERE id = ?1",
        values![id.0, quota.bytes, quota.files],
    )?;
    find(db, id)
}

/// Sets for how long what a customer deletes and overwrites is kept, also what is kept by now.
pub fn set_keep(db: &dyn Database, id: CustomerId, seconds: Option<u32>) -> Result<Customer, StoreError> {
    db.execute("UPDATE customer SET keep_seconds = ?2 WHERE id = ?1", values![id.0, seconds])?;
    find(db, id)
}

/// Gives a customer a new secret. The one before stays valid until the next rotation; an older one goes.
pub fn rotate_secret(db: &dyn Database, id: CustomerId, secret: &Secret) -> Result<(), StoreError> {
    find(db, id)?;
    db.execute("DELETE FROM secret WHERE customer = ?1 AND rank = 1", values![id.0])?;
    db.execute("UPDATE secret SET rank = 1 WHERE customer = ?1", values![id.0])?;
    insert_secret(db, id, secret)?;
    access::changed(db, id)
}

/// Takes the secret before the present one back.
pub fn retire_secret(db: &dyn Database, id: CustomerId) -> Result<(), StoreError> {
    find(db, id)?;
    db.execute("DELETE FROM secret WHERE customer = ?1 AND rank = 1", values![id.0])?;
    access::changed(db, id)
}

fn insert_secret(db: &dyn Database, id: CustomerId, secret: &Secret) -> Result<(), StoreError> {
    db.execute(
        "INSERT INTO secret (customer, rank, secret) VALUES (?1, 0, ?2)",
        values![id.0, secret.as_bytes()],
    )
}

/// The customer's live secrets, the one that signs first; empty when there is no such customer.
pub fn secrets(db: &dyn Database, id: CustomerId) -> Result<Vec<Secret>, StoreError> {
    let secrets =
        db.list("SELECT secret FROM secret WHERE customer = ?1 ORDER BY rank", values![id.0], |row| {
            // A secret too short to be one was not written by us; it opens nothing.
            Ok(Secret::new(row.get::<Vec<u8>>(0)?).ok())
        })?;
    Ok(secrets.into_iter().flatten().collect())
}

/// Registers where a customer's end users are sent after an upload, or takes it back.
pub fn set_upload_page(db: &dyn Database, id: CustomerId, url: Option<&str>) -> Result<(), StoreError> {
    find(db, id)?;
    db.execute("UPDATE customer SET upload_page = ?2 WHERE id = ?1", values![id.0, url])
}

/// Where a customer's end users are sent after an upload, if that is registered.
pub fn upload_page(db: &dyn Database, id: CustomerId) -> Result<Option<String>, StoreError> {
    let page: Option<Option<String>> =
        db.first("SELECT upload_page FROM customer WHERE id = ?1", values![id.0], |row| row.get(0))?;
    Ok(page.flatten())
}

/// Sets on which hosts a customer's callbacks may lie, joined by spaces; `None` for none.
pub fn set_callback_hosts(db: &dyn Database, id: CustomerId, hosts: Option<&str>) -> Result<(), StoreError> {
    find(db, id)?;
    db.execute("UPDATE customer SET callback_hosts = ?2 WHERE id = ?1", values![id.0, hosts])
}

/// On which hosts a customer's callbacks may lie, joined by spaces.
pub fn callback_hosts(db: &dyn Database, id: CustomerId) -> Result<Option<String>, StoreError> {
    let hosts: Option<Option<String>> =
        db.first("SELECT callback_hosts FROM customer WHERE id = ?1", values![id.0], |row| row.get(0))?;
    Ok(hosts.flatten())
}

const COLUMNS: &str = "id, name, root, bytes_used, files_used, bytes_quota, files_quota, bytes_kept, versions_kept, keep_seconds";

/// The customer.
pub fn find(db: &dyn Database, id: CustomerId) -> Result<Customer, StoreError> {
    db.first(&format!("SELECT {COLUMNS} FROM customer WHERE id = ?1"), values![id.0], from_columns)?
        .ok_or(StoreError::NoSuchCustomer(id))
}

fn from_columns(row: &dyn Columns) -> Result<Customer, StoreError> {
    Ok(Customer {
        id: CustomerId(row.get(0)?),
        name: row.get(1)?,
        root: ObjectId(row.get(2)?),
        usage: Usage {
            bytes_used: row.get(3)?,
            files_used: row.get(4)?,
            bytes_quota: row.get(5)?,
            files_quota: row.get(6)?,
            bytes_free: 0,
        },
        kept: KeptUse { bytes: row.get(7)?, versions: row.get(8)?, keep_seconds: row.get(9)? },
    })
}
