//! The port's configuration: one TOML file, checked as a whole before anything is opened.
//!
//! What is read here is only said, not yet done: directories, ports and the center are tried by [`crate::port`]. Every
//! error is one line that says what is wrong and how to mend it. Secrets are in files of their own.

mod changes;
mod cifs;
mod folder;
mod keys;
mod pair;
mod parts;
mod secret;
mod status_page;
mod wan;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use config_file::FileError;
use nfs::duty::Duty;
use nfs::nsm::ledger::Ledger;
use nfs::settings::{RPCBIND_PORT, Rpcbind};
use protocol::id::CustomerId;
use protocol::srl::{Secret, SrlVersion};
use serde::{Deserialize, Serialize};
use tokio_rustls::TlsAcceptor;

pub use self::changes::{Change, changes};
pub use self::cifs::{Cifs, Engine};
pub use self::folder::FolderEntry;
pub use self::pair::{Pair, WhenAlone};
pub use self::parts::{
    Cache, CacheDisk, Center, Customer, ExportEntry, Journal, Nfs, RpcbindMode, State, Upload,
};
pub use self::secret::SecretError;
pub(crate) use self::secret::{read_cifs_users, read_key, read_or_make_key, read_pair_key};
pub use self::status_page::StatusPage;
pub use self::wan::{Wan, WanHours};
use crate::folder_rules::FolderRules;
use crate::status_page::password::PasswordHash;
use crate::translator::export::{Export, Exports, SameExport, SrlOptions};
use crate::translator::handle::ExportId;

/// A configuration as it stands in the file.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Config {
    /// Where the port keeps what must outlast a restart.
    pub state: State,
    /// The storage center.
    pub center: Center,
    /// Whose trees are served.
    pub customer: Vec<Customer>,
    /// Which of them under which paths.
    pub export: Vec<ExportEntry>,
    /// What is special about some of their folders.
    #[serde(default)]
    pub folder: Vec<FolderEntry>,
    /// Where clients are served.
    #[serde(default)]
    pub nfs: Nfs,
    /// What is kept of the center's data.
    pub cache: Cache,
    /// What clients wrote and the center does not have yet.
    pub journal: Journal,
    /// When it goes to the center.
    #[serde(default)]
    pub upload: Upload,
    /// How much of the way to the center may be taken.
    #[serde(default)]
    pub wan: Wan,
    /// Where the exports are shared with CIFS clients as well, if anywhere.
    pub cifs: Option<Cifs>,
    /// The other port with which this one shares its addresses, if there is one.
    pub pair: Option<Pair>,
    /// Where a Prometheus server reads metrics, if anywhere.
    pub metrics: Option<metrics::server::Settings>,
    /// Where a browser is shown how the port is, if anywhere.
    pub status_page: Option<StatusPage>,
}

/// What is wrong with a configuration: one line, for the operator.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file itself.
    #[error(transparent)]
    File(#[from] FileError),
    /// Well-formed, but impossible.
    #[error("{path}: {message}")]
    Impossible {
        /// The file.
        path: PathBuf,
        /// What, and how to mend it.
        message: String,
    },
    /// A secret that cannot be used.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// Room for some blocks; below that a cache disk is only work.
const CACHE_DISK_BYTES_MIN: u64 = 4 << 20;
/// On the packets with which a port of a pair closes connections: "SPO". What ends a connection without it comes from
/// a kernel whose port has died, and is kept from clients.
const CLOSE_MARK: u32 = 0x0053_504f;
/// A segment of the journal is at most a quarter of it, and must hold the largest write.
const JOURNAL_BYTES_MIN: u64 = 32 << 20;

impl Config {
    /// Reads and checks a configuration file.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let config: Self = config_file::load(path, keys::KEYS)?;
        config.check().map_err(|message| ConfigError::Impossible { path: path.to_owned(), message })?;
        Ok(config)
    }

    /// What no single value shows.
    fn check(&self) -> Result<(), String> {
        if self.customer.is_empty() || self.export.is_empty() {
            return Err("nothing to serve: add at least one [[customer]] and one [[export]]".into());
        }
        for (number, customer) in self.customer.iter().enumerate() {
            if self.customer[..number].iter().any(|other| other.id == customer.id) {
                return Err(format!("customer {} stands there twice: remove one [[customer]]", customer.id));
            }
        }
        for export in &self.export {
            let path = &export.path;
            if !path.starts_with('/') || path.len() < 2 || path.ends_with('/') || path.contains("//") {
                return Err(format!("export path `{path}`: write it like `/export`"));
            }
            if !self.customer.iter().any(|customer| customer.id == export.customer) {
                return Err(format!(
                    "export {path} is of customer {}, who has no [[customer]] entry: add one",
                    export.customer
                ));
            }
        }
        if let Some(export) =
            self.export.iter().find(|export| export.versions && export.tree == parts::Tree::Srl)
        {
            return Err(format!(
                "export {}: there are `versions` of files alone: leave the key out, or write tree = \"files\"",
                export.path
            ));
        }
        self.check_folders()?;
        if self.cache.disk.is_empty() {
            return Err("the data cache has no disk: add a [[cache.disk]] with `path` and `bytes`".into());
        }
        if let Some(disk) = self.cache.disk.iter().find(|disk| disk.bytes < CACHE_DISK_BYTES_MIN) {
            let path = disk.path.display();
            return Err(format!("cache disk {path}: give it at least {CACHE_DISK_BYTES_MIN} `bytes`"));
        }
        if !(0.0..=1.0).contains(&self.cache.pinned_share) {
            return Err("[cache]: `pinned_share` is a part of each disk, from 0.0 to 1.0".into());
        }
        if self.journal.bytes < JOURNAL_BYTES_MIN {
            return Err(format!("[journal]: give it at least {JOURNAL_BYTES_MIN} `bytes`"));
        }
        self.wan.check()?;
        self.cifs.as_ref().map_or(Ok(()), Cifs::check)?;
        self.pair.as_ref().map_or(Ok(()), Pair::check)?;
        self.status_page.as_ref().map_or(Ok(()), StatusPage::check)?;
        self.exports().map(|_| ()).map_err(|error| error.to_string())
    }

    fn check_folders(&self) -> Result<(), String> {
        for (number, folder) in self.folder.iter().enumerate() {
            folder.check()?;
            let (customer, path) = (folder.customer, &folder.path);
            if !self.customer.iter().any(|entry| entry.id == customer) {
                return Err(format!(
                    "[[folder]] {path} is of customer {customer}, who has no [[customer]] entry: add one"
                ));
            }
            if self.folder[..number].iter().any(|other| (other.customer, &other.path) == (customer, path)) {
                return Err(format!(
                    "[[folder]] {path} of customer {customer} stands there twice: make one of them"
                ));
            }
        }
        Ok(())
    }

    /// The rules of folders, of each customer who has some.
    pub fn folder_rules(&self) -> HashMap<CustomerId, FolderRules> {
        let rules = |customer: &Customer| {
            let own = self.folder.iter().filter(|folder| folder.customer == customer.id);
            (CustomerId(customer.id), FolderRules::new(own.map(|folder| (folder.names(), folder.rule()))))
        };
        self.customer.iter().map(rules).filter(|(_, rules)| !rules.is_empty()).collect()
    }

    /// The exports.
    ///
    /// # Errors
    /// Two of one path.
    pub fn exports(&self) -> Result<Exports, SameExport> {
        let default_host = self.center.dosm.first().map_or("", String::as_str);
        Exports::new(self.export.iter().map(|entry| {
            let names = entry.folder.split('/').filter(|name| !name.is_empty());
            let folder: Vec<_> = names.map(|name| name.as_bytes().to_vec()).collect();
            Export {
                id: ExportId::of(&entry.path, &folder),
                path: entry.path.clone(),
                tree: entry.tree.into(),
                customer: CustomerId(entry.customer),
                folder,
                allowed: entry.allowed.clone(),
                read_only: entry.read_only,
                audit: entry.audit,
                versions: entry.versions,
                squash: entry.squash.into(),
                anonymous_uid: entry.anonymous_uid,
                anonymous_gid: entry.anonymous_gid,
                srl: SrlOptions {
                    seconds: entry.srl_seconds,
                    host: entry.srl_host.as_deref().unwrap_or(default_host).trim_end_matches('/').to_owned(),
                    version: if entry.srl_version == 2 { SrlVersion::HmacSha256 } else { SrlVersion::Md5 },
                },
            }
        }))
    }

    /// The secret of each customer.
    ///
    /// # Errors
    /// A file that is missing, readable for others, or no secret.
    pub fn secrets(&self) -> Result<Vec<(CustomerId, Secret)>, SecretError> {
        let read = |customer: &Customer| {
            Ok((CustomerId(customer.id), secret::read(CustomerId(customer.id), &customer.secret_file)?))
        };
        self.customer.iter().map(read).collect()
    }

    /// The key of the pair; `None` for a port that stands alone.
    ///
    /// # Errors
    /// A file that is missing, readable for others, or too short.
    pub fn pair_key(&self) -> Result<Option<Vec<u8>>, SecretError> {
        self.pair.as_ref().map(|pair| read_pair_key(&pair.key_file)).transpose()
    }

    /// The hash of the password for what changes something by the status page, if there is one.
    ///
    /// # Errors
    /// A file that is missing, readable for others, or no hash.
    pub fn password_hash(&self) -> Result<Option<PasswordHash>, SecretError> {
        let file = self.status_page.as_ref().and_then(|page| page.password_hash_file.as_deref());
        file.map(secret::read_password_hash).transpose()
    }

    /// TLS for the status page, if it is to have it.
    ///
    /// # Errors
    /// A key that others can read, a file that is none, or two that do not fit.
    pub fn page_tls(&self) -> Result<Option<TlsAcceptor>, SecretError> {
        let files =
            self.status_page.as_ref().and_then(|page| page.certificate.as_deref().zip(page.key.as_deref()));
        files.map(|(certificate, key)| secret::page_tls(certificate, key)).transpose()
    }

    /// What the NFS server is told; `ledger` remembers clients that hold locks, `duty` says when clients are answered.
    pub fn server(&self, ledger: Arc<dyn Ledger>, duty: Duty) -> nfs::settings::Settings {
        let mut nfs = vec![self.nfs.listen];
        if self.pair.is_some()
            && !self.nfs.listen.ip().is_unspecified()
            && !self.nfs.listen.ip().is_loopback()
        {
            // Where the port is asked whether it is well while it does not have its address.
            nfs.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), self.nfs.listen.port()));
        }
        let rpcbind_port = self.nfs.rpcbind_port.unwrap_or(RPCBIND_PORT);
        nfs::settings::Settings {
            nfs,
            mount: self.nfs.mount_listen.into_iter().collect(),
            rpcbind: match self.nfs.rpcbind {
                parts::RpcbindMode::Off => Rpcbind::Off,
                parts::RpcbindMode::Serve => {
                    Rpcbind::Serve(vec![SocketAddr::new(self.nfs.listen.ip(), rpcbind_port)])
                }
                parts::RpcbindMode::Register => {
                    Rpcbind::Register(SocketAddr::from(([127, 0, 0, 1], rpcbind_port)))
                }
            },
            locks: self.nfs.locks.then(|| nfs::nlm::Settings {
                grace: Duration::from_secs(self.nfs.grace_seconds),
                host_name: self.nfs.host_name.clone(),
                rpcbind_port: self.nfs.client_rpcbind_port.unwrap_or(RPCBIND_PORT),
                ..nfs::nlm::Settings::new(ledger)
            }),
            duty,
            close_mark: self.pair.is_some().then_some(CLOSE_MARK),
            listen_ahead: self.pair.is_some(),
            ..nfs::settings::Settings::default()
        }
    }

    /// How long a call to the center may take.
    pub fn deadline(&self) -> Duration {
        Duration::from_secs(self.center.deadline_seconds.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../storage-port.example.toml");

    fn error(text: &str) -> String {
        let path = Path::new("port.toml");
        let checked = config_file::parse::<Config>(text, path, keys::KEYS)
            .map_err(ConfigError::from)
            .and_then(|config| {
                config.check().map_err(|message| ConfigError::Impossible { path: path.to_owned(), message })
            });
        checked.err().map_or_else(String::new, |error| error.to_string())
    }

    fn edited(from: &str, to: &str) -> String {
        assert!(EXAMPLE.contains(from), "{from}");
        EXAMPLE.replacen(from, to, 1)
    }

    #[test]
    fn the_example_is_good() {
        assert_eq!(error(EXAMPLE), "");
        let config = config_file::parse::<Config>(EXAMPLE, Path::new("x"), keys::KEYS).unwrap();
        let paths: Vec<_> = config.exports().unwrap().iter().map(|export| export.path.clone()).collect();
        assert_eq!(paths, ["/SRL", "/export"], "PORT-2");
    }

    fn with_folder(text: &str) -> String {
        edited("[nfs]", &format!("[[folder]]\n{text}\n[nfs]"))
    }

    #[test]
    fn rules_of_folders_are_each_customers_own() {
        let text = with_folder("customer = 1\npath = \"/a/b\"\nsrl_seconds = 0\nquiet_ms = 86_400_000");
        assert_eq!(error(&text), "");
        let config = config_file::parse::<Config>(&text, Path::new("x"), keys::KEYS).unwrap();
        let rules = config.folder_rules();
        assert_eq!(rules.keys().collect::<Vec<_>>(), [&CustomerId(1)]);
        let rule = rules[&CustomerId(1)].at([&b"a"[..], b"b", b"c"]);
        assert_eq!((rule.srl_seconds, rule.cached), (Some(0), None));
        assert_eq!(rule.quiet, Some(Duration::from_secs(86_400)));
        let none = config_file::parse::<Config>(EXAMPLE, Path::new("x"), keys::KEYS).unwrap();
        assert!(none.folder_rules().is_empty());
    }

    #[test]
    fn a_wrong_rule_of_a_folder_is_said_in_one_line() {
        let two = "customer = 1\npath = \"/a\"\ncached = false\n";
        let cases: [(&str, &[&str]); 8] = [
            ("customer = 1\npath = \"videos\"\ncached = false", &["[[folder]] videos", "like `/videos`"]),
            ("customer = 1\npath = \"/a/../b\"\ncached = false", &["[[folder]] /a/../b", "like `/videos`"]),
            ("customer = 1\npath = \"/a/\"\ncached = false", &["[[folder]] /a/", "like `/videos`"]),
            ("customer = 1\npath = \"/a\"", &["[[folder]] /a", "`srl_seconds`, `cached` or `quiet_ms`"]),
            ("customer = 9\npath = \"/a\"\ncached = false", &["[[folder]] /a", "customer 9", "[[customer]]"]),
            ("customer = 1\npath = \"/a\"\nquiet_ms = 86_400_001", &["[[folder]] /a", "a day"]),
            (&format!("{two}[[folder]]\n{two}"), &["[[folder]] /a", "twice"]),
            ("customer = 1\npath = \"/\"\ncache = false", &["`cache` in [folder]", "`cached`"]),
        ];
        for (text, words) in cases {
            let error = error(&with_folder(text));
            assert_eq!(error.lines().count(), 1, "{error}");
            for word in words {
                assert!(error.contains(word), "`{error}` lacks `{word}`");
            }
        }
        assert_eq!(error(&with_folder("customer = 1\npath = \"/\"\ncached = false")), "");
    }

    /// Design decision 11.
    #[test]
    fn what_is_wrong_is_said_in_one_line() {
        let cases: [(&str, &str, &[&str]); 8] = [
            ("quiet_ms = 2", "quiet_msec = 2", &["quiet_msec", "[upload]", "`quiet_ms`"]),
            ("squash = \"root\"", "squash = \"some\"", &["some", "none", "root", "all"]),
            ("[journal]", "[journals]", &["journals", "`journal`"]),
            ("listen = \"", "listen = \"nowhere-", &["listen", "port.toml:"]),
            ("customer = 1", "customer = 9", &["customer 9", "[[customer]]"]),
            ("path = \"/SRL\"", "path = \"/export\"", &["/export"]),
            ("tree = \"srl\"", "tree = \"srl\"\nversions = true", &["export /SRL", "`versions`"]),
            ("path = \"/SRL\"", "path = \"SRL\"", &["`SRL`", "/export"]),
        ];
        for (from, to, words) in cases {
            let error = error(&edited(from, to));
            assert_eq!(error.lines().count(), 1, "{error}");
            for word in words {
                assert!(error.contains(word), "`{error}` lacks `{word}`");
            }
        }
    }
}
