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

/// RFC 1813 §3.3.16.
pub async fn readdir<F: Filesystem>(
    context: &Context<'_, F>,
    args: &mut Decoder<'_>,
    out: &mut Encoder,
) -> XdrResult<()> {
    let (dir, cookie, verifier, count) = (args.handle()?, args.u64()?, args.array()?, args.u32()?);
    args.end()?;
    let room = Room { reply: clamp(count), names: usize::MAX };
    let from = ListFrom { cookie, verifier, entries_max: room.entries_max(ENTRY_BYTES + 4), objects: false };
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
    let entry_bytes_min = ENTRY_BYTES + 4 + OBJECT_BYTES;
    let from = ListFrom { cookie, verifier, entries_max: room.entries_max(entry_bytes_min), objects: true };
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

impl Room {
    /// Entries that could fit at the very most; one more is never of use.
    fn entries_max(&self, entry_bytes_min: usize) -> usize {
        (self.reply.saturating_sub(FRAME_BYTES) / entry_bytes_min).max(1)
    }
}

async fn list<F: Filesystem>(
    context: &Context<'_, F>,
    dir: &Handle,
    from: ListFrom,
    room: Room,
    out: &mut Encoder,
) {
    let listing = context.filesystem.list(context.caller, dir, from).await;
    let error = listing.as_ref().err().copied();
    let attributes = match error {
        Some(error) => context.attributes_after(error, dir).await,
        None => context.attributes(dir).await,
    };
    let fitting = listing.map_err(status).and_then(|listing| {
        let fitting = fit(&listing, &room, from.objects);
        // Without an entry a client would ask for the same place for ever.
        if fitting == 0 && (!listing.entries.is_empty() || room.reply < FRAME_BYTES) {
            Err(nfsstat3::NFS3ERR_TOOSMALL)
        } else {
            Ok((listing, fitting))
        }
    });
    match fitting {
        Ok((listing, fitting)) => encode_listing(out, attributes.as_ref(), &listing, fitting, from.objects),
        Err(status) => {
            out.u32(status as u32);
            encode_post_op(out, attributes.as_ref());
        }
    }
}

/// How many entries from the front have room.
fn fit(listing: &Listing, room: &Room, objects: bool) -> usize {
    let (mut reply, mut names) = (FRAME_BYTES, 0);
    let fits = |entry: &&DirEntry| {
        let name = ENTRY_BYTES + entry.name.len() + padding(entry.name.len());
        let first = names == 0;
        reply += name + if objects { object_bytes(entry) } else { 0 };
        names += name;
        reply <= room.reply && (names <= room.names || first)
    };
    listing.entries.iter().take_while(fits).count()
}

fn object_bytes(entry: &DirEntry) -> usize {
    match &entry.object {
        Some((handle, _)) => {
            let len = handle.as_bytes().len();
            OBJECT_BYTES + len + padding(len)
        }
        None => 4 + 4,
    }
}

fn encode_listing(
    out: &mut Encoder,
    attributes: Option<&Attributes>,
    listing: &Listing,
    fitting: usize,
    objects: bool,
) {
    encode_status(out, None);
    encode_post_op(out, attributes);
    out.array(&listing.verifier);
    for entry in &listing.entries[..fitting] {
        out.bool(true);
        out.u64(entry.fileid);
        out.opaque(&entry.name);
        out.u64(entry.cookie);
        if objects {
            encode_post_op(out, entry.object.as_ref().map(|(_, attributes)| attributes));
            out.optional(entry.object.as_ref().map(|(handle, _)| handle), encode_handle);
        }
    }
    out.bool(false);
    out.bool(listing.end && fitting == listing.entries.len());
}
