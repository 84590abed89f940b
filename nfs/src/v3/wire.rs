//! The structures of RFC 1813 §2 that several procedures share: attributes, handles, names.

use nfsserve::nfs::{ftype3, nfsstat3};

use super::status::status;
use crate::filesystem::{
    Attributes, Before, FileKind, FsError, FsResult, Handle, SetAttributes, SetTime, Wcc,
};
use crate::xdr::{Decoder, Encoder, XdrError, XdrResult, time_words};

/// Bytes of `post_op_attr` with attributes in it.
pub const POST_OP_ATTR_BYTES: usize = 4 + 84;
/// Permission bits a client may set.
const MODE_BITS: u32 = 0o7777;

/// Appends the status: OK, or that of the error.
pub fn encode_status(out: &mut Encoder, error: Option<FsError>) {
    out.u32(error.map_or(nfsstat3::NFS3_OK, status) as u32);
}

/// `fattr3`.
pub fn encode_attributes(out: &mut Encoder, attributes: &Attributes) {
    let kind = match attributes.kind {
        FileKind::Regular => ftype3::NF3REG,
        FileKind::Directory => ftype3::NF3DIR,
        FileKind::Symlink => ftype3::NF3LNK,
    };
    let Attributes { mode, links, uid, gid, .. } = *attributes;
    let [size, size_low] = halves(attributes.size);
    let [used, used_low] = halves(attributes.used);
    let [fsid, fsid_low] = halves(attributes.fsid);
    let [fileid, fileid_low] = halves(attributes.fileid);
    let [accessed, accessed_nanos] = time_words(attributes.accessed);
    let [modified, modified_nanos] = time_words(attributes.modified);
    let [changed, changed_nanos] = time_words(attributes.changed);
    let no_device = 0;
    // In one piece: this is most of what a listing writes.
    #[rustfmt::skip]
    out.u32s([
        kind as u32, mode, links, uid, gid, size, size_low, used, used_low, no_device, no_device, fsid, fsid_low,
        fileid, fileid_low, accessed, accessed_nanos, modified, modified_nanos, changed, changed_nanos,
    ]);
}

fn halves(number: u64) -> [u32; 2] {
    [(number >> 32) as u32, number as u32]
}

/// `post_op_attr`.
pub fn encode_post_op(out: &mut Encoder, attributes: Option<&Attributes>) {
    out.optional(attributes, encode_attributes);
}

/// `wcc_data`.
pub fn encode_wcc(out: &mut Encoder, wcc: &Wcc) {
    out.optional(wcc.before, |out, Before { size, modified, changed }| {
        out.u64(size);
        out.time(modified);
        out.time(changed);
    });
    encode_post_op(out, wcc.after.as_ref());
}

/// `nfs_fh3`.
pub fn encode_handle(out: &mut Encoder, handle: &Handle) {
    out.opaque(handle.as_bytes());
}

/// `sattr3`.
pub fn decode_set_attributes(args: &mut Decoder<'_>) -> XdrResult<SetAttributes> {
    Ok(SetAttributes {
        mode: args.optional(Decoder::u32)?.map(|mode| mode & MODE_BITS),
        uid: args.optional(Decoder::u32)?,
        gid: args.optional(Decoder::u32)?,
        size: args.optional(Decoder::u64)?,
        accessed: decode_set_time(args)?,
        modified: decode_set_time(args)?,
        ..SetAttributes::default()
    })
}

fn decode_set_time(args: &mut Decoder<'_>) -> XdrResult<SetTime> {
    match args.u32()? {
        0 => Ok(SetTime::Keep),
        1 => Ok(SetTime::ServerTime),
        2 => args.time().map(SetTime::To),
        _ => Err(XdrError::BadValue),
    }
}

/// A directory and a name in it (`diropargs3`), the name not checked yet.
#[derive(Debug)]
pub struct Place<'a> {
    /// The directory.
    pub dir: Handle,
    /// The name, as it came.
    name: &'a [u8],
}

impl<'a> Place<'a> {
    /// Reads both. The name is borrowed, so its only limit here is the record.
    pub fn decode(args: &mut Decoder<'a>) -> XdrResult<Self> {
        Ok(Self { dir: args.handle()?, name: args.opaque(usize::MAX)? })
    }

    /// The name, if it may be one: not empty (RFC 1813 §3.2 says which error), not too long, without `/` and NUL.
    pub fn name(&self, bytes_max: u32) -> FsResult<&'a [u8]> {
        if self.name.len() > bytes_max as usize {
            return Err(FsError::NameTooLong);
        }
        if self.name.is_empty() {
            return Err(FsError::AccessDenied);
        }
        if self.name.iter().any(|byte| matches!(byte, 0 | b'/')) {
            return Err(FsError::Invalid);
        }
        Ok(self.name)
    }

    /// The name, if it may be one of an object to make, remove or rename: `.` gives the first error and `..` the
    /// second, which differ from procedure to procedure (RFC 1813 §3.3).
    pub fn new_name(&self, bytes_max: u32, dots: [FsError; 2]) -> FsResult<&'a [u8]> {
        match self.name(bytes_max)? {
            b"." => Err(dots[0]),
            b".." => Err(dots[1]),
            name => Ok(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filesystem::{Marks, Time};

    fn place(name: &[u8]) -> Place<'_> {
        Place { dir: Handle::new(&[1]).unwrap(), name }
    }

    #[test]
    fn names_are_refused_with_the_error_that_fits() {
        assert_eq!(place(b"file").name(255), Ok(&b"file"[..]));
        assert_eq!(place(&[b'x'; 255]).name(255).map(<[u8]>::len), Ok(255));
        assert_eq!(place(&[b'x'; 256]).name(255), Err(FsError::NameTooLong));
        assert_eq!(place(b"").name(255), Err(FsError::AccessDenied));
        assert_eq!(place(b"a/b").name(255), Err(FsError::Invalid));
        assert_eq!(place(b"a\0b").name(255), Err(FsError::Invalid));
        let dots = [FsError::Invalid, FsError::Exists];
        assert_eq!(place(b".").new_name(255, dots), Err(FsError::Invalid));
        assert_eq!(place(b"..").new_name(255, dots), Err(FsError::Exists));
        assert_eq!(place(b"...").new_name(255, dots), Ok(&b"..."[..]));
    }

    #[test]
    fn attributes_take_84_bytes_in_the_order_of_rfc_1813() {
        let time = |seconds| Time { seconds, nanos: 1 };
        let attributes = Attributes {
            kind: FileKind::Symlink,
            mode: 0o777,
            links: 1,
            uid: 2,
            gid: 3,
            size: 4,
            used: 5,
            fsid: 6,
            fileid: 7,
            accessed: time(8),
            modified: time(9),
            changed: time(10),
            born: time(11),
            marks: Marks::usual(FileKind::Regular),
        };
        let mut out = Encoder::new();
        encode_post_op(&mut out, Some(&attributes));
        let words: Vec<u32> =
            out.into_bytes().chunks(4).map(|word| u32::from_be_bytes(word.try_into().unwrap())).collect();
        let expected = [1, 5, 0o777, 1, 2, 3, 0, 4, 0, 5, 0, 0, 0, 6, 0, 7, 8, 1, 9, 1, 10, 1];
        assert_eq!(words, expected);
        assert_eq!(words.len() * 4, POST_OP_ATTR_BYTES);
    }

    #[test]
    fn attributes_to_set_are_read_field_by_field() {
        let words = [1, 0o170_644, 0, 1, 7, 1, 0, 9, 1, 2, 5, 6];
        let bytes: Vec<u8> = words.iter().flat_map(|word: &u32| word.to_be_bytes()).collect();
        let set = SetAttributes {
            mode: Some(0o644),
            uid: None,
            gid: Some(7),
            size: Some(9),
            accessed: SetTime::ServerTime,
            modified: SetTime::To(Time { seconds: 5, nanos: 6 }),
            ..SetAttributes::default()
        };
        assert_eq!(decode_set_attributes(&mut Decoder::new(&bytes)), Ok(set));
        assert_eq!(decode_set_time(&mut Decoder::new(&[0, 0, 0, 3])), Err(XdrError::BadValue));
    }
}
