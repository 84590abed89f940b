//! A storage center in memory: one customer, as simple as can be, that counts its calls and can be away.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use client::Source;
use futures::TryStreamExt;
use protocol::digest::{BlockDigests, Content, Fingerprint, ObjectHasher};
use protocol::id::{FeedPosition, ObjectId, Timestamp, Token, VersionId};
use protocol::metadata::UnixMetadata;
use protocol::name::Name;
use protocol::vfs::{
    Answer, Answered, Before, Body, Change, Changed, Existing, FolderChange, Kind, Operation, Request, Row,
    Target, Upload, Usage, Version, Versioned, VfsError, VfsErrorCode, Why,
};
use tokio::sync::Notify;

use super::rows::folder;
use crate::center::{CenterError, StorageCenter};

/// The root folder's id.
pub(crate) const ROOT: ObjectId = ObjectId(100);

/// See the module.
#[derive(Default)]
pub(crate) struct FakeCenter {
    state: Mutex<State>,
    changed: Notify,
    is_away: AtomicBool,
    /// Calls to the VFS but those of the feed.
    pub(crate) calls: AtomicU64,
    /// Ranges fetched.
    pub(crate) fetches: AtomicU64,
}

struct State {
    rows: BTreeMap<ObjectId, Row>,
    next: u64,
    clock: i64,
    changes: Vec<Change>,
    replies: HashMap<Token, Result<Answered, VfsError>>,
    objects: HashMap<Fingerprint, (Content, Bytes)>,
    references: HashSet<(Fingerprint, Token)>,
    quota: Option<u64>,
    refused: HashSet<Fingerprint>,
    hanging: HashSet<Fingerprint>,
    versions: Vec<Version>,
    next_version: u64,
}

impl Default for State {
    fn default() -> Self {
        Self {
            rows: BTreeMap::from([(ROOT, Row { changed: Timestamp(1), ..folder(ROOT.0, None, 1) })]),
            next: 101,
            clock: 10,
            changes: Vec::new(),
            replies: HashMap::new(),
            objects: HashMap::new(),
            references: HashSet::new(),
            quota: None,
            refused: HashSet::new(),
            hanging: HashSet::new(),
            versions: Vec::new(),
            next_version: 1,
        }
    }
}

impl FakeCenter {
    /// Answers nothing from now on, or everything again.
    pub(crate) fn set_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    pub(crate) fn set_quota(&self, quota: Option<u64>) {
        self.state().quota = quota;
    }

    /// Takes for ever to store these bytes.
    pub(crate) fn hang(&self, bytes: &[u8]) {
        let mut hasher = ObjectHasher::new();
        hasher.update(bytes);
        self.state().hanging.insert(hasher.finish().0.fingerprint);
    }

    /// Stores no object of these bytes, as where another one of their MD5 is stored.
    pub(crate) fn refuse(&self, bytes: &[u8]) {
        let mut hasher = ObjectHasher::new();
        hasher.update(bytes);
        self.state().refused.insert(hasher.finish().0.fingerprint);
    }

    /// The time of all versions is over.
    pub(crate) fn expire_versions(&self) {
        self.state().versions.clear();
    }

    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// What a row holds.
    pub(crate) fn contents(&self, id: ObjectId) -> Option<Bytes> {
        let state = self.state();
        match state.rows.get(&id)?.body {
            Body::File { content: Content::EMPTY } => Some(Bytes::new()),
            Body::File { content } => state.objects.get(&content.fingerprint).map(|(_, bytes)| bytes.clone()),
            Body::Folder { .. } => None,
        }
    }

    /// Another port's doing.
    pub(crate) fn elsewhere(&self, operation: Operation) -> Changed {
        let answered = self.state().run(&operation).unwrap();
        self.changed.notify_waiters();
        match answered.answer {
            Answer::Changed(changed) => changed,
            other => panic!("{other:?}"),
        }
    }

    /// Another port's new folder.
    pub(crate) fn folder_elsewhere(&self, parent: ObjectId, name: &str) -> ObjectId {
        let made = self.elsewhere(Operation::CreateFolder {
            parent,
            name: Name::new(name.as_bytes()).unwrap(),
            metadata: UnixMetadata::default_with_mode(0o755).encode(),
        });
        made.row.unwrap().id
    }

    /// Another port's new file.
    pub(crate) fn file_elsewhere(&self, parent: ObjectId, name: &str, upload: Upload) -> ObjectId {
        let made = self.elsewhere(Operation::CreateFile {
            parent,
            name: Name::new(name.as_bytes()).unwrap(),
            metadata: UnixMetadata::default_with_mode(0o644).encode(),
            upload: None,
            existing: Existing::Refuse,
        });
        let id = made.row.unwrap().id;
        self.replace_elsewhere(id, upload);
        id
    }

    /// What another port wrote.
    pub(crate) fn replace_elsewhere(&self, id: ObjectId, upload: Upload) {
        self.elsewhere(Operation::Update {
            id,
            if_version: None,
            metadata: None,
            modified: None,
            changed: None,
            upload: Some(upload),
        });
    }

    /// Another port's upload.
    pub(crate) fn store_elsewhere(&self, bytes: &[u8]) -> Upload {
        let mut hasher = ObjectHasher::new();
        hasher.update(bytes);
        let (content, _) = hasher.finish();
        let token = Token([0xee; 16]);
        let mut state = self.state();
        state.objects.insert(content.fingerprint, (content, Bytes::copy_from_slice(bytes)));
        state.references.insert((content.fingerprint, token));
        Upload { content, token }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn answer_or_away(&self) -> Result<(), CenterError> {
        if self.is_away.load(Ordering::SeqCst) {
            Err(CenterError::Unavailable("away".into()))
        } else {
            Ok(())
        }
    }
}

impl StorageCenter for FakeCenter {
    async fn operate(&self, request: Request) -> Result<Answered, CenterError> {
        if let Operation::Changes { since, wait_ms } = request.operation {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            self.answer_or_away()?;
            if self.state().changes.last().is_none_or(|last| last.position <= since) {
                let _ = tokio::time::timeout(Duration::from_millis(u64::from(wait_ms)), changed).await;
            }
            self.answer_or_away()?;
            let state = self.state();
            let changes: Vec<_> =
                state.changes.iter().filter(|change| change.position > since).copied().collect();
            let position = state.position();
            return Ok(Answered { position, answer: Answer::Changes { changes, position, reset: false } });
        }
        self.answer_or_away()?;
        if request.operation != Operation::OpenRoot {
            self.calls.fetch_add(1, Ordering::SeqCst);
        }
        let mut state = self.state();
        if let Some(reply) = request.key.and_then(|key| state.replies.get(&key)) {
            return reply.clone().map_err(CenterError::Vfs);
        }
        let reply = state.run(&request.operation);
        if let Some(key) = request.key {
            state.replies.insert(key, reply.clone());
        }
        self.changed.notify_waiters();
        reply.map_err(CenterError::Vfs)
    }

    async fn fetch_range(&self, content: &Content, offset: u64, len: u64) -> Result<Bytes, CenterError> {
        self.answer_or_away()?;
        self.fetches.fetch_add(1, Ordering::SeqCst);
        let state = self.state();
        let (_, bytes) = state.objects.get(&content.fingerprint).ok_or(CenterError::NoObject)?;
        Ok(bytes.slice(offset as usize..(offset + len) as usize))
    }

    async fn fetch_digests(&self, content: &Content) -> Result<BlockDigests, CenterError> {
        self.answer_or_away()?;
        let state = self.state();
        let (_, bytes) = state.objects.get(&content.fingerprint).ok_or(CenterError::NoObject)?;
        let mut hasher = ObjectHasher::new();
        hasher.update(bytes);
        Ok(hasher.finish().1)
    }

    async fn store(&self, token: Token, content: &Content, source: Source) -> Result<(), CenterError> {
        self.answer_or_away()?;
        let is_hanging = self.state().hanging.contains(&content.fingerprint);
        if is_hanging {
            std::future::pending::<()>().await;
        }
        let parts: Vec<Bytes> = source.open().try_collect().await.unwrap();
        let bytes = Bytes::from(parts.concat());
        let mut hasher = ObjectHasher::new();
        hasher.update(&bytes);
        assert_eq!(hasher.finish().0, *content, "the bytes sent are those hashed");
        let mut state = self.state();
        if state.refused.contains(&content.fingerprint) {
            return Err(CenterError::Wrong("collision".into()));
        }
        state.objects.insert(content.fingerprint, (*content, bytes));
        state.references.insert((content.fingerprint, token));
        Ok(())
    }

    async fn release(&self, fingerprint: &Fingerprint, token: Token) -> Result<(), CenterError> {
        self.answer_or_away()?;
        self.state().give_up(*fingerprint, token);
        Ok(())
    }
}

fn refuse<T>(code: VfsErrorCode) -> Result<T, VfsError> {
    Err(VfsError { code, message: format!("{code:?}") })
}

impl State {
    fn position(&self) -> FeedPosition {
        FeedPosition(self.changes.len() as u64)
    }

    fn give_up(&mut self, fingerprint: Fingerprint, token: Token) {
        self.references.remove(&(fingerprint, token));
        if !self.references.iter().any(|(other, _)| *other == fingerprint) {
            self.objects.remove(&fingerprint);
        }
    }

    fn named(&self, parent: ObjectId, name: &Name) -> Option<ObjectId> {
        let row =
            self.rows.values().find(|row| row.parent == Some(parent) && row.name.as_ref() == Some(name));
        row.map(|row| row.id)
    }

    fn find(&self, target: &Target) -> Result<Row, VfsError> {
        let id = match target {
            Target::Id(id) => Some(*id),
            Target::Name(parent, name) => self.named(*parent, name),
        };
        match id.and_then(|id| self.rows.get(&id)) {
            Some(row) => Ok(row.clone()),
            None => refuse(VfsErrorCode::NotFound),
        }
    }

    /// All that goes is kept.
    fn keep(&mut self, row: Row, why: Why) {
        let id = VersionId(self.next_version);
        self.next_version += 1;
        self.versions.push(Version { id, why, at: Timestamp(self.clock), row });
    }

    fn note(&mut self, id: ObjectId, version: Option<u64>) {
        let position = FeedPosition(self.changes.len() as u64 + 1);
        self.changes.push(Change { position, id, version });
    }

    /// Takes a row one version on.
    fn touch(&mut self, id: ObjectId) -> FolderChange {
        self.clock += 10;
        let clock = Timestamp(self.clock);
        let subfolders =
            self.rows.values().filter(|row| row.parent == Some(id) && row.kind() == Kind::Folder);
        let subfolders = subfolders.count() as u32;
        let row = self.rows.get_mut(&id).unwrap();
        let size = match &mut row.body {
            Body::Folder { subfolders: count } => {
                *count = subfolders;
                0
            }
            Body::File { content } => content.size,
        };
        let before = Before { version: row.version, size, modified: row.modified, changed: row.changed };
        row.version += 1;
        row.modified = clock;
        row.changed = row.changed.max(clock);
        let after = row.clone();
        self.note(id, Some(after.version));
        FolderChange { before, after }
    }

    fn create(&mut self, parent: ObjectId, name: &Name, metadata: &[u8], body: Body) -> Answer {
        let id = ObjectId(self.next);
        self.next += 1;
        self.clock += 10;
        let row = Row {
            name: Some(name.clone()),
            changed: Timestamp(self.clock),
            modified: Timestamp(self.clock),
            metadata: metadata.to_vec(),
            body,
            ..folder(id.0, Some(parent.0), 1)
        };
        self.rows.insert(id, row.clone());
        self.note(id, Some(1));
        let folders = vec![self.touch(parent)];
        Answer::Changed(Changed { row: Some(row), before: None, created: true, removed: None, folders })
    }

    fn run(&mut self, operation: &Operation) -> Result<Answered, VfsError> {
        let answer = self.answer(operation)?;
        Ok(Answered { position: self.position(), answer })
    }

    fn answer(&mut self, operation: &Operation) -> Result<Answer, VfsError> {
        match operation {
            Operation::OpenRoot => Ok(Answer::Row(self.rows[&ROOT].clone())),
            Operation::Open { target, .. } => Ok(Answer::Row(self.find(target)?)),
            Operation::OpenFolder { folder, after, limit, .. } => {
                let folder = self.find(&Target::Id(*folder))?;
                let mut entries: Vec<_> = self
                    .rows
                    .values()
                    .filter(|row| row.parent == Some(folder.id) && after.is_none_or(|after| row.id > after))
                    .take(*limit as usize + 1)
                    .cloned()
                    .collect();
                let more = entries.len() > *limit as usize;
                entries.truncate(*limit as usize);
                Ok(Answer::Folder { folder, entries, more })
            }
            Operation::CreateFolder { parent, name, metadata } => match self.named(*parent, name) {
                Some(_) => refuse(VfsErrorCode::Exists),
                None => Ok(self.create(*parent, name, metadata, Body::Folder { subfolders: 0 })),
            },
            Operation::CreateFile { parent, name, metadata, existing, .. } => {
                match self.named(*parent, name).map(|id| self.rows[&id].clone()) {
                    None => Ok(self.create(*parent, name, metadata, Body::File { content: Content::EMPTY })),
                    Some(row) if *existing == Existing::Open && row.kind() == Kind::File => {
                        Ok(Answer::Changed(Changed {
                            row: Some(row),
                            before: None,
                            created: false,
                            removed: None,
                            folders: Vec::new(),
                        }))
                    }
                    Some(_) => refuse(VfsErrorCode::Exists),
                }
            }
            Operation::Move { target, parent, name, .. } => {
                let row = self.find(target)?;
                let removed = self.named(*parent, name).filter(|id| *id != row.id);
                if let Some(removed) = removed {
                    let row = self.rows.remove(&removed).unwrap();
                    self.keep(row, Why::Overwritten);
                    self.note(removed, None);
                }
                let from = row.parent.unwrap();
                let moved = self.rows.get_mut(&row.id).unwrap();
                (moved.parent, moved.name) = (Some(*parent), Some(name.clone()));
                let FolderChange { before, after } = self.touch(row.id);
                let mut folders = vec![self.touch(from)];
                if from != *parent {
                    folders.push(self.touch(*parent));
                }
                let (row, before) = (Some(after), Some(before));
                Ok(Answer::Changed(Changed { row, before, created: false, removed, folders }))
            }
            Operation::Delete { target, kind, .. } => {
                let row = self.find(target)?;
                match (kind, row.kind()) {
                    (Kind::File, Kind::Folder) => return refuse(VfsErrorCode::IsFolder),
                    (Kind::Folder, Kind::File) => return refuse(VfsErrorCode::NotFolder),
                    _ => {}
                }
                if self.rows.values().any(|child| child.parent == Some(row.id)) {
                    return refuse(VfsErrorCode::NotEmpty);
                }
                self.rows.remove(&row.id);
                self.keep(row.clone(), Why::Deleted);
                self.note(row.id, None);
                let folders = vec![self.touch(row.parent.unwrap())];
                let removed = Some(row.id);
                Ok(Answer::Changed(Changed { row: None, before: None, created: false, removed, folders }))
            }
            Operation::Update { id, if_version, metadata, modified, changed, upload } => {
                let old = self.find(&Target::Id(*id))?;
                if if_version.is_some_and(|version| version != old.version) {
                    return refuse(VfsErrorCode::VersionMismatch);
                }
                if let Some(upload) = upload {
                    let held = (upload.content.fingerprint, upload.token);
                    if upload.content != Content::EMPTY && !self.references.contains(&held) {
                        return refuse(VfsErrorCode::NoSuchObject);
                    }
                }
                if upload.is_some() && old.body != (Body::File { content: Content::EMPTY }) {
                    self.keep(old, Why::Overwritten);
                }
                let FolderChange { before, .. } = self.touch(*id);
                let row = self.rows.get_mut(id).unwrap();
                row.modified =
                    modified.unwrap_or(if upload.is_some() { row.modified } else { before.modified });
                row.changed = changed.unwrap_or(row.changed).max(Timestamp(before.changed.0 + 1));
                if let Some(metadata) = metadata {
                    row.metadata.clone_from(metadata);
                }
                if let Some(upload) = upload {
                    row.body = Body::File { content: upload.content };
                }
                let (row, before) = (Some(row.clone()), Some(before));
                let folders = Vec::new();
                Ok(Answer::Changed(Changed { row, before, created: false, removed: None, folders }))
            }
            Operation::Usage => {
                let bytes = self.rows.values().map(|row| match row.body {
                    Body::File { content } => content.size,
                    Body::Folder { .. } => 0,
                });
                Ok(Answer::Usage(Usage {
                    bytes_used: bytes.sum(),
                    files_used: self.rows.len() as u64,
                    bytes_quota: self.quota,
                    files_quota: None,
                    bytes_free: 1 << 40,
                }))
            }
            Operation::Changes { .. } => unreachable!("answered before"),
            Operation::Versions { of, after, limit } => {
                let is_of = |row: &Row| match of {
                    Versioned::Id(id) => row.id == *id,
                    Versioned::Folder(folder) => row.parent == Some(*folder),
                    Versioned::Name(folder, name) => {
                        row.parent == Some(*folder) && row.name.as_ref() == Some(name)
                    }
                };
                let is_wanted =
                    |version: &&Version| is_of(&version.row) && after.is_none_or(|after| version.id > after);
                let mut versions: Vec<_> =
                    self.versions.iter().filter(is_wanted).take(*limit as usize + 1).cloned().collect();
                let more = versions.len() > *limit as usize;
                versions.truncate(*limit as usize);
                Ok(Answer::Versions { versions, more })
            }
            Operation::Restore { .. } => unreachable!("no port asks that"),
            Operation::PortLease { .. } => unreachable!("a port's judge asks that"),
        }
    }
}
