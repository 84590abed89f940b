//! `storage-port.toml`. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnetwork::IpNetwork;
use serde::Serialize;
use toml::Table;

use super::{CIFS_PORT, MIRROR_PORT, Places};
use crate::site::{Export, Site, Squash, Tree};

/// Where NFS is served.
const NFS_PORT: u16 = 2049;

#[derive(Serialize)]
struct Port<'a> {
    state: State<'a>,
    center: Center<'a>,
    customer: [Customer; 1],
    export: Vec<Entry<'a>>,
    nfs: Nfs,
    cache: Cache<'a>,
    journal: Journal<'a>,
    cifs: Option<Cifs>,
    pair: Option<Pair<'a>>,
}

#[derive(Serialize)]
struct State<'a> {
    dir: &'a Path,
}

#[derive(Serialize)]
struct Center<'a> {
    ddm: Vec<&'a str>,
    dosm: Vec<&'a str>,
    ca_file: Option<PathBuf>,
}

#[derive(Serialize)]
struct Customer {
    id: u32,
    secret_file: PathBuf,
}

#[derive(Serialize)]
struct Entry<'a> {
    path: &'a str,
    tree: Tree,
    customer: u32,
    folder: Option<&'a str>,
    allowed: Vec<IpNetwork>,
    read_only: Option<bool>,
    audit: Option<bool>,
    versions: Option<bool>,
    squash: Option<Squash>,
    anonymous_uid: Option<u32>,
    anonymous_gid: Option<u32>,
    srl_seconds: Option<u32>,
    srl_host: Option<&'a str>,
    srl_version: Option<u8>,
}

#[derive(Serialize)]
struct Nfs {
    listen: SocketAddr,
    rpcbind: &'static str,
}

#[derive(Serialize)]
struct Cache<'a> {
    disk: Vec<CacheDisk<'a>>,
}

#[derive(Serialize)]
struct CacheDisk<'a> {
    path: &'a Path,
    bytes: u64,
}

#[derive(Serialize)]
struct Journal<'a> {
    dir: &'a Path,
    bytes: u64,
}

#[derive(Serialize)]
struct Cifs {
    listen: SocketAddr,
    users: PathBuf,
}

#[derive(Serialize)]
struct Pair<'a> {
    name: &'a str,
    member: &'static str,
    key_file: PathBuf,
    listen: SocketAddr,
    peer: SocketAddr,
    certificate_file: PathBuf,
    certificate_key_file: PathBuf,
    ca_file: PathBuf,
}

pub(super) fn render(site: &Site, places: &Places, at: &Path) -> Result<Table, toml::ser::Error> {
    let secrets = at.join("port");
    let own = site.lan.address.ip();
    // A port of a pair listens before it has the floating address.
    let everywhere: IpAddr =
        if own.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let at_port = |port| SocketAddr::new(if site.pair.is_some() { everywhere } else { own }, port);
    Table::try_from(Port {
        state: State { dir: &places.state.port },
        center: Center {
            ddm: site.center.ddm.iter().map(|url| url.as_str()).collect(),
            dosm: site.center.dosm.iter().map(|url| url.as_str()).collect(),
            ca_file: site.center.ca_file.is_some().then(|| secrets.join("center-ca.pem")),
        },
        customer: [Customer { id: site.center.customer, secret_file: secrets.join("customer.secret") }],
        export: site.exports.iter().map(|export| entry(site, export)).collect(),
        nfs: Nfs { listen: at_port(NFS_PORT), rpcbind: "serve" },
        cache: Cache {
            disk: places
                .caches
                .iter()
                .map(|disk| CacheDisk { path: &disk.port, bytes: disk.bytes })
                .collect(),
        },
        journal: Journal { dir: &places.journal.port, bytes: places.journal.bytes },
        cifs: site
            .cifs_users
            .is_some()
            .then(|| Cifs { listen: at_port(CIFS_PORT), users: secrets.join("cifs-users") }),
        pair: site.pair.as_ref().map(|pair| Pair {
            name: pair.name.as_str(),
            member: pair.member.as_str(),
            key_file: secrets.join("pair.key"),
            listen: SocketAddr::new(pair.heartbeat.ip(), MIRROR_PORT),
            peer: SocketAddr::new(pair.peer_heartbeat, MIRROR_PORT),
            certificate_file: secrets.join("port.pem"),
            certificate_key_file: secrets.join("port.key"),
            ca_file: secrets.join("pair-ca.pem"),
        }),
    })
}

/// Who may mount an export that names nobody: the LAN, and the box itself where users of CIFS count as of it.
fn everybody(site: &Site) -> Vec<IpNetwork> {
    let own = site.cifs_users.is_some().then(|| IpNetwork::from(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    [site.lan_network()].into_iter().chain(own).collect()
}

fn entry<'a>(site: &Site, export: &'a Export) -> Entry<'a> {
    Entry {
        path: &export.path,
        tree: export.tree,
        customer: site.center.customer,
        folder: export.folder.as_deref(),
        allowed: if export.allowed.is_empty() { everybody(site) } else { export.allowed.clone() },
        read_only: export.read_only,
        audit: export.audit,
        versions: export.versions,
        squash: export.squash,
        anonymous_uid: export.anonymous_uid,
        anonymous_gid: export.anonymous_gid,
        srl_seconds: export.srl_seconds,
        srl_host: export.srl_host.as_ref().map(|url| url.as_str()),
        srl_version: export.srl_version,
    }
}
