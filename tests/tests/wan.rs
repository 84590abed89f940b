//! The wide area network of the tests does what it says: a round trip takes its time, packets are lost now and then, a
//! network that is cut off hears nothing, and nothing is left behind. Needed by the tests of mirrored storage centers.

#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use e2e::cluster::network::{Host, NORTH, SOUTH, WEST};
use e2e::cluster::wan::{ONE_WAY, Wan};
use e2e::tools::run_ok;
use e2e::{netns, poll};

const PATIENCE: Duration = Duration::from_secs(10);

/// Answers each connection with what it says, until it says no more; ends after so many connections.
fn echo(host: &Host, connections: usize) -> (SocketAddr, thread::JoinHandle<()>) {
    let address = host.port(7);
    let listener = host.entrance().inside(|| TcpListener::bind(address).unwrap());
    let serving = thread::spawn(move || {
        for stream in listener.incoming().take(connections) {
            let mut stream = stream.unwrap();
            std::io::copy(&mut stream.try_clone().unwrap(), &mut stream).unwrap();
        }
    });
    (address, serving)
}

fn connect(host: &Host, server: SocketAddr) -> Option<TcpStream> {
    host.entrance().inside(|| TcpStream::connect_timeout(&server, PATIENCE / 20)).ok()
}

#[test]
fn a_round_trip_takes_forty_milliseconds_more_and_bytes_arrive_whole() {
    let mut wan = Wan::new("delay", 1);
    let (north, south) = (wan.network(NORTH), wan.network(SOUTH));
    let (client, neighbour, server) = (north.host(1), north.host(2), south.host(1));
    let (far, far_serving) = echo(&server, 2);
    let (near, near_serving) = echo(&neighbour, 1);
    let round_trip = |stream: &mut TcpStream| {
        // The best of some: a packet that is lost is sent again after a fifth of a second.
        let trips = (0..10).map(|_| {
            let began = Instant::now();
            stream.write_all(b"?").unwrap();
            stream.read_exact(&mut [0]).unwrap();
            began.elapsed()
        });
        trips.min().unwrap()
    };
    let mut stream = poll::until("the other network is reached", PATIENCE, || connect(&client, far));
    let there_and_back = round_trip(&mut stream);
    assert!((2 * ONE_WAY..2 * ONE_WAY + ONE_WAY / 2).contains(&there_and_back), "{there_and_back:?}");
    drop(stream);
    let mut stream = poll::until("the neighbour is reached", PATIENCE, || connect(&client, near));
    assert!(round_trip(&mut stream) < ONE_WAY / 2, "not over the WAN");
    drop(stream);

    // Packets that are larger than the line takes are cut to size on the way.
    let sent = e2e::data::bytes(1, 1 << 20);
    let stream = poll::until("the other network is reached", PATIENCE, || connect(&client, far));
    thread::scope(|scope| {
        scope.spawn(|| {
            (&stream).write_all(&sent).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let mut received = Vec::new();
        (&stream).read_to_end(&mut received).unwrap();
        assert!(received == sent);
    });
    far_serving.join().unwrap();
    near_serving.join().unwrap();
}

#[test]
fn one_datagram_in_a_hundred_is_lost() {
    let mut wan = Wan::new("loss", 2);
    let (north, south) = (wan.network(NORTH), wan.network(SOUTH));
    let (speaker, listener) = (north.host(1), south.host(1));
    let address = listener.port(9);
    let listener = listener.entrance().inside(|| UdpSocket::bind(address).unwrap());
    listener.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let speaker = speaker.entrance().inside(|| UdpSocket::bind((speaker.address(), 0)).unwrap());
    const SENT: u64 = 5_000;
    let received = thread::scope(|scope| {
        let counting = scope.spawn(|| {
            let mut datagram = [0; 64];
            std::iter::from_fn(|| listener.recv(&mut datagram).ok()).count() as u64
        });
        for number in 0..SENT {
            speaker.send_to(&number.to_be_bytes(), address).unwrap();
            if number % 50 == 0 {
                poll::pause(Duration::from_millis(5));
            }
        }
        counting.join().unwrap()
    });
    // The chance that a right loss of 1 % is found outside of these is less than one to a million.
    assert!((20..90).contains(&(SENT - received)), "{received} of {SENT} arrived");
    let counts = wan.counts();
    assert_eq!((counts.passed, counts.lost), (received, SENT - received), "{counts:?}");
}

#[test]
fn a_network_is_cut_off_at_once_and_comes_back_and_the_others_do_not_notice() {
    let mut wan = Wan::new("cut", 3);
    let networks = [NORTH, SOUTH, WEST].map(|subnet| wan.network(subnet));
    let hosts = networks.each_ref().map(|network| network.host(1));
    let listeners = hosts.each_ref().map(|host| {
        let listener = host.entrance().inside(|| TcpListener::bind(host.port(80)).unwrap());
        listener.set_nonblocking(true).unwrap();
        listener
    });
    let reach = |from: usize, to: usize| connect(&hosts[from], hosts[to].port(80)).map(|_| ());
    for (from, to) in [(0, 1), (1, 0), (1, 2), (2, 0)] {
        poll::until("all networks reach each other", PATIENCE, || reach(from, to));
    }
    wan.cut(NORTH);
    assert_eq!([reach(0, 1), reach(1, 0), reach(2, 0)], [None; 3]);
    poll::until("the others reach each other", PATIENCE, || reach(1, 2));
    assert!(wan.counts().cut >= 3, "{:?}", wan.counts());
    wan.restore(NORTH);
    for (from, to) in [(0, 1), (1, 0), (2, 0)] {
        poll::until("all networks reach each other again", PATIENCE, || reach(from, to));
    }
    drop(listeners);
}

#[test]
fn nothing_of_a_wan_is_left_behind() {
    let purpose = format!("gone{}", std::process::id());
    let panicked = thread::spawn({
        let purpose = purpose.clone();
        move || {
            let mut wan = Wan::new(&purpose, 4);
            let networks = [wan.network(NORTH), wan.network(SOUTH)];
            let _hosts = networks.each_ref().map(|network| network.host(1));
            assert_eq!(netns::count(&purpose), 5);
            // Quietly, as far as a panic can be quiet.
            std::panic::resume_unwind(Box::new(()));
        }
    });
    assert!(panicked.join().is_err());
    assert_eq!(netns::count(&purpose), 0);
    let links = String::from_utf8(run_ok("ip", &["link"])).unwrap();
    assert!(!links.contains("foot") && !links.contains("tun0"), "{links}");
}
