//! From one record to its reply: which program, which version, who asks.

use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::duty::Duty;
use crate::filesystem::{Caller, Filesystem, Limits, RequestKey, Segment};
use crate::nlm::service::Locks;
use crate::nlm::terms::Present;
use crate::outbound::any;
use crate::postponed::Postponed;
use crate::record::Record;
use crate::reply::Reply;
use crate::rpc::{self, BadCall, Call, Refusal};
use crate::tally::{Outcome, Tally};
use crate::xdr::{Decoder, Encoder};
use crate::{duty, mount, nlm, nsm, rpcbind, v3};

/// A call's key covers this much of its record. Only a WRITE is longer, and its data need not be hashed: a repeated
/// WRITE does what it did before.
const KEY_BYTES_MAX: usize = 8 << 10;

/// How long a call about locks waits until the locks of a time of duty are there: until it is durable that it has begun.
/// A client that is refused gives up; one that hears nothing yet asks again.
const LOCKS_PATIENCE: Duration = Duration::from_secs(5);

/// Which programs a socket serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Programs {
    /// NFS, MOUNT and, if served, NLM and NSM.
    NfsAndMount,
    /// The same without NFS.
    Mount,
    /// rpcbind alone.
    Rpcbind,
}

/// Where a call came from.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// The client.
    pub peer: IpAddr,
    /// The address by which the client reached this machine, where the socket knows it.
    pub local: Option<IpAddr>,
}

impl Origin {
    /// The address by which the client reached this machine; where the socket does not know it, the one towards the
    /// client, told by the routing table. No packet is sent for it.
    pub fn reached(&self) -> IpAddr {
        let known = self.local.filter(|local| !local.is_unspecified());
        let any = any(self.peer);
        let towards = || {
            let socket = UdpSocket::bind((any, 0)).ok()?;
            socket.connect((self.peer, 9)).ok()?;
            Some(socket.local_addr().ok()?.ip())
        };
        known.or_else(towards).unwrap_or(any)
    }
}

/// Everything the programs share. One for the whole server.
#[derive(Debug)]
pub struct Service<F> {
    filesystem: Arc<F>,
    limits: Limits,
    mounts: Arc<mount::Table>,
    tally: Arc<Tally>,
    postponed: Postponed,
    duty: Duty,
    locks: Option<Present>,
    registrations: rpcbind::Table,
}

impl<F: Filesystem> Service<F> {
    /// Serves `filesystem` while on `duty`, remembers who mounted what in `mounts`, counts calls in
    /// `tally`, serves `locks` and tells clients of `registrations`.
    pub fn new(
        filesystem: Arc<F>,
        mounts: Arc<mount::Table>,
        tally: Arc<Tally>,
        duty: Duty,
        locks: Option<Present>,
        registrations: rpcbind::Table,
    ) -> Self {
        let limits = filesystem.limits();
        let postponed = Postponed::default();
        Self { filesystem, limits, mounts, tally, postponed, duty, locks, registrations }
    }

    /// What the file system can do, as it said at the start.
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Bytes of memory the reply to `record` may take, beyond an ordinary small one.
    pub fn reply_bytes_max(&self, record: &[u8]) -> usize {
        let Some(header) = record.first_chunk::<24>() else { return 0 };
        let word = |index: usize| header[4 * index..][..4].try_into().map_or(0, u32::from_be_bytes);
        match (word(3), word(5)) {
            (v3::PROGRAM, procedure) => v3::reply_bytes_max(procedure, record, &self.limits),
            _ => 0,
        }
    }

    /// Carries out one call and encodes its reply in `memory`. `None` if the record is not even the beginning of one.
    pub async fn answer(
        &self,
        programs: Programs,
        origin: Origin,
        record: &Record,
        memory: Vec<u8>,
    ) -> Option<Reply> {
        let mut args = Decoder::new(record);
        let mut out = Reply::encoder(memory);
        let (xid, result) = match rpc::decode_call(&mut args) {
            Ok(call) => {
                let xid = call.xid;
                rpc::encode_success(&mut out, xid);
                (xid, self.call(programs, origin, call, record, &mut args, &mut out).await)
            }
            Err(BadCall::Refused { xid, refusal }) => (xid, Err(refusal)),
            Err(BadCall::NoCall) => return None,
        };
        Some(match result {
            Ok(data) => Reply::new(out, data),
            Err(refusal) => {
                out = Reply::encoder(out.into_bytes());
                rpc::encode_refusal(&mut out, xid, refusal);
                Reply::new(out, Vec::new())
            }
        })
    }

    async fn call(
        &self,
        programs: Programs,
        origin: Origin,
        call: Call,
        record: &Record,
        args: &mut Decoder<'_>,
        out: &mut Encoder,
    ) -> Result<Vec<Segment>, Refusal> {
        if !is_probe(&call) {
            self.duty.awaited().await;
        }
        match (call.program, programs) {
            (v3::PROGRAM, Programs::NfsAndMount) => {
                require_version(&call, v3::VERSION, v3::VERSION)?;
                let procedure = call.procedure;
                let (mut caller, asked) = (caller(origin, call, record), args.clone());
                let (begun, before) = (Instant::now(), out.len());
                let changes = v3::changes_names_or_attributes(procedure);
                if changes {
                    let asked = || asked_key(procedure, &caller, &asked);
                    caller.request = self.postponed.key(caller.request, asked, begun);
                }
                let context =
                    v3::Context { filesystem: &*self.filesystem, caller: &caller, limits: self.limits };
                let result = v3::call(&context, procedure, record, args, out).await;
                let results = result.is_ok().then(|| out.behind(before));
                if changes && results.is_some_and(|results| Outcome::of(results) == Outcome::Later) {
                    let asked = asked_key(procedure, &caller, &asked);
                    self.postponed.postpone(caller.request, asked, Instant::now());
                }
                self.tally.count(procedure, results, begun.elapsed());
                result
            }
            (mount::PROGRAM, Programs::NfsAndMount | Programs::Mount) => {
                require_version(&call, mount::VERSION_MIN, mount::VERSION_MAX)?;
                let (version, procedure) = (call.version, call.procedure);
                let caller = caller(origin, call, record);
                let context =
                    mount::Context { filesystem: &*self.filesystem, caller: &caller, mounts: &self.mounts };
                mount::call(&context, version, procedure, args, out).await.map(|()| Vec::new())
            }
            (nlm::PROGRAM, Programs::NfsAndMount | Programs::Mount) => {
                let locks = &*self.present_locks().await?;
                require_version(&call, nlm::VERSION, nlm::VERSION)?;
                let (procedure, local) = (call.procedure, origin.reached());
                let caller = caller(origin, call, record);
                let context = nlm::Context { filesystem: &*self.filesystem, caller: &caller, local, locks };
                nlm::call(&context, procedure, args, out).await.map(|()| Vec::new())
            }
            (nsm::PROGRAM, Programs::NfsAndMount | Programs::Mount) => {
                let locks = self.present_locks().await?;
                require_version(&call, nsm::VERSION, nsm::VERSION)?;
                nsm::call(&locks, origin.peer, call.procedure, args, out).map(|()| Vec::new())
            }
            (rpcbind::PROGRAM, Programs::Rpcbind) => {
                require_version(&call, rpcbind::VERSION_MIN, rpcbind::VERSION_MAX)?;
                self.registrations.call(origin, call.version, call.procedure, args, out).map(|()| Vec::new())
            }
            _ => Err(Refusal::ProgramUnavailable),
        }
    }

    /// The locks of this time of duty, which may be about to be there.
    async fn present_locks(&self) -> Result<Arc<Locks>, Refusal> {
        let present = self.locks.as_ref().ok_or(Refusal::ProgramUnavailable)?;
        let known = present.borrow().clone();
        match known {
            Some(locks) => Ok(locks),
            None => duty::awaited(present, LOCKS_PATIENCE).await.ok_or(Refusal::ProgramUnavailable),
        }
    }
}

/// Whether a call asks no more than whether the server is there.
const fn is_probe(call: &Call) -> bool {
    call.procedure == 0 || (call.program == v3::PROGRAM && call.procedure == v3::procedure::GETATTR)
}

fn require_version(call: &Call, low: u32, high: u32) -> Result<(), Refusal> {
    if (low..=high).contains(&call.version) { Ok(()) } else { Err(Refusal::ProgramMismatch { low, high }) }
}

fn caller(origin: Origin, call: Call, record: &[u8]) -> Caller {
    let rpc::Credential { uid, gid, groups } = call.credential;
    // The calls that come most often have no use for a key, and making it would be a good part of their cost.
    let has_no_effect = call.program == v3::PROGRAM && v3::has_no_effect(call.procedure);
    let request = if has_no_effect { RequestKey::default() } else { request_key(origin.peer, record) };
    Caller { address: origin.peer, uid, gid, groups, request }
}

/// The same for a repetition of a call over any connection and at either port of a pair; the client's port number and
/// the connection are therefore no part of it.
fn request_key(peer: IpAddr, record: &[u8]) -> RequestKey {
    let mut hasher = blake3::Hasher::new();
    match peer {
        IpAddr::V4(address) => hasher.update(&address.octets()),
        IpAddr::V6(address) => hasher.update(&address.octets()),
    };
    hasher.update(&(record.len() as u64).to_be_bytes());
    hasher.update(&record[..record.len().min(KEY_BYTES_MAX)]);
    let mut key = [0; 16];
    key.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    RequestKey(key)
}

/// The same for all calls of a client's user that ask for the same, whatever else they say.
fn asked_key(procedure: u32, caller: &Caller, args: &Decoder<'_>) -> RequestKey {
    let identity = [procedure, caller.uid, caller.gid].map(u32::to_be_bytes).concat();
    request_key(caller.address, &[&identity, args.rest()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_key_names_client_and_call() {
        let [one, other]: [IpAddr; 2] = [[192, 0, 2, 1].into(), [192, 0, 2, 2].into()];
        assert_eq!(request_key(one, b"call"), request_key(one, b"call"));
        assert_ne!(request_key(one, b"call"), request_key(other, b"call"));
        assert_ne!(request_key(one, b"call"), request_key(one, b"cal1"));
        let long = vec![7; KEY_BYTES_MAX + 1];
        assert_ne!(request_key(one, &long), request_key(one, &long[..KEY_BYTES_MAX]), "the length counts");
    }
}
