//! Share reservations, as DOS knows them: who has a file open how, and what nobody else may do meanwhile. They know
//! nothing of byte ranges and byte ranges nothing of them.

use std::net::IpAddr;
use std::time::Instant;

use super::{Handle, Manager};
use crate::nlm::clients::Owner;
use crate::nlm::wire::Status;
use crate::nsm::ledger::Client;

/// A file that is open.
#[derive(Debug)]
pub(super) struct Share {
    pub owner: Owner,
    deny: u32,
    access: u32,
}

/// Which share of whom.
#[derive(Clone, Debug)]
pub struct ShareRequest<'a> {
    /// The client.
    pub client: &'a Client,
    /// The owner at the client.
    pub oh: &'a [u8],
    /// The file.
    pub file: Handle,
    /// What others shall not do: bits 1 read, 2 write.
    pub deny: u32,
    /// What the owner does: the same bits.
    pub access: u32,
}

/// How a share is asked for.
#[derive(Clone, Copy, Debug)]
pub struct ShareWay {
    /// Whether the client says that it had this before the server started anew.
    pub reclaim: bool,
    /// By which address it reached this server.
    pub local: IpAddr,
}

impl Manager {
    /// Opens a file, or opens it otherwise than before. A restart does not find clients that have nothing but shares:
    /// those who use them (DOS) have no status monitor.
    pub fn share(&mut self, request: &ShareRequest<'_>, way: ShareWay, now: Instant) -> Status {
        let owner = self.share_owner(request);
        if let Some(refusal) = self.refusal(owner.client, way.reclaim) {
            return refusal;
        }
        let Some(client) = self.clients.admit(request.client, way.local, &self.limits, now) else {
            return Status::DeniedNoLocks;
        };
        let owner = Owner { client, ..owner };
        let shares = self.files.get(&request.file).map_or(&[][..], |file| &file.shares);
        let excludes = |other: &Share| other.deny & request.access != 0 || other.access & request.deny != 0;
        if shares.iter().any(|other| other.owner != owner && excludes(other)) {
            return Status::Denied;
        }
        let is_new = shares.iter().all(|other| other.owner != owner);
        if is_new && !self.has_room(client, 1, &self.limits) {
            return Status::DeniedNoLocks;
        }
        let shares = &mut self.files.entry(request.file).or_default().shares;
        shares.retain(|other| other.owner != owner);
        shares.push(Share { owner, deny: request.deny, access: request.access });
        self.count(client, isize::from(is_new), now);
        Status::Granted
    }

    /// Closes a file, open or not.
    pub fn unshare(&mut self, request: &ShareRequest<'_>, now: Instant) -> Status {
        let owner = self.share_owner(request);
        let Some(file) = self.files.get_mut(&request.file) else { return Status::Granted };
        let before = file.shares.len();
        file.shares.retain(|share| share.owner != owner);
        let growth = file.shares.len() as isize - before as isize;
        self.count(owner.client, growth, now);
        self.drop_if_unused(&request.file);
        Status::Granted
    }

    /// Shares belong to clients' owners, not to their processes.
    fn share_owner(&self, request: &ShareRequest<'_>) -> Owner {
        let client = self.client_id(request.client);
        Owner { client, svid: 0, oh: request.oh.into() }
    }
}
