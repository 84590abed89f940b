//! Finding out what a transaction of SQLite's changes: triggers of one session note the keys of the rows it touches,
//! and before COMMIT the rows are read once.
//!
//! Rows, not statements: a replica that puts in rows cannot come to another result. The triggers and their table are
//! the session's own (TEMP), so a database that is opened without them is as it was.

use super::image::{Image, Row, Touched};
use crate::vfs::engine::{Database, OwnedValue, Value, values};
use crate::vfs::failure::StoreError;
use crate::vfs::tables::{COUNTED, TABLES, Table};

/// Has the session note what it touches from now on.
pub fn install(db: &dyn Database) -> Result<(), StoreError> {
    // Rows that give way to others by REPLACE are touched as well.
    db.execute("PRAGMA recursive_triggers = ON", &[])?;
    // Without a unique index: what conflicts in a trigger is decided by the statement that fires it.
    db.execute("CREATE TEMP TABLE touched (tab INTEGER NOT NULL, a ANY NOT NULL, b ANY) STRICT", &[])?;
    for (number, table) in TABLES.iter().enumerate() {
        for (event, rows) in [("INSERT", &["NEW"][..]), ("UPDATE", &["OLD", "NEW"]), ("DELETE", &["OLD"])] {
            let notes = rows.iter().map(|row| note(number, table, row)).collect::<String>();
            let name = table.name;
            let trigger = format!(
                "CREATE TEMP TRIGGER touched_{name}_{event} AFTER {event} ON main.{name} BEGIN {notes} END"
            );
            db.execute(&trigger, &[])?;
        }
    }
    Ok(())
}

fn note(number: usize, table: &Table, row: &str) -> String {
    let key = |place: usize| match table.keys > place {
        true => format!("{row}.{}", table.columns[place]),
        false => "NULL".to_owned(),
    };
    format!("INSERT INTO touched (tab, a, b) VALUES ({number}, {}, {});", key(0), key(1))
}

/// What the transaction touched since it began, or since the last call; `None` for nothing.
pub fn take(db: &dyn Database) -> Result<Option<Image>, StoreError> {
    let touched = db.list("SELECT DISTINCT tab, a, b FROM touched ORDER BY tab, a, b", &[], |row| {
        let keys = [OwnedValue::from(&row.value(1)?), OwnedValue::from(&row.value(2)?)];
        Ok((row.get::<u32>(0)? as usize, keys))
    })?;
    if touched.is_empty() {
        return Ok(None);
    }
    db.execute("DELETE FROM touched", &[])?;
    let mut tables: Vec<Touched> = Vec::new();
    for group in touched.chunk_by(|left, right| left.0 == right.0) {
        let Some(table) = TABLES.get(group[0].0) else { continue };
        let rows = group.iter().map(|(_, keys)| read(db, table, &keys[..table.keys]));
        let rows = rows.collect::<Result<Vec<Row>, StoreError>>()?;
        tables.push(Touched { table: table.name.to_owned(), columns: table.columns.len() as u16, rows });
    }
    // An id that was given and taken back in one transaction is in no row.
    let last_id = |table: &&str| Ok(((*table).to_owned(), db.last_id(table)?));
    let last_ids = COUNTED.iter().map(last_id).collect::<Result<_, StoreError>>()?;
    Ok(Some(Image { tables, last_ids }))
}

fn read(db: &dyn Database, table: &Table, keys: &[OwnedValue]) -> Result<Row, StoreError> {
    let Table { name, columns, .. } = table;
    let sql = format!("SELECT {} FROM {name} WHERE {}", columns.join(", "), is_named(table));
    let values: Vec<Value<'_>> = keys.iter().map(Value::from).collect();
    let found = db.first(&sql, &values, |row| {
        (0..columns.len()).map(|column| Ok(OwnedValue::from(&row.value(column)?))).collect()
    })?;
    Ok(found.map_or_else(|| Row::Gone(keys.to_vec()), Row::Is))
}

/// The condition that picks a table's row by its keys.
fn is_named(table: &Table) -> String {
    let equal = |(place, column): (usize, &&str)| format!("{column} = ?{}", place + 1);
    table.columns[..table.keys].iter().enumerate().map(equal).collect::<Vec<_>>().join(" AND ")
}

/// Makes the rows what the image says.
///
/// The rows of one image together break no rule of the schema, but one after the other they may: two names that change
/// places, for example. So all that is gone goes first, and a row that is put in pushes out those in its way; none of
/// these is a row of the image as it shall be, for those are in nobody's way.
pub fn put(db: &dyn Database, image: &Image) -> Result<(), StoreError> {
    let tables = || image.tables.iter().filter_map(|touched| Some((named(&touched.table)?, touched)));
    for (table, touched) in tables() {
        let sql = format!("DELETE FROM {} WHERE {}", table.name, is_named(table));
        for row in &touched.rows {
            if let Row::Gone(keys) = row {
                db.execute(&sql, &keys.iter().map(Value::from).collect::<Vec<_>>())?;
            }
        }
    }
    for (table, touched) in tables() {
        let columns = table.columns.get(..touched.columns.into()).ok_or(StoreError::Foreign)?;
        let places = (1..=columns.len()).map(|place| format!("?{place}")).collect::<Vec<_>>().join(", ");
        let sql = format!("INSERT OR REPLACE INTO {} ({}) VALUES ({places})", table.name, columns.join(", "));
        for row in &touched.rows {
            if let Row::Is(values) = row {
                db.execute(&sql, &values.iter().map(Value::from).collect::<Vec<_>>())?;
            }
        }
    }
    for (table, id) in &image.last_ids {
        let table = named(table).ok_or(StoreError::Foreign)?;
        db.execute(
            "UPDATE sqlite_sequence SET seq = max(seq, ?2) WHERE name = ?1",
            values![table.name, *id],
        )?;
    }
    Ok(())
}

/// The table of this name.
pub fn named(name: &str) -> Option<&'static Table> {
    TABLES.iter().find(|table| table.name == name)
}
