//! What customers' SRLs are checked by, and who has to hear when that changes: secrets, revocations, suspension (SRL-14),
//! generations of pairs of ports (FO-11).
//!
//! Each change gives its customer a new number, higher than any before. So whoever knows a number can ask what changed
//! since.

use protocol::dosp::REVOKED_MAX;
use protocol::dosp::operations::{AccessNewsOut, AccessOut};
use protocol::id::{CustomerId, ObjectId, Timestamp};
use protocol::name::Name;
use protocol::srl::Mark;
use protocol::vfs::VfsErrorCode;

use super::customer;
use super::engine::{Database, values};
use super::failure::{Failure, StoreError};
use super::pairs;
use super::tree::{Entry, Tree};

/// Something that is revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// What is refused.
    pub mark: Mark,
    /// The same for people.
    pub what: String,
}

/// The customer's access.
pub fn read(db: &dyn Database, id: CustomerId) -> Result<AccessOut, StoreError> {
    if db.exists("SELECT EXISTS (SELECT 1 FROM customer WHERE id = ?1 AND suspended = 1)", values![id.0])? {
        return Ok(AccessOut { secrets: Vec::new(), revoked: Vec::new(), pairs: Vec::new() });
    }
    let secrets = customer::secrets(db, id)?;
    let revoked = list(db, id)?.into_iter().map(|revocation| revocation.mark).collect();
    Ok(AccessOut { secrets, revoked, pairs: pairs::generations(db, id)? })
}

/// Stands for the time before the first change.
const BEFORE_ALL: u64 = 1;

/// The number of the last change of all; never 0.
pub fn generation(db: &dyn Database) -> Result<u64, StoreError> {
    Ok(db.first("SELECT value FROM access_generation", &[], |row| row.get(0))?.unwrap_or(BEFORE_ALL))
}

/// Whose access changed after the change with this number; of `limit` customers at most.
pub fn news(db: &dyn Database, since: u64, limit: usize) -> Result<AccessNewsOut, StoreError> {
    let changed = db.list(
        "SELECT id, access FROM customer WHERE access > ?1 ORDER BY access LIMIT ?2",
        values![since, limit],
        |row| Ok((CustomerId(row.get(0)?), row.get::<u64>(1)?)),
    )?;
    let until = changed.last().map_or(since, |(_, number)| *number);
    Ok(AccessNewsOut { until, customers: changed.into_iter().map(|(customer, _)| customer).collect() })
}

/// Gives the customer the next number; the last thing a change does, since others wait for that until it is committed.
pub fn changed(db: &dyn Database, id: CustomerId) -> Result<(), StoreError> {
    let number: Option<u64> = db.first(
        "INSERT INTO access_generation (id, value) VALUES (1, ?1)
         ON CONFLICT (id) DO UPDATE SET value = access_generation.value + 1 RETURNING value",
        values![BEFORE_ALL + 1],
        |row| row.get(0),
    )?;
    db.execute("UPDATE customer SET access = ?2 WHERE id = ?1", values![id.0, number])
}

/// Refuses every SRL of the customer, or accepts them again.
pub fn suspend(db: &dyn Database, id: CustomerId, suspended: bool) -> Result<(), StoreError> {
    customer::find(db, id)?;
    db.execute("UPDATE customer SET suspended = ?2 WHERE id = ?1", values![id.0, u32::from(suspended)])?;
    changed(db, id)
}

/// What is revoked of the customer's, one by one.
pub fn list(db: &dyn Database, id: CustomerId) -> Result<Vec<Revocation>, StoreError> {
    db.list(
        "SELECT mark, what FROM revocation WHERE customer = ?1 ORDER BY what, mark",
        values![id.0],
        |row| Ok(Revocation { mark: Mark(row.get(0)?), what: row.get(1)? }),
    )
}

/// Revokes these as well.
///
/// # Errors
/// [`StoreError::TooManyRevoked`] when that would be more than [`REVOKED_MAX`].
pub fn revoke(
    db: &dyn Database,
    id: CustomerId,
    revocations: &[Revocation],
    now: Timestamp,
) -> Result<(), StoreError> {
    customer::find(db, id)?;
    for Revocation { mark, what } in revocations {
        db.execute(
            "INSERT INTO revocation (customer, mark, what, since) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (customer, mark) DO NOTHING",
            values![id.0, &mark.0, what, now.0],
        )?;
    }
    let count: Option<usize> =
        db.first("SELECT count(*) FROM revocation WHERE customer = ?1", values![id.0], |row| {
            Ok(usize::try_from(row.get::<u64>(0)?).unwrap_or(usize::MAX))
        })?;
    if count.is_some_and(|count| count > REVOKED_MAX) {
        return Err(StoreError::TooManyRevoked);
    }
    changed(db, id)
}

/// Accepts these again.
pub fn restore(db: &dyn Database, id: CustomerId, revocations: &[Revocation]) -> Result<(), StoreError> {
    customer::find(db, id)?;
    for Revocation { mark, .. } in revocations {
        db.execute("DELETE FROM revocation WHERE customer = ?1 AND mark = ?2", values![id.0, &mark.0])?;
    }
    changed(db, id)
}

/// What a path stands for: a file's contents; a folder with all that is below it now.
///
/// # Errors
/// `NotFound`; `Invalid` for more than [`REVOKED_MAX`].
pub fn below(db: &dyn Database, id: CustomerId, path: &[Name]) -> Result<Vec<Revocation>, Failure> {
    let tree = Tree::open(db, id)?;
    let mut at = tree.entry(tree.account.root)?;
    for name in path {
        let child = tree.child(at.row.id, name)?;
        at = child.ok_or_else(|| Failure::new(VfsErrorCode::NotFound, "there is no such file or folder"))?;
    }
    let text = |names: &[Name]| {
        names.iter().map(|name| format!("/{}", String::from_utf8_lossy(name.as_bytes()))).collect::<String>()
    };
    let mut found = Vec::new();
    let mut left = vec![(at, text(path))];
    while let Some((entry, what)) = left.pop() {
        found.push(revocation_of(&entry, &what));
        if found.len() > REVOKED_MAX {
            return Err(Failure::new(VfsErrorCode::Invalid, TOO_MANY));
        }
        if entry.is_folder() {
            let children = tree.children(entry.row.id, ObjectId(0), REVOKED_MAX + 1)?;
            left.extend(children.into_iter().map(|child| {
                let name = child.row.name.iter().cloned().collect::<Vec<_>>();
                let what = format!("{what}{}", text(&name));
                (child, what)
            }));
        }
        if left.len() > REVOKED_MAX {
            return Err(Failure::new(VfsErrorCode::Invalid, TOO_MANY));
        }
    }
    Ok(found)
}

/// Told where there is more than one by one can be revoked.
pub const TOO_MANY: &str =
    "more than 10,000 things would be revoked: give the customer a new secret and retire the old one instead";

fn revocation_of(entry: &Entry, what: &str) -> Revocation {
    let mark = match entry.content() {
        Some(content) => Mark::of_contents(content.fingerprint),
        None => Mark::of_folder(entry.row.id),
    };
    Revocation { mark, what: what.to_owned() }
}
