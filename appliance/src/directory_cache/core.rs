//! The directory cache's memory: rows by id, names, listings, and what was changed lately.
//!
//! Pure: takes answers, changes and the time, and says what is known. It never holds a row older than a change it has
//! applied (VFS-24), and never more than its bounds.

use std::collections::{HashMap, VecDeque};
use std::hash::Hasher;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lru::LruCache;
use protocol::id::{FeedPosition, ObjectId};
use protocol::metadata::UnixMetadata;
use protocol::vfs::{Change, Changed, Kind, Row};
use siphasher::sip128::{Hasher128, SipHasher24};

use super::listing::Listing;

/// Applied changes remembered, so that a slow answer from before them is not kept. At a thousand changes a second
/// these are ten seconds, the deadline of a call.
const RECENT_CHANGES: usize = 10_000;

/// A row, and its metadata read once.
#[derive(Debug)]
pub struct Entry {
    /// As the VFS answered it.
    pub row: Row,
    /// Its metadata; the defaults where the row has none of ours.
    pub unix: UnixMetadata,
    /// Whether the metadata is of another kind of port (NT, or a later version): shown with the defaults, and never
    /// written over.
    pub is_foreign: bool,
}

impl Entry {
    /// Reads the row's metadata.
    pub fn new(row: Row) -> Self {
        let default_mode = match row.kind() {
            Kind::Folder => 0o755,
            Kind::File => 0o644,
        };
        let decoded = UnixMetadata::decode(&row.metadata, default_mode);
        let is_foreign = decoded.is_err();
        let unix = decoded.unwrap_or_else(|_| UnixMetadata::default_with_mode(default_mode));
        Self { row, unix, is_foreign }
    }
}

/// How far an entry may be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// The change feed is connected: whatever is held is true.
    Feed,
    /// The feed is down but the center answers: what is younger than this.
    Age(Duration),
    /// The center cannot be reached: everything, for there is nothing better (design decision 13).
    All,
}

impl Trust {
    /// Whether it does not matter how old an entry is.
    fn is_ageless(self) -> bool {
        !matches!(self, Self::Age(_))
    }
}

/// What is known of a name.
#[derive(Debug)]
pub enum Named {
    /// It is this entry.
    Entry(Arc<Entry>),
    /// The folder has no such name.
    Absent,
}

/// Entries of a folder, in order of id.
#[derive(Debug)]
pub struct Page {
    /// Among others, which the cache found with them.
    found: Arc<[Arc<Entry>]>,
    range: Range<usize>,
    /// Whether none comes behind them.
    pub end: bool,
}

impl Page {
    /// At most `limit` of those found, without the first `skipped`; `end` is whether none comes behind the last found.
    fn new(found: Arc<[Arc<Entry>]>, skipped: usize, limit: usize, end: bool) -> Self {
        let until = found.len().min(skipped.saturating_add(limit));
        let end = end && until == found.len();
        Self { found, range: skipped..until, end }
    }

    /// The first `limit` of them.
    pub fn at_most(self, limit: usize) -> Self {
        Self::new(self.found, self.range.start, limit.min(self.range.len()), self.end)
    }

    /// The entries.
    pub fn entries(&self) -> &[Arc<Entry>] {
        &self.found[self.range.clone()]
    }
}

/// All that a cache knows, at one feed position.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) position: FeedPosition,
    pub(super) root: ObjectId,
    pub(super) entries: Vec<Arc<Entry>>,
    pub(super) listings: Vec<(ObjectId, Listing)>,
}

/// See the module.
#[derive(Debug)]
pub struct Core {
    rows: LruCache<ObjectId, Held>,
    names: LruCache<NameKey, Remembered>,
    name_hash: SipHasher24,
    listings: LruCache<ObjectId, Listing>,
    listed_ids: usize,
    entries_max: usize,
    root: Option<ObjectId>,
    recent: Recent,
    trust: Trust,
    revision: u64,
}

#[derive(Debug)]
struct Held {
    entry: Arc<Entry>,
    /// When the VFS said so; `None` for an entry of a snapshot.
    seen: Option<Instant>,
    /// Of a folder: since this version every change of its entries was made through this cache.
    followed_since: u64,
}

#[derive(Clone, Copy, Debug)]
enum Remembered {
    Object(ObjectId),
    /// Absent at this version of the folder, and since then unless somebody else changed the folder.
    Absent {
        version: u64,
    },
}

/// A keyed 128-bit hash of folder and name: a name is looked up without allocating, and no client can make two names
/// collide.
type NameKey = u128;

impl Core {
    /// An empty cache of at most `entries_max` rows, as many names and as many listed ids. It keeps nothing before it
    /// is told a feed position by [`clear`](Self::clear). `secret` is random, and no client knows it.
    pub fn new(entries_max: NonZeroUsize, secret: &[u8; 16]) -> Self {
        Self {
            rows: LruCache::new(entries_max),
            names: LruCache::new(entries_max),
            name_hash: SipHasher24::new_with_key(secret),
            listings: LruCache::unbounded(),
            listed_ids: 0,
            entries_max: entries_max.get(),
            root: None,
            recent: Recent::default(),
            trust: Trust::All,
            revision: 0,
        }
    }

    /// Forgets everything; the feed is followed from `position` on.
    pub fn clear(&mut self, position: FeedPosition) {
        self.revision += 1;
        self.rows.clear();
        self.names.clear();
        self.listings.clear();
        self.listed_ids = 0;
        self.root = None;
        self.recent = Recent::from(position);
    }

    /// Up to which change the feed was applied; `None` before the first [`clear`](Self::clear).
    pub fn position(&self) -> Option<FeedPosition> {
        self.recent.position
    }

    /// Grows whenever something new is held: so a snapshot need not be taken twice.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Says how far entries may be trusted from now on.
    pub fn set_trust(&mut self, trust: Trust) {
        self.trust = trust;
    }

    /// Rows that are held.
    pub fn entries(&self) -> usize {
        self.rows.len()
    }

    /// The customer's root folder.
    pub fn root(&self) -> Option<ObjectId> {
        self.root
    }

    /// The entry of an id, if it is held and may be trusted.
    pub fn row(&mut self, id: ObjectId, now: Instant) -> Option<Arc<Entry>> {
        let trust = self.trust;
        let held = self.rows.get(&id)?;
        held.is_trusted(trust, now).then(|| Arc::clone(&held.entry))
    }

    /// What is known of a name.
    pub fn name(&mut self, folder: ObjectId, name: &[u8], now: Instant) -> Option<Named> {
        let key = self.name_key(folder, name);
        match *self.names.get(&key)? {
            Remembered::Object(id) => {
                let entry = self.row(id, now)?;
                let here = entry.row.parent == Some(folder)
                    && entry.row.name.as_ref().is_some_and(|own| own.as_bytes() == name);
                here.then_some(Named::Entry(entry))
            }
            Remembered::Absent { version } => {
                self.row(folder, now)?;
                // What was made in the folder through this cache since then has its own place under its name.
                (version >= self.rows.peek(&folder)?.followed_since).then_some(Named::Absent)
            }
        }
    }

    /// Entries of a folder behind the id `after`, at most `limit`; `None` if one of them is not held. While the feed is
    /// followed, entries listed before are found together and are not looked up one by one.
    pub fn page(&mut self, folder: ObjectId, after: u64, limit: usize, now: Instant) -> Option<Page> {
        let version = self.row(folder, now)?.row.version;
        let listing = self.listings.get_mut(&folder).filter(|listing| listing.version() == version)?;
        let (rows, trust) = (&mut self.rows, self.trust);
        let mut held = |id: &ObjectId| {
            let held = rows.get(id).filter(|held| held.is_trusted(trust, now))?;
            // One that has moved away is of another listing, whoever moved it.
            (held.entry.row.parent == Some(folder)).then(|| Arc::clone(&held.entry))
        };
        let mut behind = listing.behind(after)?;
        if trust.is_ageless()
            && let Some((entries, skipped)) = behind.entries(&mut held)
        {
            return Some(Page::new(entries, skipped, limit, behind.end()));
        }
        // Others of the page may not be held, or be too old.
        let wanted = &behind.ids()[..behind.ids().len().min(limit)];
        let entries: Option<Vec<_>> = wanted.iter().map(held).collect();
        let end = behind.end() && wanted.len() == behind.ids().len();
        Some(Page::new(entries?.into(), 0, limit, end))
    }

    /// Takes a row that was true at `position`. Returns the entry to answer from: the held one where that is newer.
    pub fn insert(&mut self, row: Row, position: FeedPosition, now: Instant) -> Arc<Entry> {
        let version = row.version;
        self.insert_after(row, version, position, now)
    }

    /// As `insert`, of a row that this cache itself took from the version `before` to its present one.
    fn insert_after(&mut self, row: Row, before: u64, position: FeedPosition, now: Instant) -> Arc<Entry> {
        let held = self.rows.peek(&row.id);
        if let Some(newer) = held.filter(|held| held.entry.row.version > row.version) {
            return Arc::clone(&newer.entry);
        }
        let followed_since = match held {
            Some(held) if held.entry.row.version == before => held.followed_since,
            _ => row.version,
        };
        let entry = Arc::new(Entry::new(row));
        if self.recent.allows(entry.row.id, position) {
            self.hold(Held { entry: Arc::clone(&entry), seen: Some(now), followed_since });
        }
        entry
    }

    /// Takes a folder and those of its entries that follow `after`, true at `position`.
    pub fn insert_page(
        &mut self,
        folder: Row,
        after: u64,
        entries: Vec<Row>,
        more: bool,
        position: FeedPosition,
        now: Instant,
    ) -> Page {
        let (id, version) = (folder.id, folder.version);
        let is_current = self.recent.allows(id, position);
        self.insert(folder, position, now);
        if is_current {
            let ids = entries.iter().map(|row| row.id).collect();
            self.listed_ids -= self.listings.peek(&id).map_or(0, Listing::len);
            let listing = self.listings.get_or_insert_mut(id, || Listing::new(version));
            if listing.version() < version {
                *listing = Listing::new(version);
            }
            if listing.version() == version {
                listing.insert(after, ids, !more);
            }
            self.listed_ids += listing.len();
            self.trim_listings();
        }
        let entries: Vec<_> = entries.into_iter().map(|row| self.insert(row, position, now)).collect();
        Page::new(entries.into(), 0, usize::MAX, !more)
    }

    /// Takes that a name was absent; `version` is that of the folder's row held before the question was asked, so that
    /// a name made meanwhile ends it.
    pub fn insert_absent(&mut self, folder: ObjectId, name: &[u8], version: u64) {
        self.names.put(self.name_key(folder, name), Remembered::Absent { version });
    }

    /// Takes the root folder's id.
    pub fn set_root(&mut self, root: ObjectId) {
        self.root = Some(root);
    }

    /// Takes the answer to a change this port made.
    pub fn changed(&mut self, changed: &Changed, position: FeedPosition, now: Instant) {
        if let Some(id) = changed.removed {
            self.forget(id);
            self.recent.push(position, id);
        }
        let row = changed.row.as_ref();
        let moved_from = row.and_then(|row| self.rows.peek(&row.id)).and_then(|held| held.entry.row.parent);
        if let Some(row) = row {
            let before = changed.before.map_or(row.version, |before| before.version);
            self.follow_listing(row.id, before, row.version, None, None);
            self.insert_after(row.clone(), before, position, now);
        }
        for folder in &changed.folders {
            let id = folder.after.id;
            let (before, after) = (folder.before.version, folder.after.version);
            let added = row.filter(|row| row.parent == Some(id)).map(|row| row.id);
            // What left this folder: the object that was removed or replaced, or one that moved to another folder.
            let left = match (row, moved_from) {
                (Some(row), Some(from)) if from == id && row.parent != Some(id) => Some(row.id),
                _ => changed.removed,
            };
            if moved_from.is_some() || changed.created || row.is_none() {
                self.follow_listing(id, before, after, added, left);
            }
            self.insert_after(folder.after.clone(), before, position, now);
        }
        self.trim_listings();
    }

    /// Takes one change of the feed.
    pub fn apply(&mut self, change: &Change) {
        let is_older = self.rows.peek(&change.id).is_some_and(|held| match change.version {
            Some(version) => held.entry.row.version < version,
            None => true,
        });
        if is_older {
            self.forget(change.id);
        }
        self.recent.push(change.position, change.id);
        self.recent.position = self.recent.position.max(Some(change.position));
    }

    /// Takes the position of a feed answer whose changes were all applied.
    pub fn advance(&mut self, position: FeedPosition) {
        self.recent.position = self.recent.position.max(Some(position));
    }

    /// Drops a row that turned out to be old.
    pub fn forget(&mut self, id: ObjectId) {
        self.revision += 1;
        if let Some(held) = self.rows.pop(&id) {
            self.row_changed(held.entry.row.parent);
        }
    }

    /// All that is known, least recently used first: for a snapshot. `None` before the feed's position is known.
    pub(super) fn contents(&self) -> Option<Contents> {
        Some(Contents {
            position: self.position()?,
            root: self.root?,
            entries: self.rows.iter().rev().map(|(_, held)| Arc::clone(&held.entry)).collect(),
            listings: self.listings.iter().rev().map(|(id, listing)| (*id, listing.clone())).collect(),
        })
    }

    /// Takes a snapshot: true at its position, but of unknown age.
    pub(super) fn restore(&mut self, contents: Contents) {
        self.clear(contents.position);
        self.root = Some(contents.root);
        for entry in contents.entries {
            let followed_since = entry.row.version;
            self.hold(Held { entry, seen: None, followed_since });
        }
        for (folder, listing) in contents.listings {
            self.listed_ids += listing.len();
            self.listings.put(folder, listing);
        }
        self.trim_listings();
    }

    fn name_key(&self, folder: ObjectId, name: &[u8]) -> NameKey {
        let mut hasher = self.name_hash;
        hasher.write(&folder.0.to_be_bytes());
        hasher.write(name);
        hasher.finish128().as_u128()
    }

    fn hold(&mut self, held: Held) {
        self.revision += 1;
        let row = &held.entry.row;
        if let (Some(parent), Some(name)) = (row.parent, &row.name) {
            self.names.put(self.name_key(parent, name.as_bytes()), Remembered::Object(row.id));
        }
        let (id, parent) = (row.id, row.parent);
        // What it replaces: an older row of the same id, or the row that was not used for the longest time.
        let replaced = self.rows.push(id, held);
        self.row_changed(replaced.and_then(|(_, held)| held.entry.row.parent));
        self.row_changed(parent);
    }

    /// A row of this folder came or went.
    fn row_changed(&mut self, folder: Option<ObjectId>) {
        if let Some(listing) = folder.and_then(|folder| self.listings.peek_mut(&folder)) {
            listing.row_changed();
        }
    }

    /// Takes the listing of a folder over a change, or drops it if it missed one before.
    fn follow_listing(
        &mut self,
        folder: ObjectId,
        before: u64,
        after: u64,
        added: Option<ObjectId>,
        left: Option<ObjectId>,
    ) {
        let Some(listing) = self.listings.peek_mut(&folder) else { return };
        self.listed_ids -= listing.len();
        if listing.follow(before, after, added, left) {
            self.listed_ids += listing.len();
        } else {
            self.listings.pop(&folder);
        }
    }

    fn trim_listings(&mut self) {
        while self.listed_ids > self.entries_max
            && let Some((_, listing)) = self.listings.pop_lru()
        {
            self.listed_ids -= listing.len();
        }
    }
}

impl Held {
    fn is_trusted(&self, trust: Trust, now: Instant) -> bool {
        match trust {
            Trust::Feed | Trust::All => true,
            Trust::Age(most) => self.seen.is_some_and(|seen| now.saturating_duration_since(seen) < most),
        }
    }
}

/// The last changes applied.
#[derive(Debug, Default)]
struct Recent {
    position: Option<FeedPosition>,
    /// Changes up to here are no longer remembered one by one; `None` before the feed is known at all.
    floor: Option<FeedPosition>,
    order: VecDeque<(FeedPosition, ObjectId)>,
    latest: HashMap<ObjectId, FeedPosition>,
}

impl From<FeedPosition> for Recent {
    fn from(position: FeedPosition) -> Self {
        Self { position: Some(position), floor: Some(position), ..Self::default() }
    }
}

impl Recent {
    fn push(&mut self, position: FeedPosition, id: ObjectId) {
        if self.order.len() >= RECENT_CHANGES
            && let Some((oldest, gone)) = self.order.pop_front()
        {
            self.floor = self.floor.max(Some(oldest));
            if self.latest.get(&gone) == Some(&oldest) {
                self.latest.remove(&gone);
            }
        }
        self.order.push_back((position, id));
        let latest = self.latest.entry(id).or_insert(position);
        *latest = (*latest).max(position);
    }

    /// Whether an answer about `id` from `position` holds every change of it that was applied here.
    fn allows(&self, id: ObjectId, position: FeedPosition) -> bool {
        self.floor.is_some_and(|floor| position >= floor)
            && self.latest.get(&id).is_none_or(|&latest| position >= latest)
    }
}

#[cfg(test)]
mod tests {
    use protocol::id::Timestamp;
    use protocol::vfs::{Before, FolderChange};

    use super::*;
    use crate::testing::rows::{file, folder};

    fn cache(entries_max: usize) -> Core {
        let mut core = Core::new(NonZeroUsize::new(entries_max).unwrap(), &[1; 16]);
        core.clear(FeedPosition(10));
        core
    }

    fn change(position: u64, id: u64, version: Option<u64>) -> Change {
        Change { position: FeedPosition(position), id: ObjectId(id), version }
    }

    /// The answer to a CREATE of `row` in the folder 100, which was at `version`.
    fn created(row: Row, version: u64) -> Changed {
        Changed { row: Some(row), before: None, created: true, removed: None, folders: vec![around(version)] }
    }

    fn around(version: u64) -> FolderChange {
        let before = Before { version, size: 0, modified: Timestamp(0), changed: Timestamp(0) };
        FolderChange { before, after: folder(100, None, version + 1) }
    }

    #[test]
    fn nothing_is_kept_before_the_feed_is_known() {
        let now = Instant::now();
        let mut core = Core::new(NonZeroUsize::new(8).unwrap(), &[1; 16]);
        core.insert(folder(100, None, 1), FeedPosition(1), now);
        assert!(core.row(ObjectId(100), now).is_none());
    }

    #[test]
    fn a_name_leads_to_its_row_until_the_row_moves() {
        let now = Instant::now();
        let mut core = cache(8);
        core.insert(file(101, 100, 1), FeedPosition(10), now);
        assert!(matches!(core.name(ObjectId(100), b"n101", now), Some(Named::Entry(_))));
        let moved = Row { parent: Some(ObjectId(200)), ..file(101, 100, 2) };
        core.insert(moved, FeedPosition(11), now);
        assert!(core.name(ObjectId(100), b"n101", now).is_none(), "not known any more");
        assert!(matches!(core.name(ObjectId(200), b"n101", now), Some(Named::Entry(_))));
    }

    /// VFS-24: whatever order answers and changes arrive in, an answer from before an applied change is not kept.
    #[test]
    fn a_late_answer_does_not_undo_a_change() {
        let now = Instant::now();
        let mut core = cache(8);
        core.insert(file(101, 100, 1), FeedPosition(10), now);
        core.apply(&change(11, 101, Some(2)));
        assert!(core.row(ObjectId(101), now).is_none());
        core.insert(file(101, 100, 1), FeedPosition(10), now);
        assert!(core.row(ObjectId(101), now).is_none(), "it was asked for before the change");
        core.insert(file(101, 100, 2), FeedPosition(11), now);
        assert!(core.row(ObjectId(101), now).is_some());
        core.apply(&change(12, 101, None));
        core.insert(file(101, 100, 2), FeedPosition(11), now);
        assert!(core.row(ObjectId(101), now).is_none(), "it is gone");
    }

    #[test]
    fn a_change_already_known_keeps_the_row() {
        let now = Instant::now();
        let mut core = cache(8);
        core.insert(file(101, 100, 5), FeedPosition(15), now);
        core.apply(&change(15, 101, Some(5)));
        assert!(core.row(ObjectId(101), now).is_some());
    }

    #[test]
    fn an_answer_older_than_all_remembered_changes_is_not_kept() {
        let now = Instant::now();
        let mut core = cache(8);
        for position in 11..=11 + RECENT_CHANGES as u64 {
            core.apply(&change(position, 7, Some(position)));
        }
        core.insert(file(101, 100, 1), FeedPosition(10), now);
        assert!(core.row(ObjectId(101), now).is_none());
    }

    #[test]
    fn an_absent_name_is_known_until_somebody_else_changes_the_folder() {
        let now = Instant::now();
        let mut core = cache(8);
        core.insert(folder(100, None, 3), FeedPosition(10), now);
        core.insert_absent(ObjectId(100), b"no", 3);
        assert!(matches!(core.name(ObjectId(100), b"no", now), Some(Named::Absent)));
        core.changed(&created(file(101, 100, 1), 3), FeedPosition(11), now);
        assert!(matches!(core.name(ObjectId(100), b"no", now), Some(Named::Absent)), "our own change");
        assert!(matches!(core.name(ObjectId(100), b"n101", now), Some(Named::Entry(_))));
        core.apply(&change(12, 100, Some(5)));
        core.insert(folder(100, None, 5), FeedPosition(12), now);
        assert!(core.name(ObjectId(100), b"no", now).is_none());
    }

    #[test]
    fn a_listing_follows_our_own_changes_and_no_other() {
        let now = Instant::now();
        let mut core = cache(8);
        let entries = vec![file(101, 100, 1), file(102, 100, 1)];
        core.insert_page(folder(100, None, 3), 0, entries, false, FeedPosition(10), now);
        core.changed(&created(file(103, 100, 1), 3), FeedPosition(11), now);
        let listed = |core: &mut Core| {
            let page = core.page(ObjectId(100), 0, 9, now)?;
            Some((page.entries().iter().map(|entry| entry.row.id.0).collect::<Vec<_>>(), page.end))
        };
        assert_eq!(listed(&mut core), Some((vec![101, 102, 103], true)));
        let removed = Changed {
            row: None,
            before: None,
            created: false,
            removed: Some(ObjectId(102)),
            folders: vec![around(4)],
        };
        core.changed(&removed, FeedPosition(12), now);
        assert_eq!(listed(&mut core), Some((vec![101, 103], true)));
        core.apply(&change(13, 100, Some(6)));
        core.insert(folder(100, None, 6), FeedPosition(13), now);
        assert_eq!(listed(&mut core), None, "somebody else changed the folder");
    }

    /// Entries of a listing are found together only once; whatever happens to one of their rows, it shows.
    #[test]
    fn a_listing_shows_rows_as_they_are_held() {
        let now = Instant::now();
        let listed = |core: &mut Core| {
            let page = core.page(ObjectId(100), 101, 9, now)?;
            let rows = page.entries().iter().map(|entry| (entry.row.id.0, entry.row.version));
            Some((rows.collect::<Vec<_>>(), page.end))
        };
        let warm = |entries_max| {
            let mut core = cache(entries_max);
            let entries = [101, 102, 103].map(|id| file(id, 100, 1)).to_vec();
            core.insert_page(folder(100, None, 3), 0, entries, false, FeedPosition(10), now);
            assert_eq!(listed(&mut core), Some((vec![(102, 1), (103, 1)], true)));
            assert_eq!(listed(&mut core), Some((vec![(102, 1), (103, 1)], true)), "again");
            core
        };
        let mut core = warm(8);
        core.insert(file(103, 100, 2), FeedPosition(11), now);
        assert_eq!(listed(&mut core), Some((vec![(102, 1), (103, 2)], true)), "a row changed");
        core.apply(&change(12, 102, Some(2)));
        assert_eq!(listed(&mut core), None, "a row somebody else changed");
        core.insert(file(102, 100, 2), FeedPosition(12), now);
        assert_eq!(listed(&mut core), Some((vec![(102, 2), (103, 2)], true)), "it is held again");
        core.apply(&change(13, 101, None));
        assert_eq!(
            listed(&mut core),
            Some((vec![(102, 2), (103, 2)], true)),
            "another of the page is not held"
        );

        let mut core = warm(4);
        core.row(ObjectId(100), now);
        for id in 200..203 {
            core.insert(file(id, 7, 1), FeedPosition(10), now);
            core.row(ObjectId(100), now);
        }
        assert_eq!(listed(&mut core), None, "rows had to make room");

        let mut core = warm(8);
        core.set_trust(Trust::Age(Duration::from_secs(30)));
        let later = now + Duration::from_secs(60);
        core.insert(folder(100, None, 3), FeedPosition(11), later);
        assert!(core.page(ObjectId(100), 101, 9, later).is_none(), "too old to be believed");
    }

    #[test]
    fn what_is_held_stays_within_its_bounds() {
        let now = Instant::now();
        let mut core = cache(10);
        for number in 0..100 {
            let first = 1_000 * number;
            let entries = (first..first + 7).map(|id| file(id, number, 1)).collect();
            core.insert_page(folder(number, None, 1), 0, entries, true, FeedPosition(10), now);
            assert!(core.rows.len() <= 10);
            assert!(core.listed_ids <= 10);
            let listed: usize = core.listings.iter().map(|(_, listing)| listing.len()).sum();
            assert_eq!(core.listed_ids, listed);
        }
    }

    #[test]
    fn without_the_feed_only_young_entries_are_trusted() {
        let start = Instant::now();
        let mut core = cache(8);
        core.insert(file(101, 100, 1), FeedPosition(10), start);
        let later = start + Duration::from_secs(60);
        core.set_trust(Trust::Age(Duration::from_secs(30)));
        assert!(core.row(ObjectId(101), start).is_some());
        assert!(core.row(ObjectId(101), later).is_none());
        core.set_trust(Trust::All);
        assert!(core.row(ObjectId(101), later).is_some(), "nothing better is to be had");
        core.set_trust(Trust::Feed);
        assert!(core.row(ObjectId(101), later).is_some());
    }
}
