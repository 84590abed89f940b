//! The exports shared by the machine's Samba, over a mount of each (PORT-1): for sites that need what the port's own
//! server does not do, as users of a domain.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ::samba::accounts::{Accounts, Taken};
use ::samba::conf::{self, Places, Settings, Share};
use ::samba::kept::{Kept, KeptError};
use cifs::shares::Export;
use cifs::users::User;
use nfs::filesystem::Filesystem;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout};

use crate::config::{self, Config, Engine};
use crate::host;
use crate::whole_file;

/// Below the state directory.
const DIR: &str = "samba";
/// How long Samba may take until it listens.
const START: Duration = Duration::from_secs(20);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// What a directory must have for Samba's processes, which are their users' own, to pass.
const PASS: u32 = 0o001;

/// Why Samba cannot share anything. One line, for the operator.
#[derive(Debug, thiserror::Error)]
pub enum SambaError {
    /// The port was not started by its command.
    #[error("Samba can be kept by `storage-port serve` alone")]
    NoKeeper,
    /// The keeper, a mount, or Samba itself.
    #[error(transparent)]
    Kept(#[from] KeptError),
    /// A user.
    #[error(transparent)]
    User(#[from] Taken),
    /// A file for Samba.
    #[error("cannot write {path} for Samba: {error}")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// A mount that users could not get to.
    #[error(
        "the users of Samba cannot pass {0}, below which the exports are mounted for them: chmod o+x {0}"
    )]
    Shut(PathBuf),
    /// The kernel.
    #[error("cannot serve a mount for Samba: {0}")]
    Serve(io::Error),
    /// The address.
    #[error("cannot listen for CIFS clients on {address}: {error}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// It started and does not listen.
    #[error("smbd does not listen on {address} after {START:?}: see {log}/log.smbd")]
    Deaf {
        /// Where it should.
        address: SocketAddr,
        /// Where it says why.
        log: PathBuf,
    },
    /// The runtime ends.
    #[error("the port stops")]
    Stopping,
}

/// Where everything of Samba's lies, if the configuration says that Samba serves.
pub fn places(config: &Config) -> Option<Places> {
    config.cifs.as_ref().filter(|cifs| cifs.engine == Engine::Samba)?;
    let dir = config.state.dir.join(DIR);
    Some(Places::new(std::path::absolute(&dir).unwrap_or(dir)))
}

/// See the module.
pub struct Samba {
    kept: Arc<Kept>,
    listen: SocketAddr,
}

/// A time of serving, until it is dropped.
pub struct Serving {
    kept: Arc<Kept>,
    address: SocketAddr,
}

impl Samba {
    /// Writes what Samba reads, and mounts the exports, each to be shared under a name. Nobody listens yet.
    ///
    /// # Errors
    /// See [`SambaError`].
    pub async fn prepare<F: Filesystem>(
        config: &config::Cifs,
        exports: Vec<(String, Export)>,
        users: Option<&[User]>,
        kept: Arc<Kept>,
        filesystem: Arc<F>,
    ) -> Result<Self, SambaError> {
        let shares =
            exports.iter().map(|(name, export)| Share { name: name.clone(), read_only: export.read_only });
        let settings = Settings {
            listen: config.listen,
            name: config.name.clone(),
            shares: shares.collect(),
            own_users: users.is_some(),
            include: config.include.clone(),
            signing: config.signing.into(),
            encryption: config.encryption.into(),
        };
        write(kept.places(), &conf::text(&settings, kept.places()), users)?;
        let (runtime, keeper) = (Handle::current(), Arc::clone(&kept));
        let mounted = spawn_blocking(move || {
            for (place, (_, export)) in exports.into_iter().enumerate() {
                let device = keeper.mount(&keeper.places().mount(place))?;
                let filesystem = Arc::clone(&filesystem);
                fuse_mount::serve(filesystem, export.path, host::random(), device, runtime.clone())
                    .map_err(SambaError::Serve)?;
            }
            Ok::<_, SambaError>(())
        });
        mounted.await.map_err(|_| SambaError::Stopping)??;
        Ok(Self { kept, listen: config.listen })
    }

    /// Starts Samba: the beginning of a time of serving.
    ///
    /// # Errors
    /// See [`SambaError`].
    pub async fn promote(&self) -> Result<Serving, SambaError> {
        // Samba only logs it.
        let failed = |error| SambaError::Bind { address: self.listen, error };
        TcpListener::bind(self.listen).map(drop).map_err(failed)?;
        // Before the order, which is obeyed even if nobody waits for it any more.
        let serving = Serving { kept: Arc::clone(&self.kept), address: self.listen };
        let started = spawn_blocking(move || serving.kept.start().map(|()| serving));
        let serving = started.await.map_err(|_| SambaError::Stopping)??;
        let mut asked = self.listen;
        if asked.ip().is_unspecified() {
            asked.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        let deadline = Instant::now() + START;
        while !matches!(timeout(LOOK, TcpStream::connect(asked)).await, Ok(Ok(_))) {
            if Instant::now() > deadline {
                let log = self.kept.places().run();
                return Err(SambaError::Deaf { address: self.listen, log });
            }
            sleep(LOOK).await;
        }
        Ok(serving)
    }
}

impl Serving {
    /// Where.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Err(error) = self.kept.stop() {
            tracing::error!("Samba cannot be ended: {error}");
        }
    }
}

fn write(places: &Places, conf: &str, users: Option<&[User]>) -> Result<(), SambaError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |error| SambaError::Write { path, error }
    };
    let (dir, run) = (places.dir(), places.run());
    fs::create_dir_all(&run).map_err(at(&run))?;
    for dir in dir.ancestors().filter(|dir| !dir.as_os_str().is_empty()) {
        let mode = fs::metadata(dir).map_err(at(dir))?.permissions().mode();
        if mode & PASS == 0 {
            return Err(SambaError::Shut(dir.to_owned()));
        }
    }
    let put = |path: PathBuf, text: &str| whole_file::replace(&path, text.as_bytes()).map_err(at(&path));
    put(places.conf(), conf)?;
    let own = [places.passwd(), places.group(), places.smbpasswd()];
    match users {
        Some(users) => {
            let Accounts { passwd, group, smbpasswd } = Accounts::new(users)?;
            for (path, text) in own.into_iter().zip([passwd, group, smbpasswd]) {
                put(path, &text)?;
            }
            // Read by processes that are their users' own.
            for path in [places.passwd(), places.group()] {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).map_err(at(&path))?;
            }
        }
        None => {
            for path in own {
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&path)(error)),
                    _ => {}
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::net::UnixStream;
    use std::thread;

    use super::*;

    /// A time of duty may end while Samba is being started.
    #[tokio::test]
    async fn samba_that_nobody_waits_for_any_more_is_ended() {
        let (own, its) = UnixStream::pair().unwrap();
        let kept = Arc::new(Kept::over(Places::new(PathBuf::from("/nowhere")), own).unwrap());
        let samba = Samba { kept, listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)) };
        let mut orders = BufReader::new(its.try_clone().unwrap()).lines().map(Result::unwrap);
        let ordered = thread::spawn(move || (orders.next(), orders));
        assert!(timeout(Duration::from_millis(200), samba.promote()).await.is_err(), "nobody has answered");
        let (order, mut orders) = ordered.join().unwrap();
        assert_eq!(order.as_deref(), Some("start"));
        its.set_read_timeout(Some(START)).unwrap();
        (&its).write_all(b"ok\n").unwrap();
        assert_eq!(spawn_blocking(move || orders.next()).await.unwrap().as_deref(), Some("stop"));
    }
}
