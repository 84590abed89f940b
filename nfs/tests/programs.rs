//! RPC, MOUNT and rpcbind over TCP and UDP (PORT-1, PORT-2).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::net::UdpSocket;
use std::sync::mpsc;

use nfs::memory::MemoryFilesystem;
use nfs::server::{BindError, Server};
use nfs::settings::{Bounds, Rpcbind, Settings};
use support::{Args, As, Client, MOUNT, NFS, PATIENCE, PORT_MAPPER, Reply, call_bytes, serve, with_mark};

/// Reply words behind the xid.
const SUCCESS: [u32; 5] = [1, 0, 0, 0, 0];
const PROG_UNAVAIL: [u32; 5] = [1, 0, 0, 0, 1];
const GARBAGE_ARGS: [u32; 5] = [1, 0, 0, 0, 4];

fn datagram(address: std::net::SocketAddr, call: &[u8]) -> Reply {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send_to(call, address).unwrap();
    let mut buffer = [0; 65536];
    let (len, from) = socket.recv_from(&mut buffer).unwrap();
    assert_eq!(from, address);
    Reply(buffer[..len].to_vec())
}

#[test]
fn programs_versions_and_procedures_not_served_are_refused_each_in_its_way() {
    let server = serve();
    let mut client = server.client();
    assert_eq!(client.call((100_021, 4), 0, Args::new()).words()[1..], PROG_UNAVAIL, "the lock manager");
    assert_eq!(client.call((100_003, 4), 0, Args::new()).words()[1..], [1, 0, 0, 0, 2, 3, 3]);
    assert_eq!(client.call((100_005, 4), 0, Args::new()).words()[1..], [1, 0, 0, 0, 2, 1, 3]);
    assert_eq!(client.call(MOUNT, 6, Args::new()).words()[1..], [1, 0, 0, 0, 3]);
    let mut rpcbind = Client::connect(server.addresses.rpcbind[0]);
    assert_eq!(rpcbind.call(NFS, 0, Args::new()).words()[1..], PROG_UNAVAIL, "not at the rpcbind port");
    assert_eq!(rpcbind.call((100_000, 5), 0, Args::new()).words()[1..], [1, 0, 0, 0, 2, 2, 4]);
}

/// Trap: a connection closed where the client should learn that its flavour is not spoken.
#[test]
fn unknown_flavours_get_an_authentication_error_and_the_connection_lives() {
    use std::io::Write;
    let server = serve();
    let mut client = server.client();
    let mut gss = call_bytes(5, NFS, 1, &As::Nobody, &[]);
    gss[27] = 6;
    client.stream.write_all(&with_mark(&gss)).unwrap();
    assert_eq!(client.receive().words(), [5, 1, 1, 1, 1]);
    let mut old = call_bytes(6, NFS, 0, &As::Nobody, &[]);
    old[11] = 3;
    client.stream.write_all(&with_mark(&old)).unwrap();
    assert_eq!(client.receive().words(), [6, 1, 1, 0, 2, 2]);
    client.nfs(0, Args::new()).results().end().unwrap();
}

#[test]
fn a_call_in_fragments_is_one_call() {
    use std::io::Write;
    let server = serve();
    let mut client = server.client();
    let call = call_bytes(5, NFS, 0, &As::root(), &[]);
    for (index, fragment) in call.chunks(7).enumerate() {
        let last = u32::from(index == call.len().div_ceil(7) - 1) << 31;
        client.stream.write_all(&(fragment.len() as u32 | last).to_be_bytes()).unwrap();
        client.stream.write_all(fragment).unwrap();
    }
    assert_eq!(client.receive().words()[1..], SUCCESS);
}

#[test]
fn mount_gives_roots_and_refuses_what_is_no_export() {
    let server = serve();
    for address in [server.addresses.nfs[0], server.addresses.mount[0]] {
        let mut client = Client::connect(address);
        let reply = client.call(MOUNT, 1, Args::new().opaque(b"/export/"));
        let mut results = reply.ok();
        let root = results.opaque(64).unwrap().to_vec();
        assert_eq!((results.u32(), results.u32()), (Ok(1), Ok(1)), "one flavour, AUTH_SYS");
        results.end().unwrap();
        client.nfs(1, Args::new().opaque(&root)).ok();
        // Trap: a prefix taken for the export.
        for path in [&b"/exportdir"[..], b"/export/dir", b"/", b"", b"export", b"\xff"] {
            assert_eq!(client.call(MOUNT, 1, Args::new().opaque(path)).status().0, 2);
        }
        let long = client.call(MOUNT, 1, Args::new().opaque(&[b'/'; 1025]));
        assert_eq!(long.words()[1..], GARBAGE_ARGS);
    }
}

/// What `showmount -e` and `showmount -a` ask, in the versions they ask it.
#[test]
fn exports_and_mounts_are_listed() {
    let server = serve();
    let mut client = server.client();
    client.mount("/SRL");
    for version in [1, 3] {
        let reply = client.call((MOUNT.0, version), 5, Args::new());
        let mut results = reply.results();
        for path in [&b"/export"[..], b"/SRL"] {
            assert_eq!(results.bool(), Ok(true));
            assert_eq!(results.opaque(1024), Ok(path));
            assert_eq!(results.bool(), Ok(false), "no groups: everybody");
        }
        assert_eq!(results.bool(), Ok(false));
        results.end().unwrap();

        let reply = client.call((MOUNT.0, version), 2, Args::new());
        let mut results = reply.results();
        assert_eq!(results.bool(), Ok(true));
        assert_eq!((results.opaque(255), results.opaque(1024)), (Ok(&b"127.0.0.1"[..]), Ok(&b"/SRL"[..])));
        assert_eq!(results.bool(), Ok(false));
    }
    // Trap: a body where UMNT has none.
    client.call(MOUNT, 3, Args::new().opaque(b"/SRL")).results().end().unwrap();
    assert_eq!(client.call(MOUNT, 2, Args::new()).results().bool(), Ok(false));
    client.call(MOUNT, 4, Args::new()).results().end().unwrap();
}

#[test]
fn mount_answers_over_udp_and_nfs_does_not() {
    let server = serve();
    let address = server.addresses.mount[0];
    let mut args = Args::new();
    args = args.opaque(b"/export");
    let reply = datagram(address, &call_bytes(7, MOUNT, 1, &As::root(), &args.bytes()));
    assert_eq!(reply.xid(), 7);
    reply.ok().opaque(64).unwrap();
    let reply = datagram(address, &call_bytes(8, NFS, 0, &As::root(), &[]));
    assert_eq!(reply.words()[1..], PROG_UNAVAIL);
}

/// Trap: the own port told for any program whatever.
#[test]
fn rpcbind_tells_the_ports_over_tcp_and_udp() {
    let server = serve();
    let address = server.addresses.rpcbind[0];
    let [nfs, mount] = [server.addresses.nfs[0], server.addresses.mount[0]].map(|at| u32::from(at.port()));
    let mut client = Client::connect(address);
    let cases =
        [((NFS, 6), nfs), ((MOUNT, 6), mount), ((MOUNT, 17), mount), ((NFS, 17), 0), (((100_021, 4), 6), 0)];
    for ((program, protocol), port) in cases {
        let args = || Args::new().u32(program.0).u32(program.1).u32(protocol).u32(0);
        assert_eq!(client.call(PORT_MAPPER, 3, args()).results().u32(), Ok(port));
        let reply = datagram(address, &call_bytes(9, PORT_MAPPER, 3, &As::Nobody, &args().bytes()));
        assert_eq!(reply.results().u32(), Ok(port));
    }
    let args = Args::new().u32(NFS.0).u32(NFS.1).opaque(b"tcp").opaque(b"").opaque(b"");
    let reply = client.call((100_000, 4), 3, args);
    let expected = format!("127.0.0.1.{}.{}", nfs >> 8, nfs & 255);
    assert_eq!(reply.results().opaque(99), Ok(expected.as_bytes()));
}

/// Answers every call with `answer`, as a running rpcbind would SET and UNSET, and tells what it was asked.
fn rpcbind_that_says(answer: u32) -> (std::net::SocketAddr, mpsc::Receiver<Vec<u32>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let (asked, told) = mpsc::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            let call = Reply(buffer[..len].to_vec()).words();
            let reply = [call[0], 1, 0, 0, 0, 0, answer].map(u32::to_be_bytes).concat();
            if asked.send(call[5..].to_vec()).is_err() || socket.send_to(&reply, from).is_err() {
                return;
            }
        }
    });
    (address, told)
}

fn registering_with(rpcbind: std::net::SocketAddr) -> Settings {
    Settings { rpcbind: Rpcbind::Register(rpcbind), ..support::settings(Bounds::default()) }
}

#[test]
fn a_running_rpcbind_is_told_and_told_to_forget() {
    let (rpcbind, told) = rpcbind_that_says(1);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(Server::bind(registering_with(rpcbind))).unwrap();
    let port = u32::from(server.addresses().nfs[0].port());
    // Procedure, empty credential and verifier, program, version, protocol, port.
    let call = |procedure| vec![procedure, 0, 0, 0, 0, NFS.0, NFS.1, 6, port];
    let (set, unset) = (call(1), call(2));
    let first: Vec<_> = told.try_iter().collect();
    assert!(first.contains(&set));
    assert_eq!(first.iter().filter(|call| call[0] == 1).count(), 7, "NFS, and MOUNT 1 to 3 over TCP and UDP");
    let filesystem = MemoryFilesystem::new(&["/export"], support::START);
    runtime.block_on(server.serve(filesystem.into(), std::future::ready(())));
    let last: Vec<_> = told.try_iter().collect();
    assert!(last.contains(&unset) && last.iter().all(|call| call[0] == 2));
}

#[test]
fn an_rpcbind_that_refuses_is_named() {
    let (rpcbind, _told) = rpcbind_that_says(0);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let error = runtime.block_on(Server::bind(registering_with(rpcbind))).unwrap_err();
    assert!(matches!(error, BindError::Register { address, .. } if address == rpcbind), "{error}");
}

#[test]
fn an_address_that_is_taken_is_named() {
    let server = serve();
    let taken = server.addresses.nfs[0];
    let settings = Settings { nfs: vec![taken], rpcbind: Rpcbind::Off, ..Settings::default() };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let error = runtime.block_on(Server::bind(settings)).unwrap_err().to_string();
    assert!(error.contains(&taken.to_string()), "{error}");
}
