//! The hands of the judge that runs: sockets, the kernel, and the way to the other threads. A shell.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use ipnetwork::IpNetwork;
use tokio::sync::{mpsc, watch};

use super::center::Asked;
use super::hands::{Done, Hands, Trouble};
use super::memory::Memory;
use super::paths::PeerSocket;
use super::port::Role;
use crate::machine::action::Question;
use crate::machine::event::{Generation, Path};
use crate::machine::message::{Connection, Message};
use crate::machine::time::Time;
use crate::net::addresses::Addresses;
use crate::net::announce::{Announcer, Probe};
use crate::net::clock;
use crate::net::fence::{Fence, FenceError};
use crate::net::link::Interface;
use crate::net::sockets::Sockets;
use crate::net::tickle::Tickler;
use crate::net::watchdog::Watchdog;
use crate::wire::Seal;

/// All that a judge can do.
pub(super) struct Kernel {
    pub(super) pair: String,
    pub(super) seal: Seal,
    pub(super) heartbeat: PeerSocket,
    pub(super) lan: PeerSocket,
    pub(super) interface: Interface,
    pub(super) floating: Vec<IpNetwork>,
    pub(super) nfs_port: u16,
    pub(super) client_ports: Vec<u16>,
    /// None on a machine without nftables: the lifetime of the addresses does it alone, slower.
    pub(super) fence: Option<Fence>,
    pub(super) addresses: Addresses,
    pub(super) announcer: Announcer,
    pub(super) tickler: Tickler,
    pub(super) sockets: Sockets,
    pub(super) probe: Option<Probe>,
    /// Asks the references in the way of an address probe, which every host answers and no host takes amiss.
    pub(super) references: Option<Probe>,
    pub(super) watchdog: Option<Watchdog>,
    pub(super) memory: Memory,
    pub(super) questions: mpsc::Sender<Asked>,
    pub(super) roles: watch::Sender<Option<Role>>,
}

impl Kernel {
    /// The socket of that way.
    pub(super) fn socket(&self, path: Path) -> &PeerSocket {
        match path {
            Path::Heartbeat => &self.heartbeat,
            Path::Lan => &self.lan,
        }
    }

    /// Opens a datagram; `None` if it is nobody's who has the key.
    pub(super) fn unseal(&self, path: Path, datagram: &[u8]) -> Option<Message> {
        self.seal
            .open(path, datagram)
            .inspect_err(|why| tracing::debug!(?path, "a datagram was dropped: {why}"))
            .ok()
    }

    /// What is to be polled beside the sockets of the peer: an address probe, the references.
    pub(super) fn ears(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [&self.probe, &self.references].into_iter().flatten().map(AsFd::as_fd)
    }

    /// Whether a reference has answered.
    pub(super) fn hears_reference(&self) -> bool {
        self.references.as_ref().is_some_and(|references| matches!(references.heard(), Ok(Some(_))))
    }

    /// Nothing of this judge is left in the kernel afterwards.
    pub(super) fn close(mut self) {
        let shut = self.shut_fence();
        if let Err(trouble) = shut.and(self.drop_addresses()) {
            // The fence stays then: no frame of an address that is left passes.
            tracing::error!("at the end: {trouble}");
            return;
        }
        if let Some(Err(error)) = self.fence.take().map(Fence::remove) {
            tracing::error!("at the end: {error}");
        }
        if let Some(Err(error)) = self.watchdog.take().map(Watchdog::release) {
            tracing::error!("at the end: {error}");
        }
    }
}

impl Hands for Kernel {
    fn send(&mut self, path: Path, message: &Message) {
        let sent = match self.seal.seal(path, message) {
            Ok(datagram) => self.socket(path).send(&datagram).map_err(Trouble::of),
            Err(error) => Err(Trouble::of(error)),
        };
        // A link without carrier, mostly, which is told elsewhere.
        if let Err(trouble) = sent {
            tracing::trace!(?path, "a datagram was not sent: {trouble}");
        }
    }

    fn open_fence(&mut self, until: Time) -> Done {
        let Some(fence) = &mut self.fence else { return Ok(()) };
        match fence.open_until(until) {
            Ok(()) => Ok(()),
            // The next lease opens it again.
            Err(late @ FenceError::Late) => {
                tracing::debug!("{late}");
                Ok(())
            }
            Err(gone @ FenceError::Gone) => {
                tracing::error!("{gone}");
                let ips: Vec<IpAddr> = self.floating.iter().map(IpNetwork::ip).collect();
                let raised = Fence::raise(&self.pair, &self.interface, &ips, self.nfs_port);
                self.fence.insert(raised.map_err(Trouble::of)?).open_until(until).map_err(Trouble::of)
            }
            Err(error) => Err(Trouble::of(error)),
        }
    }

    fn shut_fence(&mut self) -> Done {
        self.fence.as_mut().map_or(Ok(()), Fence::shut).map_err(Trouble::of)
    }

    fn hold_addresses(&mut self, until: Time) -> Done {
        // The kernel counts in whole seconds, so they are rounded down: never longer than the lease.
        match until.since(clock::now()).as_secs() {
            0 => self.addresses.drop_all().map_err(Trouble::of),
            seconds => self.addresses.hold(Duration::from_secs(seconds)).map_err(Trouble::of),
        }
    }

    fn drop_addresses(&mut self) -> Done {
        let floating: Vec<IpAddr> = self.floating.iter().map(IpNetwork::ip).collect();
        // Also if the address would not go: a client that comes back must not meet its old connection.
        let dropped = self.addresses.drop_all().map_err(Trouble::of);
        let destroyed = self.sockets.destroy(&floating, &self.client_ports).map_err(Trouble::of);
        dropped.and(destroyed.map(|count| tracing::debug!(count, "connections were ended")))
    }

    fn probe_addresses(&mut self) -> Done {
        let probe = match self.probe.take() {
            Some(probe) => probe,
            None => Probe::new(&self.interface, &self.floating).map_err(Trouble::of)?,
        };
        self.probe.insert(probe).ask().map_err(Trouble::of)
    }

    fn claimed_by(&mut self, is_last: bool) -> Option<String> {
        let heard = self.probe.as_ref().and_then(|probe| probe.heard().ok().flatten());
        if is_last || heard.is_some() {
            self.probe = None;
        }
        heard.map(|(mac, address)| format!("{mac} has {address}"))
    }

    fn announce(&mut self, connections: &[Connection]) -> Done {
        let clients: BTreeSet<IpAddr> = connections.iter().map(|(client, _)| client.ip()).collect();
        let announced = self.announcer.announce();
        announced.and(self.announcer.ask(clients)).map_err(Trouble::of)
    }

    fn tickle(&mut self, connections: &[Connection]) -> Done {
        self.tickler.tickle(connections.iter().copied()).map_err(Trouble::of)
    }

    fn ask_center(&mut self, question: Question, lease: Duration, sent: Time) -> bool {
        self.questions.try_send(Asked { question, lease, sent }).is_ok()
    }

    fn command_port(&mut self, role: Role) {
        self.roles.send_replace(Some(role));
    }

    fn remember(&mut self, generation: Generation) -> Done {
        self.memory.remember(generation).map_err(Trouble::of)
    }

    fn feed(&mut self) -> Done {
        self.watchdog.as_mut().map_or(Ok(()), Watchdog::feed).map_err(Trouble::of)
    }

    fn ask_references(&mut self) -> Done {
        self.references.as_ref().map_or(Ok(()), Probe::ask).map_err(Trouble::of)
    }
}
