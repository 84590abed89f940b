//! The known parts of one folder's listing: which ids it holds, page by page, in order of id.
//!
//! Pure. A page covers a half-open range of ids; ids outside all pages are not known, ids inside a page but not in its
//! list do not exist. Everything here was true at one version of the folder.
//!
//! A page also keeps the entries of its ids, as they were found last, for as long as none of the folder's rows comes or
//! goes: so a listing of many entries that were listed before looks none of them up.

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::id::ObjectId;
use protocol::vfs::ENTRIES_MAX;

use super::core::Entry;

/// A page that grows past this is split, so that adding to it stays cheap.
const PAGE_IDS_MAX: usize = 2 * ENTRIES_MAX as usize;

/// Ids of one folder at one version.
#[derive(Clone, Debug)]
pub(super) struct Listing {
    version: u64,
    /// By the id the page begins behind.
    pages: BTreeMap<u64, Page>,
    /// How often rows of the folder came or went.
    row_changes: u64,
}

#[derive(Clone, Debug)]
struct Page {
    /// The last id the page knows about, `u64::MAX` for the folder's end.
    until: u64,
    ids: Vec<ObjectId>,
    found: Option<Found>,
}

/// The entries of a page's ids, one for each.
#[derive(Clone, Debug)]
struct Found {
    /// `Listing::row_changes` of the time.
    row_changes: u64,
    entries: Arc<[Arc<Entry>]>,
}

/// The ids of a folder behind some id, as far as one page knows them.
#[derive(Debug)]
pub(super) struct Behind<'a> {
    /// All of the page.
    ids: &'a [ObjectId],
    found: &'a mut Option<Found>,
    row_changes: u64,
    /// How many of the page come before.
    skipped: usize,
    /// Whether no id comes behind them.
    end: bool,
}

impl Behind<'_> {
    /// The ids themselves.
    pub(super) fn ids(&self) -> &[ObjectId] {
        &self.ids[self.skipped..]
    }

    /// Whether no id comes behind them.
    pub(super) fn end(&self) -> bool {
        self.end
    }

    /// The entries of the whole page, and how many of them come before. Those found last where they are still right;
    /// else they are found anew. `None` if one of them is not to be had.
    pub(super) fn entries(
        self,
        mut find: impl FnMut(&ObjectId) -> Option<Arc<Entry>>,
    ) -> Option<(Arc<[Arc<Entry>]>, usize)> {
        if let Some(found) = self.found.as_ref().filter(|found| found.row_changes == self.row_changes) {
            return Some((Arc::clone(&found.entries), self.skipped));
        }
        *self.found = None;
        let entries: Arc<[_]> = self.ids.iter().map(&mut find).collect::<Option<Vec<_>>>()?.into();
        *self.found = Some(Found { row_changes: self.row_changes, entries: Arc::clone(&entries) });
        Some((entries, self.skipped))
    }
}

impl Listing {
    pub(super) fn new(version: u64) -> Self {
        Self { version, pages: BTreeMap::new(), row_changes: 0 }
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
        self.pages.insert(after, Page { until, ids, found: None });
    }

    /// A row of this folder came, went or was replaced: what was found of it before is not believed any more.
    pub(super) fn row_changed(&mut self) {
        self.row_changes += 1;
    }

    /// Ids behind `after`: at least one unless the folder ends there; `None` if they are not known.
    pub(super) fn behind(&mut self, after: u64) -> Option<Behind<'_>> {
        let (first, skipped) = self.place_behind(after)?;
        let row_changes = self.row_changes;
        let page = self.pages.get_mut(&first)?;
        let end = page.until == u64::MAX;
        Some(Behind { ids: &page.ids, found: &mut page.found, row_changes, skipped, end })
    }

    /// The page that knows the first id behind `after`, and how many of its ids come before that one.
    fn place_behind(&self, mut after: u64) -> Option<(u64, usize)> {
        loop {
            let (first, page) = self.pages.range(..=after).next_back()?;
            if after >= page.until && page.until != u64::MAX {
                return None;
            }
            let skipped = page.ids.partition_point(|id| id.0 <= after);
            if skipped < page.ids.len() || page.until == u64::MAX {
                return Some((*first, skipped));
            }
            after = page.until;
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
        self.row_changed();
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
                self.pages.insert(middle, Page { until, ids, found: None });
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

    /// At most `limit` ids behind `after`, and whether the folder ends with them.
    fn behind(listing: &mut Listing, after: u64, limit: usize) -> Option<(Vec<ObjectId>, bool)> {
        let behind = listing.behind(after)?;
        let ids = &behind.ids()[..behind.ids().len().min(limit)];
        Some((ids.to_vec(), behind.end() && ids.len() == behind.ids().len()))
    }

    fn listing() -> Listing {
        let mut listing = Listing::new(7);
        listing.insert(0, ids([10, 20, 30]), false);
        listing.insert(30, ids([40, 50]), true);
        listing
    }

    #[test]
    fn pages_join_where_one_ends_and_the_next_begins() {
        let mut listing = listing();
        assert_eq!(behind(&mut listing, 0, 2), Some((ids([10, 20]), false)));
        assert_eq!(behind(&mut listing, 20, 9), Some((ids([30]), false)));
        assert_eq!(behind(&mut listing, 30, 9), Some((ids([40, 50]), true)));
        assert_eq!(behind(&mut listing, 50, 9), Some((ids([]), true)));
    }

    #[test]
    fn a_cookie_of_a_removed_entry_continues_behind_it() {
        assert_eq!(behind(&mut listing(), 25, 9), Some((ids([30]), false)));
    }

    #[test]
    fn what_no_page_covers_is_not_known() {
        let mut listing = Listing::new(1);
        assert_eq!(behind(&mut listing, 0, 9), None);
        listing.insert(0, ids([10]), false);
        assert_eq!(behind(&mut listing, 10, 9), None);
        assert_eq!(behind(&mut listing, 11, 9), None);
    }

    #[test]
    fn a_change_at_the_right_version_is_followed() {
        let mut listing = listing();
        assert!(listing.follow(7, 8, Some(ObjectId(60)), Some(ObjectId(30))));
        assert_eq!(behind(&mut listing, 20, 9), Some((ids([40, 50, 60]), true)));
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
            let after = seen.last().map_or(0, |id: &ObjectId| id.0);
            let (page, end) = behind(&mut listing, after, 100).unwrap();
            seen.extend(page);
            if end {
                break;
            }
        }
        assert_eq!(seen, ids(1..=count));
    }
}
