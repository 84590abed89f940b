//! Copying a directory database into an empty one, of the same engine or the other, with digests compared (VFS-4).
//!
//! One transaction on either side: the old database is kept from changing meanwhile, and the new one has everything or
//! nothing. Ids, versions and feed positions stay, so that ports go on with what they know.

use thiserror::Error;

use super::customer;
use super::engine::{Database, Engine, OwnedValue, Value};
use super::failure::StoreError;
use super::tables::{COUNTED, TABLES, Table};

/// Rows read at one time.
const PAGE: usize = 1_000;

/// Why nothing was copied.
#[derive(Debug, Error)]
pub enum MigrateError {
    /// One of the databases.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The old database is not there.
    #[error("there is no database {0} to be copied")]
    Missing(String),
    /// The new database is in use.
    #[error("the new database has customers already: name an empty one")]
    NotEmpty,
    /// What is in the new database is not what was in the old one. It was left empty.
    #[error("table {0} differs after copying; nothing was kept")]
    Differs(&'static str),
}

/// Copies all of `from` into `to`; tells `progress` of rows so far, table by table. Rows copied. Blocks.
///
/// # Errors
/// See [`MigrateError`]; `to` is as it was then, but for its schema.
pub fn migrate(
    from: &Engine,
    to: &Engine,
    mut progress: impl FnMut(&'static str, u64),
) -> Result<u64, MigrateError> {
    if let Engine::Sqlite(path) = from
        && !path.exists()
    {
        return Err(MigrateError::Missing(path.display().to_string()));
    }
    from.prepare()?;
    to.prepare()?;
    let mut old = from.open()?;
    old.begin_reading()?;
    let customers: Vec<_> = customer::list(old.database())?.into_iter().map(|customer| customer.id).collect();
    old.rollback();
    old.begin(&customers)?;
    let mut new = to.open()?;
    new.begin(&[])?;
    if !customer::list(new.database())?.is_empty() {
        return Err(MigrateError::NotEmpty);
    }

    let (mut rows, mut digests) = (0, Vec::new());
    for table in &TABLES {
        let mut copied = 0;
        digests.push(each_page(old.database(), table, |page| {
            insert(new.database(), table, page)?;
            copied += page.len() as u64;
            progress(table.name, copied);
            Ok(())
        })?);
        rows += copied;
    }
    for table in COUNTED {
        new.database().set_last_id(table, old.database().last_id(table)?)?;
    }
    for (table, digest) in TABLES.iter().zip(digests) {
        if each_page(new.database(), table, |_| Ok(()))? != digest {
            return Err(MigrateError::Differs(table.name));
        }
    }
    new.commit()?;
    old.rollback();
    Ok(rows)
}

type Row = Vec<OwnedValue>;

/// Hands on all rows of a table in order of their keys; their digest.
fn each_page(
    db: &dyn Database,
    table: &Table,
    mut each: impl FnMut(&[Row]) -> Result<(), StoreError>,
) -> Result<blake3::Hash, StoreError> {
    let Table { name, keys, columns } = table;
    let key = columns[..*keys].join(", ");
    let after = (1..=*keys).map(|number| format!("?{number}")).collect::<Vec<_>>().join(", ");
    let columns = columns.join(", ");
    let next = format!("SELECT {columns} FROM {name} WHERE ({key}) > ({after}) ORDER BY {key} LIMIT {PAGE}");
    let first = format!("SELECT {columns} FROM {name} ORDER BY {key} LIMIT {PAGE}");
    let mut hasher = blake3::Hasher::new();
    let mut last: Option<Row> = None;
    loop {
        let (sql, after) = match &last {
            None => (&first, Vec::new()),
            Some(keys) => (&next, keys.iter().map(Value::from).collect()),
        };
        let page: Vec<Row> = db.list(sql, &after, |row| {
            (0..table.columns.len()).map(|column| Ok(OwnedValue::from(&row.value(column)?))).collect()
        })?;
        let Some(end) = page.last() else { return Ok(hasher.finalize()) };
        last = Some(end[..*keys].to_vec());
        page.iter().flatten().for_each(|value| digest(&mut hasher, value));
        each(&page)?;
    }
}

fn insert(db: &dyn Database, table: &Table, rows: &[Row]) -> Result<(), StoreError> {
    let places = (1..=table.columns.len()).map(|number| format!("?{number}")).collect::<Vec<_>>();
    let sql =
        format!("INSERT INTO {} ({}) VALUES ({})", table.name, table.columns.join(", "), places.join(", "));
    for row in rows {
        db.execute(&sql, &row.iter().map(Value::from).collect::<Vec<_>>())?;
    }
    // Before the next page, so that no more than one is on its way.
    db.settle()
}

/// Kind, length and bytes, so that no two rows read the same.
fn digest(hasher: &mut blake3::Hasher, value: &OwnedValue) {
    let (kind, bytes): (u8, &[u8]) = match value {
        OwnedValue::Null | OwnedValue::OutOfRange => (0, &[]),
        OwnedValue::Integer(number) => (1, &number.to_be_bytes()),
        OwnedValue::Bytes(bytes) => (2, bytes),
        OwnedValue::Text(text) => (3, text.as_bytes()),
    };
    hasher.update(&[kind]).update(&(bytes.len() as u64).to_be_bytes()).update(bytes);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use protocol::id::CustomerId;

    use super::*;
    use crate::vfs::tests::{Fixture, Place};

    /// A column that is added to the schema and not here would be lost by a copy.
    #[tokio::test]
    async fn every_column_of_every_table_is_copied() {
        let vfs = Fixture::new().await;
        let Engine::Sqlite(path) = vfs.engine() else { return };
        let db = rusqlite::Connection::open(path).unwrap();
        let mut statement = db
            .prepare(
                "SELECT m.name, c.name FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS c
                 WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name NOT LIKE 'mirror%'",
            )
            .unwrap();
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let rows =
            statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))).unwrap();
        for (table, column) in rows.map(Result::unwrap) {
            found.entry(table).or_default().push(column);
        }
        let known: BTreeMap<String, Vec<String>> = TABLES
            .iter()
            .map(|table| {
                (table.name.to_owned(), table.columns.iter().map(|name| (*name).to_owned()).collect())
            })
            .collect();
        for columns in found.values_mut() {
            columns.sort();
        }
        let known = known.into_iter().map(|(table, mut columns)| {
            columns.sort();
            (table, columns)
        });
        assert_eq!(found, known.collect());
    }

    /// VFS-4: there and back again; everything is the same, the next id is a new one, and a second copy is refused.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_directory_goes_to_the_other_engine_and_back() {
        let vfs = Fixture::new().await;
        let folder = vfs.mkdir(vfs.root, "folder").await;
        for number in 0..1_100 {
            vfs.touch(folder, &format!("f{number}")).await;
        }
        let gone = vfs.touch(folder, "gone").await;
        vfs.delete(gone, protocol::vfs::Kind::File, false).await.unwrap();
        let (first, middle, last) = (vfs.engine().clone(), Place::sqlite(), Place::new().await);
        let rows = tokio::task::spawn_blocking(move || {
            let there = migrate(&first, &middle.engine, |_, _| ()).unwrap();
            assert!(matches!(migrate(&first, &middle.engine, |_, _| ()), Err(MigrateError::NotEmpty)));
            let back = migrate(&middle.engine, &last.engine, |_, _| ()).unwrap();
            assert_eq!(there, back);
            (there, last)
        });
        let (rows, last) = rows.await.unwrap();
        assert!(rows > 2_200, "{rows}");
        let again = vfs.at(last).await;
        assert_eq!(again.list(folder, 1_000).await, vfs.list(folder, 1_000).await);
        assert_eq!(
            again.store.access(CustomerId(3)).await.unwrap(),
            vfs.store.access(CustomerId(3)).await.unwrap()
        );
        assert!(again.touch(folder, "new").await > gone, "an id is never given twice");
        assert_eq!(again.usage().await.files_used, 1_102);
    }

    #[test]
    fn a_database_that_is_missing_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none.db");
        let missing = Engine::Sqlite(path.clone());
        let copied = migrate(&missing, &Place::sqlite().engine, |_, _| ());
        assert!(matches!(copied, Err(MigrateError::Missing(_))));
        assert!(!path.exists());
    }
}
