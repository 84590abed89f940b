//! What is pinned, as a file of the state directory.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::whole_file;

/// Of the file.
const VERSION: u32 = 1;

/// A folder or file that is kept. It is meant by its id: another name or place does not unpin it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Pin {
    /// Whose.
    pub customer: u32,
    /// Which.
    pub object: u64,
    /// As it was called then.
    pub path: String,
}

#[derive(Deserialize, Serialize)]
struct Contents {
    version: u32,
    pins: Vec<Pin>,
}

/// Reads the list; none if there is no file.
///
/// # Errors
/// Of the disk, or it is no list.
pub fn load(path: &Path) -> io::Result<Vec<Pin>> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read?,
    };
    let Contents { version, pins } = serde_json::from_slice(&bytes)?;
    if version != VERSION {
        let what = format!("it is of version {version}, and this port knows {VERSION}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    Ok(pins)
}

/// Writes the list; durable on return.
///
/// # Errors
/// Of the disk; then it says what it did before.
pub fn store(path: &Path, pins: Vec<Pin>) -> io::Result<()> {
    let mut text = serde_json::to_vec_pretty(&Contents { version: VERSION, pins })?;
    text.push(b'\n');
    whole_file::replace(path, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_reads_back_and_a_damaged_one_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pins.json");
        assert_eq!(load(&path).unwrap(), []);
        let pins = vec![Pin { customer: 1, object: u64::MAX, path: "/export/ä".into() }];
        store(&path, pins.clone()).unwrap();
        assert_eq!(load(&path).unwrap(), pins);
        for wrong in ["", "{}", "{\"version\": 2, \"pins\": []}"] {
            fs::write(&path, wrong).unwrap();
            assert!(load(&path).is_err(), "{wrong}");
        }
    }
}
