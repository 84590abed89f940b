//! `storage-port cifs …`: who may log on to the shares.

use std::path::PathBuf;

use appliance::cifs_gateway::{seal_key, seal_key_of};
use appliance::config::{Config, ConfigError, SecretError};
use appliance::host;
use cifs::users::{Identity, User, UserError};
use clap::{Args, Subcommand};

use super::new_password::{self, NewPasswordError};
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
    #[error(transparent)]
    Asked(#[from] NewPasswordError),
    #[error(transparent)]
    User(#[from] UserError),
}

/// Does as told.
pub fn execute(command: &CifsCommand) -> Result<(), CifsError> {
    let CifsCommand::User(UserArguments { name, uid, gid, config }) = command;
    let key = seal_key_of(&Config::load(config)?)?.ok_or(CifsError::NoKey)?;
    let identity = Identity { uid: *uid, gid: *gid };
    let user = User { name: name.clone(), identity, password: new_password::ask("Password")? };
    say(&seal_key(&key).line(&user, host::random())?);
    Ok(())
}
