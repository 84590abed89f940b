//! Locks: NLM version 4 (X/Open XNFS, chapter 14). Which client's process holds which bytes of which file, and who
//! waits for them.
//!
//! `procedures` carries out calls; [`manager`] decides, told the time; [`service`] is the shell around it: it keeps the
//! ledger of clients durable and runs what happens without a call; `courier` calls clients; `terms` begins anew with each
//! time of duty. Locks are advisory: no READ or WRITE looks at them.
//! They live in memory; after a restart clients take theirs again (see [`crate::nsm`]).

mod clients;
mod courier;
pub mod manager;
mod procedures;
pub mod service;
pub mod table;
pub(crate) mod terms;
pub mod wire;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::procedures::{Context, call};
use crate::nsm::ledger::Ledger;
use crate::settings::RPCBIND_PORT;

/// Program number of NLM.
pub const PROGRAM: u32 = 100_021;
/// The version served: the one for NFS version 3.
pub const VERSION: u32 = 4;

/// What an operator may choose about locks.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Remembers clients through restarts.
    pub ledger: Arc<dyn Ledger>,
    /// How long after a restart only old locks are taken again.
    pub grace: Duration,
    /// The name by which clients may know this server, beside its addresses.
    pub host_name: Option<String>,
    /// Where clients' rpcbind is: 111, but for tests.
    pub rpcbind_port: u16,
    /// How much is kept.
    pub limits: Limits,
}

impl Settings {
    /// The defaults, with a ledger.
    pub fn new(ledger: Arc<dyn Ledger>) -> Self {
        Self {
            ledger,
            // Time for a client that is told at once to take its locks again, and for one that is busy to be told twice.
            grace: Duration::from_secs(45),
            host_name: None,
            rpcbind_port: RPCBIND_PORT,
            limits: Limits::default(),
        }
    }
}

/// Bounds of what clients can make grow. Over them locks are refused with NLM4_DENIED_NOLOCKS.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Locked ranges and shares in all; at worst, with the longest owners, 64 MiB.
    pub locks: usize,
    /// Locked ranges and shares of one client.
    pub locks_per_client: usize,
    /// Locks waited for, in all.
    pub waiting: usize,
    /// Locks one client waits for.
    pub waiting_per_client: usize,
    /// Locked ranges and shares of all clients behind one address.
    pub locks_per_address: usize,
    /// Locks that all clients behind one address wait for.
    pub waiting_per_address: usize,
    /// Owners that hold ranges of one file.
    pub owners_per_file: usize,
    /// Locks of one file that are waited for.
    pub waiting_per_file: usize,
    /// Owners of a file times those who wait for it: what an UNLOCK may have to compare, some milliseconds at worst.
    pub pairs_per_file: usize,
    /// Clients.
    pub clients: usize,
    /// Clients behind one address, which call themselves differently.
    pub clients_per_address: usize,
    /// How long a client is called to be told of a lock it waited for, before the next one gets it.
    pub turn: Duration,
}

impl Limits {
    /// With some more locks, for the pieces that an UNLOCK leaves of one.
    pub(crate) fn with_slack(self) -> Self {
        let more = |most: usize| most + most / 8 + 1;
        Self {
            locks: more(self.locks),
            locks_per_client: more(self.locks_per_client),
            locks_per_address: more(self.locks_per_address),
            ..self
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            locks: 1 << 16,
            locks_per_client: 1 << 14,
            waiting: 2048,
            waiting_per_client: 512,
            locks_per_address: 1 << 15,
            waiting_per_address: 1024,
            owners_per_file: 4096,
            waiting_per_file: 512,
            pairs_per_file: 1 << 17,
            clients: 4096,
            clients_per_address: 64,
            turn: Duration::from_secs(45),
        }
    }
}
