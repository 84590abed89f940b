//! The library calls of the founding document (LIB-2): file and directory operations against a storage center.
//!
//! [`Center`] speaks to any of several DDMs and DOSMs, signs every request, repeats what may be repeated (everything:
//! keys and tokens make each operation idempotent) until its deadline, and tells "the center cannot be reached" from
//! "the center refuses" ([`ClientError::is_unavailable`]). No byte of an object leaves [`Center::fetch`] unverified.
//!
//! Changes of one [`Center`] that come at the same time travel in one document.
//!
//! It caches nothing and keeps no state but its connections and what is on its way.

mod batch;
mod bearer;
mod center;
mod client_file;
mod error;
mod object;
mod pool;
mod random;
mod retry;
mod settings;
mod source;
mod transport;

pub use bearer::{Bearer, Found};
pub use center::Center;
pub use error::ClientError;
pub use settings::{Settings, SettingsError};
pub use source::Source;

/// A new idempotency key or upload token, drawn from the operating system's randomness.
pub fn new_token() -> protocol::id::Token {
    random::token()
}
