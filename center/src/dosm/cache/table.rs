//! All that the cache knows: what is kept, what is open, what was forgotten when. Pure: files to be removed are named,
//! others remove them.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use lru::LruCache;
use protocol::digest::Fingerprint;
use protocol::id::CustomerId;

use super::index::{Entry, Index};
use super::object::Object;

/// Groups of objects whose forgetting is counted together: two in one group cost a confirmation at worst.
const GROUPS: usize = 256;

/// See the module.
#[derive(Debug)]
pub struct Table<O> {
    index: Index,
    /// Objects at hand, in order of use.
    open: LruCache<Fingerprint, Arc<Object<O>>>,
    /// How often objects of each group were forgotten.
    forgotten: Box<[u64; GROUPS]>,
    evictions: u64,
}

/// A moment between two forgettings of an object: what was learnt at one is not believed at another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(u64);

/// Files of the cache that are to be removed.
#[derive(Debug, Default)]
#[must_use]
pub struct Removed {
    /// Those with names of their own.
    pub parts: Vec<PathBuf>,
    /// Whole objects.
    pub whole: Vec<Fingerprint>,
}

impl<O> Table<O> {
    /// An empty table with its bounds: bytes and objects kept, objects open at once.
    pub fn new(bytes_max: u64, entries_max: usize, open_max: NonZeroUsize) -> Self {
        Self {
            index: Index::new(bytes_max, entries_max),
            open: LruCache::new(open_max),
            forgotten: Box::new([0; GROUPS]),
            evictions: 0,
        }
    }

    /// An open object, used at this second, and the object's present epoch.
    pub fn look_up(&mut self, object: Fingerprint, now: u64) -> (Option<Arc<Object<O>>>, Epoch) {
        let found = self.open.get(&object).cloned();
        if found.as_ref().is_some_and(|found| found.mark_used(now)) {
            self.index.touch(object);
        }
        (found, self.epoch(object))
    }

    fn epoch(&self, object: Fingerprint) -> Epoch {
        let [group, ..] = object.0;
        Epoch(self.forgotten[usize::from(group)])
    }

    /// Whether a whole file of the object is kept.
    pub fn has_whole(&self, object: Fingerprint) -> bool {
        self.index.get(object).is_some_and(|entry| entry.whole)
    }

    /// Takes in a whole object found at start, as the one used longest ago. False: it has no room.
    pub fn adopt_older(&mut self, object: Fingerprint, len: u64) -> bool {
        self.index.adopt_older(object, len)
    }

    /// Takes in an object that was opened at this epoch, or gives the one that is open already; one that was forgotten
    /// since is not taken in and can only be read to its end.
    pub fn insert(&mut self, object: Object<O>, epoch: Epoch) -> (Arc<Object<O>>, Removed) {
        let fingerprint = object.content().fingerprint;
        let mut removed = Removed::default();
        if let Some(open) = self.open.get(&fingerprint).cloned() {
            if open.content() == object.content() {
                return (open, removed);
            }
            // Two contents of one MD5: they are never mixed, and the nodes decide which is theirs.
            removed = self.discard(&open);
        }
        let object = Arc::new(object);
        if self.epoch(fingerprint) != epoch {
            let _ = object.let_go();
            return (object, removed);
        }
        if let Some((_, closed)) = self.open.push(fingerprint, Arc::clone(&object))
            && !closed.is_whole()
        {
            // Which of its blocks are kept is known only while it is open.
            removed.merge(self.drop_entry(&closed));
        }
        (object, removed)
    }

    /// The source has just said that the customer may have the object, asked at this epoch.
    pub fn confirm(&self, object: &Object<O>, epoch: Epoch, customer: CustomerId, now: u64) {
        if self.epoch(object.content().fingerprint) == epoch && !object.is_gone() {
            object.entitled().confirm(customer, now);
        }
    }

    /// Makes room for `more` bytes of an open object. `None`: it has none.
    pub fn make_room(&mut self, object: &Object<O>, more: u64) -> Option<Removed> {
        if object.is_gone() {
            return None;
        }
        let gone = self.index.grow(object.content().fingerprint, more)?;
        Some(self.evicted(gone))
    }

    /// All of an open object is kept now.
    pub fn complete(&mut self, object: &Object<O>) {
        if !object.is_gone() {
            self.index.complete(object.content().fingerprint);
        }
    }

    /// Others filled the disk: gives way by so many bytes.
    pub fn give_way(&mut self, bytes: u64) -> Removed {
        let goal = self.index.bytes().saturating_sub(bytes);
        let mut gone = Vec::new();
        while self.index.bytes() > goal {
            gone.extend(self.index.evict());
        }
        self.evicted(gone)
    }

    fn evicted(&mut self, gone: Vec<(Fingerprint, Entry)>) -> Removed {
        let mut removed = Removed::default();
        self.evictions += gone.len() as u64;
        for (fingerprint, entry) in gone {
            let part = self.open.pop(&fingerprint).and_then(|open| open.let_go());
            removed.add(fingerprint, entry, part);
        }
        removed
    }

    /// Lets go of an object whose file is of no use.
    pub fn discard(&mut self, object: &Arc<Object<O>>) -> Removed {
        let fingerprint = object.content().fingerprint;
        if self.open.peek(&fingerprint).is_some_and(|open| Arc::ptr_eq(open, object)) {
            self.open.pop(&fingerprint);
            return self.drop_entry(object);
        }
        Removed::default()
    }

    fn drop_entry(&mut self, object: &Object<O>) -> Removed {
        let mut removed = Removed::default();
        let part = object.let_go();
        if let Some(entry) = self.index.remove(object.content().fingerprint) {
            removed.add(object.content().fingerprint, entry, part);
        }
        removed
    }

    /// Lets go of a file that cannot be opened.
    pub fn discard_file(&mut self, object: Fingerprint) -> Removed {
        let mut removed = Removed::default();
        if self.open.peek(&object).is_none()
            && let Some(entry) = self.index.remove(object)
        {
            removed.add(object, entry, None);
        }
        removed
    }

    /// Lets go of an object and of all that is known about who may have it.
    pub fn forget(&mut self, object: Fingerprint) -> Removed {
        let [group, ..] = object.0;
        self.forgotten[usize::from(group)] += 1;
        let mut removed = Removed::default();
        let part = self.open.pop(&object).and_then(|open| open.let_go());
        if let Some(entry) = self.index.remove(object) {
            removed.add(object, entry, part);
        }
        removed
    }

    /// Closes files of the source that were not used since this second.
    pub fn close_unused(&mut self, since: u64) {
        while self.open.peek_lru().is_some_and(|(_, object)| object.used() < since) {
            self.open.pop_lru();
        }
    }

    /// Bytes and objects kept, objects that had to go for others.
    pub fn figures(&self) -> (u64, u64, u64) {
        (self.index.bytes(), self.index.len() as u64, self.evictions)
    }
}

impl Removed {
    /// Whether there is nothing to be done.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.whole.is_empty()
    }

    fn add(&mut self, object: Fingerprint, entry: Entry, part: Option<PathBuf>) {
        match part {
            Some(path) => self.parts.push(path),
            None if entry.whole => self.whole.push(object),
            // Nothing of it was written yet; whoever is about to will find it gone.
            None => {}
        }
    }

    fn merge(&mut self, other: Self) {
        self.parts.extend(other.parts);
        self.whole.extend(other.whole);
    }
}
