//! Secrets and keys in files of their own, which nobody else may read.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use page_server::tls::{TlsError, acceptor};
use protocol::id::CustomerId;
use protocol::srl::Secret;
use tokio_rustls::TlsAcceptor;

use crate::status_page::password::PasswordHash;
use crate::whole_file;

/// Bits of a mode that let others than the owner in.
const OTHERS: u32 = 0o077;

/// Shortest key of a pair.
const PAIR_KEY_BYTES_MIN: usize = 32;

/// More than a thousand of the longest lines.
const CIFS_USERS_BYTES_MAX: u64 = 2 << 20;

/// Why a secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// No file to read.
    #[error(
        "cannot read the secret of customer {customer}: {path}: {error}; \
         `storage-center customer add … --secret-out` makes one, copy it there"
    )]
    Unreadable {
        /// Whose.
        customer: CustomerId,
        /// Where.
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
    /// Too short.
    #[error(
        "{path} holds no secret of at least 16 characters: copy customer {customer}'s secret there again"
    )]
    TooShort {
        /// Whose.
        customer: CustomerId,
        /// Which file.
        path: PathBuf,
    },
    /// The pair's key cannot be read.
    #[error("key of the pair {path}: {error} (`key_file` of [pair], the same on both ports)")]
    PairKey {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The hash of the status page's password cannot be used.
    #[error("password of the status page {path}: {error} (`password_hash_file` of [status_page])")]
    PasswordHash {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The CIFS users cannot be read.
    #[error("users of CIFS {path}: {error} (`users` of [cifs]; `storage-port cifs user` makes its lines)")]
    CifsUsers {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The status page cannot have TLS.
    #[error("{0} (`certificate` and `key` of [status_page])")]
    PageTls(#[from] TlsError),
    /// The handle key cannot be read or made.
    #[error("handle key {path}: {error}")]
    Key {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Reads a customer's secret.
pub(super) fn read(customer: CustomerId, path: &Path) -> Result<Secret, SecretError> {
    let unreadable = |error| SecretError::Unreadable { customer, path: path.to_owned(), error };
    check_mode(path, &fs::metadata(path).map_err(unreadable)?)?;
    let content = fs::read(path).map_err(unreadable)?;
    Secret::from_file_content(&content).map_err(|_| SecretError::TooShort { customer, path: path.to_owned() })
}

/// Reads the key of a pair. Any form will do, as long as both ports have the same file.
pub(crate) fn read_pair_key(path: &Path) -> Result<Vec<u8>, SecretError> {
    let failed = |error| SecretError::PairKey { path: path.to_owned(), error };
    check_mode(path, &fs::metadata(path).map_err(failed)?)?;
    let key = fs::read(path).map_err(failed)?;
    let key = key.trim_ascii_end();
    if key.len() < PAIR_KEY_BYTES_MIN {
        let short = format!("less than {PAIR_KEY_BYTES_MIN} bytes: make it with `openssl rand -hex 32`");
        return Err(failed(io::Error::new(io::ErrorKind::InvalidData, short)));
    }
    Ok(key.to_vec())
}

/// Reads the hash of the status page's password.
pub(super) fn read_password_hash(path: &Path) -> Result<PasswordHash, SecretError> {
    let failed = |error| SecretError::PasswordHash { path: path.to_owned(), error };
    check_mode(path, &fs::metadata(path).map_err(failed)?)?;
    let text = fs::read_to_string(path).map_err(failed)?;
    PasswordHash::parse(&text).map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error)))
}

/// TLS for the status page.
pub(super) fn page_tls(certificate: &Path, key: &Path) -> Result<TlsAcceptor, SecretError> {
    // What cannot be looked at cannot be read either, which is told below.
    if let Ok(metadata) = fs::metadata(key) {
        check_mode(key, &metadata)?;
    }
    Ok(acceptor(certificate, key)?)
}

/// Reads the file of those who may log on to CIFS.
pub(crate) fn read_cifs_users(path: &Path) -> Result<String, SecretError> {
    let failed = |error| SecretError::CifsUsers { path: path.to_owned(), error };
    let metadata = fs::metadata(path).map_err(failed)?;
    check_mode(path, &metadata)?;
    if metadata.len() > CIFS_USERS_BYTES_MAX {
        let large = format!("larger than {CIFS_USERS_BYTES_MAX} bytes");
        return Err(failed(io::Error::new(io::ErrorKind::InvalidData, large)));
    }
    fs::read_to_string(path).map_err(failed)
}

/// Reads the key of 32 bytes at `path`, or makes it of `fresh` bytes at the first start.
pub(crate) fn read_or_make_key(path: &Path, fresh: [u8; 32]) -> Result<[u8; 32], SecretError> {
    if let Some(key) = read_key(path)? {
        return Ok(key);
    }
    // Whole or not at all: half a key would make every mount stale after the next start.
    whole_file::replace(path, &fresh).map_err(|error| SecretError::Key { path: path.to_owned(), error })?;
    Ok(fresh)
}

/// Reads the key of 32 bytes at `path`, if it is there.
pub(crate) fn read_key(path: &Path) -> Result<Option<[u8; 32]>, SecretError> {
    let failed = |error| SecretError::Key { path: path.to_owned(), error };
    match fs::metadata(path) {
        Ok(metadata) => {
            check_mode(path, &metadata)?;
            let bytes = fs::read(path).map_err(failed)?;
            let damaged = || {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    "not 32 bytes; put the old file back, or remove it (clients must mount again)",
                )
            };
            bytes.try_into().map(Some).map_err(|_| failed(damaged()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

fn check_mode(path: &Path, metadata: &fs::Metadata) -> Result<(), SecretError> {
    let mode = metadata.permissions().mode() & 0o7777;
    if metadata.mode() & OTHERS == 0 {
        Ok(())
    } else {
        Err(SecretError::Open { path: path.to_owned(), mode })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(mode: u32, content: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), content).unwrap();
        fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn a_secret_is_for_the_port_alone() {
        let good = written(0o600, b"0123456789abcdef\n");
        assert_eq!(read(CustomerId(1), good.path()).unwrap().as_bytes(), b"0123456789abcdef");
        let open = written(0o640, b"0123456789abcdef");
        let error = read(CustomerId(1), open.path()).unwrap_err().to_string();
        assert!(error.contains("chmod 600") && !error.contains("0123456789"), "{error}");
        let short = written(0o600, b"short");
        assert!(matches!(read(CustomerId(1), short.path()), Err(SecretError::TooShort { .. })));
        let missing = read(CustomerId(1), Path::new("/no/such/secret")).unwrap_err().to_string();
        assert!(missing.contains("customer 1") && missing.contains("/no/such/secret"), "{missing}");
    }

    #[test]
    fn a_hash_is_for_the_port_alone_and_a_hash() {
        let hash = PasswordHash::of(b"correct horse", [7; 16]).unwrap();
        let good = written(0o600, format!("{}\n", hash.as_str()).as_bytes());
        assert!(read_password_hash(good.path()).unwrap().is_of(b"correct horse"));
        let open = written(0o644, hash.as_str().as_bytes());
        assert!(matches!(read_password_hash(open.path()), Err(SecretError::Open { .. })));
        let plain = written(0o600, b"correct horse");
        let error = read_password_hash(plain.path()).unwrap_err().to_string();
        assert!(error.contains("status-page password") && !error.contains("horse"), "{error}");
    }

    /// PORT-5: the key outlasts a restart, and so do the handles made with it.
    #[test]
    fn the_handle_key_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("handle_key");
        assert_eq!(read_or_make_key(&path, [1; 32]).unwrap(), [1; 32]);
        assert_eq!(read_or_make_key(&path, [2; 32]).unwrap(), [1; 32]);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        fs::write(&path, b"half").unwrap();
        assert!(read_or_make_key(&path, [3; 32]).is_err());
    }
}
