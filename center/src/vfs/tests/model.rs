//! Random operations give the same results in the store and in a small model of it (VFS-6, VFS-12 to VFS-18), also where
//! what is deleted and overwritten is kept.
//!
//! The store is driven below its threads, in one transaction that is never committed, so that a case takes
//! milliseconds. Operations name objects by index among all that ever were, so that dead ones are tried too.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use protocol::id::{FeedPosition, VersionId};
use protocol::vfs::{Answered, Body, ENTRIES_MAX, VERSIONS_MAX, Versioned};

use super::*;
use crate::vfs::engine::{Columns, Session};
use crate::vfs::query::{self, Query};
use crate::vfs::versions;
use crate::vfs::{customer, edit, outbox, references, store};

const QUOTA_BYTES: u64 = 300;
const QUOTA_FILES: u64 = 25;
/// For how long versions are kept, where they are.
const KEEP_SECONDS: u32 = 1;

#[derive(Clone, Debug)]
enum Step {
    Mkdir {
        parent: usize,
        name: u8,
    },
    Create {
        parent: usize,
        name: u8,
        size: Option<u8>,
        existing: Existing,
    },
    Move {
        what: usize,
        kind: Option<Kind>,
        parent: usize,
        name: u8,
        replace: bool,
    },
    Delete {
        what: usize,
        kind: Kind,
        recursive: bool,
    },
    Update {
        what: usize,
        size: Option<u8>,
        stale: bool,
    },
    Restore {
        which: usize,
        parent: Option<usize>,
        name: Option<u8>,
        replace: bool,
    },
    /// Time goes by, and the housekeeping comes round.
    Wait {
        ms: u16,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kind = || prop_oneof![Just(Kind::File), Just(Kind::Folder)];
    let object = || 0_usize..40;
    // Few names, so that they collide.
    let name = || 0_u8..5;
    let size = || prop::option::of(0_u8..120);
    let existing = prop_oneof![Just(Existing::Refuse), Just(Existing::Open), Just(Existing::Replace)];
    let step = prop_oneof![
        3 => (object(), name()).prop_map(|(parent, name)| Step::Mkdir { parent, name }),
        4 => (object(), name(), size(), existing)
            .prop_map(|(parent, name, size, existing)| Step::Create { parent, name, size, existing }),
        5 => (object(), prop::option::weighted(0.2, kind()), object(), name(), any::<bool>())
            .prop_map(|(what, kind, parent, name, replace)| Step::Move { what, kind, parent, name, replace }),
        2 => (object(), kind(), any::<bool>())
            .prop_map(|(what, kind, recursive)| Step::Delete { what, kind, recursive }),
        3 => (object(), size(), prop::bool::weighted(0.1))
            .prop_map(|(what, size, stale)| Step::Update { what, size, stale }),
        3 => (any::<usize>(), prop::option::of(object()), prop::option::of(name()), any::<bool>())
            .prop_map(|(which, parent, name, replace)| Step::Restore { which, parent, name, replace }),
        1 => (0_u16..700).prop_map(|ms| Step::Wait { ms }),
    ];
    prop::collection::vec(step, 1..160)
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    parent: Option<ObjectId>,
    name: u8,
    version: u64,
    /// The file's upload number and size; `None` for a folder.
    file: Option<(u16, u64)>,
}

/// A node as it was, and when it was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
struct OldNode {
    node: Node,
    at: Timestamp,
}

impl OldNode {
    fn size(&self) -> u64 {
        self.node.file.map_or(0, |(_, size)| size)
    }
}

/// Which row a version is of, and the version it had.
type VersionKey = (ObjectId, u64);

/// What an operation did, in the model's words.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    version: Option<u64>,
    removed: Option<ObjectId>,
    folders: Vec<ObjectId>,
}

type Expected = Result<Outcome, VfsErrorCode>;

/// The tree as a map, every question answered by looking at all of it.
struct Model {
    nodes: BTreeMap<ObjectId, Node>,
    root: ObjectId,
    released: BTreeSet<u16>,
    keeps: bool,
    versions: BTreeMap<VersionKey, OldNode>,
    now: Timestamp,
}

impl Model {
    fn folder(&self, id: ObjectId) -> Result<(), VfsErrorCode> {
        match self.nodes.get(&id) {
            None => Err(VfsErrorCode::NotFound),
            Some(node) if node.file.is_some() => Err(VfsErrorCode::NotFolder),
            Some(_) => Ok(()),
        }
    }

    fn kind(&self, id: ObjectId) -> Result<Kind, VfsErrorCode> {
        let node = self.nodes.get(&id).ok_or(VfsErrorCode::NotFound)?;
        Ok(if node.file.is_some() { Kind::File } else { Kind::Folder })
    }

    fn child(&self, parent: ObjectId, name: u8) -> Option<ObjectId> {
        let mut nodes = self.nodes.iter();
        nodes.find(|(_, node)| node.parent == Some(parent) && node.name == name).map(|(id, _)| *id)
    }

    fn children(&self, parent: ObjectId) -> Vec<ObjectId> {
        let nodes = self.nodes.iter().filter(|(_, node)| node.parent == Some(parent));
        nodes.map(|(id, _)| *id).collect()
    }

    fn subfolders(&self, id: ObjectId) -> u32 {
        self.children(id).into_iter().filter(|child| self.nodes[child].file.is_none()).count() as u32
    }

    fn bytes(&self) -> u64 {
        self.nodes.values().filter_map(|node| node.file).map(|(_, size)| size).sum()
    }

    /// Counts a change of the row; its new version.
    fn touch(&mut self, id: ObjectId) -> u64 {
        let node = self.nodes.get_mut(&id).unwrap();
        node.version += 1;
        node.version
    }

    fn remove(&mut self, id: ObjectId) {
        for child in self.children(id) {
            self.remove(child);
        }
        let node = self.nodes.remove(&id).unwrap();
        self.give_up(id, node);
    }

    fn give_up(&mut self, id: ObjectId, node: Node) {
        match self.keeps {
            true => {
                let old = OldNode { node, at: self.now };
                assert_eq!(self.versions.insert((id, old.node.version), old), None);
            }
            false => self.release(node.file),
        }
    }

    fn give_up_contents(&mut self, id: ObjectId) {
        let node = self.nodes[&id].clone();
        if node.file.is_some_and(|(_, size)| size > 0) {
            self.give_up(id, node);
        }
    }

    fn release(&mut self, file: Option<(u16, u64)>) {
        self.released.extend(file.filter(|(_, size)| *size > 0).map(|(number, _)| number));
    }

    fn bytes_kept(&self) -> u64 {
        self.versions.values().map(OldNode::size).sum()
    }

    /// What the store has removed is what is too old, and of the rest the oldest that is too much.
    fn expire(&mut self, left: &BTreeSet<VersionKey>) {
        let outdated = self.now.0 - i64::from(KEEP_SECONDS) * 1_000_000_000;
        let (stay, gone): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.versions).into_iter().partition(|(key, _)| left.contains(key));
        self.versions = stay;
        let bytes = self.bytes_kept();
        let oldest = self.versions.values().map(|old| old.at).min();
        assert!(bytes <= QUOTA_BYTES && oldest.is_none_or(|oldest| oldest.0 > outdated));
        assert!(gone.values().all(|old| oldest.is_none_or(|oldest| old.at <= oldest)), "the oldest go first");
        let mut early = gone.values().filter(|old| old.at.0 > outdated).peekable();
        assert!(
            early.peek().is_none() || early.any(|old| bytes + old.size() > QUOTA_BYTES),
            "none goes that has room"
        );
        gone.into_values().for_each(|old| self.release(old.node.file));
    }

    /// The id of a new row is the store's choice.
    fn restore(
        &mut self,
        key: VersionKey,
        parent: Option<ObjectId>,
        name: Option<u8>,
        replace: bool,
        id: ObjectId,
    ) -> Expected {
        let old = self.versions.get(&key).ok_or(VfsErrorCode::NotFound)?.clone();
        let parent = parent.or(old.node.parent).unwrap();
        self.folder(parent)?;
        let name = name.unwrap_or(old.node.name);
        // A folder is the one it was.
        let version = if old.node.file.is_none() { old.node.version + 1 } else { 1 };
        let node = Node { parent: Some(parent), name, version, ..old.node };
        let done = match self.child(parent, name) {
            None => self.create(id, node)?,
            Some(_) if !replace || node.file.is_none() => return Err(VfsErrorCode::Exists),
            Some(other) if self.nodes[&other].file.is_none() => return Err(VfsErrorCode::IsFolder),
            Some(other) => {
                let updated = self.update(other, node.file, false)?;
                Outcome { folders: vec![parent], ..updated }
            }
        };
        self.versions.remove(&key);
        Ok(done)
    }

    fn create(&mut self, id: ObjectId, node: Node) -> Expected {
        let parent = node.parent.unwrap();
        let size = node.file.map_or(0, |(_, size)| size);
        if (size > 0 && self.bytes() + size > QUOTA_BYTES) || self.nodes.len() as u64 > QUOTA_FILES {
            return Err(VfsErrorCode::QuotaExceeded);
        }
        let version = Some(node.version);
        self.nodes.insert(id, node);
        self.touch(parent);
        Ok(Outcome { version, removed: None, folders: vec![parent] })
    }

    fn rename(
        &mut self,
        what: ObjectId,
        kind: Option<Kind>,
        parent: ObjectId,
        name: u8,
        replace: bool,
    ) -> Expected {
        let is = self.kind(what)?;
        let old_parent = self.nodes[&what].parent.ok_or(VfsErrorCode::Invalid)?;
        match (kind, is) {
            (Some(Kind::File), Kind::Folder) => return Err(VfsErrorCode::IsFolder),
            (Some(Kind::Folder), Kind::File) => return Err(VfsErrorCode::NotFolder),
            _ => self.folder(parent)?,
        }
        let mut above = Some(parent);
        while let Some(id) = above {
            if id == what {
                return Err(VfsErrorCode::Invalid);
            }
            above = self.nodes[&id].parent;
        }
        let other = self.child(parent, name);
        if other == Some(what) {
            let version = Some(self.nodes[&what].version);
            return Ok(Outcome { version, removed: None, folders: vec![parent] });
        }
        if let Some(other) = other {
            match (is, self.kind(other)?) {
                _ if !replace => return Err(VfsErrorCode::Exists),
                (Kind::File, Kind::Folder) => return Err(VfsErrorCode::IsFolder),
                (Kind::Folder, Kind::File) => return Err(VfsErrorCode::NotFolder),
                _ if !self.children(other).is_empty() => return Err(VfsErrorCode::NotEmpty),
                _ => self.remove(other),
            }
        }
        let node = self.nodes.get_mut(&what).unwrap();
        (node.parent, node.name) = (Some(parent), name);
        let version = Some(self.touch(what));
        let mut folders = vec![old_parent, parent];
        folders.dedup();
        for folder in &folders {
            self.touch(*folder);
        }
        Ok(Outcome { version, removed: other, folders })
    }

    fn delete(&mut self, what: ObjectId, kind: Kind, recursive: bool) -> Expected {
        match (self.kind(what)?, kind) {
            (Kind::Folder, Kind::File) => return Err(VfsErrorCode::IsFolder),
            (Kind::File, Kind::Folder) => return Err(VfsErrorCode::NotFolder),
            _ => {}
        }
        let parent = self.nodes[&what].parent.ok_or(VfsErrorCode::Invalid)?;
        if !recursive && !self.children(what).is_empty() {
            return Err(VfsErrorCode::NotEmpty);
        }
        self.remove(what);
        self.touch(parent);
        Ok(Outcome { version: None, removed: Some(what), folders: vec![parent] })
    }

    fn update(&mut self, what: ObjectId, new: Option<(u16, u64)>, stale: bool) -> Expected {
        let node = self.nodes.get(&what).ok_or(VfsErrorCode::NotFound)?.clone();
        if stale {
            return Err(VfsErrorCode::VersionMismatch);
        }
        if let Some((_, size)) = new {
            let (_, old_size) = node.file.ok_or(VfsErrorCode::IsFolder)?;
            if size > old_size && self.bytes() - old_size + size > QUOTA_BYTES {
                return Err(VfsErrorCode::QuotaExceeded);
            }
            self.give_up_contents(what);
            self.nodes.get_mut(&what).unwrap().file = new;
        }
        let version = Some(self.touch(what));
        Ok(Outcome { version, removed: None, folders: Vec::new() })
    }
}

/// The store and the model side by side.
struct Both {
    session: Box<dyn Session>,
    customer: CustomerId,
    model: Model,
    /// Every object there ever was.
    ids: Vec<ObjectId>,
    uploads: u16,
    now: Timestamp,
}

impl Both {
    /// In a transaction that is never committed.
    fn new(engine: &Engine, keeps: bool) -> Self {
        let mut session = engine.open().unwrap();
        session.begin(&[]).unwrap();
        let db = session.database();
        let quota = Quota { bytes: Some(QUOTA_BYTES), files: Some(QUOTA_FILES) };
        let new = NewCustomer { quota, ..new_customer(None, "C") };
        let customer = customer::add(db, &new, Timestamp(0)).unwrap();
        let root = Node { parent: None, name: 0, version: 1, file: None };
        Self {
            session,
            customer: customer.id,
            model: Model {
                nodes: BTreeMap::from([(customer.root, root)]),
                root: customer.root,
                released: BTreeSet::new(),
                keeps,
                versions: BTreeMap::new(),
                now: Timestamp(0),
            },
            ids: vec![customer.root],
            uploads: 0,
            now: Timestamp(0),
        }
    }

    fn id(&self, index: usize) -> ObjectId {
        self.ids[index % self.ids.len()]
    }

    /// Contents of this size under the next upload number; 0 bytes are the empty object.
    fn upload(&mut self, size: u8) -> (Upload, (u16, u64)) {
        self.uploads += 1;
        let mut bytes = [0xee; 16];
        bytes[..2].copy_from_slice(&self.uploads.to_be_bytes());
        let content = match size {
            0 => Content::EMPTY,
            size => {
                Content { fingerprint: Fingerprint(bytes), size: u64::from(size), digest: Digest([size; 32]) }
            }
        };
        (Upload { content, token: Token(bytes) }, (self.uploads, u64::from(size)))
    }

    fn later(&mut self, nanoseconds: i64) {
        self.now.0 += nanoseconds;
        self.model.now = self.now;
    }

    fn apply(&mut self, operation: Operation, upload: Option<Upload>) -> Result<Changed, VfsErrorCode> {
        let verified = upload.map(|Upload { content, token }| Verified {
            content,
            token: (content.size > 0).then_some(token),
            asked: self.now,
        });
        let request = Request { key: None, operation };
        let change = Ok(Change { request, verified });
        let store::Outcome { reply, .. } =
            store::perform(self.session.database(), self.customer, change, self.now, self.retention());
        match reply {
            Ok(Answered { answer: Answer::Changed(changed), .. }) => Ok(changed),
            Ok(other) => panic!("not a change: {other:?}"),
            Err(error) => Err(error.code),
        }
    }

    fn retention(&self) -> Retention {
        Retention(if self.model.keeps { KEEP_SECONDS } else { 0 })
    }

    /// The number of a version, which is the store's choice; of none where there is none.
    fn version_id(&self, (id, version): VersionKey) -> VersionId {
        let of = Versioned::Id(id);
        let Answer::Versions { versions, more: false } =
            self.query(Query::Versions { of, after: None, limit: VERSIONS_MAX })
        else {
            panic!("no versions")
        };
        let found = versions.iter().find(|found| found.row.version == version);
        found.map_or(VersionId(1_000_000), |found| found.id)
    }

    /// The versions in the store: of which row, in which version.
    fn versions(&self) -> BTreeSet<VersionKey> {
        let sql = "SELECT entry, version FROM version WHERE customer = ?1";
        let customer = [self.customer.0.into()];
        let read = |row: &dyn Columns| Ok((ObjectId(row.get(0)?), row.get(1)?));
        self.session.database().list(sql, &customer, read).unwrap().into_iter().collect()
    }

    fn step(&mut self, step: &Step) {
        self.later(1_000);
        let text = |number: u8| name(&format!("n{number}"));
        let (expected, found) = match *step {
            Step::Wait { ms } => {
                self.later(i64::from(ms) * 1_000_000);
                edit::expire(self.session.database(), self.customer, self.now, self.retention()).unwrap();
                let left = self.versions();
                return self.model.expire(&left);
            }
            Step::Restore { which, parent, name, replace } => {
                let all: Vec<VersionKey> = self.model.versions.keys().copied().collect();
                let key = all.get(which % all.len().max(1)).copied().unwrap_or((ObjectId(1), 1));
                let parent = parent.map(|parent| self.id(parent));
                let version = self.version_id(key);
                let found =
                    self.apply(Operation::Restore { version, parent, name: name.map(text), replace }, None);
                let made = found.as_ref().ok().filter(|changed| changed.created);
                let made = made.and_then(|changed| changed.row.as_ref()).map(|row| row.id);
                let is_folder = self.model.versions.get(&key).is_some_and(|old| old.node.file.is_none());
                let id = if is_folder { key.0 } else { made.unwrap_or(ObjectId(u64::MAX)) };
                if !is_folder {
                    assert!(id > *self.ids.last().unwrap(), "ids grow");
                    self.ids.extend(made);
                }
                (self.model.restore(key, parent, name, replace, id), found)
            }
            Step::Mkdir { parent, name } => {
                let parent = self.id(parent);
                let operation = Operation::CreateFolder { parent, name: text(name), metadata: Vec::new() };
                let found = self.apply(operation, None);
                let node = Node { parent: Some(parent), name, version: 1, file: None };
                (self.created(node, &found, Existing::Refuse), found)
            }
            Step::Create { parent, name, size, existing } => {
                let parent = self.id(parent);
                let (upload, file) = self.upload(size.unwrap_or(0));
                let upload = size.map(|_| upload);
                let operation = Operation::CreateFile {
                    parent,
                    name: text(name),
                    metadata: Vec::new(),
                    upload,
                    existing,
                };
                let found = self.apply(operation, upload);
                let node = Node { parent: Some(parent), name, version: 1, file: Some(file) };
                (self.created(node, &found, existing), found)
            }
            Step::Move { what, kind, parent, name, replace } => {
                let (what, parent) = (self.id(what), self.id(parent));
                let operation =
                    Operation::Move { target: Target::Id(what), kind, parent, name: text(name), replace };
                (self.model.rename(what, kind, parent, name, replace), self.apply(operation, None))
            }
            Step::Delete { what, kind, recursive } => {
                let what = self.id(what);
                let operation = Operation::Delete { target: Target::Id(what), kind, recursive };
                (self.model.delete(what, kind, recursive), self.apply(operation, None))
            }
            Step::Update { what, size, stale } => {
                let id = self.id(what);
                let new = size.map(|size| self.upload(size));
                let upload = new.map(|(upload, _)| upload);
                let version = self.model.nodes.get(&id).map_or(1, |node| node.version);
                let operation = Operation::Update {
                    id,
                    if_version: Some(version + u64::from(stale)),
                    metadata: None,
                    modified: None,
                    changed: None,
                    upload,
                };
                (self.model.update(id, new.map(|(_, file)| file), stale), self.apply(operation, upload))
            }
        };
        let found = found.map(|changed| Outcome {
            version: changed.row.map(|row| row.version),
            removed: changed.removed,
            folders: changed.folders.iter().map(|change| change.after.id).collect(),
        });
        assert_eq!(found, expected, "{step:?}");
    }

    /// What the model expects of a creation; the id of a new row is the store's choice, but never an old one.
    fn created(&mut self, node: Node, found: &Result<Changed, VfsErrorCode>, existing: Existing) -> Expected {
        let parent = node.parent.unwrap();
        self.model.folder(parent)?;
        if let Some(other) = self.model.child(parent, node.name) {
            return match (existing, self.model.nodes[&other].file) {
                (Existing::Refuse, _) => Err(VfsErrorCode::Exists),
                (_, None) => Err(VfsErrorCode::IsFolder),
                (Existing::Open, Some(_)) => {
                    let version = Some(self.model.nodes[&other].version);
                    Ok(Outcome { version, removed: None, folders: vec![parent] })
                }
                (Existing::Replace, Some(_)) => {
                    let updated = self.model.update(other, node.file, false)?;
                    Ok(Outcome { folders: vec![parent], ..updated })
                }
            };
        }
        let made = found.as_ref().ok().and_then(|changed| changed.row.as_ref()).map(|row| row.id);
        let id = made.unwrap_or(ObjectId(u64::MAX));
        assert!(id > *self.ids.last().unwrap(), "ids grow");
        let expected = self.model.create(id, node);
        self.ids.extend(made);
        expected
    }

    fn query(&self, query: Query) -> Answer {
        query::answer(self.session.database(), self.customer, &query).unwrap().answer
    }

    /// The whole state is the model's: rows, listings, use, feed, references.
    fn compare(&self) {
        let model = &self.model;
        for (id, node) in &model.nodes {
            let Answer::Row(row) = self.query(Query::Open { target: Target::Id(*id), srl_expires: None })
            else {
                panic!("not a row");
            };
            assert_eq!((row.parent, row.version), (node.parent, node.version));
            match (row.body, node.file) {
                (Body::File { content }, Some((_, size))) => assert_eq!(content.size, size),
                (Body::Folder { subfolders }, None) => {
                    assert_eq!(subfolders, model.subfolders(*id));
                    let listing =
                        Query::OpenFolder { folder: *id, after: None, limit: ENTRIES_MAX, srl_expires: None };
                    let Answer::Folder { entries, more: false, .. } = self.query(listing) else { panic!() };
                    let found: Vec<_> = entries.iter().map(|row| row.id).collect();
                    assert_eq!(found, model.children(*id));
                    let names: Vec<_> = entries.into_iter().map(|row| row.name.unwrap()).collect();
                    let expected = found.iter().map(|id| name(&format!("n{}", model.nodes[id].name)));
                    assert_eq!(names, expected.collect::<Vec<_>>());
                }
                (body, file) => panic!("{body:?} is not {file:?}"),
            }
        }
        let db = self.session.database();
        let rows: u64 = db.first("SELECT count(*) FROM entry", &[], |row| row.get(0)).unwrap().unwrap();
        assert_eq!(rows, model.nodes.len() as u64);

        let Answer::Usage(usage) = self.query(Query::Usage { bytes_free: 0 }) else { panic!() };
        assert_eq!((usage.bytes_used, usage.files_used), (model.bytes(), rows - 1));

        assert_eq!(self.versions(), model.versions.keys().copied().collect());
        for (key, old) in &model.versions {
            let kept = versions::find(db, self.customer, self.version_id(*key)).unwrap().unwrap();
            let file = kept.entry.content().map(|content| content.size);
            assert_eq!((kept.at, file), (old.at, old.node.file.map(|(_, size)| size)));
            assert_eq!(kept.entry.row.parent, old.node.parent);
            assert_eq!(kept.entry.row.name, Some(name(&format!("n{}", old.node.name))));
        }
        let kept = customer::find(db, self.customer).unwrap().kept;
        assert_eq!((kept.bytes, kept.versions), (model.bytes_kept(), model.versions.len() as u64));

        // Each reference is in one row, and none is lost.
        let number_of = |token: Token| u16::from_be_bytes([token.0[0], token.0[1]]);
        let held = references::page(db, self.customer, None, references::PAGE_MAX).unwrap();
        let held: Vec<u16> = held.iter().map(|held| number_of(held.token)).collect();
        let files = model.nodes.values().chain(model.versions.values().map(|old| &old.node));
        let files = files.filter_map(|node| node.file).filter(|(_, size)| *size > 0);
        let mut expected: Vec<u16> = files.map(|(number, _)| number).collect();
        expected.sort_unstable();
        assert_eq!(held, expected);

        let released: BTreeSet<u16> = outbox::due(db, self.now, usize::from(u16::MAX))
            .unwrap()
            .iter()
            .map(|release| number_of(release.token))
            .collect();
        assert_eq!(released, model.released);
        assert_eq!(self.replayed_feed(), model.nodes.iter().map(|(id, node)| (*id, node.version)).collect());
    }

    /// What a cache knows that applied every change since the beginning.
    fn replayed_feed(&self) -> BTreeMap<ObjectId, u64> {
        let mut known = BTreeMap::from([(self.model.root, 1)]);
        let mut since = FeedPosition(0);
        loop {
            let Answer::Changes { changes, position, reset: false } = self.query(Query::Changes { since })
            else {
                panic!("no changes");
            };
            for change in &changes {
                match change.version {
                    Some(version) => known.insert(change.id, version),
                    None => known.remove(&change.id),
                };
            }
            if changes.is_empty() {
                return known;
            }
            since = position;
        }
    }
}

#[test]
fn random_operations_agree_with_the_model() {
    let place = tokio::runtime::Runtime::new().unwrap().block_on(Place::new());
    place.engine.prepare().unwrap();
    let config = ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() };
    let agreed = TestRunner::new(config).run(&(steps(), any::<bool>()), |(steps, keeps)| {
        let mut both = Both::new(&place.engine, keeps);
        for step in &steps {
            both.step(step);
        }
        both.compare();
        Ok(())
    });
    agreed.unwrap();
}
