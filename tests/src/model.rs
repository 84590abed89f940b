//! A small reference file system: what NFSv3 promises, in the plainest data structures.
//!
//! It knows no caches, journals or processes. Every operation gives the result a correct server gives, so that a
//! test can run the same operations on both and compare.

use std::collections::BTreeMap;

use nfs3_types::nfs3::nfsstat3::{
    self, NFS3ERR_EXIST, NFS3ERR_INVAL, NFS3ERR_ISDIR, NFS3ERR_NOENT, NFS3ERR_NOTDIR, NFS3ERR_NOTEMPTY,
    NFS3ERR_STALE,
};

/// Index of an object; never used again.
pub type NodeId = usize;

/// The root directory.
pub const ROOT: NodeId = 0;

/// What an object holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A file's bytes.
    File(Vec<u8>),
    /// A directory's entries.
    Directory(BTreeMap<Vec<u8>, NodeId>),
    /// A symbolic link's text.
    Symlink(Vec<u8>),
}

#[derive(Clone, Debug)]
struct Node {
    body: Body,
    mode: u32,
    parent: NodeId,
}

/// The reference file system.
#[derive(Clone, Debug)]
pub struct Model {
    nodes: Vec<Option<Node>>,
}

type Outcome<T> = Result<T, nfsstat3>;

impl Default for Model {
    fn default() -> Self {
        let root = Node { body: Body::Directory(BTreeMap::new()), mode: 0o755, parent: ROOT };
        Self { nodes: vec![Some(root)] }
    }
}

impl Model {
    /// Every object that was ever made, whether it still exists or not.
    pub fn ever_made(&self) -> usize {
        self.nodes.len()
    }

    /// Objects that exist.
    pub fn existing(&self) -> impl Iterator<Item = NodeId> + '_ {
        (0..self.nodes.len()).filter(|&id| self.nodes[id].is_some())
    }

    /// An object's contents.
    pub fn body(&self, id: NodeId) -> Outcome<&Body> {
        Ok(&self.node(id)?.body)
    }

    /// An object's permission bits.
    pub fn mode(&self, id: NodeId) -> Outcome<u32> {
        Ok(self.node(id)?.mode)
    }

    /// Links of an object: for a directory 2 and one for each subdirectory.
    pub fn links(&self, id: NodeId) -> Outcome<u32> {
        Ok(match &self.node(id)?.body {
            Body::Directory(entries) => {
                2 + entries.values().filter(|&&child| self.is_directory(child)).count() as u32
            }
            Body::File(_) | Body::Symlink(_) => 1,
        })
    }

    /// LOOKUP.
    pub fn lookup(&self, dir: NodeId, name: &[u8]) -> Outcome<NodeId> {
        self.entries(dir)?.get(name).copied().ok_or(NFS3ERR_NOENT)
    }

    /// Makes an object under a free name.
    pub fn make(&mut self, dir: NodeId, name: &[u8], body: Body, mode: u32) -> Outcome<NodeId> {
        if self.entries(dir)?.contains_key(name) {
            return Err(NFS3ERR_EXIST);
        }
        let id = self.nodes.len();
        self.nodes.push(Some(Node { body, mode, parent: dir }));
        self.entries_mut(dir)?.insert(name.to_vec(), id);
        Ok(id)
    }

    /// CREATE UNCHECKED: takes an existing file as it is.
    pub fn create_unchecked(&mut self, dir: NodeId, name: &[u8], mode: u32) -> Outcome<NodeId> {
        let Some(&id) = self.entries(dir)?.get(name) else {
            return self.make(dir, name, Body::File(Vec::new()), mode);
        };
        match self.node(id)?.body {
            Body::File(_) => Ok(id),
            Body::Directory(_) | Body::Symlink(_) => Err(NFS3ERR_EXIST),
        }
    }

    /// REMOVE.
    pub fn remove(&mut self, dir: NodeId, name: &[u8]) -> Outcome<()> {
        let id = self.lookup(dir, name)?;
        if self.is_directory(id) {
            return Err(NFS3ERR_ISDIR);
        }
        self.entries_mut(dir)?.remove(name);
        self.nodes[id] = None;
        Ok(())
    }

    /// RMDIR.
    pub fn rmdir(&mut self, dir: NodeId, name: &[u8]) -> Outcome<()> {
        let id = self.lookup(dir, name)?;
        if !self.entries(id)?.is_empty() {
            return Err(NFS3ERR_NOTEMPTY);
        }
        self.entries_mut(dir)?.remove(name);
        self.nodes[id] = None;
        Ok(())
    }

    /// RENAME.
    pub fn rename(&mut self, from_dir: NodeId, from: &[u8], to_dir: NodeId, to: &[u8]) -> Outcome<()> {
        self.entries(from_dir)?;
        self.entries(to_dir)?;
        let moved = self.lookup(from_dir, from)?;
        let target = self.entries(to_dir)?.get(to).copied();
        if target == Some(moved) {
            return Ok(());
        }
        if self.is_directory(moved) && self.is_below(to_dir, moved) {
            return Err(NFS3ERR_INVAL);
        }
        if let Some(target) = target {
            match (self.is_directory(moved), self.is_directory(target)) {
                (true, true) if !self.entries(target)?.is_empty() => return Err(NFS3ERR_NOTEMPTY),
                (true, false) => return Err(NFS3ERR_NOTDIR),
                (false, true) => return Err(NFS3ERR_ISDIR),
                (true, true) | (false, false) => self.nodes[target] = None,
            }
        }
        self.entries_mut(from_dir)?.remove(from);
        self.entries_mut(to_dir)?.insert(to.to_vec(), moved);
        self.node_mut(moved)?.parent = to_dir;
        Ok(())
    }

    /// WRITE.
    pub fn write(&mut self, id: NodeId, offset: usize, data: &[u8]) -> Outcome<()> {
        let bytes = self.bytes_mut(id)?;
        if !data.is_empty() && bytes.len() < offset + data.len() {
            bytes.resize(offset + data.len(), 0);
        }
        let start = offset.min(bytes.len());
        bytes[start..].iter_mut().zip(data).for_each(|(byte, new)| *byte = *new);
        Ok(())
    }

    /// SETATTR of the size.
    pub fn truncate(&mut self, id: NodeId, size: usize) -> Outcome<()> {
        self.bytes_mut(id)?.resize(size, 0);
        Ok(())
    }

    /// SETATTR of the mode.
    pub fn set_mode(&mut self, id: NodeId, mode: u32) -> Outcome<()> {
        self.node_mut(id)?.mode = mode;
        Ok(())
    }

    /// Entries of a directory.
    pub fn entries(&self, dir: NodeId) -> Outcome<&BTreeMap<Vec<u8>, NodeId>> {
        match &self.node(dir)?.body {
            Body::Directory(entries) => Ok(entries),
            Body::File(_) | Body::Symlink(_) => Err(NFS3ERR_NOTDIR),
        }
    }

    fn entries_mut(&mut self, dir: NodeId) -> Outcome<&mut BTreeMap<Vec<u8>, NodeId>> {
        match &mut self.node_mut(dir)?.body {
            Body::Directory(entries) => Ok(entries),
            Body::File(_) | Body::Symlink(_) => Err(NFS3ERR_NOTDIR),
        }
    }

    fn bytes_mut(&mut self, id: NodeId) -> Outcome<&mut Vec<u8>> {
        match &mut self.node_mut(id)?.body {
            Body::File(bytes) => Ok(bytes),
            Body::Directory(_) => Err(NFS3ERR_ISDIR),
            Body::Symlink(_) => Err(NFS3ERR_INVAL),
        }
    }

    fn node(&self, id: NodeId) -> Outcome<&Node> {
        self.nodes[id].as_ref().ok_or(NFS3ERR_STALE)
    }

    fn node_mut(&mut self, id: NodeId) -> Outcome<&mut Node> {
        self.nodes[id].as_mut().ok_or(NFS3ERR_STALE)
    }

    fn is_directory(&self, id: NodeId) -> bool {
        matches!(&self.nodes[id], Some(Node { body: Body::Directory(_), .. }))
    }

    fn is_below(&self, mut dir: NodeId, ancestor: NodeId) -> bool {
        loop {
            if dir == ancestor {
                return true;
            }
            match &self.nodes[dir] {
                Some(node) if dir != ROOT => dir = node.parent,
                _ => return false,
            }
        }
    }
}
