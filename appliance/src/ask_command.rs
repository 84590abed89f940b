//! The commands that ask the running port about itself: `status`, `exports`, `clients`, `journal`, `cache`.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

use appliance::config::Config;
use appliance::inspection::{CacheDropped, CacheReport, ClientsReport, JournalReport};
use appliance::port::StartError;
use appliance::status::{ExportStatus, Status};
use clap::{Args, Subcommand};
use control::message::Request;
use control::socket;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::warm_command::{self, WarmArguments};
use super::{Failure, say};

/// Whom to ask, and for whom.
#[derive(Args)]
pub struct Asking {
    /// The file it was started with.
    #[arg(long)]
    pub config: PathBuf,
    /// For programs.
    #[arg(long)]
    pub json: bool,
}

/// `storage-port cache …`.
#[derive(Subcommand)]
pub enum CacheCommand {
    /// Say how full the data cache is, and how often it had what was read.
    Stat(Asking),
    /// Empty the data cache; what is read next comes from the storage center.
    Drop(Asking),
    /// Bring files into the data cache before anybody reads them. Exit status: 0 all, 3 all but some files, 1 nothing or
    /// given up.
    Warm(WarmArguments),
}

/// `storage-port status`.
pub async fn status(asking: &Asking) -> Result<(), Failure> {
    tell::<Status>(asking, "status", |answer| answer).await
}

/// `storage-port exports`: they stand in the status.
pub async fn exports(asking: &Asking) -> Result<(), Failure> {
    tell::<Exports>(asking, "status", |mut answer| answer["exports"].take()).await
}

/// `storage-port clients`.
pub async fn clients(asking: &Asking) -> Result<(), Failure> {
    tell::<ClientsReport>(asking, "clients", |answer| answer).await
}

/// `storage-port journal`.
pub async fn journal(asking: &Asking) -> Result<(), Failure> {
    tell::<JournalReport>(asking, "journal", |answer| answer).await
}

/// `storage-port cache …`.
pub async fn cache(command: &CacheCommand) -> Result<ExitCode, Failure> {
    match command {
        CacheCommand::Stat(asking) => tell::<CacheReport>(asking, "cache", |answer| answer).await,
        CacheCommand::Drop(asking) => tell::<CacheDropped>(asking, "cache-drop", |answer| answer).await,
        CacheCommand::Warm(arguments) => return warm_command::execute(arguments).await,
    }
    .map(|()| ExitCode::SUCCESS)
}

/// Tells an answer, of which `part` is wanted, for programs as it came.
async fn tell<T: DeserializeOwned + fmt::Display>(
    asking: &Asking,
    operation: &str,
    part: impl Fn(Value) -> Value,
) -> Result<(), Failure> {
    let config = Config::load(&asking.config).map_err(StartError::from)?;
    let request = Request::new(operation, Value::Null);
    let answer = part(socket::ask("storage port", &config.state.dir, &request).await?);
    if asking.json {
        say(&serde_json::to_string_pretty(&answer)?);
    } else {
        say(&serde_json::from_value::<T>(answer)?.to_string());
    }
    Ok(())
}

/// Each in a line.
#[derive(serde::Deserialize)]
struct Exports(Vec<ExportStatus>);

impl fmt::Display for Exports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}
