//! The known parts of one folder's listing: which ids it holds, page by page, in order of id.
//!
//! Pure. A page covers a half-open range of ids; ids outside all pages are not known, ids inside a page but not in its
//! list do not exist. Everything here was true at one version of the folder.

use std::collections::BTreeMap;

use protocol::id::ObjectId;
use protocol::vfs::ENTRIES_MAX;

/// A page that grows past this is split, so that adding to it stays cheap.
const PAGE_IDS_MAX: usize = 2 * ENTRIES_MAX as usize;

/// Ids of one folder at one version.
#[derive(Clone, Debug)]
pub(super) struct Listing {
    version: u64,
    /// By the id the page begins behind.
    pages: BTreeMap<u64, Page>,
}

#[derive(Clone, Debug)]
struct Page {
    /// The last id the page knows about, `u64::MAX` for the folder's end.
    until: u64,
    ids: Vec<ObjectId>,
}

/// Some ids of a folder, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ids<'a> {
    pub(super) ids: &'a [ObjectId],
    /// Whether no id comes behind them.
    pub(super) end: bool,
}

impl Listing {
    pub(super) fn new(version: u64) -> Self {
        Self { version, pages: BTreeMap::new() }
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Number of ids held.
    pub(super) fn len(&self) -> usize {
        self.pages.values().map(|page| page.ids.len()).sum()
    }

    /// Takes what the VFS answered for the entries behind `after`.
    pub(super) fn insert(&mut self, after: u64, ids: Vec<ObjectId>, end: bool) {
        let until = match ids.last() {
            _ if end => u64::MAX,
            Some(last) => last.0,
            None => return,
        };
        self.pages.insert(after, Page { until, ids });
    }

    /// At most `limit` ids behind `after`: at least one unless the folder ends there; `None` if they are not known.
    pub(super) fn ids(&self, after: u64, limit: usize) -> Option<Ids<'_>> {
        let mut after = after;
        loop {
            let (_, page) = self.pages.range(..=after).next_back()?;
            if after >= page.until && page.until != u64::MAX {
                return None;
            }
            let rest = &page.ids[page.ids.partition_point(|id| id.0 <= after)..];
            if rest.is_empty() && page.until != u64::MAX {
                after = page.until;
                continue;
            }
            let ids = &rest[..rest.len().min(limit)];
            return Some(Ids { ids, end: page.until == u64::MAX && ids.len() == rest.len() });
        }
    }

    /// Follows a change that took the folder from version `before` to `after`; `false` if this listing is not of
    /// `before`, and worthless now.
    pub(super) fn follow(
        &mut self,
        before: u64,
        after: u64,
        added: Option<ObjectId>,
        removed: Option<ObjectId>,
    ) -> bool {
        if self.version != before {
            return self.version >= after;
        }
        self.version = after;
        if let Some(id) = removed
            && let Some(page) = self.page_of(id)
            && let Ok(at) = page.ids.binary_search(&id)
        {
            page.ids.remove(at);
        }
        if let Some(id) = added
            && let Some(page) = self.page_of(id)
            && let Err(at) = page.ids.binary_search(&id)
        {
            page.ids.insert(at, id);
            if page.ids.len() > PAGE_IDS_MAX {
                let ids = page.ids.split_off(PAGE_IDS_MAX / 2);
                let middle = page.ids.last().map_or(0, |id| id.0);
                let until = std::mem::replace(&mut page.until, middle);
                self.pages.insert(middle, Page { until, ids });
            }
        }
        true
    }

    /// All pages in order: what they begin behind, their ids, and whether they are the end.
    pub(super) fn pages(&self) -> impl Iterator<Item = (u64, &[ObjectId], bool)> {
        self.pages.iter().map(|(after, page)| (*after, page.ids.as_slice(), page.until == u64::MAX))
    }

    fn page_of(&mut self, id: ObjectId) -> Option<&mut Page> {
        let (_, page) = self.pages.range_mut(..id.0).next_back()?;
        (id.0 <= page.until).then_some(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(numbers: impl IntoIterator<Item = u64>) -> Vec<ObjectId> {
        numbers.into_iter().map(ObjectId).collect()
    }

    fn listing() -> Listing {
        let mut listing = Listing::new(7);
        listing.insert(0, ids([10, 20, 30]), false);
        listing.insert(30, ids([40, 50]), true);
        listing
    }

    #[test]
    fn pages_join_where_one_ends_and_the_next_begins() {
        let listing = listing();
        assert_eq!(listing.ids(0, 2), Some(Ids { ids: &ids([10, 20]), end: false }));
        assert_eq!(listing.ids(20, 9), Some(Ids { ids: &ids([30]), end: false }));
        assert_eq!(listing.ids(30, 9), Some(Ids { ids: &ids([40, 50]), end: true }));
        assert_eq!(listing.ids(50, 9), Some(Ids { ids: &[], end: true }));
    }

    #[test]
    fn a_cookie_of_a_removed_entry_continues_behind_it() {
        assert_eq!(listing().ids(25, 9), Some(Ids { ids: &ids([30]), end: false }));
    }

    #[test]
    fn what_no_page_covers_is_not_known() {
        let mut listing = Listing::new(1);
        assert_eq!(listing.ids(0, 9), None);
        listing.insert(0, ids([10]), false);
        assert_eq!(listing.ids(10, 9), None);
        assert_eq!(listing.ids(11, 9), None);
    }

    #[test]
    fn a_change_at_the_right_version_is_followed() {
        let mut listing = listing();
        assert!(listing.follow(7, 8, Some(ObjectId(60)), Some(ObjectId(30))));
        assert_eq!(listing.ids(20, 9), Some(Ids { ids: &ids([40, 50, 60]), end: true }));
        assert!(!listing.follow(9, 10, None, None), "a change was missed");
        assert!(listing.follow(7, 8, None, None), "a change it already holds");
    }

    #[test]
    fn a_page_that_grows_is_split() {
        let mut listing = Listing::new(0);
        listing.insert(0, Vec::new(), true);
        let count = 3 * PAGE_IDS_MAX as u64;
        for number in 1..=count {
            assert!(listing.follow(number - 1, number, Some(ObjectId(number)), None));
        }
        assert!(listing.pages.len() > 2);
        let mut seen = Vec::new();
        loop {
            let page = listing.ids(seen.last().map_or(0, |id: &ObjectId| id.0), 100).unwrap();
            seen.extend_from_slice(page.ids);
            if page.end {
                break;
            }
        }
        assert_eq!(seen, ids(1..=count));
    }
}
