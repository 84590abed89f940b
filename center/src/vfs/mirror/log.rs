//! The log of changes and the generations, in the database: what is appended, handed out, thrown away.
//!
//! Entries are numbered from 1 without a gap, through all generations. A database that was never mirrored counts what
//! is in it as entry 1, which nobody can be given: so a follower begins with a copy.

use protocol::dosp::operations::{Entry, Generation, PullDirectoryIn, PullDirectoryOut};
use protocol::dosp::{ENTRIES_MAX, ENTRY_BYTES_MAX, GENERATIONS_MAX};

use super::Names;
use crate::vfs::engine::{Database, values};
use crate::vfs::failure::StoreError;

/// Entries in one answer stop at so many bytes, or with the first.
const PULL_BYTES: usize = 512 << 10;

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// Of what a follower may still need: entries, and bytes of them. Who needs more must begin with a copy.
    pub entries_max: u64,
    /// Bytes.
    pub bytes_max: u64,
    /// Of what all have: entries, for who takes over and is asked by the third center.
    pub tail: u64,
}

impl Default for Keep {
    fn default() -> Self {
        Self { entries_max: 1_000_000, bytes_max: 256 << 20, tail: 1_024 }
    }
}

/// Where a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The last generation it knows; number 0 for none.
    pub generation: Generation,
    /// Number of its last entry.
    pub number: u64,
}

/// Begins to mirror, where that is new.
///
/// # Errors
/// [`StoreError::Mirrored`] when it was begun and is not wanted any more: who follows would not hear of changes.
pub fn prepare(db: &dyn Database, names: Option<&Names>) -> Result<(), StoreError> {
    let is_mirrored = db.exists("SELECT EXISTS (SELECT 1 FROM mirror)", &[])?;
    let Some(Names { center, first_writer, .. }) = names else {
        return if is_mirrored { Err(StoreError::Mirrored) } else { Ok(()) };
    };
    if is_mirrored {
        return Ok(());
    }
    let position = u64::from(center == first_writer);
    db.execute("INSERT INTO mirror (id, position, log_bytes) VALUES (1, ?1, 0)", values![position])?;
    match center == first_writer {
        true => begin(db, &Generation { number: 1, writer: center.clone(), first: 1 }),
        false => Ok(()),
    }
}

/// Version of the tables.
pub fn schema(db: &dyn Database) -> Result<u32, StoreError> {
    Ok(db.first("PRAGMA user_version", &[], |row| row.get(0))?.unwrap_or(0))
}

/// Where this database is.
pub fn position(db: &dyn Database) -> Result<Position, StoreError> {
    let number = db.first("SELECT position FROM mirror", &[], |row| row.get(0))?.unwrap_or(0);
    let generation = generations(db, 1)?.pop().unwrap_or_else(none);
    Ok(Position { generation, number })
}

fn none() -> Generation {
    Generation { number: 0, writer: String::new(), first: 0 }
}

/// The last generations, in order.
fn generations(db: &dyn Database, limit: usize) -> Result<Vec<Generation>, StoreError> {
    let mut last = db.list(
        "SELECT number, writer, first FROM mirror_generation ORDER BY number DESC LIMIT ?1",
        values![limit],
        |row| Ok(Generation { number: row.get(0)?, writer: row.get(1)?, first: row.get(2)? }),
    )?;
    last.reverse();
    Ok(last)
}

/// Begins a generation.
pub fn begin(db: &dyn Database, generation: &Generation) -> Result<(), StoreError> {
    let Generation { number, writer, first } = generation;
    db.execute(
        "INSERT INTO mirror_generation (number, writer, first) VALUES (?1, ?2, ?3)",
        values![*number, writer, *first],
    )?;
    let forgotten = number.saturating_sub(GENERATIONS_MAX as u64);
    db.execute("DELETE FROM mirror_generation WHERE number <= ?1", values![forgotten])
}

/// Appends a transaction; the number of its last entry. `all_have`: up to there no follower needs anything.
pub fn append(db: &dyn Database, rows: &[u8], keep: Keep, all_have: u64) -> Result<u64, StoreError> {
    let mut number = position(db)?.number;
    let mut pieces = rows.chunks(ENTRY_BYTES_MAX).peekable();
    while let Some(piece) = pieces.next() {
        number += 1;
        insert(db, number, pieces.peek().is_some(), piece)?;
    }
    trim(db, number, keep, all_have)?;
    Ok(number)
}

/// Appends an entry of another center's.
pub fn append_entry(db: &dyn Database, entry: &Entry, keep: Keep) -> Result<(), StoreError> {
    insert(db, entry.number, entry.more, &entry.rows)?;
    trim(db, entry.number, keep, entry.number)
}

fn insert(db: &dyn Database, number: u64, more: bool, rows: &[u8]) -> Result<(), StoreError> {
    db.execute(
        "INSERT INTO mirror_log (number, more, rows) VALUES (?1, ?2, ?3)",
        values![number, u32::from(more), rows],
    )?;
    db.execute("UPDATE mirror SET position = ?1, log_bytes = log_bytes + ?2", values![number, rows.len()])
}

fn trim(db: &dyn Database, last: u64, keep: Keep, all_have: u64) -> Result<(), StoreError> {
    let mut bytes: u64 = db.first("SELECT log_bytes FROM mirror", &[], |row| row.get(0))?.unwrap_or(0);
    let before = bytes;
    while let Some((oldest, length)) = oldest(db)? {
        let count = last - oldest + 1;
        let is_needed = oldest > all_have || count <= keep.tail;
        if count <= keep.entries_max && bytes <= keep.bytes_max && is_needed {
            break;
        }
        db.execute("DELETE FROM mirror_log WHERE number = ?1", values![oldest])?;
        bytes -= length.min(bytes);
    }
    if bytes == before {
        return Ok(());
    }
    db.execute("UPDATE mirror SET log_bytes = ?1", values![bytes])
}

fn oldest(db: &dyn Database) -> Result<Option<(u64, u64)>, StoreError> {
    db.first("SELECT number, length(rows) FROM mirror_log ORDER BY number LIMIT 1", &[], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })
}

/// Entries kept, and bytes of them.
pub fn size(db: &dyn Database) -> Result<(u64, u64), StoreError> {
    let last = position(db)?.number;
    let bytes = db.first("SELECT log_bytes FROM mirror", &[], |row| row.get(0))?.unwrap_or(0);
    Ok((oldest(db)?.map_or(0, |(oldest, _)| last + 1 - oldest), bytes))
}

/// What a follower is told. That what it has is the beginning of what is here is known from the generation it is in:
/// only one center writes in that, so its entries are the same wherever they are.
///
/// # Errors
/// [`StoreError::Foreign`] when its tables are another release's, [`StoreError::NotNow`] when it knows more than this
/// one.
pub fn pull(db: &dyn Database, asked: &PullDirectoryIn) -> Result<PullDirectoryOut, StoreError> {
    if asked.schema != schema(db)? {
        return Err(StoreError::Foreign);
    }
    let position = position(db)?.number;
    let known = generations(db, GENERATIONS_MAX)?;
    // Who asks has heard of a generation that has not come here yet: when it has, all that was before it is here too.
    if known.last().is_some_and(|last| last.number < asked.generation.number) {
        return Err(StoreError::NotNow);
    }
    let start_over = |unknown| {
        let (generations, entries) = (Vec::new(), Vec::new());
        Ok(PullDirectoryOut { start_over: Some(unknown), position, generations, entries })
    };
    let same = |here: &Generation| {
        (here.number, &here.writer) == (asked.generation.number, &asked.generation.writer)
    };
    let Some(place) = known.iter().position(same) else {
        // Who was in no generation has nothing that could be missed.
        return start_over(if asked.generation.number == 0 { 0 } else { u64::MAX });
    };
    let end = known.get(place + 1).map_or(position, |next| next.first - 1);
    if asked.after > end {
        return start_over(asked.after - end);
    }
    let has_next = db.exists(
        "SELECT EXISTS (SELECT 1 FROM mirror_log WHERE number = ?1)",
        values![asked.after.saturating_add(1)],
    )?;
    if asked.after < position && !has_next {
        return start_over(0);
    }
    let entries = entries(db, asked.after)?;
    let until = entries.last().map_or(asked.after, |entry| entry.number);
    let begun = known[place + 1..].iter().filter(|generation| generation.first <= until + 1);
    Ok(PullDirectoryOut { start_over: None, position, generations: begun.cloned().collect(), entries })
}

fn entries(db: &dyn Database, after: u64) -> Result<Vec<Entry>, StoreError> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut bytes = 0;
    while entries.len() < ENTRIES_MAX && bytes < PULL_BYTES {
        let next = after + entries.len() as u64 + 1;
        let found =
            db.first("SELECT more, rows FROM mirror_log WHERE number = ?1", values![next], |row| {
                let rows: Vec<u8> = row.get(1)?;
                Ok(Entry { number: next, more: row.get(0)?, rows: rows.into() })
            })?;
        let Some(entry) = found else { break };
        if bytes > 0 && bytes + entry.rows.len() > PULL_BYTES {
            break;
        }
        bytes += entry.rows.len();
        entries.push(entry);
    }
    Ok(entries)
}
