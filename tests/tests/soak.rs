//! The soak, for a minute: what fails or grows fast is seen here. `./soak` runs it for as long as is wanted.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use e2e::site::{PortSettings, Site};
use e2e::soak::watch::Margins;
use e2e::soak::{Plan, run};

/// Mixed load from several clients: every byte read is the one written, no call fails, and memory, open files and
/// threads of port and center do not run away.
#[test]
fn a_minute_of_mixed_load_goes_right() {
    let site = Site::start();
    let port = site.port_with("port", &PortSettings { cache_bytes: 32 << 20, ..PortSettings::default() });
    let plan = Plan {
        duration: Duration::from_secs(60),
        clients: 6,
        pause: Duration::from_millis(10),
        sample_every: Duration::from_secs(1),
        margins: Margins::SHORT,
    };
    let report = run(&site, &port, plan);
    assert!(report.failures.is_empty(), "{report}");
}
