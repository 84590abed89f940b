//! The keys that a site file may have.

use config_file::Known;

/// See [`Known`]. What stands below `[advanced]` is for the daemons to know.
pub(crate) const KEYS: Known = &[
    (
        "",
        &[
            "schema",
            "port",
            "lan",
            "wan",
            "heartbeat",
            "time",
            "center",
            "export",
            "cifs",
            "pair",
            "ssh",
            "advanced",
        ],
    ),
    ("port", &["name"]),
    ("lan", &["nic", "address", "gateway"]),
    ("wan", &["nic", "address", "gateway", "dns"]),
    ("heartbeat", &["nic", "address"]),
    ("time", &["ntp"]),
    ("center", &["url", "ddm", "dosm", "ca_file", "customer", "secret_file"]),
    (
        "export",
        &[
            "path",
            "tree",
            "folder",
            "allowed",
            "read_only",
            "audit",
            "versions",
            "squash",
            "anonymous_uid",
            "anonymous_gid",
            "srl_seconds",
            "srl_host",
            "srl_version",
        ],
    ),
    ("cifs", &["users_file"]),
    ("pair", &["name", "member", "addresses", "peer_lan", "peer_heartbeat", "keys", "reference"]),
    ("ssh", &["authorized_keys_file"]),
    ("advanced", &["storage-port", "port-failover"]),
];
