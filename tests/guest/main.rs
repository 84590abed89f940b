//! The program of ours in a test's guest: the agent that runs the test's scripts, and works that need more than a shell.
//!
//! `nfs-guest agent DEVICE` obeys the test at the other end of a virtual serial line (`e2e::qemu::wire`).

#![allow(
    clippy::unwrap_used,
    reason = "what cannot go on in the guest fails its test at the line that could not"
)]

mod agent;

use std::process::exit;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["agent", device] => agent::obey(device),
        _ => {
            eprintln!("nfs-guest: not known: {arguments:?}");
            exit(2);
        }
    }
}
