//! What the kernel can ask for, in the words of [`Filesystem`].

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use fuser::{FileAttr, INodeNo};
use nfs::filesystem::{
    Access, Attributes, Caller, CreateHow, Filesystem, FsError, FsResult, Handle, Limits, ListFrom, Listing,
    SetAttributes, Space, Stability,
};
use nfs::local::{bytes_of, patiently};

use crate::convert;
use crate::dos_attribute;
use crate::nodes::Nodes;

/// See the module.
#[derive(Debug)]
pub(crate) struct Tree<F> {
    filesystem: Arc<F>,
    /// By which the root is mounted.
    export: String,
    nodes: Mutex<Nodes>,
}

/// What is made in a folder.
#[derive(Clone, Debug)]
pub(crate) enum Make {
    File(CreateHow),
    Folder(SetAttributes),
    Symlink(Vec<u8>),
}

impl<F: Filesystem> Tree<F> {
    pub fn new(filesystem: Arc<F>, export: String) -> Self {
        Self { filesystem, export, nodes: Mutex::default() }
    }

    pub fn limits(&self) -> Limits {
        self.filesystem.limits()
    }

    pub fn tell(&self, number: INodeNo, handle: Handle) {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner).tell(number, handle);
    }

    pub fn forget(&self, number: INodeNo, times: u64) {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner).forget(number, times);
    }

    async fn handle(&self, caller: &Caller, number: INodeNo) -> FsResult<Handle> {
        if number == INodeNo::ROOT {
            return patiently(|| self.filesystem.mount(caller, &self.export)).await;
        }
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner).handle(number).ok_or(FsError::Stale)
    }

    /// Of an object that the kernel is told of herewith.
    fn told(&self, (handle, attributes): (Handle, Attributes)) -> FileAttr {
        let number = convert::number(attributes.fileid);
        self.tell(number, handle);
        convert::attributes(number, &attributes)
    }

    pub async fn getattr(&self, caller: &Caller, number: INodeNo) -> FsResult<FileAttr> {
        Ok(convert::attributes(number, &self.attributes(caller, number).await?))
    }

    async fn attributes(&self, caller: &Caller, number: INodeNo) -> FsResult<Attributes> {
        let object = self.handle(caller, number).await?;
        patiently(|| self.filesystem.getattr(caller, &object)).await
    }

    pub async fn dos_attribute(
        &self,
        caller: &Caller,
        number: INodeNo,
    ) -> FsResult<[u8; dos_attribute::BYTES]> {
        Ok(dos_attribute::value(&self.attributes(caller, number).await?))
    }

    pub async fn set_dos_attribute(&self, caller: &Caller, number: INodeNo, value: &[u8]) -> FsResult<()> {
        let now = self.attributes(caller, number).await?;
        let set = dos_attribute::set(value, &now).ok_or(FsError::NotSupported)?;
        if set != SetAttributes::default() {
            self.setattr(caller, number, set).await?;
        }
        Ok(())
    }

    pub async fn setattr(&self, caller: &Caller, number: INodeNo, set: SetAttributes) -> FsResult<FileAttr> {
        let object = self.handle(caller, number).await?;
        let changed = patiently(|| async {
            let mutation = self.filesystem.setattr(caller, &object, set.clone(), None).await;
            mutation.result.map(|()| mutation.wcc.after)
        });
        match changed.await? {
            Some(after) => Ok(convert::attributes(number, &after)),
            None => self.getattr(caller, number).await,
        }
    }

    pub async fn lookup(&self, caller: &Caller, parent: INodeNo, name: &[u8]) -> FsResult<FileAttr> {
        let folder = self.handle(caller, parent).await?;
        Ok(self.told(patiently(|| self.filesystem.lookup(caller, &folder, name)).await?))
    }

    pub async fn readlink(&self, caller: &Caller, number: INodeNo) -> FsResult<Bytes> {
        let link = self.handle(caller, number).await?;
        patiently(|| self.filesystem.readlink(caller, &link)).await
    }

    /// Refuses whoever has none of the rights in one of `wanted`.
    pub async fn check(&self, caller: &Caller, number: INodeNo, wanted: &[Access]) -> FsResult<()> {
        let object = self.handle(caller, number).await?;
        let all = Access(wanted.iter().fold(0, |all, any| all | any.0));
        let (granted, _) = patiently(|| self.filesystem.access(caller, &object, all)).await?;
        let has = |any: &Access| granted.0 & any.0 != 0;
        if wanted.iter().all(has) { Ok(()) } else { Err(FsError::AccessDenied) }
    }

    /// As much as is asked for, less only at the file's end.
    pub async fn read(&self, caller: &Caller, number: INodeNo, offset: u64, size: u32) -> FsResult<Vec<u8>> {
        let file = self.handle(caller, number).await?;
        let mut bytes = Vec::with_capacity(size as usize);
        while bytes.len() < size as usize {
            let Some(at) = offset.checked_add(bytes.len() as u64) else { break };
            let count = (size - bytes.len() as u32).min(self.limits().read_bytes_max);
            let read = patiently(|| self.filesystem.read(caller, &file, at, count)).await?;
            let before = bytes.len();
            for segment in read.data {
                let part = bytes_of(segment).await.map_err(|error| {
                    tracing::error!("cannot read what is in the cache: {error}");
                    FsError::Io
                })?;
                bytes.extend_from_slice(&part);
            }
            if read.eof || bytes.len() == before {
                break;
            }
        }
        bytes.truncate(size as usize);
        Ok(bytes)
    }

    /// How much was written: all of it, if the file system does not say that it had enough.
    pub async fn write(&self, caller: &Caller, number: INodeNo, offset: u64, data: Bytes) -> FsResult<u32> {
        let file = self.handle(caller, number).await?;
        let piece = data.slice(..data.len().min(self.limits().write_bytes_max as usize));
        let written = patiently(|| async {
            let (piece, stability) = (piece.clone(), Stability::Unstable);
            self.filesystem.write(caller, &file, offset, piece, stability).await.result
        });
        Ok(written.await?.count)
    }

    /// Of what was written before. Of a file that is gone there is nothing to keep.
    pub async fn commit(&self, caller: &Caller, number: INodeNo) -> FsResult<()> {
        let file = self.handle(caller, number).await?;
        match patiently(|| async { self.filesystem.commit(caller, &file, 0, 0).await.result }).await {
            Err(FsError::Stale) => Ok(()),
            done => done,
        }
    }

    pub async fn make(
        &self,
        caller: &Caller,
        parent: INodeNo,
        name: &[u8],
        make: &Make,
    ) -> FsResult<FileAttr> {
        let folder = self.handle(caller, parent).await?;
        let filesystem = &*self.filesystem;
        let made = patiently(|| async {
            let mutation = match make.clone() {
                Make::File(how) => filesystem.create(caller, &folder, name, how).await,
                Make::Folder(set) => filesystem.mkdir(caller, &folder, name, set).await,
                Make::Symlink(text) => {
                    filesystem.symlink(caller, &folder, name, &text, SetAttributes::default()).await
                }
            };
            mutation.result
        });
        Ok(self.told(made.await?))
    }

    pub async fn remove(&self, caller: &Caller, parent: INodeNo, name: &[u8]) -> FsResult<()> {
        let folder = self.handle(caller, parent).await?;
        patiently(|| async { self.filesystem.remove(caller, &folder, name).await.result }).await
    }

    pub async fn rmdir(&self, caller: &Caller, parent: INodeNo, name: &[u8]) -> FsResult<()> {
        let folder = self.handle(caller, parent).await?;
        patiently(|| async { self.filesystem.rmdir(caller, &folder, name).await.result }).await
    }

    pub async fn rename(
        &self,
        caller: &Caller,
        (from_parent, from): (INodeNo, &[u8]),
        (to_parent, to): (INodeNo, &[u8]),
        replace: bool,
    ) -> FsResult<()> {
        let from_folder = self.handle(caller, from_parent).await?;
        let to_folder = self.handle(caller, to_parent).await?;
        let renamed = patiently(|| async {
            self.filesystem.rename(caller, &from_folder, from, &to_folder, to, replace).await.result
        });
        renamed.await
    }

    /// Gives entries to `into` for as long as it takes them.
    pub async fn list(
        &self,
        caller: &Caller,
        number: INodeNo,
        from: ListFrom,
        into: &mut impl Listing,
    ) -> FsResult<()> {
        let folder = self.handle(caller, number).await?;
        // Not patiently: after a failure what was taken cannot be given back.
        self.filesystem.list(caller, &folder, from, into).await.map(drop)
    }

    /// What names the listing of a folder that begins now.
    pub async fn verifier(&self, caller: &Caller, number: INodeNo) -> FsResult<[u8; 8]> {
        let folder = self.handle(caller, number).await?;
        let from = ListFrom { cookie: 0, verifier: [0; 8], objects: false };
        let begun = patiently(|| async {
            let mut verifier = VerifierOnly::default();
            self.filesystem.list(caller, &folder, from, &mut verifier).await.map(|_| verifier.0)
        });
        begun.await
    }

    pub async fn space(&self, caller: &Caller, number: INodeNo) -> FsResult<Space> {
        let object = self.handle(caller, number).await?;
        patiently(|| self.filesystem.space(caller, &object)).await
    }
}

/// Takes no entry but the two that need no page of the folder: that there is one is known when the folder is open. Of a
/// listing that fails later, Samba tells its clients nothing: to them the folder would be empty.
#[derive(Default)]
struct VerifierOnly([u8; 8]);

impl Listing for VerifierOnly {
    fn begin(&mut self, _directory: &Attributes, verifier: [u8; 8]) {
        self.0 = verifier;
    }

    fn add(&mut self, entry: nfs::filesystem::DirEntry<'_>) -> bool {
        matches!(entry.name, b"." | b"..")
    }
}
