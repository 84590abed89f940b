//! The database file: how it is opened, and its schema by version.
//!
//! Owns pragmas and migrations. Knows no operation.

use std::fs::{File, OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::vfs::failure::StoreError;

/// Each entry brings the schema from version `index` to `index + 1` (`PRAGMA user_version`). Never edit one that was
/// released: append.
const MIGRATIONS: [&str; 9] = [
    include_str!("schema.sql"),
    include_str!("nodes.sql"),
    include_str!("upload_page.sql"),
    include_str!("callback_hosts.sql"),
    include_str!("client_files.sql"),
    include_str!("access.sql"),
    include_str!("mirror.sql"),
    include_str!("pairs.sql"),
    include_str!("versions.sql"),
];

/// How long a statement waits for another process (the `customer` commands) to end its transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Distinct statements are fewer; all of them stay prepared.
const STATEMENTS_CACHED: usize = 112;

/// Makes the file, if it is missing (mode 0600: it holds the customers' secrets), and brings its schema up to date.
///
/// # Errors
/// [`StoreError::Io`] when the file cannot be created, [`StoreError::TooNew`] when a later release wrote it,
/// [`StoreError::Database`] for the rest.
pub fn prepare(path: &Path) -> Result<(), StoreError> {
    let io = |source| StoreError::Io { path: path.to_owned(), source };
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(io)?;
    file.set_permissions(Permissions::from_mode(0o600)).map_err(io)?;
    // SQLite syncs the names of its journals; this one is ours.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?;
    drop(file);
    migrate(&mut open_writer(path)?)
}

/// Opens it for writing.
pub fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    // Every commit reaches the disk before it is answered.
    connection.pragma_update(None, "synchronous", "full")?;
    // 16 MiB between checkpoints: a batch of a busy center dirties some hundred pages.
    connection.pragma_update(None, "wal_autocheckpoint", 4096)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    // In KiB. Not more, for the COMMIT that follows the split of a page walks over the places of all cached pages; what
    // is not here is in the system's cache.
    connection.pragma_update(None, "cache_size", -(16 << 10))?;
    // Pages as they were before a savepoint: else they spill into a temporary file with every larger batch.
    connection.pragma_update(None, "temp_store", "memory")?;
    Ok(connection)
}

/// Opens one more connection that only reads.
pub fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

fn connect(path: &Path, access: OpenFlags) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Without it SQLite plans a statement anew whenever a parameter of its LIMIT is bound.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    Ok(connection)
}

fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    // Immediate: of two processes that open a new database at once, the second finds the first one's work done.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: usize = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version > MIGRATIONS.len() {
        return Err(StoreError::TooNew { found: version, known: MIGRATIONS.len() });
    }
    for migration in &MIGRATIONS[version..] {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", MIGRATIONS.len())?;
    Ok(transaction.commit()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_opens_again_and_one_of_a_later_release_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vfs.db");
        prepare(&path).unwrap();
        prepare(&path).unwrap();
        open_writer(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
        assert!(matches!(prepare(&path), Err(StoreError::TooNew { found: 99, .. })));
    }

    /// What an earlier release wrote stays, and nothing is kept of it that was not wanted.
    #[test]
    fn a_database_of_before_versions_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vfs.db");
        File::create(&path).unwrap();
        let old = open_writer(&path).unwrap();
        MIGRATIONS[..8].iter().for_each(|migration| old.execute_batch(migration).unwrap());
        old.pragma_update(None, "user_version", 8).unwrap();
        old.execute("INSERT INTO customer (id, name) VALUES (3, 'C')", []).unwrap();
        prepare(&path).unwrap();
        let kept: (String, Option<u32>, u64, u64) = old
            .query_row("SELECT name, keep_seconds, bytes_kept, versions_kept FROM customer", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })
            .unwrap();
        assert_eq!(kept, ("C".to_owned(), None, 0, 0));
        let versions: u32 = old.query_row("SELECT count(*) FROM version", [], |row| row.get(0)).unwrap();
        assert_eq!(versions, 0);
    }

    #[test]
    fn the_database_file_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vfs.db");
        std::fs::write(&path, b"").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        prepare(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_reader_cannot_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vfs.db");
        prepare(&path).unwrap();
        let reader = open_reader(&path).unwrap();
        assert!(reader.execute("DELETE FROM entry", []).is_err());
    }
}
