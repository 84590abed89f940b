//! Listings of the directory cache against a plain reference: two folders that change, pages that overlap in every way,
//! rows that make room for others. Whatever the cache says it knows is what the folders hold.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Instant;

use proptest::prelude::*;
use protocol::id::{FeedPosition, ObjectId, Timestamp};
use protocol::vfs::{Before, Change, Changed, FolderChange, Row};

use super::core::{Core, Trust};
use crate::testing::rows::{file, folder};

const FOLDERS: [u64; 2] = [1, 2];
const ID_FIRST: u64 = 10;

#[derive(Clone, Debug)]
enum Step {
    /// The VFS is asked for entries behind an id.
    Ask {
        folder: usize,
        after: u64,
        limit: usize,
    },
    /// Entries are listed if they are known.
    List {
        folder: usize,
        after: u64,
        limit: usize,
    },
    Create {
        folder: usize,
    },
    Remove {
        which: usize,
    },
    /// Renamed into a folder, perhaps over another file there.
    Move {
        which: usize,
        folder: usize,
        over: bool,
    },
    /// Another port makes a file.
    CreatedElsewhere {
        folder: usize,
    },
    /// Another port renames a file into a folder.
    MovedElsewhere {
        which: usize,
        folder: usize,
    },
    /// Rows of no listing are used, and others make room for them.
    Crowd {
        rows: u64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (folder, after, limit, which) = (0..2_usize, 0..50_u64, 1..12_usize, 0..40_usize);
    let step = prop_oneof![
        6 => (folder.clone(), after.clone(), limit.clone())
            .prop_map(|(folder, after, limit)| Step::Ask { folder, after, limit }),
        6 => (folder.clone(), after, limit).prop_map(|(folder, after, limit)| Step::List { folder, after, limit }),
        4 => folder.clone().prop_map(|folder| Step::Create { folder }),
        3 => which.clone().prop_map(|which| Step::Remove { which }),
        4 => (which.clone(), folder.clone(), any::<bool>())
            .prop_map(|(which, folder, over)| Step::Move { which, folder, over }),
        1 => folder.clone().prop_map(|folder| Step::CreatedElsewhere { folder }),
        1 => (which, folder).prop_map(|(which, folder)| Step::MovedElsewhere { which, folder }),
        1 => (1..30_u64).prop_map(|rows| Step::Crowd { rows }),
    ];
    prop::collection::vec(step, 1..80)
}

/// The folders as they are, and the cache.
struct World {
    core: Core,
    now: Instant,
    position: u64,
    id_next: u64,
    versions: [u64; 2],
    /// Folder and version of each file.
    files: BTreeMap<u64, (usize, u64)>,
}

impl World {
    /// Five files in each folder, with room between their ids.
    fn new(entries_max: usize) -> Self {
        let mut core = Core::new(NonZeroUsize::new(entries_max).unwrap(), &[1; 16]);
        core.clear(FeedPosition(1));
        core.set_trust(Trust::Feed);
        let files = (0..10).map(|n| (ID_FIRST + 4 * n, (n as usize % 2, 1))).collect();
        Self { core, now: Instant::now(), position: 1, id_next: 0, versions: [1, 1], files }
    }

    fn row(&self, id: u64) -> Row {
        let (at, version) = self.files[&id];
        file(id, FOLDERS[at], version)
    }

    fn folder(&self, at: usize) -> Row {
        folder(FOLDERS[at], Some(3), self.versions[at])
    }

    fn ids_behind(&self, at: usize, after: u64) -> Vec<u64> {
        self.files.range(after + 1..).filter(|(_, file)| file.0 == at).map(|(id, _)| *id).collect()
    }

    /// One that nobody has, somewhere between the others.
    fn fresh_id(&mut self) -> u64 {
        loop {
            self.id_next += 1;
            let id = ID_FIRST + self.id_next * 17 % 101;
            if !self.files.contains_key(&id) {
                return id;
            }
        }
    }

    fn nth(&self, which: usize) -> Option<u64> {
        self.files.keys().nth(which % self.files.len().max(1)).copied()
    }

    /// Counts a folder's version up.
    fn touch(&mut self, at: usize) -> FolderChange {
        let before =
            Before { version: self.versions[at], size: 0, modified: Timestamp(0), changed: Timestamp(0) };
        self.versions[at] += 1;
        FolderChange { before, after: self.folder(at) }
    }

    fn tell(&mut self, changed: &Changed) {
        self.core.changed(changed, FeedPosition(self.position), self.now);
    }

    fn feed(&mut self, id: u64, version: u64) {
        let change =
            Change { position: FeedPosition(self.position), id: ObjectId(id), version: Some(version) };
        self.core.apply(&change);
    }

    fn feed_folder(&mut self, at: usize) {
        self.touch(at);
        self.feed(FOLDERS[at], self.versions[at]);
    }

    fn step(&mut self, step: &Step) {
        self.position += 1;
        let position = FeedPosition(self.position);
        match *step {
            Step::Ask { folder, after, limit } => {
                let mut ids = self.ids_behind(folder, after);
                let more = ids.len() > limit;
                ids.truncate(limit);
                let rows = ids.iter().map(|id| self.row(*id)).collect();
                let row = self.folder(folder);
                self.core.insert_page(row, after, rows, more, position, self.now);
            }
            Step::List { folder, after, limit } => self.check(folder, after, limit),
            Step::Create { folder } => {
                let id = self.fresh_id();
                self.files.insert(id, (folder, 1));
                let folders = vec![self.touch(folder)];
                let row = Some(self.row(id));
                self.tell(&Changed { row, before: None, created: true, removed: None, folders });
            }
            Step::Remove { which } => {
                let Some(id) = self.nth(which) else { return };
                let Some((at, _)) = self.files.remove(&id) else { return };
                let folders = vec![self.touch(at)];
                let removed = Some(ObjectId(id));
                self.tell(&Changed { row: None, before: None, created: false, removed, folders });
            }
            Step::Move { which, folder, over } => {
                let Some(id) = self.nth(which) else { return };
                let (from, version) = self.files[&id];
                let replaced = self.ids_behind(folder, 0).into_iter().find(|other| over && *other != id);
                if let Some(replaced) = replaced {
                    self.files.remove(&replaced);
                }
                self.files.insert(id, (folder, version + 1));
                let mut folders = vec![self.touch(folder)];
                if from != folder {
                    folders.push(self.touch(from));
                }
                let before = Before { version, size: 0, modified: Timestamp(0), changed: Timestamp(0) };
                let (row, removed) = (Some(self.row(id)), replaced.map(ObjectId));
                self.tell(&Changed { row, before: Some(before), created: false, removed, folders });
            }
            Step::CreatedElsewhere { folder } => {
                let id = self.fresh_id();
                self.files.insert(id, (folder, 1));
                self.feed(id, 1);
                self.feed_folder(folder);
            }
            Step::MovedElsewhere { which, folder } => {
                let Some(id) = self.nth(which) else { return };
                let (from, version) = self.files[&id];
                self.files.insert(id, (folder, version + 1));
                self.feed(id, version + 1);
                self.feed_folder(folder);
                if from != folder {
                    self.feed_folder(from);
                }
            }
            Step::Crowd { rows } => {
                for id in 1_000..1_000 + rows {
                    self.core.insert(file(id, 3, 1), position, self.now);
                }
            }
        }
    }

    /// What the cache knows of a folder behind an id, if it knows it, is so.
    fn check(&mut self, at: usize, after: u64, limit: usize) {
        let Some(page) = self.core.page(ObjectId(FOLDERS[at]), after, limit, self.now) else { return };
        let truth = self.ids_behind(at, after);
        let listed: Vec<_> = page.entries().iter().map(|entry| entry.row.id.0).collect();
        assert!(listed.len() <= limit);
        assert_eq!(listed, truth[..listed.len().min(truth.len())], "folder {at} behind {after}");
        assert!(!page.end || listed.len() == truth.len(), "the end came early");
        assert!(page.end || !listed.is_empty(), "a listing that gets nowhere");
        let is_here = |entry: &Row| self.files.get(&entry.id.0) == Some(&(at, entry.version));
        assert!(page.entries().iter().all(|entry| is_here(&entry.row)), "an old row");
    }

    fn check_all(&mut self) {
        for (at, after) in [0, 1].into_iter().flat_map(|at| (0..120).map(move |after| (at, after))) {
            self.check(at, after, 100);
        }
    }
}

proptest! {
    /// VFS-24, PORT-4.
    #[test]
    fn a_listing_is_what_the_folder_holds(entries_max in 8..60_usize, steps in steps()) {
        let mut world = World::new(entries_max);
        for step in &steps {
            world.step(step);
        }
        world.check_all();
    }
}
