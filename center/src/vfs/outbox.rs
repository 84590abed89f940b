//! References given up by committed changes, on their way to the storage cluster (VFS-18).
//!
//! An entry is written in the transaction that removes or replaces the row, and stays until the cluster acknowledges.
//! After that it is kept as a memory for [`REMEMBERED`]: an upload that was checked against the cluster before the
//! acknowledgement must not be committed after it.

use std::time::Duration;

use protocol::digest::Fingerprint;
use protocol::dosp::Reference;
use protocol::id::{CustomerId, Timestamp, Token};

use super::engine::{Database, values};
use super::failure::{Failure, StoreError};
use super::time::{after, before};

/// How long an acknowledged entry is remembered: far above the time a check of an upload may take.
const REMEMBERED: Duration = Duration::from_secs(600);
/// First and longest pause before a release is tried again.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LONGEST: Duration = Duration::from_secs(300);

/// A reference to release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    /// Number of the entry.
    pub id: i64,
    /// Whose reference.
    pub customer: CustomerId,
    /// To which object.
    pub fingerprint: Fingerprint,
    /// Which reference.
    pub token: Token,
    /// Tries so far.
    pub attempts: u32,
}

/// Adds an entry, due at once.
pub fn add(
    db: &dyn Database,
    customer: CustomerId,
    fingerprint: Fingerprint,
    token: Token,
    now: Timestamp,
) -> Result<(), Failure> {
    db.execute(
        "INSERT INTO outbox (customer, fingerprint, token, due) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (customer, fingerprint, token) DO UPDATE SET attempts = 0, due = excluded.due, released = NULL",
        values![customer.0, &fingerprint.0, &token.0, now.0],
    )?;
    Ok(())
}

/// Whether the reference is pending release, or was released at `asked` or later.
pub fn gone_since(
    db: &dyn Database,
    customer: CustomerId,
    fingerprint: Fingerprint,
    token: Token,
    asked: Timestamp,
) -> Result<bool, Failure> {
    let released: Option<Option<i64>> = db.first(
        "SELECT released FROM outbox WHERE customer = ?1 AND fingerprint = ?2 AND token = ?3",
        values![customer.0, &fingerprint.0, &token.0],
        |row| row.get(0),
    )?;
    Ok(released.is_some_and(|released| released.is_none_or(|at| at >= asked.0)))
}

/// Whether the reference is pending release.
pub fn is_pending(db: &dyn Database, reference: Reference) -> Result<bool, StoreError> {
    let Reference { fingerprint, customer, token } = reference;
    db.exists(
        "SELECT EXISTS (SELECT 1 FROM outbox
                        WHERE customer = ?1 AND fingerprint = ?2 AND token = ?3 AND released IS NULL)",
        values![customer.0, &fingerprint.0, &token.0],
    )
}

/// Entries to be tried now, those longest due first.
pub fn due(db: &dyn Database, now: Timestamp, limit: usize) -> Result<Vec<Release>, Failure> {
    Ok(db.list(
        "SELECT id, customer, fingerprint, token, attempts FROM outbox
         WHERE released IS NULL AND due <= ?1 ORDER BY due LIMIT ?2",
        values![now.0, limit],
        |row| {
            Ok(Release {
                id: row.get(0)?,
                customer: CustomerId(row.get(1)?),
                fingerprint: Fingerprint(row.get(2)?),
                token: Token(row.get(3)?),
                attempts: row.get(4)?,
            })
        },
    )?)
}

/// Pending entries, of all customers.
pub fn pending(db: &dyn Database) -> Result<u64, StoreError> {
    let count = db.first("SELECT count(*) FROM outbox WHERE released IS NULL", &[], |row| row.get(0))?;
    Ok(count.unwrap_or(0))
}

/// Records the cluster's acknowledgement, and forgets old ones.
pub fn acknowledge(db: &dyn Database, release: &Release, now: Timestamp) -> Result<(), Failure> {
    db.execute("UPDATE outbox SET released = ?2 WHERE id = ?1", values![release.id, now.0])?;
    let forgotten = before(now, REMEMBERED);
    // Two for one, so that the memory shrinks.
    let forget = format!(
        "DELETE FROM outbox WHERE id IN
             (SELECT id FROM outbox WHERE released < ?1 ORDER BY released LIMIT 2 {})",
        db.unless_locked()
    );
    Ok(db.execute(&forget, values![forgotten.0])?)
}

/// Puts an entry off after a try that failed, for longer each time.
pub fn postpone(db: &dyn Database, release: &Release, now: Timestamp) -> Result<(), Failure> {
    let pause = RETRY_FIRST.saturating_mul(1 << release.attempts.min(16)).min(RETRY_LONGEST);
    let due = after(now, pause);
    Ok(db.execute(
        "UPDATE outbox SET attempts = attempts + 1, due = ?2 WHERE id = ?1",
        values![release.id, due.0],
    )?)
}
