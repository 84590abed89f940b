//! The database behind the VFS: SQLite in a file, or a PostgreSQL server (VFS-4).
//!
//! A narrow seam. Operations are written once, against [`Database`], in SQL that both understand; parameters are `?1`,
//! `?2`, …. What differs stays here: how a session is opened, its schema, and what keeps two writers apart.

mod postgres;
mod sqlite;
mod value;

use std::path::PathBuf;

use protocol::id::CustomerId;

use super::failure::StoreError;

pub use postgres::{News, Postgres, ServerError};
pub use sqlite::restore;
pub use value::{FromValue, OwnedValue, Value};

pub(in crate::vfs) use value::values;

/// One session with the database, as operations see it: inside a transaction. Calls block.
pub trait Database {
    /// Does a statement that answers with no rows; perhaps later, but before every one that follows.
    fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<(), StoreError>;

    /// Hands the rows of a statement's answer to `each`, in order.
    fn query(&self, sql: &str, values: &[Value<'_>], each: &mut EachRow<'_>) -> Result<(), StoreError>;

    /// Waits for what is done later.
    ///
    /// # Errors
    /// That of the first statement that failed and whose failure was not told yet.
    fn settle(&self) -> Result<(), StoreError>;

    /// Whether there still is a transaction: a full disk or a lost server ends it.
    fn is_in_transaction(&self) -> bool;

    /// The highest id this table's rows were ever given.
    fn last_id(&self, table: &str) -> Result<i64, StoreError>;

    /// Has the table's next row get a higher id than this.
    fn set_last_id(&self, table: &str, id: i64) -> Result<(), StoreError>;

    /// Appended to a statement that picks rows to be deleted: has it leave those that another writer is about to delete.
    fn unless_locked(&self) -> &'static str;
}

/// Takes one row.
pub type EachRow<'a> = dyn FnMut(&dyn Columns) -> Result<(), StoreError> + 'a;

/// The columns of a row.
pub trait Columns {
    /// The value in a column, counted from 0.
    fn value(&self, column: usize) -> Result<Value<'_>, StoreError>;
}

impl dyn Columns + '_ {
    /// The value in a column, in the type it is wanted in.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] when it is none of that type: the row was not written by this program.
    pub fn get<'row, T: FromValue<'row>>(&'row self, column: usize) -> Result<T, StoreError> {
        T::from_value(self.value(column)?).ok_or(StoreError::Unreadable { column })
    }
}

impl dyn Database + '_ {
    /// The first row of the answer, if it has any.
    pub fn first<T>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        mut read: impl FnMut(&dyn Columns) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let mut first = None;
        self.query(sql, values, &mut |row| {
            if first.is_none() {
                first = Some(read(row)?);
            }
            Ok(())
        })?;
        Ok(first)
    }

    /// All rows of the answer; the statement bounds how many.
    pub fn list<T>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        mut read: impl FnMut(&dyn Columns) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut all = Vec::new();
        self.query(sql, values, &mut |row| {
            all.push(read(row)?);
            Ok(())
        })?;
        Ok(all)
    }

    /// Whether a question of the form `SELECT EXISTS (…)` is answered by yes.
    pub fn exists(&self, sql: &str, values: &[Value<'_>]) -> Result<bool, StoreError> {
        Ok(self.first(sql, values, |row| row.get(0))?.unwrap_or(false))
    }
}

/// Does `work`, or nothing of it when it fails.
pub fn in_savepoint<T, E: From<StoreError>>(
    db: &dyn Database,
    work: impl FnOnce(&dyn Database) -> Result<T, E>,
) -> Result<T, E> {
    // A savepoint outside of a transaction would be one of its own.
    if !db.is_in_transaction() {
        return Err(StoreError::NotCommitted("the transaction is rolled back".to_owned()).into());
    }
    db.execute("SAVEPOINT operation", &[])?;
    let result = work(db);
    let settled = db.settle();
    let result = result.and_then(|value| settled.map(|()| value).map_err(E::from));
    if result.is_err() && db.is_in_transaction() {
        db.execute("ROLLBACK TO SAVEPOINT operation", &[])?;
    }
    if db.is_in_transaction() {
        db.execute("RELEASE SAVEPOINT operation", &[])?;
    }
    result
}

/// A session that begins and ends transactions. Dropped inside of one, it leaves nothing of it.
pub trait Session: Database + Send {
    /// Begins a transaction that may change what is the customers' (each once, in ascending order): until it ends
    /// nobody else changes that. Work on things that are no customer's comes with none.
    fn begin(&mut self, customers: &[CustomerId]) -> Result<(), StoreError>;

    /// Begins a transaction that reads one snapshot of what is committed.
    fn begin_reading(&mut self) -> Result<(), StoreError>;

    /// Ends the transaction: what was changed is durable when this returns `Ok`, and undone otherwise, unless the
    /// session broke: then nobody knows.
    fn commit(&mut self) -> Result<(), StoreError>;

    /// Ends the transaction and undoes what was changed.
    fn rollback(&mut self);

    /// Whether it has to be opened anew.
    fn is_broken(&self) -> bool;

    /// This session as operations see it.
    fn database(&self) -> &dyn Database;
}

/// Opens sessions with one database.
#[derive(Clone, Debug)]
pub enum Engine {
    /// SQLite in this file.
    Sqlite(PathBuf),
    /// A PostgreSQL server.
    Postgres(Postgres),
}

impl Engine {
    /// Makes what is missing of the database and brings its schema up to date.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn prepare(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(path) => sqlite::prepare(path),
            Self::Postgres(server) => postgres::prepare(server),
        }
    }

    /// A session that may write.
    pub fn open(&self) -> Result<Box<dyn Session>, StoreError> {
        Ok(match self {
            Self::Sqlite(path) => Box::new(sqlite::Sqlite::open(path)?),
            Self::Postgres(server) => Box::new(postgres::PostgresSession::open(server)?),
        })
    }

    /// A session that only reads.
    pub fn open_reader(&self) -> Result<Box<dyn Session>, StoreError> {
        Ok(match self {
            Self::Sqlite(path) => Box::new(sqlite::Sqlite::open_reader(path)?),
            Self::Postgres(server) => Box::new(postgres::PostgresSession::open(server)?),
        })
    }

    /// Whether a transaction keeps every other writer out, so that it may take on any customer's changes.
    pub fn excludes_writers(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }

    /// Reads at one time. SQLite's are bound by the processor, and more would only wait there; PostgreSQL's wait for the
    /// network.
    pub fn readers(&self) -> usize {
        match self {
            Self::Sqlite(_) => 4,
            Self::Postgres(_) => 16,
        }
    }
}
