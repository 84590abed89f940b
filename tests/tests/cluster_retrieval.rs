//! How an object manager gets at objects when nodes hang or die, by each order, with and without multicast, and for
//! many clients at a time.

#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use e2e::cluster::client::{content_of, stored};
use e2e::cluster::files;
use e2e::cluster::{Cluster, Settings};
use e2e::data;
use protocol::id::Token;

/// More than a node may be silent before a client must have its bytes from another.
const HANG_PATIENCE: Duration = Duration::from_secs(20);

/// DOSM-8: a download that has begun goes on from another copy, whichever node was serving it and whether it died or
/// hangs.
#[test]
fn a_download_goes_on_from_another_copy() {
    const BYTES: usize = 64 << 20;
    let mut cluster = Cluster::start("resume", Settings::default());
    let client = cluster.client();
    let bytes = data::bytes(1, BYTES);
    let object = content_of(&bytes).fingerprint;
    let answer = client.store(0, 1, Token([1; 16]), &bytes).unwrap();
    assert!(stored(&answer).is_some(), "{}", answer.summary());
    let [first, second] = cluster.holders(object)[..] else { panic!("two nodes hold it") };
    for (node, hangs) in [(first, false), (second, false), (first, true), (second, true)] {
        let mut download = client.open(0, 1, object).unwrap();
        assert_eq!(download.status, 200);
        let mut fetched = download.piece(4 << 20).unwrap();
        let daemon = &mut cluster.nodes[node].member.daemon;
        if hangs {
            daemon.freeze()
        } else {
            daemon.kill_9()
        }
        let began = Instant::now();
        fetched.extend(download.finish().unwrap().body);
        assert!(fetched == bytes, "node {node}, hangs: {hangs}");
        assert!(began.elapsed() < HANG_PATIENCE, "{:?}", began.elapsed());
        let daemon = &mut cluster.nodes[node].member.daemon;
        if hangs {
            daemon.thaw()
        } else {
            daemon.restart()
        }
        cluster.wait_assembled();
    }
}

/// GAP-5, DOSM-4 to DOSM-8, DFO-3, DFO-4: by each order, objects of a node that died are found elsewhere; known and
/// unknown ones.
#[test]
fn every_order_finds_the_other_copy() {
    let mut cluster = Cluster::start("orders", Settings { nodes: 3, ..Settings::default() });
    let (client, library) = (cluster.client(), cluster.library(1));
    let files = files::make(&client, library.root(), 1, &[50_000; 30]);
    let mut order = "hedged";
    for next in ["document", "fig31", "fig4", "hedged"] {
        let manager = &mut cluster.managers[1];
        manager.edit_config(&format!("order = \"{order}\""), &format!("order = \"{next}\""));
        order = next;
        manager.daemon.stop();
        manager.daemon.restart();
        cluster.wait_assembled();
        // Half of them are known when the node dies.
        files::fetch(&client, &files[..15], |_| 1);
        cluster.nodes[0].member.daemon.kill_9();
        files::fetch(&client, &files, |_| 1);
        cluster.nodes[0].member.daemon.restart();
        cluster.wait_assembled();
        cluster.nodes[1].member.daemon.freeze();
        files::fetch(&client, &files, |_| 1);
        cluster.nodes[1].member.daemon.thaw();
        cluster.wait_assembled();
    }
}

/// MC-7, DOSM-6: where no multicast reaches anybody, addresses in the configuration are enough.
#[test]
fn a_peer_list_is_enough() {
    let settings = Settings { nodes: 3, multicast: false, ..Settings::default() };
    let mut cluster = Cluster::start("peers", settings);
    cluster.network().lose_multicast(100);
    let (client, library) = (cluster.client(), cluster.library(1));
    let files = files::make(&client, library.root(), 1, &[20_000; 40]);
    for file in &files {
        assert_eq!(cluster.copies(file.fingerprint()), 2);
    }
    cluster.wipe_managers();
    cluster.nodes[2].member.daemon.kill_9();
    files::fetch_everywhere(&client, &files);
    let here = [0, 1];
    files::wait_two_copies(&cluster, &files, &here, Duration::from_secs(60));
    assert_eq!(cluster.network().multicast_lost(), 0, "nobody tried");
}

/// SYS-11: hundreds of downloads at a time from one manager, none of which is read to its end before all have begun.
#[test]
fn one_manager_serves_512_downloads_at_a_time() {
    const DOWNLOADS: usize = 512;
    let cluster = Cluster::start("many", Settings { nodes: 2, ..Settings::default() });
    let client = cluster.client();
    let objects: Vec<_> = (1..=8)
        .map(|number| {
            let bytes = data::bytes(u64::from(number), 1_200_000);
            let answer = client.store(0, 1, Token([number; 16]), &bytes).unwrap();
            assert!(stored(&answer).is_some(), "{}", answer.summary());
            bytes
        })
        .collect();
    let contents: Vec<_> = objects.iter().map(|bytes| content_of(bytes)).collect();
    let begun: Vec<_> = (0..DOWNLOADS)
        .map(|number| {
            let answering = client.open(0, 1, contents[number % contents.len()].fingerprint);
            answering.unwrap_or_else(|error| panic!("download {number}: {error}"))
        })
        .collect();
    for (number, answering) in begun.into_iter().enumerate() {
        let answer = answering.finish().unwrap_or_else(|error| panic!("download {number}: {error}"));
        assert_eq!(answer.status, 200);
        assert!(answer.body == objects[number % objects.len()], "download {number}");
    }
}
