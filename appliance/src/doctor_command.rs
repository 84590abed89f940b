//! `storage-port doctor`: what is configured, in the doctor's terms, and whom only this program can ask.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use appliance::config::{Config, Pair, RpcbindMode};
use appliance::host;
use appliance::mirror::identity::Identity;
use appliance::port::{self, StartError, check_online};
use clap::Args;
use control::message::Request;
use control::socket::{self, AskError};
use doctor::plan::{self, Door, Folder, Plan, Wanted};
use doctor::{Daemon, Finding, Report, Told};
use nfs::settings::RPCBIND_PORT;
use serde_json::Value;
use tokio::time::timeout;

/// How long the running daemon may take for an answer.
const DAEMON: Duration = Duration::from_secs(2);
/// How long the storage center may take to accept the secrets; the doctor's own looks take as long.
const CENTER: Duration = Duration::from_secs(8);
/// The judge's configuration, beside the port's.
pub const JUDGE_CONFIG: &str = "port-failover.toml";

/// See [`execute`].
#[derive(Args)]
pub struct DoctorArguments {
    /// The port's configuration file.
    #[arg(long)]
    config: PathBuf,
    /// The judge's, for a port of a pair; port-failover.toml beside the port's if not given.
    #[arg(long)]
    judge: Option<PathBuf>,
    /// For programs.
    #[arg(long)]
    json: bool,
}

/// Looks for mistakes and tells them on standard output.
pub async fn execute(arguments: &DoctorArguments) -> ExitCode {
    let report = examine(&arguments.config, arguments.judge.as_deref()).await;
    let text = match arguments.json {
        // Strings and numbers alone.
        true => serde_json::to_string_pretty(&report).unwrap_or_default(),
        false => report.to_string(),
    };
    // Nobody listening is no failure.
    let _ = writeln!(io::stdout(), "{text}");
    ExitCode::from(report.exit_status())
}

/// What the doctor finds.
pub async fn examine(path: &Path, judge: Option<&Path>) -> Report {
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(error) => {
            let mend = "mend the file, then look again: nothing else was looked at";
            return Report::new(vec![Finding::fault("configuration", error.to_string(), mend)]);
        }
    };
    let judge = judge.map_or_else(|| path.with_file_name(JUDGE_CONFIG), Path::to_owned);
    let told = Told {
        daemon: daemon(&config).await,
        configuration: port::check(&config).err().map(|error| error.to_string()),
        refused: None,
    };
    let plan = plan(&config, &judge);
    let asked = tokio::spawn(async move { refused(&config).await });
    let facts = doctor::gather(&plan, now).await;
    // Where no door opens, and of secrets that cannot be read, there is nothing more to say.
    let refused = match told.configuration.is_none() && facts.visits.iter().any(Result::is_ok) {
        true => asked.await.ok().flatten(),
        false => None,
    };
    doctor::judge(&plan, &Told { refused, ..told }, &facts)
}

fn now() -> Duration {
    Duration::from_nanos(u64::try_from(host::now().0).unwrap_or_default())
}

async fn daemon(config: &Config) -> Daemon {
    let request = Request::new("status", Value::Null);
    match timeout(DAEMON, socket::ask("storage port", &config.state.dir, &request)).await {
        Ok(Ok(status)) => {
            let pid = status.get("pid").and_then(Value::as_u64).and_then(|pid| u32::try_from(pid).ok());
            pid.map_or(Daemon::Unknown, Daemon::Runs)
        }
        Ok(Err(AskError::NotRunning { .. })) => Daemon::Absent,
        Ok(Err(_)) | Err(_) => Daemon::Unknown,
    }
}

async fn refused(config: &Config) -> Option<String> {
    match timeout(CENTER, check_online(config)).await {
        Ok(Ok(())) => None,
        Ok(Err(error @ StartError::Online { .. })) => Some(error.to_string()),
        // Told by whoever looks at the configuration.
        Ok(Err(_)) => None,
        Err(_) => Some(format!("no answer to a question about the directory within {} s", CENTER.as_secs())),
    }
}

fn plan(config: &Config, judge: &Path) -> Plan {
    Plan {
        listen: config.nfs.listen,
        sockets: sockets(config),
        rpcbind: match config.nfs.rpcbind {
            RpcbindMode::Register => Some(([127, 0, 0, 1], rpcbind_port(config)).into()),
            RpcbindMode::Serve | RpcbindMode::Off => None,
        },
        doors: doors(config),
        authorities: config.center.ca_file.as_ref().and_then(|path| fs::read(path).ok()),
        folders: folders(config),
        pair: config.pair.as_ref().map(|pair| of_pair(config, pair, judge)),
    }
}

fn rpcbind_port(config: &Config) -> u16 {
    config.nfs.rpcbind_port.unwrap_or(RPCBIND_PORT)
}

/// As the server binds them.
fn sockets(config: &Config) -> Vec<Wanted> {
    let listen = config.nfs.listen;
    let mount = config.nfs.mount_listen.unwrap_or(listen);
    let stream = |service, address| Wanted { service, is_datagram: false, address };
    let datagram = |service, address| Wanted { service, is_datagram: true, address };
    let mut sockets = vec![stream("NFS", listen), datagram("MOUNT", mount)];
    if mount != listen {
        sockets.push(stream("MOUNT", mount));
    }
    if matches!(config.nfs.rpcbind, RpcbindMode::Serve) {
        let rpcbind = (listen.ip(), rpcbind_port(config)).into();
        sockets.extend([stream("rpcbind", rpcbind), datagram("rpcbind", rpcbind)]);
    }
    sockets.extend(config.cifs.as_ref().map(|cifs| stream("CIFS", cifs.listen)));
    sockets.extend(config.pair.as_ref().map(|pair| stream("the other port's journal", pair.listen)));
    sockets
}

fn doors(config: &Config) -> Vec<Door> {
    let mut doors: Vec<Door> = Vec::new();
    for (key, urls) in [("ddm", &config.center.ddm), ("dosm", &config.center.dosm)] {
        for url in urls.iter().map(|url| url.trim_end_matches('/')) {
            match doors.iter_mut().find(|door| door.url == url) {
                Some(door) if door.keys.contains(&key) => {}
                Some(door) => door.keys.push(key),
                None => doors.push(Door { url: url.to_owned(), keys: vec![key] }),
            }
        }
    }
    doors
}

fn folders(config: &Config) -> Vec<Folder> {
    let (state, journal) = (&config.state, &config.journal);
    let mut folders = vec![
        Folder { key: "[state] dir", path: state.dir.clone(), bytes: None },
        Folder { key: "[journal] dir", path: journal.dir.clone(), bytes: Some(journal.bytes) },
    ];
    folders.extend(config.cache.disk.iter().map(|disk| Folder {
        key: "[[cache.disk]] path",
        path: disk.path.clone(),
        bytes: Some(disk.bytes),
    }));
    folders
}

fn of_pair(config: &Config, pair: &Pair, judge: &Path) -> plan::Pair {
    plan::Pair {
        name: pair.name.clone(),
        member: pair.member.as_str().to_owned(),
        key: config.pair_key().map(Option::unwrap_or_default).map_err(|error| error.to_string()),
        certificate: Identity::load(pair).map(drop).map_err(|error| error.to_string()),
        listen: pair.listen,
        judge: plan::judge_at(judge),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        toml::from_str(include_str!("../storage-port.example.toml")).unwrap()
    }

    #[test]
    fn doors_stand_once_whatever_is_asked_there() {
        let mut config = config();
        config.center.ddm = vec!["http://a:1/".into(), "http://b".into(), "http://a:1".into()];
        config.center.dosm = vec!["http://c".into(), "http://a:1".into()];
        let doors: Vec<_> = doors(&config).into_iter().map(|door| (door.url, door.keys.join(" "))).collect();
        let expected = [("http://a:1", "ddm dosm"), ("http://b", "ddm"), ("http://c", "dosm")];
        assert_eq!(doors, expected.map(|(url, keys)| (url.to_owned(), keys.to_owned())));
    }

    #[test]
    fn the_sockets_are_those_that_the_server_binds() {
        let mut config = config();
        let told = |config: &Config| -> Vec<String> {
            let word = |wanted: &Wanted| {
                format!(
                    "{} {} {}",
                    wanted.service,
                    if wanted.is_datagram { "udp" } else { "tcp" },
                    wanted.address
                )
            };
            sockets(config).iter().map(word).collect()
        };
        assert_eq!(told(&config), ["NFS tcp 127.0.0.1:2049", "MOUNT udp 127.0.0.1:2049"]);
        config.nfs.mount_listen = Some("127.0.0.1:20048".parse().unwrap());
        config.nfs.rpcbind = RpcbindMode::Serve;
        assert_eq!(
            told(&config),
            [
                "NFS tcp 127.0.0.1:2049",
                "MOUNT udp 127.0.0.1:20048",
                "MOUNT tcp 127.0.0.1:20048",
                "rpcbind tcp 127.0.0.1:111",
                "rpcbind udp 127.0.0.1:111"
            ]
        );
    }
}
