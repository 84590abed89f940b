//! The commands that ask the running port about itself: `status`, `exports`, `clients`, `journal`, `cache`.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

use appliance::config::Config;
use appliance::inspection::{CacheDropped, CacheReport, ClientsReport, JournalReport};
use appliance::pins::{PinLine, PinsReport, Unpinned};
use appliance::port::StartError;
use appliance::status::{ExportStatus, Status};
use appliance::upload_queue::UploadsReport;
use clap::{Args, Subcommand};
use control::message::Request;
use control::socket;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

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
    /// Keep a folder or file in the data cache, and fetch what is not there, also what comes new.
    Pin(Named),
    /// Keep it no longer.
    Unpin(Named),
    /// Say what is kept, and how much of it is there.
    Pins(Asking),
}

/// Whom to ask about which file or folder.
#[derive(Args)]
pub struct Named {
    #[command(flatten)]
    asking: Asking,
    /// As clients call it: `/export/folder`.
    path: String,
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

/// `storage-port uploads`.
pub async fn uploads(asking: &Asking) -> Result<(), Failure> {
    tell::<UploadsReport>(asking, "uploads", |answer| answer).await
}

/// `storage-port cache …`.
pub async fn cache(command: &CacheCommand) -> Result<ExitCode, Failure> {
    match command {
        CacheCommand::Stat(asking) => tell::<CacheReport>(asking, "cache", |answer| answer).await,
        CacheCommand::Drop(asking) => tell::<CacheDropped>(asking, "cache-drop", |answer| answer).await,
        CacheCommand::Warm(arguments) => return warm_command::execute(arguments).await,
        CacheCommand::Pin(named) => return pin(named).await,
        CacheCommand::Unpin(Named { asking, path }) => {
            let request = Request::new("cache-unpin", json!({ "path": path }));
            tell_of::<Unpinned>(asking, &request, |answer| answer).await
        }
        CacheCommand::Pins(asking) => tell::<PinsReport>(asking, "cache-pins", |answer| answer).await,
    }
    .map(|()| ExitCode::SUCCESS)
}

/// `storage-port cache pin`: what it is, is counted first, and that may take its time.
async fn pin(Named { asking, path }: &Named) -> Result<ExitCode, Failure> {
    let config = Config::load(&asking.config).map_err(StartError::from)?;
    let request = Request::new("cache-pin", json!({ "path": path }));
    let mut last = None;
    let take = |line: Value| {
        if asking.json {
            say(&line.to_string());
        }
        last = serde_json::from_value::<PinLine>(line).ok().or(last.take());
    };
    socket::have_done("storage port", &config.state.dir, &request, take).await?;
    match last {
        Some(line @ PinLine::Pinned { .. }) => {
            if !asking.json {
                say(&line.to_string());
            }
            Ok(ExitCode::SUCCESS)
        }
        Some(line @ PinLine::Refused { .. }) => {
            eprintln!("storage-port: {line}");
            Ok(ExitCode::FAILURE)
        }
        _ => {
            eprintln!(
                "storage-port: the storage port ended before it said what came of it: ask `cache pins`"
            );
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Tells an answer, of which `part` is wanted, for programs as it came.
async fn tell<T: DeserializeOwned + fmt::Display>(
    asking: &Asking,
    operation: &str,
    part: impl Fn(Value) -> Value,
) -> Result<(), Failure> {
    tell_of::<T>(asking, &Request::new(operation, Value::Null), part).await
}

/// The same of a request with arguments.
async fn tell_of<T: DeserializeOwned + fmt::Display>(
    asking: &Asking,
    request: &Request,
    part: impl Fn(Value) -> Value,
) -> Result<(), Failure> {
    let config = Config::load(&asking.config).map_err(StartError::from)?;
    let answer = part(socket::ask("storage port", &config.state.dir, request).await?);
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
