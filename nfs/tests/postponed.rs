//! A client that is told to come again later (NFS3ERR_JUKEBOX), and does, means the same call (FO-12).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::{Arc, Mutex};

use nfs::filesystem::{Caller, FsError, FsResult, RequestKey};
use nfs::settings::Bounds;
use support::probe::{Behaviour, HANDLE, Probe};
use support::{Args, serve_with};

const JUKEBOX: u32 = 10_008;

/// Answers twice that it is too early, and keeps the keys of all who ask.
#[derive(Clone, Default)]
struct Early(Arc<Mutex<Vec<RequestKey>>>);

impl Behaviour for Early {
    fn removed(&self, caller: &Caller) -> FsResult<()> {
        let mut keys = self.0.lock().unwrap();
        keys.push(caller.request);
        if keys.len() <= 2 { Err(FsError::TryLater) } else { Ok(()) }
    }
}

#[test]
fn a_call_that_comes_again_later_is_the_same_call() {
    let early = Early::default();
    let server = serve_with(Probe(early.clone()), Bounds::default());
    let (mut client, mut other) = (server.client(), server.client());
    // Its transaction ids are others than those of the first.
    (0..10).for_each(|_| drop(other.nfs(0, Args::new())));
    let remove = |client: &mut support::Client, name: &[u8]| {
        client.nfs(12, Args::new().opaque(&HANDLE).opaque(name)).status().0
    };
    assert_eq!(remove(&mut client, b"name"), JUKEBOX);
    assert_eq!(remove(&mut client, b"name"), JUKEBOX);
    assert_eq!(remove(&mut client, b"another"), 0);
    assert_eq!(remove(&mut other, b"name"), 0, "over another connection");
    assert_eq!(remove(&mut client, b"name"), 0, "it was answered: this is another call");
    let keys = early.0.lock().unwrap();
    assert_eq!([keys[1], keys[3]], [keys[0], keys[0]]);
    assert!(keys[2] != keys[0] && keys[4] != keys[0] && keys[4] != keys[2]);
}
