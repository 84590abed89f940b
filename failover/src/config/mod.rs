//! The judge's configuration: one TOML file, checked as a whole before anything is opened.
//!
//! Every error is one line that says what is wrong and how to mend it. Keys and secrets are in files of their own.

mod check;
mod keys;
mod parts;
mod secret;

use std::path::{Path, PathBuf};

use config_file::FileError;
use serde::Deserialize;

pub use self::parts::{
    Center, Health, Heartbeat, Lan, Limits, Pair, Port, State, Timers, Wan, Watchdog, Weights,
};
pub use self::secret::SecretError;

/// A configuration as it stands in the file.
#[derive(Clone, Debug, Deserialize)]
pub struct Config {
    /// Which pair, and which of the two.
    pub pair: Pair,
    /// The link between the two.
    pub heartbeat: Heartbeat,
    /// Where the clients are.
    pub lan: Lan,
    /// Where the center is.
    pub wan: Wan,
    /// The storage port that is judged.
    pub port: Port,
    /// The third vote.
    pub center: Center,
    /// Where the judge keeps what must outlast a restart.
    pub state: State,
    /// How fast.
    #[serde(default)]
    pub timers: Timers,
    /// What makes a port sick.
    #[serde(default)]
    pub health: Health,
    /// What ends a machine whose judge is stuck.
    pub watchdog: Option<Watchdog>,
    /// Where a Prometheus server reads metrics, if anywhere.
    pub metrics: Option<metrics::server::Settings>,
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
    /// A key or secret that cannot be used.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

impl Config {
    /// Reads and checks a configuration file; the files it names are not opened yet.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        config_file::load::<Self>(path, keys::KEYS)?.checked(path)
    }

    fn checked(self, path: &Path) -> Result<Self, ConfigError> {
        self.check().map_err(|message| ConfigError::Impossible { path: path.to_owned(), message })?;
        Ok(self)
    }

    /// The pair's keys: the one to seal with, and an older one whose seals are believed as well.
    ///
    /// # Errors
    /// A file that is missing, readable for others, or too short.
    pub fn pair_keys(&self) -> Result<(Vec<u8>, Option<Vec<u8>>), SecretError> {
        let old = self.pair.old_key_file.as_deref().map(secret::read_pair_key).transpose()?;
        Ok((secret::read_pair_key(&self.pair.key_file)?, old))
    }

    /// The customer's secret, in whose name the pair is known at the center.
    ///
    /// # Errors
    /// See [`Config::pair_keys`].
    pub fn customer_secret(&self) -> Result<Vec<u8>, SecretError> {
        secret::read_customer_secret(&self.center.secret_file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../port-failover.example.toml");

    fn parse(text: &str) -> Result<Config, ConfigError> {
        let path = Path::new("judge.toml");
        config_file::parse::<Config>(text, path, keys::KEYS)?.checked(path)
    }

    fn error(text: &str) -> String {
        parse(text).err().map_or_else(String::new, |error| error.to_string())
    }

    fn edited(from: &str, to: &str) -> String {
        assert!(EXAMPLE.contains(from), "{from}");
        EXAMPLE.replacen(from, to, 1)
    }

    /// FO-6: three NICs, each with its role.
    #[test]
    fn the_example_is_good_and_says_the_defaults() {
        assert_eq!(error(EXAMPLE), "");
        let config = parse(EXAMPLE).unwrap();
        assert_eq!(
            [&config.heartbeat.interface, &config.lan.interface, &config.wan.interface],
            ["hb0", "lan0", "wan0"]
        );
        let uncommented: String = EXAMPLE
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(setting)
                    if setting.split(' ').nth(1) == Some("=")
                        || setting == "[watchdog]"
                        || setting == "[metrics]" =>
                {
                    setting
                }
                _ => line,
            })
            .flat_map(|line| [line, "\n"])
            .collect();
        let written_out = parse(&uncommented).unwrap();
        assert_eq!(format!("{:?}", written_out.timers), format!("{:?}", config.timers));
        assert_eq!(format!("{:?}", written_out.health.weights), format!("{:?}", config.health.weights));
        assert_eq!(format!("{:?}", written_out.health.limits), format!("{:?}", config.health.limits));
    }

    #[test]
    fn what_is_wrong_is_said_in_one_line() {
        let cases: [(&str, &str, &[&str]); 10] = [
            ("# query_ms", "querry_ms", &["querry_ms", "[timers]", "`query_ms`"]),
            ("[heartbeat]", "[heartbeats]", &["heartbeats", "`heartbeat`"]),
            ("member = \"a\"", "member = \"c\"", &["judge.toml:", "`a` or `b`"]),
            ("name = \"site-1\"", "name = \"Site 1\"", &["Site 1", "a-z"]),
            ("interface = \"hb0\"", "interface = \"lan0\"", &["lan0", "[heartbeat]", "[lan]"]),
            ("addresses = [\"192.0.2.10/24\"", "addresses = [\"192.0.2.11/24\"", &["192.0.2.11", "floating"]),
            ("peer = \"10.99.0.2:7420\"", "peer = \"10.99.0.1:7420\"", &["[heartbeat]", "peer", "listen"]),
            ("# lease_ms = 100", "lease_ms = 20", &["lease_ms", "query_ms"]),
            ("reference = [\"192.0.2.1\"]", "reference = [\"203.0.113.1\"]", &["203.0.113.1", "reference"]),
            ("/var/lib/port-failover", "/var/lib/storage-port", &["[state]", "[port]"]),
        ];
        for (from, to, words) in cases {
            let error = error(&edited(from, to));
            assert_eq!(error.lines().count(), 1, "{to}: {error}");
            for word in words {
                assert!(error.contains(word), "`{error}` lacks `{word}`");
            }
        }
    }
}
