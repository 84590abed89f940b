//! The change feed (VFS-24): what changed, by customer, in order; and waiting for more.
//!
//! Bounded: a change pushes out the one [`CHANGES_KEPT`] before it. Who asks from further back is told to forget
//! everything.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use protocol::id::{CustomerId, FeedPosition, ObjectId};
use protocol::vfs::{Answer, CHANGES_MAX, Change};
use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::watch;

use super::failure::Failure;

/// Changes kept of each customer: half a minute of the fastest writer, days of an ordinary one.
pub const CHANGES_KEPT: u64 = 100_000;

/// Appends one change.
pub fn append(
    db: &Connection,
    customer: CustomerId,
    position: FeedPosition,
    id: ObjectId,
    version: Option<u64>,
) -> Result<(), Failure> {
    db.prepare_cached("INSERT INTO change (customer, position, id, version) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![customer.0, position.0, id.0, version])?;
    Ok(())
}

/// Pushes out what is [`CHANGES_KEPT`] changes before the last one.
pub fn trim(db: &Connection, customer: CustomerId, last: FeedPosition) -> Result<(), Failure> {
    if let Some(outdated) = last.0.checked_sub(CHANGES_KEPT) {
        db.prepare_cached("DELETE FROM change WHERE customer = ?1 AND position <= ?2")?
            .execute(params![customer.0, outdated])?;
    }
    Ok(())
}

/// The changes after `since`, at most [`CHANGES_MAX`]; `end` is the position of the customer's last change.
pub fn read(
    db: &Connection,
    customer: CustomerId,
    end: FeedPosition,
    since: FeedPosition,
) -> Result<Answer, Failure> {
    let first_kept: Option<u64> = db
        .prepare_cached("SELECT position FROM change WHERE customer = ?1 ORDER BY position LIMIT 1")?
        .query_row([customer.0], |row| row.get(0))
        .optional()?;
    let reaches_back = since >= end || first_kept.is_some_and(|first| first <= since.0 + 1);
    // A position from the future is one of a database that has since been restored from a backup.
    if !reaches_back || since > end {
        return Ok(Answer::Changes { changes: Vec::new(), position: end, reset: true });
    }
    let mut statement = db.prepare_cached(
        "SELECT position, id, version FROM change WHERE customer = ?1 AND position > ?2 ORDER BY position LIMIT ?3",
    )?;
    let changes = statement
        .query_map(params![customer.0, since.0, CHANGES_MAX], |row| {
            Ok(Change {
                position: FeedPosition(row.get(0)?),
                id: ObjectId(row.get(1)?),
                version: row.get(2)?,
            })
        })?
        .collect::<Result<Vec<_>, _>>()?;
    let position = changes.last().map_or(end, |change| change.position);
    Ok(Answer::Changes { changes, position, reset: false })
}

/// Wakes those who wait for a customer's next change. Holds a channel only for customers somebody waits for.
#[derive(Default)]
pub struct Waiters {
    channels: Mutex<HashMap<CustomerId, watch::Sender<FeedPosition>>>,
}

impl Waiters {
    /// A receiver that sees every position published from now on.
    pub fn subscribe(&self, customer: CustomerId) -> watch::Receiver<FeedPosition> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        channels.entry(customer).or_insert_with(|| watch::Sender::new(FeedPosition(0))).subscribe()
    }

    /// Tells that changes up to `position` are committed.
    pub fn publish(&self, customer: CustomerId, position: FeedPosition) {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(&customer)
            && channel.send(position).is_err()
        {
            channels.remove(&customer); // Nobody waits any more.
        }
    }
}
