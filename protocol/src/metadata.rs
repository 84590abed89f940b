//! What a port keeps in a row's metadata field (VFS-20, PORT-11). The VFS itself never looks inside.

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use thiserror::Error;

use crate::digest::parse_hex;
use crate::id::Timestamp;

/// Most bytes of a row's metadata.
pub const METADATA_BYTES_MAX: usize = 64 << 10;

/// Attributes of a file, folder or symbolic link: those of UNIX, and what else CIFS clients set.
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
    /// When it came into being, where that was set; else the row says it.
    pub born: Option<Timestamp>,
    /// What CIFS clients marked it with (MS-FSCC 2.6), bit by bit, where that is not what is usual of its kind.
    pub marks: Option<u32>,
    /// The verifier of the exclusive create that made the file (RFC 1813 §3.3.8), until SETATTR removes it.
    pub create_verifier: Option<[u8; 8]>,
}

/// Why a row's metadata is not this port's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MetadataError {
    /// Written by a later version, or by something else: leave the row's metadata as it is.
    #[error("the metadata is of an unknown version")]
    UnknownVersion,
    /// Damaged.
    #[error("the metadata has a bad `{0}`")]
    Malformed(&'static str),
}

const VERSION: &str = "unix/1";

impl UnixMetadata {
    /// What an object without metadata has, such as a file made by a library user.
    pub fn default_with_mode(mode: u32) -> Self {
        let accessed = Timestamp::default();
        Self { mode, uid: 0, gid: 0, accessed, symlink: None, born: None, marks: None, create_verifier: None }
    }

    /// One line of text: `unix/1 mode=0644 uid=0 gid=0 atime=<ns>`, then `symlink=<percent-encoded>`, `btime=<ns>`,
    /// `marks=<hex>` and `createverf=<16 hex>` where there are such. [`Self::decode`] gives exactly the same value back.
    pub fn encode(&self) -> Vec<u8> {
        let Self { mode, uid, gid, accessed, symlink, born, marks, create_verifier } = self;
        let mut line = format!("{VERSION} mode={mode:04o} uid={uid} gid={gid} atime={}", accessed.0);
        if let Some(target) = symlink {
            line.push_str(" symlink=");
            line.extend(percent_encode(target, NON_ALPHANUMERIC));
        }
        if let Some(born) = born {
            line.push_str(&format!(" btime={}", born.0));
        }
        if let Some(marks) = marks {
            line.push_str(&format!(" marks={marks:x}"));
        }
        if let Some(verifier) = create_verifier {
            line.push_str(&format!(" createverf={:016x}", u64::from_be_bytes(*verifier)));
        }
        line.into_bytes()
    }

    /// Reads a row's metadata. Empty metadata, and what a line leaves out, is that of
    /// [`Self::default_with_mode`]; keys of later minor versions are ignored.
    ///
    /// # Errors
    /// See [`MetadataError`]. The caller shows the object with the defaults and does not write over the metadata.
    pub fn decode(bytes: &[u8], default_mode: u32) -> Result<Self, MetadataError> {
        let mut metadata = Self::default_with_mode(default_mode);
        if bytes.is_empty() {
            return Ok(metadata);
        }
        let line = str::from_utf8(bytes).map_err(|_| MetadataError::UnknownVersion)?;
        let mut words = line.split(' ');
        if words.next() != Some(VERSION) {
            return Err(MetadataError::UnknownVersion);
        }
        for word in words {
            let (key, value) = word.split_once('=').ok_or(MetadataError::Malformed("word"))?;
            match key {
                "mode" => {
                    let mode = u32::from_str_radix(value, 8).ok().filter(|mode| *mode <= 0o7777);
                    metadata.mode = mode.ok_or(MetadataError::Malformed("mode"))?;
                }
                "uid" => metadata.uid = value.parse().map_err(|_| MetadataError::Malformed("uid"))?,
                "gid" => metadata.gid = value.parse().map_err(|_| MetadataError::Malformed("gid"))?,
                "atime" => {
                    metadata.accessed =
                        Timestamp(value.parse().map_err(|_| MetadataError::Malformed("atime"))?);
                }
                "symlink" => metadata.symlink = Some(percent_decode_str(value).collect()),
                "btime" => {
                    let born = value.parse().map_err(|_| MetadataError::Malformed("btime"))?;
                    metadata.born = Some(Timestamp(born));
                }
                "marks" => {
                    let marks = u32::from_str_radix(value, 16);
                    metadata.marks = Some(marks.map_err(|_| MetadataError::Malformed("marks"))?);
                }
                "createverf" => {
                    let verifier = parse_hex(value).ok_or(MetadataError::Malformed("createverf"))?;
                    metadata.create_verifier = Some(verifier);
                }
                _ => {}
            }
        }
        Ok(metadata)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_line_is_readable() {
        let mut metadata = UnixMetadata::default_with_mode(0o644);
        metadata.uid = 1000;
        metadata.accessed = Timestamp(-1);
        assert_eq!(metadata.encode(), b"unix/1 mode=0644 uid=1000 gid=0 atime=-1");
        metadata.symlink = Some(b"a b/\xff".to_vec());
        metadata.born = Some(Timestamp(-5));
        metadata.marks = Some(0x2002);
        metadata.create_verifier = Some([0, 1, 2, 3, 4, 5, 6, 0xff]);
        let line = String::from_utf8(metadata.encode()).unwrap();
        assert!(
            line.ends_with(" symlink=a%20b%2F%FF btime=-5 marks=2002 createverf=00010203040506ff"),
            "{line}"
        );
    }

    #[test]
    fn metadata_of_others_is_told_apart() {
        assert_eq!(UnixMetadata::decode(b"", 0o755), Ok(UnixMetadata::default_with_mode(0o755)));
        assert_eq!(UnixMetadata::decode(b"unix/2 mode=0600", 0), Err(MetadataError::UnknownVersion));
        assert_eq!(UnixMetadata::decode(b"\xff\xfe", 0), Err(MetadataError::UnknownVersion));
        assert_eq!(UnixMetadata::decode(b"unix/1 mode=17777", 0), Err(MetadataError::Malformed("mode")));
        assert_eq!(UnixMetadata::decode(b"unix/1 uid=-1", 0), Err(MetadataError::Malformed("uid")));
        assert_eq!(UnixMetadata::decode(b"unix/1 btime=x", 0), Err(MetadataError::Malformed("btime")));
        assert_eq!(
            UnixMetadata::decode(b"unix/1 marks=100000000", 0),
            Err(MetadataError::Malformed("marks"))
        );
        assert_eq!(UnixMetadata::decode(b"unix/1 ", 0), Err(MetadataError::Malformed("word")));
        let later = UnixMetadata::decode(b"unix/1 mode=0600 acl=whatever", 0o644);
        assert_eq!(later, Ok(UnixMetadata::default_with_mode(0o600)));
    }

    fn metadata() -> impl Strategy<Value = UnixMetadata> {
        let link = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300));
        let cifs = (any::<Option<i64>>(), any::<Option<u32>>());
        let rest = (any::<u32>(), any::<u32>(), any::<i64>(), link, any::<Option<[u8; 8]>>());
        (0..=0o7777_u32, rest, cifs).prop_map(|(mode, rest, (born, marks))| {
            let (uid, gid, accessed, symlink, create_verifier) = rest;
            let (accessed, born) = (Timestamp(accessed), born.map(Timestamp));
            UnixMetadata { mode, uid, gid, accessed, symlink, born, marks, create_verifier }
        })
    }

    proptest! {
        /// VFS-20: exact round trip.
        #[test]
        fn what_was_written_is_read(metadata in metadata()) {
            prop_assert_eq!(UnixMetadata::decode(&metadata.encode(), 0o111), Ok(metadata));
        }

        #[test]
        fn arbitrary_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = UnixMetadata::decode(&bytes, 0);
            let _ = UnixMetadata::decode(&[b"unix/1 ", bytes.as_slice()].concat(), 0);
        }
    }
}
