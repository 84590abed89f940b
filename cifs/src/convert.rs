//! Attributes, times and errors of a [`Filesystem`](nfs::filesystem::Filesystem) in the words of SMB. Pure.

use std::io;

use nfs::filesystem::{Attributes, FileKind, FsError, SetTime, Space, Time};
use smb_server::{FileInfo, SmbError, VolumeInfo};

/// Seconds from 1601-01-01, where SMB's time begins (MS-DTYP 2.3.3), to 1970-01-01.
const EPOCH_SECONDS: i64 = 11_644_473_600;
/// Units of SMB's time in a second: 100 ns each.
const TICKS: u64 = 10_000_000;
/// Whoever may write a file: none of these bits, and it is read-only for SMB.
pub(crate) const WRITABLE: u32 = 0o222;
/// The owner may write.
pub(crate) const OWNER_WRITES: u32 = 0o200;
/// Bytes of an allocation unit, in which space is told.
const UNIT_BYTES: u64 = 4_096;

/// The one table from [`FsError`] to what SMB's clients are told; `SmbError::to_nt_status` has the numbers.
pub(crate) fn error(error: FsError) -> SmbError {
    match error {
        FsError::NotOwner | FsError::AccessDenied | FsError::ReadOnly => SmbError::AccessDenied,
        FsError::NotFound | FsError::Stale | FsError::BadHandle => SmbError::NotFound,
        FsError::Exists => SmbError::Exists,
        FsError::NotDirectory => SmbError::NotADirectory,
        FsError::IsDirectory => SmbError::IsDirectory,
        FsError::NotEmpty => SmbError::NotEmpty,
        FsError::NameTooLong => SmbError::NameInvalid,
        // No status says that a file may not be so large; clients tell this one in words that fit.
        FsError::NoSpace | FsError::FileTooLarge => SmbError::DiskFull,
        FsError::QuotaExceeded => SmbError::QuotaExceeded,
        FsError::CrossDevice => SmbError::NotSameDevice,
        FsError::NotSupported => SmbError::NotSupported,
        FsError::Io | FsError::Invalid | FsError::NotSync | FsError::BadCookie | FsError::TryLater => {
            SmbError::Io(io::Error::other(error))
        }
    }
}

/// A point in time in units of 100 ns since 1601; what lies before or too far away, at the nearest end.
pub(crate) fn filetime(time: Time) -> u64 {
    let seconds = u64::try_from(time.seconds.saturating_add(EPOCH_SECONDS)).unwrap_or(0);
    seconds.saturating_mul(TICKS).saturating_add(u64::from(time.nanos / 100))
}

/// The reverse of [`filetime`].
pub(crate) fn time(filetime: u64) -> Time {
    // Less than 2^63 / 10^7 seconds: it fits.
    let seconds = i64::try_from(filetime / TICKS).unwrap_or(i64::MAX);
    Time { seconds: seconds - EPOCH_SECONDS, nanos: (filetime % TICKS) as u32 * 100 }
}

/// How a time that SMB sets is set.
pub(crate) fn set_time(filetime: Option<u64>) -> SetTime {
    filetime.map_or(SetTime::Keep, |filetime| SetTime::To(time(filetime)))
}

/// Whether SMB's clients are told that a file cannot be written by anybody.
pub(crate) fn is_read_only(attributes: &Attributes) -> bool {
    attributes.kind != FileKind::Directory && attributes.mode & WRITABLE == 0
}

/// What SMB's clients see of an object. No time of birth is kept: the earliest time that is known stands in its place.
pub(crate) fn info(name: &str, attributes: &Attributes) -> FileInfo {
    let is_directory = attributes.kind == FileKind::Directory;
    let mut info = FileInfo::new(name);
    info.end_of_file = if is_directory { 0 } else { attributes.size };
    info.allocation_size = if is_directory { 0 } else { attributes.used };
    info.last_access_time = filetime(attributes.accessed);
    info.last_write_time = filetime(attributes.modified);
    info.change_time = filetime(attributes.changed);
    info.creation_time = info.last_write_time.min(info.change_time);
    info.is_directory = is_directory;
    info.read_only = is_read_only(attributes);
    info.file_index = attributes.fileid;
    info
}

/// The space behind a share.
pub(crate) fn volume(space: &Space, serial_number: u32) -> VolumeInfo {
    let mut volume = VolumeInfo::default();
    volume.total_allocation_units = space.bytes_total / UNIT_BYTES;
    volume.caller_available_allocation_units = space.bytes_free / UNIT_BYTES;
    volume.actual_available_allocation_units = space.bytes_free / UNIT_BYTES;
    volume.sectors_per_allocation_unit = 1;
    volume.bytes_per_sector = UNIT_BYTES as u32;
    volume.serial_number = serial_number;
    volume
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn time_begins_in_1601() {
        assert_eq!(filetime(Time::default()), 116_444_736_000_000_000);
        assert_eq!(time(116_444_736_000_000_001), Time { seconds: 0, nanos: 100 });
        assert_eq!(filetime(Time { seconds: i64::MIN, nanos: 0 }), 0);
        assert_eq!(filetime(Time { seconds: i64::MAX, nanos: 999_999_999 }), u64::MAX);
        assert_eq!(time(0).seconds, -EPOCH_SECONDS);
    }

    #[test]
    fn clients_are_told_what_they_can_act_upon() {
        // MS-ERREF 2.3.1.
        let table = [
            (FsError::NotFound, 0xC000_0034),
            (FsError::AccessDenied, 0xC000_0022),
            (FsError::ReadOnly, 0xC000_0022),
            (FsError::Exists, 0xC000_0035),
            (FsError::NotEmpty, 0xC000_0101),
            (FsError::FileTooLarge, 0xC000_007F),
            (FsError::QuotaExceeded, 0xC000_0802),
            (FsError::NameTooLong, 0xC000_0033),
            (FsError::TryLater, 0xC000_00E9),
        ];
        for (from, status) in table {
            assert_eq!(error(from).to_nt_status(), status, "{from}");
        }
    }

    proptest! {
        #[test]
        fn times_come_back(ticks in 0..=i64::MAX as u64) {
            prop_assert_eq!(filetime(time(ticks)), ticks);
        }

        #[test]
        fn no_time_is_too_far(ticks: u64) {
            prop_assert!(time(ticks).nanos < 1_000_000_000);
        }
    }
}
