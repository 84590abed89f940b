//! The seam between a network file system front end and a file system.
//!
//! [`Filesystem`] speaks in the terms of a file system and of RFC 1813 attributes; it knows nothing of XDR, RPC or
//! status numbers. `nfs` drives it from the wire; another front end (CIFS) may drive the same trait. Every call
//! carries its [`Caller`]: permissions are the file system's matter, because only it knows the attributes.

use std::fs::File;
use std::future::Future;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;

/// Longest file handle on the wire (RFC 1813 §2.4, `NFS3_FHSIZE`).
pub const HANDLE_BYTES_MAX: usize = 64;

/// A file handle: at most 64 opaque bytes that name one object of one export for as long as the object exists. None at
/// all are a handle on the wire as well, one that names nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Handle {
    len: u8,
    bytes: [u8; HANDLE_BYTES_MAX],
}

impl Handle {
    /// Takes at most 64 bytes; `None` for more.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > HANDLE_BYTES_MAX {
            return None;
        }
        let mut padded = [0; HANDLE_BYTES_MAX];
        padded[..bytes.len()].copy_from_slice(bytes);
        Some(Self { len: bytes.len() as u8, bytes: padded })
    }

    /// The bytes as they stand on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Who asks, as the wire said it: nothing is squashed yet, that depends on the export.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Address the call came from.
    pub address: IpAddr,
    /// User id of the AUTH_SYS credential; 65534 (nobody) under AUTH_NONE.
    pub uid: u32,
    /// Primary group id; 65534 under AUTH_NONE.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Groups,
    /// Names this very request: the same for a repetition of it over any connection and to either port of a pair.
    /// Zeros for a request that changes nothing.
    pub request: RequestKey,
}

/// Supplementary groups of a caller, at most 16 (RFC 5531 appendix A); held in place, so that a call costs no memory.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Groups {
    len: u8,
    ids: [u32; GROUPS_MAX],
}

/// Most supplementary groups of AUTH_SYS (RFC 5531 appendix A).
pub const GROUPS_MAX: usize = 16;

impl Groups {
    /// One more group. `false`, and no change, if there are 16.
    #[must_use]
    pub fn push(&mut self, id: u32) -> bool {
        let Some(place) = self.ids.get_mut(usize::from(self.len)) else { return false };
        *place = id;
        self.len += 1;
        true
    }
}

impl Deref for Groups {
    type Target = [u32];

    fn deref(&self) -> &[u32] {
        &self.ids[..usize::from(self.len)]
    }
}

/// The first 16.
impl FromIterator<u32> for Groups {
    fn from_iter<I: IntoIterator<Item = u32>>(ids: I) -> Self {
        let mut groups = Self::default();
        ids.into_iter().take(GROUPS_MAX).for_each(|id| _ = groups.push(id));
        groups
    }
}

impl std::fmt::Debug for Groups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Digest of the client's address, the RPC transaction id and the whole call. A file system that remembers the
/// answer under this key gives a repeated non-idempotent call its first answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RequestKey(pub [u8; 16]);

/// A point in time: seconds since the epoch (may be negative) and nanoseconds below 1,000,000,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    /// Whole seconds since 1970-01-01 UTC.
    pub seconds: i64,
    /// Nanoseconds of that second.
    pub nanos: u32,
}

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// A file with bytes.
    Regular,
    /// A folder of the storage center.
    Directory,
    /// A symbolic link.
    Symlink,
}

/// All attributes of an object (RFC 1813 §2.5, `fattr3`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// What the object is.
    pub kind: FileKind,
    /// Permission bits, 0 to 0o7777.
    pub mode: u32,
    /// Hard links; for a directory 2 and one for each subdirectory.
    pub links: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
    /// Bytes the object occupies.
    pub used: u64,
    /// Which file system the object belongs to.
    pub fsid: u64,
    /// Number of the object in it; never given to another object again.
    pub fileid: u64,
    /// Last access.
    pub accessed: Time,
    /// Last change of the contents.
    pub modified: Time,
    /// Last change of contents or attributes; grows with every change.
    pub changed: Time,
    /// When it came into being, or what somebody said of that. NFSv3 has no word for it.
    pub born: Time,
    /// What CIFS clients marked it with. NFSv3 has no word for them either.
    pub marks: Marks,
}

/// Marks of an object that mean something to programs of Windows alone (MS-FSCC 2.6): they are kept for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks(u32);

impl Marks {
    /// CIFS clients are not to write or remove it, whatever its mode says.
    pub const READ_ONLY: u32 = 0x1;
    /// Not shown to people who did not ask for such.
    pub const HIDDEN: u32 = 0x2;
    /// Belongs to an operating system.
    pub const SYSTEM: u32 = 0x4;
    /// Changed since the last backup, as every file is whose mark no backup took away.
    pub const ARCHIVE: u32 = 0x20;
    /// May be lost.
    pub const TEMPORARY: u32 = 0x100;
    /// Lies where it is slow to come by.
    pub const OFFLINE: u32 = 0x1000;
    /// Left out by searches.
    pub const NOT_INDEXED: u32 = 0x2000;
    const ALL: u32 = Self::READ_ONLY
        | Self::HIDDEN
        | Self::SYSTEM
        | Self::ARCHIVE
        | Self::TEMPORARY
        | Self::OFFLINE
        | Self::NOT_INDEXED;

    /// Those of these bits that are marks.
    pub const fn new(bits: u32) -> Self {
        Self(bits & Self::ALL)
    }

    /// Those of an object whose marks nobody has set.
    pub const fn usual(kind: FileKind) -> Self {
        match kind {
            FileKind::Regular => Self(Self::ARCHIVE),
            FileKind::Directory | FileKind::Symlink => Self(0),
        }
    }

    /// As bits.
    pub const fn bits(self) -> u32 {
        self.0
    }
}

/// The attributes by which a client sees whether somebody else changed an object meanwhile (`wcc_attr`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Before {
    /// Size in bytes.
    pub size: u64,
    /// Last change of the contents.
    pub modified: Time,
    /// Last change of contents or attributes.
    pub changed: Time,
}

impl From<&Attributes> for Before {
    fn from(attributes: &Attributes) -> Self {
        Self { size: attributes.size, modified: attributes.modified, changed: attributes.changed }
    }
}

/// Attributes of one object just before and just after a change, taken atomically with it (`wcc_data`).
/// A file system leaves out only what it could not learn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wcc {
    /// Just before.
    pub before: Option<Before>,
    /// Just after.
    pub after: Option<Attributes>,
}

/// What a changing call did, and the attributes around it: on success and on failure.
#[derive(Debug)]
pub struct Mutation<T> {
    /// The result itself.
    pub result: Result<T, FsError>,
    /// Of the object changed: the directory for name operations, the file for SETATTR, WRITE and COMMIT.
    pub wcc: Wcc,
}

/// What a RENAME did, with the attributes of both directories.
#[derive(Debug)]
pub struct Renamed {
    /// The result itself.
    pub result: Result<(), FsError>,
    /// Of the directory the object left.
    pub from: Wcc,
    /// Of the directory the object came to.
    pub to: Wcc,
}

/// How SETATTR sets a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SetTime {
    /// Leave it.
    #[default]
    Keep,
    /// To the server's present.
    ServerTime,
    /// To a given time.
    To(Time),
}

/// Attributes to set; `None` leaves one as it is (`sattr3`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetAttributes {
    /// Permission bits.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Size: truncates, or extends with zeros.
    pub size: Option<u64>,
    /// Last access.
    pub accessed: SetTime,
    /// Last change of the contents.
    pub modified: SetTime,
    /// When it came into being.
    pub born: SetTime,
    /// Marks, all of them.
    pub marks: Option<Marks>,
}

/// How CREATE treats a name that exists (RFC 1813 §3.3.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CreateHow {
    /// Take the existing regular file; of the attributes only the size applies to it, as in `open(2)`.
    Unchecked(SetAttributes),
    /// Refuse.
    Guarded(SetAttributes),
    /// Refuse unless the existing file was made with this verifier: exactly once, across repetitions.
    Exclusive([u8; 8]),
}

/// How durable a WRITE must be before its answer (`stable_how`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stability {
    /// May be lost in a crash, which changes the write verifier.
    Unstable,
    /// Data durable.
    DataSync,
    /// Data and attributes durable.
    FileSync,
}

/// What a WRITE did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Bytes taken, from the first on.
    pub count: u32,
    /// How durable they are.
    pub committed: Stability,
}

/// The rights ACCESS asks about (RFC 1813 §3.3.4); the same bits as on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Access(pub u32);

impl Access {
    /// Read a file or list a directory.
    pub const READ: u32 = 0x01;
    /// Look up a name in a directory.
    pub const LOOKUP: u32 = 0x02;
    /// Rewrite file data or change existing directory entries.
    pub const MODIFY: u32 = 0x04;
    /// Write new data or add directory entries.
    pub const EXTEND: u32 = 0x08;
    /// Delete an existing directory entry.
    pub const DELETE: u32 = 0x10;
    /// Execute a file.
    pub const EXECUTE: u32 = 0x20;
}

/// A piece of a READ's data, in order.
#[derive(Clone, Debug)]
pub enum Segment {
    /// Bytes in memory.
    Bytes(Bytes),
    /// Bytes of a file that nobody truncates or rewrites while this lives: they may go out by `sendfile`.
    File {
        /// The open file.
        file: Arc<File>,
        /// First byte, from the file's start.
        offset: u64,
        /// Length in bytes.
        len: u32,
    },
}

/// What a READ found.
#[derive(Clone, Debug)]
pub struct Read {
    /// The data in order; all lengths together are the count of the answer.
    pub data: Vec<Segment>,
    /// Whether the last byte of `data` is the last of the file, or the offset was at or past its end.
    pub eof: bool,
    /// The file's attributes.
    pub attributes: Attributes,
}

/// One entry of a directory, as a [`Listing`] takes it.
#[derive(Clone, Copy, Debug)]
pub struct DirEntry<'a> {
    /// Number of the object.
    pub fileid: u64,
    /// Its name, 1 to 255 bytes.
    pub name: &'a [u8],
    /// Names the place right behind this entry: valid for as long as the directory exists, whatever is added or
    /// removed meanwhile.
    pub cookie: u64,
    /// Handle and attributes, where they were asked for.
    pub object: Option<(&'a Handle, &'a Attributes)>,
}

/// Takes a part of a directory entry by entry, each straight to where it is wanted: nothing is held in between, and
/// only the taker knows how many entries it has room for.
pub trait Listing: Send {
    /// Comes once, before any entry: the directory itself, and the verifier to be given back with a cookie.
    fn begin(&mut self, directory: &Attributes, verifier: [u8; 8]);
    /// One entry, in order, beginning with `.` and `..`. `false`: it had no room, and no other is wanted.
    fn add(&mut self, entry: DirEntry<'_>) -> bool;
}

/// Which part of a directory is asked for.
#[derive(Clone, Copy, Debug)]
pub struct ListFrom {
    /// 0 for the beginning, else the cookie of the last entry seen.
    pub cookie: u64,
    /// As the first part of the listing gave it; zeros at the beginning.
    pub verifier: [u8; 8],
    /// Whether handles and attributes are wanted (READDIRPLUS).
    pub objects: bool,
}

/// Space and file counts (RFC 1813 §3.3.18).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes in all.
    pub bytes_total: u64,
    /// Bytes free.
    pub bytes_free: u64,
    /// Files in all.
    pub files_total: u64,
    /// Files that may still be made.
    pub files_free: u64,
}

/// What the file system can do (RFC 1813 §3.3.19, §3.3.20).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest READ.
    pub read_bytes_max: u32,
    /// Largest WRITE.
    pub write_bytes_max: u32,
    /// Largest file size.
    pub file_bytes_max: u64,
    /// Longest name.
    pub name_bytes_max: u32,
    /// Most hard links of a file.
    pub links_max: u32,
    /// Whether symbolic links can be made.
    pub symlinks: bool,
}

/// One line of the export list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// The path clients mount.
    pub path: String,
    /// Who may mount it, as `showmount -e` shows it: networks; empty for everybody.
    pub allowed: Vec<String>,
}

/// Why a call failed. Each is one `nfsstat3`; `nfs::v3::status` holds the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum FsError {
    /// The caller is not the owner.
    #[error("not owner")]
    NotOwner,
    /// No such name.
    #[error("no such file or directory")]
    NotFound,
    /// A disk or the storage center failed in a way that trying again does not mend.
    #[error("input/output error")]
    Io,
    /// The permission bits forbid it.
    #[error("permission denied")]
    AccessDenied,
    /// The name exists.
    #[error("file exists")]
    Exists,
    /// The name or handle is no directory.
    #[error("not a directory")]
    NotDirectory,
    /// The name or handle is a directory.
    #[error("is a directory")]
    IsDirectory,
    /// An argument makes no sense here.
    #[error("invalid argument")]
    Invalid,
    /// Past the largest file size.
    #[error("file too large")]
    FileTooLarge,
    /// No space left.
    #[error("no space left")]
    NoSpace,
    /// The export is read-only.
    #[error("read-only file system")]
    ReadOnly,
    /// The name is longer than 255 bytes.
    #[error("name too long")]
    NameTooLong,
    /// The directory has entries.
    #[error("directory not empty")]
    NotEmpty,
    /// The customer's quota is used up.
    #[error("quota exceeded")]
    QuotaExceeded,
    /// The object of this handle is gone.
    #[error("stale file handle")]
    Stale,
    /// Two objects of different exports in one call.
    #[error("crosses exports")]
    CrossDevice,
    /// These bytes are no handle of this server.
    #[error("bad file handle")]
    BadHandle,
    /// The guard of SETATTR does not match.
    #[error("object changed meanwhile")]
    NotSync,
    /// The cookie or its verifier is not one of this directory.
    #[error("bad cookie")]
    BadCookie,
    /// The storage center has no such thing (hard links, devices).
    #[error("not supported")]
    NotSupported,
    /// Not now: the storage center cannot be reached, or a bound is reached. The client tries again.
    #[error("try again later")]
    TryLater,
}

/// The result of a call that changes nothing.
pub type FsResult<T> = Result<T, FsError>;

/// A file system with several exports. Names are bytes, checked by the front end: 1 to 255 long, no `/`, no NUL;
/// `.` and `..` reach [`lookup`](Self::lookup) alone.
///
/// Every method may be called many times at once. A call that needs what is not at hand takes its time; one that
/// cannot be answered for now fails with [`FsError::TryLater`] rather than wait without bound.
pub trait Filesystem: Send + Sync + 'static {
    /// The export list.
    fn exports(&self) -> Vec<Export>;
    /// The handle of an export's root. `NotFound` for a path that is none; `AccessDenied` for a caller who may not.
    fn mount(&self, caller: &Caller, path: &str) -> impl Future<Output = FsResult<Handle>> + Send;
    /// Changes whenever writes that were not committed may have been lost.
    fn write_verifier(&self) -> [u8; 8];
    /// What the file system can do.
    fn limits(&self) -> Limits;
    /// Whether nobody may change an object because of the export it was reached through.
    fn is_read_only(&self, _caller: &Caller, _object: &Handle) -> bool {
        false
    }

    /// Attributes of an object.
    fn getattr(&self, caller: &Caller, object: &Handle) -> impl Future<Output = FsResult<Attributes>> + Send;
    /// Sets attributes; with a `guard` only if the object's change time equals it.
    fn setattr(
        &self,
        caller: &Caller,
        object: &Handle,
        set: SetAttributes,
        guard: Option<Time>,
    ) -> impl Future<Output = Mutation<()>> + Send;
    /// The object of a name; knows `.` and `..`.
    fn lookup(
        &self,
        caller: &Caller,
        dir: &Handle,
        name: &[u8],
    ) -> impl Future<Output = FsResult<(Handle, Attributes)>> + Send;
    /// Which of the wanted rights the caller has.
    fn access(
        &self,
        caller: &Caller,
        object: &Handle,
        wanted: Access,
    ) -> impl Future<Output = FsResult<(Access, Attributes)>> + Send;
    /// The text of a symbolic link.
    fn readlink(&self, caller: &Caller, link: &Handle) -> impl Future<Output = FsResult<Bytes>> + Send;
    /// Bytes of a file; fewer than asked only at its end.
    fn read(
        &self,
        caller: &Caller,
        file: &Handle,
        offset: u64,
        count: u32,
    ) -> impl Future<Output = FsResult<Read>> + Send;
    /// Writes bytes of a file.
    fn write(
        &self,
        caller: &Caller,
        file: &Handle,
        offset: u64,
        data: Bytes,
        stability: Stability,
    ) -> impl Future<Output = Mutation<Written>> + Send;
    /// Makes a file.
    fn create(
        &self,
        caller: &Caller,
        dir: &Handle,
        name: &[u8],
        how: CreateHow,
    ) -> impl Future<Output = Mutation<(Handle, Attributes)>> + Send;
    /// Makes a directory.
    fn mkdir(
        &self,
        caller: &Caller,
        dir: &Handle,
        name: &[u8],
        set: SetAttributes,
    ) -> impl Future<Output = Mutation<(Handle, Attributes)>> + Send;
    /// Makes a symbolic link.
    fn symlink(
        &self,
        caller: &Caller,
        dir: &Handle,
        name: &[u8],
        text: &[u8],
        set: SetAttributes,
    ) -> impl Future<Output = Mutation<(Handle, Attributes)>> + Send;
    /// Removes a file or symbolic link.
    fn remove(&self, caller: &Caller, dir: &Handle, name: &[u8])
    -> impl Future<Output = Mutation<()>> + Send;
    /// Removes an empty directory.
    fn rmdir(&self, caller: &Caller, dir: &Handle, name: &[u8]) -> impl Future<Output = Mutation<()>> + Send;
    /// Gives an object another name. What has that name is replaced if `replace`, a file by a file or an empty directory
    /// by a directory; else it is [`FsError::Exists`], unless it is the object itself.
    fn rename(
        &self,
        caller: &Caller,
        from_dir: &Handle,
        from_name: &[u8],
        to_dir: &Handle,
        to_name: &[u8],
        replace: bool,
    ) -> impl Future<Output = Renamed> + Send;
    /// Gives entries of a directory to `into` for as long as it takes them; whether it took the last one there is.
    /// After an error what it took is worth nothing.
    fn list(
        &self,
        caller: &Caller,
        dir: &Handle,
        from: ListFrom,
        into: &mut impl Listing,
    ) -> impl Future<Output = FsResult<bool>> + Send;
    /// Space and file counts.
    fn space(&self, caller: &Caller, object: &Handle) -> impl Future<Output = FsResult<Space>> + Send;
    /// Makes written bytes durable; `count` 0 means to the end.
    fn commit(
        &self,
        caller: &Caller,
        file: &Handle,
        offset: u64,
        count: u32,
    ) -> impl Future<Output = Mutation<()>> + Send;
}
