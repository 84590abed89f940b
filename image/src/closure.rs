//! All that programs are loaded with: their interpreters and their shared libraries, and those libraries' libraries.
//! Pure: who calls says what lies where.

use std::collections::{BTreeMap, BTreeSet};

use crate::elf::{self, ElfError};

/// Files by their absolute path, links followed.
pub trait Files {
    /// The contents; `None` if there is no such file.
    fn contents(&self, path: &str) -> Option<Vec<u8>>;
}

/// Why a program cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ClosureError {
    /// A library is nowhere.
    #[error("{program} needs {library}, which is in none of {}", folders.join(", "))]
    Missing {
        /// Who needs it.
        program: String,
        /// What.
        library: String,
        /// Where it was looked for.
        folders: Vec<String>,
    },
    /// A program or library is damaged.
    #[error("{path}: {error}")]
    Elf {
        /// Which.
        path: String,
        /// What is wrong with it.
        error: ElfError,
    },
}

/// What these programs are loaded with, by path, without the programs. `folders` are where libraries are looked for.
///
/// # Errors
/// See [`ClosureError`].
pub fn closure(
    programs: &BTreeMap<String, Vec<u8>>,
    files: &impl Files,
    folders: &[&str],
) -> Result<BTreeMap<String, Vec<u8>>, ClosureError> {
    let mut found: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut looked = BTreeSet::new();
    let mut waiting: Vec<(String, Vec<u8>)> =
        programs.iter().map(|(path, contents)| (path.clone(), contents.clone())).collect();
    while let Some((path, contents)) = waiting.pop() {
        let Some(needs) =
            elf::needs(&contents).map_err(|error| ClosureError::Elf { path: path.clone(), error })?
        else {
            continue;
        };
        let origin = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let own =
            needs.folders.iter().map(|folder| folder.replace("$ORIGIN", origin).replace("${ORIGIN}", origin));
        let order: Vec<String> = own.chain(folders.iter().map(|&folder| folder.to_owned())).collect();
        let wanted = needs
            .libraries
            .iter()
            .map(|name| (name, order.iter().map(|folder| format!("{folder}/{name}")).collect::<Vec<_>>()))
            .chain(needs.interpreter.iter().map(|path| (path, vec![path.clone()])));
        for (name, candidates) in wanted {
            if candidates.iter().any(|candidate| looked.contains(candidate)) {
                continue;
            }
            let (at, contents) = candidates
                .iter()
                .find_map(|candidate| Some((candidate.clone(), files.contents(candidate)?)))
                .ok_or_else(|| ClosureError::Missing {
                    program: path.clone(),
                    library: name.clone(),
                    folders: order.clone(),
                })?;
            looked.insert(at.clone());
            found.insert(at.clone(), contents.clone());
            waiting.push((at, contents));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Host;

    impl Files for Host {
        fn contents(&self, path: &str) -> Option<Vec<u8>> {
            std::fs::read(path).ok()
        }
    }

    fn own() -> BTreeMap<String, Vec<u8>> {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        [("/usr/bin/own".to_owned(), own), ("/usr/bin/script".to_owned(), b"#!/bin/sh".to_vec())].into()
    }

    #[test]
    fn the_closure_has_interpreter_and_libraries_once() {
        let found = closure(&own(), &Host, &["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu"]).unwrap();
        let names: Vec<&str> = found.keys().filter_map(|path| path.rsplit('/').next()).collect();
        assert!(names.contains(&"libc.so.6") && names.contains(&"ld-linux-x86-64.so.2"), "{names:?}");
        assert_eq!(names.iter().filter(|name| **name == "libc.so.6").count(), 1, "{names:?}");
    }

    #[test]
    fn a_missing_library_is_told_with_who_needs_it() {
        let told = closure(&own(), &Host, &["/none"]).unwrap_err().to_string();
        assert!(
            told.starts_with("/usr/bin/own needs lib") && told.ends_with("which is in none of /none"),
            "{told}"
        );
    }
}
