//! Locks over the wire: NLM and NSM over TCP and UDP, as two or more clients use them (PORT-1).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use support::locks::*;
use support::{Args, Client, PORT_MAPPER, Running, serve, until};

/// A server with one file, and two processes on two clients.
struct Site {
    server: Running,
    ledger: Arc<MemoryLedger>,
    root: Vec<u8>,
    file: Vec<u8>,
    one: Process,
    two: Process,
}

fn site() -> Site {
    let ledger = Arc::new(MemoryLedger::default());
    let server = serve_locks(lock_settings(&ledger));
    let (mut client, root) = server.mounted();
    let file = client.create(&root, b"file");
    let address = server.addresses.nfs[0];
    let (one, two) = (Process::new(address, 2, 20, &file), Process::new(address, 3, 30, &file));
    Site { server, ledger, root, file, one, two }
}

#[test]
fn locks_of_two_clients_exclude_each_other() {
    let Site { server: _server, mut one, mut two, .. } = site();
    assert_eq!(one.lock(exclusive(0, 10)), GRANTED);
    assert_eq!(two.lock(exclusive(9, 1)), DENIED);
    assert_eq!(two.test(shared(0, 0)), Err((20, (0, 10))));
    assert_eq!(two.lock(exclusive(10, 0)), GRANTED);
    assert_eq!(one.test(shared(0, 0)), Err((30, (10, 0))), "length 0 is to the end");
    assert_eq!(one.lock(shared(0, 10)), GRANTED, "made shared at once");
    assert_eq!(two.lock(shared(5, 5)), GRANTED);
    assert_eq!(one.lock(exclusive(0, 10)), DENIED);
    assert_eq!(one.unlock(0, 0), GRANTED);
    assert_eq!(one.unlock(0, 0), GRANTED, "what is not held");
    assert_eq!(two.test(exclusive(0, 0)), Ok(()), "all of it is its own");
    assert_eq!(two.unlock(0, 0), GRANTED);
    assert_eq!(one.test(exclusive(0, 0)), Ok(()));
}

/// A client that has "localhost" for its name is not the same as another of that name.
#[test]
fn clients_are_told_apart_by_their_addresses() {
    let Site { server: _server, mut one, mut two, .. } = site();
    for process in [&mut one, &mut two] {
        process.name = "localhost".into();
        process.svid = 1;
    }
    assert_eq!(one.lock(exclusive(0, 0)), GRANTED);
    assert_eq!(two.lock(exclusive(0, 0)), DENIED);
}

#[test]
fn files_and_ranges_that_cannot_be_locked_have_their_status() {
    let Site { server, root, mut one, mut two, .. } = site();
    assert_eq!(one.lock(exclusive(u64::MAX, 2)), TOO_BIG);
    assert_eq!(one.lock(exclusive(u64::MAX, 1)), GRANTED);
    assert_eq!(two.lock(exclusive(u64::MAX - 1, 0)), DENIED, "the last byte is one");

    let (mut client, _) = server.mounted();
    client.nfs(12, Args::new().opaque(&root).opaque(b"file")).ok();
    assert_eq!(two.lock(exclusive(0, 1)), STALE);
    let args = two.test_args(shared(0, 1));
    assert_eq!(status(&two.client.call(NLM, 1, args)), STALE);
    assert_eq!(one.unlock(0, 0), GRANTED, "what is gone can be given back");
    for file in [&b""[..], &[7; 64], &[7; 65], &[7; 1024]] {
        one.file = file.to_vec();
        assert_eq!(one.lock(exclusive(0, 1)), STALE, "a handle of {} bytes", file.len());
    }
    one.file = vec![7; 1025];
    let args = one.lock_args(exclusive(0, 1));
    assert_eq!(one.client.call(NLM, 2, args).words()[1..], [1, 0, 0, 0, 4], "GARBAGE_ARGS");
}

#[test]
fn whoever_may_neither_read_nor_write_a_file_may_not_lock_it() {
    let Site { server, root, file, mut one, .. } = site();
    let (mut client, _) = server.mounted();
    let set = Args::new().opaque(&file).set(Some(0o600), None).u32(0);
    client.nfs(2, set).ok();
    one.client.who = support::As::user(1000, 1000);
    assert_eq!(one.lock(shared(0, 1)), FAILED);
    client.nfs(2, Args::new().opaque(&file).set(Some(0o604), None).u32(0)).ok();
    assert_eq!(one.lock(exclusive(0, 1)), GRANTED);
    // Its owner may read and write it whatever its mode, so he may lock it.
    client.nfs(2, Args::new().opaque(&root).set(Some(0o777), None).u32(0)).ok();
    client.who = support::As::user(1000, 1000);
    one.file = client.create(&root, b"own");
    client.nfs(2, Args::new().opaque(&one.file).set(Some(0), None).u32(0)).ok();
    assert_eq!(one.lock(exclusive(0, 1)), GRANTED);
    one.client.who = support::As::user(1001, 1000);
    assert_eq!(one.lock(exclusive(0, 1)), FAILED);
}

#[test]
fn a_waiting_lock_can_be_cancelled_and_circles_are_refused() {
    let Site { server: _server, mut one, mut two, .. } = site();
    assert_eq!(one.lock(exclusive(0, 1)), GRANTED);
    assert_eq!(two.lock(exclusive(1, 1)), GRANTED);
    assert_eq!(two.lock(exclusive(0, 1).blocking()), BLOCKED);
    assert_eq!(two.lock(exclusive(0, 1).blocking()), BLOCKED, "said again");
    assert_eq!(one.lock(exclusive(1, 1).blocking()), DEADLOCK);
    assert_eq!(two.cancel(exclusive(0, 1).blocking()), GRANTED);
    assert_eq!(two.cancel(exclusive(0, 1).blocking()), GRANTED, "said again");
    assert_eq!(one.lock(exclusive(1, 1).blocking()), BLOCKED);
}

/// Every procedure, over TCP and UDP alike.
#[test]
fn all_procedures_are_answered_over_tcp_and_udp() {
    let Site { server, mut one, mut two, .. } = site();
    let udp = server.addresses.mount[0];
    datagram(udp, 2, NLM, 0, Args::new()).results().end().unwrap();
    assert_eq!(status(&datagram(udp, 2, NLM, 2, one.lock_args(exclusive(0, 1)))), GRANTED);
    assert_eq!(two.test(exclusive(0, 1)), Err((20, (0, 1))), "one table for both");
    assert_eq!(status(&datagram(udp, 3, NLM, 3, two.cancel_args(exclusive(0, 1)))), GRANTED);
    assert_eq!(status(&datagram(udp, 2, NLM, 4, one.unlock_args((0, 1)))), GRANTED);
    assert_eq!(status(&datagram(udp, 3, NLM, 1, two.test_args(exclusive(0, 1)))), GRANTED);
    // GRANTED is for clients: this server waits for nothing.
    assert_eq!(status(&datagram(udp, 3, NLM, 5, two.test_args(exclusive(0, 1)))), DENIED);

    let args = one.lock_args(exclusive(0, 1));
    assert_eq!(status(&one.client.call(NLM, 22, args)), GRANTED, "NM_LOCK");
    let args = Args::new().opaque(b"host2").u32(9);
    one.client.call(NLM, 23, args).results().end().unwrap();
    assert_eq!(two.test(exclusive(0, 1)), Ok(()), "FREE_ALL");

    let (read, write) = (1, 2);
    assert_eq!(one.share(20, read, write), GRANTED);
    assert_eq!(two.share(20, write, 0), DENIED);
    assert_eq!(one.share(21, read, write), GRANTED);
    assert_eq!(two.share(20, write, 0), GRANTED);

    for unknown in [16, 17, 18, 19, 24, 1000] {
        assert_eq!(one.client.call(NLM, unknown, Args::new()).words()[1..], [1, 0, 0, 0, 3]);
    }
    for version in [1, 3, 5] {
        assert_eq!(one.client.call((NLM.0, version), 0, Args::new()).words()[1..], [1, 0, 0, 0, 2, 4, 4]);
    }
}

#[test]
fn lengths_that_lie_are_refused_and_harm_nobody() {
    let Site { server: _server, mut one, .. } = site();
    for procedure in [1, 2, 3, 4, 5, 20, 21, 22, 23] {
        for bytes in [&[0xff; 4][..], &[0xff; 64], &[0, 0, 4, 1], &[0, 0, 4, 0], &[0; 3], &[]] {
            let reply = one.client.call(NLM, procedure, Args::new().raw(bytes));
            assert_eq!(reply.words()[1..], [1, 0, 0, 0, 4], "procedure {procedure}");
        }
    }
    assert_eq!(one.lock(exclusive(0, 1)), GRANTED);
}

#[test]
fn a_client_that_restarted_loses_its_locks() {
    let Site { server, mut one, mut two, .. } = site();
    let udp = server.addresses.mount[0];
    assert_eq!(one.lock(exclusive(0, 10)), GRANTED);
    notify(udp, 3, "host2", 5);
    assert_eq!(two.test(shared(0, 1)), Err((20, (0, 10))), "another client has said so");
    notify(udp, 2, "host2", 1);
    assert_eq!(two.test(shared(0, 1)), Err((20, (0, 10))), "it has said so before it locked");
    notify(udp, 2, "host2", 3);
    assert_eq!(two.test(shared(0, 1)), Ok(()));
    assert_eq!(one.lock(Lock { state: 3, ..exclusive(0, 10) }), GRANTED);
    notify(udp, 2, "host2", 3);
    assert_eq!(two.test(shared(0, 1)), Err((20, (0, 10))), "said twice, it is one restart");
}

#[test]
fn the_status_monitor_watches_for_nobody_but_this_server() {
    let Site { server, .. } = site();
    let mut client = Client::connect(server.addresses.mount[0]);
    client.call(NSM, 0, Args::new()).results().end().unwrap();
    client.call(NSM, 5, Args::new()).results().end().unwrap();
    let state = |reply: support::Reply| {
        let mut results = reply.results();
        assert_eq!(results.u32(), Ok(1), "it does not");
        let state = results.u32().unwrap();
        results.end().unwrap();
        state
    };
    let id = |args: Args| args.opaque(b"caller").u32(1).u32(2).u32(3);
    let first = state(client.call(NSM, 1, Args::new().opaque(b"host")));
    assert_eq!(first % 2, 1, "odd while it is up");
    assert_eq!(state(client.call(NSM, 2, id(Args::new().opaque(b"host")).raw(&[7; 16]))), first);
    assert_eq!(client.call(NSM, 3, id(Args::new().opaque(b"host"))).results().u32(), Ok(first));
    assert_eq!(client.call(NSM, 4, id(Args::new())).results().u32(), Ok(first));
    assert_eq!(client.call(NSM, 7, Args::new()).words()[1..], [1, 0, 0, 0, 3]);
    assert_eq!(client.call((NSM.0, 2), 0, Args::new()).words()[1..], [1, 0, 0, 0, 2, 1, 1]);
    for bytes in [&[0xff; 4][..], &[0, 0, 4, 1], &[0; 3]] {
        assert_eq!(client.call(NSM, 6, Args::new().raw(bytes)).words()[1..], [1, 0, 0, 0, 4]);
    }
}

#[test]
fn rpcbind_tells_where_locks_are_served() {
    let Site { server, .. } = site();
    let mount = u32::from(server.addresses.mount[0].port());
    let mut client = Client::connect(server.addresses.rpcbind[0]);
    for program in [NLM, NSM] {
        for protocol in [6, 17] {
            let args = Args::new().u32(program.0).u32(program.1).u32(protocol).u32(0);
            assert_eq!(client.call(PORT_MAPPER, 3, args).results().u32(), Ok(mount));
        }
    }
}

#[test]
fn without_locks_the_programs_are_not_there() {
    let server = serve();
    for program in [NLM, NSM] {
        assert_eq!(server.client().call(program, 0, Args::new()).words()[1..], [1, 0, 0, 0, 1]);
    }
}

#[test]
fn a_client_is_in_the_ledger_before_it_has_its_first_lock() {
    let Site { server: _server, ledger, mut one, mut two, .. } = site();
    let before = ledger.stores();
    assert_eq!(one.test(exclusive(0, 1)), Ok(()));
    assert_eq!(ledger.stores(), before, "a question needs none");
    assert_eq!(one.lock(exclusive(0, 1)), GRANTED);
    let record = ledger.record();
    assert_eq!(record.clients.len(), 1);
    assert_eq!(record.clients[0].client.address, address(2));
    assert_eq!(&*record.clients[0].client.name, b"host2");
    assert_eq!(record.clients[0].local, address(1));
    for at in 2..50 {
        assert_eq!(one.lock(exclusive(2 * at, 1)), GRANTED);
    }
    assert_eq!(ledger.stores(), before + 1, "only the first lock costs a sync");
    ledger.set_full(true);
    assert_eq!(two.lock(exclusive(1, 1)), NO_LOCKS);
    assert_eq!(one.lock(exclusive(1, 1)), GRANTED, "whom it knows it serves");
    ledger.set_full(false);
    assert_eq!(two.lock(exclusive(3, 1)), GRANTED);
}

/// The second lock of a client does not overtake the first, which waits for the disk.
#[test]
fn no_lock_is_answered_while_the_ledger_is_being_stored() {
    let Site { server, ledger, mut one, file, .. } = site();
    let mut other = Process::new(server.addresses.nfs[0], 2, 21, &file);
    let disk = ledger.disk.lock().unwrap();
    for (process, at) in [(&mut one, 0), (&mut other, 5)] {
        let args = process.lock_args(exclusive(at, 1));
        process.client.send(NLM, 2, args);
        process.client.stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        assert!(process.client.try_receive().is_none(), "no answer yet");
    }
    drop(disk);
    for process in [&mut one, &mut other] {
        process.client.stream.set_read_timeout(Some(support::PATIENCE)).unwrap();
        assert_eq!(status(&process.client.receive()), GRANTED);
    }
    assert_eq!(ledger.record().clients.len(), 1);
}

/// The store goes on when nobody waits for it any more, and the next one begins after it.
#[test]
fn a_store_whose_client_hung_up_is_not_overtaken_by_the_next() {
    let Site { server: _server, ledger, one, mut two, .. } = site();
    let disk = ledger.disk.lock().unwrap();
    let mut one = one;
    let args = one.lock_args(exclusive(0, 1));
    one.client.send(NLM, 2, args);
    until("the first store has begun", || ledger.stores_at_once() == 1);
    drop(one);
    let args = two.lock_args(exclusive(5, 1));
    two.client.send(NLM, 2, args);
    two.client.stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    assert!(two.client.try_receive().is_none(), "it waits for the disk");
    drop(disk);
    two.client.stream.set_read_timeout(Some(support::PATIENCE)).unwrap();
    assert_eq!(status(&two.client.receive()), GRANTED);
    assert_eq!(ledger.most_stores_at_once(), 1);
    assert!(ledger.record().clients.iter().any(|known| known.client.address == address(3)));
}

#[test]
fn a_damaged_ledger_does_not_keep_the_server_from_starting() {
    let ledger = Arc::new(MemoryLedger::default());
    ledger.damage();
    let grace = Duration::from_secs(4);
    let server = serve_locks(nfs::nlm::Settings { grace, ..lock_settings(&ledger) });
    let (mut client, root) = server.mounted();
    let file = client.create(&root, b"file");
    let mut one = Process::new(server.addresses.nfs[0], 2, 20, &file);
    assert_eq!(one.lock(exclusive(0, 1)), GRACE);
    until("new locks are given", || one.lock(exclusive(0, 1)) == GRANTED);
    assert_eq!(ledger.record().clients.len(), 1, "it is whole again");
    assert!(ledger.record().state > 1_000_000, "no earlier start had this number");
}

/// PORT-1, after a restart: who had locks may take them again, and nobody else gets one meanwhile.
#[test]
fn after_a_restart_clients_take_their_locks_again_before_others_get_any() {
    let ledger = Arc::new(MemoryLedger::default());
    let mut server = serve_locks(lock_settings(&ledger));
    let file_of = |server: &Running| {
        let (mut client, root) = server.mounted();
        client.create(&root, b"file")
    };
    let file = file_of(&server);
    let mut one = Process::new(server.addresses.nfs[0], 2, 20, &file);
    assert_eq!(one.lock(exclusive(0, 10)), GRANTED);
    let first = ledger.record().state;
    server.end();

    let grace = Duration::from_secs(4);
    let server = serve_locks(nfs::nlm::Settings { grace, ..lock_settings(&ledger) });
    assert_ne!(ledger.record().state, first);
    let file = file_of(&server);
    let mut one = Process::new(server.addresses.nfs[0], 2, 20, &file);
    let mut two = Process::new(server.addresses.nfs[0], 3, 30, &file);
    assert_eq!(two.lock(exclusive(50, 1)), GRACE);
    assert_eq!(two.lock(exclusive(50, 1).reclaiming()), NO_LOCKS, "it had none");
    assert_eq!(one.lock(exclusive(0, 10).reclaiming()), GRANTED);
    until("new locks are given", || two.lock(exclusive(50, 1)) == GRANTED);
    assert_eq!(two.lock(exclusive(0, 1)), DENIED, "the old lock holds");
    assert_eq!(one.lock(exclusive(60, 1).reclaiming()), GRACE, "too late for that");
}
