//! Every input that fuzzing kept, through the oracle it was kept for: what was found once is not found again.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::panic;
use std::path::{Path, PathBuf};

use oracles::TARGETS;

/// A corpus is to be read with every test run, and by people.
const CORPUS_BYTES_MAX: u64 = 2 << 20;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

fn files(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir)
        .unwrap_or_else(|error| panic!("{}: {error}", dir.display()))
        .map(|entry| entry.unwrap().path())
        .collect()
}

#[test]
fn every_oracle_holds_for_its_corpus() {
    for (name, oracle) in TARGETS {
        let inputs = files(&fuzz().join("corpus").join(name));
        assert!(!inputs.is_empty(), "{name} has no corpus");
        for path in inputs {
            let bytes = fs::read(&path).unwrap();
            if let Err(failure) = panic::catch_unwind(|| oracles::run(*oracle, &bytes)) {
                eprintln!("{name} fails for {}", path.display());
                panic::resume_unwind(failure);
            }
        }
    }
}

#[test]
fn every_oracle_is_fuzzed_and_has_its_seeds() {
    let names: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let listed = |folder: &str| -> BTreeSet<String> {
        files(&fuzz().join(folder))
            .iter()
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(listed("fuzz_targets"), names);
    assert_eq!(listed("corpus"), names);
    for (name, oracle) in TARGETS {
        let seeds = oracles::seeds::of(name);
        assert!(!seeds.is_empty(), "{name} has no seeds");
        seeds.iter().for_each(|seed| oracle(seed));
    }
}

#[test]
fn the_corpus_stays_small() {
    let folders = files(&fuzz().join("corpus"));
    let bytes: u64 =
        folders.iter().flat_map(|folder| files(folder)).map(|file| file.metadata().unwrap().len()).sum();
    assert!(bytes <= CORPUS_BYTES_MAX, "{bytes} bytes of corpus: minimise it (docs/fuzzing.md)");
}
