//! Which server, and how it is reached.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::{Client, Config, Connection, NoTls, Socket};

/// Longest wait for a connection, for each host named.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A connection over which nothing comes is asked after so long whether it is still one.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// A connection that acknowledges nothing for so long is none any more.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// What the server bounds by itself, in milliseconds: a statement, its wait for a lock, a transaction left alone.
const OPTIONS: &str = "-c statement_timeout=20000 -c lock_timeout=10000 \
                       -c idle_in_transaction_session_timeout=30000 -c timezone=UTC";
/// Largest password file.
const PASSWORD_BYTES_MAX: u64 = 1024;

/// A PostgreSQL server, or several of which one takes writes. Clones share it.
#[derive(Clone)]
pub struct Postgres {
    config: Arc<Config>,
}

/// What is wrong with a server's description.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ServerError {
    /// No connection string.
    #[error("it is no connection string such as \"host=10.3.0.5 dbname=vfs user=storage\": {0}")]
    Malformed(String),
    /// Anybody who may read the configuration would read it.
    #[error("a password stands in it: put it into a file of its own, and name that in `password_file`")]
    Password,
    /// The password's file.
    #[error("password_file {path}: {reason}")]
    PasswordFile {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl Postgres {
    /// The server of this connection string (`host=… port=… dbname=… user=…`; several hosts with commas), with the
    /// password in the file's first line.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub fn new(connection: &str, password_file: Option<&Path>) -> Result<Self, ServerError> {
        let mut config: Config = connection
            .parse()
            .map_err(|error: tokio_postgres::Error| ServerError::Malformed(error.to_string()))?;
        if config.get_password().is_some() {
            return Err(ServerError::Password);
        }
        if let Some(path) = password_file {
            config.password(read_password(path)?);
        }
        config
            .application_name("storage-center")
            .connect_timeout(CONNECT_TIMEOUT)
            .keepalives_idle(KEEPALIVE)
            .tcp_user_timeout(SILENCE_MAX)
            .options(OPTIONS)
            // Of a server and its standbys, the one that has been promoted.
            .target_session_attrs(TargetSessionAttrs::ReadWrite);
        Ok(Self { config: Arc::new(config) })
    }

    /// Connects to the first of the hosts that takes writes.
    pub(super) async fn connect(
        &self,
    ) -> Result<(Client, Connection<Socket, NoTlsStream>), tokio_postgres::Error> {
        self.config.connect(NoTls).await
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts = self.config.get_hosts();
        f.debug_struct("Postgres").field("hosts", &hosts).field("dbname", &self.config.get_dbname()).finish()
    }
}

fn read_password(path: &Path) -> Result<String, ServerError> {
    use std::os::unix::fs::PermissionsExt;
    let wrong = |reason: String| ServerError::PasswordFile { path: path.to_owned(), reason };
    let metadata = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(wrong("others may read it: give it mode 0600".to_owned()));
    }
    if metadata.len() > PASSWORD_BYTES_MAX {
        return Err(wrong("it has more than 1,024 bytes".to_owned()));
    }
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    match text.lines().next() {
        Some(password) if !password.is_empty() => Ok(password.to_owned()),
        _ => Err(wrong("its first line is empty".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_password_comes_from_a_private_file_alone_and_is_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        write(&path, "correct horse\n").unwrap();
        set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let server = Postgres::new("host=db.example dbname=vfs user=storage", Some(&path)).unwrap();
        assert_eq!(server.config.get_password(), Some(&b"correct horse"[..]));
        let shown = format!("{server:?}");
        assert!(shown.contains("db.example") && !shown.contains("horse"), "{shown}");

        set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let said = Postgres::new("host=db.example", Some(&path)).unwrap_err().to_string();
        assert!(said.contains("0600"), "{said}");
        assert_eq!(Postgres::new("host=a password=b", None).unwrap_err(), ServerError::Password);
        assert!(matches!(Postgres::new("hots=a", None), Err(ServerError::Malformed(_))));
    }

    #[test]
    fn a_password_file_is_bounded_and_says_something() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        for (bytes, is_good) in [(0, false), (1_024, true), (1_025, false)] {
            write(&path, "p".repeat(bytes)).unwrap();
            set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            assert_eq!(Postgres::new("host=a", Some(&path)).is_ok(), is_good, "{bytes}");
        }
    }
}
