//! The probe by which a service is judged (FO-3).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::time::Duration;

use nfs::filesystem::Handle;
use nfs::probe::{Probe, ProbeError};
use support::serve;

/// FO-3: a service that lives answers over one connection; a stale handle, silence and death are told apart from it.
#[test]
fn a_service_that_lives_answers_and_any_other_does_not() {
    let mut server = serve();
    let (_, root) = server.mounted();
    let address = server.addresses.nfs[0];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut probe = Probe::new(address, Handle::new(&root).unwrap());
    runtime.block_on(async {
        for _ in 0..3 {
            probe.ask().await.unwrap();
        }
        let mut stale = Probe::new(address, Handle::new(b"nobody gave this").unwrap());
        assert!(matches!(stale.ask().await, Err(ProbeError::Broken(_))));

        server.filesystem.set_paused(true);
        assert!(tokio::time::timeout(Duration::from_millis(50), probe.ask()).await.is_err(), "GETATTR waits");
        server.filesystem.set_paused(false);
        probe.ask().await.unwrap();
    });
    server.end();
    runtime.block_on(async { assert!(matches!(probe.ask().await, Err(ProbeError::NoAnswer(_)))) });
}
