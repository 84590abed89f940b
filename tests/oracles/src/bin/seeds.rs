//! Writes the seeds of every target into folders below the one named: `seeds fuzz/corpus`.

use std::fs;
use std::io;
use std::path::PathBuf;

use oracles::{TARGETS, seeds};

fn main() -> io::Result<()> {
    let corpus: PathBuf = std::env::args_os().nth(1).unwrap_or_else(|| "fuzz/corpus".into()).into();
    for (name, _) in TARGETS {
        let folder = corpus.join(name);
        fs::create_dir_all(&folder)?;
        for (number, seed) in seeds::of(name).into_iter().enumerate() {
            fs::write(folder.join(format!("seed-{number:02}")), seed)?;
        }
    }
    Ok(())
}
