//! A storage center of two object managers and four storage nodes on hosts of their own: every object lies on two
//! nodes, everybody serves it, nobody knows where it lies but by asking, and nodes come and objects move at run time.
//!
//! `E2E_CLUSTER_OBJECTS` is how many objects the first test stores.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use e2e::cluster::client::{Client, Place, content_of, stored};
use e2e::cluster::files::{self, File};
use e2e::cluster::{Cluster, Settings};
use e2e::{data, poll};
use protocol::id::Token;
use rand::Rng;

/// Objects of the first test.
const OBJECTS: usize = 2_000;
/// How long repairs may take.
const REPAIR_PATIENCE: Duration = Duration::from_secs(60);

/// SYS-9: 0 B to 64 MiB, few of the large.
fn lengths(objects: usize) -> Vec<usize> {
    let mut rng = data::rng(9);
    let length = |index| match index {
        0 => 0,
        1 => 1,
        2 => 64 << 20,
        3 | 4 => 16 << 20,
        5..15 => rng.random_range(3 << 20..5 << 20),
        15..45 => 500_000,
        _ => rng.random_range(1..20_000),
    };
    (0..objects).map(length).collect()
}

fn every(cluster: &Cluster) -> Vec<usize> {
    (0..cluster.nodes.len()).collect()
}

/// SYS-1, SYS-2, SYS-3, SYS-4 (in one center), SYS-5, SYS-9, DOSM-6, DOSM-9, DOSM-13, DOSM-15, DOSM-16.
#[test]
fn every_object_lies_on_two_nodes_and_every_manager_serves_it() {
    let mut cluster = Cluster::start("objects", Settings::default());
    let (client, library) = (cluster.client(), cluster.library(1));
    let root = library.root();
    let objects = data::figure("E2E_CLUSTER_OBJECTS", OBJECTS);
    let files = files::make(&client, root, 1, &lengths(objects));
    for file in files.iter().filter(|file| file.content.size > 0) {
        assert_eq!(cluster.copies(file.fingerprint()), 2, "{:?}", file.content);
    }
    let on_nodes: Vec<usize> = cluster.nodes.iter().map(|node| node.objects()).collect();
    let fair = objects * 2 / on_nodes.len();
    assert!(on_nodes.iter().all(|&count| count > fair / 3), "DOSM-13: {on_nodes:?}");
    for node in &cluster.nodes {
        assert!(node.disks.iter().all(|disk| !disk.object_files().is_empty()), "ISN-1: all disks are used");
    }
    files::fetch_everywhere(&client, &files);

    // SYS-2: what the managers knew is gone, and nothing with it.
    cluster.wipe_managers();
    files::fetch(&client, &files, |index| index % 2);

    the_paths_are_separate(&mut cluster, &client, &files);
    a_moved_object_is_found(&cluster, &client, &files);
    cluster.wait_references_equal_rows(REPAIR_PATIENCE);
    cluster.assert_objects_whole();
}

/// SYS-1: files are fetched without the directory service, and folders opened without storage nodes.
fn the_paths_are_separate(cluster: &mut Cluster, client: &Client, files: &[File]) {
    let some = &files[files.len() - 50..];
    cluster.directory.daemon.kill_9();
    files::fetch_everywhere(client, some);
    cluster.directory.daemon.restart();

    cluster.nodes.iter_mut().for_each(|node| node.member.daemon.kill_9());
    let library = cluster.library(1);
    assert_eq!(library.entries(library.root()).unwrap().len(), files.len());
    // Who cannot ask the nodes cannot say that there is no such object.
    let answer = client.fetch(0, 1, some[0].fingerprint()).unwrap();
    assert_eq!(answer.status, 503, "{}", answer.summary());
    cluster.nodes.iter_mut().for_each(|node| node.member.daemon.restart());
    cluster.wait_assembled();
    files::fetch_everywhere(client, some);
}

/// SYS-3: an object is found on a disk to which somebody has brought it, and on no other any more.
fn a_moved_object_is_found(cluster: &Cluster, client: &Client, files: &[File]) {
    let moved = [files[5].clone(), files[files.len() - 1].clone()];
    for file in &moved {
        let object = file.fingerprint();
        let [from, other] = cluster.holders(object)[..] else { panic!("two nodes hold {object}") };
        let to = (0..cluster.nodes.len()).find(|index| ![from, other].contains(index)).unwrap();
        cluster.nodes[from].disk_of(object).move_object(object, &cluster.nodes[to].disks[1]);
        cluster.nodes[other].disk_of(object).remove_object(object);
        assert_eq!(cluster.holders(object), [to]);
    }
    // The nodes read their disks' names.
    let (_, report) = cluster.check(&["--repair"]);
    for (file, manager) in moved.iter().flat_map(|file| [(file, 0), (file, 1)]) {
        poll::until(&format!("{} is found: {report}", file.fingerprint()), REPAIR_PATIENCE, || {
            let answer = client.fetch(manager, 1, file.fingerprint()).unwrap();
            (answer.status == 200 && content_of(&answer.body) == file.content).then_some(())
        });
    }
    files::wait_two_copies(cluster, &moved, &every(cluster), REPAIR_PATIENCE);
}

/// SYS-5, DOSM-12: a node that is started is used, and nobody else is told or started again.
#[test]
fn a_node_joins_at_run_time() {
    let mut cluster = Cluster::start("join", Settings { nodes: 2, ..Settings::default() });
    let (client, library) = (cluster.client(), cluster.library(1));
    let root = library.root();
    let before = files::make(&client, root, 1, &[10_000; 20]);
    let new = cluster.join();
    cluster.wait_assembled();
    let after = files::make(&client, root, 2, &[10_000; 60]);
    let holds: Vec<File> =
        after.into_iter().filter(|file| cluster.nodes[new].has(file.fingerprint())).collect();
    assert!(holds.len() > 10, "the new node got {} of 60 objects", holds.len());
    files::fetch_everywhere(&client, &holds);
    // It is not merely a place to put things: with the others away, it serves them.
    for old in 0..new {
        cluster.nodes[old].member.daemon.kill_9();
    }
    files::fetch_everywhere(&client, &holds);
    for old in 0..new {
        cluster.nodes[old].member.daemon.restart();
    }
    cluster.wait_assembled();
    files::fetch_everywhere(&client, &before);
}

/// SRL-17, REF-1, REF-2, REF-3, ISN-5, DOSM-19, DOSM-20.
#[test]
fn one_content_of_two_customers_is_stored_once_and_goes_with_the_last_reference() {
    let cluster = Cluster::start("customers", Settings::default());
    let client = cluster.client();
    let bytes = data::bytes(1, 2_500_000);
    let object = content_of(&bytes).fingerprint;
    let store = |manager, customer, number| {
        let answer = client.store(manager, customer, Token([number; 16]), &bytes).unwrap();
        assert!(stored(&answer).is_some(), "{}", answer.summary());
    };
    let fetch = |manager, customer| {
        let answer = client.fetch(manager, customer, object).unwrap();
        assert!(answer.status != 200 || answer.body == bytes);
        answer.status
    };
    let delete = |manager, customer, number| {
        let answer = client.delete(manager, customer, object, Token([number; 16])).unwrap();
        assert_eq!(answer.status, 204, "{}", answer.summary());
    };
    store(0, 1, 1);
    let holders = cluster.holders(object);
    assert_eq!(holders.len(), 2);
    assert_eq!([fetch(0, 2), fetch(1, 2)], [404, 404], "SRL-17: no reference yet");
    store(1, 2, 2);
    store(1, 1, 3);
    store(1, 1, 3);
    assert_eq!(cluster.holders(object), holders, "stored once");
    assert_eq!([fetch(0, 1), fetch(1, 1), fetch(0, 2), fetch(1, 2)], [200; 4]);
    assert_eq!([fetch(0, 3), fetch(1, 3)], [404, 404], "SRL-17: never a reference");

    delete(0, 1, 1);
    delete(1, 1, 1);
    assert_eq!([fetch(0, 1), fetch(1, 1)], [200, 200], "REF-1: one of two uploads is left");
    delete(1, 1, 3);
    // DOSM-19: the manager through which it was deleted at once, the other when it hears of it.
    assert_eq!(fetch(1, 1), 404);
    poll::until("the other manager hears of it", Duration::from_secs(70), || {
        (fetch(0, 1) == 404).then_some(())
    });
    delete(0, 3, 2);
    assert_eq!([fetch(0, 2), fetch(1, 2)], [200, 200], "another customer's token is not one's own");
    assert_eq!(cluster.holders(object), holders);
    delete(0, 2, 2);
    assert_eq!(fetch(0, 2), 404);
    // REF-2: the grace is one second here.
    poll::until("the object's files go", Duration::from_secs(70), || {
        cluster.holders(object).is_empty().then_some(())
    });
    cluster.wait_references_equal_rows(REPAIR_PATIENCE);
}

/// Two blocks with one MD5, 79054025255fb1a26e4bc422aef54eb4 (Wang, Yu: How to Break MD5 and Other Hash Functions,
/// EUROCRYPT 2005); whatever follows both, the MD5 stays one.
fn collision(suffix: &[u8]) -> [Vec<u8>; 2] {
    const FIRST: &str = "d131dd02c5e6eec4693d9a0698aff95c2fcab58712467eab4004583eb8fb7f89\
                         55ad340609f4b30283e488832571415a085125e8f7cdc99fd91dbdf280373c5b\
                         d8823e3156348f5bae6dacd436c919c6dd53e2b487da03fd02396306d248cda0\
                         e99f33420f577ee8ce54b67080a80d1ec69821bcb6a8839396f9652b6ff72a70";
    let first: Vec<u8> =
        (0..128).map(|at| u8::from_str_radix(&FIRST[2 * at..2 * at + 2], 16).unwrap()).collect();
    let mut second = first.clone();
    for at in [19, 45, 59, 83, 109, 123] {
        second[at] ^= 0x80;
    }
    let pair = [[&first, suffix].concat(), [&second, suffix].concat()];
    assert!(pair[0] != pair[1] && data::md5_hex(&pair[0]) == data::md5_hex(&pair[1]));
    pair
}

/// ISN-5: the second of two contents with one MD5 is refused, and says why; also at another manager, by another
/// customer, and when it lies on other nodes. Nobody ever gets the other's bytes.
#[test]
fn two_contents_with_one_fingerprint_are_never_taken_for_each_other() {
    let cluster = Cluster::start("collision", Settings::default());
    let client = cluster.client();
    for (round, suffix) in [Vec::new(), data::bytes(1, 1_500_000)].into_iter().enumerate() {
        let [first, second] = collision(&suffix);
        let (object, token) = (content_of(&first).fingerprint, Token([round as u8 + 1; 16]));
        let answer = client.store(0, 1, token, &first).unwrap();
        assert!(stored(&answer).is_some(), "{}", answer.summary());
        for (manager, customer) in [(0, 1), (1, 1), (0, 2), (1, 2)] {
            let answer = client.store(manager, customer, Token([99; 16]), &second).unwrap();
            assert_eq!((answer.status, answer.code().as_str()), (409, "collision"), "{}", answer.summary());
        }
        for manager in [0, 1] {
            assert!(client.fetch(manager, 1, object).unwrap().body == first);
            assert_eq!(client.fetch(manager, 2, object).unwrap().status, 404);
        }
        assert_eq!(cluster.copies(object), 2);
        assert_eq!(client.delete(1, 1, object, token).unwrap().status, 204);
    }
    cluster.wait_references_equal_rows(REPAIR_PATIENCE);
}

/// ISN-5: also when both come at the same time through different managers.
#[test]
fn two_contents_with_one_fingerprint_at_once_are_never_taken_for_each_other() {
    let cluster = Cluster::start("race", Settings::default());
    let client = cluster.client();
    for round in 0..20_u8 {
        let pair = collision(&data::bytes(u64::from(round), 10_000));
        let object = content_of(&pair[0]).fingerprint;
        let token = Token([round; 16]);
        let both: Vec<_> = std::thread::scope(|scope| {
            let storing: Vec<_> = (0..2)
                .map(|side| {
                    let (client, bytes) = (&client, &pair[side]);
                    scope.spawn(move || client.store(side, side as u32 + 1, token, bytes).unwrap())
                })
                .collect();
            storing.into_iter().map(|storing| storing.join().unwrap()).collect()
        });
        for (side, answer) in both.iter().enumerate().filter(|(_, answer)| stored(answer).is_some()) {
            for manager in [0, 1] {
                let fetched = client.fetch(manager, side as u32 + 1, object).unwrap();
                assert!(
                    fetched.status == 200 && fetched.body == pair[side],
                    "round {round}: acknowledged ({}), then {}",
                    answer.summary(),
                    fetched.summary()
                );
            }
        }
    }
}

/// DOSM-18: in a cluster the directory manager knows the page, and any object manager sends end users to it.
#[test]
fn an_end_user_is_sent_on_by_any_manager() {
    let cluster = Cluster::start("page", Settings { nodes: 2, ..Settings::default() });
    let (client, parent) = (cluster.client(), cluster.library(1).root());
    let page = "https://site.example/done";
    let registered = cluster.directory.command(&["customer", "upload-page"], &["--id", "1", "--url", page]);
    assert!(registered.status.success(), "{}", String::from_utf8_lossy(&registered.stderr));
    for manager in [0, 1] {
        let place = Place { parent, name: &format!("file {manager}") };
        let answer = client.store_file(manager, 1, place, Token([manager as u8; 16]), b"miaow").unwrap();
        assert_eq!(answer.status, 303, "{}", answer.summary());
        assert!(answer.head.contains(&format!("{page}?file=")), "{}", answer.head);
    }
}

/// SRL-10: in a cluster the directory manager knows on which hosts a customer's callbacks may lie, and any object
/// manager asks there. The customer's server is played by the directory manager's own: its health is good, and it knows
/// no SRL `x`.
#[test]
fn any_manager_asks_the_callback() {
    let mut cluster = Cluster::start("callback", Settings { nodes: 2, ..Settings::default() });
    let networks = "[dosm]\ncallback_networks = [\"10.3.100.0/24\"]\n";
    cluster.managers[1].edit_config("[dosm]\n", networks);
    cluster.managers[1].daemon.stop();
    cluster.managers[1].daemon.restart();
    let (client, server) = (cluster.client(), cluster.directory.http());
    let (content, _) = stored(&client.store(0, 1, Token([1; 16]), b"miaow").unwrap()).unwrap();
    let ask = |manager, path: &str| {
        let callback = format!("http://{server}/{path}");
        let answer = client.fetch_asking(manager, 1, content.fingerprint, &callback).unwrap();
        (answer.status, answer.code())
    };
    let denied = (403, "not-permitted".to_owned());
    assert_eq!(ask(1, "health"), denied, "no host is allowed");
    let allowed = cluster
        .directory
        .command(&["customer", "callback-hosts"], &["--id", "1", "--host", &server.to_string()]);
    assert!(allowed.status.success(), "{}", String::from_utf8_lossy(&allowed.stderr));
    assert_eq!(ask(1, "health"), (200, String::new()));
    assert_eq!(ask(1, "x"), denied, "the callback says no");
    assert_eq!(ask(0, "health"), denied, "an inner address, and this manager's operator permits none");
    cluster.directory.daemon.freeze();
    assert_eq!(ask(1, "health"), denied, "nobody says which hosts are allowed");
    cluster.directory.daemon.thaw();
}
