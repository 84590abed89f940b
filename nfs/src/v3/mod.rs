//! NFS version 3 (RFC 1813): its 22 procedures, each one function from arguments to results.
//!
//! The procedures decode, check what the protocol itself forbids, ask the [`Filesystem`] once and encode. They fill
//! every pre- and post-operation attribute, after errors too, because clients without them fall back to asking again
//! for everything. They keep no state: what must be remembered between calls is the file system's.

mod data;
mod directories;
mod names;
mod objects;
pub mod status;
mod wire;

use crate::filesystem::{Attributes, Before, Caller, Filesystem, FsError, Handle, Limits, Segment, Wcc};
use crate::record::Record;
use crate::rpc::Refusal;
use crate::xdr::{Decoder, Encoder};

/// Program number of NFS (RFC 1813 §2.1).
pub const PROGRAM: u32 = 100_003;
/// The version served.
pub const VERSION: u32 = 3;

/// Procedure numbers (RFC 1813 §3.3).
pub mod procedure {
    #![allow(missing_docs, reason = "the names are those of RFC 1813")]
    pub const NULL: u32 = 0;
    pub const GETATTR: u32 = 1;
    pub const SETATTR: u32 = 2;
    pub const LOOKUP: u32 = 3;
    pub const ACCESS: u32 = 4;
    pub const READLINK: u32 = 5;
    pub const READ: u32 = 6;
    pub const WRITE: u32 = 7;
    pub const CREATE: u32 = 8;
    pub const MKDIR: u32 = 9;
    pub const SYMLINK: u32 = 10;
    pub const MKNOD: u32 = 11;
    pub const REMOVE: u32 = 12;
    pub const RMDIR: u32 = 13;
    pub const RENAME: u32 = 14;
    pub const LINK: u32 = 15;
    pub const READDIR: u32 = 16;
    pub const READDIRPLUS: u32 = 17;
    pub const FSSTAT: u32 = 18;
    pub const FSINFO: u32 = 19;
    pub const PATHCONF: u32 = 20;
    pub const COMMIT: u32 = 21;
}

/// What every procedure works with.
pub(crate) struct Context<'a, F> {
    pub filesystem: &'a F,
    pub caller: &'a Caller,
    pub limits: Limits,
}

impl<F: Filesystem> Context<'_, F> {
    /// The attributes of an object as they are now, where they can be learnt.
    async fn attributes(&self, object: &Handle) -> Option<Attributes> {
        self.filesystem.getattr(self.caller, object).await.ok()
    }

    /// The attributes of the object of a call that failed. Not asked for where the answer is known to be an error.
    async fn attributes_after(&self, error: FsError, object: &Handle) -> Option<Attributes> {
        match error {
            FsError::BadHandle | FsError::Stale => None,
            _ => self.attributes(object).await,
        }
    }

    /// Fills in the attributes around a change where the file system left them out. A call that failed changed nothing,
    /// so the attributes after it are those before it.
    async fn complete(&self, wcc: Wcc, error: Option<FsError>, object: &Handle) -> Wcc {
        let after = match (wcc.after, error) {
            (Some(after), _) => Some(after),
            (None, Some(error)) => self.attributes_after(error, object).await,
            (None, None) => self.attributes(object).await,
        };
        let unchanged = || after.as_ref().filter(|_| error.is_some()).map(Before::from);
        Wcc { before: wcc.before.or_else(unchanged), after }
    }
}

/// Carries out one call: reads `args`, which lie within `record`, appends the results to `out` and gives back the data
/// that follows them (READ alone has any).
///
/// # Errors
/// The arguments cannot be read, or there is no such procedure; `out` is to be thrown away.
pub(crate) async fn call<F: Filesystem>(
    context: &Context<'_, F>,
    procedure: u32,
    record: &Record,
    args: &mut Decoder<'_>,
    out: &mut Encoder,
) -> Result<Vec<Segment>, Refusal> {
    match procedure {
        procedure::NULL => {}
        procedure::GETATTR => objects::getattr(context, args, out).await?,
        procedure::SETATTR => objects::setattr(context, args, out).await?,
        procedure::LOOKUP => objects::lookup(context, args, out).await?,
        procedure::ACCESS => objects::access(context, args, out).await?,
        procedure::READLINK => objects::readlink(context, args, out).await?,
        procedure::READ => return Ok(data::read(context, args, out).await?),
        procedure::WRITE => data::write(context, record, args, out).await?,
        procedure::CREATE => names::create(context, args, out).await?,
        procedure::MKDIR => names::mkdir(context, args, out).await?,
        procedure::SYMLINK => names::symlink(context, args, out).await?,
        procedure::MKNOD => names::mknod(context, args, out).await?,
        procedure::REMOVE => names::remove(context, args, out).await?,
        procedure::RMDIR => names::rmdir(context, args, out).await?,
        procedure::RENAME => names::rename(context, args, out).await?,
        procedure::LINK => names::link(context, args, out).await?,
        procedure::READDIR => directories::readdir(context, args, out).await?,
        procedure::READDIRPLUS => directories::readdirplus(context, args, out).await?,
        procedure::FSSTAT => objects::fsstat(context, args, out).await?,
        procedure::FSINFO => objects::fsinfo(context, args, out).await?,
        procedure::PATHCONF => objects::pathconf(context, args, out).await?,
        procedure::COMMIT => data::commit(context, args, out).await?,
        _ => return Err(Refusal::ProcedureUnavailable),
    }
    Ok(Vec::new())
}

/// Whether a call changes nothing, so that a repetition of it needs no first answer.
pub(crate) const fn has_no_effect(procedure: u32) -> bool {
    matches!(
        procedure,
        procedure::NULL
            | procedure::GETATTR
            | procedure::LOOKUP
            | procedure::ACCESS
            | procedure::READLINK
            | procedure::READ
            | procedure::READDIR
            | procedure::READDIRPLUS
            | procedure::FSSTAT
            | procedure::FSINFO
            | procedure::PATHCONF
    )
}

/// Whether a call changes more than a file's bytes, and a second time would not do the same. What it asks for is short.
pub(crate) const fn changes_names_or_attributes(procedure: u32) -> bool {
    !has_no_effect(procedure) && !matches!(procedure, procedure::WRITE | procedure::COMMIT)
}

/// Bytes of memory the reply to a call may take beyond an ordinary small one, told from its last argument before it is
/// decoded: `count` of READ and READDIR and `maxcount` of READDIRPLUS come last in their arguments.
pub(crate) fn reply_bytes_max(procedure: u32, args: &[u8], limits: &Limits) -> usize {
    let asked = args.last_chunk().map_or(0, |last| u32::from_be_bytes(*last));
    match procedure {
        procedure::READ => asked.min(limits.read_bytes_max) as usize,
        procedure::READDIR | procedure::READDIRPLUS => asked.min(directories::REPLY_BYTES_MAX) as usize,
        _ => 0,
    }
}
