//! `storage-port cifs …`: who may log on to the shares.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;

use appliance::cifs_gateway::{seal_key, seal_key_of};
use appliance::config::{Config, ConfigError, SecretError};
use appliance::host;
use cifs::users::{Identity, User, UserError};
use clap::{Args, Subcommand};
use setup::wizard::console::{Silence, read_line};

use super::say;

/// `storage-port cifs …`.
#[derive(Subcommand)]
pub enum CifsCommand {
    /// Make the line of a user for the file `users` of [cifs], of a password that is asked for.
    User(UserArguments),
}

/// Who he is.
#[derive(Args)]
pub struct UserArguments {
    /// By which he logs on.
    name: String,
    /// As whom he acts in the file system.
    #[arg(long)]
    uid: u32,
    /// The group he acts as.
    #[arg(long)]
    gid: u32,
    /// The port's configuration file; either port's of a pair.
    #[arg(long)]
    config: PathBuf,
}

/// Why there is no line.
#[derive(Debug, thiserror::Error)]
pub enum CifsError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("the port has no key yet with which a password could be sealed: start it once before")]
    NoKey,
    #[error("cannot read the password: {0}")]
    Input(io::Error),
    #[error("no password came")]
    NoPassword,
    #[error("the two passwords differ")]
    Differ,
    #[error(transparent)]
    User(#[from] UserError),
}

/// Does as told.
pub fn execute(command: &CifsCommand) -> Result<(), CifsError> {
    let CifsCommand::User(UserArguments { name, uid, gid, config }) = command;
    let key = seal_key_of(&Config::load(config)?)?.ok_or(CifsError::NoKey)?;
    let identity = Identity { uid: *uid, gid: *gid };
    let user = User { name: name.clone(), identity, password: password()? };
    say(&seal_key(&key).line(&user, host::random())?);
    Ok(())
}

/// From a terminal twice and unseen, else the first line.
fn password() -> Result<String, CifsError> {
    let input = io::stdin();
    if !input.is_terminal() {
        return line();
    }
    let asked = |what: &str| {
        let silence = Silence::begin(input.as_fd()).map_err(CifsError::Input)?;
        let _ = write!(io::stderr(), "{what}: ");
        let line = line();
        drop(silence);
        // The Enter was not seen either.
        let _ = writeln!(io::stderr());
        line
    };
    let first = asked("password")?;
    if first == asked("again")? { Ok(first) } else { Err(CifsError::Differ) }
}

fn line() -> Result<String, CifsError> {
    read_line(&mut io::stdin().lock()).map_err(CifsError::Input)?.ok_or(CifsError::NoPassword)
}
