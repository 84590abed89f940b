//! Attributes and errors of a [`Filesystem`](nfs::filesystem::Filesystem) in the words of SMB. Pure.

use std::io;

use nfs::filesystem::{Attributes, FileKind, FsError, Space};
use nfs::windows::{filetime, is_read_only};
use smb_server::{FileInfo, SmbError, VolumeInfo};

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

/// What SMB's clients see of an object. The server has no place for its marks.
pub(crate) fn info(name: &str, attributes: &Attributes) -> FileInfo {
    let is_directory = attributes.kind == FileKind::Directory;
    let mut info = FileInfo::new(name);
    info.end_of_file = if is_directory { 0 } else { attributes.size };
    info.allocation_size = if is_directory { 0 } else { attributes.used };
    info.last_access_time = filetime(attributes.accessed);
    info.last_write_time = filetime(attributes.modified);
    info.change_time = filetime(attributes.changed);
    info.creation_time = filetime(attributes.born);
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
    use super::*;

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
}
