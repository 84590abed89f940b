//! The program of ours in a test's guest: the agent that runs the test's scripts, and works that need more than a shell.
//!
//! - `nfs-guest agent DEVICE` obeys the test at the other end of a virtual serial line (`e2e::qemu::wire`).
//! - `nfs-guest operations FOLDER` tries every operation of a file system in a folder; status 1 if one is wrong.
//! - `nfs-guest endure FOLDER STOP` writes, reads, makes, renames and removes files there, checks everything, and puts
//!   the number of its rounds into `FOLDER/rounds`, until a file `STOP` is there.
//! - `nfs-guest stall FOLDER STOP STALLS` reads and writes there until a file `STOP` is there, and tells in `STALLS` how
//!   long each took.
//! - `nfs-guest lock FILE read|write START LENGTH` tries a lock; status 1 if another has it.
//! - `nfs-guest hold FILE read|write START LENGTH HELD RELEASE` waits for a lock, makes a file `HELD`, and keeps the
//!   lock until a file `RELEASE` is there.

#![allow(
    clippy::unwrap_used,
    reason = "what cannot go on in the guest fails its test at the line that could not"
)]

mod agent;
mod endure;
mod lock;
mod operations;
mod pattern;
mod stall;

use std::path::Path;
use std::process::exit;

use lock::Piece;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["agent", device] => agent::obey(device),
        ["operations", folder] => operations::try_all(Path::new(folder)),
        ["endure", folder, stop] => endure::until(Path::new(folder), Path::new(stop)),
        ["stall", folder, stop, stalls] => {
            stall::until(Path::new(folder), Path::new(stop), Path::new(stalls));
        }
        ["lock", file, kind, start, len] => lock::probe(Path::new(file), Piece::parse(kind, start, len)),
        ["hold", file, kind, start, len, held, release] => {
            let piece = Piece::parse(kind, start, len);
            lock::hold(Path::new(file), piece, Path::new(held), Path::new(release));
        }
        _ => {
            eprintln!("nfs-guest: not known: {arguments:?}");
            exit(2);
        }
    }
}
