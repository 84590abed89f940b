//! The keys that the configuration of a port may have.

use config_file::Known;

/// See [`Known`].
pub(super) const KEYS: Known = &[
    (
        "",
        &[
            "state", "center", "customer", "export", "nfs", "cache", "journal", "upload", "cifs", "pair",
            "metrics",
        ],
    ),
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
    ("cifs", &["listen", "name", "users", "signing", "encryption"]),
    ("metrics", metrics::server::KEYS),
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
