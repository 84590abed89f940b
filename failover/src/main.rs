//! The command `port-failover`.
//!
//! Exit status: 0 done, 1 failed or refused, 2 wrong usage; of `status`: 0 active or passive and well, 3 degraded, 4 no
//! judge runs, or it hangs.

use std::future::Future;
use std::io::Write;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use confine::Needs;
use control::message::Request;
use control::readiness::{Readiness, ReadinessError};
use control::socket::{self, AskError};
use failover::config::{Config, ConfigError};
use failover::daemon::status::Status;
use failover::daemon::{self, StartError};
use manual::{Manual, ManualError};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;
use tracing_subscriber::EnvFilter;

/// The judge of one storage port of a pair: decides which of the two has the clients' address.
#[derive(Parser)]
#[command(name = "port-failover", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Judge until SIGTERM; then hand over, or release.
    Run {
        #[command(flatten)]
        file: File,
        /// An open descriptor on which to write a newline once the judge is at work (s6's notification-fd).
        #[arg(long, value_name = "NUMBER")]
        ready_fd: Option<RawFd>,
    },
    /// Say how the pair stands, seen from here. Exit status: 0 well, 3 degraded, 4 no judge runs, or it hangs.
    Status {
        #[command(flatten)]
        file: File,
        /// For programs.
        #[arg(long)]
        json: bool,
    },
    /// Become active.
    Takeover {
        #[command(flatten)]
        file: File,
        /// Also if this port is sick or lacks writes of its peer: they may be lost.
        #[arg(long)]
        force: bool,
    },
    /// Hand over to the peer.
    Standby(File),
    /// Move nothing by itself until told otherwise, or until the judge starts again.
    Maintenance {
        /// Whether.
        state: OnOff,
        #[command(flatten)]
        file: File,
    },
    /// Work with the configuration.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Make this program's manual pages, or its completion for a shell.
    Manual {
        #[command(subcommand)]
        command: Manual,
    },
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Say whether a configuration file is good.
    Check(File),
}

#[derive(clap::Args)]
struct File {
    /// The configuration file.
    #[arg(long)]
    config: PathBuf,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum OnOff {
    On,
    Off,
}

/// Exit status of `status` for a pair that an operator should look at.
const DEGRADED: u8 = 3;
/// Exit status of `status` where nobody judges, for none runs or it hangs.
const NOT_RUNNING: u8 = 4;

/// A judge that lives answers at once, and an order has ended after four seconds in one way or the other.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a command did not do its part: one line.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("port-failover gives no answer: it hangs, or its machine does; its port serves nobody by now")]
    Hung,
    #[error(transparent)]
    Readiness(#[from] ReadinessError),
    #[error(transparent)]
    Manual(#[from] ManualError),
    #[error("cannot ask: {0}")]
    System(#[from] std::io::Error),
    #[error("the judge answered something else: {0}; is it of another version?")]
    Answer(#[from] serde_json::Error),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    // Before anything is opened.
    let readiness = match &arguments.command {
        Command::Run { ready_fd: Some(number), .. } => Readiness::take(*number).map(Some),
        _ => Ok(None),
    };
    let is_status = matches!(arguments.command, Command::Status { .. });
    match readiness.map_err(Failure::from).and_then(|readiness| execute(arguments.command, readiness)) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("port-failover: {failure}");
            match failure {
                Failure::Ask(AskError::NotRunning { .. }) | Failure::Hung if is_status => {
                    ExitCode::from(NOT_RUNNING)
                }
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn execute(command: Command, readiness: Option<Readiness>) -> Result<ExitCode, Failure> {
    match command {
        Command::Run { file, .. } => run(&file.config, readiness)?,
        Command::Status { file, json } => return status(&file.config, json),
        Command::Takeover { file, force } => order(&file.config, "takeover", json!({ "force": force }))?,
        Command::Standby(file) => order(&file.config, "standby", Value::Null)?,
        Command::Maintenance { state, file } => {
            order(&file.config, "maintenance", json!({ "on": state == OnOff::On }))?;
        }
        Command::Config { command: ConfigCommand::Check(file) } => check(&file.config)?,
        Command::Manual { command } => command.make(Arguments::command())?,
    }
    Ok(ExitCode::SUCCESS)
}

fn run(path: &Path, readiness: Option<Readiness>) -> Result<(), Failure> {
    confine();
    let config = Config::load(path)?;
    let ready = || {
        // Who started the judge waits for the line.
        say("ready");
        if let Some(readiness) = readiness {
            readiness.tell();
        }
    };
    daemon::run(&config, ready, stopped)?;
    Ok(())
}

/// Before any thread, and before anybody else's bytes; nft and smartctl, which the judge starts, inherit it. A judge that
/// is not confined judges all the same.
fn confine() {
    if let Err(error) = confine::confine(Needs { programs: true, packets: true }) {
        tracing::warn!("the judge works without its filter of system calls: {error}");
    }
}

/// Ready at SIGTERM or SIGINT.
fn stopped() -> std::io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn status(path: &Path, as_json: bool) -> Result<ExitCode, Failure> {
    let answer = ask(path, "status", Value::Null)?;
    let status: Status = serde_json::from_value(answer.clone())?;
    if as_json {
        say(&serde_json::to_string_pretty(&answer)?);
    } else {
        say(&status.to_string());
    }
    Ok(if status.is_well() { ExitCode::SUCCESS } else { ExitCode::from(DEGRADED) })
}

fn order(path: &Path, operation: &str, arguments: Value) -> Result<(), Failure> {
    let said = ask(path, operation, arguments)?;
    say(said.as_str().unwrap_or("done"));
    Ok(())
}

fn ask(path: &Path, operation: &str, arguments: Value) -> Result<Value, Failure> {
    let config = Config::load(path)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let request = Request::new(operation, arguments);
    runtime.block_on(async {
        let answer = socket::ask("port-failover", &config.state.dir, &request);
        Ok(timeout(PATIENCE, answer).await.map_err(|_| Failure::Hung)??)
    })
}

fn check(path: &Path) -> Result<(), Failure> {
    let config = Config::load(path)?;
    daemon::check(&config)?;
    say(&format!("{}: good", path.display()));
    Ok(())
}

/// On standard output; nobody listening is no failure.
fn say(text: &str) {
    let mut out = std::io::stdout();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}
