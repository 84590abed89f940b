//! Procedures on one object as a whole: attributes, rights, names looked up, and what the file system can do.

use super::Context;
use super::directories::REPLY_BYTES_MAX;
use super::wire::{
    Place, decode_set_attributes, encode_attributes, encode_handle, encode_post_op, encode_status, encode_wcc,
};
use crate::filesystem::{Access, Filesystem, FsError, Mutation, Wcc};
use crate::xdr::{Decoder, Encoder, XdrResult};

/// Sizes of READ and WRITE are best a multiple of this.
const TRANSFER_MULTIPLE: u32 = 4096;
/// `FSF3_SYMLINK`: symbolic links can be made.
const PROPERTY_SYMLINK: u32 = 0x02;
/// `FSF3_HOMOGENEOUS`: PATHCONF is the same for all objects.
const PROPERTY_HOMOGENEOUS: u32 = 0x08;
/// `FSF3_CANSETTIME`: SETATTR can set times.
const PROPERTY_CAN_SET_TIME: u32 = 0x10;

/// RFC 1813 §3.3.1.
pub async fn getattr<F: Filesystem>(
    context: &Context<'_, F>,
    args: &mut Decoder<'_>,
    out: &mut Encoder,
) -> XdrResult<()> {
    let object = args.handle()?;
    args.end()?;
    match context.filesystem.getattr(context.caller, &object).await {
        Ok(attributes) => {
            encode_status(out, None);
            encode_attributes(out, &attributes);
        }
        Err(error) => encode_status(out, Some(error)),
    }
    Ok(())
}

/// RFC 1813 §3.3.2. The guard goes to the file system, which alone can compare and change in one step.
pub async fn setattr<F: Filesystem>(
    context: &Context<'_, F>,
    args: &mut Decoder<'_>,
    out: &mut Encoder,
) -> XdrResult<()> {
    let object = args.handle()?;
    let set = decode_set_attributes(args)?;
    let guard = args.optional(Decoder::time)?;
    args.end()?;
    let Mutation { result, wcc } = if set.size.is_some_and(|size| size > context.limits.file_bytes_max) {
        Mutation { result: Err(FsError::FileTooLarge), wcc: Wcc::default() }
    } else {
        context.filesystem.setattr(context.caller, &object, set, guard).await
    };
    let error = result.err();
    encode_status(out, error);
    encode_wcc(out, &context.complete(wcc, error, &object).await);
    Ok(())
}

/// RFC 1813 §3.3.3.
pub async fn lookup<F: Filesystem>(
    context: &Context<'_, F>,
    args: &mut Decoder<'_>,
    out: &mut Encoder,
) -> XdrResult<()> {
    let place = Place::decode(args)?;
    args.end()?;
    let found = match place.name(context.limits.name_bytes_max) {
        Ok(name) => context.filesystem.lookup(context.caller, &place.dir, name).await,
        Err(error) => Err(error),
    };
    match found {
        Ok((handle, attributes)) => {
            encode_status(out, None);
            encode_handle(out, &handle);
            encode_post_op(out, Some(&attributes));
            encode_post_op(out, context.attributes(&place.dir).await.as_ref());
        }
        Err(error) => {
            encode_status(out, Some(error));
            encode_post_op(out, context.attributes_after(error, &place.dir).await.as_ref());
        }
    }
    Ok(())
}

/// RFC 1813 §3.3.4.
pub async fn access<F: Filesystem>(
    context: &Context<'_, F>,
    args: &mut Decoder<'_>,
    out: &mut Encoder,
) -> XdrResult<()> {
    let (object, wanted) = (args.handle()?, Access(args.u32()?));
    args.end()?;
    match context.filesystem.access(context.caller, &object, wanted).await {
        Ok((Access(granted), attributes)) => {
            encode_status(out, None);
            encode_post_op(out, Some(&attributes));
            // Never more than was asked: clients cache the answer for the bits of their question.
            out.u32(granted & wanted.0);
        }
        Err(error) => {
            encode_status(out, Some(error));
            encode_post_op(out, context.attributes_after(error, &object).await.as_ref());
        }
    }
    Ok(())
}

/// RFC 1813 §3.3.5.
pub async fn readlink<F: Filesystem>(
    context: &Context<'_, F>,
    args: &mut Decoder<'_>,
    out: &mut Encoder,
) -> XdrResult<()> {
    let link = args.handle()?;
    args.end()?;
    match context.filesystem.readlink(context.caller, &link).await {
        Ok(text) => {
            encode_status(out, None);
            encode_post_op(out, context.attributes(&link).await.as_ref());
            out.opaque(&text);
        }
        Err(error) => {
            encode_status(out, Some(error));
            encode_post_op(out, context.attributes_after(error, &link).await.as_ref());
        }
    }
    Ok(())
}

/// RFC 1813 §3.3.18.
pub async fn fsstat<F: Filesystem>(
    context: &Context<'_, F>,
    args: &mut Decoder<'_>,
    out: &mut Encoder,
) -> XdrResult<()> {
    let object = args.handle()?;
    args.end()?;
    match context.filesystem.space(context.caller, &object).await {
        Ok(space) => {
            encode_status(out, None);
            encode_post_op(out, context.attributes(&object).await.as_ref());
            // Free and available are the same: no part is kept back for a superuser.
            let bytes = [space.bytes_total, space.bytes_free, space.bytes_free];
            let files = [space.files_total, space.files_free, space.files_free];
            bytes.into_iter().chain(files).for_each(|count| out.u64(count));
            // `invarsec` 0: the counts may change at any moment.
            out.u32(0);
        }
        Err(error) => {
            encode_status(out, Some(error));
            encode_post_op(out, context.attributes_after(error, &object).await.as_ref());
        }
    }
    Ok(())
}

/// RFC 1813 §3.3.19.
pub async fn fsinfo<F: Filesystem>(
    context: &Context<'_, F>,
    args: &mut Decoder<'_>,
    out: &mut Encoder,
) -> XdrResult<()> {
    let object = args.handle()?;
    args.end()?;
    let attributes = match context.filesystem.getattr(context.caller, &object).await {
        Ok(attributes) => attributes,
        Err(error) => {
            encode_status(out, Some(error));
            encode_post_op(out, None);
            return Ok(());
        }
    };
    let limits = &context.limits;
    encode_status(out, None);
    encode_post_op(out, Some(&attributes));
    let (read, write) = (limits.read_bytes_max, limits.write_bytes_max);
    out.u32s([read, read, TRANSFER_MULTIPLE, write, write, TRANSFER_MULTIPLE]);
    out.u32(REPLY_BYTES_MAX);
    out.u64(limits.file_bytes_max);
    let time_delta_one_nanosecond = [0, 1];
    out.u32s(time_delta_one_nanosecond);
    let symlink = if limits.symlinks { PROPERTY_SYMLINK } else { 0 };
    out.u32(symlink | PROPERTY_HOMOGENEOUS | PROPERTY_CAN_SET_TIME);
    Ok(())
}

/// RFC 1813 §3.3.20.
pub async fn pathconf<F: Filesystem>(
    context: &Context<'_, F>,
    args: &mut Decoder<'_>,
    out: &mut Encoder,
) -> XdrResult<()> {
    let object = args.handle()?;
    args.end()?;
    match context.filesystem.getattr(context.caller, &object).await {
        Ok(attributes) => {
            encode_status(out, None);
            encode_post_op(out, Some(&attributes));
            out.u32(context.limits.links_max);
            out.u32(context.limits.name_bytes_max);
            let (no_truncation, chown_restricted, case_insensitive, case_preserving) =
                (true, true, false, true);
            out.u32s([no_truncation, chown_restricted, case_insensitive, case_preserving].map(u32::from));
        }
        Err(error) => {
            encode_status(out, Some(error));
            encode_post_op(out, None);
        }
    }
    Ok(())
}
