//! `storage-port support-bundle`: what who helps with a port wants to see of it, as one archive, without a secret.
//!
//! | file | what |
//! |---|---|
//! | `scrub` | takes secrets out (pure) |
//! | `kernel_log` | the end of the kernel's log |

mod kernel_log;
mod scrub;

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use appliance::config::Config;
use appliance::host;
use appliance::port::HANDLE_KEY;
use clap::Args;
use control::message::Request;
use control::socket;
use failover::config::Config as Judge;
use failover::net::interfaces;
use serde_json::{Value, json};
use tokio::time::timeout;

use self::scrub::Secrets;
use crate::doctor_command::{self, JUDGE_CONFIG};

/// How long a daemon may take for an answer.
const DAEMON: Duration = Duration::from_secs(5);
/// Longest file that is taken in.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// In the archive, everything lies in this folder.
const FOLDER: &str = "storage-port-support";
/// As what the configurations are taken in.
const PORT_PART: &str = "config/storage-port.toml";
const JUDGE_PART: &str = "config/port-failover.toml";
/// Why one is not.
const UNKNOWN: &str =
    "it cannot be taken as a configuration (doctor.txt says why), so nobody knows what is secret in it";
/// What the system tells of itself, and as what it is taken in.
const SYSTEM: [(&str, &str); 12] = [
    ("/proc/version", "system/kernel"),
    ("/etc/os-release", "system/os-release"),
    ("/etc/resolv.conf", "system/resolv.conf"),
    ("/proc/uptime", "system/uptime"),
    ("/proc/loadavg", "system/loadavg"),
    ("/proc/meminfo", "system/meminfo"),
    ("/proc/cpuinfo", "system/cpuinfo"),
    ("/proc/self/mounts", "system/mounts"),
    ("/proc/partitions", "system/partitions"),
    ("/proc/net/route", "system/route"),
    ("/proc/net/arp", "system/arp"),
    ("/proc/net/dev", "system/net-dev"),
];

/// See the module.
#[derive(Args)]
pub struct SupportArguments {
    /// The port's configuration file.
    #[arg(long)]
    config: PathBuf,
    /// The judge's, for a port of a pair; port-failover.toml beside the port's if not given.
    #[arg(long)]
    judge: Option<PathBuf>,
    /// The archive's file (tar), which must not exist.
    #[arg(long)]
    out: PathBuf,
}

/// Why there is no archive.
#[derive(Debug, thiserror::Error)]
pub enum SupportError {
    /// A secret cannot be read, so it could not be found either.
    #[error(
        "cannot read {path}, and so cannot keep what is in it out of the archive: {error}; run this as root, or take \
         the file out of the configuration"
    )]
    Secret {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The archive.
    #[error("cannot write {path}: {error}; name a file that does not exist yet")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Gathers and writes.
///
/// # Errors
/// See [`SupportError`]; what cannot be gathered is noted in the archive.
pub async fn execute(arguments: &SupportArguments) -> Result<(), SupportError> {
    let judge = arguments.judge.clone().unwrap_or_else(|| arguments.config.with_file_name(JUDGE_CONFIG));
    let secrets = secrets(&arguments.config, &judge)?;
    let parts = gather(&arguments.config, &judge).await;
    let path = &arguments.out;
    let failed = |error| SupportError::Write { path: path.clone(), error };
    // Addresses and names are nobody else's business.
    let file = fs::File::options().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    let written = archive(file, parts, &secrets).and_then(|file| file.sync_all());
    written.map_err(|error| {
        // Half an archive helps nobody.
        let _ = fs::remove_file(path);
        failed(error)
    })
}

/// A file of the archive.
struct Part {
    name: String,
    content: Vec<u8>,
}

fn part(name: &str, content: impl Into<Vec<u8>>) -> Part {
    Part { name: name.to_owned(), content: content.into() }
}

/// Or why it is not there.
fn or_why<T: Into<Vec<u8>>>(name: &str, content: Result<T, impl ToString>) -> Part {
    match content {
        Ok(content) => part(name, content),
        Err(why) => part(&format!("{name}.missing"), why.to_string()),
    }
}

async fn gather(config_path: &Path, judge_path: &Path) -> Vec<Part> {
    let report = doctor_command::examine(config_path, Some(judge_path)).await;
    let mut parts = vec![
        part(
            "version.json",
            pretty(&json!({ "storage-port": env!("CARGO_PKG_VERSION"), "time": host::now().0 })),
        ),
        part("doctor.txt", report.to_string()),
        part("doctor.json", serde_json::to_string_pretty(&report).unwrap_or_default()),
    ];
    match Config::load(config_path) {
        Ok(config) => {
            parts.push(or_why(PORT_PART, read(config_path)));
            parts.extend(of_daemons(&config, judge_path).await);
        }
        Err(_) => parts.push(or_why(PORT_PART, Err::<Vec<u8>, _>(UNKNOWN))),
    }
    let interfaces = interfaces::list().map(|all| {
        let lines: Vec<String> = all.iter().map(|interface| format!("{interface:?}\n")).collect();
        lines.concat()
    });
    parts.push(or_why("system/interfaces", interfaces));
    parts.extend(SYSTEM.map(|(path, name)| or_why(name, read(Path::new(path)))));
    parts.push(or_why("system/kernel-log", kernel_log::tail()));
    parts
}

/// What the running daemons say, and the judge's configuration.
async fn of_daemons(config: &Config, judge_path: &Path) -> Vec<Part> {
    let mut parts = Vec::new();
    for operation in ["status", "clients", "journal", "uploads", "cache"] {
        let answer = ask("storage port", &config.state.dir, operation).await;
        parts.push(or_why(&format!("port/{operation}.json"), answer));
    }
    if config.pair.is_none() {
        return parts;
    }
    match Judge::load(judge_path) {
        Ok(judge) => {
            parts.push(or_why(JUDGE_PART, read(judge_path)));
            let answer = ask("port-failover", &judge.state.dir, "status").await;
            parts.push(or_why("judge/status.json", answer));
        }
        Err(_) => parts.push(or_why(JUDGE_PART, Err::<Vec<u8>, _>(UNKNOWN))),
    }
    parts
}

async fn ask(daemon: &'static str, state_dir: &Path, operation: &str) -> Result<String, String> {
    let request = Request::new(operation, Value::Null);
    match timeout(DAEMON, socket::ask(daemon, state_dir, &request)).await {
        Ok(Ok(answer)) => Ok(pretty(&answer)),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", DAEMON.as_secs())),
    }
}

fn pretty(value: &Value) -> String {
    format!("{value:#}")
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(fs::File::open(path)?, FILE_BYTES_MAX), &mut content)?;
    Ok(content)
}

/// All that no byte of the archive may tell. Of a configuration that cannot be read nothing is known, and it is not taken
/// in.
fn secrets(config: &Path, judge: &Path) -> Result<Secrets, SupportError> {
    let mut files = Vec::new();
    if let Ok(config) = Config::load(config) {
        files.extend(config.customer.iter().map(|customer| customer.secret_file.clone()));
        files.push(config.state.dir.join(HANDLE_KEY));
        files.extend(config.cifs.as_ref().and_then(|cifs| cifs.users.clone()));
        files.extend(
            config.status_page.into_iter().flat_map(|page| [page.password_hash_file, page.key]).flatten(),
        );
        if let Some(pair) = &config.pair {
            files.extend([pair.key_file.clone(), pair.certificate_key_file.clone()]);
            if let Ok(judge) = Judge::load(judge) {
                files.extend([judge.pair.key_file, judge.center.secret_file]);
                files.extend(judge.pair.old_key_file);
            }
        }
    }
    let mut secrets = Secrets::default();
    for path in files {
        match read(&path) {
            Ok(content) => secrets.add(&content),
            // What is not there is nowhere.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(SupportError::Secret { path, error }),
        }
    }
    Ok(secrets)
}

fn archive<W: Write>(to: W, parts: Vec<Part>, secrets: &Secrets) -> io::Result<W> {
    let seconds = u64::try_from(host::now().0 / 1_000_000_000).unwrap_or_default();
    let mut archive = tar::Builder::new(to);
    for Part { name, content } in parts {
        let content = secrets.take_out(content);
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(seconds);
        archive.append_data(&mut header, format!("{FOLDER}/{name}"), &content[..])?;
    }
    archive.into_inner()
}
