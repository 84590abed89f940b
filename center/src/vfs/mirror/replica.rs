//! The database of a center as one that follows, and as one that begins to write: entries put in, copies made and
//! restored, generations begun. Blocks.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use protocol::dosp::operations::{Entry, Generation, PullDirectoryOut};
use protocol::id::CustomerId;

use super::image::{Image, Row, Touched};
use super::log::{self, Keep, Position};
use super::rows;
use crate::vfs::engine::{Database, Engine, OwnedValue, Session, restore, values};
use crate::vfs::failure::StoreError;
use crate::vfs::pairs;

/// So far the counters leap at a takeover that may have lost changes: what the last writer gave to whom is not given
/// again, and feeds that heard of its changes begin anew.
const LEAP: u64 = 1_000_000;

/// Longest transaction: more than a log keeps.
const PARTS_BYTES_MAX: u64 = 512 << 20;

/// What was put in.
pub struct Taken {
    /// Where the database is now.
    pub position: Position,
    /// Whose rows are others now.
    pub customers: Vec<CustomerId>,
}

/// A second writer of the database.
pub struct Replica {
    engine: Engine,
    keep: Keep,
    session: Option<Box<dyn Session>>,
    /// The first entries of a transaction whose last one has not come.
    parts: Vec<Entry>,
}

impl Replica {
    /// Of a database of SQLite's.
    pub fn new(engine: Engine, keep: Keep) -> Self {
        Self { engine, keep, session: None, parts: Vec::new() }
    }

    /// Number of the last entry at hand, where the database has this one.
    pub fn after(&self, position: u64) -> u64 {
        self.parts.last().map_or(position, |entry| entry.number)
    }

    /// Puts in entries, and generations that began; all of it is durable, or nothing.
    ///
    /// # Errors
    /// [`StoreError::Foreign`] when they do not follow on what is here, or cannot be read.
    pub fn take(&mut self, pulled: PullDirectoryOut) -> Result<Taken, StoreError> {
        let keep = self.keep;
        // Whatever fails, the next question begins behind what is durable.
        let mut parts = std::mem::take(&mut self.parts);
        let (taken, parts) = self.transact(|db| {
            let mut position = log::position(db)?.number;
            let mut customers = Vec::new();
            for entry in pulled.entries {
                let after = parts.last().map_or(position, |entry| entry.number);
                if entry.number != after + 1 {
                    return Err(StoreError::Foreign);
                }
                let is_last = !entry.more;
                parts.push(entry);
                // The writer keeps no more of its log, so it would not have sent such a transaction.
                if parts.iter().map(|part| part.rows.len() as u64).sum::<u64>() > PARTS_BYTES_MAX {
                    return Err(StoreError::Foreign);
                }
                if is_last {
                    position = put(db, &parts, keep, &mut customers)?;
                    parts.clear();
                }
            }
            for generation in pulled.generations.iter().filter(|generation| generation.first <= position + 1)
            {
                log::begin(db, generation)?;
            }
            customers.sort_unstable();
            customers.dedup();
            Ok((Taken { position: log::position(db)?, customers }, parts))
        })?;
        self.parts = parts;
        Ok(taken)
    }

    /// Makes `to` the writer, if `center` is.
    pub fn hand_over(&mut self, center: &str, to: &str) -> Result<Generation, StoreError> {
        self.transact(|db| {
            let Position { generation, number } = log::position(db)?;
            if generation.writer != center {
                return Err(StoreError::Elsewhere { writer: generation.writer });
            }
            let next = Generation { number: generation.number + 1, writer: to.to_owned(), first: number + 1 };
            log::begin(db, &next)?;
            Ok(next)
        })
    }

    /// Makes `center` the writer, whoever is, with a generation of this number, or the next; nothing if it is the
    /// writer.
    ///
    /// # Errors
    /// [`StoreError::Foreign`] where the database was never mirrored, or knows of a later generation.
    pub fn take_over(&mut self, center: &str, number: Option<u64>) -> Result<Generation, StoreError> {
        let keep = self.keep;
        self.parts.clear();
        let mut session = self.engine.open()?;
        rows::install(session.database())?;
        session.begin(&[])?;
        let db = session.database();
        let before = log::position(db)?;
        if before.generation.writer == center {
            return Ok(before.generation);
        }
        let number = number.unwrap_or(before.generation.number + 1);
        if before.generation.number == 0 || number <= before.generation.number {
            return Err(StoreError::Foreign);
        }
        let next = Generation { number, writer: center.to_owned(), first: before.number + 1 };
        log::begin(db, &next)?;
        db.execute("UPDATE customer SET position = position + ?1", values![LEAP])?;
        db.execute("DELETE FROM change", &[])?;
        pairs::forget_holders(db, LEAP)?;
        for table in ["entry", "version"] {
            db.set_last_id(table, db.last_id(table)?.saturating_add_unsigned(LEAP))?;
        }
        if let Some(image) = rows::take(db)? {
            log::append(db, &image.encode(), keep, 0)?;
        }
        session.commit()?;
        Ok(next)
    }

    /// Copies the whole database into a file of the process's user alone; one that is there gives way to it.
    pub fn copy(&mut self, to: &Path) -> Result<(), StoreError> {
        let unfinished = super::beside(to, "unfinished");
        let io = |source| StoreError::Io { path: unfinished.clone(), source };
        let made = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&unfinished);
        made.map_err(io)?;
        let name = unfinished.to_str().ok_or_else(|| io(std::io::ErrorKind::InvalidFilename.into()))?;
        self.session()?.database().execute("VACUUM INTO ?1", values![name])?;
        File::open(&unfinished).and_then(|file| file.sync_all()).map_err(io)?;
        fs::rename(&unfinished, to).map_err(io)?;
        let folder: PathBuf =
            to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).into();
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)
    }

    /// Makes the database what the copy is.
    pub fn restore(&mut self, database: &Path, copy: &Path) -> Result<(), StoreError> {
        self.session = None;
        self.parts.clear();
        restore(database, copy)
    }

    fn session(&mut self) -> Result<&mut Box<dyn Session>, StoreError> {
        match &mut self.session {
            Some(session) => Ok(session),
            empty => {
                let session = self.engine.open()?;
                // Rows come in an order in which they do not refer to each other; at the writer's they were checked.
                session.database().execute("PRAGMA foreign_keys = OFF", &[])?;
                Ok(empty.insert(session))
            }
        }
    }

    fn transact<T>(
        &mut self,
        work: impl FnOnce(&dyn Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let session = self.session()?;
        session.begin(&[])?;
        let done = work(session.database());
        match done {
            Ok(done) => session.commit().map(|()| done),
            Err(error) => {
                session.rollback();
                Err(error)
            }
        }
    }
}

/// Puts in one transaction; its last number.
fn put(
    db: &dyn Database,
    parts: &[Entry],
    keep: Keep,
    customers: &mut Vec<CustomerId>,
) -> Result<u64, StoreError> {
    let whole: Vec<u8> = parts.iter().flat_map(|part| part.rows.iter().copied()).collect();
    let image = Image::decode(&whole, |table| rows::named(table).map(|table| table.keys));
    let image = image.map_err(|_| StoreError::Foreign)?;
    rows::put(db, &image)?;
    for part in parts {
        log::append_entry(db, part, keep)?;
    }
    customers.extend(image.tables.iter().filter(|touched| touched.table == "customer").flat_map(ids));
    Ok(parts.last().map_or(0, |part| part.number))
}

fn ids(touched: &Touched) -> impl Iterator<Item = CustomerId> {
    touched.rows.iter().filter_map(|row| match row {
        Row::Is(values) | Row::Gone(values) => match values.first() {
            Some(OwnedValue::Integer(id)) => u32::try_from(*id).ok().map(CustomerId),
            _ => None,
        },
    })
}
