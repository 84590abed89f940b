//! The command `storage-port`.

mod ask_command;
mod cifs_command;
mod doctor_command;
mod new_password;
mod password_command;
mod setup_command;
mod support_command;
mod warm_command;

use std::io::Write;
use std::net::IpAddr;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use appliance::config::Config;
use appliance::pair::keys::{self, KeysError};
use appliance::port::{self, Port, StartError, check_online};
use appliance::probe::{self, ProbeError};
use appliance::reload::{Reloaded, Reloader};
use appliance::samba_gateway;
use appliance::status_page;
use ask_command::{Asking, CacheCommand};
use cifs_command::{CifsCommand, CifsError};
use clap::{CommandFactory, Parser, Subcommand};
use confine::Needs;
use control::message::Request;
use control::readiness::{Readiness, ReadinessError};
use control::socket::{self, AskError};
use doctor_command::DoctorArguments;
use manual::{Manual, ManualError};
use nfs::server::Addresses;
use page_server::page::event_log::EventLog;
use password_command::PasswordCommandError;
use samba::conf::Places;
use samba::keeper;
use samba::kept::Kept;
use serde_json::json;
use setup_command::SetupArguments;
use support_command::{SupportArguments, SupportError};
use tikv_jemallocator::Jemalloc;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};
use warm_command::ListError;

/// The C library's allocator keeps for each of its arenas, which threads take in turn, what was once in use there at
/// most, some 4 MiB of blocks: the process grows with every thread that did such work, though what is in use does not.
/// An arena of this one gives back, while it is used, what was not for ten seconds (docs/benchmarks.md, "Soak").
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// What is logged where RUST_LOG does not say. The server of CIFS has five lines for each connection.
const LOGGED: &str = "info,smb_server=warn";

/// A network file system in front of a storage center.
#[derive(Parser)]
#[command(name = "storage-port", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve clients until SIGTERM.
    Serve {
        /// The configuration file.
        #[arg(long)]
        config: PathBuf,
        /// An open descriptor on which to write a newline once clients can mount (s6's notification-fd).
        #[arg(long, value_name = "NUMBER")]
        ready_fd: Option<RawFd>,
    },
    /// Mount, and keep Samba, for a port that serves: its standard input says what.
    #[command(hide = true)]
    KeepSamba {
        /// Where everything of Samba's lies.
        #[arg(long)]
        dir: PathBuf,
    },
    /// Find out as a client does whether the running port serves: NULL, MOUNT, GETATTR.
    Probe {
        /// The file it was started with.
        #[arg(long)]
        config: PathBuf,
        /// Where to ask; `listen` of [nfs] if not given.
        #[arg(long)]
        address: Option<IpAddr>,
        /// For a port of a pair: that it lives and waits for its turn is as good.
        #[arg(long)]
        or_standby: bool,
    },
    /// Have the running port read its configuration file again; mounts go on.
    Reload {
        /// The file it was started with.
        #[arg(long)]
        config: PathBuf,
    },
    /// Say what the running port does.
    Status(Asking),
    /// Say what the running port exports, and to whom.
    Exports(Asking),
    /// Say who is connected to the running port and what they have mounted.
    Clients(Asking),
    /// Say what the running port still owes to the storage center.
    Journal(Asking),
    /// Say which files wait for their upload to the storage center, and for what.
    Uploads(Asking),
    /// Look at the running port's data cache, fill it ahead, or empty it.
    Cache {
        #[command(subcommand)]
        command: CacheCommand,
    },
    /// Look for the mistakes that are most often made, and say how each is mended. Exit status: 0 well, 3 warnings, 1 faults.
    Doctor(DoctorArguments),
    /// Gather what who helps with a port wants to see of it into one archive, without secrets.
    SupportBundle(SupportArguments),
    /// Work with the configuration.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Work with those who may log on by CIFS.
    Cifs {
        #[command(subcommand)]
        command: CifsCommand,
    },
    /// Work with a pair of ports.
    Pair {
        #[command(subcommand)]
        command: PairCommand,
    },
    /// Work with the status page.
    StatusPage {
        #[command(subcommand)]
        command: PageCommand,
    },
    /// Set a port up from one file about the site.
    Setup(SetupArguments),
    /// Make this program's manual pages, or its completion for a shell.
    Manual {
        #[command(subcommand)]
        command: Manual,
    },
}

#[derive(Subcommand)]
enum PairCommand {
    /// Make what the two ports of a pair know each other by: a folder for each.
    Keys {
        /// The pair's name, as in `[pair]` of both ports.
        #[arg(long)]
        name: String,
        /// A directory that does not exist yet. Take its `b` to the other port, and remove it here.
        #[arg(long)]
        out: PathBuf,
    },
}

#[derive(Subcommand)]
enum PageCommand {
    /// Read a password, from the terminal or a line of standard input, and print its hash for `password_hash_file`.
    Password,
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Say whether a configuration file is good.
    Check {
        /// The configuration file.
        #[arg(long)]
        config: PathBuf,
        /// Also ask the storage center whether it accepts the customers' secrets.
        #[arg(long)]
        online: bool,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Before anything is opened.
    let readiness = match &arguments.command {
        Command::Serve { ready_fd: Some(number), .. } => Readiness::take(*number).map(Some),
        _ => Ok(None),
    };
    let events = status_page::event_log();
    log(&events);
    let mut samba = None;
    if let Command::Serve { config, .. } = &arguments.command {
        samba = begin_keeper(config);
        confine();
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("storage-port: cannot start threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(async {
        match arguments.command {
            Command::Serve { config, .. } => serve(&config, readiness?, events, samba).await,
            Command::KeepSamba { dir } => keeper::run(Places::new(dir)).await.map_err(Failure::Keeper),
            Command::Probe { config, address, or_standby } => probe(&config, address, or_standby).await,
            Command::Reload { config } => reload(&config).await,
            Command::Status(asking) => ask_command::status(&asking).await,
            Command::Exports(asking) => ask_command::exports(&asking).await,
            Command::Clients(asking) => ask_command::clients(&asking).await,
            Command::Journal(asking) => ask_command::journal(&asking).await,
            Command::Uploads(asking) => ask_command::uploads(&asking).await,
            Command::Cache { command } => return ask_command::cache(&command).await,
            Command::Doctor(arguments) => return Ok(doctor_command::execute(&arguments).await),
            Command::SupportBundle(arguments) => {
                support_command::execute(&arguments).await.map_err(Failure::from)
            }
            Command::Config { command: ConfigCommand::Check { config, online } } => {
                check(&config, online).await.map_err(Failure::from)
            }
            Command::Cifs { command } => cifs_command::execute(&command).map_err(Failure::from),
            Command::Pair { command: PairCommand::Keys { name, out } } => {
                keys::make(&name, &out).map_err(Failure::from)
            }
            Command::StatusPage { command: PageCommand::Password } => {
                password_command::execute().map_err(Failure::from)
            }
            Command::Manual { command } => command.make(Arguments::command()).map_err(Failure::from),
            Command::Setup(arguments) => return Ok(setup_command::execute(arguments).await),
        }
        .map(|()| ExitCode::SUCCESS)
    });
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("storage-port: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Why a command did not do its part: one line.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error(transparent)]
    Cifs(#[from] CifsError),
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error(transparent)]
    Probe(#[from] ProbeError),
    #[error(transparent)]
    Support(#[from] SupportError),
    #[error(transparent)]
    Password(#[from] PasswordCommandError),
    #[error(transparent)]
    Manual(#[from] ManualError),
    #[error(transparent)]
    Readiness(#[from] ReadinessError),
    #[error("Samba is kept no longer: {0}")]
    Keeper(std::io::Error),
    #[error("cannot listen for signals: {0}")]
    Signals(std::io::Error),
    #[error("the storage port answered something else: {0}; is it of another version?")]
    Answer(#[from] serde_json::Error),
    #[error(transparent)]
    List(#[from] ListError),
}

/// The log goes to standard error, as much of it as is wanted; what is worth knowing later is kept as well.
fn log(events: &EventLog) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOGGED));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    let events = events.clone().with_filter(LevelFilter::INFO);
    tracing_subscriber::registry().with(lines.with_filter(filter)).with(events).init();
}

/// Before any thread, and before anybody else's bytes. A port that is not confined serves all the same.
fn confine() {
    if let Err(error) = confine::confine(Needs::default()) {
        tracing::warn!("the port serves without its filter of system calls: {error}");
    }
}

/// Whom the port has do what it may not do itself once it is confined, if its configuration wants that. A configuration
/// that is no good is told of when it is read in earnest.
fn begin_keeper(config: &Path) -> Option<Kept> {
    let places = samba_gateway::places(&Config::load(config).ok()?)?;
    let arguments = ["keep-samba".as_ref(), "--dir".as_ref(), places.dir().as_os_str()];
    let begun = Kept::begin(places.clone(), &arguments);
    begun.inspect_err(|error| tracing::error!("cannot start the process that keeps Samba: {error}")).ok()
}

async fn serve(
    path: &Path,
    readiness: Option<Readiness>,
    events: EventLog,
    samba: Option<Kept>,
) -> Result<(), Failure> {
    // From the first moment: nobody who reloads early shall end a port that is starting.
    let hangups = signal(SignalKind::hangup()).map_err(Failure::Signals)?;
    let config = Config::load(path).map_err(StartError::from)?;
    let port = Port::open(&config, path, samba).await?;
    let reloads = tokio::spawn(reload_at_hangup(hangups, port.reloader()));
    let ready = |addresses: &Addresses| {
        announce(addresses);
        if let Some(readiness) = readiness {
            readiness.tell();
        }
    };
    let served = port.serve(events, ready, stopped()).await;
    reloads.abort();
    Ok(served.map_err(StartError::from)?)
}

async fn reload_at_hangup(mut hangups: Signal, reloader: Arc<Reloader>) {
    while hangups.recv().await.is_some() {
        // It is told in the log.
        let _ = Arc::clone(&reloader).run().await;
    }
}

async fn probe(path: &Path, address: Option<IpAddr>, or_standby: bool) -> Result<(), Failure> {
    let config = Config::load(path).map_err(StartError::from)?;
    say(&probe::probe(&config, address, or_standby).await?.to_string());
    Ok(())
}

async fn reload(path: &Path) -> Result<(), Failure> {
    let config = Config::load(path).map_err(StartError::from)?;
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let request = Request::new("reload", json!({ "config": path.to_string_lossy() }));
    let answer = socket::ask("storage port", &config.state.dir, &request).await?;
    let Reloaded { changed, at_next_start } = serde_json::from_value(answer)?;
    let mut said: Vec<String> = changed.iter().map(|change| format!("changed: {change}")).collect();
    said.extend(at_next_start.iter().map(|change| format!("takes effect at the next start: {change}")));
    if said.is_empty() {
        said.push("nothing has changed".to_owned());
    }
    say(&said.join("\n"));
    Ok(())
}

/// On standard output; nobody listening is no failure.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

async fn check(path: &Path, online: bool) -> Result<(), StartError> {
    let config = Config::load(path)?;
    port::check(&config)?;
    if online {
        check_online(&config).await?;
    }
    println!("{}: good", path.display());
    Ok(())
}

/// The one line on standard output: who started the port waits for it.
fn announce(addresses: &Addresses) {
    let first =
        |addresses: &[std::net::SocketAddr]| addresses.first().map_or_else(String::new, ToString::to_string);
    let mut out = std::io::stdout();
    let line = format!("ready nfs={} mount={}\n", first(&addresses.nfs), first(&addresses.mount));
    // Nobody listening is no reason to stop.
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
}

/// Ready at SIGTERM or SIGINT.
async fn stopped() {
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!("stopping");
        }
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!("cannot listen for signals: {error}; serving until killed");
            std::future::pending::<()>().await;
        }
    }
}
