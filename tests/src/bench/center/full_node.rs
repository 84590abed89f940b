//! A node with a great many objects on its one disk, to be started again and again: with its index, and without.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::digest::{Content, ObjectHasher};
use rustix::fs::XattrFlags;

use super::cluster::{Layout, object_path, serve, write_lone_node};
use super::pid;
use super::table::Sample;
use super::work::Finding;
use crate::bench::load::Done;
use crate::daemon::{Daemon, cpu_seconds};

/// How long a start may take: six times the goal.
const PATIENCE: Duration = Duration::from_secs(180);
/// Inodes and bytes that an object of some bytes takes, with a part of the folders'.
const INODES_PER_OBJECT: f64 = 1.1;
const BYTES_PER_OBJECT: u64 = 9 << 10;
/// What a node calls an object's description; `center/src/isn/layout.rs` says what it looks like.
const ATTRIBUTE: &str = "user.sc";

/// How a start is ended that shall leave everything in order.
const STOP: fn(&mut Daemon) = |node| {
    node.stop();
};

/// The node, stopped but while it is measured. Its objects go when this is dropped.
pub struct FullNode {
    node: Daemon,
    disk: PathBuf,
    /// Whether its index says what is on its disk: as the last start without it left it.
    index: Index,
}

enum Index {
    /// The node was not started with its objects yet.
    Unknown,
    Good,
    /// The start that was to make it failed, and so would the next.
    Bad,
}

impl FullNode {
    /// Makes the node and its objects.
    pub fn prepare(layout: Layout, dir: &Path, objects: u64) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        check_room(dir, objects)?;
        let (config, disk) = write_lone_node(layout, dir);
        // The node itself makes its disk what it shall be.
        let mut node = serve(&config);
        node.stop();
        let full = Self { node, disk, index: Index::Unknown };
        full.fill(objects)?;
        Ok(full)
    }

    /// Objects of eight bytes, folder by folder.
    fn fill(&self, objects: u64) -> io::Result<()> {
        eprintln!("  making {objects} objects");
        let mut contents: Vec<(Content, [u8; 8])> = (0..objects).map(describe).collect();
        contents.sort_unstable();
        let mut last = PathBuf::new();
        for (number, (content, bytes)) in contents.iter().enumerate() {
            let path = object_path(&self.disk, content.fingerprint);
            if let Some(folder) = path.parent().filter(|folder| **folder != *last) {
                fs::create_dir_all(folder)?;
                last = folder.to_owned();
            }
            let mut file = File::create_new(&path)?;
            file.write_all(bytes)?;
            let text = format!("{} {}", content.size, content.digest);
            rustix::fs::fsetxattr(&file, ATTRIBUTE, text.as_bytes(), XattrFlags::empty())?;
            if (number + 1) % 100_000 == 0 {
                eprintln!("  {} objects made", number + 1);
            }
        }
        // Nothing of this shall be written to the disk while a start is measured.
        eprintln!("  syncing");
        rustix::fs::syncfs(File::open(&self.disk)?)?;
        Ok(())
    }

    /// One start, up to the node's `ready`, and its end.
    ///
    /// # Errors
    /// It took longer than any use of it would bear, or the start that makes the index did.
    pub fn start(&mut self, finding: Finding) -> io::Result<Sample> {
        match finding {
            Finding::NoIndex => self.start_without_index(STOP),
            Finding::Index => {
                if let Index::Unknown = self.index {
                    eprintln!("  starting without index first");
                    self.start_without_index(STOP)?;
                }
                match self.index {
                    Index::Good => self.start_and(STOP),
                    _ => Err(io::Error::other("there is no index: making it took too long")),
                }
            }
            Finding::UnclosedIndex => {
                eprintln!("  starting without index first, to be killed when it is made");
                self.start_without_index(Daemon::kill_9)?;
                self.start_and(STOP)
            }
        }
    }

    fn start_without_index(&mut self, end: fn(&mut Daemon)) -> io::Result<Sample> {
        fs::remove_file(self.disk.join("index.redb"))?;
        let started = self.start_and(end);
        self.index = if started.is_ok() { Index::Good } else { Index::Bad };
        started
    }

    /// Starts it with what is on its disk, and ends it like this.
    fn start_and(&mut self, end: fn(&mut Daemon)) -> io::Result<Sample> {
        let took = self.node.restart_within(PATIENCE).ok_or_else(|| {
            let log = self.node.log_tail();
            io::Error::other(format!("the node is not ready within {PATIENCE:?}:\n{log}"))
        })?;
        let cpu_seconds = cpu_seconds(pid(&self.node));
        end(&mut self.node);
        Ok(Sample { done: Done { amount: 1.0, seconds: took.as_secs_f64() }, cpu_seconds: Some(cpu_seconds) })
    }
}

impl Drop for FullNode {
    fn drop(&mut self) {
        let Ok(folders) = fs::read_dir(self.disk.join("obj")) else { return };
        eprintln!("removing the objects of the full node");
        for (number, folder) in folders.flatten().enumerate() {
            // What cannot be removed now stays for the removal of the benchmark's whole directory.
            let _ = fs::remove_dir_all(folder.path());
            if (number + 1) % 64 == 0 {
                eprintln!("  {} of 256 folders removed", number + 1);
            }
        }
    }
}

/// The object whose bytes are a number.
fn describe(number: u64) -> (Content, [u8; 8]) {
    let bytes = number.to_be_bytes();
    let mut hasher = ObjectHasher::new();
    hasher.update(&bytes);
    (hasher.finish().0, bytes)
}

fn check_room(dir: &Path, objects: u64) -> io::Result<()> {
    let space = rustix::fs::statvfs(dir)?;
    let (inodes, bytes) = ((objects as f64 * INODES_PER_OBJECT) as u64, objects * BYTES_PER_OBJECT);
    if space.f_favail < inodes || space.f_bavail * space.f_frsize < bytes {
        return Err(io::Error::other(format!(
            "{} has no room for {objects} objects ({inodes} inodes, {bytes} bytes): set TMPDIR to another file system",
            dir.display()
        )));
    }
    Ok(())
}
