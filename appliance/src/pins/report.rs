//! What is told of pins.

use std::fmt;

use serde::{Deserialize, Serialize};

/// All pins.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct PinsReport {
    /// Bytes of the cache that are pinned now.
    pub pinned_bytes: u64,
    /// What there may be, on all disks.
    pub pinned_bytes_max: u64,
    /// In the order in which they were made.
    pub pins: Vec<PinReport>,
}

/// One pin.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct PinReport {
    /// As it was called when it was pinned.
    pub path: String,
    /// Whose.
    pub customer: u32,
    /// Its id.
    pub object: u64,
    /// How it is.
    #[serde(flatten)]
    pub figures: Figures,
}

/// How a pin is, as of the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Figures {
    /// It was looked through since the start, or since it was pinned.
    pub is_known: bool,
    /// There is no such folder or file any more.
    pub is_gone: bool,
    /// Files in it.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of them that are in the cache.
    pub bytes_cached: u64,
    /// Files for which there was no room among what is pinned.
    pub left_out: u64,
    /// Files that could not be fetched, and folders that could not be looked through, the last time; they are tried again.
    pub failed: u64,
}

/// What `cache pin` is told while it listens.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum PinLine {
    /// How much it is, is counted.
    Counting {
        /// Files so far.
        files: u64,
    },
    /// The last line: it is pinned, and is fetched from now on.
    Pinned {
        /// As it will be called.
        path: String,
        /// Files in it.
        files: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// The last line: it is not.
    Refused {
        /// Why.
        why: String,
    },
}

/// What came of `cache unpin`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Unpinned {
    /// As it was called.
    pub path: String,
}

impl fmt::Display for PinsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pinned_bytes, pinned_bytes_max, pins } = self;
        write!(f, "pinned: {pinned_bytes} of {pinned_bytes_max} bytes")?;
        for PinReport { path, figures, .. } in pins {
            write!(f, "\n{path}: {figures}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { is_known, is_gone, files, bytes, bytes_cached, left_out, failed } = self;
        if *is_gone {
            return f.write_str("GONE: there is no such file or folder any more; unpin it");
        }
        if !is_known {
            return f.write_str("not looked through yet");
        }
        write!(f, "{files} files, {bytes_cached} of {bytes} bytes are in the cache")?;
        if *left_out > 0 {
            write!(
                f,
                "; {left_out} files HAVE NO ROOM: unpin something, or give `pinned_share` or the disks of [cache] more"
            )?;
        }
        if *failed > 0 {
            write!(f, "; {failed} FAILED, and are tried again")?;
        }
        Ok(())
    }
}

impl fmt::Display for PinLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Counting { files } => write!(f, "counting: {files} files so far"),
            Self::Pinned { path, files, bytes } => write!(
                f,
                "{path} is pinned: {files} files, {bytes} bytes; what is not in the cache is fetched now, see `cache pins`"
            ),
            Self::Refused { why } => write!(f, "not pinned: {why}"),
        }
    }
}

impl fmt::Display for Unpinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is pinned no longer; it stays in the cache until its room is needed", self.path)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reports_are_for_programs_and_for_people() {
        let figures = Figures { is_known: true, files: 3, bytes: 30, bytes_cached: 20, ..Figures::default() };
        let pin = |figures| PinReport { path: "/export/a".into(), customer: 1, object: 7, figures };
        let report = |figures| PinsReport { pinned_bytes: 4, pinned_bytes_max: 9, pins: vec![pin(figures)] };
        assert_eq!(
            report(figures).to_string(),
            "pinned: 4 of 9 bytes\n/export/a: 3 files, 20 of 30 bytes are in the cache"
        );
        let told = serde_json::to_value(report(figures)).unwrap();
        assert_eq!((&told["pins"][0]["bytes_cached"], &told["pins"][0]["object"]), (&json!(20), &json!(7)));
        assert_eq!(serde_json::from_value::<PinsReport>(told).unwrap(), report(figures));
        let short = report(Figures { left_out: 2, failed: 1, ..figures }).to_string();
        assert!(short.contains("2 files HAVE NO ROOM") && short.contains("1 FAILED"), "{short}");
        assert!(report(Figures { is_gone: true, ..figures }).to_string().contains("GONE"));
        assert!(report(Figures::default()).to_string().ends_with("not looked through yet"));
        let line = PinLine::Refused { why: "no room".into() };
        assert_eq!(serde_json::to_value(&line).unwrap(), json!({"event": "refused", "why": "no room"}));
    }
}
