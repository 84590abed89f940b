//! A disk's index: which objects it holds, and who refers to them.
//!
//! Objects can be found again from their names on the disk; references cannot, and are restored from the rows of the
//! VFS ([`crate::reconcile`]). References are a *set* of (customer, token) at each object, never a counter, so that
//! a repeated STORE or DELETE changes nothing (REF-1, REF-3).

mod backend;
pub mod tables;

use std::io::{self, ErrorKind};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use protocol::digest::{Content, Digest, Fingerprint};
use protocol::dosp::Reference;
use protocol::id::{CustomerId, Token};
use redb::{
    Database, DatabaseError, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    TableDefinition,
};

use self::backend::Backend;
use self::tables::{
    MISSING, OBJECTS, REFERENCES, RELEASED_IN_ORDER, RELEASES, Tables, UNREFERENCED, is_forgotten,
};
use super::fault::DiskError;
use super::files::{FileSystem, Host};

/// Pages kept in memory, of each disk. The index of a million objects has about 100 MB; its inner pages fit, and the
/// machine remembers the others.
const CACHE_BYTES: usize = 4 << 20;

/// How often a question is asked again that met the error of somebody else's write.
const READ_TRIES: usize = 8;

/// One change of the index.
#[derive(Clone, Debug)]
pub enum Change {
    /// The object is on the disk and this reference holds it. A reference that exists is renewed.
    Hold {
        /// The object.
        content: Content,
        /// The reference.
        reference: Reference,
        /// Seconds since the epoch.
        now: u64,
    },
    /// The object is on the disk, and another copy says that this reference holds it. Nothing if the reference was
    /// given up here meanwhile: whoever copies an object read its references before.
    Replicate {
        /// The object.
        content: Content,
        /// The reference.
        reference: Reference,
        /// Seconds since the epoch; of two, the later stays.
        renewed: u64,
    },
    /// The reference is given up, whether or not it is here; when it was the last, the object may be unlinked from
    /// `unlink_from` on. Remembered for [`tables::RELEASE_REMEMBERED_SECONDS`].
    Release {
        /// The reference.
        reference: Reference,
        /// Seconds since the epoch.
        now: u64,
        /// Seconds since the epoch.
        unlink_from: u64,
    },
    /// The reference is held by other copies alone from now on: it was not given up, and may come back with a copy.
    Leave {
        /// The reference.
        reference: Reference,
    },
    /// The object was found on the disk without being known here. Nothing if it is not whole any more.
    Found {
        /// The object.
        content: Content,
        /// Seconds since the epoch.
        unlink_from: u64,
    },
    /// The object's file is gone. Nothing if it is whole again.
    Gone {
        /// Which object.
        fingerprint: Fingerprint,
    },
    /// Releases remembered for long enough are forgotten, up to [`tables::SWEPT_MAX`] of them.
    Sweep {
        /// Seconds since the epoch.
        now: u64,
    },
}

/// The index file of one disk. All calls block on the disk.
#[derive(Debug)]
pub struct Index<F = Host> {
    files: F,
    path: PathBuf,
    access: RwLock<Access>,
    /// How often it was opened again. Changes under the lock of `access` alone.
    openings: AtomicU64,
}

/// What there is to ask.
#[derive(Debug)]
enum Access {
    Open(Database),
    /// After an error it could not be opened again, which needs room: with this much there was not enough.
    NoRoom {
        bytes_available: u64,
    },
    /// It is not open, for another reason.
    Closed {
        because: String,
    },
}

impl Access {
    fn database(&self) -> Result<&Database> {
        match self {
            Self::Open(database) => Ok(database),
            Self::NoRoom { .. } => Err(redb::Error::Io(ErrorKind::StorageFull.into())),
            Self::Closed { because } => {
                Err(redb::Error::Io(io::Error::other(format!("the index cannot be opened: {because}"))))
            }
        }
    }
}

type Result<T> = std::result::Result<T, redb::Error>;

/// Whether an object's files are there in their full length.
pub type IsWhole<'a> = &'a dyn Fn(&Content) -> io::Result<bool>;

impl<F: FileSystem> Index<F> {
    /// Opens the index, making an empty one where there is none. Its name is not durable yet.
    pub fn open(files: F, path: &Path) -> Result<Self> {
        let database = open_database(&files, path)?;
        let index = Self {
            files,
            path: path.to_path_buf(),
            access: RwLock::new(Access::Open(database)),
            openings: AtomicU64::new(0),
        };
        // The tables exist from the first moment, so that readers need not ask. A full disk can still be read.
        if index.read(|transaction| Ok(transaction.open_table(MISSING).is_err()))? {
            index.apply(&[], &|_| Ok(false))?;
        }
        Ok(index)
    }

    /// Whether opening failed because the file is no index, or not a whole one, and not for a passing reason.
    pub fn is_damaged(error: &redb::Error) -> bool {
        match error {
            redb::Error::Corrupted(_) => true,
            redb::Error::Io(error) => error.kind() == ErrorKind::InvalidData,
            _ => false,
        }
    }

    /// Applies changes in order and makes them durable together. `is_whole` says of an object what the names say now.
    pub fn apply(&self, changes: &[Change], is_whole: IsWhole<'_>) -> Result<()> {
        let opening = self.openings.load(Ordering::Acquire);
        let applied = self.write(changes, is_whole);
        if let Err(redb::Error::Io(_) | redb::Error::PreviousIo) = applied {
            self.reopen(opening);
        }
        applied
    }

    fn write(&self, changes: &[Change], is_whole: IsWhole<'_>) -> Result<()> {
        let access = self.access.read().unwrap_or_else(PoisonError::into_inner);
        let transaction = access.database()?.begin_write()?;
        {
            let mut tables = Tables::open(&transaction)?;
            for change in changes {
                tables.apply(change, is_whole)?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// After any error redb answers nothing more. A disk that is full is no reason not to read from it. Nothing if somebody
    /// did it after that `opening`, or if it failed for want of room and there is no more of it since.
    fn reopen(&self, opening: u64) {
        let mut access = self.access.write().unwrap_or_else(PoisonError::into_inner);
        if self.openings.load(Ordering::Acquire) != opening {
            return;
        }
        let available = self.files.space(&self.path).map_or(0, |space| space.bytes_available);
        if matches!(*access, Access::NoRoom { bytes_available } if available <= bytes_available) {
            return;
        }
        self.openings.store(opening + 1, Ordering::Release);
        // Closed before it is opened again.
        *access = Access::Closed { because: String::new() };
        *access = match open_database(&self.files, &self.path) {
            Ok(database) => Access::Open(database),
            Err(error) => {
                tracing::error!(index = %self.path.display(), %error, "cannot be opened again");
                match is_full(&error) {
                    true => Access::NoRoom { bytes_available: available },
                    false => Access::Closed { because: error.to_string() },
                }
            }
        };
    }

    /// Between an error of a write and the opening after it nobody gets an answer, so a question that met one is asked
    /// again: `question` may be called several times.
    fn read<T>(&self, mut question: impl FnMut(&ReadTransaction) -> Result<T>) -> Result<T> {
        let mut tries = 0;
        loop {
            let opening = self.openings.load(Ordering::Acquire);
            let answer = self.ask(&mut question);
            match &answer {
                Err(error) if tries < READ_TRIES && (is_full(error) || is_of_another(error)) => {
                    tries += 1;
                    self.reopen(opening);
                }
                _ => return answer,
            }
        }
    }

    fn ask<T>(&self, question: impl FnOnce(&ReadTransaction) -> Result<T>) -> Result<T> {
        let access = self.access.read().unwrap_or_else(PoisonError::into_inner);
        question(&access.database()?.begin_read()?)
    }

    /// How many objects are here.
    pub fn count(&self) -> Result<u64> {
        self.read(|transaction| Ok(transaction.open_table(OBJECTS)?.len()?))
    }

    /// The object's size and digest, if it is here.
    pub fn object(&self, fingerprint: Fingerprint) -> Result<Option<Content>> {
        self.read(|transaction| {
            let row = transaction.open_table(OBJECTS)?.get(&fingerprint.0)?;
            Ok(row.map(|row| to_content(fingerprint, row.value())))
        })
    }

    /// When this very reference was made or last renewed, in seconds since the epoch, if it is here.
    pub fn renewed(&self, reference: &Reference) -> Result<Option<u64>> {
        self.read(|transaction| {
            let row = transaction.open_table(REFERENCES)?.get(key(reference))?;
            Ok(row.map(|renewed| renewed.value()))
        })
    }

    /// When this very reference was given up last, in seconds since the epoch, if that is remembered and it was not made
    /// again since.
    pub fn released(&self, reference: &Reference) -> Result<Option<u64>> {
        self.read(|transaction| {
            let row = transaction.open_table(RELEASES)?.get(key(reference))?;
            Ok(row.map(|released| released.value()))
        })
    }

    /// Whether the customer has any reference to the object.
    pub fn customer_holds(&self, customer: CustomerId, fingerprint: Fingerprint) -> Result<bool> {
        let (low, high) = ([0; 16], [0xff; 16]);
        let range = (&fingerprint.0, customer.0, &low)..=(&fingerprint.0, customer.0, &high);
        self.read(|transaction| {
            let references = transaction.open_table(REFERENCES)?;
            let found = references.range::<ReferenceKey<'_>>(range.clone())?.next().transpose()?;
            Ok(found.is_some())
        })
    }

    /// Up to `limit` references after `after`, in order, each with the second it was renewed in.
    pub fn references(&self, after: Option<Reference>, limit: usize) -> Result<Vec<(Reference, u64)>> {
        self.references_within(after.unwrap_or(FIRST_REFERENCE), LAST_REFERENCE, after, limit)
    }

    /// The same of one object. `after` is a reference of that object.
    pub fn references_of(
        &self,
        fingerprint: Fingerprint,
        after: Option<Reference>,
        limit: usize,
    ) -> Result<Vec<(Reference, u64)>> {
        let first = after.unwrap_or(Reference { fingerprint, ..FIRST_REFERENCE });
        self.references_within(first, Reference { fingerprint, ..LAST_REFERENCE }, after, limit)
    }

    fn references_within(
        &self,
        first: Reference,
        last: Reference,
        but: Option<Reference>,
        limit: usize,
    ) -> Result<Vec<(Reference, u64)>> {
        self.read(|transaction| {
            let references = transaction.open_table(REFERENCES)?;
            let rows = references.range::<ReferenceKey<'_>>(key(&first)..=key(&last))?;
            rows.map(|row| {
                let (key, made) = row?;
                Ok((to_reference(key.value()), made.value()))
            })
            .filter(|row| !matches!(row, Ok((reference, _)) if Some(*reference) == but))
            .take(limit)
            .collect()
        })
    }

    /// Up to `limit` objects after `after`, in order of their fingerprints.
    pub fn objects(&self, after: Option<Fingerprint>, limit: usize) -> Result<Vec<Content>> {
        self.contents(OBJECTS, after, limit)
    }

    /// The same of objects that have references here and lost their files.
    pub fn missing(&self, after: Option<Fingerprint>, limit: usize) -> Result<Vec<Content>> {
        self.contents(MISSING, after, limit)
    }

    /// What the object was whose file was lost here, if it still has references here.
    pub fn missing_object(&self, fingerprint: Fingerprint) -> Result<Option<Content>> {
        self.read(|transaction| {
            let row = transaction.open_table(MISSING)?.get(&fingerprint.0)?;
            Ok(row.map(|row| to_content(fingerprint, row.value())))
        })
    }

    fn contents(
        &self,
        table: TableDefinition<&'static [u8; 16], (u64, &'static [u8; 32])>,
        after: Option<Fingerprint>,
        limit: usize,
    ) -> Result<Vec<Content>> {
        let start = after.map_or([0; 16], |fingerprint| fingerprint.0);
        self.read(|transaction| {
            let objects = transaction.open_table(table)?;
            let rows = objects.range::<&[u8; 16]>(&start..)?;
            rows.map(|row| {
                let (key, value) = row?;
                Ok(to_content(Fingerprint(*key.value()), value.value()))
            })
            .filter(|row| !matches!(row, Ok(content) if Some(content.fingerprint) == after))
            .take(limit)
            .collect()
        })
    }

    /// All objects whose fingerprints begin with this byte, in order.
    pub fn objects_of(&self, first_byte: u8) -> Result<Vec<Content>> {
        let (mut first, mut last) = ([0; 16], [0xff; 16]);
        (first[0], last[0]) = (first_byte, first_byte);
        self.read(|transaction| {
            let objects = transaction.open_table(OBJECTS)?;
            let rows = objects.range::<&[u8; 16]>(&first..=&last)?;
            rows.map(|row| {
                let (key, value) = row?;
                Ok(to_content(Fingerprint(*key.value()), value.value()))
            })
            .collect()
        })
    }

    /// Up to `limit` objects that have had no reference for long enough.
    pub fn unlinkable(&self, now: u64, limit: usize) -> Result<Vec<Fingerprint>> {
        self.read(|transaction| {
            let mut due = Vec::new();
            for row in transaction.open_table(UNREFERENCED)?.iter()? {
                let (fingerprint, from) = row?;
                if from.value() <= now {
                    due.push(Fingerprint(*fingerprint.value()));
                }
                if due.len() == limit {
                    break;
                }
            }
            Ok(due)
        })
    }

    /// Whether the object may be unlinked now: still unreferenced, and for long enough.
    pub fn is_unlinkable(&self, fingerprint: Fingerprint, now: u64) -> Result<bool> {
        self.read(|transaction| {
            let from = transaction.open_table(UNREFERENCED)?.get(&fingerprint.0)?;
            Ok(from.is_some_and(|from| from.value() <= now))
        })
    }

    /// Whether there are remembered releases to be swept.
    pub fn has_old_releases(&self, now: u64) -> Result<bool> {
        self.read(|transaction| {
            let releases = transaction.open_table(RELEASED_IN_ORDER)?;
            let oldest = releases.first()?;
            Ok(oldest.is_some_and(|(oldest, _)| is_forgotten(oldest.value().0, now)))
        })
    }
}

fn is_full(error: &redb::Error) -> bool {
    matches!(error, redb::Error::Io(error) if matches!(DiskError::from(error), DiskError::Full))
}

/// Whether the error is one that a write met before.
fn is_of_another(error: &redb::Error) -> bool {
    matches!(error, redb::Error::PreviousIo)
}

/// Opens the database. One that was not closed is written again first: if a sync failed, the machine remembers bytes as
/// written that are not on the disk, and nothing may be built on them.
fn open_database(files: &impl FileSystem, path: &Path) -> Result<Database> {
    let open = |builder: &redb::Builder| builder.create_with_backend(Backend(files.open_or_create(path)?));
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES).set_repair_callback(|repair| repair.abort());
    match open(&builder) {
        Err(DatabaseError::RepairAborted) => {
            backend::rewrite(files, path)?;
            builder.set_repair_callback(|_| {});
            Ok(open(&builder)?)
        }
        opened => Ok(opened?),
    }
}

/// A reference as the tables have it.
type ReferenceKey<'a> = (&'a [u8; 16], u32, &'a [u8; 16]);

const FIRST_REFERENCE: Reference =
    Reference { fingerprint: Fingerprint([0; 16]), customer: CustomerId(0), token: Token([0; 16]) };
const LAST_REFERENCE: Reference = Reference {
    fingerprint: Fingerprint([0xff; 16]),
    customer: CustomerId(u32::MAX),
    token: Token([0xff; 16]),
};

fn all_of(fingerprint: &Fingerprint) -> RangeInclusive<ReferenceKey<'_>> {
    (&fingerprint.0, 0, &[0; 16])..=(&fingerprint.0, u32::MAX, &[0xff; 16])
}

fn key(reference: &Reference) -> ReferenceKey<'_> {
    (&reference.fingerprint.0, reference.customer.0, &reference.token.0)
}

fn to_reference((fingerprint, customer, token): ReferenceKey<'_>) -> Reference {
    Reference { fingerprint: Fingerprint(*fingerprint), customer: CustomerId(customer), token: Token(*token) }
}

fn to_content(fingerprint: Fingerprint, (size, digest): (u64, &[u8; 32])) -> Content {
    Content { fingerprint, size, digest: Digest(*digest) }
}
