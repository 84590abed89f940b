//! Where something is in a customer's tree. Pure.

use std::sync::Arc;

use protocol::id::ObjectId;

use super::Entry;

/// Folders above a name that are told; deeper ones are left out.
const FOLDERS_MAX: usize = 64;

/// How a climb ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// At the root.
    Root,
    /// At a folder whose row is not at hand.
    Missing(ObjectId),
    /// After as many folders as were wanted.
    TooDeep,
}

/// The folder above one; `None` for the root.
pub(super) fn above(entry: &Entry) -> Option<ObjectId> {
    entry.row.parent.filter(|_| entry.row.name.is_some())
}

/// A folder and those above it, at most `most` and without the root, the lowest first.
pub(super) fn climb(
    folder: ObjectId,
    most: usize,
    mut row: impl FnMut(ObjectId) -> Option<Arc<Entry>>,
) -> (Vec<Arc<Entry>>, End) {
    let (mut folders, mut next) = (Vec::new(), folder);
    while folders.len() < most {
        let Some(entry) = row(next) else { return (folders, End::Missing(next)) };
        let Some(parent) = above(&entry) else { return (folders, End::Root) };
        folders.push(entry);
        next = parent;
    }
    (folders, End::TooDeep)
}

/// Where a name of a folder is, from the customer's root; a folder whose row is not at hand is told by its id.
pub(super) fn path(folder: ObjectId, name: &[u8], row: impl FnMut(ObjectId) -> Option<Arc<Entry>>) -> String {
    let (folders, end) = climb(folder, FOLDERS_MAX, row);
    let top = match end {
        End::Root => Some(String::new()),
        End::Missing(id) => Some(format!("[{id}]")),
        End::TooDeep => None,
    };
    let names = folders.iter().rev().filter_map(|entry| entry.row.name.as_ref()).map(|name| name.as_bytes());
    let names = names.chain([name]).map(|name| String::from_utf8_lossy(name).into_owned());
    top.into_iter().chain(names).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use protocol::id::Timestamp;
    use protocol::name::Name;
    use protocol::vfs::{Body, Row};

    use super::*;

    /// The chain of folders 1, 2, 3 … of which the first is the root, as far as they are known.
    fn chain(known: std::ops::RangeInclusive<u64>) -> impl Fn(ObjectId) -> Option<Arc<Entry>> {
        move |id| {
            let name = (id.0 > 1).then(|| Name::new(format!("f{}", id.0).as_bytes()).unwrap());
            let parent = (id.0 > 1).then(|| ObjectId(id.0 - 1));
            let time = Timestamp(0);
            let row = || Row {
                id,
                parent,
                name,
                version: 1,
                created: time,
                modified: time,
                changed: time,
                metadata: Vec::new(),
                body: Body::Folder { subfolders: 0 },
                srl: None,
            };
            known.contains(&id.0).then(|| Arc::new(Entry::new(row())))
        }
    }

    /// A cache can show a circle for a moment, when two moves came at the same time.
    #[test]
    fn a_climb_ends_at_the_root_at_a_gap_or_at_its_bound() {
        let ids = |folder, most, known| {
            let (folders, end) = climb(ObjectId(folder), most, chain(known));
            (folders.iter().map(|entry| entry.row.id.0).collect::<Vec<_>>(), end)
        };
        assert_eq!(ids(4, 9, 1..=9), (vec![4, 3, 2], End::Root));
        assert_eq!(ids(1, 9, 1..=9), (vec![], End::Root));
        assert_eq!(ids(4, 9, 3..=9), (vec![4, 3], End::Missing(ObjectId(2))));
        assert_eq!(ids(4, 2, 1..=9), (vec![4, 3], End::TooDeep));
        let circle = |id: ObjectId| chain(1..=9)(ObjectId(if id.0 == 2 { 9 } else { id.0 }));
        assert_eq!(climb(ObjectId(4), 99, circle).1, End::TooDeep);
    }

    /// PORT-9: a name is told with its folders, as far as they are at hand, and with a bounded number of them.
    #[test]
    fn a_name_is_told_with_the_folders_that_are_known() {
        assert_eq!(path(ObjectId(1), b"a", chain(1..=9)), "/a");
        assert_eq!(path(ObjectId(3), b"a\nb", chain(1..=9)), "/f2/f3/a\nb");
        assert_eq!(path(ObjectId(3), b"a", chain(3..=9)), format!("[{}]/f3/a", ObjectId(2)));
        assert_eq!(path(ObjectId(3), b"\xff", chain(4..=9)), format!("[{}]/\u{fffd}", ObjectId(3)));
        let deep = path(ObjectId(1_000), b"a", chain(1..=1_000));
        assert_eq!((deep.split('/').count(), deep.split('/').next()), (FOLDERS_MAX + 1, Some("f937")));
    }
}
