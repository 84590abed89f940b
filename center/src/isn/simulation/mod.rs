//! A disk of a storage node on a simulated machine: stops at any step, power cuts that lose, reorder and tear what was
//! not synced, errors and full disks, all from a seed (ISN-11, REF-3).
//!
//! 200 seeds with every run of the tests; `CENTER_SIM_SEEDS=10000` for so many, `CENTER_SIM_SEED=n` for one.

mod driver;
mod files;
mod world;

use std::env;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use protocol::digest::{Content, Fingerprint};

use self::driver::run;
use self::files::SimulatedFiles;
use self::world::{Fault, Sabotage, World};
use super::index::{Change, Index};

const SEEDS: u64 = 200;
/// How often the disk is full while the index is read.
const FULL_DISKS: u8 = 200;
/// How many read it.
const READERS: usize = 4;

fn number(variable: &str) -> Option<u64> {
    Some(env::var(variable).ok()?.parse().expect("a number"))
}

/// Runs seeds from `first` on, on all processors, until one fails. Answers which, and how.
fn first_failure(first: u64, seeds: u64, sabotage: Option<Sabotage>) -> Option<(u64, String)> {
    let next = AtomicU64::new(first);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + seeds {
                return None;
            }
            let outcome = panic::catch_unwind(AssertUnwindSafe(|| run(seed, sabotage)));
            if let Some(failure) = outcome.unwrap_or_else(|_| Err("a panic".to_string())).err() {
                next.store(u64::MAX / 2, Ordering::Relaxed);
                return Some((seed, failure));
            }
        }
    };
    thread::scope(|scope| {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..processors).map(|_| scope.spawn(work)).collect();
        workers.into_iter().filter_map(|worker| worker.join().unwrap()).min()
    })
}

/// ISN-11, REF-3: whatever happens to the machine, no acknowledged object and no reference is lost or counted twice, no
/// half object is seen, and nothing is left over.
#[test]
fn a_disk_keeps_what_it_acknowledged() {
    let (first, seeds) = match number("CENTER_SIM_SEED") {
        Some(seed) => (seed, 1),
        None => (0, number("CENTER_SIM_SEEDS").unwrap_or(SEEDS)),
    };
    if let Some((seed, failure)) = first_failure(first, seeds, None) {
        panic!("seed {seed}: {failure}\nagain: CENTER_SIM_SEED={seed} cargo test -p center a_disk_keeps");
    }
}

/// ISN-8: whoever asks the index while a write meets a full disk gets an answer, though it is closed and opened again then.
#[test]
fn readers_do_not_notice_a_full_disk() {
    let world = Arc::new(Mutex::new(World::new(1, None)));
    let index = Index::open(SimulatedFiles::of(&world), Path::new("/index.redb")).unwrap();
    let (reading, is_over) = (Barrier::new(READERS + 1), AtomicBool::new(false));
    let read = || {
        reading.wait();
        while !is_over.load(Ordering::Relaxed) {
            index.count()?;
        }
        Ok::<(), redb::Error>(())
    };
    thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS).map(|_| scope.spawn(read)).collect();
        reading.wait();
        for round in 0..FULL_DISKS {
            world.lock().unwrap().fail_after(0, Fault::Full);
            let content = Content { fingerprint: Fingerprint([round; 16]), ..Content::EMPTY };
            let found = [Change::Found { content, unlink_from: 0 }];
            assert!(index.apply(&found, &|_| Ok(true)).is_err(), "the disk is full");
            index.apply(&found, &|_| Ok(true)).unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
        readers.into_iter().for_each(|reader| reader.join().unwrap().unwrap());
    });
    assert_eq!(index.count().unwrap(), u64::from(FULL_DISKS));
}

/// The same seed does the same: a failure can be looked at again.
#[test]
fn a_seed_replays() {
    for seed in 0..8 {
        assert_eq!(run(seed, None), run(seed, None), "seed {seed}");
    }
    assert_ne!(run(1, None), run(2, None));
}

fn is_found(sabotage: Sabotage) {
    let found = first_failure(0, SEEDS, Some(sabotage));
    assert!(found.is_some(), "{sabotage:?} went unnoticed");
}

/// ISN-11: the simulation would notice if an object got its name before its bytes were synced.
#[test]
fn a_missing_sync_of_the_bytes_is_noticed() {
    is_found(Sabotage::NoDataSync);
}

/// ISN-11: … if an object were acknowledged before its folder was synced.
#[test]
fn a_missing_sync_of_the_folder_is_noticed() {
    is_found(Sabotage::NoDirectorySync);
}

/// ISN-11: … if a new folder's own name were not synced.
#[test]
fn a_missing_sync_of_the_folders_above_is_noticed() {
    is_found(Sabotage::NoParentSync);
}

/// ISN-11: … if the index were written before the object had its name.
#[test]
fn an_index_ahead_of_the_names_is_noticed() {
    is_found(Sabotage::IndexBeforeName);
}

/// REF-3: … if references were acknowledged before the index was synced.
#[test]
fn a_missing_sync_of_the_index_is_noticed() {
    is_found(Sabotage::NoIndexSync);
}

/// ISN-11: … if block digests got their name before they were synced.
#[test]
fn a_missing_sync_of_block_digests_is_noticed() {
    is_found(Sabotage::NoListSync);
}
