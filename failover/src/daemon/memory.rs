//! The newest generation this judge has known, on disk: it outlasts a restart.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::machine::event::Generation;

/// The file's name in the state directory.
const NAME: &str = "generation";

/// What is remembered, and where.
#[derive(Debug)]
pub(super) struct Memory(PathBuf);

impl Memory {
    /// In a state directory.
    pub(super) fn new(state_dir: &Path) -> Self {
        Self(state_dir.join(NAME))
    }

    /// What was remembered last; zero at the first start.
    ///
    /// # Errors
    /// The file cannot be read, or holds no number: put the right one there, or remove it while the port is passive
    /// (the center and the peer know it too).
    pub(super) fn recall(&self) -> io::Result<Generation> {
        match fs::read_to_string(&self.0) {
            Ok(text) => {
                let damaged = || io::Error::new(io::ErrorKind::InvalidData, "it holds no number: remove it");
                text.trim().parse().map(Generation).map_err(|_| damaged())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Generation(0)),
            Err(error) => Err(error),
        }
    }

    /// Durable on return; what was there before is whole until then.
    ///
    /// # Errors
    /// Of the disk.
    pub(super) fn remember(&self, generation: Generation) -> io::Result<()> {
        let new = self.0.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        writeln!(file, "{generation}")?;
        file.sync_data()?;
        fs::rename(&new, &self.0)?;
        self.0.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_remembered_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Memory::new(dir.path()).recall().unwrap(), Generation(0));
        for generation in [Generation(7), Generation(u64::MAX)] {
            Memory::new(dir.path()).remember(generation).unwrap();
            assert_eq!(Memory::new(dir.path()).recall().unwrap(), generation);
        }
        fs::write(dir.path().join(NAME), "seven").unwrap();
        assert!(Memory::new(dir.path()).recall().unwrap_err().to_string().contains("remove it"));
    }
}
