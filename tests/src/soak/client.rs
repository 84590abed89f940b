//! One client: a folder of its own, what must be in it, and operations drawn from a seed.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use nfs3_types::nfs3::*;
use rand::Rng;
use rand::rngs::StdRng;

use super::locking::lock_and_unlock;
use crate::data;
use crate::mount::Mount;
use crate::rpc::Credential;
use crate::site::Port;

/// Files of a client: some more are made, then one goes for each that comes.
const FILES_MAX: usize = 24;
/// Most files are small; each eighth spans several blocks of the cache.
const SMALL_BYTES: usize = 32 << 10;
const LARGE_BYTES: usize = 3 << 20;
const READ_BYTES: usize = 256 << 10;

/// Operations of one kind.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    /// How many.
    pub done: u64,
    /// Their time in all.
    pub total: Duration,
    /// The longest.
    pub longest: Duration,
}

impl Count {
    /// Adds those of another client.
    pub fn add(&mut self, other: &Self) {
        self.done += other.done;
        self.total += other.total;
        self.longest = self.longest.max(other.longest);
    }
}

struct File {
    handle: nfs_fh3,
    bytes: Vec<u8>,
}

/// See the module.
pub struct Client<'a> {
    port: &'a Port,
    number: u64,
    mount: Mount,
    dir: nfs_fh3,
    files: BTreeMap<String, File>,
    rng: StdRng,
    made: u64,
    counts: BTreeMap<&'static str, Count>,
}

type Done = Result<(), String>;

impl<'a> Client<'a> {
    /// Mounts and makes the folder.
    ///
    /// # Errors
    /// Either failed.
    pub fn start(port: &'a Port, number: u64) -> Result<Self, String> {
        let mut mount = mount(port, "/export")?;
        let root = mount.root();
        let dir = mount.mkdir(&root, folder(number).as_bytes()).map_err(said("MKDIR"))?;
        let (files, counts) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { port, number, mount, dir, files, rng: data::rng(number), made: 0, counts })
    }

    /// Does one operation and checks its result.
    ///
    /// # Errors
    /// What was wrong, in one line.
    pub fn step(&mut self) -> Done {
        let start = Instant::now();
        let (what, done) = match self.rng.random_range(0..100) {
            _ if self.files.is_empty() => ("CREATE + WRITE + COMMIT", self.create()),
            0..25 => ("GETATTR", self.getattr()),
            25..40 => ("LOOKUP", self.look_up()),
            40..45 => ("READDIRPLUS", self.list()),
            45..75 => ("READ, verified", self.read()),
            75..83 => ("WRITE + COMMIT", self.write()),
            83..88 if self.files.len() < FILES_MAX => ("CREATE + WRITE + COMMIT", self.create()),
            83..90 => ("REMOVE", self.remove()),
            90..92 => ("RENAME", self.rename()),
            92..94 => ("SETATTR of the size", self.truncate()),
            94..96 => ("LOCK + UNLOCK", self.lock()),
            96..98 => ("mount again", self.mount_again()),
            _ => ("SRL", self.srl()),
        };
        done.map_err(|error| format!("client {}, {what}: {error}", self.number))?;
        if self.mount.repeated > 0 {
            return Err(format!("client {}, {what}: a call had to be sent again", self.number));
        }
        let time = start.elapsed();
        self.counts.entry(what).or_default().add(&Count { done: 1, total: time, longest: time });
        Ok(())
    }

    /// Reads everything once more over a connection of its own; gives the counts.
    ///
    /// # Errors
    /// Something is not as it was written.
    pub fn compare(mut self, mount: Mount) -> Result<BTreeMap<&'static str, Count>, String> {
        self.mount = mount;
        self.list()?;
        for (name, file) in &self.files {
            let bytes = self.mount.read(&file.handle).map_err(said(name))?;
            check(bytes == file.bytes, || format!("{name} differs at the end"))?;
        }
        Ok(self.counts)
    }

    /// A file, by name.
    fn any(&mut self) -> String {
        let index = self.rng.random_range(0..self.files.len());
        self.files.keys().nth(index).cloned().unwrap_or_default()
    }

    fn getattr(&mut self) -> Done {
        let name = self.any();
        let file = &self.files[&name];
        let attributes = self.mount.getattr(&file.handle).map_err(said(&name))?;
        check(attributes.size == file.bytes.len() as u64, || format!("{name} has size {}", attributes.size))
    }

    fn look_up(&mut self) -> Done {
        let name = self.any();
        let found = self.mount.lookup(&self.dir, name.as_bytes()).map_err(said(&name))?;
        check(found == self.files[&name].handle, || format!("{name} is another file"))?;
        let absent = self.mount.lookup(&self.dir, b"absent").err();
        check(absent == Some(nfsstat3::NFS3ERR_NOENT), || format!("an absent name: {absent:?}"))
    }

    fn list(&mut self) -> Done {
        let entries = self.mount.readdirplus(&self.dir).map_err(said("the folder"))?;
        let mut listed: BTreeMap<Vec<u8>, u64> =
            entries.into_iter().map(|(name, attributes, _)| (name, attributes.size)).collect();
        let dots = (listed.remove(&b"."[..]), listed.remove(&b".."[..]));
        check(dots.0.is_some() && dots.1.is_some(), || "`.` or `..` is missing".to_owned())?;
        let expected: BTreeMap<Vec<u8>, u64> = self
            .files
            .iter()
            .map(|(name, file)| (name.clone().into_bytes(), file.bytes.len() as u64))
            .collect();
        check(listed == expected, || format!("{} entries are not the {} made", listed.len(), expected.len()))
    }

    fn read(&mut self) -> Done {
        let name = self.any();
        let file = &self.files[&name];
        let offset = self.rng.random_range(0..=file.bytes.len());
        let count = self.rng.random_range(0..=READ_BYTES);
        let end = (offset + count).min(file.bytes.len());
        let read = self.mount.read_at(&file.handle, offset as u64, count as u32).map_err(said(&name))?;
        check(read == (file.bytes[offset..end].to_vec(), end == file.bytes.len()), || {
            format!("{name}: {} wrong bytes at {offset}", read.0.len())
        })
    }

    fn write(&mut self) -> Done {
        let name = self.any();
        let file = self.files.get_mut(&name).ok_or("no file")?;
        let offset = self.rng.random_range(0..=file.bytes.len());
        let len = self.rng.random_range(1..=SMALL_BYTES);
        let bytes = data::bytes(self.rng.random(), len);
        let end = offset + len;
        if end > file.bytes.len() {
            file.bytes.resize(end, 0);
        }
        file.bytes[offset..end].copy_from_slice(&bytes);
        self.mount.write_durably(&file.handle, offset as u64, &bytes).map_err(said(&name))
    }

    fn create(&mut self) -> Done {
        self.made += 1;
        let name = format!("file {}", self.made);
        let most = if self.made.is_multiple_of(8) { LARGE_BYTES } else { SMALL_BYTES };
        let len = self.rng.random_range(0..=most);
        let bytes = data::bytes(self.rng.random(), len);
        let handle = self.mount.put(&self.dir, name.as_bytes(), &bytes).map_err(said(&name))?;
        self.files.insert(name, File { handle, bytes });
        Ok(())
    }

    fn remove(&mut self) -> Done {
        let name = self.any();
        self.mount.remove(&self.dir, name.as_bytes()).map_err(said(&name))?;
        let file = self.files.remove(&name).ok_or("no file")?;
        let gone = self.mount.getattr(&file.handle).err();
        check(gone == Some(nfsstat3::NFS3ERR_STALE), || format!("{name} was removed: {gone:?}"))
    }

    fn rename(&mut self) -> Done {
        let (from, to) = (self.any(), self.any());
        self.mount.rename(&self.dir, from.as_bytes(), &self.dir, to.as_bytes()).map_err(said(&from))?;
        let file = self.files.remove(&from).ok_or("no file")?;
        self.files.insert(to, file);
        Ok(())
    }

    fn truncate(&mut self) -> Done {
        let name = self.any();
        let file = self.files.get_mut(&name).ok_or("no file")?;
        let size = self.rng.random_range(0..=file.bytes.len() + 100);
        file.bytes.resize(size, 0);
        self.mount.truncate(&file.handle, size as u64).map_err(said(&name))
    }

    fn lock(&mut self) -> Done {
        let name = self.any();
        let (svid, offset) = (1 + self.number as u32, self.rng.random_range(0..1_000));
        lock_and_unlock(self.port.mount_address(), &self.files[&name].handle, svid, offset)
            .map_err(said(&name))
    }

    fn mount_again(&mut self) -> Done {
        self.mount = mount(self.port, "/export")?;
        let dir = self.mount.walk(&folder(self.number)).map_err(said("the folder"))?;
        check(dir == self.dir, || "the folder is another one".to_owned())
    }

    fn srl(&mut self) -> Done {
        let name = self.any();
        let mut urls = mount(self.port, "/SRL")?;
        let text = urls.walk(&format!("{}/{name}", folder(self.number))).and_then(|file| urls.read(&file));
        let text = text.map_err(said(&name))?;
        check(text.starts_with(b"http://127.0.0.1:") && text.ends_with(b"\n"), || {
            format!("no SRL: {}", String::from_utf8_lossy(&text))
        })
    }
}

fn folder(number: u64) -> String {
    format!("client {number}")
}

fn mount(port: &Port, export: &str) -> Result<Mount, String> {
    Mount::new(port.nfs(), export, Credential::root()).map_err(said("mount"))
}

fn said<E: fmt::Debug>(what: &str) -> impl FnOnce(E) -> String {
    move |error| format!("{what}: {error:?}")
}

fn check(holds: bool, otherwise: impl FnOnce() -> String) -> Done {
    if holds { Ok(()) } else { Err(otherwise()) }
}
