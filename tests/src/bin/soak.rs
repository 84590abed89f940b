//! `soak [--minutes N]`: mixed load on a storage center and a storage port for so long (30 minutes by default); prints
//! what was done and how the processes went, and ends with 1 if anything grew, failed or differed.
//!
//! `./soak` builds everything and runs this.

#![allow(clippy::unwrap_used, reason = "what cannot go on says so through the panic")]

use std::process::ExitCode;
use std::time::Duration;

use e2e::site::{PortSettings, Site};
use e2e::soak::watch::Margins;
use e2e::soak::{Plan, run};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let minutes = match arguments.as_slice() {
        [] => 30.0,
        [option, minutes] if option == "--minutes" => minutes.parse().unwrap(),
        _ => {
            eprintln!("usage: soak [--minutes N]");
            return ExitCode::from(2);
        }
    };
    let site = Site::start();
    // Small enough that the port's caches are full after some minutes, and old entries go.
    let settings =
        PortSettings { cache_bytes: 64 << 20, directory_entries: 4_000, ..PortSettings::default() };
    let port = site.port_with("port", &settings);
    let plan = Plan {
        duration: Duration::from_secs_f64(60.0 * minutes),
        clients: 8,
        pause: Duration::from_millis(20),
        sample_every: Duration::from_secs(5),
        margins: if minutes < 20.0 { Margins::SHORT } else { Margins::LONG },
    };
    let report = run(&site, &port, plan);
    println!("{report}");
    if report.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
