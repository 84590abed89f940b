//! The keys a file may have, and the nearest of them to one it may not have. Pure.

use strsim::levenshtein;
use toml::{Table, Value};

/// Per table (by its path, arrays of tables like tables): its keys.
pub type Known = &'static [(&'static str, &'static [&'static str])];

/// A key that means nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownKey {
    /// Its table's path; empty at the top.
    pub table: String,
    /// The key.
    pub key: String,
    /// The key of that table that looks most like it.
    pub nearest: &'static str,
}

/// The keys of `document` that are unknown, in its order.
pub fn unknown_keys(document: &Table, known: Known) -> Vec<UnknownKey> {
    let mut found = Vec::new();
    unknown_in(document, "", known, &mut found);
    found
}

fn unknown_in(table: &Table, path: &str, all: Known, found: &mut Vec<UnknownKey>) {
    // A table without an entry stands where a plain value belongs: that is for the deserializer to say.
    let Some((_, known)) = all.iter().find(|(known_path, _)| *known_path == path) else { return };
    for (key, value) in table {
        if !known.contains(&key.as_str()) {
            let nearest =
                known.iter().min_by_key(|known| levenshtein(key, known)).copied().unwrap_or_default();
            found.push(UnknownKey { table: path.to_owned(), key: key.clone(), nearest });
            continue;
        }
        let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match value {
            Value::Table(table) => unknown_in(table, &below, all, found),
            Value::Array(items) => {
                for table in items.iter().filter_map(Value::as_table) {
                    unknown_in(table, &below, all, found);
                }
            }
            _ => {}
        }
    }
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
        let found = unknown_keys(&text.parse().unwrap(), KNOWN).into_iter().next()?;
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

    #[test]
    fn all_unknown_keys_are_found() {
        let text = "[upload]\nquiet = 1\n[[cache.disk]]\nbytse = 1\n[[cache.disk]]\npath = 'a'\nbits = 1\n[x]\ny = 1";
        let found = unknown_keys(&text.parse().unwrap(), KNOWN);
        let keys: Vec<&str> = found.iter().map(|unknown| unknown.key.as_str()).collect();
        assert_eq!(keys, ["bytse", "bits", "quiet", "x"]);
    }
}
