//! Where something is in a customer's tree, for people. Pure.

use protocol::id::ObjectId;
use protocol::vfs::Row;

/// Folders above a name that are told; deeper ones are left out.
const FOLDERS_MAX: usize = 64;

/// Where a name of a folder is, from the customer's root; a folder whose row is not at hand is told by its id.
pub(super) fn path(folder: ObjectId, name: &[u8], row: impl Fn(ObjectId) -> Option<Row>) -> String {
    let mut parts = vec![String::from_utf8_lossy(name).into_owned()];
    let mut next = Some(folder);
    while let Some(id) = next.filter(|_| parts.len() <= FOLDERS_MAX) {
        match row(id) {
            Some(Row { parent, name: Some(name), .. }) => {
                parts.push(String::from_utf8_lossy(name.as_bytes()).into_owned());
                next = parent;
            }
            Some(_) => {
                parts.push(String::new());
                next = None;
            }
            None => {
                parts.push(format!("[{id}]"));
                next = None;
            }
        }
    }
    parts.reverse();
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use protocol::id::Timestamp;
    use protocol::name::Name;
    use protocol::vfs::Body;

    use super::*;

    /// The chain of folders 1, 2, 3 … of which the first is the root, as far as they are known.
    fn chain(known: std::ops::RangeInclusive<u64>) -> impl Fn(ObjectId) -> Option<Row> {
        move |id| {
            let name = (id.0 > 1).then(|| Name::new(format!("f{}", id.0).as_bytes()).unwrap());
            let parent = (id.0 > 1).then(|| ObjectId(id.0 - 1));
            let time = Timestamp(0);
            known.contains(&id.0).then(|| Row {
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
            })
        }
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
