//! A file system in memory: the reference against which a real one is compared, and a partner for trying clients.
//!
//! Simple before fast: one lock, one tree, no caches. Deterministic: its clock advances with every change, and nothing
//! else; the same calls give the same answers.

mod node;
mod tree;

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;

use crate::filesystem::{
    Access, Attributes, Caller, CreateHow, Export, Filesystem, FsError, FsResult, Handle, Limits, ListFrom,
    Listing, Mutation, Read, Renamed, Segment, SetAttributes, Space, Stability, Time, Written,
};
use tree::Tree;

/// The file system.
#[derive(Debug)]
pub struct MemoryFilesystem {
    exports: Vec<String>,
    tree: Mutex<Tree>,
    paused: watch::Sender<bool>,
    reads_are_files: bool,
    file_bytes_max: u64,
}

impl MemoryFilesystem {
    /// An empty root folder, open to everybody, for each export; time begins at `start`.
    pub fn new(exports: &[&str], start: Time) -> Self {
        Self {
            exports: exports.iter().map(|&path| path.to_owned()).collect(),
            tree: Mutex::new(Tree::new(exports.len(), start)),
            paused: watch::Sender::new(false),
            reads_are_files: false,
            file_bytes_max: tree::FILE_BYTES_MAX,
        }
    }

    /// Gives the data of reads as segments of files instead of bytes.
    #[must_use]
    pub fn with_reads_from_files(mut self) -> Self {
        self.reads_are_files = true;
        self
    }

    /// Takes no larger files; less than a GiB, for this is memory.
    #[must_use]
    pub fn with_file_bytes_max(mut self, file_bytes_max: u64) -> Self {
        self.file_bytes_max = file_bytes_max.min(tree::FILE_BYTES_MAX);
        self
    }

    /// From now on calls wait, or no longer wait, before they do anything.
    pub fn set_paused(&self, paused: bool) {
        self.paused.send_replace(paused);
    }

    async fn run<T>(&self, work: impl FnOnce(&mut Tree) -> T) -> T {
        // An error means that the sender is gone, but it is part of `self`.
        let _ = self.paused.subscribe().wait_for(|paused| !*paused).await;
        // A call that panicked may have left half of a change: whoever tests with this sees the panic first.
        work(&mut self.tree.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A file that holds `bytes` and has no name.
fn file_of(bytes: &[u8]) -> FsResult<Segment> {
    let make = || -> std::io::Result<std::fs::File> {
        let file = std::fs::File::from(rustix::fs::memfd_create("read", rustix::fs::MemfdFlags::CLOEXEC)?);
        std::os::unix::fs::FileExt::write_all_at(&file, bytes, 0)?;
        Ok(file)
    };
    let file = make().map_err(|_| FsError::Io)?;
    Ok(Segment::File { file: file.into(), offset: 0, len: bytes.len() as u32 })
}

impl Filesystem for MemoryFilesystem {
    fn exports(&self) -> Vec<Export> {
        self.exports.iter().map(|path| Export { path: path.clone(), allowed: Vec::new() }).collect()
    }

    async fn mount(&self, _caller: &Caller, path: &str) -> FsResult<Handle> {
        let index = self.exports.iter().position(|export| export == path).ok_or(FsError::NotFound)?;
        self.run(|tree| tree.root(index)).await
    }

    fn write_verifier(&self) -> [u8; 8] {
        *b"memory\0\0"
    }

    fn limits(&self) -> Limits {
        Limits {
            read_bytes_max: 1 << 20,
            write_bytes_max: 1 << 20,
            file_bytes_max: self.file_bytes_max,
            name_bytes_max: 255,
            links_max: 1,
            symlinks: true,
        }
    }

    async fn getattr(&self, _caller: &Caller, object: &Handle) -> FsResult<Attributes> {
        self.run(|tree| tree.getattr(object)).await
    }

    async fn setattr(
        &self,
        caller: &Caller,
        object: &Handle,
        set: SetAttributes,
        guard: Option<Time>,
    ) -> Mutation<()> {
        self.run(|tree| tree.changing(object, |tree| tree.setattr(caller, object, &set, guard))).await
    }

    async fn lookup(&self, caller: &Caller, dir: &Handle, name: &[u8]) -> FsResult<(Handle, Attributes)> {
        self.run(|tree| tree.lookup(caller, dir, name)).await
    }

    async fn access(
        &self,
        caller: &Caller,
        object: &Handle,
        wanted: Access,
    ) -> FsResult<(Access, Attributes)> {
        self.run(|tree| tree.access(caller, object, wanted)).await
    }

    async fn readlink(&self, _caller: &Caller, link: &Handle) -> FsResult<Bytes> {
        self.run(|tree| tree.readlink(link)).await
    }

    async fn read(&self, caller: &Caller, file: &Handle, offset: u64, count: u32) -> FsResult<Read> {
        let (bytes, eof, attributes) = self.run(|tree| tree.read(caller, file, offset, count)).await?;
        let segment = if self.reads_are_files { file_of(&bytes)? } else { Segment::Bytes(bytes) };
        Ok(Read { data: vec![segment], eof, attributes })
    }

    async fn write(
        &self,
        caller: &Caller,
        file: &Handle,
        offset: u64,
        data: Bytes,
        _stability: Stability,
    ) -> Mutation<Written> {
        self.run(|tree| tree.changing(file, |tree| tree.write(caller, file, offset, &data))).await
    }

    async fn create(
        &self,
        caller: &Caller,
        dir: &Handle,
        name: &[u8],
        how: CreateHow,
    ) -> Mutation<(Handle, Attributes)> {
        self.run(|tree| tree.changing(dir, |tree| tree.create(caller, dir, name, how))).await
    }

    async fn mkdir(
        &self,
        caller: &Caller,
        dir: &Handle,
        name: &[u8],
        set: SetAttributes,
    ) -> Mutation<(Handle, Attributes)> {
        self.run(|tree| tree.changing(dir, |tree| tree.mkdir(caller, dir, name, &set))).await
    }

    async fn symlink(
        &self,
        caller: &Caller,
        dir: &Handle,
        name: &[u8],
        text: &[u8],
        set: SetAttributes,
    ) -> Mutation<(Handle, Attributes)> {
        self.run(|tree| tree.changing(dir, |tree| tree.symlink(caller, dir, name, text, &set))).await
    }

    async fn remove(&self, caller: &Caller, dir: &Handle, name: &[u8]) -> Mutation<()> {
        self.run(|tree| tree.changing(dir, |tree| tree.remove(caller, dir, name))).await
    }

    async fn rmdir(&self, caller: &Caller, dir: &Handle, name: &[u8]) -> Mutation<()> {
        self.run(|tree| tree.changing(dir, |tree| tree.rmdir(caller, dir, name))).await
    }

    async fn rename(
        &self,
        caller: &Caller,
        from_dir: &Handle,
        from_name: &[u8],
        to_dir: &Handle,
        to_name: &[u8],
        replace: bool,
    ) -> Renamed {
        self.run(|tree| {
            // One change inside the other: each directory's attributes are taken before and after the whole.
            let outer = tree.changing(from_dir, |tree| {
                Ok(tree.changing(to_dir, |tree| {
                    tree.rename(caller, (from_dir, from_name), (to_dir, to_name), replace)
                }))
            });
            match outer.result {
                Ok(inner) => Renamed { result: inner.result, from: outer.wcc, to: inner.wcc },
                Err(error) => Renamed { result: Err(error), from: outer.wcc, to: Default::default() },
            }
        })
        .await
    }

    async fn list(
        &self,
        caller: &Caller,
        dir: &Handle,
        from: ListFrom,
        into: &mut impl Listing,
    ) -> FsResult<bool> {
        self.run(|tree| tree.list(caller, dir, from, into)).await
    }

    async fn space(&self, _caller: &Caller, object: &Handle) -> FsResult<Space> {
        self.run(|tree| tree.space(object)).await
    }

    async fn commit(&self, caller: &Caller, file: &Handle, _offset: u64, _count: u32) -> Mutation<()> {
        self.run(|tree| tree.changing(file, |tree| tree.commit(caller, file))).await
    }
}
