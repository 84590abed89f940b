//! Files that a customer calls by ids of its own (PRIV-4): rows of a folder that hangs from no root.
//!
//! A row's name is the 32 hex digits of its [`ClientFile`]. So all that holds for files holds for them: a name is there
//! once, a row holds its reference, counts against the quota, and is known to the comparison with the storage nodes. No
//! listing shows them, because no name leads there. The folder itself counts as little as a root.

use protocol::id::{ClientFile, CustomerId, ObjectId, Timestamp};
use protocol::name::Name;
use protocol::vfs::{Target, VfsErrorCode};

use super::customer;
use super::engine::{Database, values};
use super::failure::{Failure, StoreError};

/// The customer's folder, if it has one by now.
pub fn folder(db: &dyn Database, customer: CustomerId) -> Result<Option<ObjectId>, StoreError> {
    let folder: Option<Option<u64>> =
        db.first("SELECT client_files FROM customer WHERE id = ?1", values![customer.0], |row| row.get(0))?;
    Ok(folder.flatten().map(ObjectId))
}

/// The customer's folder, made if it has none.
pub fn make_folder(db: &dyn Database, id: CustomerId, now: Timestamp) -> Result<ObjectId, StoreError> {
    if let Some(folder) = folder(db, id)? {
        return Ok(folder);
    }
    let folder = customer::insert_root(db, id, b"", now)?;
    db.execute("UPDATE customer SET client_files = ?2 WHERE id = ?1", values![id.0, folder.0])?;
    Ok(folder)
}

/// A file's row in this folder.
pub fn row_of(folder: ObjectId, file: ClientFile) -> Result<Target, Failure> {
    Ok(Target::Name(folder, name_of(file)?))
}

/// A file's name in the folder.
pub fn name_of(file: ClientFile) -> Result<Name, Failure> {
    let name = Name::new(file.to_string().as_bytes());
    name.map_err(|error| Failure::new(VfsErrorCode::Invalid, &error.to_string()))
}
