//! What stands beside the center where no other server does the same: the hash alone, and the disk alone.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::bench::load::Done;
use crate::bench::spread;
use crate::data;
use crate::tools::run_ok;

/// Folders of the bare store: as many as a disk of a node has at its first level.
const FOLDERS: u64 = 256;

/// Bytes that OpenSSL hashes with MD5 on one core, over some seconds.
pub fn md5() -> io::Result<Done> {
    let told = run_ok("openssl", &["speed", "-mr", "-bytes", "1048576", "-seconds", "3", "md5"]);
    let told = String::from_utf8_lossy(&told).into_owned();
    let rate = told.lines().find(|line| line.starts_with("+F:")).and_then(|line| line.rsplit(':').next());
    let rate = rate.and_then(|rate| rate.parse().ok());
    Ok(Done { amount: rate.ok_or_else(|| io::Error::other(told))?, seconds: 1.0 })
}

/// The least a durable store can do, from so many threads at once: write a file of `bytes` under a temporary name,
/// sync it, give it its name, sync the folder of the name. How many files.
pub fn store(dir: &Path, threads: u64, bytes: usize, run: Duration) -> io::Result<Done> {
    // From an earlier round: what is removed is no work of this one.
    if dir.exists() {
        fs::remove_dir_all(dir)?;
    }
    fs::create_dir_all(dir.join("tmp"))?;
    for folder in 0..FOLDERS {
        fs::create_dir_all(dir.join(format!("obj/{folder:02x}")))?;
    }
    // On a journaling file system this makes all the folders durable.
    File::open(dir.join("obj"))?.sync_all()?;
    let content = data::bytes(2, bytes);
    let next = AtomicU64::new(0);
    let start = Instant::now();
    let store_some = || {
        while start.elapsed() < run {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let temporary = dir.join(format!("tmp/{number}"));
            let mut file = File::create_new(&temporary)?;
            file.write_all(&content)?;
            file.sync_data()?;
            let folder = dir.join(format!("obj/{:02x}", spread(number as u32) % FOLDERS));
            fs::rename(temporary, folder.join(number.to_string()))?;
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(store_some)).collect();
        let ended = threads.into_iter().map(|thread| thread.join().expect("a thread of the bare store ends"));
        ended.collect::<io::Result<()>>()
    })?;
    Ok(Done { amount: next.into_inner() as f64, seconds: start.elapsed().as_secs_f64() })
}
