//! What `failover::net` makes the kernel do, shown by what a client on the LAN sees. For root.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod lan;

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use failover::machine::time::Time;
use failover::net::addresses::Addresses;
use failover::net::announce::{Announcer, Probe};
use failover::net::clock;
use failover::net::fence::{DELIBERATE, Fence, FenceError};
use failover::net::link::{LinkError, Links};
use failover::net::realtime;
use failover::net::sockets::Sockets;
use failover::net::tickle::Tickler;
use ipnetwork::IpNetwork;
use lan::{Host, Lan, NIC, enter};
use pnet_base::MacAddr;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

const FLOATING: [&str; 2] = ["192.0.2.10/24", "2001:db8::10/64"];
const PORT: u16 = 2049;
/// For what must come: longer than a busy machine needs.
const PATIENCE: Duration = Duration::from_secs(20);
/// For what must not come: long against the milliseconds in which it would.
const SILENCE: Duration = Duration::from_millis(150);

fn floating() -> Vec<IpNetwork> {
    FLOATING.iter().map(|address| address.parse().unwrap()).collect()
}

fn ips() -> Vec<IpAddr> {
    floating().iter().map(IpNetwork::ip).collect()
}

fn service(address: IpAddr) -> SocketAddr {
    SocketAddr::new(address, PORT)
}

/// A site: two ports and a client, each with addresses of its own.
struct Site {
    a: Host,
    b: Host,
    client: Host,
    lan: Lan,
}

impl Site {
    fn new(purpose: &str) -> Self {
        let mut lan = Lan::new(purpose);
        let a = lan.host("port-a", &["192.0.2.1/24", "2001:db8::1/64"]);
        let b = lan.host("port-b", &["192.0.2.2/24", "2001:db8::2/64"]);
        let client = lan.host("client", &["192.0.2.100/24", "2001:db8::100/64"]);
        Self { a, b, client, lan }
    }
}

fn pause(span: Duration) {
    let span = Timespec { tv_sec: span.as_secs() as i64, tv_nsec: span.subsec_nanos().into() };
    poll(&mut [], Some(&span)).unwrap();
}

/// How long it took until that was so.
#[track_caller]
fn until(what: &str, mut so: impl FnMut() -> bool) -> Duration {
    let start = clock::now();
    while !so() {
        assert!(clock::now().since(start) < PATIENCE, "not within {PATIENCE:?}: {what}");
        pause(Duration::from_millis(1));
    }
    clock::now().since(start)
}

fn hold(host: &Host) -> Addresses {
    let nic = host.nic();
    host.inside(move || {
        let mut addresses = Addresses::new(&nic, floating()).unwrap();
        addresses.hold(Duration::from_secs(60)).unwrap();
        addresses
    })
}

fn fence(host: &Host) -> Fence {
    let nic = host.nic();
    host.inside(move || Fence::raise("site-1", &nic, &ips(), PORT).unwrap())
}

/// Opens it for so long that no test sees its end.
fn open(fence: &mut Fence) {
    fence.open_until(clock::now() + Duration::from_secs(600)).unwrap();
}

/// Who says within that time that he has a floating address, asked as often as there is time for.
fn owners(asker: &Host, within: Duration) -> Vec<(MacAddr, IpAddr)> {
    let nic = asker.nic();
    asker.inside(move || {
        let probe = Probe::new(&nic, &floating()).unwrap();
        let mut found = Vec::new();
        let end = clock::now() + within;
        while clock::now() < end {
            probe.ask().unwrap();
            pause(Duration::from_millis(5));
            while let Some(claim) = probe.heard().unwrap() {
                if !found.contains(&claim) {
                    found.push(claim);
                }
            }
        }
        found
    })
}

/// Waits until somebody has answered for each floating address, and says who.
fn owner(asker: &Host) -> Vec<MacAddr> {
    let mut found = Vec::new();
    until("both addresses have an owner", || {
        for claim in owners(asker, Duration::from_millis(20)) {
            if !found.contains(&claim) {
                found.push(claim);
            }
        }
        found.len() >= 2
    });
    found.sort();
    found.into_iter().map(|(mac, _)| mac).collect()
}

/// Makes the client know that host's link-layer address without asking, so that nothing but IP decides.
fn know(client: &Host, owner: &Host) {
    let mac = owner.nic().mac.to_string();
    for address in ips() {
        client.run(&["ip", "neigh", "replace", &address.to_string(), "lladdr", &mac, "dev", NIC]);
    }
}

fn listen(host: &Host) -> TcpListener {
    host.inside(|| {
        let socket = Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
        socket.set_only_v6(false).unwrap();
        socket.bind(&SocketAddr::new("::".parse().unwrap(), PORT).into()).unwrap();
        socket.listen(16).unwrap();
        socket.into()
    })
}

fn connect(client: &Host, address: IpAddr, within: Duration) -> Option<TcpStream> {
    client.inside(|| TcpStream::connect_timeout(&service(address), within).ok())
}

/// What comes to a host's interfaces or leaves them.
struct Sniffer(Socket);

impl Sniffer {
    fn new(host: &Host) -> Self {
        host.inside(|| {
            let all = Protocol::from(i32::from((libc::ETH_P_ALL as u16).to_be()));
            let socket = Socket::new(Domain::PACKET, Type::RAW, Some(all)).unwrap();
            socket.set_nonblocking(true).unwrap();
            Self(socket)
        })
    }

    /// Everything since the last time.
    fn frames(&self) -> Vec<Vec<u8>> {
        let mut frame = [0; 2048];
        let mut frames = Vec::new();
        while let Ok(length) = rustix::io::read(&self.0, &mut frame) {
            frames.push(frame[..length].to_vec());
        }
        frames
    }
}

/// Whether these bytes are somewhere in the frame.
fn holds(frame: &[u8], address: IpAddr) -> bool {
    let bytes = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    frame.windows(bytes.len()).any(|window| window == bytes)
}

/// FO-2: the judge finds its interface, and hears at once that a cable was pulled.
#[test]
fn a_pulled_cable_is_news() {
    let site = Site::new("link");
    let mut links = site.a.inside(|| Links::new().unwrap());
    assert!(matches!(links.find("none0"), Err(LinkError::Absent(_))));
    assert!(matches!(links.find("lo"), Err(LinkError::NotEthernet(_))));
    assert!(links.state(NIC).unwrap().carrier);
    while links.changed().unwrap() {}

    site.lan.run(&["ip", "link", "set", "port-a", "down"]);
    let heard = until("news", || {
        let mut polled = [PollFd::new(&links, PollFlags::IN)];
        poll(&mut polled, Some(&Timespec { tv_sec: 1, tv_nsec: 0 })).unwrap() == 1
            && links.changed().unwrap()
            && !links.state(NIC).unwrap().carrier
    });
    println!("a pulled cable was news after {heard:?}");
}

/// FO-2: both addresses come, stay while they are renewed, and go by themselves when nobody renews them. What was there
/// before stays: the own addresses, and with them the way to the LAN.
#[test]
fn a_floating_address_goes_by_itself_when_nobody_renews_it() {
    let site = Site::new("address");
    let nic = site.a.nic();
    let mut addresses = site.a.inside(|| Addresses::new(&nic, floating()).unwrap());
    assert_eq!(addresses.held().unwrap(), []);
    addresses.drop_all().unwrap();

    let valid = Duration::from_secs(2);
    addresses.hold(valid).unwrap();
    let start = clock::now();
    while clock::now().since(start) < 2 * valid {
        assert_eq!(addresses.held().unwrap(), floating());
        pause(valid / 10);
        addresses.hold(valid).unwrap();
    }
    let took = until("the addresses are gone", || addresses.held().unwrap().is_empty());
    println!("with a lifetime of {valid:?} they were gone after {took:?}");
    assert!(took > valid / 2 && took < 2 * valid, "{took:?}");
    let _listener = listen(&site.client);
    for client in ["192.0.2.100", "2001:db8::100"] {
        assert!(connect(&site.a, client.parse().unwrap(), PATIENCE).is_some(), "the way to {client}");
    }

    addresses.hold(Duration::from_secs(60)).unwrap();
    assert_eq!(addresses.held().unwrap(), floating());
    addresses.drop_all().unwrap();
    assert_eq!(addresses.held().unwrap(), []);
}

/// FO-2: connections that the port opens by itself do not begin at an address that may move.
#[test]
fn a_floating_address_is_no_source_of_its_own() {
    let site = Site::new("source");
    let _held = hold(&site.a);
    for client in ["192.0.2.100", "2001:db8::100"] {
        let client: IpAddr = client.parse().unwrap();
        let source = site.a.inside(|| {
            let any: SocketAddr = if client.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }.parse().unwrap();
            let socket = std::net::UdpSocket::bind(any).unwrap();
            socket.connect(SocketAddr::new(client, 9)).unwrap();
            socket.local_addr().unwrap().ip()
        });
        assert!(!ips().contains(&source), "{source}");
    }
}

/// FO-11: with the fence shut a port that has the addresses does not answer for them, neither to ARP nor to neighbour
/// discovery nor to IP; with it open it does; after the deadline it does not.
#[test]
fn nothing_of_a_floating_address_passes_a_shut_fence() {
    let site = Site::new("fence");
    let mut fence = fence(&site.a);
    let _held = hold(&site.a);
    let _listener = listen(&site.a);
    let mac = site.a.nic().mac;
    assert_eq!(owners(&site.client, SILENCE), []);
    know(&site.client, &site.a);
    for address in ips() {
        assert!(connect(&site.client, address, SILENCE).is_none(), "{address}");
    }
    for own in ["192.0.2.1", "2001:db8::1"] {
        assert!(connect(&site.client, own.parse().unwrap(), PATIENCE).is_some(), "{own} is not fenced");
    }

    open(&mut fence);
    assert_eq!(owner(&site.client), [mac, mac]);
    for address in ips() {
        assert!(connect(&site.client, address, PATIENCE).is_some(), "{address}");
    }

    fence.open_until(clock::now() + Duration::from_millis(100)).unwrap();
    pause(Duration::from_millis(101));
    for address in ips() {
        assert!(connect(&site.client, address, SILENCE).is_none(), "{address}");
    }
    assert_eq!(owners(&site.client, SILENCE), []);
    fence.open_until(clock::now() + Duration::from_secs(600)).unwrap();
    // After it ran out it can be opened again.
    assert_eq!(owner(&site.client), [mac, mac]);
    fence.shut().unwrap();
    assert_eq!(owners(&site.client, SILENCE), []);
    assert!(matches!(fence.open_until(clock::now() - Duration::from_millis(1)), Err(FenceError::Late)));
    assert_eq!(owners(&site.client, SILENCE), []);
}

/// FO-11: what the next judge finds after a crash it takes over, shut; and a clean stop leaves nothing.
#[test]
fn a_fence_that_was_left_is_taken_over_shut() {
    let site = Site::new("left");
    let mut left = fence(&site.a);
    open(&mut left);
    drop(left);
    let _held = hold(&site.a);
    // Nobody shut it.
    owner(&site.client);
    let next = fence(&site.a);
    assert_eq!(owners(&site.client, SILENCE), []);
    site.a.inside(|| next.remove().unwrap());
    assert_eq!(site.a.run(&["nft", "list", "ruleset"]), "");
}

/// FO-11: another program that flushes all rules is noticed when the fence is renewed next.
#[test]
fn a_fence_that_was_taken_away_is_noticed() {
    let site = Site::new("flushed");
    let mut fence = fence(&site.a);
    open(&mut fence);
    site.a.run(&["nft", "flush", "ruleset"]);
    assert!(matches!(fence.open_until(clock::now() + Duration::from_secs(1)), Err(FenceError::Gone)));
}

/// FO-2: renewing the fence a hundred times a second costs nothing that counts.
#[test]
fn renewing_the_fence_takes_microseconds() {
    let site = Site::new("renew");
    let mut fence = fence(&site.a);
    let mut took = site.a.inside(|| {
        // As the judge does.
        let _ = realtime::go_first();
        let renew = |_| {
            let start = clock::now();
            fence.open_until(start + Duration::from_millis(100)).unwrap();
            clock::now().since(start)
        };
        (0..1000).map(renew).collect::<Vec<_>>()
    });
    took.sort();
    println!("renewal: p50 {:?}, p99 {:?}, longest {:?}", took[500], took[990], took[999]);
    assert!(took[100] < Duration::from_millis(2), "{:?}", took[100]);
}

/// FO-7: a hand-over costs the kernels of both ports little against its 30 ms. The peer may open as soon as the fence is
/// shut here.
#[test]
fn giving_up_and_taking_the_addresses_takes_milliseconds() {
    const ROUNDS: usize = 100;
    let site = Site::new("cost");
    let nic_b = site.b.nic();
    let (mut fence_a, mut fence_b) = (fence(&site.a), fence(&site.b));
    let (mut held_a, mut held_b) = (hold(&site.a), hold(&site.b));
    held_b.drop_all().unwrap();
    let mut sockets = site.a.inside(|| Sockets::new().unwrap());
    let announcer = site.b.inside(|| Announcer::new(&nic_b, floating()).unwrap());
    let mut took = vec![Vec::new(); 4];
    let mut time = |what: usize, work: &mut dyn FnMut()| {
        let start = clock::now();
        work();
        took[what].push(clock::now().since(start));
    };
    for _ in 0..ROUNDS {
        held_a.hold(Duration::from_secs(60)).unwrap();
        open(&mut fence_a);
        time(0, &mut || fence_a.shut().unwrap());
        time(1, &mut || held_a.drop_all().unwrap());
        time(2, &mut || assert_eq!(sockets.destroy(&ips(), &[PORT]).unwrap(), 0));
        time(3, &mut || {
            open(&mut fence_b);
            held_b.hold(Duration::from_secs(2)).unwrap();
            announcer.announce().unwrap();
        });
        fence_b.shut().unwrap();
        held_b.drop_all().unwrap();
    }
    for (what, took) in
        ["fence shut", "addresses dropped", "sockets destroyed", "taken"].iter().zip(&mut took)
    {
        took.sort();
        println!("{what}: p50 {:?}, longest {:?}", took[ROUNDS / 2], took[ROUNDS - 1]);
        // What it costs, not what else the machine does meanwhile.
        assert!(took[0] < Duration::from_millis(10), "{what}: {took:?}");
    }
}

/// FO-11: a judge that is stopped loses the addresses at its lease's end and not later, and has them again when it goes
/// on and has a new lease.
#[test]
fn a_stopped_judge_loses_the_addresses_in_time() {
    const LEASE: Duration = Duration::from_millis(100);
    if let Ok(namespace) = std::env::var("JUDGE_TO_BE_STOPPED") {
        return renew_for_ever(&namespace, LEASE);
    }
    let site = Site::new("stopped");
    let _held = hold(&site.a);
    let mut judge = Judge::start(site.a.namespace());
    owner(&site.client);
    let nic = site.client.nic();
    for _ in 0..10 {
        judge.signal(Signal::STOP);
        let stopped = clock::now();
        let last = site.client.inside(|| {
            // Where that is allowed: what is late here looks as if it had been answered late.
            let _ = realtime::go_first();
            let probe = Probe::new(&nic, &floating()).unwrap();
            let mut last = stopped;
            while clock::now().since(stopped) < 3 * LEASE {
                probe.ask().unwrap();
                pause(Duration::from_millis(1));
                while probe.heard().unwrap().is_some() {
                    last = clock::now();
                }
            }
            last
        });
        println!("the last answer came {:?} after the judge was stopped", last.since(stopped));
        // An answer is on its way for some time, and is read some time later.
        assert!(last.since(stopped) < LEASE + Duration::from_millis(20), "{:?}", last.since(stopped));
        judge.signal(Signal::CONT);
        owner(&site.client);
    }
    judge.signal(Signal::KILL);
    pause(LEASE);
    assert_eq!(owners(&site.client, SILENCE), []);
}

/// The other half of the test above, in a process of its own: a judge that always has a lease.
fn renew_for_ever(namespace: &str, lease: Duration) {
    enter(namespace);
    let nic = Links::new().unwrap().find(NIC).unwrap();
    let mut fence = Fence::raise("site-1", &nic, &ips(), PORT).unwrap();
    loop {
        match fence.open_until(clock::now() + lease) {
            Ok(()) | Err(FenceError::Late) => pause(Duration::from_millis(10)),
            Err(error) => panic!("{error}"),
        }
    }
}

/// That process.
struct Judge(Child);

impl Judge {
    fn start(namespace: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "a_stopped_judge_loses_the_addresses_in_time"]);
        command.env("JUDGE_TO_BE_STOPPED", namespace).stdout(Stdio::null());
        Self(command.spawn().unwrap())
    }

    fn signal(&mut self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// FO-11: two ports that both have the addresses, as after a crash of a judge, are never two owners: he whose fence is
/// open answers.
#[test]
fn of_two_ports_with_the_addresses_one_answers() {
    let site = Site::new("two");
    let (mut fence_a, mut fence_b) = (fence(&site.a), fence(&site.b));
    let _held = (hold(&site.a), hold(&site.b));
    let (mac_a, mac_b) = (site.a.nic().mac, site.b.nic().mac);
    let answering = |mac: MacAddr| {
        assert_eq!(owner(&site.client), [mac, mac]);
        assert!(owners(&site.client, SILENCE).iter().all(|(owner, _)| *owner == mac));
    };
    for _ in 0..3 {
        open(&mut fence_a);
        answering(mac_a);
        fence_a.shut().unwrap();
        open(&mut fence_b);
        answering(mac_b);
        fence_b.shut().unwrap();
    }
}

/// FO-11: the probe passes the fence while it is shut, and hears an owner; it says nothing that others could take for a
/// claim. An announcement does not pass.
#[test]
fn a_probe_passes_a_shut_fence_and_an_announcement_does_not() {
    let site = Site::new("probe");
    let mut fence_a = fence(&site.a);
    let nic = site.a.nic();
    let sniffer = Sniffer::new(&site.client);
    assert_eq!(owners(&site.a, SILENCE), []);
    let (asked, others): (Vec<_>, Vec<_>) =
        sniffer.frames().into_iter().partition(|frame| ips().iter().any(|&ip| holds(frame, ip)));
    assert!(!asked.is_empty(), "{others:?}");

    let _held = hold(&site.b);
    let mac_b = site.b.nic().mac;
    assert_eq!(owner(&site.a), [mac_b, mac_b]);
    drop(sniffer.frames());

    let announcer = site.a.inside(|| Announcer::new(&nic, floating()).unwrap());
    let claims = || {
        let claims = sniffer.frames().into_iter().filter_map(|frame| failover::net::frame::claim(&frame));
        claims.filter(|(owner, ip)| *owner == nic.mac && ips().contains(ip)).count()
    };
    // The kernel tells the sender that the frame was dropped, or does not.
    let _ = announcer.announce();
    let _ = announcer.ask(["192.0.2.100".parse().unwrap()]);
    pause(SILENCE);
    assert_eq!(claims(), 0);
    open(&mut fence_a);
    announcer.announce().unwrap();
    announcer.ask(["192.0.2.100".parse().unwrap()]).unwrap();
    let mut heard = 0;
    until("two gratuitous ARPs, an advertisement and a question", || {
        heard += claims();
        heard == 4
    });
}

/// FO-2: a client that knows the old owner's link-layer address knows the new one's, by the announcement, and where a
/// switch filters that by the question alone.
#[test]
fn clients_learn_the_new_owner() {
    let site = Site::new("learn");
    let nic = site.b.nic();
    let announcer = site.b.inside(|| Announcer::new(&nic, floating()).unwrap());
    let clients: Vec<IpAddr> = vec!["192.0.2.100".parse().unwrap(), "2001:db8::100".parse().unwrap()];
    let known = |address: IpAddr| {
        let line = site.client.run(&["ip", "neigh", "show", &address.to_string(), "dev", NIC]);
        line.contains(&nic.mac.to_string())
    };
    for (how, tell) in [
        ("announced", &(|| announcer.announce().unwrap()) as &dyn Fn()),
        ("asked", &|| announcer.ask(clients.clone()).unwrap()),
    ] {
        let mac_a = site.a.nic().mac.to_string();
        for address in ips() {
            let address = address.to_string();
            let old = ["lladdr", &mac_a, "nud", "stale", "dev", NIC];
            site.client.run(&[&["ip", "neigh", "replace", &address], &old[..]].concat());
        }
        tell();
        for address in ips() {
            until(&format!("{address} {how}"), || known(address));
        }
    }
}

/// FO-2: a process that dies in silence looks like a machine that does; what it closes on purpose its client hears.
#[test]
fn what_is_closed_has_a_mark_or_is_silent() {
    let site = Site::new("silent");
    let mut fence = fence(&site.a);
    let _held = hold(&site.a);
    open(&mut fence);
    let listener = listen(&site.a);
    let connection = |address| {
        let client = connect(&site.client, address, PATIENCE).unwrap();
        let (server, _) = listener.accept().unwrap();
        (client, server)
    };
    let ends = |mut client: TcpStream, within: Duration| {
        client.set_read_timeout(Some(within)).unwrap();
        match client.read(&mut [0]) {
            Ok(0) => true,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            other => panic!("{other:?}"),
        }
    };
    let reset = |socket: &TcpStream| SockRef::from(socket).set_linger(Some(Duration::ZERO)).unwrap();
    for address in ips() {
        let (mut client, mut server) = connection(address);
        client.write_all(b"?").unwrap();
        server.read_exact(&mut [0]).unwrap();
        server.write_all(b"!").unwrap();
        client.read_exact(&mut [0]).unwrap();
        drop(server);
        assert!(!ends(client, SILENCE), "FIN of {address}");
        let (client, server) = connection(address);
        reset(&server);
        drop(server);
        assert!(!ends(client, SILENCE), "RST of {address}");

        let (client, server) = connection(address);
        SockRef::from(&server).set_mark(DELIBERATE).unwrap();
        drop(server);
        assert!(ends(client, PATIENCE), "marked FIN of {address}");
    }
}

/// FO-2: a client whose connection this port does not know is told that it is gone, so that he connects anew; but not
/// when its service is dead, for then he shall wait for the other port.
#[test]
fn strays_are_reset_while_the_service_listens() {
    let site = Site::new("strays");
    let mut fence = fence(&site.a);
    assert!(fence.is_loud().is_none());
    let _held = hold(&site.a);
    open(&mut fence);
    let listener = listen(&site.a);
    let mut sockets = site.a.inside(|| Sockets::new().unwrap());
    let connections = || {
        ips().into_iter().map(|address| {
            let client = connect(&site.client, address, PATIENCE).unwrap();
            (client, listener.accept().unwrap().0)
        })
    };
    let asks = |mut client: &TcpStream, within: Duration| {
        client.set_read_timeout(Some(within)).unwrap();
        client.write_all(b"?").unwrap();
        client.read_exact(&mut [0]).map_err(|error| error.kind())
    };
    // As on a port that had them before it was passive.
    let mut forget = |fence: &mut Fence| {
        fence.shut().unwrap();
        sockets.destroy(&ips(), &[PORT]).unwrap();
        open(fence);
    };
    let strays: Vec<_> = connections().collect();
    forget(&mut fence);
    for ((client, mut server), (stray, _)) in connections().zip(&strays) {
        server.write_all(b"!").unwrap();
        assert_eq!(asks(&client, PATIENCE), Ok(()), "a connection that is known");
        assert_eq!(asks(stray, PATIENCE), Err(ErrorKind::ConnectionReset));
    }
    let strays: Vec<_> = connections().collect();
    forget(&mut fence);
    drop(listener);
    for (stray, _) in &strays {
        assert_eq!(asks(stray, SILENCE), Err(ErrorKind::WouldBlock), "nobody listens any more");
    }
}

/// FO-2: the clients' connections are known, also those of IPv4 at a socket of IPv6; and they end without a word, so
/// that a client who comes back later meets no old connection.
#[test]
fn destroyed_connections_say_nothing() {
    let site = Site::new("destroy");
    let mut fence = fence(&site.a);
    let mut held = hold(&site.a);
    let mut sockets = site.a.inside(|| Sockets::new().unwrap());
    let four_alone = || site.a.inside(|| TcpListener::bind(("0.0.0.0", PORT)).unwrap());
    let both = || listen(&site.a);
    for (listen, addresses) in [(&four_alone as &dyn Fn() -> TcpListener, &ips()[..1]), (&both, &ips()[..])] {
        let listener = listen();
        held.hold(Duration::from_secs(60)).unwrap();
        open(&mut fence);
        let mut ends = Vec::new();
        let mut expected = Vec::new();
        for &address in addresses {
            let client = connect(&site.client, address, PATIENCE).unwrap();
            expected.push((client.local_addr().unwrap(), service(address)));
            ends.push((client, listener.accept().unwrap().0));
        }
        let mut found = sockets.established(&ips(), &[PORT]).unwrap();
        found.sort();
        assert_eq!(found, expected);
        assert_eq!(sockets.established(&ips()[..1], &[PORT]).unwrap(), expected[..1]);
        assert_eq!(sockets.established(&ips(), &[PORT + 1]).unwrap(), []);
        assert_eq!(sockets.established(&ips(), &[PORT + 1, PORT]).unwrap().len(), expected.len());

        fence.shut().unwrap();
        let sniffer = Sniffer::new(&site.client);
        held.drop_all().unwrap();
        assert_eq!(sockets.destroy(&ips(), &[PORT]).unwrap(), addresses.len());
        assert_eq!(sockets.established(&ips(), &[PORT]).unwrap(), []);
        for (_, server) in &mut ends {
            assert_eq!(server.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionAborted);
        }
        pause(SILENCE);
        // The client himself goes on asking where the address is.
        let of_the_floating = |frame: &Vec<u8>| ips().iter().any(|&ip| holds(frame, ip));
        let from_the_port = |frame: &Vec<u8>| frame[6..12] == site.a.nic().mac.octets();
        let said: Vec<_> =
            sniffer.frames().into_iter().filter(of_the_floating).filter(from_the_port).collect();
        assert!(said.is_empty(), "{said:?}");
    }
}

/// FO-2: a client whose request the old port's kernel has acknowledged has nothing to send again, and would wait for
/// ever; tickled by the new port he learns within milliseconds that his connection is gone.
#[test]
fn a_tickled_client_finds_out_in_milliseconds() {
    let site = Site::new("tickle");
    let (mut fence_a, mut fence_b) = (fence(&site.a), fence(&site.b));
    let mut held_a = hold(&site.a);
    open(&mut fence_a);
    let listener_a = listen(&site.a);
    let _listener_b = listen(&site.b);
    let mut clients = Vec::new();
    for address in ips() {
        let mut client = connect(&site.client, address, PATIENCE).unwrap();
        let (mut server, _) = listener_a.accept().unwrap();
        client.write_all(b"?").unwrap();
        server.read_exact(&mut [0]).unwrap();
        clients.push((client, server));
    }
    let connections = site.a.inside(|| Sockets::new().unwrap().established(&ips(), &[PORT]).unwrap());
    assert_eq!(connections.len(), 2);

    fence_a.shut().unwrap();
    held_a.drop_all().unwrap();
    let nic = site.b.nic();
    let (announcer, tickler) =
        site.b.inside(|| (Announcer::new(&nic, floating()).unwrap(), Tickler::new(&ips()).unwrap()));
    let _held_b = hold(&site.b);
    open(&mut fence_b);
    announcer.announce().unwrap();
    for (client, _) in &clients {
        client.set_read_timeout(Some(SILENCE)).unwrap();
        let mut client = client;
        assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock, "nobody has told him");
        client.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    let start: Time = clock::now();
    tickler.tickle(connections).unwrap();
    for (client, _) in &mut clients {
        assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
    let took = clock::now().since(start);
    println!("two clients knew after {took:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
}
