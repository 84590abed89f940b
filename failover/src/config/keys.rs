//! The keys a configuration may have, and the nearest of them to one it may not have. Pure.

use toml::{Table, Value};

/// Per table (by its path): its keys.
const KEYS: &[(&str, &[&str])] = &[
    ("", &["pair", "heartbeat", "lan", "wan", "port", "center", "state", "timers", "health", "watchdog"]),
    ("pair", &["name", "member", "key_file", "old_key_file"]),
    ("heartbeat", &["interface", "listen", "peer"]),
    ("lan", &["interface", "listen", "peer", "addresses", "reference"]),
    ("wan", &["interface"]),
    ("port", &["state_dir", "nfs_port"]),
    ("center", &["ddm", "ca_file", "customer", "secret_file"]),
    ("state", &["dir"]),
    (
        "timers",
        &[
            "lease_ms",
            "query_ms",
            "center_lease_ms",
            "wan_lost_ms",
            "hold_down_ms",
            "hold_down_max_ms",
            "service_probe_ms",
            "service_silent_ms",
            "lan_probe_ms",
            "lan_silent_ms",
        ],
    ),
    ("health", &["threshold", "interval_ms", "cache_disks", "journal_disks", "weights", "limits"]),
    (
        "health.weights",
        &[
            "processor",
            "hung_threads",
            "memory",
            "cache_disk",
            "journal_disk",
            "disk_full",
            "nic",
            "temperature",
        ],
    ),
    (
        "health.limits",
        &[
            "load_per_core",
            "lateness_ms",
            "overload_seconds",
            "hung_seconds",
            "memory_available_percent",
            "disk_probe_ms",
            "disk_free_percent",
            "nic_errors_per_minute",
            "celsius",
        ],
    ),
    ("watchdog", &["device", "timeout_seconds"]),
];

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
pub(super) fn first_unknown(document: &Table) -> Option<UnknownKey> {
    unknown_in(document, "")
}

fn unknown_in(table: &Table, path: &str) -> Option<UnknownKey> {
    // A table without an entry stands where a plain value belongs: that is for the deserializer to say.
    let (_, known) = KEYS.iter().find(|(known_path, _)| *known_path == path)?;
    table.iter().find_map(|(key, value)| {
        if !known.contains(&key.as_str()) {
            let nearest = known.iter().min_by_key(|known| strsim::levenshtein(key, known))?;
            return Some(UnknownKey { table: path.to_owned(), key: key.clone(), nearest });
        }
        match value {
            Value::Table(below) if path.is_empty() => unknown_in(below, key),
            Value::Table(below) => unknown_in(below, &format!("{path}.{key}")),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_told_with_the_nearest_known_one() {
        let unknown = |text: &str| {
            let found = first_unknown(&text.parse().unwrap())?;
            Some((found.table, found.key, found.nearest))
        };
        let say = |table: &str, key: &str, nearest| Some((table.to_owned(), key.to_owned(), nearest));
        assert_eq!(unknown("[heart]\nlisten = 'x'"), say("", "heart", "health"));
        assert_eq!(unknown("[health.weights]\nmemroy = 1"), say("health.weights", "memroy", "memory"));
        assert_eq!(unknown("[timers]\nlease_ms = 1"), None);
    }
}
