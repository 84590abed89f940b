//! `storage-center`: see [`center::cli`].

use std::process::ExitCode;

use center::cli::{Cli, run};
use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    run(Cli::parse()).await
}
