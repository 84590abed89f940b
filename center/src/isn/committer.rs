//! Group commit of one disk.
//!
//! Whoever put a file in place or changes a reference waits here until that is durable. One thread takes all who
//! wait, syncs each touched directory once, writes one index transaction, and answers them together: many stores at
//! once cost hardly more flushes than one.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;

use thiserror::Error;

use super::index::{Change, Index};
use super::layout::sync_directory;

/// Most commits in one transaction.
const BATCH_MAX: usize = 256;

/// What to make durable: first the directories, then the change of the index.
#[derive(Debug)]
pub struct Commit {
    /// Directories whose entries changed.
    pub directories: Vec<PathBuf>,
    /// What the index shall say once they are durable.
    pub change: Change,
}

/// The disk or its index failed; nothing can be said about what was being committed.
#[derive(Clone, Debug, Error)]
pub enum CommitError {
    /// A directory could not be synced.
    #[error("{0}")]
    Io(Arc<io::Error>),
    /// The index could not be written.
    #[error("index: {0}")]
    Index(Arc<redb::Error>),
    /// The thread has ended.
    #[error("the disk is closed")]
    Closed,
}

impl From<io::Error> for CommitError {
    fn from(error: io::Error) -> Self {
        Self::Io(Arc::new(error))
    }
}

impl From<redb::Error> for CommitError {
    fn from(error: redb::Error) -> Self {
        Self::Index(Arc::new(error))
    }
}

type Answer = Result<(), CommitError>;

/// The committing thread; ends when dropped, after what was handed to it.
#[derive(Debug)]
pub struct Committer {
    queue: Option<SyncSender<(Commit, SyncSender<Answer>)>>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    /// Starts the thread.
    pub fn start(index: Arc<Index>) -> io::Result<Self> {
        let (queue, waiting) = sync_channel(BATCH_MAX);
        let run = move || run(&index, &waiting);
        let thread = std::thread::Builder::new().name("isn-commit".to_string()).spawn(run)?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Returns when the commit is durable. Blocks.
    pub fn commit(&self, commit: Commit) -> Answer {
        let (answer, answered) = sync_channel(1);
        let queue = self.queue.as_ref().ok_or(CommitError::Closed)?;
        queue.send((commit, answer)).map_err(|_| CommitError::Closed)?;
        answered.recv().unwrap_or(Err(CommitError::Closed))
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has told its waiters already, by dropping their channels.
            let _ = thread.join();
        }
    }
}

fn run(index: &Index, waiting: &Receiver<(Commit, SyncSender<Answer>)>) {
    while let Ok(first) = waiting.recv() {
        let mut batch = vec![first];
        while batch.len() < BATCH_MAX {
            match waiting.try_recv() {
                Ok(next) => batch.push(next),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        let (commits, answers): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        let outcome = make_durable(index, commits);
        for answer in answers {
            // Each channel has room for its one answer; a waiter that has gone needs none.
            let _ = answer.try_send(outcome.clone());
        }
    }
}

fn make_durable(index: &Index, commits: Vec<Commit>) -> Answer {
    let (directories, changes): (Vec<_>, Vec<_>) =
        commits.into_iter().map(|commit| (commit.directories, commit.change)).unzip();
    for directory in directories.into_iter().flatten().collect::<BTreeSet<_>>() {
        sync_directory(&directory)?;
    }
    Ok(index.apply(&changes)?)
}
