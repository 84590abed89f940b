//! The procedures of NLM: from arguments to results. What is asked for is decided by [`super::manager`].

use std::net::IpAddr;

use super::courier::{self, Message};
use super::manager::{How, Request, ShareRequest, ShareWay};
use super::service::Locks;
use super::table::{Kind, Piece};
use super::wire::{self, CancelArgs, Lock, LockArgs, ShareArgs, Status, TestArgs, UnlockArgs};
use crate::filesystem::{Access, Caller, Filesystem, FsError, Handle};
use crate::nsm::ledger::Client;
use crate::rpc::Refusal;
use crate::xdr::{Decoder, Encoder, XdrResult};

/// Procedure numbers.
pub(super) mod procedure {
    pub const NULL: u32 = 0;
    pub const TEST: u32 = 1;
    pub const LOCK: u32 = 2;
    pub const CANCEL: u32 = 3;
    pub const UNLOCK: u32 = 4;
    pub const GRANTED: u32 = 5;
    /// The first five again, as messages: answered not by results but by a call of one of the next five.
    pub const TEST_MSG: u32 = 6;
    pub const GRANTED_MSG: u32 = 10;
    pub const TEST_RES: u32 = 11;
    pub const UNLOCK_RES: u32 = 14;
    pub const GRANTED_RES: u32 = 15;
    pub const SHARE: u32 = 20;
    pub const UNSHARE: u32 = 21;
    pub const NM_LOCK: u32 = 22;
    pub const FREE_ALL: u32 = 23;
}

/// How a LOCK came.
#[derive(Clone, Copy)]
struct Way {
    monitored: bool,
    by_message: bool,
}

/// What every procedure works with.
pub(crate) struct Context<'a, F> {
    pub filesystem: &'a F,
    pub caller: &'a Caller,
    /// By which address the caller reached this server.
    pub local: IpAddr,
    pub locks: &'a Locks,
}

/// Carries out one call: reads `args` and appends the results to `out`.
///
/// # Errors
/// The arguments cannot be read, or there is no such procedure; `out` is to be thrown away.
pub(crate) async fn call<F: Filesystem>(
    context: &Context<'_, F>,
    procedure: u32,
    args: &mut Decoder<'_>,
    out: &mut Encoder,
) -> Result<(), Refusal> {
    match procedure {
        procedure::NULL => {}
        procedure::TEST..=procedure::GRANTED => context.basic(procedure, false, args, out).await?,
        procedure::TEST_MSG..=procedure::GRANTED_MSG => context.message(procedure, args).await?,
        // Answers to messages that this server never sends.
        procedure::TEST_RES..=procedure::UNLOCK_RES => {}
        procedure::GRANTED_RES => context.granted_answer(args)?,
        procedure::SHARE => context.share(args, out).await?,
        procedure::UNSHARE => context.unshare(args, out)?,
        procedure::NM_LOCK => context.lock(args, out, Way { monitored: false, by_message: false }).await?,
        procedure::FREE_ALL => {
            let name = wire::decode_free_all(args)?;
            let address = context.caller.address;
            context.locks.change(|manager, now| manager.free_all(address, name, now));
        }
        _ => return Err(Refusal::ProcedureUnavailable),
    }
    Ok(())
}

impl<F: Filesystem> Context<'_, F> {
    async fn basic(
        &self,
        procedure: u32,
        by_message: bool,
        args: &mut Decoder<'_>,
        out: &mut Encoder,
    ) -> XdrResult<()> {
        match procedure {
            procedure::TEST => self.test(args, out).await,
            procedure::LOCK => self.lock(args, out, Way { monitored: true, by_message }).await,
            procedure::CANCEL => self.cancel(args, out),
            procedure::UNLOCK => self.unlock(args, out),
            _ => granted(args, out),
        }
    }

    async fn message(&self, procedure: u32, args: &mut Decoder<'_>) -> XdrResult<()> {
        let (question, answer) = (procedure - procedure::TEST_MSG, procedure + 5);
        let question = question + procedure::TEST;
        let lock = match question {
            procedure::LOCK => LockArgs::decode(&mut args.clone())?.lock,
            procedure::CANCEL => CancelArgs::decode(&mut args.clone())?.lock,
            procedure::UNLOCK => UnlockArgs::decode(&mut args.clone())?.lock,
            _ => TestArgs::decode(&mut args.clone())?.lock,
        };
        let mut out = Encoder::new();
        self.basic(question, true, args, &mut out).await?;
        if !self.may_be_called(&lock).await {
            return Ok(());
        }
        self.locks.send_later(Message {
            address: self.caller.address,
            local: self.local,
            procedure: answer,
            args: out.into_bytes(),
        });
        Ok(())
    }

    /// Whether to call the caller at all. Its address may be another's, who would be called over and over: only whoever
    /// locks, or may use the file, is.
    async fn may_be_called(&self, lock: &Lock<'_>) -> bool {
        if self.locks.manager().is_known(self.caller.address) {
            return true;
        }
        let Ok(file) = lock.handle() else { return false };
        self.filesystem.access(self.caller, &file, Access(Access::READ)).await.is_ok()
    }

    fn granted_answer(&self, args: &mut Decoder<'_>) -> XdrResult<()> {
        let (cookie, status) = wire::decode_result(args)?;
        // Any other cookie is none of ours.
        if let Ok(id) = cookie.try_into().map(u64::from_be_bytes) {
            let (address, outcome) = (self.caller.address, courier::outcome(Some(status)));
            self.locks.change(|manager, now| manager.answered_by(address, id, outcome, now));
        }
        Ok(())
    }

    async fn test(&self, args: &mut Decoder<'_>, out: &mut Encoder) -> XdrResult<()> {
        let TestArgs { cookie, kind, lock } = TestArgs::decode(args)?;
        let client = self.client(lock.name);
        let result = match self.permitted(&client, &lock, kind, false).await {
            Ok(request) => self.locks.manager().test(&request),
            Err(status) => Ok(status),
        };
        wire::encode_test_result(out, cookie, &result);
        Ok(())
    }

    async fn lock(&self, args: &mut Decoder<'_>, out: &mut Encoder, way: Way) -> XdrResult<()> {
        let Way { monitored, by_message } = way;
        let LockArgs { cookie, block, kind, lock, reclaim, state } = LockArgs::decode(args)?;
        let client = self.client(lock.name);
        let how = How { block, reclaim, monitored, by_message, state, local: self.local };
        let status = match self.permitted(&client, &lock, kind, reclaim).await {
            Ok(request) => self.locks.lock(&request, &how).await,
            Err(status) => status,
        };
        wire::encode_result(out, cookie, status);
        Ok(())
    }

    fn cancel(&self, args: &mut Decoder<'_>, out: &mut Encoder) -> XdrResult<()> {
        let CancelArgs { cookie, kind, lock } = CancelArgs::decode(args)?;
        let client = self.client(lock.name);
        let cancel = |request| self.locks.change(|manager, now| manager.cancel(&request, now));
        let status = request(&client, &lock, kind).map_or_else(|status| status, cancel);
        wire::encode_result(out, cookie, status);
        Ok(())
    }

    /// Whoever may not use the file any more may still give it back.
    fn unlock(&self, args: &mut Decoder<'_>, out: &mut Encoder) -> XdrResult<()> {
        let UnlockArgs { cookie, lock } = UnlockArgs::decode(args)?;
        let client = self.client(lock.name);
        let unlock = |request| self.locks.change(|manager, now| manager.unlock(&request, now));
        let status = request(&client, &lock, Kind::Shared).map_or_else(|status| status, unlock);
        wire::encode_result(out, cookie, status);
        Ok(())
    }

    async fn share(&self, args: &mut Decoder<'_>, out: &mut Encoder) -> XdrResult<()> {
        let args = ShareArgs::decode(args)?;
        let client = self.client(args.name);
        let way = ShareWay { reclaim: args.reclaim, local: self.local };
        let kind = if args.access & 2 == 0 { Kind::Shared } else { Kind::Exclusive };
        let status = match share_request(&client, &args) {
            Ok(request) => match self.check(&request.file, kind, args.reclaim).await {
                Ok(()) => self.locks.change(|manager, now| manager.share(&request, way, now)),
                Err(status) => status,
            },
            Err(status) => status,
        };
        wire::encode_share_result(out, args.cookie, status);
        Ok(())
    }

    fn unshare(&self, args: &mut Decoder<'_>, out: &mut Encoder) -> XdrResult<()> {
        let args = ShareArgs::decode(args)?;
        let client = self.client(args.name);
        let unshare = |request| self.locks.change(|manager, now| manager.unshare(&request, now));
        let status = share_request(&client, &args).map_or_else(|status| status, unshare);
        wire::encode_share_result(out, args.cookie, status);
        Ok(())
    }

    fn client(&self, name: &[u8]) -> Client {
        Client { address: self.caller.address, name: name.into() }
    }

    /// What a client asks for, if the caller may ask that.
    async fn permitted<'a>(
        &self,
        client: &'a Client,
        lock: &Lock<'a>,
        kind: Kind,
        reclaim: bool,
    ) -> Result<Request<'a>, Status> {
        let request = request(client, lock, kind)?;
        self.check(&request.file, kind, reclaim).await.map(|()| request)
    }

    /// Whether the caller may lock a file: who may read or change it may, as with other servers. On a read-only export
    /// nobody locks exclusively, because nobody has anything to write.
    async fn check(&self, file: &Handle, kind: Kind, reclaim: bool) -> Result<(), Status> {
        const WRITE: u32 = Access::MODIFY | Access::EXTEND;
        let asked = self.filesystem.access(self.caller, file, Access(Access::READ | WRITE)).await;
        match asked {
            // The owner may read and write whatever the mode says, and no more than that is asked here.
            Ok((Access(0), _)) if self.filesystem.read(self.caller, file, 0, 0).await.is_err() => {
                Err(Status::Failed)
            }
            Ok(_) if kind == Kind::Exclusive && self.filesystem.is_read_only(self.caller, file) => {
                Err(Status::ReadOnly)
            }
            Ok(_) => Ok(()),
            // Its locks stay until they are given back: an export may be gone for this caller, or for a moment.
            Err(FsError::Stale | FsError::BadHandle) => Err(Status::StaleHandle),
            // It had the lock, and would lose it for good.
            Err(FsError::TryLater) if reclaim => Ok(()),
            // The protocol knows no other way to say "ask again later".
            Err(FsError::TryLater) => Err(Status::DeniedGracePeriod),
            Err(FsError::ReadOnly) => Err(Status::ReadOnly),
            Err(_) => Err(Status::Failed),
        }
    }
}

fn request<'a>(client: &'a Client, lock: &Lock<'a>, kind: Kind) -> Result<Request<'a>, Status> {
    let (file, range) = (lock.handle()?, lock.range()?);
    Ok(Request { client, svid: lock.svid, oh: lock.oh, file, piece: Piece { range, kind } })
}

fn share_request<'a>(client: &'a Client, args: &ShareArgs<'a>) -> Result<ShareRequest<'a>, Status> {
    let file = Handle::new(args.file).ok_or(Status::StaleHandle)?;
    Ok(ShareRequest { client, oh: args.oh, file, deny: args.deny, access: args.access })
}

/// GRANTED is for clients. This server waits for nobody's lock.
fn granted(args: &mut Decoder<'_>, out: &mut Encoder) -> XdrResult<()> {
    let TestArgs { cookie, .. } = TestArgs::decode(args)?;
    wire::encode_result(out, cookie, Status::Denied);
    Ok(())
}
