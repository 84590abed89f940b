//! A plain model of the journal, and what plays operations on both: for tests.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use protocol::digest::{Content, Digest, Fingerprint};
use protocol::id::{CustomerId, ObjectId};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::*;

pub(super) const SEGMENT_BYTES: u64 = 4 << 10;
pub(super) const FILES: std::ops::Range<u64> = 100..103;

pub(super) fn settings(dir: &Path) -> Settings {
    Settings {
        dir: dir.to_owned(),
        bytes_max: 256 * SEGMENT_BYTES,
        segment_bytes: SEGMENT_BYTES,
        extents_max: 10_000,
        files_max: 100,
    }
}

pub(super) fn open(dir: &Path) -> (Journal, Recovery) {
    // A child that another test starts has all locks of this process as well, until it is a program of its own.
    for _ in 0..500 {
        match Journal::open(settings(dir)) {
            Err(JournalError::InUse(_)) => pause(),
            opened => return opened.unwrap(),
        }
    }
    panic!("{dir:?} is in use")
}

#[allow(clippy::disallowed_methods)] // There is nothing to wait for.
fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}

pub(super) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

pub(super) fn key(file: u64) -> FileKey {
    FileKey { customer: CustomerId(7), file: ObjectId(file) }
}

/// The storage center: contents by name.
#[derive(Default)]
pub(super) struct Center(pub(super) HashMap<Fingerprint, Vec<u8>>);

impl Center {
    pub(super) fn store(&mut self, bytes: Vec<u8>, version: u64) -> Base {
        let name = (self.0.len() as u128).to_le_bytes();
        let content =
            Content { fingerprint: Fingerprint(name), size: bytes.len() as u64, digest: Digest([9; 32]) };
        self.0.insert(content.fingerprint, bytes);
        Base { content, version }
    }

    pub(super) fn bytes(&self, base: &Base, pieces: Vec<Piece>) -> Vec<u8> {
        let contents = &self.0[&base.content.fingerprint];
        let bytes = pieces.into_iter().flat_map(|piece| match piece {
            Piece::Staged { log, position, len } => {
                let mut bytes = vec![0; len as usize];
                log.read_exact_at(&mut bytes, position).unwrap();
                bytes
            }
            Piece::Base { offset, len } => contents[offset as usize..(offset + len) as usize].to_vec(),
            Piece::Zero { len } => vec![0; len as usize],
        });
        bytes.collect()
    }

    /// What a journal shows of all files.
    pub(super) fn see(&self, journal: &Journal) -> Seen {
        let seen = FILES.filter_map(|file| {
            let (view, pieces) = journal.read(key(file), 0, u64::MAX)?;
            let bytes = self.bytes(&view.base, pieces);
            assert_eq!(bytes.len() as u64, view.size);
            Some((file, (bytes, view.modified)))
        });
        seen.collect()
    }
}

/// Staged files: their bytes and modification times.
pub(super) type Seen = BTreeMap<u64, (Vec<u8>, Timestamp)>;

#[derive(Clone, Debug)]
pub(super) enum Op {
    Write(u64, usize, usize),
    Truncate(u64, usize),
    Times(u64),
    Begin(u64),
    Finish(u64),
    Rebase(u64),
    Version(u64),
    Drop(u64),
    CarryForward(u64),
    BeginCarry(u64),
    Carry(u64, usize, usize),
    EndCarry(u64),
    Sync,
    Restart,
}

pub(super) fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (FILES, 0usize..3_000, 0usize..600).prop_map(|(file, offset, len)| Op::Write(file, offset, len)),
        2 => (FILES, 0usize..4_000).prop_map(|(file, size)| Op::Truncate(file, size)),
        1 => FILES.prop_map(Op::Times),
        3 => FILES.prop_map(Op::Begin),
        3 => FILES.prop_map(Op::Finish),
        1 => FILES.prop_map(Op::Rebase),
        1 => FILES.prop_map(Op::Version),
        1 => FILES.prop_map(Op::Drop),
        1 => FILES.prop_map(Op::CarryForward),
        2 => FILES.prop_map(Op::BeginCarry),
        3 => (FILES, 0usize..3_000, 0usize..2_000).prop_map(|(file, offset, len)| Op::Carry(file, offset, len)),
        1 => FILES.prop_map(Op::EndCarry),
        2 => Just(Op::Sync),
        1 => Just(Op::Restart),
    ]
}

/// A file of the model: its row, what is staged, and the upload begun.
struct ModelFile {
    row: Base,
    staged: Option<(Vec<u8>, Timestamp)>,
    sealed: Option<Sealed>,
}

struct Sealed {
    token: Token,
    bytes: Vec<u8>,
    changed_since: bool,
    /// It is carried forward; else it is uploaded.
    is_carried: bool,
}

/// Plays operations on a journal and on the model, and remembers after each what the files look like.
pub(super) struct Player<'a> {
    dir: &'a Path,
    pub(super) runtime: Runtime,
    pub(super) journal: Journal,
    pub(super) center: Center,
    model: BTreeMap<u64, ModelFile>,
    now: Timestamp,
    /// After each operation: number of the last record, and what was staged.
    pub(super) history: Vec<(Lsn, Seen)>,
}

impl<'a> Player<'a> {
    pub(super) fn new(dir: &'a Path) -> Self {
        let mut center = Center::default();
        let file = |file| {
            let row = center.store(vec![file as u8; 700 * (file - FILES.start) as usize], 1);
            (file, ModelFile { row, staged: None, sealed: None })
        };
        let model = FILES.map(file).collect();
        let history = vec![(Lsn(0), Seen::new())];
        let (runtime, journal) = (runtime(), open(dir).0);
        Self { dir, runtime, journal, center, model, now: Timestamp(1), history }
    }

    pub(super) fn play(&mut self, op: &Op) {
        self.now.0 += 1;
        match *op {
            Op::Write(file, offset, len) => {
                let data = vec![self.now.0 as u8; len];
                let (row, now) = (self.model[&file].row, self.now);
                let write = self.journal.write(key(file), row, offset as u64, Bytes::from(data.clone()), now);
                self.runtime.block_on(write).unwrap();
                self.change(file, now, |bytes| {
                    if len > 0 {
                        bytes.resize(bytes.len().max(offset + len), 0);
                        bytes[offset..offset + len].copy_from_slice(&data);
                    }
                });
            }
            Op::Truncate(file, size) => {
                let (row, now) = (self.model[&file].row, self.now);
                self.runtime.block_on(self.journal.truncate(key(file), row, size as u64, now)).unwrap();
                self.change(file, now, |bytes| bytes.resize(size, 0));
            }
            Op::Times(file) => {
                let modified = Timestamp(-self.now.0);
                let set = self.journal.set_times(key(file), Some(modified), self.now);
                let lsn = self.runtime.block_on(set).unwrap();
                assert_eq!(lsn.is_some(), self.model[&file].staged.is_some());
                if lsn.is_some() {
                    self.change(file, modified, |_| ());
                }
            }
            Op::Begin(file) => self.begin(file),
            Op::Finish(file) => self.finish(file),
            Op::Rebase(file) => {
                // The same bytes under another name: which of a file's bytes a rebase keeps is `layer`'s matter.
                let model = self.model.get_mut(&file).unwrap();
                let bytes = self.center.0[&model.row.content.fingerprint].clone();
                model.row = self.center.store(bytes, model.row.version + 1);
                model.sealed = None;
                self.runtime.block_on(self.journal.rebase(key(file), model.row, self.now)).unwrap();
            }
            Op::Version(file) => {
                let row = &mut self.model.get_mut(&file).unwrap().row;
                row.version += 1;
                self.runtime.block_on(self.journal.set_version(key(file), row.version)).unwrap();
            }
            Op::Drop(file) => {
                self.runtime.block_on(self.journal.drop_file(key(file), self.now)).unwrap();
                let model = self.model.get_mut(&file).unwrap();
                (model.staged, model.sealed) = (None, None);
                // Somebody made it anew.
                model.row.version += 1;
            }
            Op::CarryForward(file) => {
                let carry = self.journal.carry_forward(key(file), self.token());
                let carried = self.runtime.block_on(carry).unwrap();
                let model = self.model.get_mut(&file).unwrap();
                assert_eq!(carried, model.staged.is_some());
                model.sealed = None;
            }
            Op::BeginCarry(file) => {
                let token = self.token();
                self.request(file, Request::BeginCarry(token));
                let model = self.model.get_mut(&file).unwrap();
                model.sealed = model.staged.as_ref().map(|(bytes, _)| Sealed {
                    token,
                    bytes: bytes.clone(),
                    changed_since: true,
                    is_carried: true,
                });
            }
            Op::Carry(file, from, len) => {
                let sealed = self.model[&file].sealed.as_ref().filter(|sealed| sealed.is_carried);
                if let Some(Sealed { token, bytes, .. }) = sealed {
                    let from = from.min(bytes.len());
                    let part = Bytes::copy_from_slice(&bytes[from..(from + len).min(bytes.len())]);
                    self.request(file, Request::Carry(*token, from as u64, part));
                }
            }
            Op::EndCarry(file) => {
                let sealed = self.model[&file].sealed.as_ref().filter(|sealed| sealed.is_carried);
                if let Some(Sealed { token, .. }) = sealed
                    && self.request(file, Request::EndCarry(*token)).is_some()
                {
                    self.model.get_mut(&file).unwrap().sealed = None;
                }
            }
            Op::Sync => self.runtime.block_on(self.journal.sync_all()).unwrap(),
            Op::Restart => self.restart(),
        }
        let staged = self.model.iter().filter_map(|(&file, model)| Some((file, model.staged.clone()?)));
        let expected: Seen = staged.collect();
        assert_eq!(self.center.see(&self.journal), expected, "after {op:?}");
        for (&file, model) in &self.model {
            if let Some(view) = self.journal.view(key(file)) {
                assert_eq!(view.base, model.row);
            }
        }
        let last = locked(&self.journal.inner.log).last();
        self.history.push((last, expected));
    }

    fn change(&mut self, file: u64, modified: Timestamp, change: impl FnOnce(&mut Vec<u8>)) {
        let model = self.model.get_mut(&file).unwrap();
        let row = || (self.center.0[&model.row.content.fingerprint].clone(), modified);
        let (bytes, time) = model.staged.get_or_insert_with(row);
        change(bytes);
        *time = modified;
        if let Some(sealed) = &mut model.sealed {
            sealed.changed_since = true;
        }
    }

    fn token(&self) -> Token {
        Token(u128::from(self.now.0 as u64).to_le_bytes())
    }

    fn request(&self, file: u64, request: Request) -> Option<Lsn> {
        self.runtime.block_on(self.journal.request(key(file), request, self.now)).unwrap()
    }

    fn begin(&mut self, file: u64) {
        let token = self.token();
        let begin = self.journal.begin_upload(key(file), token, self.now);
        let snapshot = self.runtime.block_on(begin).unwrap();
        let model = self.model.get_mut(&file).unwrap();
        let Some((bytes, _)) = &model.staged else {
            assert!(snapshot.is_none());
            return;
        };
        let snapshot = snapshot.unwrap();
        let new = || Sealed { token, bytes: bytes.clone(), changed_since: false, is_carried: false };
        let sealed = model.sealed.get_or_insert_with(new);
        assert_eq!((snapshot.token, snapshot.base), (sealed.token, model.row));
        assert_eq!(self.center.bytes(&snapshot.base, snapshot.pieces(0, u64::MAX)), sealed.bytes);
        assert!(!snapshot.is_base() || self.center.0[&model.row.content.fingerprint] == sealed.bytes);
    }

    fn finish(&mut self, file: u64) {
        let model = self.model.get_mut(&file).unwrap();
        let Some(sealed) = model.sealed.take() else { return };
        model.row = self.center.store(sealed.bytes, model.row.version + 1);
        let finish = self.journal.finish_upload(key(file), sealed.token, model.row, self.now);
        self.runtime.block_on(finish).unwrap();
        if !sealed.changed_since {
            model.staged = None;
        }
    }

    fn restart(&mut self) {
        let elsewhere = TempDir::new().unwrap();
        // The handle must be given up before the directory can be opened again.
        self.journal = open(elsewhere.path()).0;
        let (journal, recovery) = open(self.dir);
        assert_eq!((recovery.torn_bytes, recovery.damage), (0, Vec::new()));
        self.journal = journal;
    }
}

/// What a crash leaves: a copy of the directory.
pub(super) fn copy(from: &Path) -> TempDir {
    let to = TempDir::new().unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, to.path().join(path.file_name().unwrap())).unwrap();
    }
    to
}

/// A journal in a fresh directory, a file of 10,000 bytes of ones, and the center that has it.
pub(super) fn fixture() -> (TempDir, Runtime, Journal, Center, Base) {
    let dir = TempDir::new().unwrap();
    let journal = open(dir.path()).0;
    let mut center = Center::default();
    let row = center.store(vec![1; 10_000], 5);
    (dir, runtime(), journal, center, row)
}
