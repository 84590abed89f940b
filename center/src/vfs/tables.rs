//! The tables of the directory database, for whoever treats them all alike: copying, mirroring.
//!
//! What belongs to a database and not to the directory in it (`mirror…`) is not among them.

/// A table.
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// So many of its columns, from the first, name a row; at most 2.
    pub keys: usize,
    /// Their names; a later schema appends some.
    pub columns: &'static [&'static str],
}

/// In an order in which rows come after those they refer to.
pub const TABLES: [Table; 12] = [
    Table {
        name: "customer",
        keys: 1,
        columns: &[
            "id",
            "name",
            "reserved",
            "root",
            "position",
            "bytes_used",
            "files_used",
            "bytes_quota",
            "files_quota",
            "upload_page",
            "callback_hosts",
            "client_files",
            "access",
            "suspended",
            "keep_seconds",
            "bytes_kept",
            "versions_kept",
        ],
    },
    Table { name: "access_generation", keys: 1, columns: &["id", "value"] },
    Table { name: "secret", keys: 2, columns: &["customer", "rank", "secret"] },
    Table { name: "revocation", keys: 2, columns: &["customer", "mark", "what", "since"] },
    Table {
        name: "port_pair",
        keys: 2,
        columns: &["customer", "name", "generation", "holder", "held", "renewals", "lease_ms"],
    },
    Table {
        name: "entry",
        keys: 1,
        columns: &[
            "id",
            "customer",
            "parent",
            "name",
            "version",
            "created",
            "modified",
            "changed",
            "metadata",
            "subfolders",
            "fingerprint",
            "size",
            "digest",
            "token",
        ],
    },
    Table {
        name: "version",
        keys: 1,
        columns: &[
            "id",
            "customer",
            "why",
            "at",
            "entry",
            "parent",
            "name",
            "version",
            "created",
            "modified",
            "changed",
            "metadata",
            "subfolders",
            "fingerprint",
            "size",
            "digest",
            "token",
        ],
    },
    Table { name: "doomed", keys: 1, columns: &["id", "customer"] },
    Table {
        name: "outbox",
        keys: 1,
        columns: &["id", "customer", "fingerprint", "token", "attempts", "due", "released"],
    },
    Table { name: "reply", keys: 1, columns: &["id", "customer", "key", "at", "document"] },
    Table { name: "change", keys: 2, columns: &["customer", "position", "id", "version"] },
    Table { name: "node", keys: 1, columns: &["number", "address"] },
];

/// Tables whose ids count up and are given once.
pub const COUNTED: [&str; 4] = ["entry", "version", "outbox", "reply"];
