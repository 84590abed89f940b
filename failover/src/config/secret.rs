//! Keys and secrets in files of their own, which nobody else may read.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Bits of a mode that let others than the owner in.
const OTHERS: u32 = 0o077;
/// Longest file that is read.
const BYTES_MAX: u64 = 4096;
/// Shortest key of a pair, as `storage-port` has it.
const PAIR_KEY_BYTES_MIN: usize = 32;
/// Shortest secret of a customer, as the storage center has it.
const CUSTOMER_SECRET_BYTES_MIN: usize = 16;

/// Why a key or secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// No file to read.
    #[error("cannot read {path}: {error}; it must be there before the judge starts")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Others may read it.
    #[error("{path} holds a secret but its mode is {mode:04o}, so others can read it: chmod 600 {path}")]
    Open {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Nothing that could be one.
    #[error("{path} holds no secret of at least {bytes_min} characters: put the right one there")]
    TooShort {
        /// Which file.
        path: PathBuf,
        /// How long it is at least.
        bytes_min: usize,
    },
}

/// Reads the key of a pair.
pub(super) fn read_pair_key(path: &Path) -> Result<Vec<u8>, SecretError> {
    read(path, PAIR_KEY_BYTES_MIN)
}

/// Reads a customer's secret.
pub(super) fn read_customer_secret(path: &Path) -> Result<Vec<u8>, SecretError> {
    read(path, CUSTOMER_SECRET_BYTES_MIN)
}

/// A line's end behind it is no part of it.
fn read(path: &Path, bytes_min: usize) -> Result<Vec<u8>, SecretError> {
    let unreadable = |error| SecretError::Unreadable { path: path.to_owned(), error };
    let mode = fs::metadata(path).map_err(unreadable)?.permissions().mode() & 0o7777;
    if mode & OTHERS != 0 {
        return Err(SecretError::Open { path: path.to_owned(), mode });
    }
    let mut content = Vec::new();
    File::open(path).and_then(|file| file.take(BYTES_MAX).read_to_end(&mut content)).map_err(unreadable)?;
    content.truncate(content.trim_ascii_end().len());
    if content.len() < bytes_min {
        return Err(SecretError::TooShort { path: path.to_owned(), bytes_min });
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_for_the_judge_alone_and_is_never_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let write = |mode, content: &[u8]| {
            fs::write(file.path(), content).unwrap();
            fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
            read_customer_secret(file.path())
        };
        assert_eq!(write(0o600, b"0123456789abcdef\n").unwrap(), b"0123456789abcdef");
        let open = write(0o640, b"0123456789abcdef").unwrap_err().to_string();
        assert!(open.contains("chmod 600") && !open.contains("0123456789"), "{open}");
        assert!(matches!(write(0o600, b"short"), Err(SecretError::TooShort { .. })));
        assert!(matches!(read_pair_key(file.path()), Err(SecretError::TooShort { bytes_min: 32, .. })));
        for (length, is_long_enough) in [(31, false), (32, true)] {
            fs::write(file.path(), vec![b'k'; length]).unwrap();
            assert_eq!(read_pair_key(file.path()).is_ok(), is_long_enough, "{length}");
        }
        let missing = read_pair_key(Path::new("/no/such/key")).unwrap_err().to_string();
        assert!(missing.contains("/no/such/key"), "{missing}");
    }
}
