//! Malformed and hostile input on every listening socket: no crash, memory bounded, the next good request answered.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use e2e::daemon::{Daemon, cpu_seconds};
use e2e::mount::at;
use e2e::rpc::{Connection, Credential};
use e2e::site::{Port, Site};
use e2e::tools::curl;
use e2e::{data, poll};
use nfs3_types::nfs3::*;
use nfs3_types::xdr_codec::{Opaque, Pack};
use rand::seq::IndexedRandom;
use rand::{Rng, RngCore};
use rustix::process::{Resource, Rlimit, getrlimit, prlimit, setrlimit};

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

/// Throws bytes and waits until the server has made of them what it can, and closed the connection.
fn throw_and_end(server: SocketAddr, bytes: &[u8]) {
    let mut stream = connect(server);
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read_to_end(&mut Vec::new());
}

/// Malformed records: `count` valid ones with one word replaced, or the end cut off.
fn throw_malformed(server: SocketAddr, records: &[Vec<u8>], seed: u64, count: usize) {
    let mut rng = data::rng(seed);
    for _ in 0..count {
        let mut bad = records.choose(&mut rng).unwrap().clone();
        if rng.random() {
            bad.truncate(rng.random_range(1..bad.len()));
        } else {
            let word = 4 * rng.random_range(0..bad.len() / 4);
            let values: [u32; 6] = [0, 1, 0x7fff_ffff, 0xffff_ffff, 0x0010_0001, rng.random()];
            bad[word..word + 4].copy_from_slice(&values.choose(&mut rng).unwrap().to_be_bytes());
        }
        throw_and_end(server, &bad);
    }
}

/// Connections with 250 READs of 1 MiB each, whose replies are never read.
fn greedy(server: SocketAddr, files: &[(nfs_fh3, u32)]) -> Vec<Connection> {
    let open = |(file, mib): &(nfs_fh3, u32)| {
        let mut connection = Connection::open(server, &Credential::root(), TIMEOUT).unwrap();
        for xid in 0..250 {
            let args = READ3args { file: file.clone(), offset: u64::from(xid % mib) << 20, count: 1 << 20 };
            connection.send(xid, NFS_PROGRAM::NFSPROC3_READ, &args).unwrap();
        }
        connection
    };
    files.iter().cycle().take(12).map(open).collect()
}

/// PORT-1, all at once: 900 idle connections, half of them in the middle of a call; 3,000 READs of 1 MiB, of cached
/// and of uncached data, whose replies nobody reads; 10,000 malformed records. The process stays below 150 MiB, and
/// 99 of 100 calls of another client are answered within 50 ms.
#[test]
fn a_siege_leaves_memory_bounded_and_others_served() {
    const RESIDENT_BYTES_MAX: u64 = 150 << 20;
    const P99_MAX: Duration = Duration::from_millis(50);
    raise_file_limit();
    let site = Site::start();
    let (mut port, writer) = (site.port("port"), site.port("writer"));
    let mut mount = port.mount("/export");
    let root = mount.root();
    let cached = mount.put(&root, b"cached", &data::bytes(1, 8 << 20)).unwrap();
    port.wait_uploaded(&site, &data::md5_hex(&data::bytes(1, 8 << 20)));
    mount.read(&cached).unwrap();
    writer.mount("/export").put(&root_of(&writer), b"uncached", &data::bytes(2, 64 << 20)).unwrap();
    writer.wait_uploaded(&site, &data::md5_hex(&data::bytes(2, 64 << 20)));
    let uncached = poll::until("the port knows the other's file", TIMEOUT, || {
        let file = mount.walk("uncached").ok()?;
        (mount.getattr(&file).ok()?.size == 64 << 20).then_some(file)
    });
    let records = valid_records(&port, &root);
    let server = port.nfs();

    let idle: Vec<_> = (0..900)
        .map(|number| {
            let mut stream = connect(server);
            if number % 2 == 0 {
                stream.write_all(&0x8000_4000_u32.to_be_bytes()).unwrap();
            }
            stream
        })
        .collect();
    let greedy = greedy(server, &[(cached.clone(), 8), (uncached, 64)]);
    let (mut times, mut resident) = (Vec::new(), 0);
    std::thread::scope(|scope| {
        let records = &records;
        let throwers: Vec<_> =
            (0..4).map(|seed| scope.spawn(move || throw_malformed(server, records, seed, 2_500))).collect();
        while throwers.iter().any(|thrower| !thrower.is_finished()) {
            let start = Instant::now();
            match times.len() % 3 {
                0 => assert_eq!(mount.getattr(&cached).unwrap().size, 8 << 20),
                1 => assert_eq!(mount.lookup(&root, b"cached").unwrap(), cached),
                _ => assert_eq!(mount.read_at(&cached, 4_096, 4_096).unwrap().0.len(), 4_096),
            }
            times.push(start.elapsed());
            if times.len() % 50 == 0 {
                resident = resident.max(port.daemon.resident_bytes());
            }
        }
    });
    resident = resident.max(port.daemon.resident_bytes());
    times.sort();
    let p99 = times[times.len() * 99 / 100];
    println!(
        "under siege: {} MiB resident at most; {} calls of another client, 99 of 100 within {p99:?}",
        resident >> 20,
        times.len()
    );
    assert!(port.daemon.is_running());
    assert!(resident < RESIDENT_BYTES_MAX, "{} MiB resident", resident >> 20);
    assert!(p99 < P99_MAX, "99 of 100 calls within {p99:?}");
    drop((idle, greedy));
    assert_eq!(port.mount("/export").read(&cached).unwrap(), data::bytes(1, 8 << 20));
}

fn root_of(port: &Port) -> nfs_fh3 {
    port.mount("/export").root()
}

/// The test itself holds a thousand connections.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
}

/// PORT-1: without file descriptors the port serves the clients it has, does not spin, and takes new ones later.
#[test]
fn running_out_of_file_descriptors_is_survived() {
    let site = Site::start();
    let mut port = site.port("port");
    let mut mount = port.mount("/export");
    let root = mount.root();
    // From here on the port knows it: without descriptors it cannot ask the center either.
    mount.getattr(&root).unwrap();
    let pid = port.daemon.pid();
    let open = fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero())).unwrap().count() as u64;
    let few = Rlimit { current: Some(open + 20), ..getrlimit(Resource::Nofile) };
    let limit = prlimit(Some(pid), Resource::Nofile, few).unwrap();
    let waiting: Vec<_> = (0..200).map(|_| connect(port.nfs())).collect();
    let used = cpu_seconds(pid.as_raw_nonzero().get() as u32);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2) {
        mount.getattr(&root).unwrap();
        poll::pause(Duration::from_millis(20));
    }
    let used = cpu_seconds(pid.as_raw_nonzero().get() as u32) - used;
    assert!(used < 0.5, "{used} seconds of processor time in 2 seconds: it spins");
    drop(waiting);
    assert_eq!(port.mount("/export").root(), root, "a new client, with the limit as it was");
    prlimit(Some(pid), Resource::Nofile, limit).unwrap();
    assert!(port.daemon.is_running());
}

/// PORT-1: 5,000 connects in less than a minute, each reset at once; the clients that were there are served.
#[test]
fn a_storm_of_resets_is_survived() {
    let site = Site::start();
    let mut port = site.port("port");
    let mut mount = port.mount("/export");
    let root = mount.root();
    let idle = port.daemon.anonymous_bytes();
    let start = Instant::now();
    for number in 0..5_000 {
        let stream = connect(port.nfs());
        // No linger: closing sends a reset.
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
        if number % 50 == 0 {
            mount.getattr(&root).unwrap();
        }
    }
    assert!(start.elapsed() < Duration::from_secs(60), "no storm: {:?}", start.elapsed());
    assert_calm("5,000 resets", &mut port.daemon, idle);
    assert_eq!(port.mount("/export").root(), root);
}
