//! A time of serving: from the moment its address is bound until its future is dropped.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nfs::filesystem::Filesystem;
use nfs::local::Keys;
use smb_server::{Access, BuildError, SmbServer};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::backend::{Backend, Tree};
use crate::caller::Actor;
use crate::open::LISTED_TOGETHER_MAX;
use crate::shares::Share;
use crate::usage::Usage;
use crate::users::User;

/// Most connections, so that the port's descriptors are not used up by those who never log on.
const CONNECTIONS_MAX: usize = 512;
/// How long a client may take to send the rest of a request, or to take an answer. Also the longest time for which a
/// connection whose client takes no answer outlives the time of serving.
const IO_TIME: Duration = Duration::from_secs(20);
/// Largest READ and WRITE: as much as the file system gives at once.
const TRANSFER_BYTES_MAX: u32 = 1 << 20;

/// What clients must do, or may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Demand {
    /// Whoever does not is refused.
    #[default]
    Required,
    /// Whoever wants to does.
    Offered,
}

/// What is served where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// TCP address.
    pub listen: SocketAddr,
    /// By which clients know the server, at most 15 characters.
    pub name: String,
    /// The same for both of a pair, so that clients find them to be one.
    pub guid: [u8; 16],
    /// Of requests that change something: those of one time of serving go on in the next, for no key is used twice.
    pub keys: Keys,
    /// Who may log on.
    pub users: Vec<User>,
    /// What they find.
    pub shares: Vec<Share>,
    /// Of requests.
    pub signing: Demand,
    /// Of everything.
    pub encryption: Demand,
    /// Counts what clients do.
    pub usage: Arc<Usage>,
}

/// Why nobody is served. One line.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address.
    #[error("cannot listen for CIFS clients on {address}: {error}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// What it is to serve.
    #[error("CIFS cannot be served: {0}")]
    Build(#[from] BuildError),
}

/// A server that listens and accepts nobody yet.
pub struct Server {
    server: SmbServer,
    address: SocketAddr,
}

impl Server {
    /// Listens.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub async fn bind<F: Filesystem>(settings: &Settings, filesystem: &Arc<F>) -> Result<Self, ServeError> {
        let server = build(settings, filesystem)?;
        let failed = |error| ServeError::Bind { address: settings.listen, error };
        let address = server.bind().await.map_err(failed)?;
        Ok(Self { server, address })
    }

    /// Where.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until this is dropped: then the address is free, connections are closed without another answer, and
    /// requests in progress are given up.
    ///
    /// # Errors
    /// The listening socket failed.
    pub async fn serve(self) -> io::Result<()> {
        self.server.serve().await
    }
}

/// Tries whether the server would take the settings.
///
/// # Errors
/// It would not.
pub fn check<F: Filesystem>(settings: &Settings, filesystem: &Arc<F>) -> Result<(), ServeError> {
    build(settings, filesystem).map(|_| ())
}

fn build<F: Filesystem>(settings: &Settings, filesystem: &Arc<F>) -> Result<SmbServer, ServeError> {
    let mut builder = SmbServer::builder()
        .listen(settings.listen)
        .netbios_name(&settings.name)
        .server_guid(Uuid::from_bytes(settings.guid))
        .require_signing(settings.signing == Demand::Required)
        .encrypt_data(settings.encryption == Demand::Required)
        .max_connections(CONNECTIONS_MAX)
        .io_timeout(IO_TIME)
        .max_read_size(TRANSFER_BYTES_MAX)
        .max_write_size(TRANSFER_BYTES_MAX);
    for user in &settings.users {
        builder = builder.user(&user.name, &user.password);
    }
    let listings = Arc::new(Semaphore::new(LISTED_TOGETHER_MAX));
    for (share, serial_number) in settings.shares.iter().zip(1..) {
        let tree = Tree {
            filesystem: Arc::clone(filesystem),
            actor: Actor::new(share.identity, settings.keys.clone()),
            path: share.export.path.clone(),
            read_only: share.export.read_only,
            serial_number,
            usage: Arc::clone(&settings.usage),
            listings: Arc::clone(&listings),
        };
        // No leases: NFS clients write the same files, and no lease could be called back for them.
        let mut built = smb_server::Share::new(&share.name, Backend(Arc::new(tree))).leases(false);
        let access = if share.export.read_only { Access::Read } else { Access::ReadWrite };
        for user in &share.users {
            built = built.user(user, access);
        }
        builder = builder.share(built);
    }
    Ok(builder.build()?)
}
