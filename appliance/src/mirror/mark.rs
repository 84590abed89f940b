//! How a mirror that was left behind is known as such, even if both ports were off meanwhile.
//!
//! The storage center keeps one number for the pair. Before a port acknowledges anything that the other one does not have,
//! it makes the number greater there; before that, it brings to the center all that was acknowledged so far. Each port
//! keeps the number with which its journal was whole last. If that is the center's number, the journal holds all that
//! was acknowledged and is not yet at the center; if not, everything is at the center, and the journal holds only what
//! is older than that.
//!
//! That is true of a port that was whole once. One with a new disk knows nothing: what was acknowledged may be on the other
//! port alone, so it waits for that one's journal ([`NEVER`]).
//!
//! The number is kept as the generation of a second pair of the name `<pair>-mirror`, which nobody serves in.

use std::fs;
use std::future::Future;
use std::io;
use std::path::PathBuf;

use crate::center::CenterError;
use crate::whole_file;

/// The number with which nobody served yet, and that of a port that was never whole: the first port to serve makes it
/// greater.
pub const NEVER: u64 = 0;

/// The number at the center.
pub trait Register: Send + Sync + 'static {
    /// It.
    ///
    /// # Errors
    /// The center's; ask again.
    fn read(&self) -> impl Future<Output = Result<u64, CenterError>> + Send;

    /// Makes it greater than `than`; durable there on return. It.
    ///
    /// # Errors
    /// The center's; nobody knows whether it was done, and asking again does no harm.
    fn raise(&self, than: u64) -> impl Future<Output = Result<u64, CenterError>> + Send;
}

/// The number on this port's disk.
#[derive(Debug)]
pub struct Mark {
    path: PathBuf,
}

impl Mark {
    /// At `path`, which need not exist yet.
    pub const fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Whether there ever was one.
    pub fn exists(&self) -> bool {
        self.path.exists()
    }

    /// It; [`NEVER`] before the first. Blocks on the disk.
    ///
    /// # Errors
    /// Of the disk, or the file is damaged.
    pub fn load(&self) -> io::Result<u64> {
        match fs::read_to_string(&self.path) {
            Ok(text) => text.trim().parse().map_err(|_| self.told("damaged: not a number")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(NEVER),
            Err(error) => Err(self.told(error)),
        }
    }

    /// Keeps it, durably. Blocks on the disk.
    ///
    /// # Errors
    /// Of the disk.
    pub fn store(&self, mark: u64) -> io::Result<()> {
        whole_file::replace(&self.path, mark.to_string().as_bytes()).map_err(|error| self.told(error))
    }

    fn told(&self, error: impl std::fmt::Display) -> io::Error {
        io::Error::other(format!("{}: {error}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_outlasts_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let mark = Mark::new(dir.path().join("whole"));
        assert_eq!(mark.load().unwrap(), 0);
        mark.store(7).unwrap();
        assert_eq!(Mark::new(dir.path().join("whole")).load().unwrap(), 7);
        fs::write(dir.path().join("whole"), b"seven").unwrap();
        assert!(mark.load().is_err());
    }
}
