//! How long each file waits for its upload: until it is quiet, as the rule of its folder says or else `[upload]`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use protocol::id::{CustomerId, ObjectId};

use crate::center::StorageCenter;
use crate::customer::Customer;
use crate::journal::{FileKey, Waiting};

/// A file written without a pause is uploaded this often all the same; one of a longer delay, as often as that says.
pub(super) const DIRTY_MAX: Duration = Duration::from_secs(30);
/// Longest wait to learn in which folder a file is: after it, the file waits as if no rule were there.
const ASK_MAX: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug)]
pub(super) struct Delays {
    /// As `[upload]` says.
    quiet: Duration,
    /// Since when the center is asked for folders above these files.
    asked: Mutex<HashMap<FileKey, Instant>>,
}

/// What was found out in one look at the journal, for many files are in the same folder.
pub(super) type Folders = HashMap<(CustomerId, ObjectId), Option<Duration>>;

impl Delays {
    pub(super) fn new(quiet: Duration) -> Self {
        Self { quiet, asked: Mutex::default() }
    }

    /// The shortest delay of any file of these customers.
    pub(super) fn shortest<'a, C: StorageCenter>(
        &self,
        customers: impl Iterator<Item = &'a Arc<Customer<C>>>,
    ) -> Duration {
        customers.filter_map(|customer| customer.rules().shortest_quiet()).fold(self.quiet, Duration::min)
    }

    /// The delay of a file, as far as its folders are at hand.
    pub(super) fn of<C: StorageCenter>(&self, customer: &Customer<C>, file: ObjectId) -> Duration {
        self.known(customer, file, &mut Folders::new()).unwrap_or(self.quiet)
    }

    /// Whether a file has waited long enough. Where its folders are not at hand the center is asked for them, and it waits.
    pub(super) fn is_over<C: StorageCenter>(
        &self,
        customer: &Arc<Customer<C>>,
        waiting: &Waiting,
        now: Instant,
        folders: &mut Folders,
    ) -> bool {
        let quiet = match self.known(customer, waiting.file.file, folders) {
            Some(quiet) => {
                self.asked().remove(&waiting.file);
                quiet
            }
            None if self.ask(customer, waiting.file, now) => return false,
            None => self.quiet,
        };
        waiting.quiet >= quiet || waiting.dirty >= quiet.max(DIRTY_MAX)
    }

    /// Forgets which files the center was asked for, but those that are `staged`.
    pub(super) fn retain(&self, staged: impl Fn(FileKey) -> bool) {
        self.asked().retain(|file, _| staged(*file));
    }

    fn known<C: StorageCenter>(
        &self,
        customer: &Customer<C>,
        file: ObjectId,
        folders: &mut Folders,
    ) -> Option<Duration> {
        if customer.is_unruled() {
            return Some(self.quiet);
        }
        let folder = customer.directory.known(file)?.row.parent?;
        *folders
            .entry((customer.id, folder))
            .or_insert_with(|| Some(customer.known_rule_in(folder)?.quiet.unwrap_or(self.quiet)))
    }

    /// Has the center asked for the folders above a file; `false` if that takes too long.
    fn ask<C: StorageCenter>(&self, customer: &Arc<Customer<C>>, file: FileKey, now: Instant) -> bool {
        let mut asked = self.asked();
        if let Some(since) = asked.get(&file) {
            return now.saturating_duration_since(*since) < ASK_MAX;
        }
        asked.insert(file, now);
        let customer = Arc::clone(customer);
        tokio::spawn(async move {
            // What it learns is at hand at the next look; that it failed is seen by its still being missing.
            let _ = customer.rule_for(file.file).await;
        });
        true
    }

    fn asked(&self) -> MutexGuard<'_, HashMap<FileKey, Instant>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
