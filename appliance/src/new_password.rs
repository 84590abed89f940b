//! A password that is new here: at a terminal said twice and unseen, else a line of standard input.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use setup::wizard::console::ask_secret;

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum NewPasswordError {
    /// Nobody said one.
    #[error("no password was read: type one, or give it as a line of standard input")]
    None,
    /// It was mistyped.
    #[error("that was not the same password twice: say it again")]
    Different,
    /// The terminal.
    #[error("cannot read a password: {0}")]
    Console(#[from] io::Error),
}

/// Asks `question`, and at a terminal once more.
pub fn ask(question: &str) -> Result<String, NewPasswordError> {
    let stdin = io::stdin();
    let terminal = stdin.is_terminal().then(|| stdin.as_fd());
    let (mut input, mut output) = (stdin.lock(), io::stderr());
    let mut ask = |question| {
        let password = ask_secret(question, &mut input, &mut output, terminal)?;
        password.ok_or(NewPasswordError::None)
    };
    let password = ask(question)?;
    if terminal.is_some() && ask("The same again")? != password {
        return Err(NewPasswordError::Different);
    }
    Ok(password)
}
