//! Why a call failed.

use std::io;

use http::StatusCode;
use protocol::digest::DigestMismatch;
use protocol::pair::Generation;
use protocol::vfs::{VfsError, VfsErrorCode};
use thiserror::Error;

/// Why a call failed. [`Self::is_unavailable`] divides them: later, or never.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The VFS understood the operation and refused it.
    #[error("{0}")]
    Vfs(VfsError),
    /// No endpoint could be reached, or none answered in time, or all said "not now", until the deadline.
    #[error("the storage center cannot be reached at {endpoint}: {why}")]
    Unavailable {
        /// The last one tried.
        endpoint: String,
        /// What happened there.
        why: String,
    },
    /// The center refused the HTTP request as a whole.
    #[error("the storage center refuses ({status}, {code}): {message}{}", advice(code))]
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// The XML error's code, such as `not-authentic`, `not-found` or `no-space`; empty without one.
        code: String,
        /// Its text.
        message: String,
    },
    /// The change was asked for in an older generation of the port's pair than is in force ([`Center::set_stamp`]). It was
    /// not made; if the newer generation is not this port's own, the other port is active.
    ///
    /// [`Center::set_stamp`]: crate::Center::set_stamp
    #[error("the other storage port of the pair is active, in generation {generation}")]
    Superseded {
        /// In force.
        generation: Generation,
    },
    /// The bytes that came are not those asked for.
    #[error("the storage center sent wrong bytes: {0}")]
    Corrupt(#[from] DigestMismatch),
    /// Whoever answered does not speak our protocol: a wrong address, a proxy in between, another version.
    #[error("{endpoint} does not answer like a storage center: {why}")]
    Protocol {
        /// Who.
        endpoint: String,
        /// What is wrong.
        why: String,
    },
    /// The bytes to be stored could not be read.
    #[error("cannot read what is to be stored: {0}")]
    Source(#[from] io::Error),
    /// The call itself makes no sense; it was not sent.
    #[error("{0}")]
    Invalid(String),
}

impl From<VfsError> for ClientError {
    fn from(error: VfsError) -> Self {
        match error.code {
            VfsErrorCode::Superseded(generation) => Self::Superseded { generation },
            _ => Self::Vfs(error),
        }
    }
}

impl ClientError {
    /// Whether the same call may succeed later without anybody mending anything.
    ///
    /// ```
    /// # fn example(error: client::ClientError) {
    /// match error.is_unavailable() {
    ///     true => println!("try again later, with the same token or key: {error}"),
    ///     false => println!("somebody has to mend something: {error}"),
    /// }
    /// # }
    /// ```
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::Vfs(error) => error.code == VfsErrorCode::Unavailable,
            _ => false,
        }
    }

    /// Whether the object is not there, or not for this customer.
    ///
    /// ```
    /// # fn example(error: client::ClientError) {
    /// if error.is_not_found() {
    ///     println!("no such file");
    /// }
    /// # }
    /// ```
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::Refused { status, .. } => *status == StatusCode::NOT_FOUND,
            Self::Vfs(error) => error.code == VfsErrorCode::NotFound,
            _ => false,
        }
    }

    /// The VFS's reason, if it was the VFS that refused.
    ///
    /// ```
    /// # fn example(error: client::ClientError) {
    /// if error.vfs_code() == Some(protocol::vfs::VfsErrorCode::Exists) {
    ///     println!("choose another name");
    /// }
    /// # }
    /// ```
    pub fn vfs_code(&self) -> Option<VfsErrorCode> {
        match self {
            Self::Vfs(error) => Some(error.code),
            _ => None,
        }
    }
}

/// What the reader may mend, where the center's own text does not say it.
fn advice(code: &str) -> &'static str {
    match code {
        "not-authentic" => "; check the customer's number and its secret",
        "expired" => "; check this machine's clock",
        "no-space" => "; ask the center's operator for room",
        _ => "",
    }
}
