//! READDIR and READDIRPLUS: as many entries as fit, each whole or not at all.

use nfsserve::nfs::nfsstat3;

use super::Context;
use super::status::status;
use super::wire::{POST_OP_ATTR_BYTES, encode_handle, encode_post_op, encode_status};
use crate::filesystem::{Attributes, DirEntry, Filesystem, Handle, ListFrom, Listing};
use crate::xdr::{Decoder, Encoder, XdrResult, padding};

/// Largest reply built, whatever the client would take, and the size that FSINFO prefers: some 300 to 400 entries with
/// attributes. Larger ones save next to nothing and keep a client waiting for its first entry.
pub const REPLY_BYTES_MAX: u32 = 64 << 10;
/// The results without entries: directory attributes, verifier, "no more entries here", end of directory.
const FRAME_BYTES: usize = POST_OP_ATTR_BYTES + 8 + 4 + 4;
/// An entry without its name: "an entry follows", fileid, length of the name, cookie.
const ENTRY_BYTES: usize = 4 + 8 + 4 + 8;
/// What READDIRPLUS adds to an entry, besides the handle's own bytes: attributes, "a handle follows", its length.
const OBJECT_BYTES: usize = POST_OP_ATTR_BYTES + 4 + 4;
/// What READDIRPLUS adds where it has neither: twice "nothing follows".
const NO_OBJECT_BYTES: usize = 4 + 4;

/// RFC 1813 §3.3.16.
pub async fn readdir<F: Filesystem>(
    context: &Context<'_, F>,
    args: &mut Decoder<'_>,
    out: &mut Encoder,
) -> XdrResult<()> {
    let (dir, cookie, verifier, count) = (args.handle()?, args.u64()?, args.array()?, args.u32()?);
    args.end()?;
    let room = Room { reply: clamp(count), names: usize::MAX };
    let from = ListFrom { cookie, verifier, objects: false };
    list(context, &dir, from, room, out).await;
    Ok(())
}

/// RFC 1813 §3.3.17.
pub async fn readdirplus<F: Filesystem>(
    context: &Context<'_, F>,
    args: &mut Decoder<'_>,
    out: &mut Encoder,
) -> XdrResult<()> {
    let (dir, cookie, verifier) = (args.handle()?, args.u64()?, args.array()?);
    let (dircount, maxcount) = (args.u32()?, args.u32()?);
    args.end()?;
    let room = Room { reply: clamp(maxcount), names: clamp(dircount) };
    let from = ListFrom { cookie, verifier, objects: true };
    list(context, &dir, from, room, out).await;
    Ok(())
}

fn clamp(count: u32) -> usize {
    count.min(REPLY_BYTES_MAX) as usize
}

/// What a client takes.
struct Room {
    /// Bytes of the whole results (`count`, `maxcount`).
    reply: usize,
    /// Bytes of fileids, names and cookies (`dircount`); at least one entry goes out even where it has no room here,
    /// as some clients pass a `dircount` smaller than a long name.
    names: usize,
}

async fn list<F: Filesystem>(
    context: &Context<'_, F>,
    dir: &Handle,
    from: ListFrom,
    room: Room,
    out: &mut Encoder,
) {
    let start = out.len();
    let mut page = Page::new(out, room, from.objects);
    let listed = context.filesystem.list(context.caller, dir, from, &mut page).await;
    let ended = listed.map_err(|error| (status(error), Some(error))).and_then(|end| match page.end(end) {
        true => Ok(()),
        false => Err((nfsstat3::NFS3ERR_TOOSMALL, None)),
    });
    if let Err((status, error)) = ended {
        let attributes = match error {
            Some(error) => context.attributes_after(error, dir).await,
            None => context.attributes(dir).await,
        };
        out.truncate(start);
        out.u32(status as u32);
        encode_post_op(out, attributes.as_ref());
    }
}

/// Results in the making.
struct Page<'a> {
    out: &'a mut Encoder,
    room: Room,
    /// Whether entries carry handles and attributes.
    objects: bool,
    /// Bytes of the results so far, end included.
    reply: usize,
    /// Bytes of names so far.
    names: usize,
    /// Some entry had no room.
    is_full: bool,
}

impl<'a> Page<'a> {
    fn new(out: &'a mut Encoder, room: Room, objects: bool) -> Self {
        out.reserve(4 + room.reply);
        Self { out, room, objects, reply: FRAME_BYTES, names: 0, is_full: false }
    }

    /// Ends the results. `false` if not even one entry had room: without any a client would ask for the same place
    /// for ever.
    fn end(&mut self, end: bool) -> bool {
        self.out.bool(false);
        self.out.bool(end && !self.is_full);
        self.reply <= self.room.reply && !(self.is_full && self.names == 0)
    }
}

impl Listing for Page<'_> {
    fn begin(&mut self, directory: &Attributes, verifier: [u8; 8]) {
        encode_status(self.out, None);
        encode_post_op(self.out, Some(directory));
        self.out.array(&verifier);
    }

    fn add(&mut self, entry: DirEntry<'_>) -> bool {
        let name = ENTRY_BYTES + padded(entry.name.len());
        let object = match entry.object {
            _ if !self.objects => 0,
            Some((handle, _)) => OBJECT_BYTES + padded(handle.as_bytes().len()),
            None => NO_OBJECT_BYTES,
        };
        let (reply, names) = (self.reply + name + object, self.names + name);
        if reply > self.room.reply || (names > self.room.names && self.names > 0) {
            self.is_full = true;
            return false;
        }
        (self.reply, self.names) = (reply, names);
        self.out.bool(true);
        self.out.u64(entry.fileid);
        self.out.opaque(entry.name);
        self.out.u64(entry.cookie);
        if self.objects {
            encode_post_op(self.out, entry.object.map(|(_, attributes)| attributes));
            self.out.optional(entry.object.map(|(handle, _)| handle), encode_handle);
        }
        true
    }
}

fn padded(len: usize) -> usize {
    len + padding(len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filesystem::{FileKind, Marks, Time};

    const ATTRIBUTES: Attributes = Attributes {
        kind: FileKind::Regular,
        mode: 0o644,
        links: 1,
        uid: 2,
        gid: 3,
        size: 4,
        used: 512,
        fsid: 6,
        fileid: 7,
        accessed: Time { seconds: 8, nanos: 1 },
        modified: Time { seconds: 9, nanos: 1 },
        changed: Time { seconds: 10, nanos: 1 },
        born: Time { seconds: 11, nanos: 1 },
        marks: Marks::usual(FileKind::Regular),
    };

    fn words(out: Encoder) -> Vec<u32> {
        out.into_bytes().chunks(4).map(|word| u32::from_be_bytes(word.try_into().unwrap())).collect()
    }

    fn room(reply: usize) -> Room {
        Room { reply, names: usize::MAX }
    }

    /// RFC 1813 §3.3.17, word by word.
    #[test]
    fn a_listing_with_objects_has_the_bytes_of_the_rfc() {
        let mut out = Encoder::new();
        let handle = Handle::new(&[0xab; 5]).unwrap();
        let mut page = Page::new(&mut out, room(4096), true);
        page.begin(&ATTRIBUTES, [1, 2, 3, 4, 5, 6, 7, 8]);
        assert!(page.add(DirEntry {
            fileid: 7,
            name: b"abcde",
            cookie: 9,
            object: Some((&handle, &ATTRIBUTES))
        }));
        assert!(page.add(DirEntry { fileid: 8, name: b"f", cookie: 10, object: None }));
        assert!(page.end(true));
        let attributes = [1, 1, 0o644, 1, 2, 3, 0, 4, 0, 512, 0, 0, 0, 6, 0, 7, 8, 1, 9, 1, 10, 1];
        let mut expected = vec![0];
        expected.extend(attributes);
        expected.extend([0x0102_0304, 0x0506_0708]);
        expected.extend([1, 0, 7, 5, 0x6162_6364, 0x6500_0000, 0, 9]);
        expected.extend(attributes);
        expected.extend([1, 5, 0xabab_abab, 0xab00_0000]);
        expected.extend([1, 0, 8, 1, 0x6600_0000, 0, 10, 0, 0]);
        expected.extend([0, 1]);
        assert_eq!(words(out), expected);
    }

    /// RFC 1813 §3.3.16, word by word.
    #[test]
    fn a_listing_of_names_has_the_bytes_of_the_rfc() {
        let mut out = Encoder::new();
        let mut page = Page::new(&mut out, room(4096), false);
        page.begin(&ATTRIBUTES, [0; 8]);
        assert!(page.add(DirEntry { fileid: 7, name: b"abcd", cookie: 9, object: None }));
        assert!(page.end(false));
        let head_words = 1 + POST_OP_ATTR_BYTES / 4 + 2;
        assert_eq!(words(out)[head_words..], [1, 0, 7, 4, 0x6162_6364, 0, 9, 0, 0]);
    }

    #[test]
    fn results_are_exactly_as_long_as_the_client_allows_and_no_longer() {
        let entry = DirEntry { fileid: 7, name: b"abcd", cookie: 9, object: None };
        let entry_bytes = ENTRY_BYTES + 4;
        for (bytes, expected) in [(0, false), (entry_bytes - 1, false), (entry_bytes, true)] {
            let mut out = Encoder::new();
            let mut page = Page::new(&mut out, room(FRAME_BYTES + bytes), false);
            page.begin(&ATTRIBUTES, [0; 8]);
            assert_eq!((page.add(entry), page.end(true)), (expected, expected), "{bytes}");
            assert!(!expected || out.len() == 4 + FRAME_BYTES + bytes);
        }
        let mut out = Encoder::new();
        assert!(!Page::new(&mut out, room(FRAME_BYTES - 1), false).end(true), "no room for the frame");
    }

    #[test]
    fn names_fill_dircount_but_for_the_first() {
        let mut out = Encoder::new();
        let room = Room { reply: 4096, names: ENTRY_BYTES };
        let mut page = Page::new(&mut out, room, false);
        page.begin(&ATTRIBUTES, [0; 8]);
        let entry = DirEntry { fileid: 7, name: b"abcd", cookie: 9, object: None };
        assert!(page.add(entry), "one always goes");
        assert!(!page.add(entry));
        assert!(page.end(true));
        assert_eq!(words(out).last(), Some(&0), "not the end: an entry had no room");
    }
}
