//! A call of NFSv3 or MOUNT and its reply, in the words of RFC 1813 and of no client.

use nfs3_types::nfs3::nfsstat3;
use nfs3_types::xdr_codec::Unpack;

/// A file handle, as it stands on the wire.
pub type Handle = Vec<u8>;

/// `nfstime3`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Seconds since 1970.
    pub seconds: u32,
    /// Nanoseconds of that second.
    pub nanos: u32,
}

/// `fattr3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Attributes {
    pub kind: u32,
    pub mode: u32,
    pub links: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    pub used: u64,
    pub device: [u32; 2],
    pub fsid: u64,
    pub fileid: u64,
    pub accessed: Time,
    pub modified: Time,
    pub changed: Time,
}

/// `NF3REG`.
pub const REGULAR: u32 = 1;
/// `NF3DIR`.
pub const FOLDER: u32 = 2;
/// `NF3LNK`.
pub const LINK: u32 = 5;

/// `wcc_attr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Before {
    pub size: u64,
    pub modified: Time,
    pub changed: Time,
}

impl From<&Attributes> for Before {
    fn from(all: &Attributes) -> Self {
        Self { size: all.size, modified: all.modified, changed: all.changed }
    }
}

/// `wcc_data`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wcc {
    /// Attributes before the call.
    pub before: Option<Before>,
    /// Attributes after it.
    pub after: Option<Attributes>,
}

/// A time to set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SetTime {
    /// Not at all.
    #[default]
    Keep,
    /// To the server's time.
    Now,
    /// To this time.
    To(Time),
}

/// `sattr3`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Set {
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub size: Option<u64>,
    pub accessed: SetTime,
    pub modified: SetTime,
}

impl Set {
    /// The mode alone.
    pub fn mode(mode: u32) -> Self {
        Self { mode: Some(mode), ..Self::default() }
    }

    /// The size alone.
    pub fn size(size: u64) -> Self {
        Self { size: Some(size), ..Self::default() }
    }
}

/// `createhow3`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of RFC 1813")]
pub enum How {
    Unchecked(Set),
    Guarded(Set),
    Exclusive([u8; 8]),
}

/// `stable_how`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names are those of RFC 1813")]
pub enum Stable {
    Unstable = 0,
    DataSync = 1,
    FileSync = 2,
}

/// `diropargs3`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The folder.
    pub dir: Handle,
    /// The name in it.
    pub name: Vec<u8>,
}

/// Where a listing goes on, and how much of it is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// The folder.
    pub dir: Handle,
    /// 0, or the cookie of the last entry had.
    pub cookie: u64,
    /// As it came with that entry.
    pub verifier: [u8; 8],
    /// `dircount`; of READDIRPLUS alone.
    pub dircount: u32,
    /// `count` or `maxcount`.
    pub count: u32,
}

/// A call with its arguments in the order of RFC 1813.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of RFC 1813")]
pub enum Call {
    Null,
    Getattr(Handle),
    Setattr(Handle, Set, Option<Time>),
    Lookup(Place),
    Access(Handle, u32),
    Readlink(Handle),
    Read(Handle, u64, u32),
    /// File, offset, `count`, stability, data.
    Write(Handle, u64, u32, Stable, Vec<u8>),
    Create(Place, How),
    Mkdir(Place, Set),
    Symlink(Place, Set, Vec<u8>),
    /// The `ftype3`; without attributes and as device 0.
    Mknod(Place, u32),
    Remove(Place),
    Rmdir(Place),
    Rename(Place, Place),
    Link(Handle, Place),
    Readdir(List),
    Readdirplus(List),
    Fsstat(Handle),
    Fsinfo(Handle),
    Pathconf(Handle),
    Commit(Handle, u64, u32),
    Mnt(Vec<u8>),
    Dump,
    Umnt(Vec<u8>),
    Umntall,
    Export,
}

/// One entry of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Entry {
    pub fileid: u64,
    pub name: Vec<u8>,
    pub cookie: u64,
    pub attributes: Option<Attributes>,
    pub handle: Option<Handle>,
}

/// What came back. Which fields a procedure fills is [`audit`](super::audit)'s matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// `nfsstat3`; `mountstat3` has the same numbers.
    pub status: nfsstat3,
    /// The object found, made or mounted.
    pub handle: Option<Handle>,
    /// Of the object of the call, or of the one found or made; of READDIR the folder's.
    pub attributes: Option<Attributes>,
    /// Of the folder of a LOOKUP.
    pub dir: Option<Attributes>,
    /// Of what was changed: the folder, or the file; of RENAME the folder left.
    pub wcc: Wcc,
    /// Of the folder a RENAME leads to.
    pub to: Wcc,
    /// Numbers in the order of RFC 1813: ACCESS's rights; `count, eof` of READ; `count, committed` of WRITE; `eof` of
    /// READDIR and READDIRPLUS; those of FSSTAT, FSINFO and PATHCONF; the flavours of MNT.
    pub numbers: Vec<u64>,
    /// READ's data, READLINK's text.
    pub data: Vec<u8>,
    /// Of WRITE, COMMIT, READDIR and READDIRPLUS.
    pub verifier: Option<[u8; 8]>,
    /// Of READDIR and READDIRPLUS.
    pub entries: Vec<Entry>,
    /// `host:path` of DUMP, `path:group,group` of EXPORT.
    pub lines: Vec<String>,
}

impl Reply {
    /// Whether the call went well.
    pub fn is_ok(&self) -> bool {
        self.status == nfsstat3::NFS3_OK
    }
}

/// The status of this number; panics for a number RFC 1813 does not know.
pub fn status(number: u32) -> nfsstat3 {
    match nfsstat3::unpack(&mut &number.to_be_bytes()[..]) {
        Ok((status, _)) => status,
        Err(_) => panic!("{number} is no status of RFC 1813"),
    }
}

/// The beginning of a value's debug text: enough to know it by, whatever data it holds.
pub fn brief(value: &impl std::fmt::Debug) -> String {
    const CHARS: usize = 600;
    let text = format!("{value:?}");
    if text.len() <= CHARS { text } else { format!("{} ...", text.chars().take(CHARS).collect::<String>()) }
}
