//! What a row gives up: its reference and its bytes, at once or as a version that is kept for some time.
//!
//! Versions do not count against the quota: to delete something makes room for its owner at once. They are bounded all
//! the same. Of a customer who has a quota of bytes no more bytes are kept than that, of any customer no more versions
//! than [`KEPT_MAX`]; the oldest go first, in bounded steps between the writer's batches, as those do that are too old.

use std::time::Duration;

use protocol::id::{CustomerId, Timestamp};
use protocol::vfs::Why;

use super::{Edit, Failure};
use crate::vfs::engine::Database;
use crate::vfs::outbox;
use crate::vfs::time::before;
use crate::vfs::tree::Entry;
use crate::vfs::versions::{self, KEPT_MAX, Kept, Retention};

/// Versions removed in one step: about 20 ms of the writer's time.
pub const EXPIRED_ROWS: usize = 500;

impl Edit<'_> {
    /// Gives up what a row that goes holds: its bytes; and its reference, unless the row is kept.
    pub(super) fn give_up(&mut self, entry: &Entry, why: Why) -> Result<(), Failure> {
        let usage = &mut self.tree.account.usage;
        usage.bytes_used = usage.bytes_used.saturating_sub(entry.size());
        match self.keeps(entry) {
            true => self.keep(entry, why),
            false => self.release(entry),
        }
    }

    /// The same for contents that others take the place of. A file is empty before it has any: that is nothing to keep.
    pub(super) fn give_up_contents(&mut self, entry: &Entry) -> Result<(), Failure> {
        match entry.token {
            Some(_) => self.give_up(entry, Why::Overwritten),
            None => Ok(()),
        }
    }

    fn keep(&mut self, entry: &Entry, why: Why) -> Result<(), Failure> {
        versions::insert(self.tree.db, self.tree.customer, entry, why, self.now)?;
        let kept = &mut self.tree.account.kept;
        kept.bytes = kept.bytes.saturating_add(entry.size());
        kept.versions += 1;
        Ok(())
    }

    /// Whether a row is kept. There is no way back to what hangs from no root.
    fn keeps(&self, entry: &Entry) -> bool {
        let hidden = self.tree.account.client_files;
        self.keep_seconds > 0 && entry.row.parent.is_some_and(|parent| hidden != Some(parent))
    }

    /// Takes a version out of the table; its reference is the caller's.
    pub(super) fn take_version(&mut self, kept: &Kept) -> Result<(), Failure> {
        versions::remove(self.tree.db, kept.id)?;
        let account = &mut self.tree.account.kept;
        account.bytes = account.bytes.saturating_sub(kept.entry.size());
        account.versions = account.versions.saturating_sub(1);
        Ok(())
    }

    fn release(&mut self, entry: &Entry) -> Result<(), Failure> {
        match (entry.content(), entry.token) {
            (Some(content), Some(token)) => {
                self.leaves_work = true;
                outbox::add(self.tree.db, self.tree.customer, content.fingerprint, token, self.now)
            }
            _ => Ok(()),
        }
    }

    /// Removes up to `rows` versions that are too old, or too much.
    fn expire_step(&mut self, rows: usize) -> Result<(), Failure> {
        let outdated = before(self.now, Duration::from_secs(self.keep_seconds.into()));
        for kept in versions::oldest(self.tree.db, self.tree.customer, rows)? {
            let all = self.tree.account.kept;
            let quota = self.tree.account.usage.bytes_quota;
            let is_too_much = all.versions > KEPT_MAX || quota.is_some_and(|quota| all.bytes > quota);
            if kept.at > outdated && !is_too_much {
                break;
            }
            self.take_version(&kept)?;
            self.release(&kept.entry)?;
        }
        Ok(())
    }
}

/// One step of removing a customer's versions that are too old, or too much.
pub fn expire(
    db: &dyn Database,
    customer: CustomerId,
    now: Timestamp,
    retention: Retention,
) -> Result<(), Failure> {
    let mut edit = Edit::begin(db, customer, now, retention)?;
    edit.expire_step(EXPIRED_ROWS)?;
    edit.finish().map(drop)
}
