//! The ground on which a judge stands: the fence up and shut, no floating address, no connection of a client. A shell.

use std::io;
use std::net::{IpAddr, SocketAddr};

use ipnetwork::IpNetwork;
use tokio::sync::{mpsc, watch};

use super::center::Asked;
use super::kernel::Kernel;
use super::memory::Memory;
use super::paths::PeerSocket;
use super::port::Role;
use super::start::StartError;
use crate::config::Config;
use crate::net::addresses::Addresses;
use crate::net::announce::{Announcer, Probe};
use crate::net::fence::{Fence, FenceError};
use crate::net::link::{Interface, Links};
use crate::net::sockets::{Sockets, SocketsError};
use crate::net::tickle::Tickler;
use crate::net::watchdog::Watchdog;
use crate::wire::Seal;

/// See the module.
pub(super) struct Ground {
    interface: Interface,
    fence: Option<Fence>,
    addresses: Addresses,
    sockets: Sockets,
}

impl Ground {
    /// Takes away what an earlier judge may have left, in the order that lets no frame out.
    ///
    /// # Errors
    /// See [`StartError`]; a machine without nftables is none.
    pub(super) fn clear(config: &Config, links: &mut Links) -> Result<Self, StartError> {
        let interface = links.find(&config.lan.interface)?;
        let floating = &config.lan.addresses;
        let ips: Vec<IpAddr> = floating.iter().map(IpNetwork::ip).collect();
        let fence = match Fence::raise(&config.pair.name, &interface, &ips, config.port.nfs_port) {
            Ok(fence) => Some(fence),
            Err(error @ FenceError::Unavailable(_)) => {
                tracing::warn!("{error}; without a fence the leases are those of the addresses: seconds");
                None
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(error) = fence.as_ref().and_then(Fence::is_loud) {
            tracing::warn!(
                "{error}; when the port's process dies its clients will ask here for seconds before they go to the \
                 peer: use a kernel with CONFIG_NFT_SOCKET"
            );
        }
        let mut addresses = Addresses::new(&interface, floating.clone())?;
        let stale = addresses.held()?;
        if !stale.is_empty() {
            tracing::warn!(?stale, "an earlier judge left floating addresses here: they are removed");
        }
        addresses.drop_all()?;
        let mut sockets = Sockets::new()?;
        match sockets.destroy(&ips, &config.port.client_ports()) {
            Ok(_) => {}
            // Worse for a client that comes back to this port, and safe.
            Err(error @ SocketsError::Unsupported) => tracing::warn!("{error}"),
            Err(error) => return Err(error.into()),
        }
        Ok(Self { interface, fence, addresses, sockets })
    }

    /// Whether there is a fence.
    pub(super) fn has_fence(&self) -> bool {
        self.fence.is_some()
    }

    /// A judge's hands on this ground.
    ///
    /// # Errors
    /// See [`StartError`].
    pub(super) fn hands(
        self,
        config: &Config,
        seal: Seal,
        memory: Memory,
        questions: mpsc::Sender<Asked>,
        roles: watch::Sender<Option<Role>>,
    ) -> Result<Kernel, StartError> {
        let (heartbeat, lan) = (&config.heartbeat, &config.lan);
        let floating = lan.addresses.clone();
        let ips: Vec<IpAddr> = floating.iter().map(IpNetwork::ip).collect();
        let references: Vec<IpNetwork> = lan.reference.iter().copied().map(IpNetwork::from).collect();
        let references = match references.as_slice() {
            [] => None,
            some => Some(Probe::new(&self.interface, some)?),
        };
        let watchdog = match &config.watchdog {
            Some(watchdog) => Some(Watchdog::open(&watchdog.device, watchdog.timeout())?),
            None => None,
        };
        Ok(Kernel {
            pair: config.pair.name.clone(),
            seal,
            heartbeat: path("heartbeat", &heartbeat.interface, heartbeat.listen, heartbeat.peer)?,
            lan: path("lan", &lan.interface, lan.listen, lan.peer)?,
            announcer: Announcer::new(&self.interface, floating.clone())?,
            tickler: Tickler::new(&ips)?,
            interface: self.interface,
            floating,
            nfs_port: config.port.nfs_port,
            client_ports: config.port.client_ports(),
            fence: self.fence,
            addresses: self.addresses,
            sockets: self.sockets,
            probe: None,
            references,
            watchdog,
            memory,
            questions,
            roles,
        })
    }
}

fn path(
    table: &'static str,
    interface: &str,
    listen: SocketAddr,
    peer: SocketAddr,
) -> Result<PeerSocket, StartError> {
    PeerSocket::open(interface, listen, peer).map_err(|error: io::Error| StartError::Path { table, error })
}
