//! Packets that nobody should believe: noise, what looks like a datagram of the cluster, and genuine datagrams that
//! were overheard, sent again as they were, changed in a bit, or cut short. Also connections by which a stranger says
//! anything but what he should.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{mem, sync::Arc};

use rand::rngs::StdRng;
use rand::{Rng, RngCore};

use super::network::Host;
use crate::{data, poll};

/// Between two packets.
const EVERY: Duration = Duration::from_millis(3);
/// Genuine datagrams that are remembered, the latest and the first.
const HEARD_MAX: usize = 256;
/// Strangers' connections held open at a time.
const CONNECTIONS_MAX: usize = 8;
/// Largest datagram of the cluster.
const DATAGRAM_BYTES_MAX: usize = 1_400;

/// Somebody who forges until he is dropped.
pub struct Forger {
    stop: Arc<AtomicBool>,
    counts: Arc<Counts>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Counts {
    sent: AtomicU64,
    heard: AtomicU64,
}

impl Forger {
    /// On this host, at this group and these processes.
    pub fn start(host: &Host, group: SocketAddr, processes: Vec<SocketAddr>, seed: u64) -> Self {
        let (stop, counts) = (Arc::new(AtomicBool::new(false)), Arc::new(Counts::default()));
        let (entrance, address) = (host.entrance(), host.address());
        let told = (Arc::clone(&stop), Arc::clone(&counts));
        let thread = thread::spawn(move || {
            // All of its sockets are there.
            entrance.move_in();
            let (stop, counts) = told;
            Forging::new(address, group, processes, seed, counts).until(&stop);
        });
        Self { stop, counts, thread: Some(thread) }
    }

    /// Packets sent so far.
    pub fn sent(&self) -> u64 {
        self.counts.sent.load(Ordering::Relaxed)
    }

    /// Genuine datagrams heard so far.
    pub fn heard(&self) -> u64 {
        self.counts.heard.load(Ordering::Relaxed)
    }
}

impl Drop for Forger {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !thread::panicking()
        {
            panic!("the forger failed");
        }
    }
}

struct Forging {
    /// Hears the group.
    ear: UdpSocket,
    mouth: UdpSocket,
    own: SocketAddr,
    group: SocketAddr,
    processes: Vec<SocketAddr>,
    heard: Vec<Vec<u8>>,
    connections: Vec<TcpStream>,
    rng: StdRng,
    counts: Arc<Counts>,
}

impl Forging {
    fn new(
        address: Ipv4Addr,
        group: SocketAddr,
        processes: Vec<SocketAddr>,
        seed: u64,
        counts: Arc<Counts>,
    ) -> Self {
        let SocketAddr::V4(multicast) = group else { panic!("{group} is no group") };
        let ear = UdpSocket::bind(group).unwrap();
        ear.join_multicast_v4(multicast.ip(), &address).unwrap();
        ear.set_nonblocking(true).unwrap();
        let mouth = UdpSocket::bind((address, 0)).unwrap();
        let own = mouth.local_addr().unwrap();
        let rng = data::rng(seed);
        Self { ear, mouth, own, group, processes, heard: Vec::new(), connections: Vec::new(), rng, counts }
    }

    fn until(mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            self.listen();
            let packet = self.packet();
            let to = match self.rng.random_range(0..=self.processes.len()) {
                0 => self.group,
                process => self.processes[process - 1],
            };
            // A host that is away refuses; that is its matter.
            if self.mouth.send_to(&packet, to).is_ok() {
                self.counts.sent.fetch_add(1, Ordering::Relaxed);
            }
            if self.rng.random_ratio(1, 30) {
                self.knock();
            }
            poll::pause(EVERY);
        }
    }

    /// Remembers what others said.
    fn listen(&mut self) {
        let mut datagram = [0; 2 * DATAGRAM_BYTES_MAX];
        while let Ok((len, from)) = self.ear.recv_from(&mut datagram) {
            if from == self.own {
                continue;
            }
            self.counts.heard.fetch_add(1, Ordering::Relaxed);
            let datagram = datagram[..len].to_vec();
            if self.heard.len() < HEARD_MAX {
                self.heard.push(datagram);
            } else {
                // The first half stays: old ones are sent again, too.
                let place = self.rng.random_range(HEARD_MAX / 2..HEARD_MAX);
                self.heard[place] = datagram;
            }
        }
    }

    fn packet(&mut self) -> Vec<u8> {
        let noise = |rng: &mut StdRng| {
            let mut noise = vec![0; rng.random_range(0..DATAGRAM_BYTES_MAX)];
            rng.fill_bytes(&mut noise);
            noise
        };
        if self.heard.is_empty() || self.rng.random_ratio(1, 5) {
            let mut packet = noise(&mut self.rng);
            if self.rng.random() && packet.len() > 8 {
                let (kind, code) = (self.rng.random_range(0..4), self.rng.random_range(0..70));
                packet[..8].copy_from_slice(&[b'D', b'O', b'S', b'M', 1, kind, code, 0]);
            }
            return packet;
        }
        let mut packet = self.heard[self.rng.random_range(0..self.heard.len())].clone();
        match self.rng.random_range(0..4) {
            0 if !packet.is_empty() => {
                let bit = self.rng.random_range(0..8 * packet.len());
                packet[bit / 8] ^= 1 << (bit % 8);
            }
            1 => packet.truncate(self.rng.random_range(0..=packet.len())),
            2 => packet.extend(noise(&mut self.rng)),
            // As it was.
            _ => {}
        }
        packet.truncate(DATAGRAM_BYTES_MAX);
        packet
    }

    /// Opens a connection, says something wrong, and stays for a while.
    fn knock(&mut self) {
        let process = self.processes[self.rng.random_range(0..self.processes.len())];
        let Ok(mut stream) = TcpStream::connect_timeout(&process, Duration::from_millis(200)) else { return };
        let mut words = b"DOSP\x01\0\x01\0".to_vec();
        words.extend(data::bytes(self.rng.random(), self.rng.random_range(0..300)));
        words.truncate(self.rng.random_range(0..=words.len()));
        // It may have closed already.
        let _ = stream.write_all(&words);
        if self.connections.len() < CONNECTIONS_MAX {
            self.connections.push(stream);
        } else {
            let place = self.rng.random_range(0..CONNECTIONS_MAX);
            drop(mem::replace(&mut self.connections[place], stream));
        }
    }
}
