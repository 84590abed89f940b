//! The configuration file: TOML in, checked settings out. Every error is one line that says what and how to mend it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

/// All of the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Parts of a storage center that this process plays.
    #[serde(default = "all_roles")]
    pub roles: Vec<Role>,
    /// What is logged: `error`, `warn`, `info`, `debug`, or tracing's directives.
    #[serde(default = "default_log")]
    pub log: String,
    /// Where `storage-center check` reaches the running process; by default beside the database.
    pub control: Option<PathBuf>,
    /// Outward listeners.
    pub http: Http,
    /// The directory service.
    pub vfs: Vfs,
    /// The storage node.
    pub isn: Isn,
}

/// A part of a storage center.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Directory manager and VFS.
    Ddm,
    /// Object manager.
    Dosm,
    /// Storage node.
    Isn,
}

/// `[http]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Address and port, one or several.
    #[serde(deserialize_with = "one_or_many")]
    pub listen: Vec<SocketAddr>,
    /// PEM certificate chain; with it and `key`, all listeners speak TLS.
    pub certificate: Option<PathBuf>,
    /// PEM private key.
    pub key: Option<PathBuf>,
    /// Most open connections.
    #[serde(default = "default_connections")]
    pub connections_max: usize,
}

/// `[vfs]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vfs {
    /// The SQLite file.
    pub database: PathBuf,
}

/// `[isn]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Isn {
    /// Written on each disk, so that no disk of another cluster is taken.
    #[serde(default = "default_cluster")]
    pub cluster: String,
    /// Number of the node in the cluster.
    #[serde(default = "default_node")]
    pub node: u32,
    /// One directory per disk.
    pub disks: Vec<PathBuf>,
    /// Bytes left free on every disk.
    #[serde(default = "default_reserve")]
    pub reserve_bytes: u64,
    /// Seconds from an object's last reference to its removal.
    #[serde(default = "default_unlink_grace")]
    pub unlink_grace_seconds: u64,
    /// Seconds that something no row refers to is kept.
    #[serde(default = "default_orphan_grace")]
    pub orphan_grace_seconds: u64,
}

fn all_roles() -> Vec<Role> {
    vec![Role::Ddm, Role::Dosm, Role::Isn]
}

fn default_log() -> String {
    "info".to_string()
}

fn default_cluster() -> String {
    "main".to_string()
}

fn default_node() -> u32 {
    1
}

fn default_connections() -> usize {
    1_024
}

/// The index must be able to grow when objects no longer can.
fn default_reserve() -> u64 {
    256 << 20
}

fn default_unlink_grace() -> u64 {
    600
}

fn default_orphan_grace() -> u64 {
    86_400
}

/// Why a configuration cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {reason}; name a file with --config")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// Something in it is wrong.
    #[error("{path}, line {line}: {reason}")]
    Wrong {
        /// Which file.
        path: PathBuf,
        /// Where.
        line: usize,
        /// What, and how to mend it.
        reason: String,
    },
    /// The file as a whole makes no sense.
    #[error("{path}: {reason}")]
    Senseless {
        /// Which file.
        path: PathBuf,
        /// What, and how to mend it.
        reason: String,
    },
}

impl Config {
    /// Reads and checks the file; looks at directories, but opens no disk and no database.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |error: std::io::Error| ConfigError::Unreadable {
            path: path.to_path_buf(),
            reason: error.to_string(),
        };
        let text = fs::read_to_string(path).map_err(unreadable)?;
        let config: Self = toml::from_str(&text).map_err(|error| ConfigError::Wrong {
            path: path.to_path_buf(),
            line: error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count()),
            reason: explain(error.message()),
        })?;
        match config.nonsense() {
            None => Ok(config),
            Some(reason) => Err(ConfigError::Senseless { path: path.to_path_buf(), reason }),
        }
    }

    /// Where the running process is reached by this machine's administrator.
    pub fn control_socket(&self) -> PathBuf {
        self.control.clone().unwrap_or_else(|| self.vfs.database.with_extension("control"))
    }

    fn nonsense(&self) -> Option<String> {
        if let Some(missing) = all_roles().into_iter().find(|role| !self.roles.contains(role)) {
            return Some(
                format!(
                    "roles: {missing:?} is missing; this release runs all of ddm, dosm and isn in one process"
                )
                .to_lowercase(),
            );
        }
        if self.http.listen.is_empty() {
            return Some("http.listen: give at least one address, such as \"127.0.0.1:8080\"".to_string());
        }
        if self.http.certificate.is_some() != self.http.key.is_some() {
            return Some("http: give both `certificate` and `key` for TLS, or neither".to_string());
        }
        if self.http.connections_max == 0 {
            return Some("http.connections_max: at least 1".to_string());
        }
        if self.isn.disks.is_empty() {
            return Some("isn.disks: give at least one directory".to_string());
        }
        for (number, disk) in self.isn.disks.iter().enumerate() {
            if self.isn.disks[..number].contains(disk) {
                return Some(format!("isn.disks: {} is named twice", disk.display()));
            }
            if !disk.is_dir() {
                return Some(format!(
                    "isn.disks: {} is no directory; make it, or mount the disk",
                    disk.display()
                ));
            }
        }
        let folder = self.vfs.database.parent().filter(|folder| !folder.as_os_str().is_empty());
        let missing = folder.filter(|folder| !folder.is_dir())?;
        Some(format!("vfs.database: {} is no directory; make it", missing.display()))
    }
}

fn one_or_many<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<SocketAddr>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    let texts = match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(text) => vec![text],
        OneOrMany::Many(texts) => texts,
    };
    let parse = |text: &String| {
        text.parse().map_err(|_| {
            let form = "give an IP address and a port, such as \"127.0.0.1:8080\" or \"[::]:8080\"";
            serde::de::Error::custom(format!("listen: {text:?} is no address; {form}"))
        })
    };
    texts.iter().map(parse).collect()
}

/// Turns serde's "unknown field `x`, expected one of `a`, `b`" into a hint at the key that was probably meant.
fn explain(message: &str) -> String {
    let words: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let known = words.get(1..).unwrap_or_default();
    let nearest = words.first().and_then(|unknown| {
        known.iter().min_by_key(|known| distance(unknown, known)).map(|known| (unknown, known))
    });
    match nearest {
        Some((unknown, known)) if message.starts_with("unknown field") => {
            format!("unknown key `{unknown}`; did you mean `{known}`?")
        }
        _ => message.replace('\n', " "),
    }
}

/// Letters to insert, remove or replace to make one word of the other (Levenshtein).
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (above, letter) in left.chars().enumerate() {
        let mut diagonal = above;
        row[0] = above + 1;
        for (column, other) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("center.toml");
        fs::create_dir(folder.path().join("disk")).unwrap();
        fs::write(&path, text.replace("DIR", folder.path().to_str().unwrap())).unwrap();
        Config::load(&path).map_err(|error| error.to_string())
    }

    const GOOD: &str = "[http]\nlisten = \"127.0.0.1:0\"\n[vfs]\ndatabase = \"DIR/vfs.sqlite\"\n[isn]\ndisks = [\"DIR/disk\"]\n";

    #[test]
    fn the_least_configuration_is_enough() {
        let config = load(GOOD).unwrap();
        assert_eq!(config.isn.unlink_grace_seconds, 600, "REF-2");
        assert_eq!(config.isn.orphan_grace_seconds, 86_400, "REF-4");
        assert!(config.control_socket().ends_with("vfs.control"));
    }

    /// The example names every key, so that none goes undocumented.
    #[test]
    fn the_example_is_a_configuration() {
        let example = include_str!("../storage-center.example.toml");
        for key in [
            "roles",
            "log",
            "control",
            "listen",
            "certificate",
            "key",
            "connections_max",
            "database",
            "cluster",
            "node",
            "disks",
            "reserve_bytes",
            "unlink_grace_seconds",
            "orphan_grace_seconds",
        ] {
            assert!(example.contains(&format!("{key} = ")), "{key}");
        }
        let uncommented = example.replace("#= ", "");
        let config: Config = toml::from_str(&uncommented).unwrap();
        assert_eq!(config.http.listen.len(), 1);
    }

    #[test]
    fn errors_say_what_and_how_to_mend_it() {
        let wrong = |from: &str, to: &str| load(&GOOD.replacen(from, to, 1)).unwrap_err();
        let said = wrong("database", "databse");
        assert!(said.contains("line 4") && said.contains("`databse`; did you mean `database`?"), "{said}");
        assert!(wrong("[http]", "[htpp]").contains("`http`"));
        assert!(wrong("127.0.0.1:0", "nowhere:80").contains("listen"));
        assert!(wrong("DIR/disk", "DIR/dusk").contains("is no directory; make it"));
        assert!(wrong("[http]", "roles = [\"isnt\"]\n[http]").contains("isnt"));
        assert!(wrong("[http]", "roles = [\"isn\"]\n[http]").contains("ddm"));
        assert!(wrong("[vfs]", "certificate = \"x\"\n[vfs]").contains("both"));
        for said in [wrong("database", "databse"), wrong("\"DIR/vfs.sqlite\"", "7"), wrong("[http]", "[http")]
        {
            assert_eq!(said.lines().count(), 1, "{said}");
        }
    }

    #[test]
    fn distances_are_counted_in_letters() {
        assert_eq!(distance("reserved_bytes", "reserve_bytes"), 1);
        assert_eq!(distance("htpp", "http"), 1);
        assert_eq!(distance("", "abc"), 3);
    }
}
