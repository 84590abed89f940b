//! Attributes, times and errors of a [`Filesystem`](nfs::filesystem::Filesystem) in the kernel's words. Pure.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{Errno, FileAttr, FileType, INodeNo, TimeOrNow};
use nfs::filesystem::{Attributes, FileKind, FsError, SetTime, Time};

/// For how long the kernel believes attributes and names without asking again.
pub const BELIEVE: Duration = Duration::from_millis(250);
/// What programs should read and write at once.
const BLOCK_BYTES: u32 = 1 << 20;
/// The unit in which stat(2) tells how much an object occupies.
const SECTOR_BYTES: u64 = 512;

/// The one table from [`FsError`] to errno(3).
pub(crate) fn errno(error: FsError) -> Errno {
    match error {
        FsError::NotOwner => Errno::EPERM,
        FsError::NotFound => Errno::ENOENT,
        FsError::AccessDenied => Errno::EACCES,
        FsError::Exists => Errno::EEXIST,
        FsError::NotDirectory => Errno::ENOTDIR,
        FsError::IsDirectory => Errno::EISDIR,
        FsError::Invalid | FsError::NotSync | FsError::BadCookie => Errno::EINVAL,
        FsError::FileTooLarge => Errno::EFBIG,
        FsError::NoSpace => Errno::ENOSPC,
        FsError::ReadOnly => Errno::EROFS,
        FsError::NameTooLong => Errno::ENAMETOOLONG,
        FsError::NotEmpty => Errno::ENOTEMPTY,
        FsError::QuotaExceeded => Errno::EDQUOT,
        FsError::Stale | FsError::BadHandle => Errno::ESTALE,
        FsError::CrossDevice => Errno::EXDEV,
        FsError::NotSupported => Errno::EOPNOTSUPP,
        // Programs do not take EAGAIN for a file, and this one has been asked again already.
        FsError::Io | FsError::TryLater => Errno::EIO,
    }
}

/// The number by which the kernel knows an object; that of the root is its own.
pub(crate) fn number(fileid: u64) -> INodeNo {
    match fileid {
        // Taken by the root. No object has the last number.
        1 => INodeNo(u64::MAX),
        other => INodeNo(other),
    }
}

/// What the kernel learns of an object.
pub(crate) fn attributes(number: INodeNo, attributes: &Attributes) -> FileAttr {
    let kind = match attributes.kind {
        FileKind::Regular => FileType::RegularFile,
        FileKind::Directory => FileType::Directory,
        FileKind::Symlink => FileType::Symlink,
    };
    FileAttr {
        ino: number,
        size: attributes.size,
        blocks: attributes.used.div_ceil(SECTOR_BYTES),
        atime: system_time(attributes.accessed),
        mtime: system_time(attributes.modified),
        ctime: system_time(attributes.changed),
        crtime: system_time(attributes.born),
        kind,
        perm: (attributes.mode & 0o7777) as u16,
        nlink: attributes.links,
        uid: attributes.uid,
        gid: attributes.gid,
        rdev: 0,
        blksize: BLOCK_BYTES,
        flags: 0,
    }
}

/// A time that the kernel sets.
pub(crate) fn set_time(time: Option<TimeOrNow>) -> SetTime {
    match time {
        None => SetTime::Keep,
        Some(TimeOrNow::Now) => SetTime::ServerTime,
        Some(TimeOrNow::SpecificTime(time)) => SetTime::To(self::time(time)),
    }
}

/// What is too far away for the kernel's clock is at its beginning.
fn system_time(time: Time) -> SystemTime {
    let whole = Duration::from_secs(time.seconds.unsigned_abs());
    let second = if time.seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    let exact = second.and_then(|second| second.checked_add(Duration::from_nanos(time.nanos.into())));
    exact.unwrap_or(UNIX_EPOCH)
}

fn time(time: SystemTime) -> Time {
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => Time { seconds: seconds(after), nanos: after.subsec_nanos() },
        Err(before) => {
            let before = before.duration();
            match before.subsec_nanos() {
                0 => Time { seconds: -seconds(before), nanos: 0 },
                nanos => Time { seconds: -seconds(before) - 1, nanos: 1_000_000_000 - nanos },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_back_from_before_1970_too() {
        for (seconds, nanos) in
            [(0, 0), (1, 999_999_999), (-1, 0), (-1, 1), (-2, 999_999_999), (4_000_000_000, 5)]
        {
            let given = Time { seconds, nanos };
            assert_eq!(time(system_time(given)), given);
        }
        for seconds in [i64::MIN, i64::MAX] {
            system_time(Time { seconds, nanos: 999_999_999 });
        }
    }

    #[test]
    fn no_object_has_the_root_s_number() {
        assert_eq!(number(2), INodeNo(2));
        assert_ne!(number(1), INodeNo::ROOT);
    }
}
