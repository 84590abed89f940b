//! Rows by hand.

use protocol::digest::Content;
use protocol::id::{ObjectId, Timestamp};
use protocol::metadata::UnixMetadata;
use protocol::name::Name;
use protocol::vfs::{Body, Row};

/// A folder named `n<id>`; the root where there is no parent.
pub(crate) fn folder(id: u64, parent: Option<u64>, version: u64) -> Row {
    Row {
        id: ObjectId(id),
        parent: parent.map(ObjectId),
        name: parent.map(|_| Name::new(format!("n{id}").as_bytes()).unwrap()),
        version,
        created: Timestamp(1),
        modified: Timestamp(2),
        changed: Timestamp(version as i64),
        metadata: UnixMetadata::default_with_mode(0o755).encode(),
        body: Body::Folder { subfolders: 0 },
        srl: None,
    }
}

/// An empty file named `n<id>`.
pub(crate) fn file(id: u64, parent: u64, version: u64) -> Row {
    Row { body: Body::File { content: Content::EMPTY }, ..folder(id, Some(parent), version) }
}
