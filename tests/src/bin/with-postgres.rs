//! `with-postgres COMMAND…`: runs a command beside a PostgreSQL server of its own, whose connection string is in
//! `VFS_TEST_POSTGRES`; ends as the command does.

#![allow(clippy::unwrap_used, reason = "what cannot go on says so through the panic")]

use std::process::{Command, ExitCode};

use e2e::postgres::Postgres;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let Some(program) = arguments.next() else {
        eprintln!("usage: with-postgres COMMAND [ARGUMENT…]");
        return ExitCode::from(2);
    };
    let dir = tempfile::Builder::new().prefix("storage-port-postgres-").tempdir().unwrap();
    let server = Postgres::start(dir.path());
    let status = Command::new(program)
        .args(arguments)
        .env("VFS_TEST_POSTGRES", server.database("vfs_test"))
        .status()
        .unwrap();
    status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}
