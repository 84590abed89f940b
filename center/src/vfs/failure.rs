//! What goes wrong: with the store as a whole, and with one operation.

use std::path::PathBuf;

use protocol::id::CustomerId;
use protocol::pair::PairName;
use protocol::vfs::{VfsError, VfsErrorCode};
use thiserror::Error;

use super::engine::ServerError;

/// The directory database could not do what it was asked.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The file cannot be made: look at the path and its permissions.
    #[error("cannot open the directory database {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A later release wrote the file: run that release.
    #[error(
        "the directory database has schema {found}; this release knows up to {known}: run the newer release"
    )]
    TooNew {
        /// Its schema.
        found: usize,
        /// The last one known here.
        known: usize,
    },
    /// Neither engine was chosen, or both.
    #[error("vfs: give either `database`, a file, or `postgres`, a server")]
    Choice,
    /// The description of the server is wrong.
    #[error("vfs.postgres: {0}")]
    Server(#[from] ServerError),
    /// The server's settings let it lose what it acknowledged.
    #[error("the database server runs with {setting} = off and would lose what it acknowledged: turn it on")]
    Careless {
        /// Which setting.
        setting: &'static str,
    },
    /// SQLite or the server failed: look at the disk, or at the server and the way to it.
    #[error("the directory database failed: {0}")]
    Database(String),
    /// A row breaks a rule of the schema: usually that a value is there once.
    #[error("the directory database refused a row: {0}")]
    Constraint(String),
    /// A number that the database cannot hold.
    #[error("a number is out of range")]
    OutOfRange,
    /// A column is not what this program writes there.
    #[error("a row of the directory database cannot be read: its column {column} is of another kind")]
    Unreadable {
        /// Which column of the statement, counted from 0.
        column: usize,
    },
    /// The transaction the change was part of did not reach the disk; nothing of it happened.
    #[error("the change was not committed: {0}")]
    NotCommitted(String),
    /// The store is shutting down.
    #[error("the directory database is closed")]
    Closed,
    /// The database is one of several that mirror each other, and whoever opens it would not go on with that.
    #[error(
        "the directory database is mirrored in other storage centers: give [mirror]; to end that, copy it into a new one \
         by `storage-center vfs migrate`"
    )]
    Mirrored,
    /// Another storage center sent what this one cannot put in, or asks for it.
    #[error("the directories of two storage centers do not fit: run the same release in all of them")]
    Foreign,
    /// Another storage center changes the directory: do it there.
    #[error("the storage center {writer:?} changes the directory: do it there")]
    Elsewhere {
        /// Its name; empty while this center has not heard of any.
        writer: String,
    },
    /// Neither a mirror nor the witness is reached, or another center is taking over: try again.
    #[error("the directory cannot be changed now: see `storage-center mirror status`")]
    NotNow,
    /// More would be revoked one by one than object managers can be told of.
    #[error("{}", super::access::TOO_MANY)]
    TooManyRevoked,
    /// No such customer.
    #[error("there is no customer {0}")]
    NoSuchCustomer(CustomerId),
    /// No such pair of ports.
    #[error("the customer has no pair {0}: see `storage-center pair list`")]
    NoSuchPair(PairName),
    /// The id or name of a new customer is taken: choose another.
    #[error("there is a customer {0} already: choose another id or name")]
    CustomerExists(String),
}

/// Ends an operation; its savepoint is rolled back.
#[derive(Debug)]
pub enum Failure {
    /// The operation was refused: the answer the client gets.
    Refused(VfsError),
    /// The store failed. The client hears `Unavailable`, the log the reason.
    Store(StoreError),
}

impl Failure {
    /// A refusal.
    pub fn new(code: VfsErrorCode, message: &str) -> Self {
        Self::Refused(VfsError { code, message: message.to_owned() })
    }

    /// The client's answer. Tells the log of the store's failure: the one place that does.
    pub fn into_vfs_error(self) -> VfsError {
        match self {
            Self::Refused(error) => error,
            Self::Store(error @ (StoreError::Elsewhere { .. } | StoreError::NotNow)) => {
                tracing::debug!(%error, "a change was refused");
                VfsError::unavailable(error.to_string())
            }
            Self::Store(error) => {
                tracing::error!(%error, "a directory operation failed: look at the database's disk or server");
                VfsError::unavailable("the directory database failed; try again later")
            }
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::OutOfRange => Self::new(VfsErrorCode::Invalid, "a number is out of range"),
            other => Self::Store(other),
        }
    }
}
