//! What is revoked, suspended or retired by command is refused by every object manager within a second, and goes on being
//! refused while the directory service is away (SRL-14).

#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use e2e::cluster::client::{Client, Place, stored};
use e2e::cluster::http::Answer;
use e2e::cluster::{Cluster, Settings};
use e2e::poll;
use protocol::digest::Fingerprint;
use protocol::id::{ClientFile, CustomerId, Token};

/// Within which it is in force.
const ONE_SECOND: Duration = Duration::from_secs(1);
/// Times it is tried: of so many, the slowest is the 99th percentile.
const ROUNDS: usize = 30;

struct Files<'a> {
    cluster: &'a Cluster,
    client: Client,
}

impl Files<'_> {
    fn command(&self, command: &str, arguments: &[&str]) {
        let output = self.cluster.directory.command(&["customer", command], arguments);
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn put(&self, number: u8, name: &str) -> Fingerprint {
        let place = Place { parent: self.cluster.library(1).root(), name };
        let answer = self.client.store_file(0, 1, place, Token([number; 16]), name.as_bytes()).unwrap();
        stored(&answer).expect("stored").0.fingerprint
    }

    fn answers(&self, fingerprint: Fingerprint) -> Vec<Answer> {
        (0..self.client.managers())
            .map(|manager| self.client.fetch(manager, 1, fingerprint).unwrap())
            .collect()
    }

    /// Waits until every object manager answers so; how long after `since` that was.
    fn until_all(&self, fingerprint: Fingerprint, status: u16, code: &str, since: Instant) -> Duration {
        poll::until(&format!("{status} {code} at every object manager"), 10 * ONE_SECOND, || {
            let all = self.answers(fingerprint);
            all.iter().all(|answer| answer.status == status && answer.code() == code).then_some(())
        });
        since.elapsed()
    }
}

/// SRL-14: revoked and restored, suspended and resumed, by the clock; p99 of the time until every object manager refuses.
#[test]
fn what_is_revoked_is_refused_everywhere_within_a_second() {
    let mut cluster = Cluster::start("access", Settings { managers: 3, ..Settings::default() });
    let (client, root) = (cluster.client(), cluster.library(1).root());
    let files = Files { cluster: &cluster, client: client.clone() };
    let (kept, taken) = (files.put(1, "kept"), files.put(2, "taken"));

    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        assert!(files.answers(taken).iter().all(|answer| answer.status == 200));
        files.command("revoke", &["--id", "1", "--path", "/taken"]);
        times.push(files.until_all(taken, 403, "revoked", Instant::now()));
        assert!(files.answers(kept).iter().all(|answer| answer.status == 200));
        files.command("restore", &["--id", "1", "--path", "/taken"]);
        files.until_all(taken, 200, "", Instant::now());
    }
    times.sort();
    println!(
        "revocation to refusal at every object manager: median {:?}, p99 {:?}",
        times[ROUNDS / 2],
        times[ROUNDS - 1]
    );
    assert!(times[ROUNDS - 1] < ONE_SECOND);

    files.command("suspend", &["--id", "1"]);
    files.until_all(kept, 403, "not-authentic", Instant::now());
    files.command("resume", &["--id", "1"]);
    files.until_all(kept, 200, "", Instant::now());

    // A folder: what is in it, and storing into it.
    files.command("revoke", &["--id", "1", "--path", "/"]);
    files.until_all(kept, 403, "revoked", Instant::now());
    let place = Place { parent: root, name: "more" };
    assert_eq!(client.store_file(1, 1, place, Token([3; 16]), b"more").unwrap().code(), "revoked");
    files.command("restore", &["--id", "1", "--path", "/"]);
    files.until_all(kept, 200, "", Instant::now());

    // A file of the customer's own naming.
    let own = ClientFile::named(CustomerId(1), b"photo 7");
    assert_eq!(client.store_client_file(0, 1, (own, false), Token([4; 16]), b"photo").unwrap().status, 201);
    files.command("revoke", &["--id", "1", "--ufid", "photo 7"]);
    poll::until("the file is refused", ONE_SECOND, || {
        (client.fetch_client_file(2, 1, own).unwrap().code() == "revoked").then_some(())
    });

    // The directory service goes: what is revoked stays so, and the rest is served.
    files.command("revoke", &["--id", "1", "--path", "/taken"]);
    files.until_all(taken, 403, "revoked", Instant::now());
    // An object manager that knew it before it was told forgets it then, and asks again.
    poll::pause(ONE_SECOND);
    files.until_all(taken, 403, "revoked", Instant::now());
    cluster.directory.daemon.kill_9();
    for manager in 0..3 {
        assert_eq!(client.fetch(manager, 1, taken).unwrap().code(), "revoked");
        assert_eq!(client.fetch(manager, 1, kept).unwrap().status, 200);
    }
}

/// SRL-14: a secret is replaced without a gap, and the old one taken back.
#[test]
fn secrets_rotate_without_a_gap_and_are_retired() {
    let cluster = Cluster::start("rotate", Settings { nodes: 2, ..Settings::default() });
    let files = Files { cluster: &cluster, client: cluster.client() };
    let kept = files.put(1, "kept");
    let secret = cluster.path().join("new.secret");
    files.command("rotate", &["--id", "1", "--secret-out", secret.to_str().unwrap()]);
    let renewed = Files { cluster: &cluster, client: cluster.client_with_secret(1, &secret) };
    renewed.until_all(kept, 200, "", Instant::now());
    assert!(files.answers(kept).iter().all(|answer| answer.status == 200), "the old one is good as well");

    files.command("retire", &["--id", "1"]);
    let time = files.until_all(kept, 403, "not-authentic", Instant::now());
    assert!(time < ONE_SECOND, "{time:?}");
    assert!(renewed.answers(kept).iter().all(|answer| answer.status == 200));
}
