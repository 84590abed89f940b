//! The simulated machine: a tree of files in memory, what of it is on the disk, and what may happen to it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use protocol::digest::{Digest, ObjectHasher};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::isn::files::Entry;

/// What a disk writes whole or not at all, in bytes.
const SECTOR: usize = 512;

/// A file or folder; never reused.
pub type Inode = usize;

/// A mistake planted into the file system, as a disk would make it that left a step out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// An object's bytes are not synced before it gets its name.
    NoDataSync,
    /// An object is acknowledged before the folder with its name is synced.
    NoDirectorySync,
    /// Of a new folder only the folder itself is synced, not the one its own name is in.
    NoParentSync,
    /// The index is written before the object gets its name.
    IndexBeforeName,
    /// The index's transaction is not synced.
    NoIndexSync,
    /// Block digests are not synced before they get their name.
    NoListSync,
}

/// What a file is for, as its path says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// An object.
    Object,
    /// Block digests.
    List,
    /// The index.
    Index,
    /// Anything else.
    Other,
}

/// An error that strikes once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// EIO. What a sync was to write is never written.
    Io,
    /// ENOSPC, of an operation that may need room.
    Full,
}

/// Whether an operation needs room on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    /// It gives some back, if anything.
    No,
    /// On some file systems, at some times.
    Perhaps,
    /// A file grows.
    Yes,
}

/// How a machine stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The process ends; the machine goes on and remembers what was written.
    Kill,
    /// What is not on the disk is gone.
    PowerCut,
}

/// Whether an operation that changes something goes well.
enum Fate {
    Done,
    /// Done, but nobody learns of it.
    DoneLast,
    Failed(io::Error),
}

#[derive(Debug)]
enum Node {
    File(File),
    Folder(Folder),
}

#[derive(Debug)]
struct File {
    role: Role,
    now: Vec<u8>,
    disk: Vec<u8>,
    /// Sectors that differ, perhaps.
    dirty: BTreeSet<usize>,
    attribute: Option<Vec<u8>>,
    attribute_disk: Option<Vec<u8>>,
}

#[derive(Debug, Default)]
struct Folder {
    now: BTreeMap<OsString, Inode>,
    disk: BTreeMap<OsString, Inode>,
}

/// A change of names that is not on the disk yet: a name added, removed, or (a rename) both.
#[derive(Debug)]
struct Pending {
    add: Option<(Inode, OsString, Inode)>,
    remove: Option<(Inode, OsString)>,
}

/// All of it.
#[derive(Debug)]
pub struct World {
    nodes: Vec<Node>,
    pending: Vec<Pending>,
    rng: StdRng,
    /// Each start of the machine or of the process has a number; what was opened under an older one is dead.
    boot: u64,
    powered: bool,
    steps: u64,
    crash_at: Option<u64>,
    fault: Option<(u64, Fault)>,
    read_fault: Option<u64>,
    /// From which step on no file can grow.
    full_from: Option<u64>,
    /// An error struck since the last start that says something of the disk.
    is_harmed: bool,
    sabotage: Option<Sabotage>,
    /// Renames held back by [`Sabotage::IndexBeforeName`].
    held_back: Vec<(PathBuf, PathBuf)>,
    trace: Trace,
}

struct Trace(ObjectHasher);

impl std::fmt::Debug for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Trace")
    }
}

const ROOT: Inode = 0;

impl World {
    /// An empty disk at `/`.
    pub fn new(seed: u64, sabotage: Option<Sabotage>) -> Self {
        Self {
            nodes: vec![Node::Folder(Folder::default())],
            pending: Vec::new(),
            rng: StdRng::seed_from_u64(seed),
            boot: 0,
            powered: true,
            steps: 0,
            crash_at: None,
            fault: None,
            read_fault: None,
            full_from: None,
            is_harmed: false,
            sabotage,
            held_back: Vec::new(),
            trace: Trace(ObjectHasher::new()),
        }
    }

    /// The number of this start.
    pub fn boot(&self) -> u64 {
        self.boot
    }

    /// Stops everything `steps` changes from now, before or after the change takes place.
    pub fn crash_after(&mut self, steps: u64) {
        self.crash_at = Some(self.steps + steps);
    }

    /// Fails the first change it fits that is at least `steps` changes from now.
    pub fn fail_after(&mut self, steps: u64, fault: Fault) {
        self.fault = Some((self.steps + steps, fault));
    }

    /// Fails one read of an object, the `reads`th from now.
    pub fn fail_read_after(&mut self, reads: u64) {
        self.read_fault = Some(reads);
    }

    /// Nothing of what was arranged happens any more.
    pub fn calm(&mut self) {
        (self.crash_at, self.fault, self.read_fault) = (None, None, None);
    }

    /// No file can grow from that many steps on, whatever is started meanwhile.
    pub fn fill_after(&mut self, steps: u64) {
        self.full_from = Some(self.steps + steps);
    }

    /// Files can grow again.
    pub fn make_room(&mut self) {
        self.full_from = None;
    }

    /// Whether no file can grow.
    pub fn is_full(&self) -> bool {
        self.full_from.is_some_and(|from| self.steps >= from)
    }

    /// Whether something happened since the last start for which a disk may be taken out of use: a full one may not.
    pub fn is_harmed(&self) -> bool {
        self.is_harmed
    }

    /// Whether everything stands still.
    pub fn is_down(&self) -> bool {
        !self.powered
    }

    /// Starts again after a stop.
    pub fn start_again(&mut self, stop: Stop) {
        if stop == Stop::PowerCut {
            self.lose_what_is_not_on_the_disk();
        }
        self.note(&format!("start {stop:?}"));
        self.held_back.clear();
        self.calm();
        self.is_harmed = false;
        self.powered = true;
        self.boot += 1;
    }

    /// A digest of everything that was done and of how it went.
    pub fn trace(self) -> Digest {
        self.trace.0.finish().0.digest
    }

    fn note(&mut self, text: &str) {
        self.trace.0.update(text.as_bytes());
        self.trace.0.update(b"\n");
    }

    fn lose_what_is_not_on_the_disk(&mut self) {
        // Now everything, now nothing, now anything between reached the disk.
        let kept = [0.0, 0.1, 0.5, 0.9, 1.0][self.rng.random_range(0..5)];
        for change in std::mem::take(&mut self.pending) {
            let add = self.rng.random_bool(kept);
            // A rename never loses the file: the old name goes with the new one or after it.
            let remove = self.rng.random_bool(kept) && (add || change.add.is_none());
            if let Some((folder, name, inode)) = change.add.filter(|_| add) {
                self.folder_mut(folder).disk.insert(name, inode);
            }
            if let Some((folder, name)) = change.remove.filter(|_| remove) {
                self.folder_mut(folder).disk.remove(&name);
            }
        }
        for node in &mut self.nodes {
            match node {
                Node::Folder(folder) => folder.now = folder.disk.clone(),
                Node::File(file) => file.tear(kept, &mut self.rng),
            }
        }
    }

    /// Every operation that changes something passes here.
    fn step(&mut self, boot: u64, what: &str, about: &str, room: Room) -> Fate {
        if !self.powered || boot != self.boot {
            return Fate::Failed(io::Error::other("the machine stands still"));
        }
        self.steps += 1;
        self.note(&format!("{what} {about}"));
        match self.fault {
            Some((from, Fault::Io)) if self.steps >= from => {
                self.fault = None;
                self.is_harmed = true;
                self.note("EIO");
                return Fate::Failed(rustix::io::Errno::IO.into());
            }
            Some((from, Fault::Full)) if self.steps >= from && room != Room::No => {
                self.fault = None;
                self.note("ENOSPC");
                return Fate::Failed(rustix::io::Errno::NOSPC.into());
            }
            _ => {}
        }
        if self.is_full() && room == Room::Yes {
            self.note("ENOSPC");
            return Fate::Failed(rustix::io::Errno::NOSPC.into());
        }
        if self.crash_at.is_some_and(|at| self.steps >= at) {
            (self.powered, self.is_harmed) = (false, true);
            self.note("stop");
            return if self.rng.random_bool(0.5) {
                Fate::DoneLast
            } else {
                Fate::Failed(io::Error::other("the machine stopped"))
            };
        }
        Fate::Done
    }

    fn change(
        &mut self,
        boot: u64,
        what: &str,
        about: &str,
        room: Room,
        effect: impl FnOnce(&mut Self) -> io::Result<()>,
    ) -> io::Result<()> {
        match self.step(boot, what, about, room) {
            Fate::Failed(error) => Err(error),
            Fate::Done => effect(self),
            Fate::DoneLast => {
                effect(self)?;
                Err(io::Error::other("the machine stopped"))
            }
        }
    }

    fn reading(&self, boot: u64) -> io::Result<()> {
        if self.powered && boot == self.boot {
            Ok(())
        } else {
            Err(io::Error::other("the machine stands still"))
        }
    }

    // Names.

    fn folder(&self, inode: Inode) -> io::Result<&Folder> {
        match &self.nodes[inode] {
            Node::Folder(folder) => Ok(folder),
            Node::File(_) => Err(ErrorKind::NotADirectory.into()),
        }
    }

    fn folder_mut(&mut self, inode: Inode) -> &mut Folder {
        match &mut self.nodes[inode] {
            Node::Folder(folder) => folder,
            Node::File(_) => unreachable!("only folders have entries"),
        }
    }

    fn file(&self, inode: Inode) -> io::Result<&File> {
        match &self.nodes[inode] {
            Node::File(file) => Ok(file),
            Node::Folder(_) => Err(ErrorKind::IsADirectory.into()),
        }
    }

    fn file_mut(&mut self, inode: Inode) -> io::Result<&mut File> {
        match &mut self.nodes[inode] {
            Node::File(file) => Ok(file),
            Node::Folder(_) => Err(ErrorKind::IsADirectory.into()),
        }
    }

    fn find(&self, path: &Path) -> io::Result<Inode> {
        let mut inode = ROOT;
        for component in path.components() {
            if let Component::Normal(name) = component {
                inode = *self.folder(inode)?.now.get(name).ok_or(ErrorKind::NotFound)?;
            }
        }
        Ok(inode)
    }

    fn parent(&self, path: &Path) -> io::Result<(Inode, OsString)> {
        let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
        Ok((self.find(path.parent().ok_or(ErrorKind::InvalidInput)?)?, name.to_owned()))
    }

    fn add(&mut self, path: &Path, node: Node) -> io::Result<Inode> {
        let (folder, name) = self.parent(path)?;
        let inode = self.nodes.len();
        self.nodes.push(node);
        self.folder_mut(folder).now.insert(name.clone(), inode);
        self.pending.push(Pending { add: Some((folder, name, inode)), remove: None });
        Ok(inode)
    }

    /// Makes a file.
    pub fn create_new(&mut self, boot: u64, path: &Path) -> io::Result<Inode> {
        self.reading(boot)?;
        if self.find(path).is_ok() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        self.parent(path)?;
        self.change(boot, "create", &path.to_string_lossy(), Room::Perhaps, |world| {
            world.add(path, Node::File(File::new(role_of(path)))).map(|_| ())
        })?;
        self.find(path)
    }

    /// Finds a file or folder.
    pub fn open(&self, boot: u64, path: &Path) -> io::Result<Inode> {
        self.reading(boot)?;
        self.find(path)
    }

    /// Moves a file.
    pub fn rename(&mut self, boot: u64, from: &Path, to: &Path, replace: bool) -> io::Result<()> {
        self.reading(boot)?;
        let inode = self.find(from)?;
        self.parent(to)?;
        if !replace && self.find(to).is_ok() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let about = format!("{} {}", from.display(), to.display());
        let hold_back = self.sabotage == Some(Sabotage::IndexBeforeName)
            && self.file(inode)?.role == Role::Object
            && to.extension().is_some_and(|extension| extension == "MD5");
        self.change(boot, "rename", &about, Room::Perhaps, |world| {
            if hold_back {
                world.held_back.push((from.to_owned(), to.to_owned()));
                return Ok(());
            }
            world.rename_now(from, to)
        })
    }

    fn rename_now(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let inode = self.find(from)?;
        let (from_folder, from_name) = self.parent(from)?;
        let (to_folder, to_name) = self.parent(to)?;
        self.folder_mut(from_folder).now.remove(&from_name);
        self.folder_mut(to_folder).now.insert(to_name.clone(), inode);
        let add = Some((to_folder, to_name, inode));
        self.pending.push(Pending { add, remove: Some((from_folder, from_name)) });
        Ok(())
    }

    /// Removes a name.
    pub fn remove(&mut self, boot: u64, path: &Path) -> io::Result<()> {
        self.reading(boot)?;
        self.file(self.find(path)?)?;
        self.change(boot, "remove", &path.to_string_lossy(), Room::No, |world| {
            let (folder, name) = world.parent(path)?;
            world.folder_mut(folder).now.remove(&name);
            world.pending.push(Pending { add: None, remove: Some((folder, name)) });
            Ok(())
        })
    }

    /// Makes a folder, if it is missing.
    pub fn create_folder(&mut self, boot: u64, path: &Path) -> io::Result<()> {
        self.reading(boot)?;
        if self.find(path).is_ok() {
            return Ok(());
        }
        self.parent(path)?;
        self.change(boot, "mkdir", &path.to_string_lossy(), Room::Perhaps, |world| {
            world.add(path, Node::Folder(Folder::default())).map(|_| ())
        })
    }

    /// Names in a folder.
    pub fn list(&self, boot: u64, path: &Path) -> io::Result<Vec<Entry>> {
        self.reading(boot)?;
        let entries = &self.folder(self.find(path)?)?.now;
        let is_folder = |inode: &Inode| matches!(self.nodes[*inode], Node::Folder(_));
        let entry =
            |(name, inode): (&OsString, &Inode)| Entry { name: name.clone(), is_folder: is_folder(inode) };
        Ok(entries.iter().map(entry).collect())
    }

    /// Makes a folder's names durable.
    pub fn sync_directory(&mut self, boot: u64, path: &Path) -> io::Result<()> {
        self.reading(boot)?;
        let folder = self.find(path)?;
        self.folder(folder)?;
        // `/obj/ab/cd`
        let depth = path.components().count() - 1;
        let below_objects = path.components().any(|component| component.as_os_str() == "obj");
        let skip = below_objects
            && match self.sabotage {
                Some(Sabotage::NoDirectorySync) => true,
                Some(Sabotage::NoParentSync) => depth < 3,
                _ => false,
            };
        self.change(boot, "sync directory", &path.to_string_lossy(), Room::No, |world| {
            if !skip {
                world.settle(Some(folder));
            }
            Ok(())
        })
    }

    /// Puts changes of names onto the disk: those of one folder, or all.
    fn settle(&mut self, folder: Option<Inode>) {
        let concerns = |inode: Inode| folder.is_none_or(|folder| folder == inode);
        for mut change in std::mem::take(&mut self.pending) {
            let removed_here = change.remove.as_ref().is_some_and(|(inode, _)| concerns(*inode));
            // The old name goes only when the new one is there.
            if change.add.as_ref().is_some_and(|(inode, ..)| concerns(*inode) || removed_here)
                && let Some((inode, name, target)) = change.add.take()
            {
                self.folder_mut(inode).disk.insert(name, target);
            }
            if removed_here && let Some((inode, name)) = change.remove.take() {
                self.folder_mut(inode).disk.remove(&name);
            }
            if change.add.is_some() || change.remove.is_some() {
                self.pending.push(change);
            }
        }
    }

    /// Makes everything durable.
    pub fn sync_everything(&mut self, boot: u64) -> io::Result<()> {
        self.change(boot, "sync everything", "", Room::No, |world| {
            world.settle(None);
            for node in &mut world.nodes {
                if let Node::File(file) = node {
                    file.settle();
                    file.attribute_disk.clone_from(&file.attribute);
                }
            }
            Ok(())
        })
    }

    // Bytes.

    /// A file's length.
    pub fn length(&self, boot: u64, inode: Inode) -> io::Result<u64> {
        self.reading(boot)?;
        Ok(self.file(inode)?.now.len() as u64)
    }

    /// Reads.
    pub fn read(&mut self, boot: u64, inode: Inode, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.reading(boot)?;
        if self.file(inode)?.role == Role::Object
            && let Some(left) = self.read_fault
        {
            self.read_fault = left.checked_sub(1);
            if left == 0 {
                self.note("read EIO");
                return Err(rustix::io::Errno::IO.into());
            }
        }
        let offset = usize::try_from(offset).unwrap();
        let there = self.file(inode)?.now.get(offset..offset + bytes.len());
        bytes.copy_from_slice(there.ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    /// Writes at an offset, or at the end.
    pub fn write(&mut self, boot: u64, inode: Inode, bytes: &[u8], offset: Option<u64>) -> io::Result<()> {
        let offset = match offset {
            Some(offset) => usize::try_from(offset).unwrap(),
            None => self.file(inode)?.now.len(),
        };
        let grows = offset + bytes.len() > self.file(inode)?.now.len();
        let room = if grows { Room::Yes } else { Room::Perhaps };
        let about = format!("{inode} {offset} {}", bytes.len());
        self.change(boot, "write", &about, room, |world| {
            world.file_mut(inode)?.write(offset, bytes);
            Ok(())
        })
    }

    /// Cuts or extends.
    pub fn set_length(&mut self, boot: u64, inode: Inode, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).unwrap();
        let room = if length > self.file(inode)?.now.len() { Room::Yes } else { Room::No };
        self.change(boot, "set length", &format!("{inode} {length}"), room, |world| {
            let file = world.file_mut(inode)?;
            let old = file.now.len();
            file.now.resize(length, 0);
            file.dirty.extend(old / SECTOR..length.div_ceil(SECTOR));
            Ok(())
        })
    }

    /// A file's attribute.
    pub fn attribute(&self, boot: u64, inode: Inode) -> io::Result<Option<Vec<u8>>> {
        self.reading(boot)?;
        Ok(self.file(inode)?.attribute.clone())
    }

    /// Sets it.
    pub fn set_attribute(&mut self, boot: u64, inode: Inode, value: &[u8]) -> io::Result<()> {
        self.change(boot, "set attribute", &inode.to_string(), Room::Perhaps, |world| {
            world.file_mut(inode)?.attribute = Some(value.to_vec());
            Ok(())
        })
    }

    /// Makes a file's bytes and length durable.
    pub fn sync_data(&mut self, boot: u64, inode: Inode) -> io::Result<()> {
        let role = self.file(inode)?.role;
        let skip = matches!(
            (self.sabotage, role),
            (Some(Sabotage::NoDataSync), Role::Object)
                | (Some(Sabotage::NoListSync), Role::List)
                | (Some(Sabotage::NoIndexSync), Role::Index)
        );
        let faulty = self.fault;
        let synced = self.change(boot, "sync", &inode.to_string(), Room::No, |world| {
            if !skip {
                world.file_mut(inode)?.settle();
            }
            Ok(())
        });
        if synced.is_err() && faulty.is_some() && self.fault.is_none() {
            // Linux marks what it could not write as written.
            self.file_mut(inode)?.dirty.clear();
        }
        if synced.is_ok() && role == Role::Index {
            for (from, to) in std::mem::take(&mut self.held_back) {
                self.rename_now(&from, &to)?;
            }
        }
        synced
    }

    // From outside.

    /// Flips a bit of a file, in memory and on the disk.
    pub fn spoil(&mut self, path: &Path) {
        let inode = self.find(path).unwrap();
        let at = self.rng.random_range(0..self.file(inode).unwrap().now.len());
        let file = self.file_mut(inode).unwrap();
        file.now[at] ^= 1;
        if let Some(byte) = file.disk.get_mut(at) {
            *byte ^= 1;
        }
    }

    /// Removes a file for good.
    pub fn wipe(&mut self, path: &Path) {
        let (folder, name) = self.parent(path).unwrap();
        self.settle(Some(folder));
        self.folder_mut(folder).now.remove(&name);
        self.folder_mut(folder).disk.remove(&name);
    }
}

impl File {
    fn new(role: Role) -> Self {
        Self {
            role,
            now: Vec::new(),
            disk: Vec::new(),
            dirty: BTreeSet::new(),
            attribute: None,
            attribute_disk: None,
        }
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.now.len() < end {
            self.now.resize(end, 0);
        }
        self.now[offset..end].copy_from_slice(bytes);
        self.dirty.extend(offset / SECTOR..end.div_ceil(SECTOR));
    }

    fn settle(&mut self) {
        self.disk.resize(self.now.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            self.put(sector);
        }
    }

    /// Writes one sector to the disk, as far as the file reaches there.
    fn put(&mut self, sector: usize) {
        let start = sector * SECTOR;
        let end = (start + SECTOR).min(self.now.len()).min(self.disk.len());
        if start < end {
            self.disk[start..end].copy_from_slice(&self.now[start..end]);
        }
    }

    /// The power is cut: each sector that was written and not synced is on the disk or not, and so is the length.
    fn tear(&mut self, kept: f64, rng: &mut StdRng) {
        if self.now.len() != self.disk.len() && rng.random_bool(kept) {
            self.disk.resize(self.now.len(), 0);
        }
        for sector in std::mem::take(&mut self.dirty) {
            if rng.random_bool(kept) {
                self.put(sector);
            }
        }
        self.now.clone_from(&self.disk);
        if self.attribute != self.attribute_disk && rng.random_bool(kept) {
            self.attribute_disk.clone_from(&self.attribute);
        }
        self.attribute.clone_from(&self.attribute_disk);
    }
}

fn role_of(path: &Path) -> Role {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if name == "index.redb" {
        Role::Index
    } else if name.ends_with(".B3") {
        Role::List
    } else if path.parent().is_some_and(|folder| folder.ends_with("tmp")) {
        Role::Object
    } else {
        Role::Other
    }
}
