//! The keys a file may have, and the nearest of them to one it may not have. Pure.

use strsim::levenshtein;
use toml::{Table, Value};

/// Per table (by its path, arrays of tables like tables): its keys.
pub type Known = &'static [(&'static str, &'static [&'static str])];

/// A key that means nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UnknownKey {
    /// Its table's path; empty at the top.
    pub(super) table: String,
    /// The key.
    pub(super) key: String,
    /// The key of that table that looks most like it.
    pub(super) nearest: &'static str,
}

/// The first key of `document` that is unknown.
pub(super) fn first_unknown(document: &Table, known: Known) -> Option<UnknownKey> {
    unknown_in(document, "", known)
}

fn unknown_in(table: &Table, path: &str, all: Known) -> Option<UnknownKey> {
    // A table without an entry stands where a plain value belongs: that is for the deserializer to say.
    let (_, known) = all.iter().find(|(known_path, _)| *known_path == path)?;
    table.iter().find_map(|(key, value)| {
        if !known.contains(&key.as_str()) {
            let nearest = known.iter().min_by_key(|known| levenshtein(key, known))?;
            return Some(UnknownKey { table: path.to_owned(), key: key.clone(), nearest });
        }
        let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match value {
            Value::Table(table) => unknown_in(table, &below, all),
            Value::Array(items) => {
                items.iter().filter_map(Value::as_table).find_map(|table| unknown_in(table, &below, all))
            }
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: Known = &[
        ("", &["cache", "health", "heartbeat", "journal", "timers", "upload"]),
        ("cache", &["disk"]),
        ("cache.disk", &["path", "bytes"]),
        ("health", &["weights"]),
        ("health.weights", &["memory", "nic"]),
        ("timers", &["lease_ms", "query_ms"]),
        ("upload", &["quiet_ms"]),
    ];

    fn unknown(text: &str) -> Option<(String, String, &'static str)> {
        let found = first_unknown(&text.parse().unwrap(), KNOWN)?;
        Some((found.table, found.key, found.nearest))
    }

    #[test]
    fn an_unknown_key_is_told_with_the_nearest_known_one() {
        let say = |table: &str, key: &str, nearest| Some((table.to_owned(), key.to_owned(), nearest));
        assert_eq!(unknown("[journals]\ndir = 'x'"), say("", "journals", "journal"));
        assert_eq!(unknown("[heart]\nlisten = 'x'"), say("", "heart", "health"));
        assert_eq!(unknown("[upload]\nquiet_msec = 1"), say("upload", "quiet_msec", "quiet_ms"));
        assert_eq!(unknown("[health.weights]\nmemroy = 1"), say("health.weights", "memroy", "memory"));
        assert_eq!(unknown("[[cache.disk]]\npath = 'a'\nbytse = 1"), say("cache.disk", "bytse", "bytes"));
        assert_eq!(unknown("[upload]\nquiet_ms = 1"), None);
        assert_eq!(unknown("[timers]\nlease_ms = 1"), None);
    }
}
