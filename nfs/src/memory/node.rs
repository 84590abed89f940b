//! One object of the tree: its attributes, what it holds, and who may do what with it.

use std::collections::BTreeMap;

use crate::filesystem::{
    Access, Attributes, Caller, FileKind, FsError, FsResult, Marks, SetAttributes, SetTime, Time,
};

/// Bits of one class (owner, group, others) of the permission bits.
pub const READ: u32 = 4;
/// See [`READ`].
pub const WRITE: u32 = 2;
/// See [`READ`].
pub const EXECUTE: u32 = 1;
/// In a directory with this bit only owners remove and rename.
const STICKY: u32 = 0o1000;
/// New entries of a directory with this bit take its group.
pub const SET_GID: u32 = 0o2000;
/// What goes when a file is given away, or somebody other than root changes it: rights lent by its owner.
const SET_ID: u32 = 0o6000;

/// What an object holds.
#[derive(Debug)]
pub enum Content {
    /// Bytes of a file.
    File(Vec<u8>),
    /// The text of a symbolic link.
    Symlink(Vec<u8>),
    /// Names of a directory.
    Directory(Directory),
}

/// The names of a directory, by name and in the order in which the objects were made.
#[derive(Debug)]
pub struct Directory {
    /// Id of the directory above; its own for a root.
    pub parent: u64,
    by_name: BTreeMap<Vec<u8>, u64>,
    by_id: BTreeMap<u64, Vec<u8>>,
}

impl Directory {
    /// Without names.
    pub const fn new(parent: u64) -> Self {
        Self { parent, by_name: BTreeMap::new(), by_id: BTreeMap::new() }
    }

    /// The object of a name.
    pub fn get(&self, name: &[u8]) -> Option<u64> {
        self.by_name.get(name).copied()
    }

    /// Gives a new name to an object.
    pub fn insert(&mut self, name: &[u8], id: u64) {
        self.by_name.insert(name.to_vec(), id);
        self.by_id.insert(id, name.to_vec());
    }

    /// Takes a name away.
    pub fn remove(&mut self, name: &[u8]) {
        if let Some(id) = self.by_name.remove(name) {
            self.by_id.remove(&id);
        }
    }

    /// Whether there are no names.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Objects with a greater id, with their names.
    pub fn behind(&self, id: u64) -> impl Iterator<Item = (u64, &[u8])> {
        self.by_id.range(id + 1..).map(|(&id, name)| (id, &name[..]))
    }
}

/// One object.
#[derive(Debug)]
pub struct Node {
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Which export it belongs to.
    pub fsid: u64,
    /// Last access, last change of the contents, last change at all.
    pub times: [Time; 3],
    /// When it was made, or what was said of that.
    pub born: Time,
    /// What it was marked with.
    pub marks: Option<Marks>,
    /// The verifier it was made with.
    pub verifier: Option<[u8; 8]>,
    /// What it holds.
    pub content: Content,
}

impl Node {
    /// All attributes.
    pub fn attributes(&self, id: u64, subdirectories: u32) -> Attributes {
        let (kind, links, size) = match &self.content {
            Content::File(bytes) => (FileKind::Regular, 1, bytes.len()),
            Content::Symlink(text) => (FileKind::Symlink, 1, text.len()),
            Content::Directory(_) => (FileKind::Directory, 2 + subdirectories, 4096),
        };
        let [accessed, modified, changed] = self.times;
        Attributes {
            kind,
            mode: self.mode,
            links,
            uid: self.uid,
            gid: self.gid,
            size: size as u64,
            used: size as u64,
            fsid: self.fsid,
            fileid: id,
            accessed,
            modified,
            changed,
            born: self.born,
            marks: self.marks.unwrap_or(Marks::usual(kind)),
        }
    }

    /// Names of a directory.
    pub const fn directory(&self) -> FsResult<&Directory> {
        match &self.content {
            Content::Directory(directory) => Ok(directory),
            _ => Err(FsError::NotDirectory),
        }
    }

    /// Whether it is a directory.
    pub const fn is_directory(&self) -> bool {
        matches!(self.content, Content::Directory(_))
    }

    /// Whether the caller owns it; root owns everything.
    pub const fn is_owner(&self, caller: &Caller) -> bool {
        caller.uid == 0 || caller.uid == self.uid
    }

    /// The bits of the caller's class.
    fn rights(&self, caller: &Caller) -> u32 {
        if caller.uid == 0 {
            let may_execute = self.is_directory() || self.mode & 0o111 != 0;
            return READ | WRITE | if may_execute { EXECUTE } else { 0 };
        }
        let class = if caller.uid == self.uid {
            6
        } else if is_member(caller, self.gid) {
            3
        } else {
            0
        };
        self.mode >> class & 7
    }

    /// Refuses a caller who lacks a right.
    pub fn require(&self, caller: &Caller, right: u32) -> FsResult<()> {
        if self.rights(caller) & right == right { Ok(()) } else { Err(FsError::AccessDenied) }
    }

    /// Refuses a caller who may not use a file. Its owner always may: a client checks the bits when a file is opened,
    /// and an open file stays usable whatever the bits become (RFC 1813 §4.4).
    pub fn require_use(&self, caller: &Caller, right: u32) -> FsResult<()> {
        if self.is_owner(caller) { Ok(()) } else { self.require(caller, right) }
    }

    /// Refuses a caller who may not take `child` out of this directory.
    pub fn require_removal(&self, caller: &Caller, child: &Self) -> FsResult<()> {
        self.require(caller, WRITE | EXECUTE)?;
        if self.mode & STICKY != 0 && !self.is_owner(caller) && !child.is_owner(caller) {
            return Err(FsError::NotOwner);
        }
        Ok(())
    }

    /// Which of the wanted rights the caller has.
    pub fn access(&self, caller: &Caller, wanted: Access) -> Access {
        let rights = self.rights(caller);
        let mut granted = 0;
        if rights & READ != 0 {
            granted |= Access::READ;
        }
        if rights & WRITE != 0 {
            granted |= Access::MODIFY | Access::EXTEND;
        }
        if self.is_directory() {
            if rights & EXECUTE != 0 {
                granted |= Access::LOOKUP;
            }
            if rights & WRITE != 0 {
                granted |= Access::DELETE;
            }
        } else if rights & EXECUTE != 0 {
            granted |= Access::EXECUTE;
        }
        Access(granted & wanted.0)
    }

    /// Refuses a caller who may not set these attributes, as POSIX `chmod`, `chown`, `utimensat` and `truncate` do.
    pub fn require_set(&self, caller: &Caller, set: &SetAttributes) -> FsResult<()> {
        let times = [set.accessed, set.modified, set.born];
        let sets_given_time = times.iter().any(|time| matches!(time, SetTime::To(_)));
        let chowns = set.uid.is_some_and(|uid| uid != self.uid) && caller.uid != 0;
        let chgrps = set.gid.is_some_and(|gid| gid != self.gid && caller.uid != 0 && !is_member(caller, gid));
        let needs_owner = set.mode.is_some() || set.uid.is_some() || set.gid.is_some() || sets_given_time;
        if chowns || chgrps || (needs_owner && !self.is_owner(caller)) {
            return Err(FsError::NotOwner);
        }
        let touches = times.contains(&SetTime::ServerTime);
        if set.size.is_some() || set.marks.is_some() || touches {
            self.require_use(caller, WRITE)?;
        }
        match (&self.content, set.size) {
            (Content::Directory(_), Some(_)) => Err(FsError::IsDirectory),
            (Content::Symlink(_), Some(_)) => Err(FsError::Invalid),
            _ => Ok(()),
        }
    }

    /// Sets attributes other than the size.
    pub fn set(&mut self, set: &SetAttributes, now: Time) {
        self.mode = set.mode.unwrap_or(self.mode);
        if (set.uid.is_some() || set.gid.is_some()) && !self.is_directory() {
            self.mode &= !SET_ID;
        }
        self.uid = set.uid.unwrap_or(self.uid);
        self.gid = set.gid.unwrap_or(self.gid);
        self.marks = set.marks.or(self.marks);
        let [accessed, modified, _] = &mut self.times;
        let times = [(accessed, set.accessed), (modified, set.modified), (&mut self.born, set.born)];
        for (time, how) in times {
            match how {
                SetTime::Keep => {}
                SetTime::ServerTime => *time = now,
                SetTime::To(given) => *time = given,
            }
        }
        self.times[2] = now;
    }

    /// Notes that the contents were changed.
    pub fn touch(&mut self, caller: &Caller, now: Time) {
        if caller.uid != 0 && !self.is_directory() {
            self.mode &= !SET_ID;
        }
        self.times[1] = now;
        self.times[2] = now;
    }
}

fn is_member(caller: &Caller, gid: u32) -> bool {
    caller.gid == gid || caller.groups.contains(&gid)
}
