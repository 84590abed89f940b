//! A file system of one object, which is whatever a call takes it for: it shows what reaches a file system, and how.

use std::future::Future;

use bytes::Bytes;
use nfs::filesystem::{
    Access, Attributes, Caller, CreateHow, Export, FileKind, Filesystem, FsError, FsResult, Handle, Limits,
    ListFrom, Listing, Marks, Mutation, Read, Renamed, Segment, SetAttributes, Space, Stability, Time, Wcc,
    Written,
};

/// What a test wants to know, or to happen.
pub trait Behaviour: Send + Sync + 'static {
    /// Called by GETATTR, LOOKUP and ACCESS before they are answered.
    fn before(&self, _caller: &Caller) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
    /// Called by READ before it is answered.
    fn before_read(&self, _offset: u64) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
    /// The data of a READ.
    fn read(&self, _offset: u64, _count: u32) -> Vec<Segment> {
        Vec::new()
    }
    /// The data of a WRITE.
    fn written(&self, _data: Bytes) {}
    /// The answer to a REMOVE.
    fn removed(&self, _caller: &Caller) -> FsResult<()> {
        Err(FsError::NotSupported)
    }
}

/// The file system.
pub struct Probe<B>(pub B);

/// Bytes of its handles.
pub const HANDLE: [u8; 32] = [7; 32];

const TIME: Time = Time { seconds: 1, nanos: 2 };
const ATTRIBUTES: Attributes = Attributes {
    kind: FileKind::Regular,
    mode: 0o644,
    links: 1,
    uid: 0,
    gid: 0,
    size: 1 << 40,
    used: 1 << 40,
    fsid: 1,
    fileid: 1,
    accessed: TIME,
    modified: TIME,
    changed: TIME,
    born: TIME,
    marks: Marks::usual(FileKind::Regular),
};

fn handle() -> Handle {
    Handle::new(&HANDLE).unwrap()
}

fn refused<T>() -> Mutation<T> {
    Mutation { result: Err(FsError::NotSupported), wcc: Wcc::default() }
}

impl<B: Behaviour> Filesystem for Probe<B> {
    fn exports(&self) -> Vec<Export> {
        Vec::new()
    }
    async fn mount(&self, _: &Caller, _: &str) -> FsResult<Handle> {
        Ok(handle())
    }
    fn write_verifier(&self) -> [u8; 8] {
        [1; 8]
    }
    fn limits(&self) -> Limits {
        Limits {
            read_bytes_max: 1 << 20,
            write_bytes_max: 1 << 20,
            file_bytes_max: 1 << 50,
            name_bytes_max: 255,
            links_max: 1,
            symlinks: true,
        }
    }
    async fn getattr(&self, caller: &Caller, _: &Handle) -> FsResult<Attributes> {
        self.0.before(caller).await;
        Ok(ATTRIBUTES)
    }
    async fn setattr(&self, _: &Caller, _: &Handle, _: SetAttributes, _: Option<Time>) -> Mutation<()> {
        refused()
    }
    async fn lookup(&self, caller: &Caller, _: &Handle, _: &[u8]) -> FsResult<(Handle, Attributes)> {
        self.0.before(caller).await;
        Ok((handle(), ATTRIBUTES))
    }
    async fn access(&self, caller: &Caller, _: &Handle, wanted: Access) -> FsResult<(Access, Attributes)> {
        self.0.before(caller).await;
        Ok((wanted, ATTRIBUTES))
    }
    async fn readlink(&self, _: &Caller, _: &Handle) -> FsResult<Bytes> {
        Err(FsError::Invalid)
    }
    async fn read(&self, _: &Caller, _: &Handle, offset: u64, count: u32) -> FsResult<Read> {
        self.0.before_read(offset).await;
        Ok(Read { data: self.0.read(offset, count), eof: false, attributes: ATTRIBUTES })
    }
    async fn write(
        &self,
        _: &Caller,
        _: &Handle,
        _: u64,
        data: Bytes,
        committed: Stability,
    ) -> Mutation<Written> {
        let count = data.len() as u32;
        self.0.written(data);
        Mutation {
            result: Ok(Written { count, committed }),
            wcc: Wcc { before: None, after: Some(ATTRIBUTES) },
        }
    }
    async fn create(&self, _: &Caller, _: &Handle, _: &[u8], _: CreateHow) -> Mutation<(Handle, Attributes)> {
        refused()
    }
    async fn mkdir(
        &self,
        _: &Caller,
        _: &Handle,
        _: &[u8],
        _: SetAttributes,
    ) -> Mutation<(Handle, Attributes)> {
        refused()
    }
    async fn symlink(
        &self,
        _: &Caller,
        _: &Handle,
        _: &[u8],
        _: &[u8],
        _: SetAttributes,
    ) -> Mutation<(Handle, Attributes)> {
        refused()
    }
    async fn remove(&self, caller: &Caller, _: &Handle, _: &[u8]) -> Mutation<()> {
        Mutation { result: self.0.removed(caller), wcc: Wcc::default() }
    }
    async fn rmdir(&self, _: &Caller, _: &Handle, _: &[u8]) -> Mutation<()> {
        refused()
    }
    async fn rename(&self, _: &Caller, _: &Handle, _: &[u8], _: &Handle, _: &[u8], _: bool) -> Renamed {
        Renamed { result: Err(FsError::NotSupported), from: Wcc::default(), to: Wcc::default() }
    }
    async fn list(&self, _: &Caller, _: &Handle, _: ListFrom, _: &mut impl Listing) -> FsResult<bool> {
        Err(FsError::NotDirectory)
    }
    async fn space(&self, _: &Caller, _: &Handle) -> FsResult<Space> {
        Err(FsError::NotSupported)
    }
    async fn commit(&self, _: &Caller, _: &Handle, _: u64, _: u32) -> Mutation<()> {
        Mutation { result: Ok(()), wcc: Wcc { before: None, after: Some(ATTRIBUTES) } }
    }
}
