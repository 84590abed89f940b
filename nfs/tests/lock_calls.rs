//! Calls that the server makes to its clients: locks given later, answers in messages, news of a restart (PORT-1).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use nfs::nlm;
use nfs::xdr::Decoder;
use support::lock_host::{Answer, Called, LockHost, Over};
use support::locks::*;
use support::{Args, Running, until};

const GRANTED_CALL: u32 = 5;
const GRANTED_MSG: u32 = 10;

/// A server with one file that the client at 127.0.0.2 has locked, and the daemons of the clients that wait for it.
struct Site {
    server: Running,
    one: Process,
    file: Vec<u8>,
}

impl Site {
    fn new(rpcbind_port: u16, turn: Duration) -> Self {
        let ledger = Arc::new(MemoryLedger::default());
        let limits = nlm::Limits { turn, ..nlm::Limits::default() };
        let server = serve_locks(nlm::Settings { rpcbind_port, limits, ..lock_settings(&ledger) });
        let (mut client, root) = server.mounted();
        let file = client.create(&root, b"file");
        let mut one = Process::new(server.addresses.nfs[0], 2, 20, &file);
        assert_eq!(one.lock(exclusive(0, 10)), GRANTED);
        Self { server, one, file }
    }

    fn process(&self, host: u8, svid: u32) -> Process {
        Process::new(self.server.addresses.nfs[0], host, svid, &self.file)
    }
}

/// Cookie, exclusive, process, range.
fn granted(call: &Called) -> (Vec<u8>, bool, u32, (u64, u64)) {
    let mut args = Decoder::new(&call.args);
    let (cookie, exclusive) = (args.opaque(1024).unwrap().to_vec(), args.bool().unwrap());
    let _name = args.opaque(1024).unwrap();
    let _file = args.opaque(64).unwrap();
    let oh = args.opaque(1024).unwrap();
    let svid = args.u32().unwrap();
    assert!(oh.starts_with(svid.to_string().as_bytes()));
    let range = (args.u64().unwrap(), args.u64().unwrap());
    args.end().unwrap();
    (cookie, exclusive, svid, range)
}

#[test]
fn a_waiting_lock_is_given_by_a_call_to_its_client() {
    for over in [Over::Tcp, Over::Udp] {
        let three = LockHost::start(3, 0, over);
        let mut site = Site::new(three.rpcbind_port, Duration::from_secs(20));
        let mut waiting = site.process(3, 30);
        assert_eq!(waiting.lock(exclusive(5, 0).blocking()), BLOCKED);
        assert_eq!(site.one.unlock(0, 10), GRANTED);
        let call = three.next();
        assert_eq!((call.program, call.procedure), (NLM.0, GRANTED_CALL));
        assert_eq!(call.from, address(1), "from the address the client knows");
        let (_, is_exclusive, svid, range) = granted(&call);
        assert_eq!((is_exclusive, svid, range), (true, 30, (5, 0)));
        assert_eq!(site.one.test(shared(5, 1)), Err((30, (5, 0))));
        assert_eq!(site.one.test(shared(0, 5)), Ok(()));
        assert_eq!(waiting.unlock(5, 0), GRANTED);
        assert_eq!(site.one.test(exclusive(0, 0)), Ok(()));
        // Told once, it has answered: the next call is about another lock.
        assert_eq!(site.one.lock(exclusive(20, 1)), GRANTED);
        assert_eq!(waiting.lock(exclusive(20, 1).blocking()), BLOCKED);
        assert_eq!(site.one.unlock(20, 1), GRANTED);
        assert_eq!(granted(&three.next()).3, (20, 1));
    }
}

#[test]
fn a_client_that_cannot_be_reached_loses_its_turn() {
    let four = LockHost::start(4, 0, Over::Tcp);
    let mut site = Site::new(four.rpcbind_port, Duration::from_secs(4));
    // At 127.0.0.3 nobody listens.
    let mut gone = site.process(3, 30);
    let mut next = site.process(4, 40);
    assert_eq!(gone.lock(exclusive(0, 1).blocking()), BLOCKED);
    assert_eq!(next.lock(exclusive(0, 1).blocking()), BLOCKED);
    assert_eq!(site.one.unlock(0, 10), GRANTED);
    assert_eq!(site.one.test(shared(0, 1)), Err((30, (0, 1))), "it is its turn");
    assert_eq!(granted(&four.next()).2, 40);
    assert_eq!(site.one.test(shared(0, 1)), Err((40, (0, 1))));
}

#[test]
fn a_client_that_does_not_answer_is_called_again() {
    let three = LockHost::start(3, 0, Over::Udp);
    let mut site = Site::new(three.rpcbind_port, Duration::from_secs(30));
    let mut waiting = site.process(3, 30);
    assert_eq!(waiting.lock(exclusive(0, 1).blocking()), BLOCKED);
    three.set_answer(Answer::Silence);
    assert_eq!(site.one.unlock(0, 10), GRANTED);
    let first = granted(&three.next());
    let second = granted(&three.next());
    assert_eq!(first, second, "the same call again");
    // It asks by itself, before it can be told.
    assert_eq!(waiting.lock(exclusive(0, 1).blocking()), GRANTED);
    assert_eq!(site.one.test(shared(0, 1)), Err((30, (0, 1))));
}

#[test]
fn a_cancel_or_a_refusal_while_the_client_is_called_gives_the_lock_to_the_next() {
    let three = LockHost::start(3, 0, Over::Tcp);
    let four = LockHost::start(4, three.rpcbind_port, Over::Tcp);
    let mut site = Site::new(three.rpcbind_port, Duration::from_secs(30));
    let (mut cancelling, mut refusing) = (site.process(3, 30), site.process(4, 40));
    assert_eq!(cancelling.lock(exclusive(0, 1).blocking()), BLOCKED);
    assert_eq!(refusing.lock(exclusive(0, 1).blocking()), BLOCKED);
    three.set_answer(Answer::Silence);
    four.set_answer(Answer::Status(DENIED));
    assert_eq!(site.one.unlock(0, 10), GRANTED);
    assert_eq!(granted(&three.next()).2, 30);
    assert_eq!(cancelling.cancel(exclusive(0, 1).blocking()), GRANTED);
    assert_eq!(granted(&four.next()).2, 40);
    until("nobody holds it", || site.one.test(exclusive(0, 1)).is_ok());
}

#[test]
fn a_client_that_restarted_waits_for_nothing_and_lets_others_in() {
    let three = LockHost::start(3, 0, Over::Tcp);
    let mut site = Site::new(three.rpcbind_port, Duration::from_secs(30));
    let mut waiting = site.process(3, 30);
    let mut restarting = site.process(4, 40);
    assert_eq!(restarting.lock(exclusive(0, 1).blocking()), BLOCKED);
    assert_eq!(waiting.lock(shared(0, 1).blocking()), BLOCKED);
    let udp = site.server.addresses.mount[0];
    notify(udp, 4, "host4", 9);
    notify(udp, 2, "host2", 9);
    assert_eq!(granted(&three.next()).2, 30);
    assert_eq!(site.one.test(exclusive(0, 0)), Err((30, (0, 1))));
}

/// The message variants: each answer is a call of its own.
#[test]
fn messages_are_answered_by_messages() {
    let three = LockHost::start(3, 0, Over::Udp);
    let mut site = Site::new(three.rpcbind_port, Duration::from_secs(30));
    let mut other = site.process(3, 30);
    let send = |process: &mut Process, procedure, args: Args| {
        process.client.call(NLM, procedure, args).results().end().unwrap();
        let call = three.next();
        assert_eq!((call.program, call.procedure), (NLM.0, procedure + 5));
        let mut results = Decoder::new(&call.args);
        assert_eq!(results.opaque(1024), Ok(&b"cookie"[..]));
        results.u32().unwrap()
    };
    let lock = exclusive(5, 1).blocking();
    let args = other.test_args(lock);
    assert_eq!(send(&mut other, 6, args), DENIED);
    let args = other.lock_args(lock);
    assert_eq!(send(&mut other, 7, args), BLOCKED);
    let args = other.cancel_args(lock);
    assert_eq!(send(&mut other, 8, args), GRANTED);
    let args = other.lock_args(lock);
    assert_eq!(send(&mut other, 7, args), BLOCKED);

    assert_eq!(site.one.unlock(0, 10), GRANTED);
    let call = three.next();
    assert_eq!(call.procedure, GRANTED_MSG, "who speaks in messages is called in one");
    let (cookie, _, svid, _) = granted(&call);
    assert_eq!(svid, 30);
    // A stranger's answer does not count; the client's own does.
    let answer = |process: &mut Process, status| {
        let args = Args::new().opaque(&cookie).u32(status);
        process.client.call(NLM, 15, args).results().end().unwrap();
    };
    answer(&mut site.one, DENIED);
    assert_eq!(site.one.test(shared(5, 1)), Err((30, (5, 1))));
    answer(&mut other, GRANTED);
    let args = other.unlock_args((5, 1));
    let mut unlocked = false;
    // The call may have been made again before the answer came.
    other.client.call(NLM, 9, args).results().end().unwrap();
    until("UNLOCK is answered", || {
        unlocked |= three.next().procedure == 14;
        unlocked
    });
    assert_eq!(site.one.test(exclusive(0, 0)), Ok(()));

    // A GRANTED that this server never asked for.
    let args = other.test_args(lock);
    assert_eq!(send(&mut other, 10, args), DENIED);
    for procedure in 11..=14 {
        other.client.call(NLM, procedure, Args::new().opaque(b"c").u32(0)).results().end().unwrap();
    }
}

/// Its address may be another's, who would be called as often as somebody likes.
#[test]
fn messages_of_whoever_may_not_use_the_file_are_not_answered() {
    let four = LockHost::start(4, 0, Over::Udp);
    let site = Site::new(four.rpcbind_port, Duration::from_secs(30));
    let mut stranger = site.process(4, 40);
    for file in [vec![7; 8], site.file.clone()] {
        stranger.file = file;
        let args = stranger.unlock_args((5, 1));
        stranger.client.call(NLM, 9, args).results().end().unwrap();
        let args = stranger.test_args(exclusive(5, 1));
        stranger.client.call(NLM, 6, args).results().end().unwrap();
    }
    let mut answers = [four.next().procedure, four.next().procedure];
    answers.sort_unstable();
    assert_eq!(answers, [11, 14], "those about the file, and no other before them");
}

#[test]
fn clients_with_locks_are_told_of_a_restart() {
    for over in [Over::Udp, Over::Tcp] {
        let two = LockHost::start(2, 0, over);
        let ledger = Arc::new(MemoryLedger::default());
        let settings = || nlm::Settings { rpcbind_port: two.rpcbind_port, ..lock_settings(&ledger) };
        let mut server = serve_locks(settings());
        let (mut client, root) = server.mounted();
        let file = client.create(&root, b"file");
        assert_eq!(Process::new(server.addresses.nfs[0], 2, 20, &file).lock(exclusive(0, 1)), GRANTED);
        server.end();
        // Nobody was told at the first start: the first call has the state of the second.

        let host_name = Some("port.example".to_owned());
        let server = serve_locks(nlm::Settings { host_name, ..settings() });
        for expected in ["127.0.0.1", "port.example"] {
            let call = two.next();
            assert_eq!((call.program, call.procedure, call.from), (NSM.0, 6, address(1).into()));
            let mut args = Decoder::new(&call.args);
            assert_eq!(args.opaque(1024), Ok(expected.as_bytes()), "by the name it knows");
            assert_eq!(args.u32(), Ok(ledger.record().state));
            args.end().unwrap();
        }
        drop(server);
    }
}
