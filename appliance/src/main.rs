//! The command `storage-port`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use appliance::config::Config;
use appliance::port::{self, Port, StartError, check_online};
use clap::{Parser, Subcommand};
use nfs::server::Addresses;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

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
    },
    /// Work with the configuration.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
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
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("storage-port: cannot start threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(async {
        match arguments.command {
            Command::Serve { config } => serve(&config).await,
            Command::Config { command: ConfigCommand::Check { config, online } } => {
                check(&config, online).await
            }
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("storage-port: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(config: &std::path::Path) -> Result<(), StartError> {
    let config = Config::load(config)?;
    let port = Port::open(&config).await?;
    port.serve(announce, stopped()).await;
    Ok(())
}

async fn check(path: &std::path::Path, online: bool) -> Result<(), StartError> {
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
