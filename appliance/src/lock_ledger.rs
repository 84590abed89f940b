//! Which clients hold locks, in a file of the state directory: after a restart they are told to take them again.

use std::fs;
use std::io;
use std::path::PathBuf;

use nfs::nsm::ledger::{Ledger, Record};

use crate::whole_file;

/// The file.
#[derive(Debug)]
pub struct LockLedger {
    path: PathBuf,
}

impl LockLedger {
    /// At `path`, which need not exist yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The file's bytes, for another port; none if there is no file.
    ///
    /// # Errors
    /// Of the disk.
    pub fn bytes(&self) -> io::Result<Vec<u8>> {
        match fs::read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            read => read.map_err(|error| self.told(&error)),
        }
    }

    /// Takes the bytes that another port's [`Self::bytes`] gave; durable on return.
    ///
    /// # Errors
    /// Of the disk, or they are no list.
    pub fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return self.store(&Record::default());
        }
        let record = Record::from_bytes(bytes).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        self.store(&record)
    }

    fn told(&self, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{}: {error}", self.path.display()))
    }
}

impl Ledger for LockLedger {
    fn load(&self) -> io::Result<Record> {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Record::default()),
            Err(error) => return Err(self.told(&error)),
        };
        let damaged = "damaged; clients that had locks must mount again";
        Record::from_bytes(&bytes)
            .ok_or_else(|| self.told(&io::Error::new(io::ErrorKind::InvalidData, damaged)))
    }

    fn store(&self, record: &Record) -> io::Result<()> {
        whole_file::replace(&self.path, &record.to_bytes()).map_err(|error| self.told(&error))
    }
}

#[cfg(test)]
mod tests {
    use nfs::nsm::ledger::{Client, Remembered};

    use super::*;

    #[test]
    fn what_was_stored_last_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = LockLedger::new(dir.path().join("lock_clients"));
        assert_eq!(ledger.load().unwrap(), Record::default());
        let client = Client { address: [192, 0, 2, 1].into(), name: b"web1"[..].into() };
        let one = Record { state: 5, clients: vec![Remembered { client, local: [192, 0, 2, 9].into() }] };
        for record in [one, Record { state: 7, clients: Vec::new() }] {
            ledger.store(&record).unwrap();
            assert_eq!(ledger.load().unwrap(), record);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left over");
    }

    #[test]
    fn a_damaged_list_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock_clients");
        fs::write(&path, b"half").unwrap();
        let error = LockLedger::new(path.clone()).load().unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()) && error.contains("mount again"), "{error}");
    }
}
