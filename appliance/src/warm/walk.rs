//! The files below a folder, in order, by the directory cache: what it has is asked of nobody.

use std::sync::Arc;
use std::time::Duration;

use protocol::digest::Content;
use protocol::id::ObjectId;
use protocol::vfs::ENTRIES_MAX;
use tokio::time::timeout;

use crate::center::{CenterError, StorageCenter};
use crate::customer::Customer;
use crate::directory_cache::{Directory, Entry, Page};
use crate::uploader::content_of;

/// Folders within folders, so that what is held of them has a bound.
const DEPTH_MAX: usize = 256;
/// How often the center is asked before it counts as away.
pub(super) const ATTEMPTS: u32 = 3;
/// How long it may be away, each time, and how long it is left alone at least.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(500);

/// Waits for a center that did not answer.
pub(super) async fn wait_for<C: StorageCenter>(directory: &Directory<C>) {
    // Still away: the next attempt finds that out at once.
    let _ = timeout(PATIENCE, directory.reachable()).await;
    tokio::time::sleep(PAUSE).await;
}

/// What comes next on the way.
#[derive(Clone, Debug)]
pub enum Step {
    /// A folder, whose entries come behind it.
    Folder(ObjectId),
    /// A file.
    File(Found),
    /// A folder that is not looked through.
    Missed(Missed),
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// As an operator calls it.
    pub path: String,
    /// Which.
    pub id: ObjectId,
    /// What it holds.
    pub content: Content,
}

/// A folder that was not looked through.
#[derive(Clone, Debug)]
pub struct Missed {
    /// As an operator calls it.
    pub path: String,
    /// Why not.
    pub why: MissedWhy,
}

/// Why a folder was not looked through.
#[derive(Clone, Debug, thiserror::Error)]
pub enum MissedWhy {
    /// The center did not list it.
    #[error("{0}")]
    Center(CenterError),
    /// Nobody has such a tree on purpose.
    #[error("more than {DEPTH_MAX} folders within each other")]
    TooDeep,
}

/// See the module.
pub struct Walk<C> {
    customer: Arc<Customer<C>>,
    /// Where it begins, until it did.
    first: Option<(String, Arc<Entry>)>,
    folders: Vec<Folder>,
}

struct Folder {
    id: ObjectId,
    path: String,
    /// `None` before the first was asked for.
    page: Option<Page>,
    /// Entries of the page that were taken.
    taken: usize,
}

impl<C: StorageCenter> Walk<C> {
    /// What is at `path`, a file itself or all files below a folder.
    pub fn new(customer: Arc<Customer<C>>, path: String, entry: Arc<Entry>) -> Self {
        Self { customer, first: Some((path, entry)), folders: Vec::new() }
    }

    /// Whose files they are.
    pub fn customer(&self) -> &Arc<Customer<C>> {
        &self.customer
    }

    /// The next step; `None` at the end. What is removed meanwhile is not told.
    pub async fn next(&mut self) -> Option<Step> {
        if let Some((path, entry)) = self.first.take() {
            return Some(self.step(path, &entry));
        }
        loop {
            let folder = self.folders.last_mut()?;
            let entries = folder.page.as_ref().map_or(&[][..], Page::entries);
            if let Some(entry) = entries.get(folder.taken).map(Arc::clone) {
                folder.taken += 1;
                let Some(name) = &entry.row.name else { continue };
                let name = String::from_utf8_lossy(name.as_bytes());
                let path = format!("{}/{name}", folder.path.trim_end_matches('/'));
                return Some(self.step(path, &entry));
            }
            let last = entries.last().map_or(0, |last| last.row.id.0);
            if folder.page.as_ref().is_some_and(|page| page.end || page.entries().is_empty()) {
                self.folders.pop();
                continue;
            }
            let id = folder.id;
            match list(&self.customer.directory, id, last).await {
                Ok(page) => (folder.page, folder.taken) = (Some(page), 0),
                Err(error) => {
                    let path = self.folders.pop().map_or_else(String::new, |folder| folder.path);
                    if !error.is_not_found() {
                        return Some(Step::Missed(Missed { path, why: MissedWhy::Center(error) }));
                    }
                }
            }
            // Pages that are at hand come without a wait: others want to work, too.
            tokio::task::yield_now().await;
        }
    }

    /// Goes into a folder, or gives a file.
    fn step(&mut self, path: String, entry: &Entry) -> Step {
        let id = entry.row.id;
        if let Some(content) = content_of(&entry.row) {
            return Step::File(Found { path, id, content });
        }
        if self.folders.len() >= DEPTH_MAX {
            return Step::Missed(Missed { path, why: MissedWhy::TooDeep });
        }
        self.folders.push(Folder { id, path, page: None, taken: 0 });
        Step::Folder(id)
    }
}

async fn list<C: StorageCenter>(
    directory: &Directory<C>,
    folder: ObjectId,
    after: u64,
) -> Result<Page, CenterError> {
    let mut attempt = 1;
    loop {
        match directory.page(folder, after, ENTRIES_MAX as usize).await {
            Err(error) if error.is_unavailable() && attempt < ATTEMPTS => {
                attempt += 1;
                wait_for(directory).await;
            }
            outcome => return outcome,
        }
    }
}
