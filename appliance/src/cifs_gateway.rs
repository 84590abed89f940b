//! The exports shared with CIFS clients while this port is on duty (PORT-1).
//!
//! Prepared once, from the configuration and the file of users, so that a mistake in them shows at the start. Then each
//! time of duty is a time of serving: at its beginning the gateway listens, at its end its address is free and every
//! connection closed. Off duty nobody listens, so a client that comes to the wrong port of a pair is told so at once.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cifs::server::{self, ServeError, Server, Settings};
use cifs::shares::{Export, ShareError, shares};
use cifs::usage::Usage;
use cifs::users::{SealKey, User, UsersError};
use nfs::duty::Duty;
use nfs::filesystem::Filesystem;

use crate::cifs_attendance::CifsAttendance;
use crate::config::{self, Config, SecretError, read_cifs_users, read_key};
use crate::host;
use crate::port::HANDLE_KEY;
use crate::translator::export::Exports;
use crate::translator::handle::Tree;

/// As which address CIFS users come to an export: this machine's own.
const USERS_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
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
    let text = read_cifs_users(&cifs.users)?;
    match seal_key_of(config)? {
        Some(key) => users(&text, &key, &cifs.users).map(|_| ()),
        None => Ok(()),
    }
}

fn users(text: &str, key: &[u8], path: &Path) -> Result<Vec<User>, GatewayError> {
    seal_key(key).users(text).map_err(|error| GatewayError::Users { path: path.to_owned(), error })
}

/// See the module.
pub struct CifsGateway<F> {
    settings: Settings,
    filesystem: Arc<F>,
    attendance: Arc<CifsAttendance>,
}

impl<F: Filesystem> CifsGateway<F> {
    /// Reads who may log on, and takes the exports that admit CIFS users. `key` is the one that [`seal_key`] takes.
    ///
    /// # Errors
    /// See [`GatewayError`]; nobody has listened yet.
    pub fn prepare(
        config: &config::Cifs,
        exports: &Exports,
        key: &[u8],
        filesystem: Arc<F>,
    ) -> Result<Self, GatewayError> {
        let users = users(&read_cifs_users(&config.users)?, key, &config.users)?;
        let mut trees = Vec::new();
        for export in exports.iter() {
            if export.admits(USERS_ADDRESS) {
                let read_only = export.read_only || export.tree == Tree::Srl;
                trees.push(Export { path: export.path.clone(), read_only });
            } else {
                tracing::warn!(
                    export = export.path,
                    "not shared by CIFS: its users count as of {USERS_ADDRESS}, which `allowed` leaves out"
                );
            }
        }
        let mut guid = [0; 16];
        guid.copy_from_slice(&blake3::derive_key(GUID_CONTEXT, key)[..16]);
        let (shares, usage) = (shares(&trees, &users)?, Arc::<Usage>::default());
        let attendance = CifsAttendance::new(config.listen, shares.clone(), Arc::clone(&usage));
        let settings = Settings {
            listen: config.listen,
            name: config.name.clone(),
            guid,
            seed: host::random(),
            shares,
            users,
            signing: config.signing.into(),
            encryption: config.encryption.into(),
            usage,
        };
        server::check(&settings, &filesystem)?;
        Ok(Self { settings, filesystem, attendance: Arc::new(attendance) })
    }

    /// Knows how the shares are used.
    pub fn attendance(&self) -> Arc<CifsAttendance> {
        Arc::clone(&self.attendance)
    }

    /// Listens: the beginning of a time of serving.
    ///
    /// # Errors
    /// The address cannot be had.
    pub async fn promote(&self) -> Result<Server, ServeError> {
        Server::bind(&self.settings, &self.filesystem).await
    }

    /// Serves in each time of duty, in the first one with `first` if it is there. Dropped, it serves nobody at once.
    pub async fn run(self, duty: Duty, mut first: Option<Server>) {
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

    async fn promoted(&self) -> Server {
        let mut is_told = false;
        loop {
            match self.promote().await {
                Ok(server) => return server,
                Err(error) if !is_told => {
                    tracing::error!("{error}; trying again (`listen` of [cifs])");
                    is_told = true;
                }
                Err(_) => {}
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}
