//! The front door: binds the sockets, then serves a [`Filesystem`] on them until told to stop.
//!
//! Binding and serving are two steps, so that a daemon learns at once whether its ports are free, can drop privileges
//! between the two, and can be asked which ports the system chose.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::attendance::Attendance;
use crate::dispatch::{Programs, Service};
use crate::duty::Duty;
use crate::filesystem::Filesystem;
use crate::nlm::service::Locks;
use crate::nlm::{self, terms};
use crate::rpcbind::register::{self, RegisterError};
use crate::rpcbind::{self, Registration, Table, Transport};
use crate::settings::{Bounds, Rpcbind, Settings};
use crate::transport::close::CloseMark;
use crate::transport::reactor::Reactors;
use crate::transport::{Shared, datagram, ended, listener};
use crate::{mount, nsm, v3};

/// A record may be longer than its data by this: headers, credential, handle, and some slack for clients that round.
const RECORD_OVERHEAD_BYTES: usize = 16 << 10;
/// Connections that may wait to be taken.
const BACKLOG: i32 = 1024;

/// Why the server did not start. Every case is the operator's to mend: the message names the address.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address is taken, not this machine's, or needs a privilege.
    #[error("cannot listen for {service} on {address}: {source}")]
    Listen {
        /// What was to be served there.
        service: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// A running rpcbind does not take the registration.
    #[error("cannot register with rpcbind at {address}: {source}")]
    Register {
        /// Where rpcbind should be.
        address: SocketAddr,
        /// Why not.
        source: RegisterError,
    },
    /// The system gives no threads, or no file descriptors for them.
    #[error("cannot start the threads that serve connections: {0}")]
    Threads(#[source] io::Error),
    /// What must be remembered of clients with locks cannot be read or stored.
    #[error("the list of clients with locks: {0}")]
    Locks(#[source] io::Error),
    /// No address for NFS at all.
    #[error("no address to listen on for NFS: name at least one")]
    NoAddress,
}

/// Where a server listens, with the ports the system chose in place of 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// NFS and MOUNT over TCP.
    pub nfs: Vec<SocketAddr>,
    /// MOUNT over UDP and, with NFS, over TCP; the addresses of NFS where none were set.
    pub mount: Vec<SocketAddr>,
    /// rpcbind over TCP and UDP; empty unless served here.
    pub rpcbind: Vec<SocketAddr>,
}

/// Bound sockets that nobody is served on yet.
#[derive(Debug)]
pub struct Server {
    sockets: Sockets,
    addresses: Addresses,
    registrations: Table,
    register_with: Option<SocketAddr>,
    reactors: Reactors,
    locks: Option<(nlm::Settings, watch::Sender<Option<Arc<Locks>>>)>,
    duty: Duty,
    close_mark: CloseMark,
    attendance: Attendance,
    bounds: Bounds,
}

#[derive(Debug, Default)]
struct Sockets {
    listen_ahead: bool,
    streams: Vec<(TcpListener, Programs)>,
    datagrams: Vec<(UdpSocket, Programs)>,
}

impl Server {
    /// Binds every socket, and registers with a running rpcbind where that was set. Needs a tokio runtime.
    ///
    /// # Errors
    /// An address cannot be had; nothing stays bound.
    pub async fn bind(settings: Settings) -> Result<Self, BindError> {
        if settings.nfs.is_empty() {
            return Err(BindError::NoAddress);
        }
        let mut sockets = Sockets { listen_ahead: settings.listen_ahead, ..Sockets::default() };
        let mut nfs = Vec::new();
        for address in settings.nfs {
            nfs.push(sockets.listen("NFS", address, Programs::NfsAndMount)?);
        }
        let mut mount = Vec::new();
        for address in settings.mount {
            // The same address in both lists is one socket.
            let is_served = nfs.contains(&address);
            mount.push(if is_served {
                address
            } else {
                sockets.listen("MOUNT", address, Programs::NfsAndMount)?
            });
        }
        if mount.is_empty() {
            mount.clone_from(&nfs);
        }
        for &address in &mount {
            sockets.receive("MOUNT over UDP", address, Programs::Mount)?;
        }
        let mut rpcbind = Vec::new();
        if let Rpcbind::Serve(addresses) = &settings.rpcbind {
            for &address in addresses {
                let address = sockets.listen("rpcbind", address, Programs::Rpcbind)?;
                sockets.receive("rpcbind over UDP", address, Programs::Rpcbind)?;
                rpcbind.push(address);
            }
        }
        let addresses = Addresses { nfs, mount, rpcbind };
        let locks = match &settings.locks {
            // Each time of duty begins with what the ledger says then.
            Some(_) if settings.duty.changes() => None,
            Some(locks) => Some(Arc::new(Locks::open(locks).map_err(BindError::Locks)?)),
            None => None,
        };
        let registrations = registrations(&addresses, settings.locks.is_some());
        let register_with = match settings.rpcbind {
            Rpcbind::Register(address) => Some(address),
            Rpcbind::Off | Rpcbind::Serve(_) => None,
        };
        if let Some(address) = register_with {
            register::register(address, &registrations)
                .await
                .map_err(|source| BindError::Register { address, source })?;
        }
        let reactors = Reactors::start(settings.threads).map_err(BindError::Threads)?;
        let locks = settings.locks.map(|settings| (settings, watch::Sender::new(locks)));
        let present = locks.as_ref().map(|(_, present)| present.subscribe());
        Ok(Self {
            sockets,
            addresses,
            registrations,
            register_with,
            locks,
            reactors,
            duty: settings.duty,
            close_mark: CloseMark::new(settings.close_mark),
            attendance: Attendance::new(&settings.bounds, present),
            bounds: settings.bounds,
        })
    }

    /// Says who is served, as long as the server does.
    pub fn attendance(&self) -> Attendance {
        self.attendance.clone()
    }

    /// Where the server listens.
    pub const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Serves `filesystem` until `shutdown` is ready; calls in progress get [`Bounds::shutdown`] to end. What the file
    /// system starts belongs to the runtime on which this is called.
    pub async fn serve<F: Filesystem>(self, filesystem: Arc<F>, shutdown: impl Future<Output = ()>) {
        let (end, ending) = watch::channel(false);
        let (duty, registrations) = (self.duty.clone(), self.registrations.clone());
        let Attendance { mounts, clients, tally, locks } = self.attendance;
        let service = Service::new(filesystem, mounts, tally, duty, locks, registrations);
        let record_bytes_max = service.limits().write_bytes_max as usize + RECORD_OVERHEAD_BYTES;
        let permits = |count: usize| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        let memory = permits(self.bounds.bytes_in_total);
        let places = permits(self.bounds.calls_put_off);
        let runtime = Handle::current();
        let shared = Arc::new(Shared {
            service,
            runtime,
            bounds: self.bounds,
            record_bytes_max,
            memory,
            places,
            ending: ending.clone(),
            duty: self.duty.clone(),
            close_mark: self.close_mark,
        });
        let reactors = Arc::new(self.reactors);

        let mut tasks = JoinSet::new();
        for (socket, programs) in self.sockets.streams {
            let (clients, reactors) = (Arc::clone(&clients), Arc::clone(&reactors));
            tasks.spawn(listener::serve(Arc::clone(&shared), socket, programs, clients, reactors));
        }
        for (socket, programs) in self.sockets.datagrams {
            tasks.spawn(datagram::serve(Arc::clone(&shared), socket, programs));
        }
        if let Some((settings, present)) = self.locks {
            let (mut ending, duty) = (ending.clone(), self.duty);
            tasks.spawn(async move {
                tokio::select! {
                    () = terms::keep(&settings, &duty, &present) => {}
                    () = ended(&mut ending) => {}
                }
            });
        }
        shutdown.await;
        end.send_replace(true);
        while let Some(done) = tasks.join_next().await {
            if let Err(error) = done {
                tracing::error!(%error, "a task of the server broke off");
            }
        }
        if let Some(reactors) = Arc::into_inner(reactors) {
            reactors.end().await;
        }
        if let Some(address) = self.register_with
            && let Err(error) = register::unregister(address, &self.registrations).await
        {
            tracing::warn!(%address, %error, "rpcbind keeps sending clients here");
        }
    }
}

impl Sockets {
    fn listen(
        &mut self,
        service: &'static str,
        address: SocketAddr,
        programs: Programs,
    ) -> Result<SocketAddr, BindError> {
        let listen = || {
            let socket = socket(address, Type::STREAM, self.listen_ahead)?;
            socket.listen(BACKLOG)?;
            let listener = TcpListener::from_std(socket.into())?;
            let bound = listener.local_addr()?;
            Ok((listener, bound))
        };
        let (listener, bound) = listen().map_err(|source| BindError::Listen { service, address, source })?;
        self.streams.push((listener, programs));
        Ok(bound)
    }

    fn receive(
        &mut self,
        service: &'static str,
        address: SocketAddr,
        programs: Programs,
    ) -> Result<(), BindError> {
        let receive = || UdpSocket::from_std(socket(address, Type::DGRAM, self.listen_ahead)?.into());
        let socket = receive().map_err(|source| BindError::Listen { service, address, source })?;
        self.datagrams.push((socket, programs));
        Ok(())
    }
}

/// A bound, nonblocking socket. An IPv6 address stands for IPv6 alone, so that both unspecified addresses can be named.
fn socket(address: SocketAddr, kind: Type, ahead: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if kind == Type::STREAM {
        // Otherwise a restart would have to wait for the last connections of the server before.
        socket.set_reuse_address(true)?;
    }
    if ahead {
        match address {
            SocketAddr::V4(_) => socket.set_freebind_v4(true)?,
            SocketAddr::V6(_) => socket.set_freebind_v6(true)?,
        }
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Everything served, as rpcbind is to tell it.
pub(crate) fn registrations(addresses: &Addresses, with_locks: bool) -> Table {
    let line = |program, version, transport| {
        move |&address: &SocketAddr| Registration { program, version, transport, address }
    };
    let mut table = Vec::new();
    table.extend(addresses.nfs.iter().map(line(v3::PROGRAM, v3::VERSION, Transport::Tcp)));
    let mut at_mount: Vec<_> =
        (mount::VERSION_MIN..=mount::VERSION_MAX).map(|version| (mount::PROGRAM, version)).collect();
    if with_locks {
        at_mount.extend([(nlm::PROGRAM, nlm::VERSION), (nsm::PROGRAM, nsm::VERSION)]);
    }
    for (program, version) in at_mount {
        for transport in [Transport::Tcp, Transport::Udp] {
            table.extend(addresses.mount.iter().map(line(program, version, transport)));
        }
    }
    for version in rpcbind::VERSION_MIN..=rpcbind::VERSION_MAX {
        for transport in [Transport::Tcp, Transport::Udp] {
            table.extend(addresses.rpcbind.iter().map(line(rpcbind::PROGRAM, version, transport)));
        }
    }
    Table(table)
}
