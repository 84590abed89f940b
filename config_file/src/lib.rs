//! The configuration file of a daemon: TOML, with errors that say in one line where it is wrong and what was meant.
//!
//! What its values mean, and whether they go together, is for the daemon to say.

mod keys;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

pub use self::keys::{Known, UnknownKey, unknown_keys};

/// What is wrong with a file: one line, for the operator.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// No file to read.
    #[error("cannot read the configuration {path}: {error}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Not TOML, or a value of the wrong kind.
    #[error("{path}:{line}: {message}{text}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
        /// The line itself, in a form to put behind the message; empty if it is of no use.
        text: String,
    },
    /// A key that means nothing.
    #[error("{path}: unknown key `{key}`{place}; did you mean `{nearest}`?")]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// Its table, in a form to put behind the key.
        place: String,
        /// The known key most like it.
        nearest: &'static str,
    },
}

/// Reads the file at `path`, which may have the keys `known`.
///
/// # Errors
/// See [`FileError`].
pub fn load<T: DeserializeOwned>(path: &Path, known: Known) -> Result<T, FileError> {
    let text =
        fs::read_to_string(path).map_err(|error| FileError::Unreadable { path: path.to_owned(), error })?;
    parse(&text, path, known)
}

/// The same of its text; `path` is where it stands, for errors.
///
/// # Errors
/// See [`FileError`].
pub fn parse<T: DeserializeOwned>(text: &str, path: &Path, known: Known) -> Result<T, FileError> {
    let document = parse_table(text, path)?;
    if let Some(UnknownKey { table, key, nearest }) = unknown_keys(&document, known).into_iter().next() {
        let place = if table.is_empty() { String::new() } else { format!(" in [{table}]") };
        return Err(FileError::UnknownKey { path: path.to_owned(), key, place, nearest });
    }
    toml::from_str(text).map_err(|error| malformed(text, path, &error))
}

/// The same of whatever TOML it is, for who looks into it by himself.
///
/// # Errors
/// What is no TOML.
pub fn parse_table(text: &str, path: &Path) -> Result<toml::Table, FileError> {
    text.parse().map_err(|error| malformed(text, path, &error))
}

fn malformed(text: &str, path: &Path, error: &toml::de::Error) -> FileError {
    let start = error.span().map_or(0, |span| span.start.min(text.len()));
    let line = text.as_bytes()[..start].iter().filter(|byte| **byte == b'\n').count();
    let shown = text.lines().nth(line).map_or("", str::trim);
    FileError::Malformed {
        path: path.to_owned(),
        line: line + 1,
        message: error.message().replace('\n', " "),
        text: if shown.is_empty() { String::new() } else { format!(", in `{shown}`") },
    }
}
