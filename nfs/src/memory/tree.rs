//! The tree itself: synchronous, one operation after the other.

use std::collections::HashMap;

use bytes::Bytes;

use super::node::{Content, Directory, EXECUTE, Node, READ, SET_GID, WRITE};
use crate::filesystem::{
    Access, Attributes, Before, Caller, CreateHow, DirEntry, FsError, FsResult, Handle, ListFrom, Listing,
    Mutation, SetAttributes, Space, Stability, Time, Wcc, Written,
};

/// Largest file: this is memory.
pub const FILE_BYTES_MAX: u64 = 1 << 30;
/// Bytes and files there are, as FSSTAT tells; nothing enforces them.
const SPACE: (u64, u64) = (1 << 36, 1 << 24);
/// Longest text of a symbolic link.
const LINK_BYTES_MAX: usize = 4095;
/// Ids of the first object; those below serve as cookies of `.` and `..`.
const FIRST_ID: u64 = 100;
/// Cookies of `.` and `..`; that of any other entry is its object's id.
const DOT: u64 = 1;
const DOT_DOT: u64 = 2;
/// Cookies never change their meaning, so their verifier never changes.
const COOKIE_VERIFIER: [u8; 8] = *b"cookies\0";
/// What the clock advances by at each change.
const TICK_NANOS: u32 = 1_000;

/// All objects.
#[derive(Debug)]
pub struct Tree {
    nodes: HashMap<u64, Node>,
    next_id: u64,
    now: Time,
}

impl Tree {
    /// `roots` empty directories, with ids from [`FIRST_ID`] on.
    pub fn new(roots: usize, start: Time) -> Self {
        let mut tree = Self { nodes: HashMap::new(), next_id: FIRST_ID, now: start };
        for fsid in 1..=roots as u64 {
            let id = tree.next_id;
            tree.next_id += 1;
            let content = Content::Directory(Directory::new(id));
            let node = Node {
                mode: 0o777,
                uid: 0,
                gid: 0,
                fsid,
                times: [start; 3],
                born: start,
                marks: None,
                verifier: None,
                content,
            };
            tree.nodes.insert(id, node);
        }
        tree
    }

    /// The handle of a root.
    pub fn root(&self, index: usize) -> FsResult<Handle> {
        handle(FIRST_ID + index as u64)
    }

    fn tick(&mut self) -> Time {
        self.now.nanos += TICK_NANOS;
        if self.now.nanos >= 1_000_000_000 {
            self.now = Time { seconds: self.now.seconds + 1, nanos: 0 };
        }
        self.now
    }

    fn id(&self, handle: &Handle) -> FsResult<u64> {
        let id = u64::from_be_bytes(handle.as_bytes().try_into().map_err(|_| FsError::BadHandle)?);
        if self.nodes.contains_key(&id) { Ok(id) } else { Err(FsError::Stale) }
    }

    fn node(&self, id: u64) -> FsResult<&Node> {
        self.nodes.get(&id).ok_or(FsError::Stale)
    }

    fn node_mut(&mut self, id: u64) -> FsResult<&mut Node> {
        self.nodes.get_mut(&id).ok_or(FsError::Stale)
    }

    fn directory_mut(&mut self, id: u64) -> FsResult<&mut Directory> {
        match &mut self.node_mut(id)?.content {
            Content::Directory(directory) => Ok(directory),
            _ => Err(FsError::NotDirectory),
        }
    }

    fn attributes(&self, id: u64) -> FsResult<Attributes> {
        let node = self.node(id)?;
        let subdirectories = match &node.content {
            Content::Directory(directory) => {
                directory.behind(0).filter(|(id, _)| self.node(*id).is_ok_and(Node::is_directory)).count()
            }
            _ => 0,
        };
        Ok(node.attributes(id, subdirectories as u32))
    }

    /// Carries out a change and takes the object's attributes before and after it.
    pub fn changing<T>(
        &mut self,
        object: &Handle,
        change: impl FnOnce(&mut Self) -> FsResult<T>,
    ) -> Mutation<T> {
        let before = self.getattr(object).ok().as_ref().map(Before::from);
        let result = change(self);
        Mutation { result, wcc: Wcc { before, after: self.getattr(object).ok() } }
    }

    /// See [`crate::filesystem::Filesystem::getattr`]; so with the other operations.
    pub fn getattr(&self, object: &Handle) -> FsResult<Attributes> {
        self.attributes(self.id(object)?)
    }

    pub fn setattr(
        &mut self,
        caller: &Caller,
        object: &Handle,
        set: &SetAttributes,
        guard: Option<Time>,
    ) -> FsResult<()> {
        let id = self.id(object)?;
        let node = self.node(id)?;
        if guard.is_some_and(|guard| guard != node.times[2]) {
            return Err(FsError::NotSync);
        }
        node.require_set(caller, set)?;
        self.apply(caller, id, set)?;
        // Whoever made the file exclusively has his answer and goes on to its attributes.
        self.node_mut(id)?.verifier = None;
        Ok(())
    }

    fn apply(&mut self, caller: &Caller, id: u64, set: &SetAttributes) -> FsResult<()> {
        let now = self.tick();
        let node = self.node_mut(id)?;
        if let (Some(size), Content::File(bytes)) = (set.size, &mut node.content) {
            if size > FILE_BYTES_MAX {
                return Err(FsError::FileTooLarge);
            }
            bytes.resize(size as usize, 0);
            node.touch(caller, now);
        }
        node.set(set, now);
        Ok(())
    }

    pub fn lookup(&self, caller: &Caller, dir: &Handle, name: &[u8]) -> FsResult<(Handle, Attributes)> {
        let id = self.id(dir)?;
        let node = self.node(id)?;
        let directory = node.directory()?;
        node.require(caller, EXECUTE)?;
        let found = match name {
            b"." => id,
            b".." => directory.parent,
            name => directory.get(name).ok_or(FsError::NotFound)?,
        };
        Ok((handle(found)?, self.attributes(found)?))
    }

    pub fn access(&self, caller: &Caller, object: &Handle, wanted: Access) -> FsResult<(Access, Attributes)> {
        let id = self.id(object)?;
        Ok((self.node(id)?.access(caller, wanted), self.attributes(id)?))
    }

    pub fn readlink(&self, link: &Handle) -> FsResult<Bytes> {
        match &self.node(self.id(link)?)?.content {
            Content::Symlink(text) => Ok(Bytes::copy_from_slice(text)),
            _ => Err(FsError::Invalid),
        }
    }

    pub fn read(
        &self,
        caller: &Caller,
        file: &Handle,
        offset: u64,
        count: u32,
    ) -> FsResult<(Bytes, bool, Attributes)> {
        let id = self.id(file)?;
        let node = self.node(id)?;
        let bytes = file_bytes(node)?;
        // Who may execute a file may read it: the client's system reads it to execute it (RFC 1813 §3.3.6).
        node.require_use(caller, READ).or_else(|_| node.require(caller, EXECUTE))?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let end = start.saturating_add(count as usize).min(bytes.len());
        Ok((Bytes::copy_from_slice(&bytes[start..end]), end == bytes.len(), self.attributes(id)?))
    }

    pub fn write(&mut self, caller: &Caller, file: &Handle, offset: u64, data: &[u8]) -> FsResult<Written> {
        let id = self.id(file)?;
        let node = self.node(id)?;
        file_bytes(node)?;
        node.require_use(caller, WRITE)?;
        let end = offset.saturating_add(data.len() as u64);
        if end > FILE_BYTES_MAX {
            return Err(FsError::FileTooLarge);
        }
        let written = Written { count: data.len() as u32, committed: Stability::FileSync };
        if data.is_empty() {
            return Ok(written);
        }
        let now = self.tick();
        let node = self.node_mut(id)?;
        if let Content::File(bytes) = &mut node.content {
            let (start, end) = (offset as usize, end as usize);
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[start..end].copy_from_slice(data);
        }
        node.touch(caller, now);
        Ok(written)
    }

    pub fn commit(&self, caller: &Caller, file: &Handle) -> FsResult<()> {
        let node = self.node(self.id(file)?)?;
        file_bytes(node)?;
        node.require_use(caller, WRITE)
    }

    pub fn create(
        &mut self,
        caller: &Caller,
        dir: &Handle,
        name: &[u8],
        how: CreateHow,
    ) -> FsResult<(Handle, Attributes)> {
        let dir = self.id(dir)?;
        let existing = self.child(caller, dir, name)?;
        let (set, verifier) = match (how, existing) {
            (CreateHow::Unchecked(set), Some(id)) => {
                let kept = SetAttributes { size: set.size, ..SetAttributes::default() };
                let node = self.node(id)?;
                file_bytes(node).map_err(|_| FsError::Exists)?;
                if kept.size.is_some() {
                    node.require_set(caller, &kept)?;
                    self.apply(caller, id, &kept)?;
                }
                return Ok((handle(id)?, self.attributes(id)?));
            }
            (CreateHow::Exclusive(verifier), Some(id)) if self.node(id)?.verifier == Some(verifier) => {
                return Ok((handle(id)?, self.attributes(id)?));
            }
            (_, Some(_)) => return Err(FsError::Exists),
            (CreateHow::Unchecked(set) | CreateHow::Guarded(set), None) => (set, None),
            (CreateHow::Exclusive(verifier), None) => (SetAttributes::default(), Some(verifier)),
        };
        self.make(caller, dir, name, &set, Content::File(Vec::new()), verifier)
    }

    pub fn mkdir(
        &mut self,
        caller: &Caller,
        dir: &Handle,
        name: &[u8],
        set: &SetAttributes,
    ) -> FsResult<(Handle, Attributes)> {
        let dir = self.id(dir)?;
        if self.child(caller, dir, name)?.is_some() {
            return Err(FsError::Exists);
        }
        self.make(caller, dir, name, set, Content::Directory(Directory::new(dir)), None)
    }

    pub fn symlink(
        &mut self,
        caller: &Caller,
        dir: &Handle,
        name: &[u8],
        text: &[u8],
        set: &SetAttributes,
    ) -> FsResult<(Handle, Attributes)> {
        let dir = self.id(dir)?;
        if self.child(caller, dir, name)?.is_some() {
            return Err(FsError::Exists);
        }
        if text.is_empty() || text.len() > LINK_BYTES_MAX {
            return Err(if text.is_empty() { FsError::NotFound } else { FsError::NameTooLong });
        }
        self.make(caller, dir, name, set, Content::Symlink(text.to_vec()), None)
    }

    /// The object of a name, for a caller who may look it up.
    fn child(&self, caller: &Caller, dir: u64, name: &[u8]) -> FsResult<Option<u64>> {
        let node = self.node(dir)?;
        let directory = node.directory()?;
        node.require(caller, EXECUTE)?;
        Ok(directory.get(name))
    }

    fn make(
        &mut self,
        caller: &Caller,
        dir: u64,
        name: &[u8],
        set: &SetAttributes,
        content: Content,
        verifier: Option<[u8; 8]>,
    ) -> FsResult<(Handle, Attributes)> {
        let parent = self.node(dir)?;
        parent.require(caller, WRITE | EXECUTE)?;
        let mode = match content {
            Content::File(_) => 0o644,
            Content::Directory(_) => 0o755,
            Content::Symlink(_) => 0o777,
        };
        let group = (parent.mode & SET_GID != 0).then_some(parent.gid);
        let inherited = if group.is_some() && matches!(content, Content::Directory(_)) { SET_GID } else { 0 };
        let (fsid, gid) = (parent.fsid, group.unwrap_or(caller.gid));
        let now = self.tick();
        let id = self.next_id;
        self.next_id += 1;
        let (times, born) = ([now; 3], now);
        let node = Node { mode, uid: caller.uid, gid, fsid, times, born, marks: None, verifier, content };
        self.nodes.insert(id, node);
        self.directory_mut(dir)?.insert(name, id);
        self.node_mut(dir)?.touch(caller, now);
        // Whoever may make an object may set what it begins with, but not give it away.
        let allowed = self.node(id)?.require_set(caller, &SetAttributes { mode: None, ..set.clone() });
        let set = match allowed {
            Ok(()) => set.clone(),
            Err(_) => SetAttributes { uid: None, gid: None, ..set.clone() },
        };
        self.apply(caller, id, &set)?;
        self.node_mut(id)?.mode |= inherited;
        Ok((handle(id)?, self.attributes(id)?))
    }

    pub fn remove(&mut self, caller: &Caller, dir: &Handle, name: &[u8]) -> FsResult<()> {
        let dir = self.changeable(caller, dir)?;
        let id = self.child(caller, dir, name)?.ok_or(FsError::NotFound)?;
        self.node(dir)?.require_removal(caller, self.node(id)?)?;
        if self.node(id)?.is_directory() {
            return Err(FsError::IsDirectory);
        }
        self.unlink(caller, dir, name, id)
    }

    pub fn rmdir(&mut self, caller: &Caller, dir: &Handle, name: &[u8]) -> FsResult<()> {
        let dir = self.changeable(caller, dir)?;
        let id = self.child(caller, dir, name)?.ok_or(FsError::NotFound)?;
        self.node(dir)?.require_removal(caller, self.node(id)?)?;
        if !self.node(id)?.directory()?.is_empty() {
            return Err(FsError::NotEmpty);
        }
        self.unlink(caller, dir, name, id)
    }

    /// A directory whose names the caller may change. He learns no name of another one.
    fn changeable(&self, caller: &Caller, dir: &Handle) -> FsResult<u64> {
        let id = self.id(dir)?;
        let node = self.node(id)?;
        node.directory()?;
        node.require(caller, WRITE | EXECUTE)?;
        Ok(id)
    }

    fn unlink(&mut self, caller: &Caller, dir: u64, name: &[u8], id: u64) -> FsResult<()> {
        let now = self.tick();
        self.directory_mut(dir)?.remove(name);
        self.node_mut(dir)?.touch(caller, now);
        self.nodes.remove(&id);
        Ok(())
    }

    pub fn rename(
        &mut self,
        caller: &Caller,
        (from_dir, from_name): (&Handle, &[u8]),
        (to_dir, to_name): (&Handle, &[u8]),
        replace: bool,
    ) -> FsResult<()> {
        let (from, to) = (self.id(from_dir)?, self.id(to_dir)?);
        let id = self.child(caller, from, from_name)?.ok_or(FsError::NotFound)?;
        let replaced = self.child(caller, to, to_name)?;
        let (from_node, to_node, moved) = (self.node(from)?, self.node(to)?, self.node(id)?);
        if from_node.fsid != to_node.fsid {
            return Err(FsError::CrossDevice);
        }
        from_node.require_removal(caller, moved)?;
        to_node.require(caller, WRITE | EXECUTE)?;
        if moved.is_directory() && self.is_within(to, id)? {
            return Err(FsError::Invalid);
        }
        if moved.is_directory() && from != to {
            // Its `..` is rewritten.
            moved.require(caller, WRITE)?;
        }
        if replaced == Some(id) {
            return Ok(());
        }
        if let Some(target) = replaced {
            if !replace {
                return Err(FsError::Exists);
            }
            let node = self.node(target)?;
            to_node.require_removal(caller, node)?;
            match (&moved.content, &node.content) {
                (Content::Directory(_), Content::Directory(names)) if !names.is_empty() => {
                    return Err(FsError::NotEmpty);
                }
                (Content::Directory(_), Content::Directory(_)) => {}
                (Content::Directory(_), _) => return Err(FsError::NotDirectory),
                (_, Content::Directory(_)) => return Err(FsError::IsDirectory),
                _ => {}
            }
            self.unlink(caller, to, to_name, target)?;
        }
        let now = self.tick();
        self.directory_mut(from)?.remove(from_name);
        self.directory_mut(to)?.insert(to_name, id);
        self.node_mut(from)?.touch(caller, now);
        self.node_mut(to)?.touch(caller, now);
        let moved = self.node_mut(id)?;
        moved.times[2] = now;
        if let Content::Directory(directory) = &mut moved.content {
            directory.parent = to;
        }
        Ok(())
    }

    /// Whether a directory is another or lies below it.
    fn is_within(&self, mut dir: u64, above: u64) -> FsResult<bool> {
        loop {
            let parent = self.node(dir)?.directory()?.parent;
            if dir == above || parent == dir {
                return Ok(dir == above);
            }
            dir = parent;
        }
    }

    pub fn list(
        &self,
        caller: &Caller,
        dir: &Handle,
        from: ListFrom,
        into: &mut impl Listing,
    ) -> FsResult<bool> {
        let id = self.id(dir)?;
        let node = self.node(id)?;
        let directory = node.directory()?;
        node.require(caller, READ)?;
        if from.cookie != 0 && from.verifier != COOKIE_VERIFIER {
            return Err(FsError::BadCookie);
        }
        let dots = [(DOT, id, &b"."[..]), (DOT_DOT, directory.parent, b"..")];
        let dots = dots.into_iter().filter(|(cookie, ..)| *cookie > from.cookie);
        let children = directory.behind(from.cookie).map(|(id, name)| (id, id, name));
        into.begin(&self.attributes(id)?, COOKIE_VERIFIER);
        for (cookie, id, name) in dots.chain(children) {
            let object = if from.objects { Some((handle(id)?, self.attributes(id)?)) } else { None };
            let object = object.as_ref().map(|(handle, attributes)| (handle, attributes));
            if !into.add(DirEntry { fileid: id, name, cookie, object }) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub fn space(&self, object: &Handle) -> FsResult<Space> {
        self.id(object)?;
        let bytes = |node: &Node| match &node.content {
            Content::File(bytes) => bytes.len() as u64,
            _ => 0,
        };
        let used: u64 = self.nodes.values().map(bytes).sum();
        let (bytes_total, files_total) = SPACE;
        Ok(Space {
            bytes_total,
            bytes_free: bytes_total.saturating_sub(used),
            files_total,
            files_free: files_total.saturating_sub(self.nodes.len() as u64),
        })
    }
}

fn handle(id: u64) -> FsResult<Handle> {
    Handle::new(&id.to_be_bytes()).ok_or(FsError::BadHandle)
}

/// The bytes of a file; the errors READ and WRITE give for other objects.
const fn file_bytes(node: &Node) -> FsResult<&Vec<u8>> {
    match &node.content {
        Content::File(bytes) => Ok(bytes),
        Content::Directory(_) => Err(FsError::IsDirectory),
        Content::Symlink(_) => Err(FsError::Invalid),
    }
}
