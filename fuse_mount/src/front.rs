//! Who asks, and the answers: the trait of the library that speaks with the kernel.
//!
//! The library's thread only takes what is asked; the work is done by tasks, so that one slow answer holds up no other.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use fuser::{
    AccessFlags, BsdFileFlags, CopyFileRangeFlags, Errno, FileHandle, FopenFlags, Generation, INodeNo,
    InitFlags, KernelConfig, LockOwner, OpenAccMode, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate,
    ReplyData, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite,
    ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use nfs::filesystem::{
    Access, Attributes, Caller, CreateHow, DirEntry, Filesystem, FsError, Groups, ListFrom, Listing,
    RequestKey, SetAttributes,
};
use nfs::local::{self, Keys};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::convert::{self, BELIEVE, errno};
use crate::dos_attribute;
use crate::openings::{Opening, Openings};
use crate::tree::{Make, Tree};

/// Most requests that are worked on at once; the kernel keeps the others.
const REQUESTS_MAX: usize = 256;
/// Most requests that the kernel sends ahead of programs.
const BACKGROUND_MAX: u16 = 64;
/// In which space is told.
const BLOCK_BYTES: u32 = 4_096;
/// No number is ever given to another object.
const GENERATION: Generation = Generation(0);

/// See the module.
#[derive(Debug)]
pub(crate) struct Front<F> {
    tree: Arc<Tree<F>>,
    openings: Arc<Mutex<Openings>>,
    keys: Keys,
    places: Arc<Semaphore>,
    runtime: Handle,
}

impl<F: Filesystem> Front<F> {
    pub fn new(tree: Tree<F>, seed: [u8; 8], runtime: Handle) -> Self {
        let places = Arc::new(Semaphore::new(REQUESTS_MAX));
        Self { tree: Arc::new(tree), openings: Arc::default(), keys: Keys::new(seed), places, runtime }
    }

    /// Does `work` in a task, as soon as there is a place for it.
    fn asked<W: Future<Output = ()> + Send + 'static>(
        &self,
        request: &Request,
        work: impl FnOnce(Arc<Tree<F>>, Caller) -> W,
    ) {
        self.begun(caller(request, RequestKey::default()), work);
    }

    /// The same for a request that changes something.
    fn ordered<W: Future<Output = ()> + Send + 'static>(
        &self,
        request: &Request,
        work: impl FnOnce(Arc<Tree<F>>, Caller) -> W,
    ) {
        self.begun(caller(request, self.keys.next()), work);
    }

    /// Who opened a file, for a request about what is in it.
    fn opener(&self, request: &Request, file: FileHandle, key: RequestKey) -> Caller {
        match locked(&self.openings).get(file) {
            Some(opening) => Caller { request: key, ..opening.caller },
            None => caller(request, key),
        }
    }

    fn commit(&self, request: &Request, number: INodeNo, file: FileHandle, reply: ReplyEmpty) {
        let opener = self.opener(request, file, self.keys.next());
        self.begun(opener, |tree, caller| async move { empty(reply, tree.commit(&caller, number).await) });
    }

    fn begun<W: Future<Output = ()> + Send + 'static>(
        &self,
        caller: Caller,
        work: impl FnOnce(Arc<Tree<F>>, Caller) -> W,
    ) {
        let work = work(Arc::clone(&self.tree), caller);
        let place = self.runtime.block_on(Arc::clone(&self.places).acquire_owned());
        self.runtime.spawn(async move {
            work.await;
            drop(place);
        });
    }
}

fn locked(openings: &Mutex<Openings>) -> MutexGuard<'_, Openings> {
    openings.lock().unwrap_or_else(PoisonError::into_inner)
}

fn caller(request: &Request, key: RequestKey) -> Caller {
    Caller {
        address: local::ADDRESS,
        uid: request.uid(),
        gid: request.gid(),
        groups: if request.uid() == 0 { Groups::default() } else { groups(request.pid()) },
        request: key,
    }
}

/// Of a thread, which waits for the answer: of one that does not any more there are none.
fn groups(thread: u32) -> Groups {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Groups:")).unwrap_or_default();
    line.split_whitespace().filter_map(|group| group.parse().ok()).collect()
}

/// Of somebody who opens a file, and whether he is to write to it.
fn wanted(flags: OpenFlags) -> (&'static [Access], bool) {
    match flags.acc_mode() {
        OpenAccMode::O_RDONLY => (&[Access(Access::READ)], false),
        OpenAccMode::O_WRONLY => (&[Access(Access::MODIFY)], true),
        OpenAccMode::O_RDWR => (&[Access(Access::READ), Access(Access::MODIFY)], true),
    }
}

fn mode(mode: u32) -> SetAttributes {
    SetAttributes { mode: Some(mode & 0o7777), ..SetAttributes::default() }
}

fn entry(reply: ReplyEntry, found: Result<fuser::FileAttr, FsError>) {
    match found {
        Ok(attributes) => reply.entry(&BELIEVE, &attributes, GENERATION),
        Err(error) => reply.error(errno(error)),
    }
}

fn attr(reply: ReplyAttr, found: Result<fuser::FileAttr, FsError>) {
    match found {
        Ok(attributes) => reply.attr(&BELIEVE, &attributes),
        Err(error) => reply.error(errno(error)),
    }
}

fn empty(reply: ReplyEmpty, done: Result<(), FsError>) {
    match done {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(errno(error)),
    }
}

impl<F: Filesystem> fuser::Filesystem for Front<F> {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let needed =
            InitFlags::FUSE_DO_READDIRPLUS | InitFlags::FUSE_ASYNC_DIO | InitFlags::FUSE_PARALLEL_DIROPS;
        let too_old =
            |lacking| io::Error::other(format!("the kernel's FUSE lacks {lacking:?}: Linux 4.7 has it"));
        config.add_capabilities(needed).map_err(too_old)?;
        // Both are taken as far as the library allows.
        let _ = config.set_max_write(self.tree.limits().write_bytes_max);
        let _ = config.set_max_background(BACKGROUND_MAX);
        Ok(())
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let name = name.as_bytes().to_vec();
        self.asked(
            request,
            |tree, caller| async move { entry(reply, tree.lookup(&caller, parent, &name).await) },
        );
    }

    fn forget(&self, _request: &Request, number: INodeNo, times: u64) {
        self.tree.forget(number, times);
    }

    fn getattr(&self, request: &Request, number: INodeNo, _file: Option<FileHandle>, reply: ReplyAttr) {
        self.asked(request, |tree, caller| async move { attr(reply, tree.getattr(&caller, number).await) });
    }

    fn setattr(
        &self,
        request: &Request,
        number: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        accessed: Option<TimeOrNow>,
        modified: Option<TimeOrNow>,
        _changed: Option<SystemTime>,
        _file: Option<FileHandle>,
        _born: Option<SystemTime>,
        _changed_too: Option<SystemTime>,
        _backup: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mode = mode.map(|mode| mode & 0o7777);
        let (accessed, modified) = (convert::set_time(accessed), convert::set_time(modified));
        let set = SetAttributes { mode, uid, gid, size, accessed, modified, ..SetAttributes::default() };
        self.ordered(
            request,
            |tree, caller| async move { attr(reply, tree.setattr(&caller, number, set).await) },
        );
    }

    fn readlink(&self, request: &Request, number: INodeNo, reply: ReplyData) {
        self.asked(request, |tree, caller| async move {
            match tree.readlink(&caller, number).await {
                Ok(text) => reply.data(&text),
                Err(error) => reply.error(errno(error)),
            }
        });
    }

    fn mknod(
        &self,
        _request: &Request,
        _parent: INodeNo,
        _name: &OsStr,
        _mode: u32,
        _umask: u32,
        _device: u32,
        reply: ReplyEntry,
    ) {
        // Files come by `create`; of others the storage center has none.
        reply.error(Errno::EPERM);
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode_bits: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        let (name, make) = (name.as_bytes().to_vec(), Make::Folder(mode(mode_bits)));
        self.ordered(request, |tree, caller| async move {
            entry(reply, tree.make(&caller, parent, &name, &make).await);
        });
    }

    fn symlink(&self, request: &Request, parent: INodeNo, name: &OsStr, text: &Path, reply: ReplyEntry) {
        let name = name.as_bytes().to_vec();
        let make = Make::Symlink(text.as_os_str().as_bytes().to_vec());
        self.ordered(request, |tree, caller| async move {
            entry(reply, tree.make(&caller, parent, &name, &make).await);
        });
    }

    fn unlink(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let name = name.as_bytes().to_vec();
        self.ordered(request, |tree, caller| async move {
            empty(reply, tree.remove(&caller, parent, &name).await);
        });
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let name = name.as_bytes().to_vec();
        self.ordered(request, |tree, caller| async move {
            empty(reply, tree.rmdir(&caller, parent, &name).await);
        });
    }

    fn rename(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let replace = !flags.contains(RenameFlags::RENAME_NOREPLACE);
        if !RenameFlags::RENAME_NOREPLACE.contains(flags) {
            return reply.error(Errno::EINVAL);
        }
        let (from, to) = (name.as_bytes().to_vec(), new_name.as_bytes().to_vec());
        self.ordered(request, |tree, caller| async move {
            empty(reply, tree.rename(&caller, (parent, &from), (new_parent, &to), replace).await);
        });
    }

    fn open(&self, request: &Request, number: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let (access, is_written) = wanted(flags);
        let openings = Arc::clone(&self.openings);
        self.asked(request, |tree, caller| async move {
            match tree.check(&caller, number, access).await {
                Ok(()) => {
                    let file = locked(&openings).add(Opening { caller, is_written });
                    // No pages are kept by the kernel: NFS clients change the same file.
                    reply.opened(file, FopenFlags::FOPEN_DIRECT_IO);
                }
                Err(error) => reply.error(errno(error)),
            }
        });
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode_bits: u32,
        _umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let how = match flags & libc::O_EXCL {
            0 => CreateHow::Unchecked(mode(mode_bits)),
            _ => CreateHow::Guarded(mode(mode_bits)),
        };
        let (name, make) = (name.as_bytes().to_vec(), Make::File(how));
        let (_, is_written) = wanted(OpenFlags(flags));
        let openings = Arc::clone(&self.openings);
        self.ordered(request, |tree, caller| async move {
            match tree.make(&caller, parent, &name, &make).await {
                Ok(made) => {
                    let file = locked(&openings).add(Opening { caller, is_written });
                    reply.created(&BELIEVE, &made, GENERATION, file, FopenFlags::FOPEN_DIRECT_IO);
                }
                Err(error) => reply.error(errno(error)),
            }
        });
    }

    fn read(
        &self,
        request: &Request,
        number: INodeNo,
        file: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.begun(self.opener(request, file, RequestKey::default()), |tree, caller| async move {
            match tree.read(&caller, number, offset, size).await {
                Ok(bytes) => reply.data(&bytes),
                Err(error) => reply.error(errno(error)),
            }
        });
    }

    fn write(
        &self,
        request: &Request,
        number: INodeNo,
        file: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let data = Bytes::copy_from_slice(data);
        self.begun(self.opener(request, file, self.keys.next()), |tree, caller| async move {
            match tree.write(&caller, number, offset, data).await {
                Ok(count) => reply.written(count),
                Err(error) => reply.error(errno(error)),
            }
        });
    }

    /// At each close. As NFS clients do: what was written before a close outlives the port that took it.
    fn flush(
        &self,
        request: &Request,
        number: INodeNo,
        file: FileHandle,
        _owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        if locked(&self.openings).get(file).is_some_and(|opening| !opening.is_written) {
            return reply.ok();
        }
        self.commit(request, number, file, reply);
    }

    fn fsync(&self, request: &Request, number: INodeNo, file: FileHandle, _data: bool, reply: ReplyEmpty) {
        self.commit(request, number, file, reply);
    }

    fn release(
        &self,
        _request: &Request,
        _number: INodeNo,
        file: FileHandle,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        locked(&self.openings).remove(file);
        reply.ok();
    }

    fn opendir(&self, request: &Request, number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        self.asked(request, |tree, caller| async move {
            match tree.verifier(&caller, number).await {
                Ok(verifier) => reply.opened(FileHandle(u64::from_ne_bytes(verifier)), FopenFlags::empty()),
                Err(error) => reply.error(errno(error)),
            }
        });
    }

    fn readdirplus(
        &self,
        request: &Request,
        number: INodeNo,
        folder: FileHandle,
        offset: u64,
        reply: ReplyDirectoryPlus,
    ) {
        let from = ListFrom { cookie: offset, verifier: folder.0.to_ne_bytes(), objects: true };
        self.asked(request, |tree, caller| async move {
            let mut entries = Entries { tree: Arc::clone(&tree), reply };
            match tree.list(&caller, number, from, &mut entries).await {
                Ok(()) => entries.reply.ok(),
                Err(error) => entries.reply.error(errno(error)),
            }
        });
    }

    fn fsyncdir(
        &self,
        _request: &Request,
        _number: INodeNo,
        _folder: FileHandle,
        _data: bool,
        reply: ReplyEmpty,
    ) {
        // A change of names is durable before it is answered.
        reply.ok();
    }

    // Of extended attributes there is one alone.

    fn getxattr(&self, request: &Request, number: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        match size as usize {
            _ if name.as_bytes() != dos_attribute::NAME => reply.error(Errno::NO_XATTR),
            0 => reply.size(dos_attribute::BYTES as u32),
            1..dos_attribute::BYTES => reply.error(Errno::ERANGE),
            _ => self.asked(request, |tree, caller| async move {
                match tree.dos_attribute(&caller, number).await {
                    Ok(value) => reply.data(&value),
                    Err(error) => reply.error(errno(error)),
                }
            }),
        }
    }

    fn setxattr(
        &self,
        request: &Request,
        number: INodeNo,
        name: &OsStr,
        value: &[u8],
        _flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        if name.as_bytes() != dos_attribute::NAME {
            return reply.error(Errno::EOPNOTSUPP);
        }
        let value = value.to_vec();
        self.ordered(request, |tree, caller| async move {
            empty(reply, tree.set_dos_attribute(&caller, number, &value).await);
        });
    }

    // What the file system does not have. The kernel asks once, and does without or copies by itself from then on.

    fn listxattr(&self, _request: &Request, _number: INodeNo, _size: u32, reply: ReplyXattr) {
        reply.error(Errno::ENOSYS);
    }

    fn copy_file_range(
        &self,
        _request: &Request,
        _from: INodeNo,
        _from_file: FileHandle,
        _from_offset: u64,
        _to: INodeNo,
        _to_file: FileHandle,
        _to_offset: u64,
        _len: u64,
        _flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        reply.error(Errno::ENOSYS);
    }

    fn fallocate(
        &self,
        _request: &Request,
        _number: INodeNo,
        _file: FileHandle,
        _offset: u64,
        _length: u64,
        _mode: i32,
        reply: ReplyEmpty,
    ) {
        reply.error(Errno::ENOSYS);
    }

    fn lseek(
        &self,
        _request: &Request,
        _number: INodeNo,
        _file: FileHandle,
        _offset: i64,
        _whence: i32,
        reply: ReplyLseek,
    ) {
        reply.error(Errno::ENOSYS);
    }

    fn statfs(&self, request: &Request, number: INodeNo, reply: ReplyStatfs) {
        self.asked(request, |tree, caller| async move {
            match tree.space(&caller, number).await {
                Ok(space) => {
                    let block = u64::from(BLOCK_BYTES);
                    let (total, free) = (space.bytes_total / block, space.bytes_free / block);
                    let names = tree.limits().name_bytes_max;
                    let (files, files_free) = (space.files_total, space.files_free);
                    reply.statfs(total, free, free, files, files_free, BLOCK_BYTES, names, BLOCK_BYTES);
                }
                Err(error) => reply.error(errno(error)),
            }
        });
    }

    fn access(&self, request: &Request, number: INodeNo, mask: AccessFlags, reply: ReplyEmpty) {
        // The last is one right of files and another of folders.
        let rights = [
            (AccessFlags::R_OK, Access::READ),
            (AccessFlags::W_OK, Access::MODIFY),
            (AccessFlags::X_OK, Access::EXECUTE | Access::LOOKUP),
        ];
        let wanted = rights.into_iter().filter(|(flag, _)| mask.contains(*flag));
        let wanted: Vec<_> = wanted.map(|(_, right)| Access(right)).collect();
        self.asked(request, |tree, caller| async move {
            empty(reply, tree.check(&caller, number, &wanted).await);
        });
    }
}

/// Entries of a folder, straight into the kernel's buffer.
struct Entries<F> {
    tree: Arc<Tree<F>>,
    reply: ReplyDirectoryPlus,
}

impl<F: Filesystem> Listing for Entries<F> {
    fn begin(&mut self, _directory: &Attributes, _verifier: [u8; 8]) {}

    fn add(&mut self, entry: DirEntry<'_>) -> bool {
        // What vanished meanwhile.
        let Some((handle, attributes)) = entry.object else { return true };
        let number = convert::number(entry.fileid);
        let told = convert::attributes(number, attributes);
        let name = OsStr::from_bytes(entry.name);
        let is_full = self.reply.add(number, entry.cookie, name, &BELIEVE, &told, GENERATION);
        if !is_full && !matches!(entry.name, b"." | b"..") {
            self.tree.tell(number, *handle);
        }
        !is_full
    }
}
