//! The works that store: one large object, and many small ones that are durable one by one.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::cluster::{Center, Manager};
use super::http::Connection;
use crate::bench::load::Done;
use crate::data;

/// Bytes of a durable small object.
pub const SMALL_BYTES: usize = 64 << 10;
/// Clients that store at once.
pub const CLIENTS: u64 = 8;
/// How long they do.
pub const RUN: Duration = Duration::from_secs(4);

/// Bytes of the large object, and of the random ones it is made of.
const LARGE_BYTES: usize = 1 << 30;
const RANDOM_BYTES: usize = 64 << 20;

/// What the large object is made of, made before any clock starts.
pub struct Large(Vec<u8>);

impl Large {
    /// Random bytes.
    pub fn random() -> Self {
        Self(data::bytes(3, RANDOM_BYTES))
    }
}

/// Stores one large object, different from any before: its bytes.
pub fn upload(center: &Center, large: &Large) -> io::Result<Done> {
    let mut connection = Connection::open(center.address(Manager::Caching))?;
    let mark = center.next_mark();
    let start = Instant::now();
    let fingerprint = center.put(&mut connection, LARGE_BYTES as u64, |stream| {
        stream.write_all(&mark)?;
        stream.write_all(&large.0[mark.len()..])?;
        (1..LARGE_BYTES / RANDOM_BYTES).try_for_each(|_| stream.write_all(&large.0))
    })?;
    let done = Done { amount: LARGE_BYTES as f64, seconds: start.elapsed().as_secs_f64() };
    check_spread(center, fingerprint)?;
    Ok(done)
}

/// Stores small objects, each different from any before, from all clients at once: the copies made.
pub fn store_many(center: &Center) -> io::Result<Done> {
    let stored = AtomicU64::new(0);
    let start = Instant::now();
    let store_some = || {
        let mut connection = Connection::open(center.address(Manager::Caching))?;
        let mut content = data::bytes(4, SMALL_BYTES);
        let mut last = None;
        while start.elapsed() < RUN {
            let mark = center.next_mark();
            content[..mark.len()].copy_from_slice(&mark);
            let put = center.put(&mut connection, SMALL_BYTES as u64, |stream| stream.write_all(&content));
            last = Some(put?);
            stored.fetch_add(1, Ordering::Relaxed);
        }
        last.map_or(Ok(()), |last| check_spread(center, last))
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(store_some)).collect();
        let ended = clients.into_iter().map(|client| client.join().expect("a client's thread ends"));
        ended.collect::<io::Result<()>>()
    })?;
    let copies = center.spread_wanted().disks as f64;
    Ok(Done { amount: stored.into_inner() as f64 * copies, seconds: start.elapsed().as_secs_f64() })
}

/// An object that lies on fewer disks than it shall would be stored too cheaply.
fn check_spread(center: &Center, fingerprint: protocol::digest::Fingerprint) -> io::Result<()> {
    let spread = center.spread(fingerprint);
    if spread == center.spread_wanted() {
        return Ok(());
    }
    Err(io::Error::other(format!("{fingerprint} lies on {spread:?}")))
}
