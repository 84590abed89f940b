//! A folder's entries, page by page.

use nfs::filesystem::{Attributes, DirEntry, Filesystem, Handle, ListFrom, Listing};
use smb_server::SmbResult;

use crate::caller::{Actor, patiently};

/// Entries asked for at once.
const PAGE_ENTRIES: usize = 1_000;

/// An entry; never `.` or `..`.
#[derive(Debug)]
pub(crate) struct Entry {
    /// As the file system has it.
    pub name: Vec<u8>,
    /// Where they were asked for.
    pub attributes: Option<Attributes>,
}

/// A folder that is being read.
pub(crate) struct Pages<'f, F> {
    filesystem: &'f F,
    actor: &'f Actor,
    folder: &'f Handle,
    from: ListFrom,
    is_whole: bool,
}

impl<'f, F: Filesystem> Pages<'f, F> {
    /// From the beginning, with attributes if `objects`.
    pub fn new(filesystem: &'f F, actor: &'f Actor, folder: &'f Handle, objects: bool) -> Self {
        let from = ListFrom { cookie: 0, verifier: [0; 8], objects };
        Self { filesystem, actor, folder, from, is_whole: false }
    }

    /// The next page, perhaps an empty one; `None` at the end.
    pub async fn next(&mut self) -> SmbResult<Option<Vec<Entry>>> {
        if self.is_whole {
            return Ok(None);
        }
        let (caller, from) = (self.actor.asks(), self.from);
        let asked = patiently(|| async {
            // After a failure what was taken is worth nothing.
            let mut page = Page { from, entries: Vec::new() };
            let is_whole = self.filesystem.list(&caller, self.folder, from, &mut page).await?;
            Ok((is_whole, page))
        });
        let (is_whole, page) = asked.await?;
        // Whoever gives nothing and is not at the end would do so for ever.
        self.is_whole = is_whole || page.from.cookie == from.cookie;
        self.from = page.from;
        Ok(Some(page.entries))
    }
}

struct Page {
    from: ListFrom,
    entries: Vec<Entry>,
}

impl Listing for Page {
    fn begin(&mut self, _directory: &Attributes, verifier: [u8; 8]) {
        self.from.verifier = verifier;
    }

    fn add(&mut self, entry: DirEntry<'_>) -> bool {
        if self.entries.len() == PAGE_ENTRIES {
            return false;
        }
        self.from.cookie = entry.cookie;
        if !matches!(entry.name, b"." | b"..") {
            let attributes = entry.object.map(|(_, attributes)| attributes.clone());
            self.entries.push(Entry { name: entry.name.to_vec(), attributes });
        }
        true
    }
}
