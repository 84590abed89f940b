//! What differs between two configurations, in the words of the file. Pure.
//!
//! Compares what is in force, defaults filled in, rather than texts: a default that was written down is no change. Goes
//! through whatever keys there are, so that a new one cannot be forgotten here.

use std::collections::BTreeSet;
use std::fmt;

use toml::{Table, Value};

use super::Config;

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// The table, as it stands in the file: `[nfs]`, or `[[export]] /export`.
    pub table: String,
    /// What about it: a key, or `added`, or `removed`.
    pub what: String,
}

impl Change {
    /// Of an entry of an array of tables, which `id` tells from the others.
    pub fn of_entry(table: &str, id: impl fmt::Display, what: &str) -> Self {
        Self { table: format!("[[{table}]] {id}"), what: what.to_owned() }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.table, self.what)
    }
}

/// By which keys the entries of an array of tables are told apart.
const IDENTITIES: [(&str, &[&str]); 4] = [
    ("customer", &["id"]),
    ("export", &["path"]),
    ("folder", &["customer", "path"]),
    ("cache.disk", &["path"]),
];

/// All differences, table by table.
///
/// # Errors
/// A configuration that cannot be written as TOML: one made by hand, for the file's own are always fit.
pub fn changes(before: &Config, after: &Config) -> Result<Vec<Change>, toml::ser::Error> {
    let mut changes = Vec::new();
    compare("", &Table::try_from(before)?, &Table::try_from(after)?, &mut changes);
    changes.sort();
    Ok(changes)
}

fn compare(path: &str, before: &Table, after: &Table, changes: &mut Vec<Change>) {
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for key in keys {
        let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let identity = IDENTITIES.iter().find(|(array, _)| *array == below);
        match (before.get(key), after.get(key), identity) {
            (before, after, _) if before == after => {}
            (before, after, Some((array, id))) => compare_entries(array, id, before, after, changes),
            (Some(Value::Table(before)), Some(Value::Table(after)), _) => {
                compare(&below, before, after, changes)
            }
            _ => changes.push(Change { table: format!("[{path}]"), what: key.clone() }),
        }
    }
}

fn compare_entries(
    array: &str,
    id: &[&str],
    before: Option<&Value>,
    after: Option<&Value>,
    changes: &mut Vec<Change>,
) {
    let (before, after) = (entries(id, before), entries(id, after));
    for (name, entry) in &before {
        match after.iter().find(|(other, _)| other == name) {
            None => changes.push(Change::of_entry(array, name, "removed")),
            Some((_, other)) => {
                let keys: BTreeSet<&String> = entry.keys().chain(other.keys()).collect();
                let differing = keys.into_iter().filter(|key| entry.get(*key) != other.get(*key));
                changes.extend(differing.map(|key| Change::of_entry(array, name, key)));
            }
        }
    }
    let added = after.iter().filter(|(name, _)| !before.iter().any(|(other, _)| other == name));
    changes.extend(added.map(|(name, _)| Change::of_entry(array, name, "added")));
}

fn entries<'a>(id: &[&str], array: Option<&'a Value>) -> Vec<(String, &'a Table)> {
    let tables = array.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_table);
    tables
        .map(|table| {
            let name = id.iter().map(|key| match table.get(*key) {
                Some(Value::String(name)) => name.clone(),
                other => other.map_or_else(String::new, ToString::to_string),
            });
            (name.collect::<Vec<_>>().join(" "), table)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::keys;

    const EXAMPLE: &str = include_str!("../../storage-port.example.toml");

    fn told(edits: &[(&str, &str)]) -> Vec<String> {
        let read =
            |text: &str| config_file::parse::<Config>(text, Path::new("port.toml"), keys::KEYS).unwrap();
        let edited = edits.iter().fold(EXAMPLE.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{from}");
            text.replacen(from, to, 1)
        });
        changes(&read(EXAMPLE), &read(&edited)).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_change_is_told_by_its_table_and_key() {
        let said = told(&[
            ("listen = \"127.0.0.1:2049\"", "listen = \"127.0.0.1:2050\""),
            ("[nfs]", "[nfs]\nrpcbind_port = 1111"),
            ("squash = \"root\"", "squash = \"all\"\nread_only = true"),
            ("path = \"/SRL\"", "path = \"/urls\""),
            ("path = \"/var/cache/storage-port/0\"", "path = \"/var/cache/storage-port/1\""),
            ("customer-1.secret", "new.secret"),
            ("[journal]", "[[folder]]\ncustomer = 1\npath = \"/a\"\ncached = false\n[journal]"),
        ]);
        assert_eq!(
            said,
            [
                "[[cache.disk]] /var/cache/storage-port/0 removed",
                "[[cache.disk]] /var/cache/storage-port/1 added",
                "[[customer]] 1 secret_file",
                "[[export]] /SRL removed",
                "[[export]] /export read_only",
                "[[export]] /export squash",
                "[[export]] /urls added",
                "[[folder]] 1 /a added",
                "[nfs] listen",
                "[nfs] rpcbind_port",
            ]
        );
    }

    #[test]
    fn a_default_written_down_is_no_change() {
        let said = told(&[
            ("# read_only = false", "read_only = false"),
            ("# deadline_seconds = 10", "deadline_seconds = 10"),
        ]);
        assert_eq!(said, [""; 0]);
    }
}
