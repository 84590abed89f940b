//! What no CIFS client sends: packets of smbclient's, unsigned, spoiled on their way.

#![allow(clippy::unwrap_used)]

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use e2e::data;
use e2e::mount::mode;
use e2e::shared::Shared;
use e2e::smbclient::Smbclient;
use rand::Rng;
use rand::rngs::StdRng;

/// Conversations, and spoiled packets that are wanted in all.
const CONVERSATIONS: u64 = 800;
const SPOILED_MIN: usize = 20_000;
/// When the client takes its leave, packets of its are sent again in its name, spoiled, at most so many.
const AFTERWARDS: usize = 60;
/// Of an SMB2 packet, its length before it included: where the command is, and the number of the message.
const COMMAND_AT: usize = 4 + 12;
const MESSAGE_AT: usize = 4 + 24;
/// How many numbers the message takes, for it is so long or its answer is.
const CHARGE_AT: usize = 4 + 6;
/// Where its protocol's name ends, and its header.
const PROTOCOL_BYTES: usize = 4 + 4;
const HEADER_BYTES: usize = 4 + 64;
/// Commands by which a client takes its leave: LOGOFF and TREE_DISCONNECT.
const LEAVES: [u8; 2] = [2, 4];
/// So many at once.
const AT_ONCE: u64 = 16;
/// A server that says nothing to a spoiled packet for so long is not waited for.
const SILENCE: Duration = Duration::from_millis(150);
/// The same before any was spoiled.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked for the end.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Longest packet that is taken from smbclient.
const PACKET_BYTES_MAX: usize = 9 << 20;

/// PORT-1: neither before a client has logged on nor after does a packet harm the server, whatever is in it, nor change what
/// the client may only read.
#[test]
fn spoiled_packets_harm_nobody() {
    let shared = Shared::start("signing = \"offered\"");
    // Of root's, to be read by everybody. What alice may write, her spoiled packets may well write.
    let (mut mount, kept) = (shared.port.mount("/export"), data::bytes(1, 100_000));
    let root = mount.root();
    let folder = mount.mkdir(&root, b"kept").unwrap();
    mount.setattr(&folder, mode(0o755)).unwrap();
    let file = mount.put(&folder, b"seen", &kept).unwrap();
    mount.setattr(&file, mode(0o644)).unwrap();
    let spoiled = AtomicUsize::new(0);
    let local = shared.local("spoil", &data::bytes(2, 20_000));
    thread::scope(|scope| {
        for worker in 0..AT_ONCE {
            let (shared, spoiled, local) = (&shared, &spoiled, &local);
            scope.spawn(move || {
                for seed in (0..CONVERSATIONS).filter(|seed| seed % AT_ONCE == worker) {
                    spoiled.fetch_add(converse(shared.server, seed, local), Ordering::Relaxed);
                }
            });
        }
    });
    let (spoiled, log) = (spoiled.into_inner(), shared.log());
    println!("{spoiled} packets were spoiled in {CONVERSATIONS} conversations");
    assert!(spoiled >= SPOILED_MIN, "only {spoiled}");
    assert!(!log.contains("panicked"), "{log}");
    assert!(shared.get("kept/seen").unwrap() == kept);
    shared.there_and_back(&shared.alice(), "still", &data::bytes(3, 1_000_000)).unwrap();
}

/// One client's conversation through a cable that spoils packets; how many.
fn converse(server: SocketAddr, seed: u64, local: &str) -> usize {
    const DIALECTS: [&str; 4] = ["SMB2_10", "SMB3_00", "SMB3_02", "SMB3_11"];
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let dialect = DIALECTS[seed as usize % DIALECTS.len()];
    thread::scope(|scope| {
        let cable = scope.spawn(move || {
            let (client, _) = listener.accept().unwrap();
            drop(listener);
            spoil(&client, &TcpStream::connect(server).unwrap(), &mut data::rng(seed))
        });
        // What it says does not matter: much of what it asks is answered with a refusal.
        Smbclient::new(address, "alice", "Secret 1").with("--client-protection=off").in_dialect(dialect).run(
            "export",
            &format!(
                "ls; put {local} s{seed}; allinfo s{seed}; rename s{seed} t{seed}; mkdir d{seed}; ls d*; get kept/seen \
                 /dev/null; setmode t{seed} +r; setmode t{seed} -r; utimes t{seed} -1 -1 -1 -1; du; del t{seed}; \
                 rmdir d{seed}; get kept/seen /dev/null; volume; ls"
            ),
        );
        cable.join().unwrap()
    })
}

/// Carries packets, spoiling some from one on, and goes on when the client would leave; how many were spoiled.
fn spoil(client: &TcpStream, server: &TcpStream, rng: &mut StdRng) -> usize {
    // Every second one is left alone until it would end.
    let first = if rng.random() { rng.random_range(0..45) } else { usize::MAX };
    let (mut spoiled, mut seen) = (0, Vec::new());
    server.set_read_timeout(Some(LOOK_EVERY)).unwrap();
    let (is_over, is_spoiled) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let answers = scope.spawn(|| {
            answer(client, server, &is_over, &is_spoiled);
            let _ = client.shutdown(Shutdown::Both);
        });
        for number in 0.. {
            let Ok(mut packet) = packet(client) else { break };
            if is_leave(&packet) {
                break;
            }
            seen.push(packet.clone());
            if number >= first && rng.random_ratio(2, 3) {
                change(&mut packet, PROTOCOL_BYTES, 15, rng);
                spoiled += 1;
                is_spoiled.store(true, Ordering::Relaxed);
            }
            if (&*server).write_all(&packet).is_err() {
                break;
            }
        }
        is_over.store(true, Ordering::Relaxed);
        answers.join().unwrap();
        spoiled += go_on(server, &seen, rng);
        let _ = server.shutdown(Shutdown::Both);
    });
    spoiled
}

/// Carries answers, until nobody waits for any.
fn answer(mut client: &TcpStream, mut server: &TcpStream, is_over: &AtomicBool, is_spoiled: &AtomicBool) {
    let (mut buffer, mut heard) = (vec![0; 1 << 16], Instant::now());
    while !is_over.load(Ordering::Relaxed) {
        let patience = if is_spoiled.load(Ordering::Relaxed) { SILENCE } else { PATIENCE };
        match server.read(&mut buffer) {
            Ok(len) if len > 0 && client.write_all(&buffer[..len]).is_ok() => heard = Instant::now(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && heard.elapsed() < patience => {}
            _ => return,
        }
    }
}

/// Sends packets that were seen again, each spoiled, as further messages of the same session, until the server ends the
/// connection; how many.
fn go_on(mut server: &TcpStream, seen: &[Vec<u8>], rng: &mut StdRng) -> usize {
    let mut next = seen.iter().map(|packet| number(packet) + charge(packet)).max().unwrap_or_default();
    // A second NEGOTIATE ends the connection.
    let seen: Vec<_> =
        seen.iter().filter(|packet| packet.get(COMMAND_AT).is_some_and(|command| *command > 0)).collect();
    if seen.is_empty() {
        return 0;
    }
    let mut buffer = vec![0; 1 << 16];
    let sent = (0..AFTERWARDS).take_while(|_| {
        let mut packet = seen[rng.random_range(0..seen.len())].clone();
        if let Some(number) = packet.get_mut(MESSAGE_AT..MESSAGE_AT + 8) {
            number.copy_from_slice(&next.to_le_bytes());
        }
        next += charge(&packet);
        change(&mut packet, HEADER_BYTES, 200, rng);
        // Not all are answered.
        let taken = |read: io::Result<usize>| match read {
            Ok(len) => len > 0,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        };
        server.write_all(&packet).is_ok() && taken(server.read(&mut buffer))
    });
    sent.count()
}

fn number(packet: &[u8]) -> u64 {
    packet.get(MESSAGE_AT..MESSAGE_AT + 8).map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap()))
}

fn charge(packet: &[u8]) -> u64 {
    let charge = packet.get(CHARGE_AT..CHARGE_AT + 2);
    charge.map_or(1, |bytes| u16::from_le_bytes(bytes.try_into().unwrap()).max(1).into())
}

fn is_leave(packet: &[u8]) -> bool {
    packet.get(COMMAND_AT).is_some_and(|command| LEAVES.contains(command))
}

/// The next packet with the length before it.
fn packet(mut from: &TcpStream) -> io::Result<Vec<u8>> {
    let mut head = [0; 4];
    from.read_exact(&mut head)?;
    let len = u32::from_be_bytes(head) as usize & 0x00ff_ffff;
    let mut packet = vec![0; 4 + len.min(PACKET_BYTES_MAX)];
    packet[..4].copy_from_slice(&head);
    from.read_exact(&mut packet[4..])?;
    Ok(packet)
}

/// Spoils some bytes of a packet behind the first `from`; one in `rarely` times one of those, its length or its end. At another
/// protocol's name or many a header the server would close at once.
fn change(packet: &mut Vec<u8>, from: usize, rarely: u32, rng: &mut StdRng) {
    const EXTREMES: [u8; 6] = [0, 1, 0x7f, 0x80, 0xfe, 0xff];
    let end = packet.len().min(200);
    for _ in 0..rng.random_range(1..=4) {
        let from = if rng.random_ratio(1, 2 * rarely) { 0 } else { from.min(end - 1) };
        let at = rng.random_range(from..end);
        packet[at] = if rng.random() { rng.random() } else { EXTREMES[rng.random_range(0..EXTREMES.len())] };
    }
    if rng.random_ratio(1, rarely) {
        packet.truncate(rng.random_range(4..=packet.len()));
        let len = packet.len() as u32 - 4;
        packet[..4].copy_from_slice(&len.to_be_bytes());
    }
}
