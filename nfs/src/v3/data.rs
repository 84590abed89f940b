//! Procedures on the bytes of a file: READ, WRITE, COMMIT.

use std::os::unix::fs::FileExt;

use bytes::Bytes;

use super::Context;
use super::wire::{encode_post_op, encode_status, encode_wcc};
use crate::filesystem::{Filesystem, FsError, FsResult, Mutation, Read, Segment, Stability, Wcc, Written};
use crate::record::Record;
use crate::reply::segment_bytes;
use crate::xdr::{Decoder, Encoder, XdrError, XdrResult};

/// Segments of a file from this length on go out by `sendfile`; for shorter ones a read into the reply is cheaper than
/// a system call of their own.
const SENDFILE_BYTES_MIN: u32 = 64 << 10;
/// Segments in memory up to this length are copied into the reply; longer ones are handed to the socket as they are.
const COPY_BYTES_MAX: usize = 8 << 10;

/// RFC 1813 §3.3.6. Gives back the data that is not copied behind the results.
pub async fn read<F: Filesystem>(
    context: &Context<'_, F>,
    args: &mut Decoder<'_>,
    out: &mut Encoder,
) -> XdrResult<Vec<Segment>> {
    let (file, offset, asked) = (args.handle()?, args.u64()?, args.u32()?);
    args.end()?;
    // Fewer bytes than asked are a legal answer; more than a reply may hold, or past the last offset there is, are not.
    let count = u64::from(asked.min(context.limits.read_bytes_max)).min(u64::MAX - offset) as u32;
    let read = context.filesystem.read(context.caller, &file, offset, count).await;
    let read = read.and_then(|read| in_memory(read, count));
    match read {
        Ok(read) => Ok(encode_read(out, read)),
        Err(error) => {
            encode_status(out, Some(error));
            encode_post_op(out, context.attributes_after(error, &file).await.as_ref());
            Ok(Vec::new())
        }
    }
}

/// Replaces short segments of files by their bytes, while an error can still be told to the client.
fn in_memory(mut read: Read, count: u32) -> FsResult<Read> {
    let len: usize = read.data.iter().map(segment_bytes).sum();
    if len > count as usize {
        tracing::error!(len, count, "the file system gave more bytes than it was asked for");
        return Err(FsError::Io);
    }
    for segment in &mut read.data {
        if let Segment::File { file, offset, len } = segment
            && *len < SENDFILE_BYTES_MIN
        {
            let mut bytes = vec![0; *len as usize];
            file.read_exact_at(&mut bytes, *offset).map_err(|error| {
                tracing::error!(%error, "cannot read a file that is to be sent to a client");
                FsError::Io
            })?;
            *segment = Segment::Bytes(Bytes::from(bytes));
        }
    }
    Ok(read)
}

fn encode_read(out: &mut Encoder, read: Read) -> Vec<Segment> {
    let len: usize = read.data.iter().map(segment_bytes).sum();
    encode_status(out, None);
    encode_post_op(out, Some(&read.attributes));
    out.u32(len as u32);
    out.bool(read.eof);
    out.u32(len as u32);
    match &read.data[..] {
        [Segment::Bytes(bytes)] if bytes.len() <= COPY_BYTES_MAX => {
            out.raw(bytes);
            out.pad(bytes.len());
            Vec::new()
        }
        _ => read.data,
    }
}

/// RFC 1813 §3.3.7. The data of a large record is a slice of it: it is not copied on its way to the file system.
pub async fn write<F: Filesystem>(
    context: &Context<'_, F>,
    record: &Record,
    args: &mut Decoder<'_>,
    out: &mut Encoder,
) -> XdrResult<()> {
    let (file, offset, count) = (args.handle()?, args.u64()?, args.u32()?);
    let stability = match args.u32()? {
        0 => Stability::Unstable,
        1 => Stability::DataSync,
        2 => Stability::FileSync,
        _ => return Err(XdrError::BadValue),
    };
    let data = args.opaque(usize::MAX)?;
    args.end()?;
    // Taken before the write: if bytes are lost after it, the verifier of the COMMIT will differ from this one.
    let verifier = context.filesystem.write_verifier();
    let Mutation { result, wcc } = match writable(context, offset, count, data) {
        Ok(data) => {
            let data = record.keep(data);
            context.filesystem.write(context.caller, &file, offset, data, stability).await
        }
        Err(error) => Mutation { result: Err(error), wcc: Wcc::default() },
    };
    let error = result.err();
    encode_status(out, error);
    encode_wcc(out, &context.complete(wcc, error, &file).await);
    if let Ok(Written { count, committed }) = result {
        out.u32(count);
        out.u32(committed as u32);
        out.array(&verifier);
    }
    Ok(())
}

/// The part of a WRITE's data that may be taken: at most the largest WRITE, within the largest file.
fn writable<'a, F>(context: &Context<'_, F>, offset: u64, count: u32, data: &'a [u8]) -> FsResult<&'a [u8]> {
    if data.len() != count as usize {
        return Err(FsError::Invalid);
    }
    let end = offset.checked_add(u64::from(count));
    if end.is_none_or(|end| end > context.limits.file_bytes_max) {
        return Err(FsError::FileTooLarge);
    }
    Ok(&data[..data.len().min(context.limits.write_bytes_max as usize)])
}

/// RFC 1813 §3.3.21.
pub async fn commit<F: Filesystem>(
    context: &Context<'_, F>,
    args: &mut Decoder<'_>,
    out: &mut Encoder,
) -> XdrResult<()> {
    let (file, offset, count) = (args.handle()?, args.u64()?, args.u32()?);
    args.end()?;
    let Mutation { result, wcc } = context.filesystem.commit(context.caller, &file, offset, count).await;
    let error = result.err();
    encode_status(out, error);
    encode_wcc(out, &context.complete(wcc, error, &file).await);
    if error.is_none() {
        // Taken after the commit: if bytes were lost during it, the client learns so and writes them again.
        out.array(&context.filesystem.write_verifier());
    }
    Ok(())
}
