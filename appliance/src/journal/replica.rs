//! The journal as a mirror of another port's: it takes that one's records as they are, under their own numbers.
//!
//! A mirror that was away gets everything anew, into the folder `incoming`; the old journal counts until all of it is
//! there, and goes then, in one step that a start finishes if a crash interrupts it: a file `complete` in that folder says
//! that the segments in it are the journal, and from which number on. After that the records that follow are appended
//! like the port's own, which are not taken meanwhile.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;

use super::log::{AppendError, Bounds, Log};
use super::record::{HEADER_BYTES, decode};
use super::replay::Replayed;
use super::segment;
use super::state::{Place, State};
use super::{Inner, Journal, JournalError, Lsn, locked};
use crate::whole_file;

const FOLDER: &str = "incoming";
const COMPLETE: &str = "complete";

/// A journal that is being received. See the module.
#[derive(Debug)]
pub struct Incoming {
    log: Log,
    state: State,
    first_segment: u64,
}

impl Journal {
    /// Begins to receive another port's journal. Blocks on the disk.
    ///
    /// # Errors
    /// `NoSpace`, `Io`.
    pub fn receive(&self) -> Result<Incoming, JournalError> {
        let inner = &self.inner;
        let dir = inner.settings.dir.join(FOLDER);
        let io = |error| JournalError::from_io(&dir, error);
        remove_folder(&dir).and_then(|()| fs::create_dir(&dir)).map_err(io)?;
        let newest_segment = locked(&inner.log).active_segment();
        let segment_bytes = inner.settings.segment_bytes;
        let segments_max = (inner.settings.bytes_max / segment_bytes.max(1)) as usize;
        let mut nothing = Replayed { newest_segment, ..Replayed::default() };
        let log = Log::new(dir.clone(), Bounds { segment_bytes, segments_max }, &mut nothing).map_err(io)?;
        Ok(Incoming { log, state: State::default(), first_segment: newest_segment + 1 })
    }

    /// Puts what was received in the place of this journal, durably. Number of its last record. Blocks on the disk.
    ///
    /// # Errors
    /// `NoSpace`, `Io`: the old journal is still there, or the next start finishes the exchange.
    pub fn replace_with(&self, incoming: Incoming) -> Result<Lsn, JournalError> {
        let inner = &self.inner;
        let dir = &inner.settings.dir;
        let io = |error| JournalError::from_io(dir, error);
        let Incoming { log: mut next, mut state, first_segment } = incoming;
        let (last, file) = next.sync_point();
        file.sync_data().map_err(io)?;
        // Whoever sent it has told the operator of damage when it was opened there.
        state.settle();
        let mark = dir.join(FOLDER).join(COMPLETE);
        whole_file::replace(&mark, first_segment.to_string().as_bytes()).map_err(io)?;
        let mut log = locked(&inner.log);
        install(dir, first_segment).map_err(io)?;
        next.take_place_of(&mut log, dir);
        *locked(&inner.state) = state;
        inner.syncer.begin_anew(last);
        inner.appended.send_replace(last);
        Ok(last)
    }

    /// Appends whole records of the journal that this one mirrors; readable at once, durable after [`Journal::sync`].
    /// Number of the last. Blocks on the disk.
    ///
    /// # Errors
    /// Any but `InUse`; the mirror is not whole any more then.
    pub fn append_mirrored(&self, bytes: &[u8]) -> Result<Lsn, JournalError> {
        let inner = &self.inner;
        inner.syncer.check()?;
        let mut log = locked(&inner.log);
        if !inner.is_mirror.load(Ordering::Relaxed) {
            return Err(JournalError::NotAMirror);
        }
        copy(bytes, &mut log, |copied| {
            let mut state = locked(&inner.state);
            copied.apply(&mut state);
        })
        .map_err(|error| inner.append_error(error))?;
        inner.appended.send_replace(log.last());
        Ok(log.last())
    }

    /// Whether this journal takes only the records of the one that it mirrors, instead of the port's own.
    pub fn set_mirror(&self, is_mirror: bool) {
        // Under the lock, so that who appends now is done when this returns.
        let _log = locked(&self.inner.log);
        self.inner.is_mirror.store(is_mirror, Ordering::Relaxed);
    }
}

impl Incoming {
    /// Takes whole records. Blocks on the disk.
    ///
    /// # Errors
    /// `Full`, `NoSpace`, `Io`.
    pub fn append(&mut self, bytes: &[u8], journal: &Journal) -> Result<(), JournalError> {
        let state = &mut self.state;
        let copied = copy(bytes, &mut self.log, |copied| copied.apply(state));
        copied.map_err(|error| journal.inner.append_error(error))
    }
}

impl Inner {
    pub(super) fn append_error(&self, error: AppendError) -> JournalError {
        match error {
            AppendError::Full => JournalError::Full,
            AppendError::TooLarge => JournalError::TooLarge,
            AppendError::Sync(error) => self.syncer.fail(&error),
            AppendError::Write(error) => JournalError::from_io(&self.settings.dir, error),
        }
    }
}

/// Records that stand in a log now.
struct Copied<'a> {
    bytes: &'a [u8],
    place: super::log::Appended,
}

impl Copied<'_> {
    fn apply(&self, state: &mut State) {
        let mut at = 0;
        while let Some((record, length)) = self.bytes.get(at..).and_then(decode) {
            let position = self.place.position + (at + HEADER_BYTES) as u64;
            state.apply(&record, Place { segment: self.place.segment, log: &self.place.log, position });
            at += length;
        }
    }
}

/// Copies whole records into a log, as many at once as a segment takes, and shows what stands there.
fn copy(bytes: &[u8], log: &mut Log, mut show: impl FnMut(Copied<'_>)) -> Result<(), AppendError> {
    let mut left = bytes;
    while !left.is_empty() {
        let (mut end, mut last) = (0, log.last());
        while let Some((record, length)) =
            left.get(end..).and_then(decode).filter(|(record, _)| record.lsn > last)
        {
            // A record that does not fit begins the next segment.
            if end > 0 && !log.fits((end + length) as u64) {
                break;
            }
            (end, last) = (end + length, record.lsn);
            if !log.fits(end as u64) {
                break;
            }
        }
        let run = left.get(..end).filter(|run| !run.is_empty()).ok_or_else(|| {
            AppendError::Write(io::Error::new(
                io::ErrorKind::InvalidData,
                "what came is no record that follows",
            ))
        })?;
        let place = log.copy(run, last)?;
        show(Copied { bytes: run, place });
        left = &left[end..];
    }
    Ok(())
}

/// Finishes an exchange that a crash interrupted, or throws away what was not complete. Before the journal is opened.
pub(super) fn recover(dir: &Path) -> io::Result<()> {
    let folder = dir.join(FOLDER);
    match fs::read_to_string(folder.join(COMPLETE)) {
        Ok(text) => {
            let first = text.trim().parse().map_err(io::Error::other)?;
            install(dir, first)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => remove_folder(&folder),
        Err(error) => Err(error),
    }
}

/// Removes the segments below `first` and moves those that were received to their place. May be repeated.
fn install(dir: &Path, first: u64) -> io::Result<()> {
    let folder = dir.join(FOLDER);
    for (number, path) in segment::list(dir)? {
        if number < first {
            fs::remove_file(path)?;
        }
    }
    for (number, path) in segment::list(&folder)? {
        fs::rename(path, dir.join(segment::file_name(number)))?;
    }
    segment::sync_dir(dir)?;
    // Only now may the mark go: nothing is left to do.
    remove_folder(&folder)?;
    segment::sync_dir(dir)
}

fn remove_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
