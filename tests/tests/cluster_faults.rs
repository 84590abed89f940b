//! What may befall a cluster: under load, one thing at a time happens to any one node, to a disk, to everything at
//! once, and to the network. No acknowledged object is lost, no wrong byte leaves, no fetch fails, and by the end there
//! are two copies again and the references are those of the rows. Also bits that flip on a disk, and nodes and disks
//! that an administrator takes out of use.
//!
//! `E2E_SEED` chooses other victims.

#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use e2e::cluster::client::{Client, content_of, stored};
use e2e::cluster::files::{self, File};
use e2e::cluster::forge::Forger;
use e2e::cluster::load::{Kept, Load, under_load};
use e2e::cluster::member::{MULTICAST, Member};
use e2e::cluster::{Cluster, Settings, status};
use e2e::{data, poll};
use protocol::digest::Fingerprint;
use protocol::id::Token;
use rand::Rng;
use rand::rngs::StdRng;

/// How long repairs may take, with everything else that goes on.
const REPAIR_PATIENCE: Duration = Duration::from_secs(60);
/// Room on each disk in memory.
const DISK_BYTES: u64 = 512 << 20;

/// The load, the cluster it is on, and who is hit next.
struct Scene<'scene, 'load> {
    cluster: &'scene mut Cluster,
    load: &'scene Load<'load>,
    rng: StdRng,
}

impl Scene<'_, '_> {
    /// One thing happens. `harm` does it and undoes it; afterwards there are two copies of everything.
    #[track_caller]
    fn phase(&mut self, what: &str, harm: impl FnOnce(&mut Self)) {
        self.load.tally();
        let began = Instant::now();
        harm(self);
        self.load.advance(40, 20);
        let all: Vec<usize> = (0..self.cluster.nodes.len()).collect();
        self.wait_two_copies(&all);
        println!("{what:<34} {:6.1?}: {}", began.elapsed(), self.load.tally());
    }

    fn any_node(&mut self) -> usize {
        self.rng.random_range(0..self.cluster.nodes.len())
    }

    /// The nodes but one.
    fn others(&self, but: usize) -> Vec<usize> {
        (0..self.cluster.nodes.len()).filter(|&node| node != but).collect()
    }

    /// Waits until what is in the ledger now lies on two of these nodes, or is no longer in the ledger.
    #[track_caller]
    fn wait_two_copies(&self, nodes: &[usize]) {
        let mut left: Vec<Kept> = self.load.kept();
        poll::until(&format!("two copies of every object on the nodes {nodes:?}"), REPAIR_PATIENCE, || {
            self.load.assert_no_failure();
            left.retain(|kept| {
                self.cluster.copies_on(kept.content.fingerprint, nodes) < 2 && self.load.keeps(kept.file)
            });
            left.is_empty().then_some(())
        });
    }

    fn kill_a_node(&mut self) {
        let victim = self.any_node();
        self.cluster.nodes[victim].member.daemon.kill_9();
        self.load.advance(60, 20);
        // DFO-6: it does not come back, and its objects are copied elsewhere.
        self.wait_two_copies(&self.others(victim));
        self.cluster.nodes[victim].member.daemon.restart();
        self.cluster.wait_assembled();
    }

    fn freeze_a_node(&mut self) {
        let victim = self.any_node();
        self.cluster.nodes[victim].member.daemon.freeze();
        self.load.advance(60, 20);
        self.wait_two_copies(&self.others(victim));
        self.cluster.nodes[victim].member.daemon.thaw();
        self.cluster.wait_assembled();
    }

    fn cut_a_node(&mut self) {
        let victim = self.any_node();
        self.cluster.network().cut(self.cluster.nodes[victim].member.host());
        self.load.advance(60, 20);
        self.wait_two_copies(&self.others(victim));
        self.cluster.network().restore(self.cluster.nodes[victim].member.host());
        self.cluster.wait_assembled();
    }

    fn fill_a_node(&mut self) {
        let victim = self.any_node();
        self.cluster.nodes[victim].disks.iter().for_each(|disk| disk.fill());
        self.load.advance(60, 60);
        self.cluster.nodes[victim].disks.iter().for_each(|disk| disk.empty());
        self.cluster.wait_assembled();
    }

    fn remove_a_disk(&mut self) {
        let victim = self.any_node();
        let node = &mut self.cluster.nodes[victim];
        node.disks[1].lose();
        self.load.advance(60, 20);
        // What was on it is copied to other disks.
        let all: Vec<usize> = (0..self.cluster.nodes.len()).collect();
        self.wait_two_copies(&all);
        // The administrator puts in another.
        let node = &mut self.cluster.nodes[victim];
        node.disks[1].replace();
        node.member.daemon.stop();
        node.member.daemon.restart();
        self.cluster.wait_assembled();
    }

    fn crash_everything(&mut self) {
        let (cluster, load) = (&mut *self.cluster, self.load);
        load.without_manager(None, || {
            cluster.crash_all();
            cluster.wait_assembled();
        });
    }

    fn crash_a_manager(&mut self) {
        for manager in 0..self.cluster.managers.len() {
            let cluster = &mut *self.cluster;
            self.load.without_manager(Some(manager), || {
                cluster.managers[manager].daemon.kill_9();
                self.load.advance(20, 10);
                cluster.managers[manager].daemon.restart();
                cluster.wait_assembled();
            });
        }
    }

    fn crash_the_directory(&mut self) {
        self.cluster.directory.daemon.kill_9();
        // Readers go on: SYS-1.
        self.load.advance(60, 0);
        self.cluster.directory.daemon.restart();
        self.cluster.wait_assembled();
    }

    fn lose_and_forge_packets(&mut self) {
        self.cluster.network().lose_multicast(20);
        let processes = self.cluster.members().map(Member::dosp).collect();
        let group = MULTICAST.parse().unwrap();
        let forger = Forger::start(self.cluster.client_host(), group, processes, self.rng.random());
        self.load.advance(100, 50);
        // With tables that are empty, so that objects must be asked for.
        self.crash_a_manager();
        self.load.advance(100, 50);
        poll::until("enough is heard and forged", Duration::from_secs(30), || {
            (forger.heard() > 50 && forger.sent() > 1_000).then_some(())
        });
        assert!(self.cluster.network().multicast_lost() > 10);
        let nodes: Vec<u64> = self.cluster.nodes.iter().map(|node| u64::from(node.member.number())).collect();
        for member in self.cluster.members() {
            // Five heartbeats of a node may be lost in a row, and then it takes the next one.
            poll::until("nobody who is there is taken for dead", Duration::from_secs(10), || {
                let status = status::of(member)?;
                let known: Vec<u64> = status.nodes.keys().copied().collect();
                assert_eq!(known, nodes, "MC-10: nobody is made up");
                status.nodes.values().all(|node| node.state != "failed").then_some(())
            });
        }
        self.cluster.wait_assembled();
        drop(forger);
        self.cluster.network().lose_multicast(0);
    }
}

/// SYS-8, ISN-8, ISN-11, REF-4, DOSM-8, DOSM-21, DFO-1, DFO-2, DFO-6, MC-7, MC-10, DOSP-10.
#[test]
fn nothing_acknowledged_is_lost_whatever_befalls_the_cluster() {
    let seed = data::figure("E2E_SEED", 0x666c_7473);
    let settings = Settings { disk_bytes: Some(DISK_BYTES), ..Settings::default() };
    let mut cluster = Cluster::start("faults", settings);
    let (client, library) = (cluster.client(), cluster.library(1));
    println!("seed {seed}");
    let ((), kept) = under_load(&client, &library, seed, |load| {
        load.advance(50, 100);
        let mut scene = Scene { cluster: &mut cluster, load, rng: data::rng(seed) };
        scene.phase("nothing", |_| {});
        scene.phase("kill -9 of a node", Scene::kill_a_node);
        scene.phase("a node hangs", Scene::freeze_a_node);
        scene.phase("a node's network is cut", Scene::cut_a_node);
        scene.phase("a node's disks are full", Scene::fill_a_node);
        scene.phase("a disk's directory is removed", Scene::remove_a_disk);
        scene.phase("kill -9 of a manager", Scene::crash_a_manager);
        scene.phase("kill -9 of the directory", Scene::crash_the_directory);
        scene.phase("kill -9 of everything", Scene::crash_everything);
        scene.phase("multicast lost, packets forged", Scene::lose_and_forge_packets);
    });

    let files: Vec<File> = kept.iter().map(|kept| File { id: kept.file, content: kept.content }).collect();
    files::fetch_everywhere(&client, &files);
    let all: Vec<usize> = (0..cluster.nodes.len()).collect();
    files::wait_two_copies(&cluster, &files, &all, REPAIR_PATIENCE);
    let mut rows: Vec<_> = library.entries(library.root()).unwrap().iter().map(|row| row.id).collect();
    let mut ids: Vec<_> = files.iter().map(|file| file.id).collect();
    rows.sort();
    ids.sort();
    assert_eq!(rows, ids, "rows are what was acknowledged");
    cluster.wait_references_equal_rows(REPAIR_PATIENCE);
    cluster.assert_objects_whole();
    poll::until("no temporary file is left", REPAIR_PATIENCE, || {
        let left = cluster.nodes.iter().flat_map(|node| &node.disks).flat_map(|disk| disk.temporary_files());
        (left.count() == 0).then_some(())
    });
}

/// Whether a fetch in bad times was right: the bytes, or none.
fn right_or_none(client: &Client, manager: usize, object: Fingerprint, bytes: &[u8]) -> bool {
    match client.fetch(manager, 1, object) {
        Ok(answer) if answer.status == 200 => {
            assert!(answer.body == bytes, "{object} from {manager}: a wrong byte left");
            true
        }
        // Refused, or broken off.
        Ok(_) | Err(_) => false,
    }
}

/// ISN-12, DOSM-8: a flipped bit never reaches a client, not even when the good copy is out of reach; with it in reach
/// the object is served, the bad copy put aside, and another made.
#[test]
fn a_flipped_bit_never_leaves_and_is_repaired() {
    let cluster = Cluster::start("flip", Settings::default());
    let (client, library) = (cluster.client(), cluster.library(1));
    let root = library.root();
    for (seed, length, byte) in [(1, 5_000, 0), (2, 3_500_000, 1_700_000), (3, 3_500_000, 3_499_999)] {
        let file = files::make(&client, root, seed, &[length]).remove(0);
        let object = file.fingerprint();
        let bytes = data::bytes(seed << 32, length);
        assert_eq!(content_of(&bytes), file.content);
        let [bad, good] = cluster.holders(object)[..] else { panic!("two nodes hold it") };
        cluster.nodes[bad].disk_of(object).flip_bit(object, byte);

        cluster.nodes[good].member.daemon.freeze();
        for manager in [0, 1, 0, 1] {
            right_or_none(&client, manager, object, &bytes);
        }
        cluster.nodes[good].member.daemon.thaw();
        cluster.wait_assembled();

        for manager in [0, 1] {
            assert!(right_or_none(&client, manager, object, &bytes), "served from the other copy");
        }
        poll::until("two good copies again", REPAIR_PATIENCE, || {
            for manager in [0, 1] {
                assert!(right_or_none(&client, manager, object, &bytes));
            }
            let whole = cluster.nodes.iter().filter(|node| node.has_whole(object)).count();
            (whole >= 2 && cluster.copies(object) == whole).then_some(())
        });
        assert_eq!(library.fetch(file.content).unwrap(), bytes);
    }
    cluster.assert_objects_whole();
    cluster.wait_references_equal_rows(REPAIR_PATIENCE);
}

/// Makes files and says how many of them this node got a copy of.
fn make_and_count(cluster: &Cluster, client: &Client, seed: u64, node: usize) -> (Vec<File>, usize) {
    let root = cluster.library(1).root();
    let files = files::make(client, root, seed, &[30_000; 60]);
    let on_node = files.iter().filter(|file| cluster.nodes[node].has(file.fingerprint())).count();
    (files, on_node)
}

/// ISN-9, DOSM-12: `status` says what there is, what failed and what is owed.
#[test]
fn status_tells_nodes_disks_and_debts() {
    let mut cluster = Cluster::start("status", Settings { nodes: 3, ..Settings::default() });
    let client = cluster.client();
    let (files, _) = make_and_count(&cluster, &client, 1, 0);
    for member in cluster.members() {
        // A copy that took too long on a busy machine is made later.
        let status = poll::until("nothing is owed", REPAIR_PATIENCE, || {
            Some(status::of(member).unwrap()).filter(|status| status.owed == 0)
        });
        assert_eq!(status.nodes.keys().copied().collect::<Vec<_>>(), [11, 12, 13]);
        assert!(status.nodes.values().all(|node| node.disks == ["online", "online"]), "{status:?}");
    }
    let said = cluster.nodes[0].member.command(&["status"], &[]);
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(said.contains("11") && said.contains("online"), "for people: {said}");

    cluster.nodes[2].member.daemon.kill_9();
    for member in cluster.members().filter(|member| member.number() != 13) {
        poll::until("a node that is away has failed", Duration::from_secs(15), || {
            let status = status::of(member).unwrap();
            (status.nodes[&13].state == "failed").then_some(())
        });
    }
    files::wait_two_copies(&cluster, &files, &[0, 1], REPAIR_PATIENCE);
    poll::until("nothing is owed any more", REPAIR_PATIENCE, || {
        (status::of(&cluster.nodes[0].member).unwrap().owed == 0).then_some(())
    });
    cluster.nodes[2].member.daemon.restart();
    cluster.wait_assembled();
}

/// Deliver 5 of the storage cluster: a node, or a disk, that is drained ends up empty, without an object that has
/// fewer than two copies on the way; and is used again when that is undone.
#[test]
fn a_drained_node_ends_up_empty() {
    let cluster = Cluster::start("drain", Settings::default());
    let client = cluster.client();
    let (files, on_node) = make_and_count(&cluster, &client, 1, 0);
    assert!(on_node > 10, "{on_node}");
    let drain = |arguments: &[&str]| {
        let said = cluster.nodes[0].member.command(&["drain"], arguments);
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    };
    let state = || status::of(&cluster.managers[0]).unwrap().nodes[&11].clone();
    let all: Vec<usize> = (0..cluster.nodes.len()).collect();
    let never_less = || {
        for file in &files {
            assert!(cluster.copies_on(file.fingerprint(), &all) >= 2, "{:?}", file.content);
        }
    };

    drain(&["--disk", "1"]);
    poll::until("the disk is empty", REPAIR_PATIENCE, || {
        never_less();
        cluster.nodes[0].disks[1].object_files().is_empty().then_some(())
    });
    assert!(!cluster.nodes[0].disks[0].object_files().is_empty());
    drain(&["--disk", "1", "--undo"]);

    drain(&[]);
    poll::until("the node is empty", REPAIR_PATIENCE, || {
        never_less();
        (cluster.nodes[0].objects() == 0).then_some(())
    });
    poll::until("the managers know", Duration::from_secs(10), || (state().state == "draining").then_some(()));
    files::fetch_everywhere(&client, &files);
    let (_, on_node) = make_and_count(&cluster, &client, 2, 0);
    assert_eq!(on_node, 0, "nothing new goes to a node that is drained");

    drain(&["--undo"]);
    cluster.wait_assembled();
    let (_, on_node) = make_and_count(&cluster, &client, 3, 0);
    assert!(on_node > 10, "{on_node}");
    cluster.wait_references_equal_rows(REPAIR_PATIENCE);
    cluster.assert_objects_whole();
}

/// REF-1, ISN-11: a node that was away while its objects were given up learns of it when it is back.
#[test]
fn a_node_that_was_away_learns_what_was_given_up() {
    let mut cluster = Cluster::start("away", Settings::default());
    let (client, library) = (cluster.client(), cluster.library(1));
    let files = files::make(&client, library.root(), 1, &[20_000; 40]);
    let bytes = data::bytes(77, 40_000);
    let (object, token) = (content_of(&bytes).fingerprint, Token([7; 16]));
    assert!(stored(&client.store(0, 1, token, &bytes).unwrap()).is_some());
    let away = cluster.holders(object)[0];
    cluster.nodes[away].member.daemon.kill_9();
    for (number, file) in files.iter().enumerate() {
        library.remove(file.id, Token([number as u8 + 100; 16])).unwrap();
    }
    // The VFS remembers it: nobody need ask again.
    assert_eq!(client.delete(1, 1, object, token).unwrap().status, 204);
    cluster.nodes[away].member.daemon.restart();
    cluster.wait_assembled();
    cluster.wait_references_equal_rows(REPAIR_PATIENCE);
    poll::until("all objects are gone", REPAIR_PATIENCE, || {
        cluster.nodes.iter().all(|node| node.objects() == 0).then_some(())
    });
    for manager in [0, 1] {
        assert_eq!(client.fetch(manager, 1, object).unwrap().status, 404);
    }
}

/// REF-4: a disk that lost its index gets its references back from the rows, and then says no more that they are lost.
#[test]
fn references_of_a_lost_index_are_restored() {
    let mut cluster = Cluster::start("index", Settings { nodes: 2, ..Settings::default() });
    let client = cluster.client();
    let (files, on_node) = make_and_count(&cluster, &client, 1, 0);
    assert!(on_node > 10, "{on_node}");
    let index = cluster.nodes[0].disks[0].objects().join("index.redb");
    cluster.nodes[0].member.daemon.kill_9();
    std::fs::remove_file(&index).unwrap();
    cluster.nodes[0].member.daemon.restart();
    cluster.wait_assembled();
    poll::until("the references are restored", REPAIR_PATIENCE, || {
        let lost = status::of(&cluster.directory)?.nodes[&11].lost_references;
        (lost == Some(false)).then_some(())
    });
    cluster.wait_references_equal_rows(REPAIR_PATIENCE);
    files::fetch_everywhere(&client, &files);
    // Told once, and not again after the next start.
    cluster.nodes[0].member.daemon.stop();
    cluster.nodes[0].member.daemon.restart();
    cluster.wait_assembled();
    assert_eq!(status::of(&cluster.directory).unwrap().nodes[&11].lost_references, Some(false));
}
