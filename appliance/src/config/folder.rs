//! `[[folder]]`: rules for the files below a folder.

use std::time::Duration;

use protocol::name::Name;
use serde::{Deserialize, Serialize};

use crate::folder_rules::Rule;

/// Longest wait of a file for its upload: a day. Until then it is on this port's disk alone.
const QUIET_MS_MAX: u64 = 24 * 60 * 60 * 1_000;

/// The keys of the table.
pub(super) const KEYS: &[&str] = &["customer", "path", "srl_seconds", "cached", "quiet_ms"];

/// `[[folder]]`. What it leaves out is as for the folder above.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct FolderEntry {
    /// In whose tree.
    pub customer: u32,
    /// Which folder, from the customer's root; `/` is the whole tree. It need not exist yet.
    pub path: String,
    /// Seconds for which an SRL is good, 0 for ever; in place of the export's.
    pub srl_seconds: Option<u64>,
    /// Whether what is read and uploaded is kept in the data cache.
    pub cached: Option<bool>,
    /// Milliseconds for which a file is left alone after its last write before it is uploaded; in place of that of
    /// `[upload]`.
    pub quiet_ms: Option<u64>,
}

impl FolderEntry {
    /// What no single value shows.
    pub(super) fn check(&self) -> Result<(), String> {
        let Self { customer, path, .. } = self;
        let told = |message: &str| Err(format!("[[folder]] {path} of customer {customer}: {message}"));
        let names = path
            .strip_prefix('/')
            .map(|names| names.split('/').all(|name| Name::new(name.as_bytes()).is_ok()));
        if path != "/" && names != Some(true) {
            return told(
                "write the `path` like `/videos`, from the customer's root, whatever the exports show",
            );
        }
        if self.rule() == Rule::default() {
            return told("it says nothing: give it `srl_seconds`, `cached` or `quiet_ms`, or remove it");
        }
        if self.quiet_ms.is_some_and(|quiet| quiet > QUIET_MS_MAX) {
            return told(&format!("`quiet_ms` is a day at most, {QUIET_MS_MAX}"));
        }
        Ok(())
    }

    /// The names that lead to the folder.
    pub(super) fn names(&self) -> Vec<Vec<u8>> {
        let names = self.path.split('/').filter(|name| !name.is_empty());
        names.map(|name| name.as_bytes().to_vec()).collect()
    }

    /// What it says.
    pub(super) fn rule(&self) -> Rule {
        let quiet = self.quiet_ms.map(Duration::from_millis);
        Rule { srl_seconds: self.srl_seconds, cached: self.cached, quiet }
    }
}
