//! What a port keeps in a row's metadata field (VFS-20, PORT-11). The VFS itself never looks inside.

use crate::id::Timestamp;

/// Most bytes of a row's metadata.
pub const METADATA_BYTES_MAX: usize = 64 << 10;

/// UNIX attributes of a file, folder or symbolic link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixMetadata {
    /// Permission bits, 0 to 0o7777.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last access.
    pub accessed: Timestamp,
    /// The text of a symbolic link, which is a file row with empty content; `None` for everything else.
    pub symlink: Option<Vec<u8>>,
    /// The verifier of the exclusive create that made the file (RFC 1813 §3.3.8), until SETATTR removes it.
    pub create_verifier: Option<[u8; 8]>,
}

// PROTOCOL OWNER: encode(&self) -> Vec<u8> and decode(&[u8]) -> Result<Self, MetadataError>; a versioned text line such
// as `unix/1 mode=0644 uid=0 gid=0 atime=… symlink=<percent-encoded> createverf=<hex>`; unknown keys are kept out of
// the way (ignored), unknown version refused; exact round trip; empty bytes decode to the defaults a file made by a
// library user has (mode 0644 / uid 0 / gid 0): give `decode` a `default_mode` argument.
