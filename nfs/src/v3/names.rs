//! Procedures that make, remove and rename names.

use nfsserve::nfs::nfsstat3;

use super::Context;
use super::wire::{Place, decode_set_attributes, encode_handle, encode_post_op, encode_status, encode_wcc};
use crate::filesystem::{
    Attributes, CreateHow, FileKind, Filesystem, FsError, Handle, Mutation, Renamed, SetAttributes, Wcc,
};
use crate::xdr::{Decoder, Encoder, XdrError, XdrResult};

/// What making `.` or `..` gives: they exist (RFC 1813 §3.3.9).
const DOTS_EXIST: [FsError; 2] = [FsError::Exists; 2];
/// What removing `.` or `..` as a file gives: they are directories.
const DOTS_ARE_DIRECTORIES: [FsError; 2] = [FsError::IsDirectory; 2];
/// What removing `.` or `..` as a directory gives (RFC 1813 §3.3.13).
const DOTS_STAY: [FsError; 2] = [FsError::Invalid, FsError::Exists];
/// What renaming from or to `.` or `..` gives (RFC 1813 §3.3.14).
const DOTS_INVALID: [FsError; 2] = [FsError::Invalid; 2];

/// `ftype3` numbers that MKNOD distinguishes.
mod node {
    pub const BLOCK: u32 = 3;
    pub const CHARACTER: u32 = 4;
    pub const SOCKET: u32 = 6;
    pub const FIFO: u32 = 7;
    pub const NONE: u32 = 0;
    pub const BEYOND: u32 = 8;
}

/// RFC 1813 §3.3.8.
pub async fn create<F: Filesystem>(
    context: &Context<'_, F>,
    args: &mut Decoder<'_>,
    out: &mut Encoder,
) -> XdrResult<()> {
    let place = Place::decode(args)?;
    let how = match args.u32()? {
        0 => CreateHow::Unchecked(decode_set_attributes(args)?),
        1 => CreateHow::Guarded(decode_set_attributes(args)?),
        2 => CreateHow::Exclusive(args.array()?),
        _ => return Err(XdrError::BadValue),
    };
    args.end()?;
    let size = match &how {
        CreateHow::Unchecked(set) | CreateHow::Guarded(set) => set.size.unwrap_or(0),
        CreateHow::Exclusive(_) => 0,
    };
    let made = match place.new_name(context.limits.name_bytes_max, DOTS_EXIST) {
        Ok(_) if size > context.limits.file_bytes_max => refused(FsError::FileTooLarge),
        Ok(name) => context.filesystem.create(context.caller, &place.dir, name, how).await,
        Err(error) => refused(error),
    };
    encode_made(context, &place.dir, made, out).await;
    Ok(())
}

/// RFC 1813 §3.3.9.
pub async fn mkdir<F: Filesystem>(
    context: &Context<'_, F>,
    args: &mut Decoder<'_>,
    out: &mut Encoder,
) -> XdrResult<()> {
    let place = Place::decode(args)?;
    let set = SetAttributes { size: None, ..decode_set_attributes(args)? };
    args.end()?;
    let made = match place.new_name(context.limits.name_bytes_max, DOTS_EXIST) {
        Ok(name) => context.filesystem.mkdir(context.caller, &place.dir, name, set).await,
        Err(error) => refused(error),
    };
    encode_made(context, &place.dir, made, out).await;
    Ok(())
}

/// RFC 1813 §3.3.10.
pub async fn symlink<F: Filesystem>(
    context: &Context<'_, F>,
    args: &mut Decoder<'_>,
    out: &mut Encoder,
) -> XdrResult<()> {
    let place = Place::decode(args)?;
    let set = SetAttributes { size: None, ..decode_set_attributes(args)? };
    let text = args.opaque(usize::MAX)?;
    args.end()?;
    let made = match place.new_name(context.limits.name_bytes_max, DOTS_EXIST) {
        Ok(_) if !context.limits.symlinks => refused(FsError::NotSupported),
        Ok(name) => context.filesystem.symlink(context.caller, &place.dir, name, text, set).await,
        Err(error) => refused(error),
    };
    encode_made(context, &place.dir, made, out).await;
    Ok(())
}

/// RFC 1813 §3.3.11. A storage center has no devices, sockets and pipes.
pub async fn mknod<F: Filesystem>(
    context: &Context<'_, F>,
    args: &mut Decoder<'_>,
    out: &mut Encoder,
) -> XdrResult<()> {
    let place = Place::decode(args)?;
    let kind = args.u32()?;
    match kind {
        node::BLOCK | node::CHARACTER => {
            let _attributes = decode_set_attributes(args)?;
            let _device = args.u64()?;
        }
        node::SOCKET | node::FIFO => {
            let _attributes = decode_set_attributes(args)?;
        }
        node::NONE | node::BEYOND.. => return Err(XdrError::BadValue),
        // Files, directories and links are not made by MKNOD; their case has no arguments.
        _ => {}
    }
    args.end()?;
    let error = match place.new_name(context.limits.name_bytes_max, DOTS_EXIST) {
        Ok(_) => folder_error(context, &place.dir).await.unwrap_or(FsError::NotSupported),
        Err(error) => error,
    };
    // Files, directories and links are made by procedures of their own: theirs is no type that is not supported yet.
    let is_ordinary = !matches!(kind, node::BLOCK | node::CHARACTER | node::SOCKET | node::FIFO);
    if is_ordinary && error == FsError::NotSupported {
        out.u32(nfsstat3::NFS3ERR_BADTYPE as u32);
    } else {
        encode_status(out, Some(error));
    }
    encode_wcc(out, &context.complete(Wcc::default(), Some(error), &place.dir).await);
    Ok(())
}

/// RFC 1813 §3.3.12.
pub async fn remove<F: Filesystem>(
    context: &Context<'_, F>,
    args: &mut Decoder<'_>,
    out: &mut Encoder,
) -> XdrResult<()> {
    let place = Place::decode(args)?;
    args.end()?;
    let removed = match place.new_name(context.limits.name_bytes_max, DOTS_ARE_DIRECTORIES) {
        Ok(name) => context.filesystem.remove(context.caller, &place.dir, name).await,
        Err(error) => refused(error),
    };
    encode_removed(context, &place.dir, removed, out).await;
    Ok(())
}

/// RFC 1813 §3.3.13.
pub async fn rmdir<F: Filesystem>(
    context: &Context<'_, F>,
    args: &mut Decoder<'_>,
    out: &mut Encoder,
) -> XdrResult<()> {
    let place = Place::decode(args)?;
    args.end()?;
    let removed = match place.new_name(context.limits.name_bytes_max, DOTS_STAY) {
        Ok(name) => context.filesystem.rmdir(context.caller, &place.dir, name).await,
        Err(error) => refused(error),
    };
    encode_removed(context, &place.dir, removed, out).await;
    Ok(())
}

/// RFC 1813 §3.3.14.
pub async fn rename<F: Filesystem>(
    context: &Context<'_, F>,
    args: &mut Decoder<'_>,
    out: &mut Encoder,
) -> XdrResult<()> {
    let (from, to) = (Place::decode(args)?, Place::decode(args)?);
    args.end()?;
    let bytes_max = context.limits.name_bytes_max;
    let names = (from.new_name(bytes_max, DOTS_INVALID), to.new_name(bytes_max, DOTS_INVALID));
    let renamed = match names {
        (Ok(from_name), Ok(to_name)) => {
            context.filesystem.rename(context.caller, &from.dir, from_name, &to.dir, to_name, true).await
        }
        (Err(error), _) | (_, Err(error)) => {
            Renamed { result: Err(error), from: Wcc::default(), to: Wcc::default() }
        }
    };
    let error = renamed.result.err();
    encode_status(out, error);
    encode_wcc(out, &context.complete(renamed.from, error, &from.dir).await);
    encode_wcc(out, &context.complete(renamed.to, error, &to.dir).await);
    Ok(())
}

/// RFC 1813 §3.3.15. A storage center has one name for each file.
pub async fn link<F: Filesystem>(
    context: &Context<'_, F>,
    args: &mut Decoder<'_>,
    out: &mut Encoder,
) -> XdrResult<()> {
    let (file, place) = (args.handle()?, Place::decode(args)?);
    args.end()?;
    let error = match place.new_name(context.limits.name_bytes_max, DOTS_EXIST) {
        Ok(_) => match context.filesystem.getattr(context.caller, &file).await {
            Ok(_) => folder_error(context, &place.dir).await.unwrap_or(FsError::NotSupported),
            Err(error) => error,
        },
        Err(error) => error,
    };
    encode_status(out, Some(error));
    encode_post_op(out, context.attributes(&file).await.as_ref());
    encode_wcc(out, &context.complete(Wcc::default(), Some(error), &place.dir).await);
    Ok(())
}

/// Why nothing can be made in what this handle names, whatever it is.
async fn folder_error<F: Filesystem>(context: &Context<'_, F>, dir: &Handle) -> Option<FsError> {
    match context.filesystem.getattr(context.caller, dir).await {
        Ok(attributes) if attributes.kind != FileKind::Directory => Some(FsError::NotDirectory),
        Ok(_) => context.filesystem.is_read_only(context.caller, dir).then_some(FsError::ReadOnly),
        Err(error) => Some(error),
    }
}

/// A change that did not get as far as the file system.
fn refused<T>(error: FsError) -> Mutation<T> {
    Mutation { result: Err(error), wcc: Wcc::default() }
}

/// The results that CREATE, MKDIR, SYMLINK and MKNOD share.
async fn encode_made<F: Filesystem>(
    context: &Context<'_, F>,
    dir: &Handle,
    made: Mutation<(Handle, Attributes)>,
    out: &mut Encoder,
) {
    let Mutation { result, wcc } = made;
    let error = result.as_ref().err().copied();
    encode_status(out, error);
    if let Ok((handle, attributes)) = result {
        out.optional(Some(&handle), encode_handle);
        encode_post_op(out, Some(&attributes));
    }
    encode_wcc(out, &context.complete(wcc, error, dir).await);
}

/// The results that REMOVE and RMDIR share.
async fn encode_removed<F: Filesystem>(
    context: &Context<'_, F>,
    dir: &Handle,
    removed: Mutation<()>,
    out: &mut Encoder,
) {
    let Mutation { result, wcc } = removed;
    let error = result.err();
    encode_status(out, error);
    encode_wcc(out, &context.complete(wcc, error, dir).await);
}
