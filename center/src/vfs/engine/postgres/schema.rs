//! The schema by version, and what a server must promise.

use super::super::{Database, Session};
use super::{Postgres, PostgresSession};
use crate::vfs::failure::StoreError;

/// Each entry brings the schema from version `index` to `index + 1`. Never edit one that was released: append.
const MIGRATIONS: [&str; 3] =
    [include_str!("schema.sql"), include_str!("pairs.sql"), include_str!("versions.sql")];

/// Held while the schema is looked at and changed, so that of two processes the second finds the first one's work done.
const LOCK: &str = "SELECT pg_advisory_xact_lock(7382649301)";

/// Brings the schema up to date.
///
/// # Errors
/// [`StoreError::TooNew`] when a later release wrote it, [`StoreError::Careless`] when the server would acknowledge what
/// is not on its disk, [`StoreError::Database`] for the rest.
pub fn prepare(server: &Postgres) -> Result<(), StoreError> {
    let mut session = PostgresSession::open(server)?;
    refuse_careless(session.database())?;
    session.begin(&[])?;
    session.batch(LOCK)?;
    session.batch("CREATE TABLE IF NOT EXISTS vfs_schema (version BIGINT NOT NULL)")?;
    let version = session.database().first("SELECT version FROM vfs_schema", &[], |row| row.get::<i64>(0))?;
    let version = usize::try_from(version.unwrap_or(0)).unwrap_or(usize::MAX);
    if version > MIGRATIONS.len() {
        return Err(StoreError::TooNew { found: version, known: MIGRATIONS.len() });
    }
    for migration in &MIGRATIONS[version..] {
        session.batch(migration)?;
    }
    session.batch("DELETE FROM vfs_schema")?;
    session.batch(&format!("INSERT INTO vfs_schema (version) VALUES ({})", MIGRATIONS.len()))?;
    session.commit()
}

fn refuse_careless(db: &dyn Database) -> Result<(), StoreError> {
    for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
        let value = db.first("SELECT current_setting(?1)", &[setting.into()], |row| row.get::<String>(0))?;
        if value.as_deref() == Some("off") {
            return Err(StoreError::Careless { setting });
        }
    }
    Ok(())
}
