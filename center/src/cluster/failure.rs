//! The one table between failures of this program and what DOSP says of them, both ways.

use protocol::digest::Fingerprint;
use protocol::dosp::{Failure, Status};

use super::link::AskError;
use crate::objects::{FetchError, StoreError, Unavailable};

/// What a peer is told of a failed fetch.
pub fn of_fetch(error: &FetchError) -> Failure {
    let status = match error {
        FetchError::NotFound => Status::NotFound,
        FetchError::Unavailable => Status::Unavailable,
    };
    Failure::new(status, error.to_string())
}

/// What a peer is told of a failed store.
pub fn of_store(error: &StoreError) -> Failure {
    let status = match error {
        StoreError::Mismatch(_) => Status::Mismatch,
        StoreError::Collision(_) => Status::Collision,
        StoreError::NoSpace => Status::NoSpace,
        StoreError::Unavailable(_) => Status::Unavailable,
    };
    Failure::new(status, error.to_string())
}

/// What a peer is told of anything else that does not work now.
pub fn of_unavailable(error: &Unavailable) -> Failure {
    Failure::new(Status::Unavailable, error.0.clone())
}

/// What a peer's refusal to store `fingerprint` means here; 0s where the name is not known yet.
pub fn to_store(error: AskError, fingerprint: Fingerprint) -> StoreError {
    match error {
        AskError::Said(Failure { status: Status::NoSpace, .. }) => StoreError::NoSpace,
        AskError::Said(Failure { status: Status::Collision, .. }) => StoreError::Collision(fingerprint),
        AskError::Said(Failure { status: Status::Mismatch, .. }) => StoreError::Mismatch("BLAKE3"),
        error => StoreError::Unavailable(error.to_string()),
    }
}
