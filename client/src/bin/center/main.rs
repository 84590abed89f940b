//! `center`: files and folders of a storage center from the command line.
//!
//! Exit status: 0 done, 1 not done (the line on stderr says why), 2 wrong usage or configuration.

mod arguments;
mod configuration;
mod download;
mod files;
mod meter;
mod remote;
mod show;
mod upload;

use std::process::ExitCode;

use clap::Parser as _;
use client::Center;

use arguments::{Arguments, Command};

/// What ends a command: one line that says what to do.
type Outcome = Result<(), String>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let center = match configuration::settings(&arguments.center)
        .and_then(|settings| Center::new(settings).map_err(|error| error.to_string()))
    {
        Ok(center) => center,
        Err(why) => return fail(&why, 2),
    };
    match run(&center, arguments.command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => fail(&why, 1),
    }
}

fn fail(why: &str, status: u8) -> ExitCode {
    eprintln!("center: {}", show::plain(why.as_bytes()));
    ExitCode::from(status)
}

async fn run(center: &Center, command: Command) -> Outcome {
    match command {
        Command::Ls { long, path } => files::list(center, &path, long).await,
        Command::Stat { path } => files::stat(center, &path).await,
        Command::Put { recursive, local, path } => upload::put(center, &local, &path, recursive).await,
        Command::Get { recursive, path, local } => download::get(center, &path, &local, recursive).await,
        Command::Mkdir { parents, path } => files::make_folder(center, &path, parents).await,
        Command::Mv { from, to } => files::rename(center, &from, &to).await,
        Command::Rm { recursive, path } => files::remove(center, &path, recursive).await,
        Command::Srl { expires_in, path } => files::srl(center, &path, expires_in).await,
    }
}
