//! What the log means: the staged files, as a fold over its records. Pure.
//!
//! A request is first *decided* (which records does it take, if any?) and then, once those are written, *applied*.
//! Replay applies the same records in the same order, so it comes to the same state by construction.

use std::collections::btree_map::{BTreeMap, Entry};
use std::collections::hash_map::HashMap;
use std::fs::File;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lru::LruCache;
use protocol::id::{Timestamp, Token};

use super::layer::{Layer, Touched, resolve};
use super::log::Room;
use super::record::{Change, FILE_BYTES_MAX, Record, fits};
use super::{
    Base, FileKey, JournalError, Lsn, Owed, OwedFile, Piece, Ready, StagedView, UploadSnapshot, Waiting,
};

/// How many finished files are remembered to recognise a base that is too old. The race lasts as long as one NFS call.
const FINISHED_MAX: NonZeroUsize = NonZeroUsize::new(65_536).expect("not zero");

/// Where a record's payload is.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Number of the segment.
    pub segment: u64,
    /// Its file.
    pub log: &'a Arc<File>,
    /// First byte of the payload in it.
    pub position: u64,
}

/// What somebody wants of the journal.
#[derive(Clone, Debug)]
pub enum Request {
    /// Stage bytes from an offset on.
    Write(Base, u64, Bytes),
    /// Stage a size.
    Truncate(Base, u64),
    /// Set the modification time, or only touch the change time, if staged.
    Times(Option<Timestamp>),
    /// Take over the row's version, if staged.
    Version(u64),
    /// Fix the contents for an upload.
    Seal(Token),
    /// The upload is in the row.
    Finish(Token, Base),
    /// Other base contents.
    Rebase(Base),
    /// Forget the file.
    Drop,
    /// Begin to carry what is staged forward, under a token of no upload.
    BeginCarry(Token),
    /// Carry bytes forward, which what was staged before has from an offset on.
    Carry(Token, u64, Bytes),
    /// All was carried forward.
    EndCarry(Token),
}

impl Request {
    /// Bytes of payload.
    pub fn len(&self) -> usize {
        if let Self::Write(_, _, data) | Self::Carry(_, _, data) = self { data.len() } else { 0 }
    }

    /// Whether it fills the journal; the others lead to its being emptied.
    pub fn takes_space(&self) -> bool {
        matches!(self, Self::Write(..) | Self::Truncate(..) | Self::Times(_))
    }

    /// Which room in the log it has.
    pub fn room(&self) -> Room {
        match self {
            Self::Carry(..) => Room::Carrying,
            _ if self.takes_space() => Room::Staging,
            _ => Room::Freeing,
        }
    }
}

/// A layer that is being uploaded.
#[derive(Clone, Debug)]
struct Sealed {
    token: Token,
    /// The record that sealed it.
    lsn: Lsn,
    layer: Arc<Layer>,
}

#[derive(Debug)]
struct StagedFile {
    base: Base,
    sealed: Option<Sealed>,
    open: Layer,
    /// Change time as clients see it; strictly growing, whatever the clock does.
    changed: Timestamp,
    lsn: Lsn,
    /// Records up to this are at the center.
    uploaded: Lsn,
    /// Replay met the file without its `Begin`: that segment was reclaimed, and a `Finish` follows, or it is lost.
    headless: bool,
}

/// The staged files. See the module.
#[derive(Debug)]
pub struct State {
    files: HashMap<FileKey, StagedFile>,
    extents: usize,
    /// How many files need which segment, and all behind it, for their replay.
    pins: BTreeMap<u64, usize>,
    /// The lowest row version that may be staged again, of files lately unstaged.
    finished: LruCache<FileKey, u64>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            files: HashMap::new(),
            extents: 0,
            pins: BTreeMap::new(),
            finished: LruCache::new(FINISHED_MAX),
        }
    }
}

impl State {
    /// Number of staged files.
    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// Number of extents in all.
    pub fn extents(&self) -> usize {
        self.extents
    }

    /// The oldest segment any staged file needs for its replay.
    pub fn first_segment(&self) -> Option<u64> {
        self.pins.keys().next().copied()
    }

    /// The records that a request takes, in order, each with its time; none if it has nothing to do.
    ///
    /// # Errors
    /// `StaleBase`, `TooLarge`.
    pub fn decide<'a>(
        &self,
        file: FileKey,
        request: &'a Request,
        now: Timestamp,
    ) -> Result<Vec<(Timestamp, Change<'a>)>, JournalError> {
        let staged = self.files.get(&file);
        let changes = match *request {
            Request::Write(_, offset, ref data) if !fits(offset, data.len()) => {
                return Err(JournalError::TooLarge);
            }
            Request::Truncate(_, size) if size > FILE_BYTES_MAX => return Err(JournalError::TooLarge),
            Request::Write(base, offset, ref data) => {
                self.staging(file, base, Change::Write { offset, data })?
            }
            Request::Truncate(base, size) => self.staging(file, base, Change::Truncate(size))?,
            Request::Times(modified) => {
                let view = staged.and_then(StagedFile::view);
                view.map(|view| Change::Times(modified.unwrap_or(view.modified))).into_iter().collect()
            }
            Request::Version(version) => {
                let newer = staged.filter(|staged| staged.base.version < version);
                newer.map(|_| Change::Version(version)).into_iter().collect()
            }
            Request::Seal(token) => {
                let unsealed = staged.filter(|staged| staged.sealed.is_none());
                unsealed.map(|_| Change::Seal(token)).into_iter().collect()
            }
            Request::Finish(token, base) => {
                let begun = staged.and_then(|staged| staged.sealed.as_ref()).filter(|s| s.token == token);
                begun.map(|_| Change::Finish(token, base)).into_iter().collect()
            }
            Request::Rebase(base) => {
                // An older row was read before an upload ended: what that put into the row is in no segment any more.
                let not_older = staged.filter(|staged| staged.base.version <= base.version);
                not_older.map(|_| Change::Rebase(base)).into_iter().collect()
            }
            Request::Drop => staged.map(|_| Change::Drop).into_iter().collect(),
            Request::BeginCarry(token) => {
                return Ok(staged.map_or_else(Vec::new, |staged| staged.begin_carry(token)));
            }
            Request::Carry(token, offset, ref data) => {
                return Ok(staged.map_or_else(Vec::new, |staged| staged.carry(token, offset, data)));
            }
            Request::EndCarry(token) => {
                return Ok(staged.map_or_else(Vec::new, |staged| staged.end_carry(token)));
            }
        };
        Ok(changes.into_iter().map(|change| (now, change)).collect())
    }

    fn staging<'a>(
        &self,
        file: FileKey,
        base: Base,
        change: Change<'a>,
    ) -> Result<Vec<Change<'a>>, JournalError> {
        if self.files.contains_key(&file) {
            return Ok(vec![change]);
        }
        if self.finished.peek(&file).is_some_and(|&version| base.version < version) {
            return Err(JournalError::StaleBase);
        }
        Ok(vec![Change::Begin(base), change])
    }

    /// Takes in a record that stands in the log at `place`.
    pub fn apply(&mut self, record: &Record<'_>, place: Place<'_>) {
        let before = self.remove(record.file);
        let mut staged = match (&record.change, before) {
            (Change::Begin(base), _) => StagedFile::new(*base, place.segment, false),
            (Change::Finish(..) | Change::Rebase(_) | Change::Drop, None) => return,
            (_, None) => StagedFile::new(NO_BASE, place.segment, true),
            (_, Some(staged)) => staged,
        };
        staged.lsn = record.lsn;
        staged.apply(record, place);
        let done = matches!(record.change, Change::Finish(..)) && !staged.is_touched();
        if done || record.change == Change::Drop {
            // A row read before the file went may still be about: only a newer one proves that it is there.
            let version = staged.base.version.saturating_add(u64::from(!done));
            self.finished.put(record.file, version);
        } else {
            self.insert(record.file, staged);
        }
    }

    fn insert(&mut self, file: FileKey, staged: StagedFile) {
        self.extents += staged.extents();
        *self.pins.entry(staged.first_segment()).or_default() += 1;
        self.files.insert(file, staged);
    }

    fn remove(&mut self, file: FileKey) -> Option<StagedFile> {
        let staged = self.files.remove(&file)?;
        self.extents -= staged.extents();
        if let Entry::Occupied(mut pin) = self.pins.entry(staged.first_segment()) {
            *pin.get_mut() -= 1;
            if *pin.get() == 0 {
                pin.remove();
            }
        }
        Some(staged)
    }

    /// Ends a replay: forgets the files of which no change was replayed, and those that are not whole, which it
    /// returns.
    pub fn settle(&mut self) -> Vec<FileKey> {
        // Damage may have lost all that was sealed. An upload of nothing could neither begin nor end.
        let is_of_nothing =
            |staged: &StagedFile| staged.sealed_layer().is_some_and(|layer| layer.touched.is_none());
        let unsealed: Vec<_> =
            self.files.iter().filter(|(_, staged)| is_of_nothing(staged)).map(|(&file, _)| file).collect();
        for file in unsealed {
            if let Some(staged) = self.remove(file) {
                self.insert(file, StagedFile { sealed: None, ..staged });
            }
        }
        let given_up = |staged: &StagedFile| staged.headless || !staged.is_touched();
        let files: Vec<_> =
            self.files.iter().filter(|(_, staged)| given_up(staged)).map(|(&file, _)| file).collect();
        files.into_iter().filter(|&file| self.remove(file).is_some_and(|staged| staged.headless)).collect()
    }

    /// The file as staged.
    pub fn view(&self, file: FileKey) -> Option<StagedView> {
        self.files.get(&file).and_then(StagedFile::view)
    }

    /// The view and where its bytes are.
    pub fn read(&self, file: FileKey, offset: u64, len: u64) -> Option<(StagedView, Vec<Piece>)> {
        let staged = self.files.get(&file)?;
        let view = staged.view()?;
        let mut pieces = Vec::new();
        let to = offset.saturating_add(len).min(view.size);
        if offset < to {
            let layers: Vec<_> = std::iter::once(&staged.open).chain(staged.sealed_layer()).collect();
            resolve(&layers, staged.base.content.size, offset, to, &mut pieces);
        }
        Some((view, pieces))
    }

    /// The oldest segment that the file needs for its replay.
    pub fn first_segment_of(&self, file: FileKey) -> Option<u64> {
        self.files.get(&file).map(StagedFile::first_segment)
    }

    /// How many bytes carrying the file forward takes, and how many extents.
    pub fn load_of(&self, file: FileKey) -> Option<(u64, usize)> {
        let staged = self.files.get(&file)?;
        let below = staged.sealed_layer().cloned();
        let all = below.map_or_else(|| staged.open.clone(), |below| staged.open.clone().merge_over(below));
        let contents = staged.base.content.size;
        let size = all.size_over(contents);
        let bytes = |(offset, piece): (u64, Piece)| piece.length().min(size.saturating_sub(offset));
        Some((all.own(contents).into_iter().map(bytes).sum(), all.extents()))
    }

    /// What the center does not have yet. Goes through all extents.
    pub fn owed(&self) -> Owed {
        let touched = self.files.values().filter(|staged| staged.is_touched());
        touched.fold(Owed::default(), |owed, staged| {
            let layers = || [Some(&staged.open), staged.sealed_layer()].into_iter().flatten();
            let first = layers().filter_map(|layer| Some(layer.touched?.first)).min();
            Owed {
                files: owed.files + 1,
                uploading: owed.uploading + u64::from(staged.sealed.is_some()),
                bytes: owed.bytes + layers().map(Layer::bytes).sum::<u64>(),
                oldest: [owed.oldest, first].into_iter().flatten().min(),
            }
        })
    }

    /// Each file of [`owed`](Self::owed), that with the oldest write first.
    pub fn owed_files(&self) -> Vec<OwedFile> {
        let touched = self.files.iter().filter(|(_, staged)| staged.is_touched());
        let mut files: Vec<OwedFile> = touched
            .filter_map(|(&file, staged)| {
                let layers = || [Some(&staged.open), staged.sealed_layer()].into_iter().flatten();
                let touched = || layers().filter_map(|layer| layer.touched);
                Some(OwedFile {
                    file,
                    bytes: layers().map(Layer::bytes).sum(),
                    is_begun: staged.sealed.is_some(),
                    first: touched().map(|touched| touched.first).min()?,
                    last: touched().map(|touched| touched.last).max()?,
                })
            })
            .collect();
        files.sort_unstable_by_key(|owed| (owed.first, owed.file));
        files
    }

    /// Files to upload now, of those `wanted`; those that hold up the oldest segment first.
    pub fn candidates(
        &self,
        now: Timestamp,
        ready: Ready,
        mut wanted: impl FnMut(&Waiting) -> bool,
    ) -> Vec<FileKey> {
        let is_ready = |waiting: &Waiting| {
            waiting.is_begun || waiting.quiet >= ready.quiet || waiting.dirty >= ready.age_max
        };
        let mut found: Vec<_> = self
            .files
            .iter()
            .filter_map(|(&file, staged)| {
                Some((staged.first_segment(), staged.lsn, staged.waiting(file, now)?))
            })
            .filter(|(_, _, waiting)| is_ready(waiting))
            .collect();
        found.sort_unstable_by_key(|(segment, lsn, waiting)| (*segment, *lsn, waiting.file));
        found
            .into_iter()
            .filter(|(_, _, waiting)| wanted(waiting))
            .map(|(_, _, waiting)| waiting.file)
            .take(ready.limit)
            .collect()
    }

    /// The upload begun for a file.
    pub fn upload(&self, file: FileKey) -> Option<UploadSnapshot> {
        let staged = self.files.get(&file)?;
        let Sealed { token, layer, .. } = staged.sealed.clone()?;
        let touched = layer.touched?;
        Some(UploadSnapshot {
            file,
            token,
            base: staged.base,
            size: layer.size_over(staged.base.content.size),
            modified: touched.modified,
            changed: touched.changed,
            layer,
        })
    }
}

/// Most records of one [`Request::Carry`]: repeated, it goes on.
const PARTS_MAX: usize = 16;

/// Stands in until a `Finish` tells.
const NO_BASE: Base = Base { content: protocol::digest::Content::EMPTY, version: 0 };

impl StagedFile {
    fn new(base: Base, segment: u64, headless: bool) -> Self {
        let open = Layer::new(segment);
        Self {
            base,
            sealed: None,
            open,
            changed: Timestamp(i64::MIN),
            lsn: Lsn(0),
            uploaded: Lsn(0),
            headless,
        }
    }

    fn apply(&mut self, record: &Record<'_>, place: Place<'_>) {
        match record.change {
            Change::Begin(_) | Change::Drop => {}
            Change::Write { offset, data } => {
                self.open.write(offset, data.len() as u64, Arc::clone(place.log), place.position);
                self.touch(record.time, record.time);
            }
            Change::Truncate(size) => {
                self.open.truncate(size);
                self.touch(record.time, record.time);
            }
            Change::Times(modified) => self.touch(record.time, modified),
            Change::Version(version) => self.base.version = version,
            Change::Seal(token) => {
                let layer = std::mem::replace(&mut self.open, Layer::new(place.segment));
                self.sealed = Some(Sealed { token, lsn: record.lsn, layer: Arc::new(layer) });
            }
            Change::Finish(token, base) => {
                if let Some(sealed) = self.sealed.take_if(|sealed| sealed.token == token) {
                    // What was carried forward stands on what it stood on before: the center has none of it.
                    if self.base != base {
                        self.uploaded = sealed.lsn;
                    }
                    self.base = base;
                    self.headless = false;
                }
            }
            Change::Rebase(base) => {
                if let Some(sealed) = self.sealed.take() {
                    let open = std::mem::take(&mut self.open);
                    self.open = open.merge_over(Arc::unwrap_or_clone(sealed.layer));
                }
                self.base = base;
            }
        }
    }

    fn touch(&mut self, now: Timestamp, modified: Timestamp) {
        self.changed = now.max(Timestamp(self.changed.0.saturating_add(1)));
        let first = self.open.touched.map_or(now, |touched| touched.first);
        self.open.touched = Some(Touched { first, last: now, modified, changed: self.changed });
    }

    /// The records that begin to carry it forward. Whatever of these three the log ends with, the file is the same.
    ///
    /// What is staged is sealed as for an upload, and copied into the open layer but for what is newer there; once that
    /// hides all of it, the sealed layer goes, and with it the need for the segments before. The records have the times of
    /// what they carry, for who looks at the file is to see no other.
    fn begin_carry(&self, token: Token) -> Vec<(Timestamp, Change<'static>)> {
        let first = self.sealed_layer().and_then(|layer| layer.touched).or(self.open.touched);
        let (Some(first), Some(view)) = (first.map(|touched| touched.first), self.view()) else {
            return Vec::new();
        };
        let unsealed = self.sealed.is_some().then_some(Change::Rebase(self.base));
        let changes = [Change::Seal(token), Change::Times(view.modified)];
        unsealed.into_iter().chain(changes).map(|change| (first, change)).collect()
    }

    fn carry<'a>(&self, token: Token, offset: u64, data: &'a [u8]) -> Vec<(Timestamp, Change<'a>)> {
        let Some(view) = self.view().filter(|_| self.carried(token).is_some()) else { return Vec::new() };
        let to = (offset + data.len() as u64).min(view.size);
        let bare = self.open.bare(offset, to, PARTS_MAX);
        let parts = bare.into_iter().map(|part| {
            let within = (part.start - offset) as usize..(part.end - offset) as usize;
            (view.modified, Change::Write { offset: part.start, data: &data[within] })
        });
        parts.collect()
    }

    /// Nothing if something is yet to be carried.
    fn end_carry(&self, token: Token) -> Vec<(Timestamp, Change<'static>)> {
        let (Some(layer), Some(view)) = (self.carried(token), self.view()) else { return Vec::new() };
        let below = self.base.content.size;
        let is_hidden = |(offset, piece): (u64, Piece)| {
            self.open.bare(offset, (offset + piece.length()).min(view.size), 1).is_empty()
        };
        if !layer.own(below).into_iter().all(is_hidden) {
            return Vec::new();
        }
        let size =
            (self.open.size_over(below) != view.size).then_some((view.modified, Change::Truncate(view.size)));
        // A replay from here on is to come to no earlier change than was seen.
        let changed = Timestamp(self.changed.0.saturating_add(2));
        let changes = [Change::Times(view.modified), Change::Finish(token, self.base)];
        size.into_iter().chain(changes.map(|change| (changed, change))).collect()
    }

    /// What is being carried forward under a token.
    fn carried(&self, token: Token) -> Option<&Layer> {
        self.sealed.as_ref().filter(|sealed| sealed.token == token).map(|sealed| &*sealed.layer)
    }

    fn is_touched(&self) -> bool {
        self.open.touched.is_some() || self.sealed.is_some()
    }

    /// What is being uploaded, if anything is.
    fn sealed_layer(&self) -> Option<&Layer> {
        self.sealed.as_ref().map(|sealed| &*sealed.layer)
    }

    fn extents(&self) -> usize {
        self.open.extents() + self.sealed_layer().map_or(0, Layer::extents)
    }

    fn waiting(&self, file: FileKey, now: Timestamp) -> Option<Waiting> {
        let is_begun = self.sealed.is_some();
        let (quiet, dirty) = match self.open.touched {
            Some(touched) => (since(touched.last, now), since(touched.first, now)),
            None if is_begun => (Duration::ZERO, Duration::ZERO),
            None => return None,
        };
        let size = if is_begun { self.sealed_size() } else { self.open.size_over(self.sealed_size()) };
        Some(Waiting { file, is_begun, size, quiet, dirty })
    }

    fn first_segment(&self) -> u64 {
        self.sealed_layer().unwrap_or(&self.open).first_segment
    }

    /// The size without the changes behind an upload.
    fn sealed_size(&self) -> u64 {
        let base = self.base.content.size;
        self.sealed_layer().map_or(base, |layer| layer.size_over(base))
    }

    fn view(&self) -> Option<StagedView> {
        let touched = self.open.touched.or_else(|| self.sealed_layer()?.touched)?;
        let size = self.open.size_over(self.sealed_size());
        Some(StagedView {
            base: self.base,
            size,
            modified: touched.modified,
            changed: touched.changed,
            lsn: self.lsn,
            uploaded: self.uploaded,
            is_uploading: self.sealed.is_some(),
            is_written_since: self.sealed.is_some() && self.open.touched.is_some(),
        })
    }
}

/// The time between. A clock that stepped back must not keep files from being uploaded: both ways count.
fn since(then: Timestamp, now: Timestamp) -> Duration {
    Duration::from_nanos(now.0.abs_diff(then.0))
}
