//! From a row, its metadata and what is staged over it to the attributes of a file system. Pure.

use nfs::filesystem::{Attributes, Before, FileKind, Marks, Time};
use protocol::id::Timestamp;
use protocol::vfs::{self, Body, FolderChange, Row};

use super::access::Permissions;
use crate::directory_cache::Entry;
use crate::journal::StagedView;

/// Size shown of a folder.
pub const FOLDER_BYTES: u64 = 4_096;
/// The unit in which used space is shown.
const SECTOR_BYTES: u64 = 512;
const NANOS: i64 = 1_000_000_000;

/// What an entry is.
pub fn kind(entry: &Entry) -> FileKind {
    match entry.row.body {
        Body::Folder { .. } => FileKind::Directory,
        Body::File { .. } if entry.unix.symlink.is_some() => FileKind::Symlink,
        Body::File { .. } => FileKind::Regular,
    }
}

/// Owner, group and mode of an entry.
pub fn permissions(entry: &Entry) -> Permissions {
    let unix = &entry.unix;
    Permissions { kind: kind(entry), mode: unix.mode, uid: unix.uid, gid: unix.gid }
}

/// All attributes of an entry: size and times of what is staged, where something is.
pub fn attributes(entry: &Entry, staged: Option<&StagedView>, fsid: u64) -> Attributes {
    let (row, unix) = (&entry.row, &entry.unix);
    let (links, size) = match (&row.body, &unix.symlink) {
        (Body::Folder { subfolders }, _) => (subfolders.saturating_add(2), FOLDER_BYTES),
        (_, Some(text)) => (1, text.len() as u64),
        (Body::File { content }, None) => (1, staged.map_or(content.size, |staged| staged.size)),
    };
    let kind = kind(entry);
    Attributes {
        kind,
        mode: unix.mode,
        links,
        uid: unix.uid,
        gid: unix.gid,
        size,
        used: size.next_multiple_of(SECTOR_BYTES),
        fsid,
        fileid: row.id.0,
        accessed: time(unix.accessed),
        modified: time(staged.map_or(row.modified, |staged| staged.modified)),
        changed: time(staged.map_or(row.changed, |staged| staged.changed.max(row.changed))),
        born: time(unix.born.unwrap_or(row.created)),
        marks: unix.marks.map_or(Marks::usual(kind), Marks::new),
    }
}

/// A folder just before a change of its entries.
pub fn folder_before(change: &FolderChange) -> Before {
    before(FOLDER_BYTES, &change.before)
}

/// An object just before a change.
pub fn before(size: u64, before: &vfs::Before) -> Before {
    Before { size, modified: time(before.modified), changed: time(before.changed) }
}

/// When a write that comes `now` changed the object: its change time grows with every change (RFC 1813 §2.5), also
/// where the center's clock is ahead of ours.
pub fn next_change(now: Timestamp, row: &Row, staged: Option<&StagedView>) -> Timestamp {
    let last = staged.map_or(row.changed, |staged| staged.changed.max(row.changed));
    now.max(Timestamp(last.0.saturating_add(1)))
}

/// Nanoseconds as seconds and nanoseconds.
pub fn time(timestamp: Timestamp) -> Time {
    Time { seconds: timestamp.0.div_euclid(NANOS), nanos: timestamp.0.rem_euclid(NANOS) as u32 }
}

/// Seconds and nanoseconds as nanoseconds; the farthest there is for what lies beyond.
pub fn timestamp(time: Time) -> Timestamp {
    Timestamp(time.seconds.saturating_mul(NANOS).saturating_add(i64::from(time.nanos)))
}

#[cfg(test)]
mod tests {
    use protocol::digest::Content;
    use protocol::metadata::UnixMetadata;

    use super::*;
    use crate::journal::{Base, Lsn};
    use crate::testing::rows::{file, folder};

    fn staged(size: u64, modified: i64, changed: i64) -> StagedView {
        StagedView {
            base: Base { content: Content::EMPTY, version: 1 },
            size,
            modified: Timestamp(modified),
            changed: Timestamp(changed),
            lsn: Lsn(1),
            uploaded: Lsn(0),
            is_uploading: false,
            is_written_since: false,
        }
    }

    #[test]
    fn what_is_staged_hides_the_row() {
        let entry = Entry::new(Row { changed: Timestamp(50), ..file(101, 100, 1) });
        let shown = attributes(&entry, Some(&staged(1_000, 40, 45)), 7);
        assert_eq!((shown.size, shown.used), (1_000, 1_024));
        assert_eq!(shown.modified, time(Timestamp(40)));
        assert_eq!(shown.changed, time(Timestamp(50)), "a chmod after the last write");
        assert_eq!(attributes(&entry, Some(&staged(0, 40, 60)), 7).changed, time(Timestamp(60)));
        assert_eq!(attributes(&entry, None, 7).size, 0);
    }

    #[test]
    fn a_folder_has_a_link_for_each_subfolder() {
        let entry = Entry::new(Row { body: Body::Folder { subfolders: 3 }, ..folder(100, None, 1) });
        let shown = attributes(&entry, None, 7);
        assert_eq!((shown.kind, shown.links, shown.size), (FileKind::Directory, 5, FOLDER_BYTES));
    }

    #[test]
    fn a_symbolic_link_is_as_long_as_its_text() {
        let unix = UnixMetadata { symlink: Some(b"../x".to_vec()), ..UnixMetadata::default_with_mode(0o777) };
        let entry = Entry::new(Row { metadata: unix.encode(), ..file(101, 100, 1) });
        let shown = attributes(&entry, None, 7);
        assert_eq!((shown.kind, shown.size), (FileKind::Symlink, 4));
    }

    #[test]
    fn the_change_time_grows_even_if_the_clock_does_not() {
        let row = Row { changed: Timestamp(100), ..file(101, 100, 1) };
        assert_eq!(next_change(Timestamp(90), &row, None), Timestamp(101));
        assert_eq!(next_change(Timestamp(200), &row, None), Timestamp(200));
        assert_eq!(next_change(Timestamp(90), &row, Some(&staged(0, 0, 300))), Timestamp(301));
    }

    #[test]
    fn times_before_the_epoch_keep_their_order() {
        assert_eq!(time(Timestamp(-1)), Time { seconds: -1, nanos: 999_999_999 });
        assert_eq!(timestamp(time(Timestamp(-1))), Timestamp(-1));
    }
}
