//! The one table from [`FsError`] to the status numbers of RFC 1813 §2.6.

use nfsserve::nfs::nfsstat3;

use crate::filesystem::FsError;

/// The status a client sees for an error.
pub const fn status(error: FsError) -> nfsstat3 {
    match error {
        FsError::NotOwner => nfsstat3::NFS3ERR_PERM,
        FsError::NotFound => nfsstat3::NFS3ERR_NOENT,
        FsError::Io => nfsstat3::NFS3ERR_IO,
        FsError::AccessDenied => nfsstat3::NFS3ERR_ACCES,
        FsError::Exists => nfsstat3::NFS3ERR_EXIST,
        FsError::CrossDevice => nfsstat3::NFS3ERR_XDEV,
        FsError::NotDirectory => nfsstat3::NFS3ERR_NOTDIR,
        FsError::IsDirectory => nfsstat3::NFS3ERR_ISDIR,
        FsError::Invalid => nfsstat3::NFS3ERR_INVAL,
        FsError::FileTooLarge => nfsstat3::NFS3ERR_FBIG,
        FsError::NoSpace => nfsstat3::NFS3ERR_NOSPC,
        FsError::ReadOnly => nfsstat3::NFS3ERR_ROFS,
        FsError::NameTooLong => nfsstat3::NFS3ERR_NAMETOOLONG,
        FsError::NotEmpty => nfsstat3::NFS3ERR_NOTEMPTY,
        FsError::QuotaExceeded => nfsstat3::NFS3ERR_DQUOT,
        FsError::Stale => nfsstat3::NFS3ERR_STALE,
        FsError::BadHandle => nfsstat3::NFS3ERR_BADHANDLE,
        FsError::NotSync => nfsstat3::NFS3ERR_NOT_SYNC,
        FsError::BadCookie => nfsstat3::NFS3ERR_BAD_COOKIE,
        FsError::NotSupported => nfsstat3::NFS3ERR_NOTSUPP,
        FsError::TryLater => nfsstat3::NFS3ERR_JUKEBOX,
    }
}
