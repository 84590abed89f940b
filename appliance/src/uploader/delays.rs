//! How long each file waits for its upload: until it is quiet, as the rule of its folder says or else `[upload]`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use protocol::id::ObjectId;

use crate::center::StorageCenter;
use crate::customer::Customer;
use crate::journal::{FileKey, Waiting};

/// A file written without a pause is uploaded this often all the same; one of a longer delay, as often as that says.
pub(super) const DIRTY_MAX: Duration = Duration::from_secs(30);
/// Longest wait to learn in which folder a file is: after it, the file waits as if no rule were there.
const ASK_MAX: Duration = Duration::from_secs(10);
/// So often a file that waits is looked at again, for it may be moved and rules may change. Not at every write of any
/// other, for thousands may wait.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub(super) struct Delays {
    /// As `[upload]` says.
    quiet: Duration,
    noted: Mutex<Noted>,
}

#[derive(Debug, Default)]
struct Noted {
    /// Since when the center is asked for folders above these files.
    asked: HashMap<FileKey, Instant>,
    /// Until when these files are not looked at.
    later: HashMap<FileKey, Instant>,
}

impl Delays {
    pub(super) fn new(quiet: Duration) -> Self {
        Self { quiet, noted: Mutex::default() }
    }

    /// The shortest delay of any file of these customers.
    pub(super) fn shortest<'a, C: StorageCenter>(
        &self,
        customers: impl Iterator<Item = &'a Arc<Customer<C>>>,
    ) -> Duration {
        customers.filter_map(|customer| customer.rules().shortest_quiet()).fold(self.quiet, Duration::min)
    }

    /// The longest that a file of these customers waits for its upload to begin.
    pub(super) fn longest<'a, C: StorageCenter>(
        &self,
        customers: impl Iterator<Item = &'a Arc<Customer<C>>>,
    ) -> Duration {
        let longest = customers.filter_map(|customer| customer.rules().longest_quiet());
        longest.fold(self.quiet.max(DIRTY_MAX), Duration::max)
    }

    /// The delay of a file, as far as its folders are at hand.
    pub(super) fn of<C: StorageCenter>(&self, customer: &Customer<C>, file: ObjectId) -> Duration {
        self.known(customer, file).unwrap_or(self.quiet)
    }

    /// Whether a file has waited long enough. Where its folders are not at hand the center is asked for them, and it waits.
    pub(super) fn is_over<C: StorageCenter>(
        &self,
        customer: &Arc<Customer<C>>,
        waiting: &Waiting,
        now: Instant,
    ) -> bool {
        let mut noted = self.noted();
        if noted.later.get(&waiting.file).is_some_and(|until| now < *until) {
            return false;
        }
        let quiet = match self.known(customer, waiting.file.file) {
            Some(quiet) => {
                noted.asked.remove(&waiting.file);
                quiet
            }
            None if noted.ask(customer, waiting.file, now) => return false,
            None => self.quiet,
        };
        let left =
            (quiet.saturating_sub(waiting.quiet)).min(quiet.max(DIRTY_MAX).saturating_sub(waiting.dirty));
        if !left.is_zero() {
            noted.later.insert(waiting.file, now + left.min(LOOK_EVERY));
        }
        left.is_zero()
    }

    /// Forgets what was noted of files but those that are `staged`, and what is past.
    pub(super) fn tidy(&self, now: Instant, staged: impl Fn(FileKey) -> bool) {
        let mut noted = self.noted();
        noted.asked.retain(|file, _| staged(*file));
        noted.later.retain(|_, until| now < *until);
    }

    fn known<C: StorageCenter>(&self, customer: &Customer<C>, file: ObjectId) -> Option<Duration> {
        customer.known_rule_for(file).map(|rule| rule.quiet.unwrap_or(self.quiet))
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Noted {
    /// Has the center asked for the folders above a file; `false` if that takes too long.
    fn ask<C: StorageCenter>(&mut self, customer: &Arc<Customer<C>>, file: FileKey, now: Instant) -> bool {
        if let Some(since) = self.asked.get(&file) {
            return now.saturating_duration_since(*since) < ASK_MAX;
        }
        self.asked.insert(file, now);
        let customer = Arc::clone(customer);
        tokio::spawn(async move {
            // What it learns is at hand at the next look; that it failed is seen by its still being missing.
            let _ = customer.rule_for(file.file).await;
        });
        true
    }
}
