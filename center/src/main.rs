//! `storage-center`: see [`center::cli`].

use std::process::ExitCode;

use center::cli::{Cli, run};
use clap::Parser;
use tikv_jemallocator::Jemalloc;

/// The C library's allocator keeps for each of its arenas, which threads take in turn, what was once in use there at
/// most. An arena of this one, which serves SQLite too, gives back, while it is used, what was not for ten seconds
/// (docs/benchmarks.md, "Soak").
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

#[tokio::main]
async fn main() -> ExitCode {
    run(Cli::parse()).await
}
