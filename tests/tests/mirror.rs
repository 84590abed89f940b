//! Two storage centers that mirror each other, with a lossy WAN of 40 ms between them: the link flaps while files are
//! made, a whole center dies under load, disks fail, and strangers knock.
//!
//! `E2E_SEED` chooses other contents and times, `MIRROR_UPLOADS` how many files are made.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use e2e::cluster::centers::Centers;
use e2e::cluster::certificates::{Authority, Certificate};
use e2e::cluster::files::{self, File, Makers};
use e2e::cluster::load::under_load;
use e2e::cluster::member::Member;
use e2e::cluster::network::{Host, SOUTH};
use e2e::cluster::{Settings, status};
use e2e::tools::run;
use e2e::{data, poll};
use rand::Rng;

/// Files made in both centers together.
const UPLOADS: usize = 5_000;
/// Clients of each center.
const CLIENTS: usize = 32;
/// Room on each disk, in memory: a disk would be busy with the folders of so many objects.
const DISK_BYTES: u64 = 128 << 20;
/// How often the link goes down.
const FLAPS: usize = 10;
/// How long an upload may take, whatever happens.
const UPLOAD_PATIENCE: Duration = Duration::from_secs(90);
/// How long debts may last once both centers are there.
const REPAIR_PATIENCE: Duration = Duration::from_secs(120);
/// How long a center may take to become the writer with the help of the witness.
const TAKEOVER_PATIENCE: Duration = Duration::from_secs(30);

fn seed() -> u64 {
    data::figure("E2E_SEED", 0x6d69_7272)
}

fn uploads() -> usize {
    data::figure("MIRROR_UPLOADS", UPLOADS)
}

/// Each center: 1 directory manager, 2 object managers, 3 storage nodes with 2 disks each.
fn settings() -> Settings {
    Settings { nodes: 3, disk_bytes: Some(DISK_BYTES), ..Settings::default() }
}

/// Everything is as it should be between the centers: one copy of each object in each, nothing owed, the same rows in
/// both directories, which are the rows of these files, and the references of these rows.
#[track_caller]
fn assert_even(centers: &Centers, files: &[File]) {
    centers.wait_one_copy_in_each(files, REPAIR_PATIENCE);
    centers.wait_no_debts(REPAIR_PATIENCE);
    let rows: BTreeSet<_> = centers.wait_same_rows(REPAIR_PATIENCE).iter().map(|row| row.id).collect();
    let ids: BTreeSet<_> = files.iter().map(|file| file.id).collect();
    assert_eq!(rows, ids, "rows are what was acknowledged");
    for cluster in centers.both() {
        cluster.assert_objects_whole();
    }
}

/// GEO-1, GEO-3, GEO-4, DOSM-15, VFS-22, SYS-4: all uploads in either center are acknowledged while the link goes down
/// and up; afterwards each object lies once in each center, spare copies are gone, and each center serves everything.
#[test]
fn uploads_go_on_while_the_link_flaps() {
    let uploads = uploads();
    let centers = Centers::start("flap", settings());
    let mut rng = data::rng(seed());
    let acknowledged = AtomicUsize::new(0);
    let makers = Makers { clients: CLIENTS, patience: UPLOAD_PATIENCE, acknowledged: &acknowledged };
    let mut lengths = || -> Vec<usize> {
        let length = |index| rng.random_range(1..if index % 50 == 0 { 1 << 20 } else { 16 << 10 });
        (0..uploads / 2).map(length).collect()
    };
    let [north_lengths, south_lengths] = [lengths(), lengths()];
    let root = centers.north.library(1).root();
    let began = Instant::now();
    let files: Vec<File> = thread::scope(|scope| {
        let north = scope.spawn(|| makers.make(&centers.north.client(), root, seed(), &north_lengths));
        let south = scope.spawn(|| makers.make(&centers.south.client(), root, seed() + 1, &south_lengths));
        for flap in 1..=FLAPS {
            poll::until("uploads go on", 2 * UPLOAD_PATIENCE, || {
                (acknowledged.load(Ordering::Relaxed) >= flap * uploads / (FLAPS + 1)).then_some(())
            });
            centers.wan().cut(SOUTH);
            poll::pause(Duration::from_millis(rng.random_range(2_000..4_000)));
            centers.wan().restore(SOUTH);
        }
        let mut files = north.join().unwrap();
        files.extend(south.join().unwrap());
        files
    });
    assert_eq!(files.len(), uploads);
    println!("{uploads} uploads in {:.1?}; {:?}", began.elapsed(), centers.wan().counts());
    let began = Instant::now();
    assert_even(&centers, &files);
    println!("no debt and no spare copy after {:.1?}", began.elapsed());
    let sample: Vec<File> = (0..200).map(|_| files[rng.random_range(0..files.len())].clone()).collect();
    for cluster in centers.both() {
        files::fetch_everywhere(&cluster.client(), &sample);
    }
    centers.north.wait_references_equal_rows(REPAIR_PATIENCE);
}

/// One center after the other dies under load, and comes back; `take_over` sees to it that south changes the directory
/// while north is away. No fetch fails at both, every change is acknowledged, nothing acknowledged is lost.
#[track_caller]
fn survive_each_center(mut centers: Centers, take_over: impl FnOnce(&Centers)) {
    let (client, library) =
        (centers.north.client_with(&centers.south), centers.north.library_with(&centers.south));
    let ((), kept) = under_load(&client, &library, seed(), |load| {
        load.advance(50, 50);
        centers.wait_no_debts(REPAIR_PATIENCE);
        println!("before: {}", load.tally());
        centers.south.kill_all();
        load.advance(200, 50);
        centers.south.start_all();
        centers.wait_assembled();
        centers.wait_no_debts(REPAIR_PATIENCE);
        println!("south died: {}", load.tally());
        centers.north.kill_all();
        load.advance(100, 0);
        take_over(&centers);
        load.advance(200, 50);
        centers.north.start_all();
        centers.wait_assembled();
        centers.wait_no_debts(REPAIR_PATIENCE);
        load.advance(50, 50);
        println!("north died: {}", load.tally());
    });
    for cluster in centers.both() {
        let mirror = status::mirror_of(&cluster.directory).unwrap();
        assert_eq!((mirror.writer.as_str(), mirror.alone), ("south", false), "{mirror:?}");
    }
    let files: Vec<File> = kept.iter().map(|kept| File { id: kept.file, content: kept.content }).collect();
    assert_even(&centers, &files);
    for cluster in centers.both() {
        files::fetch_everywhere(&cluster.client(), &files);
    }
    centers.south.wait_references_equal_rows(REPAIR_PATIENCE);
}

/// GEO-4, GEO-5, VFS-21, SYS-1: without a witness an operator says that the other center takes over.
#[test]
fn a_whole_center_dies_under_load() {
    survive_each_center(Centers::start("dies", settings()), |centers| {
        let refused = centers.south.directory.command(&["mirror", "takeover"], &[]);
        assert!(!refused.status.success(), "the writer is silent, and nobody said that it is down");
        let taken = centers.south.directory.command(&["mirror", "takeover"], &["--force"]);
        assert!(taken.status.success(), "{}", String::from_utf8_lossy(&taken.stderr));
    });
}

/// GEO-5, VFS-21: with a witness at a third place nobody needs to say anything.
#[test]
fn a_witness_lets_the_other_center_take_over_by_itself() {
    survive_each_center(Centers::start_with_witness("witness", settings()), |centers| {
        poll::until("south takes over", TAKEOVER_PATIENCE, || {
            (status::mirror_of(&centers.south.directory)?.role == "writer").then_some(())
        });
    });
}

/// GEO-6, GEO-7, GEO-8, GEO-9: by either order, an object is served from the other center once its disk here has failed
/// or its node here is gone, wherever it lies there; the next time it comes from the manager's cache, without a question
/// to the other center.
#[test]
fn what_is_lost_here_comes_from_the_other_center_once() {
    for order in ["document", "hedged"] {
        // Long enough that no copies are made here meanwhile.
        let replicate_after = Duration::from_secs(600);
        let settings = Settings { order, cache_bytes: 64 << 20, replicate_after, ..settings() };
        let mut centers = Centers::start(order, settings);
        let client = centers.north.client();
        let files = files::make(&client, centers.north.library(1).root(), seed(), &[60_000; 60]);
        centers.wait_one_copy_in_each(&files, REPAIR_PATIENCE);

        // Managers know from the upload where an object is that went through them.
        centers.north.nodes[0].disks[0].lose();
        centers.north.nodes[1].member.daemon.kill_9();
        let is_lost = |file: &File| centers.north.copies_on(file.fingerprint(), &[0, 2]) == 0;
        let lost: Vec<File> = files.iter().filter(|file| is_lost(file)).cloned().collect();
        assert!(lost.len() >= 10, "{order}: {} objects are lost in north", lost.len());
        // One lies in the other center where no mapping leads to.
        move_elsewhere(&centers, &lost[0]);
        files::fetch_everywhere(&client, &lost);
        assert!(lost.iter().all(is_lost), "they were not served here");

        centers.wan().cut(SOUTH);
        files::fetch_everywhere(&client, &lost);
        centers.wan().restore(SOUTH);
        centers.north.nodes[1].member.daemon.restart();
    }
}

/// Brings an object to another node of south, as an operator would, and has the nodes read their disks' names.
fn move_elsewhere(centers: &Centers, file: &File) {
    let (nodes, object) = (&centers.south.nodes, file.fingerprint());
    let from = centers.south.holders(object)[0];
    let to = (from + 1) % nodes.len();
    nodes[from].disk_of(object).move_object(object, &nodes[to].disks[1]);
    centers.north.check(&["--repair"]);
    assert_eq!(centers.south.holders(object), [to]);
}

/// GEO-11: who has no certificate of the centers' authority gets no session from another network, not even with the
/// cluster's key.
#[test]
fn strangers_get_no_session_over_the_wan() {
    let centers = Centers::start("strangers", settings());
    let Centers { north, south, .. } = &centers;
    let from = south.client_host();
    let strange = Authority::new(north.path(), "strangers").issue("south");
    let own = centers.authority().issue("south");
    let known_by = centers.authority().certificate();
    let knock = |member, shown| refusal(from, member, &known_by, shown);
    assert_eq!(knock(&north.managers[1], Some(&own)), None, "who has a right to it gets a session");
    for member in [&north.nodes[0].member, &north.managers[0], &north.directory] {
        let said = knock(member, None).expect("no session without a certificate");
        assert!(said.contains("certificate required"), "{said}");
        let said = knock(member, Some(&strange)).expect("no session with another authority's certificate");
        assert!(said.contains("unknown ca") || said.contains("bad certificate"), "{said}");
    }

    let (far, near) = (centers.stranger(south, north, 77), centers.stranger(north, north, 78));
    poll::until("the cluster's key is enough where it is at home", REPAIR_PATIENCE, || {
        (status::of(&near.member)?.online() > 1).then_some(())
    });
    let seen = status::of(&far.member).unwrap();
    let known: Vec<u64> = seen.nodes.keys().copied().collect();
    assert_eq!(known, [u64::from(far.member.number())], "nobody speaks to it without TLS");
    let number = u64::from(far.member.number());
    for member in north.members() {
        assert!(
            !status::of(member).unwrap().nodes.contains_key(&number),
            "nobody takes it for one of the cluster"
        );
    }
}

/// Knocks at a process by TLS 1.3 from a host, with a certificate or without one: the alert that is the answer; `None`
/// if there is a session for some time.
fn refusal(from: &Host, at: &Member, authority: &Path, shown: Option<&Certificate>) -> Option<String> {
    let (address, authority) = (at.dosp().to_string(), authority.to_str().unwrap());
    let mut arguments = vec!["netns", "exec", from.namespace().name(), "timeout", "2", "openssl", "s_client"];
    arguments.extend(["-connect", &address, "-tls1_3", "-servername", "north", "-ign_eof"]);
    arguments.extend(["-CAfile", authority, "-verify_return_error"]);
    if let Some(Certificate { certificate, key }) = shown {
        arguments.extend(["-cert", certificate.to_str().unwrap(), "-key", key.to_str().unwrap()]);
    }
    let output = run("ip", &arguments);
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(said.contains("Verification: OK"), "no server of this center: {said}");
    said.lines().find(|line| line.contains("alert")).map(str::to_owned)
}
