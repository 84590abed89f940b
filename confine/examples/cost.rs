//! What the filter costs: the time of system calls that do next to nothing, without it and with it.
//! `cargo run --release -p confine --example cost`

#![allow(unsafe_code, reason = "system calls by number")]

use std::time::Instant;

use confine::{ConfineError, Needs, confine};

/// A round is so short that some of them are not interrupted.
const CALLS: u32 = 10_000;
const ROUNDS: u32 = 500;

/// Nanoseconds a call, of the fastest round.
fn fastest(call: impl Fn()) -> f64 {
    let round = || {
        let start = Instant::now();
        (0..CALLS).for_each(|_| call());
        start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
    };
    (0..ROUNDS).map(|_| round()).fold(f64::INFINITY, f64::min)
}

/// A call that is allowed whatever its arguments, and one whose first argument is looked at: an impossible kind of
/// socket.
fn both() -> [f64; 2] {
    // SAFETY: numbers alone; neither reads or writes memory of this process.
    let getppid = || unsafe { libc::syscall(libc::SYS_getppid) };
    let socket = || unsafe { libc::syscall(libc::SYS_socket, libc::AF_INET, -1, 0) };
    [
        fastest(|| {
            getppid();
        }),
        fastest(|| {
            socket();
        }),
    ]
}

fn main() -> Result<(), ConfineError> {
    let without = both();
    confine(Needs::default())?;
    let with = both();
    for (name, (without, with)) in ["getppid", "socket"].into_iter().zip(without.into_iter().zip(with)) {
        println!("{name}: {without:.1} ns, confined {with:.1} ns");
    }
    Ok(())
}
