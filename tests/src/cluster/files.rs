//! Many files at once in a cluster, each known by its content: made through any object manager, looked for on the nodes,
//! fetched again.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use protocol::digest::{Content, Fingerprint};
use protocol::id::{ObjectId, Token};
use rand::Rng;
use rand::rngs::StdRng;

use super::Cluster;
use super::client::{Client, Place, content_of, stored};
use super::load::{AGAIN_AFTER, Attempt, accepted};
use crate::{data, poll};

/// Clients at a time, unless a test wants more.
const CLIENTS: usize = 6;

/// A file with its row.
#[derive(Clone, Debug)]
pub struct File {
    /// Its row.
    pub id: ObjectId,
    /// What it is.
    pub content: Content,
}

impl File {
    /// The name of its object.
    pub fn fingerprint(&self) -> Fingerprint {
        self.content.fingerprint
    }
}

/// Makes a file of each length for customer 1 in this folder, through any object manager, each attempt the only one.
#[track_caller]
pub fn make(client: &Client, parent: ObjectId, seed: u64, lengths: &[usize]) -> Vec<File> {
    side_by_side(CLIENTS, lengths.len(), |index| {
        let mut new = NewFile::new(seed, index, lengths[index]);
        match new.attempt(client, parent) {
            Attempt::Done(file) => Ok(file),
            Attempt::Again(why) | Attempt::Never(why) => Err(format!("{} bytes: {why}", lengths[index])),
        }
    })
}

/// Many who make files at the same time in a storage center in bad times: what is refused or lost is sent again until
/// it is acknowledged.
#[derive(Clone, Copy, Debug)]
pub struct Makers<'count> {
    /// How many files are made at a time.
    pub clients: usize,
    /// How long any one may take.
    pub patience: Duration,
    /// Counts those that are acknowledged.
    pub acknowledged: &'count AtomicUsize,
}

impl Makers<'_> {
    /// Makes a file of each length for customer 1 in this folder, through any object manager.
    #[track_caller]
    pub fn make(&self, client: &Client, parent: ObjectId, seed: u64, lengths: &[usize]) -> Vec<File> {
        side_by_side(self.clients, lengths.len(), |index| {
            let (mut new, began) = (NewFile::new(seed, index, lengths[index]), Instant::now());
            loop {
                match new.attempt(client, parent) {
                    Attempt::Done(file) => {
                        self.acknowledged.fetch_add(1, Ordering::Relaxed);
                        return Ok(file);
                    }
                    Attempt::Again(_) if began.elapsed() < self.patience => poll::pause(AGAIN_AFTER),
                    Attempt::Again(why) | Attempt::Never(why) => {
                        return Err(format!("{} bytes after {:.1?}: {why}", lengths[index], began.elapsed()));
                    }
                }
            }
        })
    }
}

/// A file that is to be made: the same bytes, name and token each time it is tried.
struct NewFile {
    bytes: Vec<u8>,
    name: String,
    token: Token,
    rng: StdRng,
}

impl NewFile {
    fn new(seed: u64, index: usize, length: usize) -> Self {
        let seed = seed << 32 | index as u64;
        let mut rng = data::rng(seed);
        Self { bytes: data::bytes(seed, length), name: format!("{seed:x}"), token: Token(rng.random()), rng }
    }

    fn attempt(&mut self, client: &Client, parent: ObjectId) -> Attempt<File> {
        let (place, manager) = (Place { parent, name: &self.name }, client.any_manager(&mut self.rng));
        let answer = client.store_file(manager, 1, place, self.token, &self.bytes);
        accepted(answer, |answer| match stored(answer) {
            Some((content, Some(id))) if content == content_of(&self.bytes) => Some(File { id, content }),
            _ => None,
        })
    }
}

/// Fetches every file from the object manager that `manager` chooses for it, each attempt the only one.
#[track_caller]
pub fn fetch(client: &Client, files: &[File], manager: impl Fn(usize) -> usize + Sync) {
    side_by_side(CLIENTS, files.len(), |index| {
        let (content, manager) = (files[index].content, manager(index));
        let what = || format!("{} ({} bytes) from {manager}", content.fingerprint, content.size);
        let began = Instant::now();
        let answer = client.fetch(manager, 1, content.fingerprint);
        let answer = answer.map_err(|error| format!("{} after {:.2?}: {error}", what(), began.elapsed()))?;
        if answer.status != 200 {
            return Err(format!("{}: {}", what(), answer.summary()));
        }
        if content_of(&answer.body) == content { Ok(()) } else { Err(format!("{}: WRONG BYTES", what())) }
    });
}

/// Fetches every file from every object manager.
#[track_caller]
pub fn fetch_everywhere(client: &Client, files: &[File]) {
    for manager in 0..client.managers() {
        fetch(client, files, |_| manager);
    }
}

/// Waits until each of these objects lies on two of these nodes.
#[track_caller]
pub fn wait_two_copies(cluster: &Cluster, files: &[File], nodes: &[usize], patience: Duration) {
    let mut left: Vec<Fingerprint> =
        files.iter().filter(|file| file.content.size > 0).map(File::fingerprint).collect();
    let mut told = Instant::now();
    poll::until("two copies of every object", patience, || {
        left.retain(|&object| cluster.copies_on(object, nodes) < 2);
        if !left.is_empty() && told.elapsed() > patience / 3 {
            told = Instant::now();
            eprintln!("{} objects lack copies, such as {}", left.len(), left[0]);
        }
        left.is_empty().then_some(())
    });
}

/// Does a piece of work for each index, so many at a time; panics with the first reasons if some failed.
#[track_caller]
fn side_by_side<T: Send>(
    clients: usize,
    pieces: usize,
    work: impl Fn(usize) -> Result<T, String> + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let mut done: Vec<(usize, Result<T, String>)> = thread::scope(|scope| {
        let clients: Vec<_> = (0..clients)
            .map(|_| {
                scope.spawn(|| {
                    let indexes = std::iter::from_fn(|| {
                        Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&index| index < pieces)
                    });
                    indexes.map(|index| (index, work(index))).collect::<Vec<_>>()
                })
            })
            .collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    done.sort_by_key(|(index, _)| *index);
    let failures: Vec<&String> = done.iter().filter_map(|(_, done)| done.as_ref().err()).collect();
    assert!(
        failures.is_empty(),
        "{} of {pieces} failed, first {:#?}",
        failures.len(),
        &failures[..failures.len().min(5)]
    );
    done.into_iter().filter_map(|(_, done)| done.ok()).collect()
}
