//! A wide area network between [`Network`]s: a router with a foot in each, in a namespace of its own, whose packets all
//! go through a thread of the test. That takes its time with each, loses some, and can be cut; the kernels that tests
//! run on know no other way to do so.
//!
//! What comes in at a foot is routed into a TUN device, from where [`Line`] has it, delays it or loses it; what is
//! written back to the device is routed to the foot it is for. The device asks for no offloading, so the kernel gives it
//! packets as they would be on a wire: cut to size, with their check sums.

use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rand::Rng;
use rand::rngs::StdRng;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::network::{Network, Subnet};
use crate::data;
use crate::netns::NetworkNamespace;

/// How long a packet is on its way: a round trip takes 40 ms longer than without the WAN.
pub const ONE_WAY: Duration = Duration::from_millis(20);
/// Packets of a hundred that are lost.
pub const LOSS_PERCENT: u32 = 1;
/// Packets on their way at most; more are lost. At 1,500 bytes each the line carries 600 MB a second.
const PACKETS_MAX: usize = 8_192;
/// Packets taken in a row before the other direction has its turn.
const BURST: usize = 64;
/// Largest packet.
const PACKET_BYTES_MAX: usize = 1_500;
/// How often the thread looks whether it is to end, when there is nothing to do.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const DEVICE: &str = "tun0";
/// The routing table of what comes in at a foot.
const INCOMING: &str = "100";

/// A wide area network. Dropped, it leaves nothing behind.
pub struct Wan {
    purpose: String,
    line: Arc<Mutex<Line>>,
    stop: Arc<AtomicBool>,
    carrier: Option<JoinHandle<()>>,
    router: NetworkNamespace,
    feet: usize,
}

/// What became of the packets so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// They arrived.
    pub passed: u64,
    /// Lost by chance.
    pub lost: u64,
    /// They met a cut.
    pub cut: u64,
    /// Too many were on their way.
    pub crowded_out: u64,
}

impl Wan {
    /// Joins no network yet. `seed` decides which packets are lost.
    pub fn new(purpose: &str, seed: u64) -> Self {
        let router = NetworkNamespace::new(&format!("{purpose}-wan"));
        let (line, stop) = (Arc::new(Mutex::new(Line::new(seed))), Arc::new(AtomicBool::new(false)));
        let device = router.entrance().inside(|| {
            let set = |name: &str, value| fs::write(format!("/proc/sys/net/ipv4/{name}"), value).unwrap();
            set("ip_forward", "1");
            // A packet comes from the device that came from a foot before.
            set("conf/all/rp_filter", "0");
            set("conf/default/rp_filter", "0");
            open_device().unwrap()
        });
        // The device loses packets that nobody takes in time; none should be lost but by the line.
        let queue = PACKETS_MAX.to_string();
        router.run_ok("ip", &["link", "set", DEVICE, "txqueuelen", &queue, "up"]);
        router.run_ok("ip", &["route", "add", "default", "dev", DEVICE, "table", INCOMING]);
        let told = (Arc::clone(&line), Arc::clone(&stop));
        let carrier = thread::spawn(move || carry(&device, &told.0, &told.1));
        Self { purpose: purpose.to_owned(), line, stop, carrier: Some(carrier), router, feet: 0 }
    }

    /// A network whose hosts reach those of the others by this WAN.
    pub fn network(&mut self, subnet: Subnet) -> Network {
        let mut network = Network::at(&self.purpose, subnet);
        let foot = format!("foot{}", self.feet);
        self.feet += 1;
        network.set_router(&self.router, &foot);
        self.router.run_ok("ip", &["rule", "add", "iif", &foot, "table", INCOMING]);
        network
    }

    /// Cuts a network off from all others: what is on its way to it or from it gets lost, in silence.
    pub fn cut(&self, network: Subnet) {
        lock(&self.line).cut.insert(network);
    }

    /// Undoes it.
    pub fn restore(&self, network: Subnet) {
        lock(&self.line).cut.remove(&network);
    }

    /// What became of the packets so far. Panics if packets are no longer carried.
    pub fn counts(&self) -> Counts {
        assert!(self.carrier.as_ref().is_some_and(|carrier| !carrier.is_finished()), "the WAN has ended");
        lock(&self.line).counts
    }
}

impl Drop for Wan {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(carrier) = self.carrier.take() {
            // If it panicked it has said why.
            let _ = carrier.join();
        }
    }
}

fn lock(line: &Mutex<Line>) -> MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The packets on their way. All take equally long, so they arrive in the order in which they were sent.
struct Line {
    /// With when each is due.
    packets: VecDeque<(Instant, Vec<u8>)>,
    cut: BTreeSet<Subnet>,
    rng: StdRng,
    counts: Counts,
}

impl Line {
    fn new(seed: u64) -> Self {
        let (packets, cut) = (VecDeque::new(), BTreeSet::new());
        Self { packets, cut, rng: data::rng(seed), counts: Counts::default() }
    }

    /// Sends a packet on its way. What is not IPv4 belongs to no network, and is nobody's concern.
    fn send(&mut self, now: Instant, packet: &[u8]) {
        let Some(is_cut) = self.is_cut(packet) else { return };
        // Drawn for each packet, so that a cut does not change which of the later ones are lost.
        let is_lost = self.rng.random_ratio(LOSS_PERCENT, 100);
        if is_cut {
            self.counts.cut += 1;
        } else if is_lost {
            self.counts.lost += 1;
        } else if self.packets.len() == PACKETS_MAX {
            self.counts.crowded_out += 1;
        } else {
            self.packets.push_back((now + ONE_WAY, packet.to_vec()));
        }
    }

    /// The next packet that has arrived.
    fn arrived(&mut self, now: Instant) -> Option<Vec<u8>> {
        while self.packets.front().is_some_and(|(due, _)| *due <= now) {
            let (_, packet) = self.packets.pop_front()?;
            if self.is_cut(&packet) == Some(false) {
                self.counts.passed += 1;
                return Some(packet);
            }
            self.counts.cut += 1;
        }
        None
    }

    /// How long until a packet arrives.
    fn next(&self, now: Instant) -> Option<Duration> {
        self.packets.front().map(|(due, _)| due.saturating_duration_since(now))
    }

    /// Whether an IPv4 packet is from or for a network that is cut off (RFC 791 §3.1: the addresses are the bytes from
    /// 12 to 19).
    fn is_cut(&self, packet: &[u8]) -> Option<bool> {
        let [from, to] = [12, 16].map(|at| packet.get(at..at + 4)?.first_chunk().copied().map(Subnet));
        let is_ipv4 = packet.first()? >> 4 == 4;
        is_ipv4.then_some(self.cut.contains(&from?) || self.cut.contains(&to?))
    }
}

/// Carries packets until it is to stop.
fn carry(mut device: &File, line: &Mutex<Line>, stop: &AtomicBool) {
    let mut packet = [0; PACKET_BYTES_MAX];
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..BURST {
            let Some(packet) = lock(line).arrived(Instant::now()) else { break };
            // Refused if there is no route to its host, as by any router.
            let _ = device.write(&packet);
        }
        let wait = lock(line).next(Instant::now()).unwrap_or(LOOK_EVERY).min(LOOK_EVERY);
        let wait = Timespec::try_from(wait).unwrap();
        poll(&mut [PollFd::new(&device, PollFlags::IN)], Some(&wait)).unwrap();
        for _ in 0..BURST {
            match device.read(&mut packet) {
                Ok(length) => lock(line).send(Instant::now(), &packet[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{DEVICE}: {error}"),
            }
        }
    }
}

/// Makes the TUN device in the thread's namespace; it goes with its file.
#[allow(unsafe_code, reason = "neither the standard library nor rustix knows TUN devices")]
fn open_device() -> io::Result<File> {
    let device =
        File::options().read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun")?;
    let mut name = [0; libc::IFNAMSIZ];
    for (to, from) in name.iter_mut().zip(DEVICE.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    // Packets alone, without a header of the device's own.
    let flags = libc::c_short::try_from(libc::IFF_TUN | libc::IFF_NO_PI).unwrap();
    let mut request =
        libc::ifreq { ifr_name: name, ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags: flags } };
    // SAFETY: the descriptor is open, and the request outlives the call, which reads it and may write the name.
    match unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF, &raw mut request) } {
        0 => Ok(device),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::network::{NORTH, SOUTH, WEST};

    /// The beginning of an IPv4 packet.
    fn packet(from: Subnet, to: Subnet, number: u16) -> Vec<u8> {
        let mut packet = vec![0x45; 12];
        for subnet in [from, to] {
            packet.extend(subnet.address(1).octets());
        }
        packet.extend(number.to_be_bytes());
        packet
    }

    #[test]
    fn packets_arrive_in_order_when_they_are_due_but_for_one_in_a_hundred() {
        let (mut line, start) = (Line::new(1), Instant::now());
        let packets: Vec<_> = (0..5_000).map(|number| packet(NORTH, SOUTH, number)).collect();
        packets.iter().for_each(|packet| line.send(start, packet));
        assert_eq!(line.arrived(start + ONE_WAY - Duration::from_nanos(1)), None);
        assert_eq!(line.next(start), Some(ONE_WAY));
        let arrived: Vec<_> = std::iter::from_fn(|| line.arrived(start + ONE_WAY)).collect();
        let lost = 5_000 - arrived.len() as u64;
        assert!((20..90).contains(&lost), "{lost}");
        assert!(arrived.is_sorted() && line.next(start).is_none());
        assert_eq!(line.counts, Counts { passed: 5_000 - lost, lost, ..Counts::default() });
    }

    #[test]
    fn a_cut_takes_what_is_on_its_way_and_only_of_that_network() {
        let (mut line, start) = (Line::new(2), Instant::now());
        let arrive = |line: &mut Line, cut: Option<Subnet>| {
            for (from, to) in [(NORTH, SOUTH), (SOUTH, NORTH), (SOUTH, WEST), (WEST, SOUTH)] {
                (0..100).for_each(|number| line.send(start, &packet(from, to, number)));
            }
            line.cut.extend(cut);
            std::iter::from_fn(|| line.arrived(start + ONE_WAY)).map(|packet| packet[12]).collect::<Vec<_>>()
        };
        let (before, lost) = (arrive(&mut line, Some(NORTH)), line.counts.lost);
        assert!(before.iter().all(|from| [SOUTH.0[0], WEST.0[0]].contains(from)) && before.len() > 180);
        assert_eq!(before.len() as u64 + lost + line.counts.cut, 400);
        assert!(arrive(&mut line, None).len() > 180, "what is sent after the cut");
        line.cut.clear();
        assert!(arrive(&mut line, None).len() > 370);
    }

    #[test]
    fn too_many_packets_are_crowded_out_and_noise_is_not_counted() {
        let (mut line, start) = (Line::new(3), Instant::now());
        let sent = PACKETS_MAX as u64 + 1_000;
        (0..sent).for_each(|_| line.send(start, &packet(NORTH, SOUTH, 0)));
        assert_eq!(line.packets.len(), PACKETS_MAX);
        assert_eq!(line.counts.crowded_out + line.counts.lost, 1_000);
        let before = line.counts;
        [&[][..], &[0x45; 19], &[0x60; 40]].iter().for_each(|noise| line.send(start, noise));
        assert_eq!(line.counts, before);
    }
}
