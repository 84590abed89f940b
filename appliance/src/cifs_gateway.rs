//! The exports shared with CIFS clients while this port is on duty (PORT-1).
//!
//! Prepared once, from the configuration and the file of users, so that a mistake in them shows at the start. Then each
//! time of duty is a time of serving: at its beginning the gateway listens, at its end its address is free and every
//! connection closed. Off duty nobody listens, so a client that comes to the wrong port of a pair is told so at once.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cifs::server::{self, ServeError, Settings};
use cifs::shares::{Export, Share, ShareError, names, shares};
use cifs::usage::Usage;
use cifs::users::{SealKey, User, UsersError};
use nfs::duty::Duty;
use nfs::filesystem::Filesystem;
use nfs::local::{self, Keys};
use samba::kept::Kept;

use crate::cifs_attendance::{CifsAttendance, ShareStatus, Shared};
use crate::config::{self, Config, Engine, SecretError, read_cifs_users, read_key};
use crate::host;
use crate::port::HANDLE_KEY;
use crate::samba_gateway::{self, Samba, SambaError};
use crate::translator::export::Exports;
use crate::translator::handle::Tree;

/// How often the gateway tries to listen while it should and cannot.
const AGAIN: Duration = Duration::from_millis(250);
/// What keys are made for (BLAKE3's `derive_key`).
const SEAL_CONTEXT: &str = "storage port 2026-11 passwords of CIFS users";
const GUID_CONTEXT: &str = "storage port 2026-11 GUID of the CIFS server";

/// Why nothing can be shared. One line, for the operator.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The file of users.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// What is in it.
    #[error("users of CIFS {path}: {error} (`users` of [cifs])")]
    Users {
        /// Which file.
        path: PathBuf,
        /// What.
        error: UsersError,
    },
    /// The exports.
    #[error("{0} ([cifs])")]
    Shares(#[from] ShareError),
    /// The server.
    #[error("{0} (`listen` of [cifs])")]
    Serve(#[from] ServeError),
    /// Samba.
    #[error("{0} (`engine` of [cifs])")]
    Samba(#[from] SambaError),
}

/// The key with which CIFS users' passwords are sealed, of the key of a pair, or else the port's own.
pub fn seal_key(key: &[u8]) -> SealKey {
    SealKey::new(&blake3::derive_key(SEAL_CONTEXT, key))
}

/// What [`seal_key`] takes; `None` before the first start of a port that is not one of a pair.
///
/// # Errors
/// A key that cannot be read.
pub fn seal_key_of(config: &Config) -> Result<Option<Vec<u8>>, SecretError> {
    if let Some(key) = config.pair_key()? {
        return Ok(Some(key));
    }
    let key = read_key(&config.state.dir.join(HANDLE_KEY))?;
    Ok(key.map(|key| key.to_vec()))
}

/// Looks whether the users of a configuration could log on, as far as their passwords can be opened already.
///
/// # Errors
/// See [`GatewayError`].
pub fn check(config: &Config) -> Result<(), GatewayError> {
    let Some(cifs) = &config.cifs else { return Ok(()) };
    let Some(path) = &cifs.users else { return Ok(()) };
    let text = read_cifs_users(path)?;
    match seal_key_of(config)? {
        Some(key) => users(&text, &key, path).map(|_| ()),
        None => Ok(()),
    }
}

fn users(text: &str, key: &[u8], path: &Path) -> Result<Vec<User>, GatewayError> {
    seal_key(key).users(text).map_err(|error| GatewayError::Users { path: path.to_owned(), error })
}

/// See the module.
pub struct CifsGateway<F> {
    server: Server<F>,
    attendance: Arc<CifsAttendance>,
}

enum Server<F> {
    BuiltIn { settings: Box<Settings>, filesystem: Arc<F> },
    Samba(Samba),
}

/// A time of serving. Dropped, it serves nobody at once.
pub enum Serving {
    /// By the port itself.
    BuiltIn(server::Server),
    /// By Samba.
    Samba(samba_gateway::Serving),
}

impl Serving {
    fn address(&self) -> SocketAddr {
        match self {
            Self::BuiltIn(server) => server.address(),
            Self::Samba(serving) => serving.address(),
        }
    }

    async fn serve(self) -> io::Result<()> {
        match self {
            Self::BuiltIn(server) => server.serve().await,
            // It serves by itself, and is started anew by its keeper if it ends.
            Self::Samba(_serving) => std::future::pending().await,
        }
    }
}

impl<F: Filesystem> CifsGateway<F> {
    /// Reads who may log on, and takes the exports that admit CIFS users. `key` is the one that [`seal_key`] takes,
    /// `kept` is there where Samba serves.
    ///
    /// # Errors
    /// See [`GatewayError`]; nobody has listened yet.
    pub async fn prepare(
        config: &config::Cifs,
        exports: &Exports,
        key: &[u8],
        filesystem: Arc<F>,
        kept: Option<Arc<Kept>>,
    ) -> Result<Self, GatewayError> {
        let users = match &config.users {
            Some(path) => Some(users(&read_cifs_users(path)?, key, path)?),
            None => None,
        };
        let trees = trees(exports);
        match config.engine {
            Engine::BuiltIn => {
                let users = users.unwrap_or_default();
                let mut guid = [0; 16];
                guid.copy_from_slice(&blake3::derive_key(GUID_CONTEXT, key)[..16]);
                let (shares, usage) = (shares(&trees, &users)?, Arc::<Usage>::default());
                let attendance =
                    CifsAttendance::new(config.listen, shared(&shares), Some(Arc::clone(&usage)));
                let settings = Box::new(Settings {
                    listen: config.listen,
                    name: config.name.clone(),
                    guid,
                    keys: Keys::new(host::random()),
                    shares,
                    users,
                    signing: config.signing.into(),
                    encryption: config.encryption.into(),
                    usage,
                });
                server::check(&settings, &filesystem)?;
                let server = Server::BuiltIn { settings, filesystem };
                Ok(Self { server, attendance: Arc::new(attendance) })
            }
            Engine::Samba => {
                let kept = kept.ok_or(SambaError::NoKeeper)?;
                let names = names(&trees)?;
                let all: Vec<String> = users.iter().flatten().map(|user| user.name.clone()).collect();
                let shares = trees.iter().zip(&names).map(|(tree, name)| Shared {
                    export: tree.path.clone(),
                    share: ShareStatus { name: name.clone(), users: all.clone() },
                });
                let attendance = Arc::new(CifsAttendance::new(config.listen, shares.collect(), None));
                let trees = names.into_iter().zip(trees).collect();
                let samba = Samba::prepare(config, trees, users.as_deref(), kept, filesystem).await?;
                Ok(Self { server: Server::Samba(samba), attendance })
            }
        }
    }

    /// Knows how the shares are used.
    pub fn attendance(&self) -> Arc<CifsAttendance> {
        Arc::clone(&self.attendance)
    }

    /// Listens: the beginning of a time of serving.
    ///
    /// # Errors
    /// The address cannot be had, or Samba not be started.
    pub async fn promote(&self) -> Result<Serving, GatewayError> {
        match &self.server {
            Server::BuiltIn { settings, filesystem } => {
                Ok(Serving::BuiltIn(server::Server::bind(settings, filesystem).await?))
            }
            Server::Samba(samba) => Ok(Serving::Samba(samba.promote().await?)),
        }
    }

    /// Serves in each time of duty, in the first one with `first` if it is there. Dropped, it serves nobody at once.
    pub async fn run(self, duty: Duty, mut first: Option<Serving>) {
        loop {
            let mut watch = duty.begun().await;
            let serve = async {
                let server = match first.take() {
                    Some(server) => server,
                    None => self.promoted().await,
                };
                let address = server.address();
                tracing::info!(%address, "CIFS clients are served");
                let served = tokio::select! {
                    served = server.serve() => served,
                    () = self.attendance.follow(address) => Ok(()),
                };
                if let Err(error) = served {
                    tracing::error!("CIFS clients are served no longer: {error}; listening anew");
                    tokio::time::sleep(AGAIN).await;
                }
            };
            tokio::select! {
                () = serve => {}
                // The server goes with its future, and its connections with it.
                () = watch.over() => tracing::info!("CIFS clients are no longer served here"),
            }
        }
    }

    async fn promoted(&self) -> Serving {
        let mut is_told = false;
        loop {
            match self.promote().await {
                Ok(server) => return server,
                Err(error) if !is_told => {
                    tracing::error!("{error}; trying again");
                    is_told = true;
                }
                Err(_) => {}
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// The exports that CIFS users may have, of all of them.
fn trees(exports: &Exports) -> Vec<Export> {
    let mut trees = Vec::new();
    for export in exports.iter() {
        if export.admits(local::ADDRESS) {
            let read_only = export.read_only || export.tree == Tree::Srl;
            trees.push(Export { path: export.path.clone(), read_only });
        } else {
            tracing::warn!(
                export = export.path,
                "not shared by CIFS: its users count as of {}, which `allowed` leaves out",
                local::ADDRESS
            );
        }
    }
    trees
}

/// As operators are told of them.
fn shared(shares: &[Share]) -> Vec<Shared> {
    let shared = shares.iter().map(|share| Shared {
        export: share.export.path.clone(),
        share: ShareStatus { name: share.name.clone(), users: share.users.clone() },
    });
    shared.collect()
}
