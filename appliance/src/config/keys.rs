//! The keys a configuration may have, and the nearest of them to one it may not have. Pure.

use toml::{Table, Value};

/// Per table (by its path, arrays of tables like tables): its keys.
const KEYS: &[(&str, &[&str])] = &[
    ("", &["state", "center", "customer", "export", "nfs", "cache", "journal", "upload", "pair"]),
    ("state", &["dir"]),
    ("center", &["ddm", "dosm", "ca_file", "deadline_seconds"]),
    ("customer", &["id", "secret_file"]),
    (
        "export",
        &[
            "path",
            "tree",
            "customer",
            "folder",
            "allowed",
            "read_only",
            "squash",
            "anonymous_uid",
            "anonymous_gid",
            "srl_seconds",
            "srl_host",
            "srl_version",
        ],
    ),
    (
        "nfs",
        &[
            "listen",
            "mount_listen",
            "rpcbind",
            "rpcbind_port",
            "locks",
            "grace_seconds",
            "host_name",
            "client_rpcbind_port",
        ],
    ),
    ("cache", &["disk", "directory_entries", "believe_seconds"]),
    ("cache.disk", &["path", "bytes"]),
    ("journal", &["dir", "bytes"]),
    ("upload", &["quiet_ms"]),
    (
        "pair",
        &[
            "name",
            "member",
            "key_file",
            "listen",
            "peer",
            "certificate_file",
            "certificate_key_file",
            "ca_file",
            "when_alone",
            "acknowledge_ms",
        ],
    ),
];

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

/// The first key of `document` that is unknown.
pub fn first_unknown(document: &Table) -> Option<UnknownKey> {
    unknown_in(document, "")
}

fn unknown_in(table: &Table, path: &str) -> Option<UnknownKey> {
    // A table without an entry stands where a plain value belongs: that is for the deserializer to say.
    let (_, known) = KEYS.iter().find(|(known_path, _)| *known_path == path)?;
    table.iter().find_map(|(key, value)| {
        if !known.contains(&key.as_str()) {
            let nearest = known.iter().min_by_key(|known| distance(key, known))?;
            return Some(UnknownKey { table: path.to_owned(), key: key.clone(), nearest });
        }
        let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match value {
            Value::Table(table) => unknown_in(table, &below),
            Value::Array(items) => {
                items.iter().filter_map(Value::as_table).find_map(|table| unknown_in(table, &below))
            }
            _ => None,
        }
    })
}

/// Levenshtein's: how many characters must be put in, taken out or replaced to make one of the other.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, from) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, &to) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown(text: &str) -> Option<(String, String, &'static str)> {
        let found = first_unknown(&text.parse().unwrap())?;
        Some((found.table, found.key, found.nearest))
    }

    #[test]
    fn an_unknown_key_is_told_with_the_nearest_known_one() {
        let say = |table: &str, key: &str, nearest| Some((table.to_owned(), key.to_owned(), nearest));
        assert_eq!(unknown("[journals]\ndir = 'x'"), say("", "journals", "journal"));
        assert_eq!(unknown("[upload]\nquiet_msec = 1"), say("upload", "quiet_msec", "quiet_ms"));
        assert_eq!(unknown("[[cache.disk]]\npath = 'a'\nbytse = 1"), say("cache.disk", "bytse", "bytes"));
        assert_eq!(unknown("[upload]\nquiet_ms = 1"), None);
    }

    #[test]
    fn distance_counts_changes() {
        for (left, right, expected) in [("", "abc", 3), ("kitten", "sitting", 3), ("same", "same", 0)] {
            assert_eq!(distance(left, right), expected);
        }
    }
}
