//! What ARCHITECTURE.md and SEMANTICS.md name exists: every path, and every test behind a promise.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// All files of the repository's packages, as paths relative to its root.
fn files() -> Vec<String> {
    let root = root();
    let packages = [
        "nfs",
        "cifs",
        "protocol",
        "client",
        "config_file",
        "confine",
        "control",
        "doctor",
        "mutual",
        "manual",
        "metrics",
        "monitoring",
        "page_server",
        "appliance",
        "center",
        "failover",
        "setup",
        "image",
        "buildroot",
        "tests",
        "fuzz/fuzz_targets",
    ];
    let mut folders: Vec<PathBuf> = packages.iter().map(|package| root.join(package)).collect();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    files
}

/// What stands between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_path_of_the_architecture_exists() {
    let (text, files) = (fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap(), files());
    let mut checked = 0;
    for name in quoted(&text) {
        let path = name.split(": ").next().unwrap();
        let is_file = path.ends_with(".rs");
        let is_folder = path.contains('/') && path.ends_with('/');
        if path.contains(' ') || path.starts_with('/') || !(is_file || is_folder) {
            continue;
        }
        let found = match is_file {
            true => files.iter().any(|file| file == path || file.ends_with(&format!("/{path}"))),
            false => files.iter().any(|file| file.starts_with(path) || file.contains(&format!("/{path}"))),
        };
        assert!(found, "ARCHITECTURE.md names `{path}`, which does not exist");
        checked += 1;
    }
    assert!(checked > 40, "only {checked} paths were found in ARCHITECTURE.md");
}

#[test]
fn every_promise_names_tests_that_exist() {
    let text = fs::read_to_string(root().join("SEMANTICS.md")).unwrap();
    let mut checked = 0;
    for name in text.lines().filter_map(|line| line.strip_prefix("- `")?.strip_suffix('`')) {
        let Some((file, test)) = name.split_once(": ") else { continue };
        let source = fs::read_to_string(root().join(file))
            .unwrap_or_else(|error| panic!("SEMANTICS.md names {file}: {error}"));
        assert!(source.contains(&format!("fn {test}(")), "{file} has no test `{test}`");
        checked += 1;
    }
    assert!(checked > 40, "only {checked} tests are named in SEMANTICS.md");
}
