//! Reading the site file from its disk, whatever firmware wrote it. A shell.
//!
//! A file of an older schema is migrated, and the one before stays beside it under its schema's number: `site.toml.v1`. A
//! firmware that is older than the file, after a rollback, reads what was kept for it.

use std::io;
use std::path::{Path, PathBuf};

use crate::fault::Fault;
use crate::files;
use crate::migrate::{Age, STEPS, Steps};
use crate::site::{self, Site};
use crate::store;

/// A site file that was read.
#[derive(Debug)]
pub struct Loaded {
    /// What stands in it.
    pub site: Site,
    /// Its text, in the present form.
    pub text: String,
    /// What else an operator should know.
    pub notes: Vec<Fault>,
}

/// Reads the site file at `path`. One of an older schema is replaced by what it is now, if that is good and the disk can be
/// written; if not, it is read all the same.
///
/// # Errors
/// All that is wrong with it.
pub fn load(path: &Path) -> Result<Loaded, Vec<Fault>> {
    load_by(path, STEPS)
}

fn load_by(path: &Path, steps: Steps) -> Result<Loaded, Vec<Fault>> {
    let text = read_text(path).map_err(|error| vec![unreadable(path, &error)])?;
    match steps.migrate(&text).map_err(|fault| vec![fault])? {
        Age::Present => Ok(Loaded { site: site::read(&text, path)?, text, notes: Vec::new() }),
        Age::Older(schema, migrated) => {
            let site = site::read(&migrated, path)?;
            let kept = beside(path, schema);
            let stored = store::replace(&kept, text.as_bytes(), false)
                .and_then(|()| store::replace(path, migrated.as_bytes(), false));
            let note = match stored {
                Ok(()) => format!(
                    "was of schema {schema} and is of {} now; as it was it stays in {}",
                    steps.present(),
                    kept.display()
                ),
                Err(error) => format!("is of schema {schema} and is read as it is: {error}"),
            };
            Ok(Loaded { site, text: migrated, notes: vec![Fault::at(path.display(), note)] })
        }
        Age::Newer(schema) => {
            let kept = beside(path, steps.present());
            let newer = format!(
                "is of schema {schema}, which only a newer firmware reads; this one reads {}",
                steps.present()
            );
            match read_text(&kept) {
                Ok(text) if matches!(steps.migrate(&text), Ok(Age::Present)) => {
                    let note = format!("{newer}: {} is read, which was kept for it", kept.display());
                    Ok(Loaded {
                        site: site::read(&text, &kept)?,
                        text,
                        notes: vec![Fault::at(path.display(), note)],
                    })
                }
                _ => {
                    let text = format!(
                        "{newer}: install that firmware again, or write a new file by `storage-port setup`"
                    );
                    Err(vec![Fault::at(path.display(), text)])
                }
            }
        }
    }
}

/// With what a conversation about the site file at `path` begins.
#[derive(Debug, PartialEq, Eq)]
pub enum Begin {
    /// With nothing.
    Anew,
    /// With this text, good or not.
    From(String),
    /// With nothing, for what is there is none that this firmware reads; it shall not be lost: see [`keep`].
    Beside {
        /// Where it is to stay: what comes behind its name.
        suffix: String,
        /// What it is.
        why: &'static str,
    },
}

/// Looks with what a conversation begins.
///
/// # Errors
/// There is a file, and it cannot be read.
pub fn begin(path: &Path) -> Result<Begin, Vec<Fault>> {
    let text = match read_text(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Begin::Anew),
        read => read.map_err(|error| vec![unreadable(path, &error)])?,
    };
    match (load(path), STEPS.migrate(&text)) {
        (Ok(loaded), _) => Ok(Begin::From(loaded.text)),
        (Err(_), Ok(Age::Newer(schema))) => {
            Ok(Begin::Beside { suffix: format!(".v{schema}"), why: "is of a newer firmware" })
        }
        (Err(_), Ok(Age::Older(_, text))) => Ok(Begin::From(text)),
        (Err(_), _) if text.parse::<toml_edit::DocumentMut>().is_err() => {
            Ok(Begin::Beside { suffix: ".broken".to_owned(), why: "is no TOML" })
        }
        (Err(_), _) => Ok(Begin::From(text)),
    }
}

/// Has the file that is there stay beside the one that is to be written.
///
/// # Errors
/// Of the disk.
pub fn keep(path: &Path, suffix: &str) -> Result<(), store::StoreError> {
    let kept = behind(path, suffix);
    let text = read_text(path).map_err(|error| store::StoreError::of(path, error))?;
    store::replace(&kept, text.as_bytes(), false)
}

/// Where the file of another schema stays.
fn beside(path: &Path, schema: u32) -> PathBuf {
    behind(path, &format!(".v{schema}"))
}

fn behind(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn unreadable(path: &Path, error: &io::Error) -> Fault {
    let text = match error.kind() {
        io::ErrorKind::NotFound => "there is no such file: `storage-port setup` writes one".to_owned(),
        _ => format!("cannot be read: {error}"),
    };
    Fault::at(path.display(), text)
}

fn read_text(path: &Path) -> io::Result<String> {
    let bytes = files::read_file(path)?;
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no text in UTF-8"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::migrate::tests::TO_1;

    const EXAMPLE: &str = include_str!("../site.example.toml");

    fn old() -> String {
        EXAMPLE.replace("schema = 1", "schema = 0").replace("[lan]", "[clients]")
    }

    /// PORT-18: an update takes the configuration along, and a rollback finds the one it knows.
    #[test]
    fn a_file_of_an_older_schema_is_migrated_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("site.toml");
        fs::write(&path, old()).unwrap();
        let loaded = load_by(&path, TO_1).unwrap();
        assert_eq!(loaded.site, site::read(EXAMPLE, &path).unwrap());
        assert!(loaded.notes[0].to_string().contains("site.toml.v0"), "{:?}", loaded.notes);
        assert_eq!(fs::read_to_string(dir.path().join("site.toml.v0")).unwrap(), old());
        assert_eq!(fs::read_to_string(&path).unwrap(), loaded.text);
        assert!(load_by(&path, TO_1).unwrap().notes.is_empty(), "once");

        const BEFORE: Steps = Steps { first: 0, steps: &[] };
        let kept = load_by(&path, BEFORE).unwrap_err();
        assert!(
            kept.iter().all(|fault| fault.place() != "schema" || !fault.text().contains("newer")),
            "{kept:?}"
        );
    }

    /// PORT-18: a firmware that comes back does not guess.
    #[test]
    fn a_file_of_a_newer_schema_is_refused_or_the_kept_one_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("site.toml");
        fs::write(&path, EXAMPLE.replace("schema = 1", "schema = 2").replace("[lan]", "[clients]")).unwrap();
        let faults = load(&path).unwrap_err();
        assert_eq!(faults.len(), 1, "{faults:?}");
        let said = faults[0].to_string();
        assert!(
            said.contains("schema 2") && said.contains("newer firmware") && said.contains("setup"),
            "{said}"
        );
        fs::write(dir.path().join("site.toml.v1"), EXAMPLE).unwrap();
        let loaded = load(&path).unwrap();
        assert_eq!(loaded.site.name.to_string(), "port-a");
        assert!(loaded.notes[0].to_string().contains("site.toml.v1"), "{:?}", loaded.notes);
    }

    #[test]
    fn a_conversation_begins_with_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("site.toml");
        assert_eq!(begin(&path), Ok(Begin::Anew));
        for text in [EXAMPLE, "schema = 1\n[lan]\nnic = 7\n"] {
            fs::write(&path, text).unwrap();
            assert_eq!(begin(&path), Ok(Begin::From(text.to_owned())));
        }
        fs::write(&path, "= broken").unwrap();
        assert!(matches!(begin(&path), Ok(Begin::Beside { suffix, .. }) if suffix == ".broken"));
        fs::write(&path, "schema = 7").unwrap();
        assert!(matches!(begin(&path), Ok(Begin::Beside { suffix, .. }) if suffix == ".v7"));
        keep(&path, ".v7").unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("site.toml.v7")).unwrap(), "schema = 7");
        fs::write(&path, [0xff]).unwrap();
        assert!(begin(&path).is_err(), "what cannot be read is not written over");
    }

    #[test]
    fn a_broken_migration_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("site.toml");
        let bad = old().replace("192.0.2.11/24", "nowhere");
        fs::write(&path, &bad).unwrap();
        assert!(load_by(&path, TO_1).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), bad);
        assert!(!dir.path().join("site.toml.v0").exists());
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("site.toml");
        let said = |path: &Path| load(path).unwrap_err()[0].to_string();
        assert!(said(&path).contains("`storage-port setup`"));
        fs::write(&path, [0xff]).unwrap();
        assert!(said(&path).contains("UTF-8"));
        fs::write(&path, vec![b'#'; files::BYTES_MAX as usize + 1]).unwrap();
        assert!(said(&path).contains("more than"));
        fs::write(&path, "schema = \n").unwrap();
        assert!(said(&path).contains("site.toml:1:"), "{}", said(&path));
    }
}
