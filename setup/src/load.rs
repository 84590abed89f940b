//! Reading the site file from its disk. A shell.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::fault::Fault;
use crate::site::{self, Site};

/// No site file is longer.
const BYTES_MAX: u64 = 256 << 10;

/// A site file that was read.
pub struct Loaded {
    /// What stands in it.
    pub site: Site,
    /// What else an operator should know.
    pub notes: Vec<Fault>,
}

/// Reads the site file at `path`.
///
/// # Errors
/// All that is wrong with it.
pub fn load(path: &Path) -> Result<Loaded, Vec<Fault>> {
    let text = read_text(path).map_err(|error| vec![unreadable(path, &error)])?;
    Ok(Loaded { site: site::read(&text, path)?, notes: Vec::new() })
}

fn unreadable(path: &Path, error: &io::Error) -> Fault {
    let text = match error.kind() {
        io::ErrorKind::NotFound => "there is no such file: `storage-port setup` writes one".to_owned(),
        _ => format!("cannot be read: {error}"),
    };
    Fault::at(path.display(), text)
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than {BYTES_MAX} bytes"),
        ));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no text in UTF-8"))
}
