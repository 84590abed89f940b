//! SQLite: the database in a file, one process and one writer.

mod schema;

use std::path::Path;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, params_from_iter};

use super::{Columns, Database, EachRow, Session, Value};
use crate::vfs::failure::StoreError;
use protocol::id::CustomerId;

pub use schema::prepare;

/// Makes the database what the copy is, in one transaction; whoever has it open goes on and sees the copy.
pub fn restore(database: &Path, copy: &Path) -> Result<(), StoreError> {
    let (from, mut into) = (schema::open_reader(copy)?, schema::open_writer(database)?);
    let backup = Backup::new(&from, &mut into)?;
    match backup.step(ALL_PAGES)? {
        StepResult::Done => Ok(()),
        _ => Err(StoreError::NotCommitted("the database is in use by another process".to_owned())),
    }
}

/// Asks a backup to do all at once.
const ALL_PAGES: i32 = -1;

/// An open database file.
pub struct Sqlite {
    connection: Connection,
}

impl Sqlite {
    /// Opens a database that is prepared.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { connection: schema::open_writer(path)? })
    }

    /// Opens it once more, to read.
    pub fn open_reader(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { connection: schema::open_reader(path)? })
    }

    fn statement(&self, sql: &str) -> Result<(), StoreError> {
        self.connection.prepare_cached(sql).and_then(|mut statement| statement.execute([]))?;
        Ok(())
    }
}

impl Database for Sqlite {
    fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        statement.execute(params_from_iter(values))?;
        Ok(())
    }

    fn query(&self, sql: &str, values: &[Value<'_>], each: &mut EachRow<'_>) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params_from_iter(values))?;
        while let Some(row) = rows.next()? {
            each(row)?;
        }
        Ok(())
    }

    fn settle(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn is_in_transaction(&self) -> bool {
        !self.connection.is_autocommit()
    }

    fn last_id(&self, table: &str) -> Result<i64, StoreError> {
        let sql = format!(
            "SELECT max(COALESCE((SELECT seq FROM sqlite_sequence WHERE name = ?1), 0),
                        COALESCE((SELECT max(id) FROM {table}), 0))"
        );
        Ok(self.database().first(&sql, &[table.into()], |row| row.get(0))?.unwrap_or(0))
    }

    fn set_last_id(&self, table: &str, id: i64) -> Result<(), StoreError> {
        // Of a table without such a row the highest id that is there counts.
        self.execute("UPDATE sqlite_sequence SET seq = ?2 WHERE name = ?1", &[table.into(), id.into()])
    }

    fn unless_locked(&self) -> &'static str {
        ""
    }
}

impl Session for Sqlite {
    fn begin(&mut self, _: &[CustomerId]) -> Result<(), StoreError> {
        self.statement("BEGIN IMMEDIATE")
    }

    fn begin_reading(&mut self) -> Result<(), StoreError> {
        self.statement("BEGIN")
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        let committed = self.statement("COMMIT");
        if committed.is_err() {
            self.rollback();
        }
        committed
    }

    fn rollback(&mut self) {
        if self.is_in_transaction() {
            // A rollback that fails leaves SQLite to do it at the next open.
            let _ = self.statement("ROLLBACK");
        }
    }

    fn is_broken(&self) -> bool {
        false
    }

    fn database(&self) -> &dyn Database {
        self
    }
}

impl Columns for rusqlite::Row<'_> {
    fn value(&self, column: usize) -> Result<Value<'_>, StoreError> {
        match self.get_ref(column)? {
            ValueRef::Null => Ok(Value::Null),
            ValueRef::Integer(number) => Ok(Value::Integer(number)),
            ValueRef::Blob(bytes) => Ok(Value::Bytes(bytes)),
            ValueRef::Text(text) => {
                std::str::from_utf8(text).map(Value::Text).map_err(|_| StoreError::Unreadable { column })
            }
            ValueRef::Real(_) => Err(StoreError::Unreadable { column }),
        }
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match *self {
            Value::Null => ValueRef::Null,
            Value::Integer(number) => ValueRef::Integer(number),
            Value::Bytes(bytes) => ValueRef::Blob(bytes),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::OutOfRange => {
                return Err(rusqlite::Error::ToSqlConversionFailure("the number is out of range".into()));
            }
        }))
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::ConstraintViolation) => Self::Constraint(error.to_string()),
            _ if matches!(error, rusqlite::Error::ToSqlConversionFailure(_)) => Self::OutOfRange,
            _ => Self::Database(error.to_string()),
        }
    }
}
