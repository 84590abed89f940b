//! What `cache warm` is told while it listens.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is to be warmed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Order {
    /// Files and folders, as clients call them: `/export/folder`.
    pub paths: Vec<String>,
    /// Only say how much it is, and how much of it is there.
    #[serde(default)]
    pub dry_run: bool,
}

/// How far it is. Bytes are those of the files: contents that two files share count twice, though they are fetched once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Progress {
    /// Files there are.
    pub files: u64,
    /// Files that are in the cache, whole.
    pub files_done: u64,
    /// Files and folders that failed; each was told.
    pub failed: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Bytes of them that are in the cache.
    pub bytes_done: u64,
    /// Bytes of those that were fetched for it.
    pub bytes_fetched: u64,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Line {
    /// Files are counted; nothing is fetched yet.
    Counting(Progress),
    /// They are fetched.
    Fetching(Progress),
    /// One could not be.
    Failed {
        /// Which file or folder.
        path: String,
        /// Why.
        why: String,
    },
    /// The last line: all was tried.
    Done(Progress),
    /// The last line: it has no room, and nothing was fetched.
    Refused {
        /// Bytes that it takes of the cache.
        bytes: u64,
        /// Bytes that the cache has.
        room: u64,
    },
    /// The last line: it was given up amid the work. What was fetched stays.
    Stopped {
        /// How far it was.
        #[serde(flatten)]
        progress: Progress,
        /// Why.
        why: String,
    },
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { files, files_done, failed, bytes, bytes_done, bytes_fetched } = self;
        write!(
            f,
            "{files_done} of {files} files, {bytes_done} of {bytes} bytes are in the cache; {bytes_fetched} bytes were \
             fetched for it"
        )?;
        if *failed > 0 {
            write!(f, "; {failed} FAILED")?;
        }
        Ok(())
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Counting(Progress { files, bytes, .. }) => {
                write!(f, "counting: {files} files, {bytes} bytes so far")
            }
            Self::Fetching(progress) => write!(f, "fetching: {progress}"),
            Self::Failed { path, why } => write!(f, "failed: {path}: {why}"),
            Self::Done(progress) => write!(f, "{progress}"),
            Self::Refused { bytes, room } => write!(
                f,
                "nothing was fetched: it takes {bytes} bytes of the cache, which has {room} on all of its disks, in \
                 pieces that each belong on one of them: warm less, or give [cache] more"
            ),
            Self::Stopped { progress, why } => {
                write!(f, "given up: {why}; {progress}. The same command goes on from here")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lines_are_as_documented() {
        let progress =
            Progress { files: 3, files_done: 1, failed: 1, bytes: 30, bytes_done: 12, bytes_fetched: 2 };
        let figures = json!({"files": 3, "files_done": 1, "failed": 1, "bytes": 30, "bytes_done": 12, "bytes_fetched": 2});
        for (line, event) in [
            (Line::Counting(progress), "counting"),
            (Line::Fetching(progress), "fetching"),
            (Line::Done(progress), "done"),
            (Line::Stopped { progress, why: "it is away".into() }, "stopped"),
        ] {
            let told = serde_json::to_value(&line).unwrap();
            assert_eq!(told["event"], event);
            for (key, value) in figures.as_object().unwrap() {
                assert_eq!(told[key], *value, "{key}");
            }
            assert_eq!(serde_json::from_value::<Line>(told).unwrap(), line);
        }
        let failed = Line::Failed { path: "/export/a".into(), why: "gone".into() };
        assert_eq!(
            serde_json::to_value(&failed).unwrap(),
            json!({"event": "failed", "path": "/export/a", "why": "gone"})
        );
        assert_eq!(failed.to_string(), "failed: /export/a: gone");
        let refused = Line::Refused { bytes: 70, room: 60 }.to_string();
        assert!(refused.contains("70 bytes") && refused.contains("has 60"), "{refused}");
        assert!(Line::Done(progress).to_string().ends_with("; 1 FAILED"));
        let order: Order = serde_json::from_value(json!({"paths": ["/export"]})).unwrap();
        assert!(!order.dry_run);
    }
}
