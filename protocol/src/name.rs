//! Names of files and folders.

use std::fmt;

use thiserror::Error;

/// Longest name in bytes.
pub const NAME_BYTES_MAX: usize = 255;

/// A name in a folder: 1 to 255 bytes, any but `/` and NUL, and neither `.` nor `..`. Not necessarily UTF-8; in XML
/// and URLs what is not plain text is percent-encoded.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<[u8]>);

/// Why bytes are no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// Longer than 255 bytes.
    #[error("a name has at most 255 bytes")]
    TooLong,
    /// Empty, `.`, `..`, or with a `/` or NUL in it.
    #[error("a name is not empty, not `.` or `..`, and holds no `/` and no NUL")]
    Invalid,
}

impl Name {
    /// Checks the rules above.
    pub fn new(bytes: &[u8]) -> Result<Self, NameError> {
        match bytes {
            b"" | b"." | b".." => Err(NameError::Invalid),
            _ if bytes.len() > NAME_BYTES_MAX => Err(NameError::TooLong),
            _ if bytes.iter().any(|byte| matches!(byte, b'/' | 0)) => Err(NameError::Invalid),
            _ => Ok(Self(bytes.into())),
        }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(&self.0).fmt(f)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}
