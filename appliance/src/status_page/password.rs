//! The password for what changes something, as a hash that says nothing of it (Argon2id, RFC 9106). Pure.

use std::fmt;

use argon2::Argon2;
use argon2::password_hash::{PasswordHash as Parsed, PasswordHasher, PasswordVerifier, SaltString};

/// Shortest and longest password.
const BYTES: std::ops::RangeInclusive<usize> = 10..=256;

/// A hash in its text form: `$argon2id$v=19$m=…,t=…,p=…$salt$hash`.
#[derive(Clone)]
pub struct PasswordHash(String);

/// Why there is no hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too easily found, or no password.
    #[error("a password has {} to {} bytes, in one line: choose another", BYTES.start(), BYTES.end())]
    Length,
    /// It is none.
    #[error("not the hash of a password: make one with `storage-port status-page password`")]
    NoHash,
    /// A defect of this program.
    #[error("the password cannot be hashed: {0}")]
    Hash(argon2::password_hash::Error),
}

impl PasswordHash {
    /// Of a password, with fresh random bytes. Takes some hundredths of a second.
    ///
    /// # Errors
    /// A password that is too short or too long.
    pub fn of(password: &[u8], fresh: [u8; 16]) -> Result<Self, PasswordError> {
        if !BYTES.contains(&password.len()) {
            return Err(PasswordError::Length);
        }
        let salt = SaltString::encode_b64(&fresh).map_err(PasswordError::Hash)?;
        let hash = Argon2::default().hash_password(password, &salt).map_err(PasswordError::Hash)?;
        Ok(Self(hash.to_string()))
    }

    /// As its file has it.
    ///
    /// # Errors
    /// [`PasswordError::NoHash`].
    pub fn parse(text: &str) -> Result<Self, PasswordError> {
        match Parsed::new(text.trim()) {
            Ok(hash) if hash.hash.is_some() && hash.algorithm.as_str().starts_with("argon2") => {
                Ok(Self(text.trim().to_owned()))
            }
            _ => Err(PasswordError::NoHash),
        }
    }

    /// Whether it is the hash of this password. Takes some hundredths of a second, and as long if it is not.
    pub fn is_of(&self, password: &[u8]) -> bool {
        BYTES.contains(&password.len())
            && Parsed::new(&self.0)
                .is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok())
    }

    /// Its text form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Nothing of it: whoever has a hash can try passwords.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_of_its_password_alone() {
        let hash = PasswordHash::of(b"correct horse", [7; 16]).unwrap();
        let hash = PasswordHash::parse(&format!("{}\n", hash.as_str())).unwrap();
        assert!(hash.is_of(b"correct horse"));
        for other in [&b"correct horsf"[..], b"correct horse ", b"", &[b'x'; 300]] {
            assert!(!hash.is_of(other));
        }
        assert!(!hash.as_str().contains("correct") && hash.as_str().starts_with("$argon2id$"));
        assert_eq!(format!("{hash:?}"), "PasswordHash");
    }

    #[test]
    fn a_password_has_a_length_and_a_file_a_hash() {
        for (bytes, is_good) in [(9, false), (10, true), (256, true), (257, false)] {
            assert_eq!(PasswordHash::of(&vec![b'x'; bytes], [7; 16]).is_ok(), is_good, "{bytes}");
        }
        for text in ["", "correct horse", "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ", "$pbkdf2$x$y"] {
            assert_eq!(PasswordHash::parse(text).unwrap_err(), PasswordError::NoHash, "{text}");
        }
    }
}
