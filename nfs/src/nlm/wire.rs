//! The structures of NLM version 4 (X/Open XNFS, chapter 14): arguments and results, bytes in, values out.

use super::table::{Kind, Range};
use crate::filesystem::Handle;
use crate::xdr::{Decoder, Encoder, XdrError, XdrResult};

/// Longest cookie, owner or handle (`MAXNETOBJ_SZ`).
pub const NETOBJ_BYTES_MAX: usize = 1024;
/// Longest name of a client (`LM_MAXSTRLEN`).
pub const NAME_BYTES_MAX: usize = 1024;

/// What became of a call (`nlm4_stats`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Done.
    Granted = 0,
    /// Somebody else holds it.
    Denied = 1,
    /// A bound is reached, or the client could not be remembered.
    DeniedNoLocks = 2,
    /// The client waits; it will be called.
    Blocked = 3,
    /// The server has started anew: for some time only old locks are taken again.
    DeniedGracePeriod = 4,
    /// The client would wait for itself.
    Deadlock = 5,
    /// The export is read-only.
    ReadOnly = 6,
    /// The file is gone, or these bytes are no handle.
    StaleHandle = 7,
    /// The range ends past the last possible byte.
    TooBig = 8,
    /// Anything else: the caller may not use the file, for one.
    Failed = 9,
}

impl Status {
    /// Reads one.
    pub fn decode(args: &mut Decoder<'_>) -> XdrResult<Self> {
        const ALL: [Status; 10] = [
            Status::Granted,
            Status::Denied,
            Status::DeniedNoLocks,
            Status::Blocked,
            Status::DeniedGracePeriod,
            Status::Deadlock,
            Status::ReadOnly,
            Status::StaleHandle,
            Status::TooBig,
            Status::Failed,
        ];
        ALL.get(args.u32()? as usize).copied().ok_or(XdrError::BadValue)
    }
}

/// A lock as a client names it (`nlm4_lock`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock<'a> {
    /// What the client calls itself.
    pub name: &'a [u8],
    /// Handle of the file, as it came.
    pub file: &'a [u8],
    /// The owner at the client: opaque, …
    pub oh: &'a [u8],
    /// … and its process there.
    pub svid: u32,
    /// First byte.
    pub offset: u64,
    /// Bytes; 0 for all to the end.
    pub len: u64,
}

impl<'a> Lock<'a> {
    fn decode(args: &mut Decoder<'a>) -> XdrResult<Self> {
        Ok(Self {
            name: args.opaque(NAME_BYTES_MAX)?,
            file: args.opaque(NETOBJ_BYTES_MAX)?,
            oh: args.opaque(NETOBJ_BYTES_MAX)?,
            svid: args.u32()?,
            offset: args.u64()?,
            len: args.u64()?,
        })
    }

    fn encode(&self, out: &mut Encoder) {
        out.opaque(self.name);
        out.opaque(self.file);
        out.opaque(self.oh);
        out.u32(self.svid);
        out.u64(self.offset);
        out.u64(self.len);
    }

    /// The file's handle, if these bytes may be one.
    pub fn handle(&self) -> Result<Handle, Status> {
        Handle::new(self.file).ok_or(Status::StaleHandle)
    }

    /// The bytes meant.
    pub const fn range(&self) -> Result<Range, Status> {
        match Range::new(self.offset, self.len) {
            Some(range) => Ok(range),
            None => Err(Status::TooBig),
        }
    }
}

const fn kind(exclusive: bool) -> Kind {
    if exclusive { Kind::Exclusive } else { Kind::Shared }
}

/// Arguments of TEST and GRANTED (`nlm4_testargs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestArgs<'a> {
    /// To be given back.
    pub cookie: &'a [u8],
    /// Shared or exclusive.
    pub kind: Kind,
    /// Which lock.
    pub lock: Lock<'a>,
}

impl<'a> TestArgs<'a> {
    /// Reads all of them.
    pub fn decode(args: &mut Decoder<'a>) -> XdrResult<Self> {
        let cookie = args.opaque(NETOBJ_BYTES_MAX)?;
        let decoded = Self { cookie, kind: kind(args.bool()?), lock: Lock::decode(args)? };
        args.end().map(|()| decoded)
    }

    /// For the calls this server makes itself.
    pub fn encode(&self, out: &mut Encoder) {
        out.opaque(self.cookie);
        out.bool(self.kind == Kind::Exclusive);
        self.lock.encode(out);
    }
}

/// Arguments of LOCK and NM_LOCK (`nlm4_lockargs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockArgs<'a> {
    /// To be given back.
    pub cookie: &'a [u8],
    /// Whether the client would wait.
    pub block: bool,
    /// Shared or exclusive.
    pub kind: Kind,
    /// Which lock.
    pub lock: Lock<'a>,
    /// Whether it had this lock before the server started anew.
    pub reclaim: bool,
    /// State number of the client's status monitor.
    pub state: u32,
}

impl<'a> LockArgs<'a> {
    /// Reads all of them.
    pub fn decode(args: &mut Decoder<'a>) -> XdrResult<Self> {
        let decoded = Self {
            cookie: args.opaque(NETOBJ_BYTES_MAX)?,
            block: args.bool()?,
            kind: kind(args.bool()?),
            lock: Lock::decode(args)?,
            reclaim: args.bool()?,
            state: args.u32()?,
        };
        args.end().map(|()| decoded)
    }
}

/// Arguments of CANCEL (`nlm4_cancargs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CancelArgs<'a> {
    /// To be given back.
    pub cookie: &'a [u8],
    /// Shared or exclusive.
    pub kind: Kind,
    /// Which lock is no longer waited for.
    pub lock: Lock<'a>,
}

impl<'a> CancelArgs<'a> {
    /// Reads all of them.
    pub fn decode(args: &mut Decoder<'a>) -> XdrResult<Self> {
        let cookie = args.opaque(NETOBJ_BYTES_MAX)?;
        // Says that the lock was asked for with "block", which is true of every one that waits.
        let _block = args.bool()?;
        let decoded = Self { cookie, kind: kind(args.bool()?), lock: Lock::decode(args)? };
        args.end().map(|()| decoded)
    }
}

/// Arguments of UNLOCK (`nlm4_unlockargs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnlockArgs<'a> {
    /// To be given back.
    pub cookie: &'a [u8],
    /// Which bytes.
    pub lock: Lock<'a>,
}

impl<'a> UnlockArgs<'a> {
    /// Reads all of them.
    pub fn decode(args: &mut Decoder<'a>) -> XdrResult<Self> {
        let decoded = Self { cookie: args.opaque(NETOBJ_BYTES_MAX)?, lock: Lock::decode(args)? };
        args.end().map(|()| decoded)
    }
}

/// Arguments of SHARE and UNSHARE (`nlm4_shareargs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareArgs<'a> {
    /// To be given back.
    pub cookie: &'a [u8],
    /// What the client calls itself.
    pub name: &'a [u8],
    /// Handle of the file, as it came.
    pub file: &'a [u8],
    /// The owner at the client.
    pub oh: &'a [u8],
    /// What others shall not do meanwhile: bits 1 read, 2 write.
    pub deny: u32,
    /// What the owner does: the same bits.
    pub access: u32,
    /// Whether it had this before the server started anew.
    pub reclaim: bool,
}

impl<'a> ShareArgs<'a> {
    /// Reads all of them.
    pub fn decode(args: &mut Decoder<'a>) -> XdrResult<Self> {
        fn bits(args: &mut Decoder<'_>) -> XdrResult<u32> {
            args.u32().and_then(|bits| if bits <= 3 { Ok(bits) } else { Err(XdrError::BadValue) })
        }
        let decoded = Self {
            cookie: args.opaque(NETOBJ_BYTES_MAX)?,
            name: args.opaque(NAME_BYTES_MAX)?,
            file: args.opaque(NETOBJ_BYTES_MAX)?,
            oh: args.opaque(NETOBJ_BYTES_MAX)?,
            deny: bits(args)?,
            access: bits(args)?,
            reclaim: args.bool()?,
        };
        args.end().map(|()| decoded)
    }
}

/// Arguments of FREE_ALL (`nlm4_notify`): a client's name and state number.
pub fn decode_free_all<'a>(args: &mut Decoder<'a>) -> XdrResult<&'a [u8]> {
    let name = args.opaque(NAME_BYTES_MAX)?;
    let _state = args.u32()?;
    args.end().map(|()| name)
}

/// Cookie and status (`nlm4_res`), as GRANTED_RES brings them.
pub fn decode_result<'a>(args: &mut Decoder<'a>) -> XdrResult<(&'a [u8], Status)> {
    let result = (args.opaque(NETOBJ_BYTES_MAX)?, Status::decode(args)?);
    args.end().map(|()| result)
}

/// Cookie and status (`nlm4_res`).
pub fn encode_result(out: &mut Encoder, cookie: &[u8], status: Status) {
    out.opaque(cookie);
    out.u32(status as u32);
}

/// A lock in the way (`nlm4_holder`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Shared or exclusive.
    pub kind: Kind,
    /// The owner's process at its client.
    pub svid: u32,
    /// The owner at its client.
    pub oh: Box<[u8]>,
    /// Which bytes.
    pub range: Range,
}

/// The answer to TEST (`nlm4_testres`): with who is in the way, if somebody is.
pub fn encode_test_result(out: &mut Encoder, cookie: &[u8], result: &Result<Status, Holder>) {
    match result {
        Ok(status) => encode_result(out, cookie, *status),
        Err(Holder { kind, svid, oh, range }) => {
            encode_result(out, cookie, Status::Denied);
            out.bool(*kind == Kind::Exclusive);
            out.u32(*svid);
            out.opaque(oh);
            let (offset, len) = range.on_wire();
            out.u64(offset);
            out.u64(len);
        }
    }
}

/// The answer to SHARE and UNSHARE (`nlm4_shareres`). The sequence number means nothing in this version.
pub fn encode_share_result(out: &mut Encoder, cookie: &[u8], status: Status) {
    encode_result(out, cookie, status);
    out.u32(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock() -> Lock<'static> {
        Lock { name: b"client", file: b"fhandle8", oh: b"7@client", svid: 7, offset: 5, len: 10 }
    }

    fn lock_bytes() -> Vec<u8> {
        [
            &b"\0\0\0\x06client\0\0"[..],
            b"\0\0\0\x08fhandle8",
            b"\0\0\0\x087@client",
            b"\0\0\0\x07",
            b"\0\0\0\0\0\0\0\x05",
            b"\0\0\0\0\0\0\0\x0a",
        ]
        .concat()
    }

    const COOKIE: &[u8] = b"\0\0\0\x04\0\0\0\x2a";
    const YES: &[u8] = b"\0\0\0\x01";
    const NO: &[u8] = b"\0\0\0\0";

    #[test]
    fn arguments_are_read_word_by_word() {
        let cookie = &b"\0\0\0\x2a"[..];
        let (lock, bytes) = (lock(), lock_bytes());
        let kind = Kind::Exclusive;

        let call = [COOKIE, YES, YES, &bytes, NO, b"\0\0\0\x03"].concat();
        let expected = LockArgs { cookie, block: true, kind, lock, reclaim: false, state: 3 };
        assert_eq!(LockArgs::decode(&mut Decoder::new(&call)), Ok(expected));

        let call = [COOKIE, YES, YES, &bytes].concat();
        assert_eq!(CancelArgs::decode(&mut Decoder::new(&call)), Ok(CancelArgs { cookie, kind, lock }));

        let call = [COOKIE, &bytes].concat();
        assert_eq!(UnlockArgs::decode(&mut Decoder::new(&call)), Ok(UnlockArgs { cookie, lock }));

        let call = [COOKIE, NO, &bytes].concat();
        let expected = TestArgs { cookie, kind: Kind::Shared, lock };
        assert_eq!(TestArgs::decode(&mut Decoder::new(&call)), Ok(expected));
        let mut out = Encoder::new();
        expected.encode(&mut out);
        assert_eq!(out.into_bytes(), call, "and written the same");

        let call = [COOKIE, &bytes[..36], b"\0\0\0\x02", b"\0\0\0\x01", NO].concat();
        let Lock { name, file, oh, .. } = lock;
        let expected = ShareArgs { cookie, name, file, oh, deny: 2, access: 1, reclaim: false };
        assert_eq!(ShareArgs::decode(&mut Decoder::new(&call)), Ok(expected));

        assert_eq!(decode_free_all(&mut Decoder::new(b"\0\0\0\x02ab\0\0\0\0\0\x05")), Ok(&b"ab"[..]));
        let result = [COOKIE, b"\0\0\0\x04"].concat();
        assert_eq!(decode_result(&mut Decoder::new(&result)), Ok((cookie, Status::DeniedGracePeriod)));
    }

    #[test]
    fn results_are_written_word_by_word() {
        let mut out = Encoder::new();
        encode_test_result(&mut out, b"\0\0\0\x2a", &Ok(Status::Granted));
        assert_eq!(out.into_bytes(), [COOKIE, NO].concat());

        let range = Range::new(9, 0).unwrap();
        let holder = Holder { kind: Kind::Exclusive, svid: 7, oh: b"7@c".to_vec().into(), range };
        let mut out = Encoder::new();
        encode_test_result(&mut out, b"\0\0\0\x2a", &Err(holder));
        let expected =
            [COOKIE, YES, YES, b"\0\0\0\x07", b"\0\0\0\x037@c\0", &[0; 7], b"\x09", &[0; 8]].concat();
        assert_eq!(out.into_bytes(), expected);

        let mut out = Encoder::new();
        encode_share_result(&mut out, b"\0\0\0\x2a", Status::Denied);
        assert_eq!(out.into_bytes(), [COOKIE, YES, NO].concat());
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        for bytes in [&b"\xff\xff\xff\xff"[..], b"\0\0\x04\x01", b"\0\0\x04\0", b"\0\0\0\x01"] {
            assert!(LockArgs::decode(&mut Decoder::new(bytes)).is_err());
        }
        let edge = |len: usize| {
            let mut out = Encoder::new();
            out.opaque(&vec![7; len]);
            out.raw(&lock_bytes());
            UnlockArgs::decode(&mut Decoder::new(&out.into_bytes())).map(|args| args.cookie.len())
        };
        assert_eq!(edge(NETOBJ_BYTES_MAX), Ok(NETOBJ_BYTES_MAX));
        assert_eq!(edge(NETOBJ_BYTES_MAX + 1), Err(XdrError::TooLong));
        let behind = [COOKIE, &lock_bytes(), NO].concat();
        assert_eq!(UnlockArgs::decode(&mut Decoder::new(&behind)), Err(XdrError::Trailing));
    }

    #[test]
    fn what_cannot_be_locked_has_its_status() {
        assert_eq!(Lock { offset: u64::MAX, len: 2, ..lock() }.range(), Err(Status::TooBig));
        assert_eq!(Lock { file: &[1; 65], ..lock() }.handle(), Err(Status::StaleHandle));
    }
}
