//! The change feed (VFS-24): what changed, by customer, in order; and waiting for more.
//!
//! Bounded: a change pushes out the one [`CHANGES_KEPT`] before it. Who asks from further back is told to forget
//! everything.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use protocol::id::{CustomerId, FeedPosition, ObjectId};
use protocol::vfs::{Answer, CHANGES_MAX, Change};
use tokio::sync::watch;

use super::engine::{Database, values};
use super::failure::Failure;

/// Changes kept of each customer: half a minute of the fastest writer, days of an ordinary one.
pub const CHANGES_KEPT: u64 = 100_000;

/// Appends one change.
pub fn append(
    db: &dyn Database,
    customer: CustomerId,
    position: FeedPosition,
    id: ObjectId,
    version: Option<u64>,
) -> Result<(), Failure> {
    Ok(db.execute(
        "INSERT INTO change (customer, position, id, version) VALUES (?1, ?2, ?3, ?4)",
        values![customer.0, position.0, id.0, version],
    )?)
}

/// Pushes out what is [`CHANGES_KEPT`] changes before the last one.
pub fn trim(db: &dyn Database, customer: CustomerId, last: FeedPosition) -> Result<(), Failure> {
    if let Some(outdated) = last.0.checked_sub(CHANGES_KEPT) {
        let outdated = values![customer.0, outdated];
        db.execute("DELETE FROM change WHERE customer = ?1 AND position <= ?2", outdated)?;
    }
    Ok(())
}

/// The changes after `since`, at most [`CHANGES_MAX`]; `end` is the position of the customer's last change.
pub fn read(
    db: &dyn Database,
    customer: CustomerId,
    end: FeedPosition,
    since: FeedPosition,
) -> Result<Answer, Failure> {
    let first_kept: Option<u64> = db.first(
        "SELECT position FROM change WHERE customer = ?1 ORDER BY position LIMIT 1",
        values![customer.0],
        |row| row.get(0),
    )?;
    let reaches_back = since >= end || first_kept.is_some_and(|first| first <= since.0 + 1);
    // A position from the future is one of a database that has since been restored from a backup.
    if !reaches_back || since > end {
        return Ok(Answer::Changes { changes: Vec::new(), position: end, reset: true });
    }
    let changes = db.list(
        "SELECT position, id, version FROM change WHERE customer = ?1 AND position > ?2 ORDER BY position LIMIT ?3",
        values![customer.0, since.0, CHANGES_MAX],
        |row| {
            let (position, id) = (FeedPosition(row.get(0)?), ObjectId(row.get(1)?));
            Ok(Change { position, id, version: row.get(2)? })
        },
    )?;
    let position = changes.last().map_or(end, |change| change.position);
    Ok(Answer::Changes { changes, position, reset: false })
}

/// Wakes those who wait for a customer's next change. Holds a channel only for customers somebody waits for.
#[derive(Default)]
pub struct Waiters {
    channels: Mutex<HashMap<CustomerId, watch::Sender<()>>>,
}

impl Waiters {
    /// A receiver that is told of every change from now on.
    pub fn subscribe(&self, customer: CustomerId) -> watch::Receiver<()> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        channels.entry(customer).or_insert_with(|| watch::Sender::new(())).subscribe()
    }

    /// Tells that changes of this customer's are committed.
    pub fn wake(&self, customer: CustomerId) {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(&customer)
            && channel.send(()).is_err()
        {
            channels.remove(&customer); // Nobody waits any more.
        }
    }

    /// Tells that any customer's tree may have changed.
    pub fn wake_all(&self) {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        channels.retain(|_, channel| channel.send(()).is_ok());
    }
}
