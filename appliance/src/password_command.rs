//! `storage-port status-page password`: from a password to the hash that its file has.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use appliance::host;
use appliance::status_page::password::{PasswordError, PasswordHash};
use setup::wizard::console::ask_secret;

use super::say;

/// Why there is no hash.
#[derive(Debug, thiserror::Error)]
pub enum PasswordCommandError {
    /// Nobody said one.
    #[error("no password was read: type one, or give it as a line of standard input")]
    None,
    /// It was mistyped.
    #[error("that was not the same password twice: say it again")]
    Different,
    /// It will not do.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The terminal.
    #[error("cannot read a password: {0}")]
    Console(#[from] io::Error),
}

/// Reads a password, twice at a terminal, and prints its hash.
pub fn execute() -> Result<(), PasswordCommandError> {
    let stdin = io::stdin();
    let terminal = stdin.is_terminal().then(|| stdin.as_fd());
    let (mut input, mut output) = (stdin.lock(), io::stderr());
    let mut ask = |question| {
        let password = ask_secret(question, &mut input, &mut output, terminal)?;
        password.ok_or(PasswordCommandError::None)
    };
    let password = ask("Password for the status page")?;
    if terminal.is_some() && ask("The same again")? != password {
        return Err(PasswordCommandError::Different);
    }
    say(PasswordHash::of(password.as_bytes(), host::random())?.as_str());
    Ok(())
}
