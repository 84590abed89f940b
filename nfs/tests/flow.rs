//! Many calls at once: order, bounds, large data, and the end of the server.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::io::Write;
use std::net::Shutdown;
use std::time::Duration;

use nfs::memory::MemoryFilesystem;
use nfs::settings::Bounds;
use support::{
    Args, As, Client, NFS, START, call_bytes, read_args, read_data, resident_bytes, serve, serve_with, until,
    with_mark,
};

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index % 251) as u8).collect()
}

/// Data by `sendfile` and from memory, of every length modulo 4 and around the sizes where the way changes.
#[test]
fn data_of_every_size_comes_whole_and_padded() {
    for from_files in [false, true] {
        let filesystem = MemoryFilesystem::new(&["/export"], START);
        let filesystem = if from_files { filesystem.with_reads_from_files() } else { filesystem };
        let server = serve_with(filesystem, Bounds::default());
        let (mut client, root) = server.mounted();
        let file = client.create(&root, b"file");
        let data = pattern(1 << 20);
        client.write(&file, 0, &data);
        let sizes = [0, 1, 2, 3, 4, 4095, 8192, 8193, 65_535, 65_536, 65_537, 65_538, 1 << 20];
        // All at once: the replies lie behind each other in the stream.
        let calls: Vec<_> = sizes
            .iter()
            .flat_map(|&size| [(3, size), (0, size)])
            .map(|(offset, size)| (client.send(NFS, 6, read_args(&file, offset, size)), offset, size))
            .collect();
        for (xid, offset, size) in calls {
            let reply = client.receive();
            assert_eq!(reply.xid(), xid);
            let end = data.len().min(offset as usize + size as usize);
            assert_eq!(read_data(&reply), (data[offset as usize..end].to_vec(), end == data.len()));
        }
    }
}

#[test]
fn a_read_larger_than_the_largest_is_cut() {
    let server = serve();
    let (mut client, root) = server.mounted();
    let file = client.create(&root, b"file");
    client.write(&file, 1 << 20, &pattern(1 << 20));
    let (data, eof) = read_data(&client.nfs(6, read_args(&file, 0, u32::MAX)));
    assert_eq!((data.len(), eof), (1 << 20, false));
}

/// Trap: SYSTEM_ERR over a number of calls in flight. Here the socket is not read until there is room again.
#[test]
fn a_thousand_calls_in_flight_are_all_answered() {
    let server = serve();
    let (mut client, root) = server.mounted();
    server.filesystem.set_paused(true);
    let xids: Vec<_> = (0..1000).map(|_| client.send(NFS, 1, Args::new().opaque(&root))).collect();
    server.filesystem.set_paused(false);
    let mut answered: Vec<_> = xids.iter().map(|_| client.receive()).collect();
    answered.iter().for_each(|reply| assert_eq!(reply.status().0, 0));
    answered.sort_by_key(support::Reply::xid);
    assert_eq!(answered.iter().map(support::Reply::xid).collect::<Vec<_>>(), xids);
}

#[test]
fn a_call_that_waits_does_not_hold_up_the_next() {
    let server = serve();
    let (mut client, root) = server.mounted();
    server.filesystem.set_paused(true);
    let slow = client.send(NFS, 1, Args::new().opaque(&root));
    let quick = client.send(NFS, 0, Args::new());
    assert_eq!(client.receive().xid(), quick);
    server.filesystem.set_paused(false);
    assert_eq!(client.receive().xid(), slow);
}

/// Trap: a repeated xid that is dropped, on the same connection and on a new one.
#[test]
fn a_repeated_call_is_answered_again() {
    let server = serve();
    let (mut client, root) = server.mounted();
    let call = with_mark(&call_bytes(4711, NFS, 1, &As::root(), &Args::new().opaque(&root).bytes()));
    client.stream.write_all(&[&call[..], &call[..]].concat()).unwrap();
    let first = client.receive();
    assert_eq!(client.receive(), first);
    let mut other = server.client();
    other.stream.write_all(&call).unwrap();
    assert_eq!(other.receive(), first);
}

#[test]
fn calls_sent_before_a_half_close_are_answered() {
    let server = serve();
    let (mut client, root) = server.mounted();
    server.filesystem.set_paused(true);
    let xids: Vec<_> = (0..10).map(|_| client.send(NFS, 1, Args::new().opaque(&root))).collect();
    client.stream.shutdown(Shutdown::Write).unwrap();
    server.filesystem.set_paused(false);
    xids.iter().for_each(|_| {
        client.receive().status().1.rest().len().checked_sub(84).map_or_else(|| panic!(), drop)
    });
    assert!(client.try_receive().is_none(), "then the server closes");
}

/// Trap: replies that nobody reads pile up in memory.
#[test]
fn replies_never_read_stay_within_the_bound() {
    let bounds = Bounds { write_stall: Duration::from_secs(600), ..Bounds::default() };
    let server = serve_with(MemoryFilesystem::new(&["/export"], START), bounds);
    let (mut client, root) = server.mounted();
    let file = client.create(&root, b"file");
    client.write(&file, 0, &pattern(1 << 20));
    let before = resident_bytes();
    let call = with_mark(&call_bytes(1, NFS, 6, &As::root(), &read_args(&file, 0, 1 << 20).bytes()));
    let mut greedy = server.client();
    greedy.stream.set_nonblocking(true).unwrap();
    let mut sent = 0;
    while sent < 3000 * call.len() {
        match greedy.stream.write(&call[sent % call.len()..]) {
            Ok(count) => sent += count,
            Err(_) => break,
        }
    }
    // Another client is served meanwhile.
    for _ in 0..50 {
        assert_eq!(read_data(&client.nfs(6, read_args(&file, 0, 1 << 20))).0.len(), 1 << 20);
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 100 << 20, "{} MiB more", grown >> 20);
}

#[test]
fn a_client_that_takes_no_replies_is_closed() {
    let bounds = Bounds { write_stall: Duration::from_millis(100), ..Bounds::default() };
    let server = serve_with(MemoryFilesystem::new(&["/export"], START), bounds);
    let (mut client, root) = server.mounted();
    let file = client.create(&root, b"file");
    client.write(&file, 0, &pattern(1 << 20));
    let call = with_mark(&call_bytes(1, NFS, 6, &As::root(), &read_args(&file, 0, 1 << 20).bytes()));
    client.stream.set_write_timeout(None).unwrap();
    until("the connection is closed", || client.stream.write_all(&call).is_err());
}

#[test]
fn silent_connections_are_closed_each_after_its_time() {
    let times = Bounds {
        first_call: Duration::from_millis(50),
        rest_of_call: Duration::from_millis(50),
        idle: Duration::from_millis(50),
        ..Bounds::default()
    };
    let server = serve_with(MemoryFilesystem::new(&["/export"], START), times);
    let mut silent = server.client();
    let mut halting = server.client();
    halting.stream.write_all(&[0x80, 0, 0, 100, 1, 2, 3]).unwrap();
    let mut idle = server.client();
    idle.nfs(0, Args::new()).results();
    assert!(silent.is_closed() && halting.is_closed() && idle.is_closed());
}

#[test]
fn connections_over_the_bound_are_closed_and_others_go_on() {
    let bounds = Bounds { connections_per_client: 2, ..Bounds::default() };
    let server = serve_with(MemoryFilesystem::new(&["/export"], START), bounds);
    let mut first = server.client();
    first.nfs(0, Args::new()).results();
    let mut second = server.client();
    second.nfs(0, Args::new()).results();
    assert!(server.client().is_closed());
    first.nfs(0, Args::new()).results();
    drop(second);
    until("a place is free again", || {
        let mut client = server.client();
        client.stream.write_all(&with_mark(&call_bytes(1, NFS, 0, &As::root(), &[]))).is_ok()
            && client.try_receive().is_some()
    });
}

/// Memory shared by all is a bound for all together, and nobody waits in vain.
#[test]
fn large_calls_take_turns_when_memory_is_short() {
    let bounds = Bounds { bytes_in_total: 2 << 20, ..Bounds::default() };
    let server = serve_with(MemoryFilesystem::new(&["/export"], START), bounds);
    let (mut client, root) = server.mounted();
    let files: Vec<_> = (0..8).map(|index| client.create(&root, format!("{index}").as_bytes())).collect();
    std::thread::scope(|scope| {
        for file in &files {
            let mut client = Client::connect(server.addresses.nfs[0]);
            scope.spawn(move || {
                for _ in 0..20 {
                    client.write(file, 0, &pattern(1 << 20));
                    assert_eq!(read_data(&client.nfs(6, read_args(file, 0, 1 << 20))).0.len(), 1 << 20);
                }
            });
        }
    });
}

#[test]
fn the_end_waits_for_calls_in_progress() {
    let mut server = serve();
    let (mut client, root) = server.mounted();
    let mut idle = server.client();
    idle.nfs(0, Args::new()).results();
    server.filesystem.set_paused(true);
    client.send(NFS, 1, Args::new().opaque(&root));
    // This one is answered only after the call before it was taken.
    client.send(NFS, 0, Args::new());
    client.receive();
    let filesystem = std::sync::Arc::clone(&server.filesystem);
    let resume = std::thread::spawn(move || {
        assert!(idle.is_closed(), "the end has begun");
        filesystem.set_paused(false);
    });
    server.end();
    resume.join().unwrap();
    assert_eq!(client.receive().status().0, 0);
    assert!(client.is_closed());
}
