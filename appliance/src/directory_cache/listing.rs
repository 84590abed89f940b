//! The known parts of one folder's listing: which ids it holds, page by page, in order of id.
//!
//! Pure. A page covers a half-open range of ids; ids outside all pages are not known, ids inside a page but not in its
//! list do not exist. Everything here was true at one version of the folder.
//!
//! Pages never overlap: what is added or removed is so in the one page that knows its id.
//!
//! A page that is listed twice while none of the folder's rows comes or goes keeps the entries of its ids: so a listing
//! of many entries that were listed before looks none of them up.

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
    /// Whether a page keeps entries.
    has_found: bool,
}

#[derive(Clone, Debug)]
struct Page {
    /// The last id the page knows about, `u64::MAX` for the folder's end.
    until: u64,
    ids: Vec<ObjectId>,
    /// Their entries, one for each.
    found: Option<Arc<[Arc<Entry>]>>,
    /// `Listing::row_changes` when entries were wanted last and not kept.
    missed: Option<u64>,
}

impl Page {
    fn new(until: u64, ids: Vec<ObjectId>) -> Self {
        Self { until, ids, found: None, missed: None }
    }

    /// Cuts off what it knows behind the id `until`.
    fn split_off(&mut self, until: u64) -> Self {
        let ids = self.ids.split_off(self.ids.partition_point(|id| id.0 <= until));
        (self.found, self.missed) = (None, None);
        Self::new(std::mem::replace(&mut self.until, until), ids)
    }
}

/// The ids of a folder behind some id, as far as one page knows them.
#[derive(Debug)]
pub(super) struct Behind<'a> {
    page: &'a mut Page,
    row_changes: u64,
    has_found: &'a mut bool,
    /// How many of the page come before.
    skipped: usize,
}

impl Behind<'_> {
    /// The ids themselves.
    pub(super) fn ids(&self) -> &[ObjectId] {
        &self.page.ids[self.skipped..]
    }

    /// Whether no id comes behind them.
    pub(super) fn end(&self) -> bool {
        self.page.until == u64::MAX
    }

    /// The entries of the whole page, and how many of them come before. `None` if they are not kept, or one of them is
    /// not to be had. They are found all together when they are wanted a second time with no row changed between: where
    /// rows change all the time, nobody looks up a whole page for the few that he wants.
    pub(super) fn entries(
        &mut self,
        find: impl FnMut(&ObjectId) -> Option<Arc<Entry>>,
    ) -> Option<(Arc<[Arc<Entry>]>, usize)> {
        let Page { ids, found, missed, .. } = &mut *self.page;
        if found.is_none() {
            if missed.replace(self.row_changes) != Some(self.row_changes) {
                return None;
            }
            *found = Some(ids.iter().map(find).collect::<Option<Vec<_>>>()?.into());
            *self.has_found = true;
        }
        Some((Arc::clone(found.as_ref()?), self.skipped))
    }
}

impl Listing {
    pub(super) fn new(version: u64) -> Self {
        Self { version, pages: BTreeMap::new(), row_changes: 0, has_found: false }
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Number of ids held.
    pub(super) fn len(&self) -> usize {
        self.pages.values().map(|page| page.ids.len()).sum()
    }

    /// Takes what the VFS answered for the entries behind `after`, in place of what pages knew of the same range.
    pub(super) fn insert(&mut self, after: u64, ids: Vec<ObjectId>, end: bool) {
        let until = match ids.last() {
            _ if end => u64::MAX,
            Some(last) if last.0 > after => last.0,
            _ => return,
        };
        self.cut_at(after);
        self.cut_at(until);
        while let Some((&first, _)) = self.pages.range(after..until).next() {
            self.pages.remove(&first);
        }
        self.pages.insert(after, Page::new(until, ids));
    }

    /// Makes two of the page that knows ids on both sides of `at`.
    fn cut_at(&mut self, at: u64) {
        if let Some((_, page)) = self.pages.range_mut(..at).next_back()
            && page.until > at
        {
            let rest = page.split_off(at);
            self.pages.insert(at, rest);
        }
    }

    /// A row of this folder came, went or was replaced: what was found before is not believed any more.
    pub(super) fn row_changed(&mut self) {
        self.row_changes += 1;
        if std::mem::take(&mut self.has_found) {
            self.pages.values_mut().for_each(|page| page.found = None);
        }
    }

    /// Ids behind `after`: at least one unless the folder ends there; `None` if they are not known.
    pub(super) fn behind(&mut self, after: u64) -> Option<Behind<'_>> {
        let (first, skipped) = self.place_behind(after)?;
        let page = self.pages.get_mut(&first)?;
        Some(Behind { page, row_changes: self.row_changes, has_found: &mut self.has_found, skipped })
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
                let middle = page.ids[PAGE_IDS_MAX / 2].0;
                self.cut_at(middle);
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
    use crate::testing::rows::file;

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
    fn a_page_takes_the_place_of_what_others_knew_of_its_range() {
        let mut listing = listing();
        listing.insert(15, ids([20, 30, 40]), false);
        let pages: Vec<_> = listing.pages().map(|(after, ids, end)| (after, ids.to_vec(), end)).collect();
        assert_eq!(
            pages,
            [(0, ids([10]), false), (15, ids([20, 30, 40]), false), (40, ids([50]), true)],
            "cut where it begins and where it ends"
        );
        assert!(listing.follow(7, 8, Some(ObjectId(25)), Some(ObjectId(30))));
        for (after, behind_it) in [(0, ids([10])), (10, ids([20, 25, 40])), (20, ids([25, 40]))] {
            assert_eq!(behind(&mut listing, after, 9), Some((behind_it, false)), "behind {after}");
        }
        listing.insert(0, ids([10, 20, 25, 40, 50]), true);
        assert_eq!((listing.pages.len(), listing.len()), (1, 5));
    }

    /// Each step of a listing under change looks up what it wants and no more; what is kept goes with the first change.
    #[test]
    fn entries_are_kept_from_the_second_time_on_that_no_row_changed() {
        let mut listing = listing();
        let lookups = |listing: &mut Listing| {
            let mut lookups = 0;
            let entries = listing.behind(0).unwrap().entries(|id| {
                lookups += 1;
                Some(Arc::new(Entry::new(file(id.0, 1, 1))))
            });
            (entries.is_some(), lookups)
        };
        for _ in 0..3 {
            listing.row_changed();
            assert_eq!(lookups(&mut listing), (false, 0));
        }
        assert_eq!(lookups(&mut listing), (true, 3));
        assert_eq!(lookups(&mut listing), (true, 0));
        listing.row_changed();
        assert!(listing.pages.values().all(|page| page.found.is_none()), "nothing old is held on to");
        assert_eq!(lookups(&mut listing), (false, 0));
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
