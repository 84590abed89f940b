//! Malformed and hostile input on every listening socket: no crash, memory bounded, the next good request answered.

#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use e2e::daemon::Daemon;
use e2e::data;
use e2e::mount::at;
use e2e::rpc::{Connection, Credential};
use e2e::site::{Port, Site};
use e2e::tools::curl;
use nfs3_types::nfs3::*;
use nfs3_types::xdr_codec::{Opaque, Pack};
use rand::seq::IndexedRandom;
use rand::{Rng, RngCore};

/// What hostile input may cost in memory, above the idle process.
const BYTES_ABOVE_IDLE: u64 = 100 << 20;
const TIMEOUT: Duration = Duration::from_secs(10);

fn connect(server: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&server, TIMEOUT).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    stream.set_write_timeout(Some(TIMEOUT)).unwrap();
    stream
}

/// Sends bytes that are no request, and looks at whatever comes back.
fn throw(server: SocketAddr, bytes: &[u8]) {
    let mut stream = connect(server);
    let _ = stream.write_all(bytes);
    let mut answer = [0; 4_096];
    let _ = stream.read(&mut answer);
}

/// Calls of every procedure, well-formed.
fn valid_records(port: &Port, root: &nfs_fh3) -> Vec<Vec<u8>> {
    use NFS_PROGRAM::*;
    let connection = Connection::open(port.nfs(), &Credential::root(), TIMEOUT).unwrap();
    let mut records = Vec::new();
    let mut add = |procedure: NFS_PROGRAM, args: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = Vec::new();
        args(&mut bytes);
        let mut record =
            connection.record(9, PROGRAM, VERSION, procedure as u32, &nfs3_types::xdr_codec::Void);
        record.extend_from_slice(&bytes);
        let mark = 0x8000_0000 | (record.len() as u32 - 4);
        record[..4].copy_from_slice(&mark.to_be_bytes());
        records.push(record);
    };
    let fh = |bytes: &mut Vec<u8>| _ = root.pack(bytes).unwrap();
    for procedure in
        [NFSPROC3_GETATTR, NFSPROC3_READLINK, NFSPROC3_FSSTAT, NFSPROC3_FSINFO, NFSPROC3_PATHCONF]
    {
        add(procedure, &fh);
    }
    add(NFSPROC3_LOOKUP, &|bytes| _ = at(root, b"name").pack(bytes).unwrap());
    add(NFSPROC3_REMOVE, &|bytes| _ = at(root, b"name").pack(bytes).unwrap());
    add(NFSPROC3_READ, &|bytes| {
        READ3args { file: root.clone(), offset: u64::MAX, count: u32::MAX }.pack(bytes).unwrap();
    });
    add(NFSPROC3_WRITE, &|bytes| {
        let data = Opaque::owned(vec![7; 5_000]);
        let stable = stable_how::UNSTABLE;
        WRITE3args { file: root.clone(), offset: u64::MAX - 10, count: 5_000, stable, data }
            .pack(bytes)
            .unwrap();
    });
    add(NFSPROC3_READDIRPLUS, &|bytes| {
        let (dircount, maxcount) = (u32::MAX, u32::MAX);
        let args = READDIRPLUS3args {
            dir: root.clone(),
            cookie: u64::MAX,
            cookieverf: cookieverf3([9; 8]),
            dircount,
            maxcount,
        };
        args.pack(bytes).unwrap();
    });
    add(NFSPROC3_CREATE, &|bytes| {
        let how = createhow3::GUARDED(e2e::mount::mode(0o644));
        CREATE3args { where_: at(root, &[b'x'; 300]), how }.pack(bytes).unwrap();
    });
    records
}

fn assert_calm(what: &str, daemon: &mut Daemon, idle: u64) {
    assert!(daemon.is_running(), "{what}: it died");
    let now = daemon.anonymous_bytes();
    println!("{what}: {} MiB above idle", now.saturating_sub(idle) >> 20);
    assert!(now < idle + BYTES_ABOVE_IDLE, "{what}: {} MiB above idle", (now - idle) >> 20);
}

/// PORT-1: random bytes, truncated calls, huge lengths, absurd counts.
#[test]
fn malformed_input_harms_nobody() {
    const SEED: u64 = 0x6261_6421;
    let mut site = Site::start();
    let mut port = site.port("port");
    let mut mount = port.mount("/export");
    let root = mount.root();
    let file = mount.put(&root, b"file", b"still here").unwrap();
    let (idle, center_idle) = (port.daemon.anonymous_bytes(), site.center.anonymous_bytes());
    let mut rng = data::rng(SEED);
    let center: SocketAddr = site.center.address("http");
    let sockets = [port.nfs(), port.mount_address(), center];

    for server in sockets {
        for _ in 0..100 {
            let mut bytes = vec![0; rng.random_range(1..4_000)];
            rng.fill_bytes(&mut bytes);
            throw(server, &bytes);
        }
        // Record marks of up to 2 GiB, many empty fragments, a fragment that never ends.
        for mark in [0x7fff_ffff_u32, 0xffff_ffff, 0x8000_0000, 0, 1, 0x8000_0001] {
            throw(server, &mark.to_be_bytes());
            throw(server, &mark.to_be_bytes().repeat(5_000));
        }
    }
    let records = valid_records(&port, &root);
    for record in &records {
        for server in [port.nfs(), port.mount_address()] {
            for cut in (4..record.len()).step_by(7) {
                throw(server, &record[..cut]);
            }
            // The mark says the call is complete, but a part is missing, or a length in it is absurd.
            for _ in 0..40 {
                let mut bad = record.clone();
                let word = 4 * rng.random_range(1..bad.len() / 4);
                let value: u32 =
                    *[0, 1, 0x7fff_ffff, 0xffff_ffff, 0x0010_0001, rng.random()].choose(&mut rng).unwrap();
                bad[word..word + 4].copy_from_slice(&value.to_be_bytes());
                throw(server, &bad);
            }
        }
    }
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    for len in [0, 1, 3, 4, 40, 1_400, 60_000] {
        let mut bytes = vec![0; len];
        rng.fill_bytes(&mut bytes);
        udp.send_to(&bytes, port.mount_address()).unwrap();
    }
    for request in [
        "GET",
        "GET / HTTP/1.1\r\n",
        "GET /%00%ff/%/../../../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
        "PUT /a/b/c HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "PUT /a/b/c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        "POST /vfs/v1/a/b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n<a>",
    ] {
        throw(center, request.as_bytes());
    }
    throw(center, format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(1 << 20)).as_bytes());
    throw(center, format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(50_000)).as_bytes());

    assert_calm("the port after malformed input", &mut port.daemon, idle);
    assert_calm("the center after malformed input", &mut site.center, center_idle);
    assert_eq!(mount.read(&file).unwrap(), b"still here");
    assert_eq!(port.mount("/export").walk("file").unwrap(), file);
    assert_eq!(curl(&format!("{}/health", site.center_url()), &[]).0, 200);
}

/// PORT-1: 900 idle connections at once, and as many that begin a call and never end it.
#[test]
fn idle_connections_are_cheap() {
    let site = Site::start();
    let mut port = site.port("port");
    let mut mount = port.mount("/export");
    let root = mount.root();
    let file = mount.put(&root, b"file", b"still here").unwrap();
    let idle = port.daemon.anonymous_bytes();
    let mut held = Vec::new();
    for number in 0..900 {
        let mut stream = connect(if number % 10 == 9 { port.mount_address() } else { port.nfs() });
        if number % 2 == 0 {
            let _ = stream.write_all(&0x8000_4000_u32.to_be_bytes());
        }
        held.push(stream);
    }
    assert_eq!(port.mount("/export").read(&file).unwrap(), b"still here", "a new client among 900 idle ones");
    assert_eq!(mount.read(&file).unwrap(), b"still here");
    assert_calm("900 idle connections", &mut port.daemon, idle);
}

/// PORT-1: a client that asks for gigabytes and never reads an answer.
#[test]
fn replies_that_nobody_reads_are_bounded() {
    let site = Site::start();
    let mut port = site.port("port");
    let mut mount = port.mount("/export");
    let root = mount.root();
    let file = mount.put(&root, b"large", &data::bytes(1, 8 << 20)).unwrap();
    mount.read(&file).unwrap();
    let idle = port.daemon.anonymous_bytes();
    let mut greedy = Vec::new();
    for _ in 0..4 {
        let mut connection = Connection::open(port.nfs(), &Credential::root(), TIMEOUT).unwrap();
        connection.stream().set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        for xid in 0..3_000 {
            let args = READ3args { file: file.clone(), offset: u64::from(xid % 8) << 20, count: 1 << 20 };
            if connection.send(xid, NFS_PROGRAM::NFSPROC3_READ, &args).is_err() {
                break; // The server stopped reading: that is the bound at work.
            }
        }
        greedy.push(connection);
    }
    let start = Instant::now();
    assert_eq!(mount.getattr(&file).unwrap().size, 8 << 20);
    assert!(start.elapsed() < Duration::from_secs(5), "another client waited {:?}", start.elapsed());
    assert_calm("12,000 READs whose replies nobody reads", &mut port.daemon, idle);
}

/// PORT-1: connects that are reset at once, by the thousand.
#[test]
fn a_storm_of_resets_is_survived() {
    let site = Site::start();
    let mut port = site.port("port");
    let mount = port.mount("/export");
    let idle = port.daemon.anonymous_bytes();
    for _ in 0..3_000 {
        let stream = connect(port.nfs());
        // No linger: closing sends a reset.
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    }
    assert_calm("3,000 resets", &mut port.daemon, idle);
    assert_eq!(port.mount("/export").root(), mount.root());
}
