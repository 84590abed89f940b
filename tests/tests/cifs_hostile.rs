//! What no CIFS client sends: packets of smbclient's, unsigned, spoiled on their way.

#![allow(clippy::unwrap_used)]

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use e2e::data;
use e2e::shared::Shared;
use e2e::smbclient::Smbclient;
use rand::Rng;
use rand::rngs::StdRng;

/// Conversations, at least, and spoiled packets that are wanted in all.
const CONVERSATIONS: u64 = 1_000;
const SPOILED_MIN: usize = 2_000;
/// So many at once.
const AT_ONCE: u64 = 16;
/// A server that says nothing to a spoiled packet for so long is not waited for.
const SILENCE: Duration = Duration::from_millis(150);
/// Longest packet that is taken from smbclient.
const PACKET_BYTES_MAX: usize = 9 << 20;

/// PORT-1: neither before a client has logged on nor after does a packet harm the server, whatever is in it.
#[test]
fn spoiled_packets_harm_nobody() {
    let shared = Shared::start("signing = \"offered\"");
    shared.put("seen", &data::bytes(1, 100_000)).unwrap();
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
    assert!(shared.get("seen").unwrap() == data::bytes(1, 100_000));
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
                "ls; put {local} s{seed}; allinfo s{seed}; rename s{seed} t{seed}; mkdir d{seed}; ls d*; get seen \
                 /dev/null; setmode t{seed} +r; setmode t{seed} -r; utimes t{seed} -1 -1 -1 -1; du; del t{seed}; \
                 rmdir d{seed}; get seen /dev/null; volume; ls"
            ),
        );
        cable.join().unwrap()
    })
}

/// Carries packets, spoiling some from one on; how many were.
fn spoil(client: &TcpStream, server: &TcpStream, rng: &mut StdRng) -> usize {
    let first = rng.random_range(0..45);
    let mut spoiled = 0;
    thread::scope(|scope| {
        scope.spawn(|| {
            server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            let _ = io::copy(&mut &*server, &mut &*client);
            let _ = client.shutdown(Shutdown::Both);
        });
        for number in 0.. {
            let Ok(mut packet) = packet(client) else { break };
            if number >= first && rng.random_ratio(2, 3) {
                change(&mut packet, rng);
                spoiled += 1;
                server.set_read_timeout(Some(SILENCE)).unwrap();
            }
            if (&*server).write_all(&packet).is_err() {
                break;
            }
        }
        let _ = server.shutdown(Shutdown::Both);
    });
    spoiled
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

/// Spoils some bytes of a packet's body, rarely its length or its end. The server would close at once at another
/// protocol's name (its first four bytes), so these mostly stay.
fn change(packet: &mut Vec<u8>, rng: &mut StdRng) {
    const EXTREMES: [u8; 6] = [0, 1, 0x7f, 0x80, 0xfe, 0xff];
    let end = packet.len().min(200);
    for _ in 0..rng.random_range(1..=4) {
        let at = if rng.random_ratio(1, 30) {
            rng.random_range(0..end)
        } else {
            rng.random_range(8.min(end - 1)..end)
        };
        packet[at] = if rng.random() { rng.random() } else { EXTREMES[rng.random_range(0..EXTREMES.len())] };
    }
    if rng.random_ratio(1, 15) {
        packet.truncate(rng.random_range(4..=packet.len()));
        let len = packet.len() as u32 - 4;
        packet[..4].copy_from_slice(&len.to_be_bytes());
    }
}
