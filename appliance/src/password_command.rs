//! `storage-port status-page password`: from a password to the hash that its file has.

use appliance::host;
use appliance::status_page::password::{PasswordError, PasswordHash};

use super::new_password::{self, NewPasswordError};
use super::say;

/// Why there is no hash.
#[derive(Debug, thiserror::Error)]
pub enum PasswordCommandError {
    /// There is no password.
    #[error(transparent)]
    Asked(#[from] NewPasswordError),
    /// It will not do.
    #[error(transparent)]
    Password(#[from] PasswordError),
}

/// Reads a password and prints its hash.
pub fn execute() -> Result<(), PasswordCommandError> {
    let password = new_password::ask("Password for the status page")?;
    say(PasswordHash::of(password.as_bytes(), host::random())?.as_str());
    Ok(())
}
