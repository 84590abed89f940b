//! The lookup table (DOSM-9): on which nodes and disks objects were last seen. Pure.
//!
//! Soft state: every entry is a hint that may be wrong or missing, and nothing is lost with it (SYS-2).

use std::num::NonZeroUsize;

use lru::LruCache;
use protocol::digest::Fingerprint;

/// Places kept of one object; the copies of a cluster are fewer.
const PLACES_MAX: usize = 4;

/// A copy's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The node.
    pub node: u32,
    /// The disk in it.
    pub disk: u32,
}

/// The table: at its capacity, the entry used least recently makes room.
#[derive(Debug)]
pub struct Locations {
    table: LruCache<Fingerprint, Vec<Place>>,
}

impl Locations {
    /// With room for so many objects.
    pub fn new(capacity: NonZeroUsize) -> Self {
        // Grows as it is used: a million entries are not set aside by a process that sees a thousand objects.
        let mut table = LruCache::unbounded();
        table.resize(capacity);
        Self { table }
    }

    /// A copy was seen there. The newest place comes first.
    pub fn note(&mut self, fingerprint: Fingerprint, place: Place) {
        let places = self.table.get_or_insert_mut(fingerprint, || Vec::with_capacity(2));
        places.retain(|known| known.node != place.node);
        places.insert(0, place);
        places.truncate(PLACES_MAX);
    }

    /// Where copies were seen; empty where nothing is known.
    pub fn find(&mut self, fingerprint: Fingerprint) -> Vec<Place> {
        self.table.get(&fingerprint).cloned().unwrap_or_default()
    }

    /// The node does not have it, or not any more.
    pub fn forget(&mut self, fingerprint: Fingerprint, node: u32) {
        if let Some(places) = self.table.peek_mut(&fingerprint) {
            places.retain(|place| place.node != node);
            if places.is_empty() {
                self.table.pop(&fingerprint);
            }
        }
    }

    /// Nothing is known of the object any more.
    pub fn forget_object(&mut self, fingerprint: Fingerprint) {
        self.table.pop(&fingerprint);
    }

    /// The node is gone, and with it all it held (GEO-6).
    pub fn forget_node(&mut self, node: u32) {
        let of_node = |places: &Vec<Place>| places.iter().any(|place| place.node == node);
        let held: Vec<Fingerprint> =
            self.table.iter().filter(|(_, places)| of_node(places)).map(|(name, _)| *name).collect();
        held.into_iter().for_each(|fingerprint| self.forget(fingerprint, node));
    }

    /// Objects known.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: u8) -> Fingerprint {
        Fingerprint([number; 16])
    }

    fn place(node: u32) -> Place {
        Place { node, disk: 0 }
    }

    fn table(capacity: usize) -> Locations {
        Locations::new(NonZeroUsize::new(capacity).unwrap())
    }

    /// DOSM-9: at capacity the least recently used goes, one past it.
    #[test]
    fn the_least_recently_used_entry_makes_room() {
        let mut locations = table(2);
        locations.note(name(1), place(1));
        locations.note(name(2), place(1));
        assert_eq!(locations.len(), 2);
        assert_eq!(locations.find(name(1)), [place(1)]);
        locations.note(name(3), place(1));
        assert_eq!(locations.len(), 2);
        assert!(locations.find(name(2)).is_empty(), "used least recently");
        assert_eq!(locations.find(name(1)), [place(1)]);
    }

    /// DOSM-9: several places of one object, the newest first, each node once, at most four.
    #[test]
    fn an_object_has_several_places() {
        let mut locations = table(8);
        for node in [1, 2, 3, 1, 4, 5] {
            locations.note(name(1), place(node));
        }
        assert_eq!(locations.find(name(1)), [5, 4, 1, 3].map(place));
        locations.forget(name(1), 4);
        assert_eq!(locations.find(name(1)), [5, 1, 3].map(place));
    }

    /// GEO-6: a node that is gone takes its places along, and entries without a place go.
    #[test]
    fn a_node_takes_its_places_along() {
        let mut locations = table(8);
        locations.note(name(1), place(1));
        locations.note(name(2), place(1));
        locations.note(name(2), place(2));
        locations.forget_node(1);
        assert_eq!(locations.len(), 1);
        assert_eq!(locations.find(name(2)), [place(2)]);
        locations.forget_object(name(2));
        assert!(locations.is_empty());
    }
}
