//! The witness: a process at a third place that says which storage center may change the directory, so that a follower
//! can take over by itself and never two write (VFS-21).
//!
//! What it must not forget is in a file, written before it answers. [`record`] (pure) decides.

mod record;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use protocol::dosp::operations::{self as op, LeaseOut};
use protocol::dosp::{Failure, Status};

use self::record::{Leases, Record};
use crate::cluster::daemon::Registry;

pub use self::record::LEASE;

/// The witness of a cluster.
pub struct Witness {
    path: PathBuf,
    leases: Mutex<Leases>,
}

impl Witness {
    /// As its file says; a file that is missing says nothing, and is made.
    ///
    /// # Errors
    /// The file is not what this program wrote, or cannot be read or written.
    pub fn open(path: &Path) -> io::Result<Self> {
        let record = match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        // One that cannot be written must be known before it is needed.
        store(path, &record)?;
        let leases = Mutex::new(Leases::new(record, Instant::now()));
        Ok(Self { path: path.to_owned(), leases })
    }

    /// Lets the writer go on, or not.
    pub fn renew(&self, asked: &op::RenewLeaseIn) -> Result<LeaseOut, Failure> {
        self.answer(|leases, _| leases.renew(asked))
    }

    /// Makes another center the writer, or not.
    pub fn claim(&self, asked: &op::ClaimLeaseIn) -> Result<LeaseOut, Failure> {
        self.answer(|leases, now| leases.claim(asked, now))
    }

    fn answer(&self, decide: impl FnOnce(&Leases, Instant) -> Option<Record>) -> Result<LeaseOut, Failure> {
        let mut leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(next) = decide(&leases, Instant::now()) else { return Ok(leases.refusal()) };
        if leases.record() != Some(&next) {
            let stored = store(&self.path, &Some(next.clone()));
            stored.map_err(|error| {
                tracing::error!(%error, path = %self.path.display(), "the witness cannot write its file: look at its disk");
                Failure::new(Status::Unavailable, "the witness cannot write its file")
            })?;
            tracing::info!(
                generation = next.generation,
                writer = next.writer,
                alone = next.alone,
                "a new record"
            );
        }
        // After the file: what its disk took is no part of the lease, which only makes a claim come later.
        Ok(leases.grant(next, Instant::now()))
    }
}

/// Registers what a witness answers.
pub fn register(registry: &mut Registry, witness: &Arc<Witness>) {
    let here = Arc::clone(witness);
    registry.answer::<op::RenewLease, _, _>(move |asked| {
        let witness = Arc::clone(&here);
        off_the_runtime(move || witness.renew(&asked))
    });
    let here = Arc::clone(witness);
    registry.answer::<op::ClaimLease, _, _>(move |asked| {
        let witness = Arc::clone(&here);
        off_the_runtime(move || witness.claim(&asked))
    });
}

async fn off_the_runtime(
    work: impl FnOnce() -> Result<LeaseOut, Failure> + Send + 'static,
) -> Result<LeaseOut, Failure> {
    let worked = tokio::task::spawn_blocking(work).await;
    worked.map_err(|error| Failure::new(Status::Unavailable, error.to_string()))?
}

/// Replaces the file; durable when this returns.
fn store(path: &Path, record: &Option<Record>) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".unfinished");
    let unfinished = PathBuf::from(unfinished);
    let mut file = File::create(&unfinished)?;
    file.write_all(&serde_json::to_vec(record)?)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renewal(center: &str, generation: u64) -> op::RenewLeaseIn {
        op::RenewLeaseIn { center: center.to_owned(), generation, alone: true }
    }

    /// VFS-21: what the witness granted it knows again after a restart; a file that is another's is refused.
    #[test]
    fn the_witness_knows_its_record_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("witness.json");
        let granted = Witness::open(&path).unwrap().renew(&renewal("north", 3)).unwrap();
        assert_eq!((granted.granted_ms, granted.generation, granted.writer.as_str()), (5_000, 3, "north"));
        let witness = Witness::open(&path).unwrap();
        let refused = witness.renew(&renewal("south", 3)).unwrap();
        assert_eq!((refused.granted_ms, refused.generation, refused.writer.as_str()), (0, 3, "north"));
        fs::write(&path, b"something").unwrap();
        assert!(Witness::open(&path).is_err());
    }

    /// VFS-21: a lease whose record cannot be written is not given.
    #[test]
    fn nothing_is_granted_that_is_not_on_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("below/witness.json");
        fs::create_dir(path.parent().unwrap()).unwrap();
        let witness = Witness::open(&path).unwrap();
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
        assert_eq!(witness.renew(&renewal("north", 1)).unwrap_err().status, Status::Unavailable);
        fs::create_dir(path.parent().unwrap()).unwrap();
        assert_eq!(witness.renew(&renewal("south", 1)).unwrap().granted_ms, 5_000, "north got nothing");
    }
}
