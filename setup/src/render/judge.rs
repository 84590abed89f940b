//! `port-failover.toml`. Pure.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Serialize;
use toml::Table;

use super::{CIFS_PORT, JUDGE_PORT, Places};
use crate::site::{Pair, Role, Site};

#[derive(Serialize)]
struct Judge<'a> {
    pair: Named<'a>,
    heartbeat: Link,
    lan: Lan,
    wan: Wan,
    port: Port<'a>,
    center: Center<'a>,
    state: State<'a>,
    health: Health<'a>,
    watchdog: Option<Watchdog>,
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
    member: &'static str,
    key_file: PathBuf,
}

#[derive(Serialize)]
struct Link {
    interface: &'static str,
    listen: SocketAddr,
    peer: SocketAddr,
}

#[derive(Serialize)]
struct Lan {
    #[serde(flatten)]
    link: Link,
    addresses: Vec<String>,
    reference: Vec<IpAddr>,
}

#[derive(Serialize)]
struct Wan {
    interface: &'static str,
}

#[derive(Serialize)]
struct Port<'a> {
    state_dir: &'a Path,
    cifs_port: Option<u16>,
}

#[derive(Serialize)]
struct Center<'a> {
    ddm: Vec<&'a str>,
    ca_file: Option<PathBuf>,
    customer: u32,
    secret_file: PathBuf,
}

#[derive(Serialize)]
struct State<'a> {
    dir: &'a Path,
}

#[derive(Serialize)]
struct Health<'a> {
    cache_disks: Vec<&'a Path>,
    journal_disks: [&'a Path; 1],
}

#[derive(Serialize)]
struct Watchdog {
    device: &'static str,
}

pub(super) fn render(
    site: &Site,
    pair: &Pair,
    places: &Places,
    has_watchdog: bool,
    at: &Path,
) -> Result<Table, toml::ser::Error> {
    let secrets = at.join("judge");
    let link = |role: Role, own: IpAddr, peer: IpAddr| Link {
        interface: role.as_str(),
        listen: SocketAddr::new(own, JUDGE_PORT),
        peer: SocketAddr::new(peer, JUDGE_PORT),
    };
    Table::try_from(Judge {
        pair: Named {
            name: pair.name.as_str(),
            member: pair.member.as_str(),
            key_file: secrets.join("pair.key"),
        },
        heartbeat: link(Role::Heartbeat, pair.heartbeat.ip(), pair.peer_heartbeat),
        lan: Lan {
            link: link(Role::Lan, site.lan.address.ip(), pair.peer_lan),
            addresses: pair.addresses.iter().map(ToString::to_string).collect(),
            // A router is there in any case.
            reference: match (&pair.reference[..], site.lan.gateway) {
                ([], Some(router)) => vec![router],
                (named, _) => named.to_vec(),
            },
        },
        wan: Wan { interface: Role::Wan.as_str() },
        // Their connections are ended at a takeover as NFS clients' are.
        port: Port {
            state_dir: &places.state.port,
            cifs_port: site.cifs_users.is_some().then_some(CIFS_PORT),
        },
        center: Center {
            ddm: site.center.ddm.iter().map(|url| url.as_str()).collect(),
            ca_file: site.center.ca_file.is_some().then(|| secrets.join("center-ca.pem")),
            customer: site.center.customer,
            secret_file: secrets.join("customer.secret"),
        },
        state: State { dir: &places.state.judge },
        health: Health {
            cache_disks: places.caches.iter().map(|disk| disk.judge.as_path()).collect(),
            journal_disks: [&places.journal.judge],
        },
        watchdog: has_watchdog.then_some(Watchdog { device: "/dev/watchdog" }),
    })
}
