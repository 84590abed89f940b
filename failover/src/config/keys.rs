//! The keys that the configuration of a judge may have.

use config_file::Known;

/// See [`Known`].
pub(super) const KEYS: Known = &[
    (
        "",
        &[
            "pair",
            "heartbeat",
            "lan",
            "wan",
            "port",
            "center",
            "state",
            "timers",
            "health",
            "watchdog",
            "metrics",
        ],
    ),
    ("pair", &["name", "member", "key_file", "old_key_file"]),
    ("heartbeat", &["interface", "listen", "peer"]),
    ("lan", &["interface", "listen", "peer", "addresses", "reference"]),
    ("wan", &["interface"]),
    ("port", &["state_dir", "nfs_port", "cifs_port"]),
    ("center", &["ddm", "ca_file", "customer", "secret_file"]),
    ("state", &["dir"]),
    (
        "timers",
        &[
            "lease_ms",
            "query_ms",
            "center_lease_ms",
            "center_lease_alone_ms",
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
    ("metrics", metrics::server::KEYS),
];
