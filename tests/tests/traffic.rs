//! Who serves a request: a balancer's choice among the object managers of a cluster (Figure 3, 310), and a storage
//! center's among the storage centers (Figure 15).

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use e2e::cluster::client::{Client, stored};
use e2e::cluster::network::{Network, Subnet};
use e2e::cluster::{Cluster, Settings};
use e2e::daemon::{Daemon, binary, free_port};
use e2e::data;
use e2e::haproxy::Haproxy;
use e2e::poll;
use e2e::site::root_folder;
use e2e::tools::run_ok;
use protocol::digest::Fingerprint;
use protocol::id::{CustomerId, ObjectId, Token};
use protocol::srl::{AccessMethod, ObjectName, Secret, SrlKind, SrlOperation, SrlRequest, SrlVersion};
use tempfile::TempDir;

const OBJECTS: u64 = 12;
const OBJECT_BYTES: usize = 150_000;
const CLIENTS: u64 = 6;
const PATIENCE: Duration = Duration::from_secs(60);

/// Clients that fetch, and now and then store, as fast as they can; and what came of it.
struct Load {
    client: Client,
    objects: Vec<(Fingerprint, Vec<u8>)>,
    done: AtomicUsize,
    is_over: AtomicBool,
    /// When each request that failed had begun, and what became of it.
    failed: Mutex<Vec<(Instant, String)>>,
}

impl Load {
    /// Stores the objects that will be fetched.
    fn prepare(client: Client) -> Self {
        let store = |seed| {
            let bytes = data::bytes(seed, OBJECT_BYTES);
            let answer = client.store(0, 1, token(seed), &bytes).unwrap();
            (stored(&answer).unwrap_or_else(|| panic!("{}", answer.summary())).0.fingerprint, bytes)
        };
        let objects = (0..OBJECTS).map(store).collect();
        let (done, is_over, failed) = Default::default();
        Self { client, objects, done, is_over, failed }
    }

    /// Runs while `meanwhile` does.
    fn run<T>(&self, meanwhile: impl FnOnce() -> T) -> T {
        self.is_over.store(false, Ordering::Relaxed);
        thread::scope(|scope| {
            for number in 0..CLIENTS {
                scope.spawn(move || self.work(number));
            }
            let _over = Over(&self.is_over);
            meanwhile()
        })
    }

    fn work(&self, number: u64) {
        for round in 0.. {
            if self.is_over.load(Ordering::Relaxed) {
                return;
            }
            let (object, bytes) = &self.objects[((number + round) % OBJECTS) as usize];
            let begun = Instant::now();
            let outcome = match round % 10 {
                0 => self.client.store(0, 1, token(1_000 + number), bytes).map(|answer| {
                    let is_stored =
                        stored(&answer).is_some_and(|(content, _)| content.fingerprint == *object);
                    (is_stored, answer)
                }),
                _ => self
                    .client
                    .fetch(0, 1, *object)
                    .map(|answer| (answer.status == 200 && answer.body == *bytes, answer)),
            };
            match outcome {
                Ok((true, _)) => _ = self.done.fetch_add(1, Ordering::Relaxed),
                Ok((false, answer)) => self.failed.lock().unwrap().push((begun, answer.summary())),
                Err(error) => self.failed.lock().unwrap().push((begun, error.to_string())),
            }
        }
    }

    /// Waits until so many more requests were served.
    #[track_caller]
    fn wait_for(&self, more: usize) {
        let enough = self.done.load(Ordering::Relaxed) + more;
        poll::until("requests are served", PATIENCE, || {
            (self.done.load(Ordering::Relaxed) >= enough).then_some(())
        });
    }
}

/// Ends the load however the test ends.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn token(number: u64) -> Token {
    Token((u128::from(number) + 1).to_be_bytes())
}

/// How many requests with this word a manager has written down.
fn served(cluster: &Cluster, manager: usize, operation: &str) -> usize {
    let log = cluster.managers[manager].config().with_file_name("usage.log");
    fs::read_to_string(log).unwrap_or_default().matches(&format!("\t{operation}\t")).count()
}

/// Waits until a manager has written down so many more requests of each kind.
#[track_caller]
fn wait_served(cluster: &Cluster, manager: usize, load: &Load) {
    let before = ["fetch", "store"].map(|operation| served(cluster, manager, operation));
    poll::until("a manager fetches and stores", PATIENCE, || {
        load.wait_for(1);
        let now = ["fetch", "store"].map(|operation| served(cluster, manager, operation));
        (now[0] > before[0] && now[1] > before[1]).then_some(())
    });
}

/// SYS-10: up- and downloads go to all object managers behind a balancer. One that is killed takes with it what it was
/// in the middle of, and no request that comes after; one that is stopped takes nothing.
#[test]
fn a_balancer_hides_the_end_of_an_object_manager() {
    let mut cluster = Cluster::start("balance", Settings { nodes: 2, ..Settings::default() });
    for manager in &mut cluster.managers {
        manager.edit_config("[http]\n", "[http]\ndrain_seconds = 2\n");
        manager.daemon.stop();
        manager.daemon.restart();
    }
    cluster.wait_assembled();
    let balancer = Haproxy::before(&cluster, cluster.path());
    let load = Load::prepare(cluster.client_of(vec![balancer.address]));
    load.run(|| {
        wait_served(&cluster, 0, &load);
        wait_served(&cluster, 1, &load);
    });
    assert!(load.failed.lock().unwrap().is_empty(), "{:?}", load.failed.lock().unwrap());

    let killed = load.run(|| {
        load.wait_for(50);
        cluster.managers[0].daemon.kill_9();
        let killed = Instant::now();
        load.wait_for(200);
        cluster.managers[0].daemon.restart();
        wait_served(&cluster, 0, &load);
        killed
    });
    let mut failed = load.failed.lock().unwrap();
    assert!(failed.iter().all(|(begun, _)| *begun < killed), "{failed:?}");
    assert!(failed.len() <= CLIENTS as usize, "{failed:?}");
    failed.clear();
    drop(failed);

    load.run(|| {
        wait_served(&cluster, 1, &load);
        assert!(cluster.managers[1].daemon.stop().success());
        load.wait_for(200);
        cluster.managers[1].daemon.restart();
        wait_served(&cluster, 1, &load);
    });
    assert!(load.failed.lock().unwrap().is_empty(), "{:?}", load.failed.lock().unwrap());
}

/// SYS-15: an object manager serves on each network that it is attached to, and a client who knows its addresses does
/// not care which of the networks is lost.
#[test]
fn a_manager_serves_on_every_network_it_is_attached_to() {
    let mut cluster = Cluster::start("attached", Settings { nodes: 2, managers: 1, ..Settings::default() });
    let second = Network::at("attached", Subnet([10, 3, 101]));
    let first = cluster.managers[0].http();
    let address = SocketAddr::from((second.attach(cluster.managers[0].host()), first.port()));
    second.attach(cluster.client_host());
    let listen = format!("listen = [\"{first}\", \"{address}\"]");
    cluster.managers[0].edit_config(&format!("listen = \"{first}\""), &listen);
    cluster.managers[0].daemon.stop();
    cluster.managers[0].daemon.restart();
    cluster.wait_assembled();

    let bytes = data::bytes(1, 3_000_000);
    let on_both = cluster.client_of(vec![first, address]);
    let (content, _) = stored(&on_both.store(1, 1, token(1), &bytes).unwrap()).unwrap();
    for network in [0, 1] {
        assert_eq!(on_both.fetch(network, 1, content.fingerprint).unwrap().body, bytes);
    }
    let library = cluster.library_of(1, vec![first, address]);
    for (name, lost) in [("first", cluster.network()), ("second", &second)] {
        lost.cut(cluster.client_host());
        assert_eq!(library.fetch(content).unwrap(), bytes, "without the {name} network");
        lost.restore(cluster.client_host());
    }
}

/// Two storage centers, with a directory each that has the same customer. Clients are addresses of this machine:
/// 127.0.0.2 is near to the second, and each center believes 127.0.0.3 near to the other.
struct Earth {
    centers: [Daemon; 2],
    addresses: [SocketAddr; 2],
    secret: Secret,
    dir: TempDir,
}

/// What curl came to in the end.
struct Fetched {
    redirects: u32,
    center: usize,
    body: Vec<u8>,
}

impl Earth {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let addresses = [(); 2].map(|()| SocketAddr::from(([127, 0, 0, 1], free_port())));
        let folders = ["west", "east"].map(|name| dir.path().join(name));
        for (here, folder) in folders.iter().enumerate() {
            write_config(folder, here, addresses);
        }
        let (config, secret) = (folders[0].join("center.toml"), dir.path().join("secret"));
        let command =
            ["customer", "add", "--name", "x", "--mode", "0777", "--config", config.to_str().unwrap()];
        let program = binary("storage-center");
        run_ok(
            program.to_str().unwrap(),
            &[&command[..], &["--secret-out", secret.to_str().unwrap()]].concat(),
        );
        for file in fs::read_dir(&folders[0]).unwrap().map(|file| file.unwrap().file_name()) {
            if file.to_str().unwrap().starts_with("vfs.sqlite") {
                fs::copy(folders[0].join(&file), folders[1].join(&file)).unwrap();
            }
        }
        let centers = folders.map(|folder| {
            let config = folder.join("center.toml");
            Daemon::start(
                "storage-center",
                &["serve", "--config", config.to_str().unwrap()],
                &folder.join("log"),
            )
        });
        let secret = Secret::from_file_content(&fs::read(secret).unwrap()).unwrap();
        Self { centers, addresses, secret, dir }
    }

    fn url(&self, center: usize, access: AccessMethod, operation: SrlOperation) -> String {
        let (kind, version) = (SrlKind::Standard, SrlVersion::HmacSha256);
        let request = SrlRequest { kind, version, expires: 0, access, customer: CustomerId(1), operation };
        format!("http://{}{}", self.addresses[center], request.sign(&self.secret).path(b"clip.mp4"))
    }

    fn fetch_url(&self, center: usize, bytes: &[u8]) -> String {
        let object = ObjectName::Content(Fingerprint::parse(&data::md5_hex(bytes)).unwrap());
        self.url(center, AccessMethod::EndUser, SrlOperation::Fetch { object })
    }

    /// Puts an object into both centers, as a storage port does.
    fn store(&self, bytes: &[u8]) {
        for center in [0, 1] {
            let url =
                self.url(center, AccessMethod::StoragePort, SrlOperation::Store { parent: ObjectId(0) });
            let stored =
                self.ask("127.0.0.2", &["-H", &format!("X-Upload-Token: {}", "1".repeat(32))], bytes, &url);
            assert_eq!((stored.redirects, stored.center), (0, center), "a storage port is sent nowhere");
        }
    }

    /// curl, as a client of this address, follows where it is sent, and must be served.
    fn get(&self, client: &str, center: usize, bytes: &[u8]) -> Fetched {
        self.ask(client, &[], &[], &self.fetch_url(center, bytes))
    }

    fn ask(&self, client: &str, extra: &[&str], upload: &[u8], url: &str) -> Fetched {
        let usual =
            ["--silent", "--show-error", "--fail", "--location", "--max-time", "60", "--interface", client];
        let told = ["--write-out", "\n%{num_redirects} %{url_effective}"];
        let file = self.dir.path().join("upload");
        fs::write(&file, upload).unwrap();
        let file = ["--upload-file", file.to_str().unwrap()];
        let file = if upload.is_empty() { &[][..] } else { &file[..] };
        let mut body = run_ok("curl", &[&usual[..], &told, extra, file, &[url]].concat());
        let end = body.iter().rposition(|byte| *byte == b'\n').unwrap();
        let told = String::from_utf8(body.split_off(end)).unwrap();
        let (redirects, url) = told.trim().split_once(' ').unwrap();
        let center = self.addresses.iter().position(|address| url.starts_with(&format!("http://{address}/")));
        Fetched { redirects: redirects.parse().unwrap(), center: center.unwrap(), body }
    }

    /// Waits until a client at the first center is served by that one.
    #[track_caller]
    fn wait_served_by(&self, center: usize, client: &str, bytes: &[u8]) {
        poll::until("the other center serves", PATIENCE, || {
            let fetched = self.get(client, 0, bytes);
            assert_eq!(fetched.body, bytes);
            (fetched.center == center).then_some(())
        });
    }
}

fn write_config(folder: &Path, here: usize, addresses: [SocketAddr; 2]) {
    fs::create_dir_all(folder.join("disk")).unwrap();
    let networks = [["127.0.0.1/32", "127.0.0.2/32"], ["127.0.0.3/32", ""]];
    let networks = match here {
        0 => [vec![networks[0][0]], vec![networks[0][1], networks[1][0]]],
        _ => [vec![networks[0][0], networks[1][0]], vec![networks[0][1]]],
    };
    let centers: Vec<String> = (0..2)
        .map(|center| {
            let (address, networks) = (addresses[center], &networks[center]);
            format!("[[traffic.center]]\nname = \"{center}\"\nurl = \"http://{address}\"\nnetworks = {networks:?}\n")
        })
        .collect();
    let text = format!(
        "[http]\nlisten = \"{address}\"\n[vfs]\ndatabase = \"{dir}/vfs.sqlite\"\n\
         [isn]\ndisks = [\"{dir}/disk\"]\nreserve_bytes = 0\n\
         [traffic]\nhere = \"{here}\"\ndivert_from = 2\n{centers}",
        address = addresses[here],
        dir = folder.display(),
        centers = centers.concat(),
    );
    fs::write(folder.join("center.toml"), text).unwrap();
}

/// SYS-13, GEO-10: a plain client ends at the nearest center, by one redirection at most, with downloads and uploads;
/// at the next closest while the nearest is full or away.
#[test]
fn a_client_is_served_by_the_nearest_center_that_can() {
    let mut earth = Earth::start();
    let (bytes, large) = (data::bytes(1, 300_000), data::bytes(2, 24 << 20));
    earth.store(&bytes);
    earth.store(&large);
    earth.wait_served_by(1, "127.0.0.2", &bytes);
    for (client, asked, redirects, served) in [
        ("127.0.0.1", 0, 0, 0),
        ("127.0.0.1", 1, 1, 0),
        ("127.0.0.2", 0, 1, 1),
        ("127.0.0.2", 1, 0, 1),
        // Each center believes the other nearer.
        ("127.0.0.3", 0, 1, 1),
        ("127.0.0.3", 1, 1, 0),
        ("127.0.0.4", 0, 0, 0),
        ("127.0.0.4", 1, 0, 1),
    ] {
        let fetched = earth.get(client, asked, &bytes);
        assert_eq!((fetched.redirects, fetched.center), (redirects, served), "{client} at {asked}");
        assert_eq!(fetched.body, bytes);
    }

    let upload = data::bytes(3, 2_000_000);
    let center = format!("http://{}", earth.addresses[0]);
    let url = earth.url(
        0,
        AccessMethod::EndUser,
        SrlOperation::Store { parent: root_folder(&center, CustomerId(1), earth.secret.clone()) },
    );
    let stored = earth.ask("127.0.0.2", &[], &upload, &url);
    assert_eq!((stored.redirects, stored.center), (1, 1), "an upload too");
    assert_eq!(earth.get("127.0.0.2", 0, &upload).body, upload);

    // Two who read nothing make the first center full.
    let url = earth.fetch_url(0, &large);
    let (_, path) = url.split_once(&earth.addresses[0].to_string()).unwrap();
    let slow = [(); 2].map(|()| {
        let mut stream = TcpStream::connect(earth.addresses[0]).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        stream.read_exact(&mut [0]).unwrap();
        stream
    });
    let fetched = earth.get("127.0.0.1", 0, &bytes);
    assert_eq!((fetched.redirects, fetched.center, fetched.body), (1, 1, bytes.clone()), "the first is full");
    drop(slow);
    earth.wait_served_by(0, "127.0.0.1", &bytes);

    earth.centers[1].kill_9();
    poll::until("the first center serves for the second", PATIENCE, || {
        // Until the first has noticed, it sends clients to nobody.
        let asked = e2e::tools::run("curl", &["-s", "--interface", "127.0.0.2", &earth.fetch_url(0, &bytes)]);
        (asked.stdout == bytes).then_some(())
    });
    let fetched = earth.get("127.0.0.2", 0, &bytes);
    assert_eq!((fetched.redirects, fetched.center), (0, 0));
    earth.centers[1].restart();
    earth.wait_served_by(1, "127.0.0.2", &bytes);
}
