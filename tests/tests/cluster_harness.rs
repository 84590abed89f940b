//! The cluster tests' own tools do what they say: hosts hear each other, cuts and losses take effect, forgers forge,
//! clients on their own host see what a storage center answers.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use e2e::cluster::client::{Client, Library, Place, content_of, stored};
use e2e::cluster::forge::Forger;
use e2e::cluster::http::Http;
use e2e::cluster::load::under_load;
use e2e::cluster::network::{Host, Network};
use e2e::daemon::{Daemon, binary};
use e2e::tools::{run, run_ok};
use e2e::{data, netns, poll};
use protocol::id::Token;
use protocol::srl::Secret;

const GROUP: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(239, 10, 3, 100)), 7401);
const PATIENCE: Duration = Duration::from_secs(10);

/// A socket on a host that hears the group.
fn listener(host: &Host) -> UdpSocket {
    let address = host.address();
    let socket = host.entrance().inside(|| UdpSocket::bind(GROUP).unwrap());
    socket.join_multicast_v4(&Ipv4Addr::new(239, 10, 3, 100), &address).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    socket
}

fn speaker(host: &Host) -> UdpSocket {
    let address = host.address();
    host.entrance().inside(|| UdpSocket::bind((address, 0)).unwrap())
}

/// Says it so many times, and counts what each listener heard.
fn heard(speaker: &UdpSocket, listeners: &[UdpSocket], times: u16) -> Vec<usize> {
    thread::scope(|scope| {
        let counting: Vec<_> = listeners
            .iter()
            .map(|listener| {
                scope.spawn(|| {
                    let mut datagram = [0; 64];
                    std::iter::from_fn(|| listener.recv(&mut datagram).ok()).count()
                })
            })
            .collect();
        for number in 0..times {
            speaker.send_to(&number.to_be_bytes(), GROUP).unwrap();
            if number % 50 == 0 {
                poll::pause(Duration::from_millis(2));
            }
        }
        counting.into_iter().map(|count| count.join().unwrap()).collect()
    })
}

#[test]
fn multicast_is_heard_by_all_hosts_and_lost_as_told() {
    let network = Network::new("multicast");
    let hosts = [1, 2, 3].map(|last| network.host(last));
    let listeners = [listener(&hosts[1]), listener(&hosts[2])];
    let speaker = speaker(&hosts[0]);
    assert_eq!(heard(&speaker, &listeners, 500), [500, 500]);
    network.lose_multicast(20);
    let counts = heard(&speaker, &listeners, 1_000);
    // The chance that a right loss of 20 % is found outside of these is less than one to a million.
    assert!(counts.iter().all(|count| (730..870).contains(count)), "{counts:?}");
    assert_ne!(network.multicast_lost(), 0);
    network.lose_multicast(100);
    assert_eq!(heard(&speaker, &listeners, 100), [0, 0]);
    network.lose_multicast(0);
    assert_eq!(heard(&speaker, &listeners, 100), [100, 100]);
}

#[test]
fn a_cut_host_is_silent_until_its_link_is_back() {
    let network = Network::new("cut");
    let hosts = [1, 2].map(|last| network.host(last));
    let server = hosts[0].entrance().inside(|| TcpListener::bind(hosts[0].port(80)).unwrap());
    let connect = || {
        hosts[1].entrance().inside(|| {
            TcpStream::connect_timeout(&hosts[0].port(80), Duration::from_millis(300)).map(|_| ()).ok()
        })
    };
    poll::until("the host is reached", PATIENCE, connect);
    network.cut(&hosts[0]);
    assert_eq!(connect(), None);
    network.restore(&hosts[0]);
    poll::until("the host is reached again", PATIENCE, connect);
    drop(server);
}

#[test]
fn nothing_of_a_network_is_left_behind() {
    let purpose = format!("gone{}", std::process::id());
    let panicked = thread::spawn({
        let purpose = purpose.clone();
        move || {
            let network = Network::new(&purpose);
            let _host = network.host(1);
            assert_eq!(netns::count(&purpose), 2);
            // Quietly, as far as a panic can be quiet.
            std::panic::resume_unwind(Box::new(()));
        }
    });
    assert!(panicked.join().is_err());
    assert_eq!(netns::count(&purpose), 0);
    let links = String::from_utf8(run("ip", &["link"]).stdout).unwrap();
    assert!(!links.contains("h1@"), "{links}");
}

#[test]
fn a_forger_hears_and_forges() {
    let network = Network::new("forge");
    let hosts = [1, 2].map(|last| network.host(last));
    let genuine = b"DOSM genuine datagram of a process".to_vec();
    let (ear, mouth) = (listener(&hosts[0]), speaker(&hosts[0]));
    let forger = Forger::start(&hosts[1], GROUP, vec![hosts[0].port(7400)], 1);
    let mut seen = Vec::new();
    poll::until("the genuine datagram comes back, as it was and changed", PATIENCE, || {
        mouth.send_to(&genuine, GROUP).unwrap();
        let mut datagram = [0; 2_000];
        if let Ok((len, from)) = ear.recv_from(&mut datagram)
            && from.ip() == hosts[1].address()
        {
            seen.push(datagram[..len].to_vec());
        }
        let changed =
            |seen: &Vec<u8>| seen.len() == genuine.len() && *seen != genuine && seen[..4] == *b"DOSM";
        (seen.contains(&genuine) && seen.iter().any(changed)).then_some(())
    });
    assert!(forger.heard() > 0 && forger.sent() >= seen.len() as u64);
}

/// Today's storage center, all of it in one process, on a host of its own.
struct Center {
    daemon: Daemon,
    server: Host,
    client: Host,
    _network: Network,
    folder: tempfile::TempDir,
}

impl Center {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let network = Network::new("center");
        let (server, client) = (network.host(1), network.host(2));
        for disk in ["disk0", "disk1"] {
            fs::create_dir(folder.path().join(disk)).unwrap();
        }
        let config = format!(
            "[http]\nlisten = \"{}\"\n[vfs]\ndatabase = \"{dir}/vfs.sqlite\"\n[isn]\ndisks = [\"{dir}/disk0\", \"{dir}/disk1\"]\nreserve_bytes = 0\n",
            server.port(8080),
            dir = folder.path().display(),
        );
        let path = folder.path().join("center.toml");
        fs::write(&path, config).unwrap();
        let (path, secret) = (path.to_str().unwrap().to_owned(), folder.path().join("secret"));
        let program = binary("storage-center");
        run_ok(
            program.to_str().unwrap(),
            &[
                "customer",
                "add",
                "--config",
                &path,
                "--id",
                "1",
                "--name",
                "1",
                "--secret-out",
                secret.to_str().unwrap(),
            ],
        );
        let namespace = server.namespace().name();
        let log = folder.path().join("log");
        let daemon = Daemon::start_in(Some(namespace), "storage-center", &["serve", "--config", &path], &log);
        Self { daemon, server, client, _network: network, folder }
    }

    fn secret(&self) -> Secret {
        Secret::from_file_content(&fs::read(self.folder.path().join("secret")).unwrap()).unwrap()
    }

    fn client(&self) -> Client {
        let secrets = BTreeMap::from([(1, self.secret())]);
        let server = self.server.port(8080);
        Client::new(Http::new(self.client.entrance()), vec![server, server], Arc::new(secrets))
    }

    fn library(&self) -> Library {
        let server = self.server.port(8080);
        Library::new(&self.client, vec![server], vec![server], 1, self.secret())
    }
}

#[test]
fn a_client_on_its_own_host_stores_fetches_and_deletes() {
    let center = Center::start();
    let (client, library) = (center.client(), center.library());
    let bytes = data::bytes(1, 3 << 20);
    let (content, token) = (content_of(&bytes), Token([1; 16]));
    let root = library.root();

    let answer = client.store(0, 1, token, &bytes).unwrap();
    assert_eq!(stored(&answer), Some((content, None)), "{}", answer.summary());
    assert!(client.fetch(1, 1, content.fingerprint).unwrap().body == bytes);
    let part = client.fetch_range(1, 1, content.fingerprint, 1_000_000, 500_000).unwrap();
    assert!(part.status == 206 && part.body == bytes[1_000_000..1_500_000]);
    let mut slow = client.open(0, 1, content.fingerprint).unwrap();
    assert!(slow.piece(100).unwrap() == bytes[..100] && slow.left == (3 << 20) - 100);
    assert!(slow.finish().unwrap().body == bytes[100..]);
    assert_eq!(client.delete(0, 1, content.fingerprint, token).unwrap().status, 204);
    let gone = client.fetch(0, 1, content.fingerprint).unwrap();
    assert_eq!((gone.status, gone.code().as_str()), (404, "not-found"));

    let place = Place { parent: root, name: "by-manager" };
    let answer = client.store_file(0, 1, place, Token([2; 16]), &bytes).unwrap();
    let (told, file) = stored(&answer).unwrap();
    assert_eq!((answer.status, told), (201, content));
    let place = Place { parent: root, name: "by-library" };
    let other = library.make_file(place, Token([3; 16]), bytes.clone().into()).unwrap();
    assert!(library.fetch(content).unwrap() == bytes);
    let entries = library.entries(root).unwrap();
    assert_eq!(entries.iter().map(|row| row.id).collect::<Vec<_>>(), [file.unwrap(), other]);
    library.remove(other, Token([4; 16])).unwrap();
    assert_eq!(library.entries(root).unwrap().len(), 1);
}

#[test]
fn the_load_keeps_a_ledger_of_what_was_acknowledged() {
    let center = Center::start();
    let (client, library) = (center.client(), center.library());
    let (tally, kept) = under_load(&client, &library, 1, |load| {
        load.advance(50, 50);
        load.tally()
    });
    assert!(tally.fetches >= 50 && tally.changes >= 50 && tally.refused == 0, "{tally}");
    let mut rows: Vec<_> = library.entries(library.root()).unwrap().iter().map(|row| row.id).collect();
    let mut files: Vec<_> = kept.iter().map(|kept| kept.file).collect();
    rows.sort();
    files.sort();
    assert_eq!(files, rows);
    for kept in &kept {
        assert!(client.fetch(0, 1, kept.content.fingerprint).unwrap().body == kept.bytes);
    }
}

/// A test of the load itself: a center that loses what it acknowledged is found out.
#[test]
fn the_load_finds_what_is_lost() {
    let center = Center::start();
    let (client, library) = (center.client(), center.library());
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        under_load(&client, &library, 2, |load| {
            load.advance(5, 20);
            // One file goes behind the load's back.
            let victim = load.kept().remove(0);
            library.remove(victim.file, Token([9; 16])).unwrap();
            load.advance(2_000, 0);
        });
    }));
    let said = *found.unwrap_err().downcast::<String>().unwrap();
    assert!(said.contains("not-found") || said.contains("is refused"), "{said}");
}

/// A client that knows two centers: what one refuses the other is asked for, and only what both refuse has failed.
#[test]
fn the_load_asks_the_other_center_before_it_calls_a_fetch_failed() {
    let mut center = Center::start();
    let library = center.library();
    // Nobody serves there.
    let away = vec![center.client.port(8080); 2];
    let client = center.client().with_other_center(away);
    assert_eq!([0, 1, 2, 3].map(|manager| client.counterpart(manager)), [2, 3, 0, 1].map(Some));
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        under_load(&client, &library, 3, |load| {
            load.advance(100, 20);
            let tally = load.tally();
            assert!(tally.fetches >= 100 && tally.refused > 0, "{tally}");
            center.daemon.kill_9();
            let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| load.advance(10_000, 0)));
            // What is on its way is to be acknowledged yet.
            center.daemon.restart();
            assert!(found.is_err());
        });
    }));
    let said = *found.unwrap_err().downcast::<String>().unwrap();
    assert!(said.contains("Connection refused") && said.matches("from ").count() >= 2, "{said}");
}

/// Somebody who answers what he likes.
#[test]
fn a_lying_server_is_found_out() {
    let network = Network::new("liar");
    let hosts = [1, 2].map(|last| network.host(last));
    let listener = hosts[0].entrance().inside(|| TcpListener::bind(hosts[0].port(8080)).unwrap());
    let liar = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4_096]);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfo").unwrap();
    });
    let secret = Secret::new(vec![b'x'; 32]).unwrap();
    let secrets = Arc::new(BTreeMap::from([(1, secret)]));
    let client = Client::new(Http::new(hosts[1].entrance()), vec![hosts[0].port(8080)], secrets);
    let error = client.fetch(0, 1, content_of(b"four").fingerprint).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    liar.join().unwrap();
}
