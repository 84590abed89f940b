//! `storage-port probe`: whether the port that runs by a configuration serves clients, found out as one of them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use nfs::visit::{Service, VisitError, visit};
use tokio::time::timeout;

use crate::config::Config;

/// How long an answer may take; a client waits longer, an operator does not.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Clients are served.
    Served {
        /// Where.
        address: SocketAddr,
        /// What was mounted.
        export: String,
    },
    /// The port lives, and waits for its turn: the other one of the pair serves.
    Standby {
        /// Where.
        address: SocketAddr,
    },
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Served { address, export } => write!(f, "served: {export} at {address}"),
            Self::Standby { address } => write!(f, "standby: the port at {address} lives and serves nobody"),
        }
    }
}

/// Why clients are not served. One line, for the operator.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// It was refused, or nobody is there.
    #[error("not served: {0}")]
    Visit(#[from] VisitError),
    /// A pair's port that is not on duty, or one that does not know its exports' folders yet.
    #[error(
        "not served: {0} takes no mounts now: the other port of the pair serves, or the storage center was never reached"
    )]
    NotNow(SocketAddr),
    /// It hangs.
    #[error("not served: no answer of {0} within {wait} s", wait = PATIENCE.as_secs())]
    Silent(SocketAddr),
}

/// Asks at `address`, or at the address that the configuration names. `or_standby`: a port of a pair that lives is enough.
///
/// # Errors
/// See [`ProbeError`].
pub async fn probe(config: &Config, address: Option<IpAddr>, or_standby: bool) -> Result<Found, ProbeError> {
    let service = service(config, address);
    let paths: Vec<&str> = config.export.iter().map(|export| export.path.as_str()).collect();
    let address = service.nfs;
    let visited = timeout(PATIENCE, visit(service, &paths)).await.map_err(|_| ProbeError::Silent(address))?;
    match visited {
        Ok(export) => Ok(Found::Served { address, export }),
        Err(VisitError::NotNow { .. }) if or_standby && config.pair.is_some() => {
            Ok(Found::Standby { address })
        }
        Err(VisitError::NotNow { .. }) => Err(ProbeError::NotNow(address)),
        Err(error) => Err(error.into()),
    }
}

fn service(config: &Config, address: Option<IpAddr>) -> Service {
    let own = config.nfs.listen.ip();
    let at = |listen: SocketAddr| {
        let ip = match listen.ip() {
            ip if ip == own || ip.is_unspecified() => address.unwrap_or(ip),
            ip => ip,
        };
        SocketAddr::new(reachable(ip), listen.port())
    };
    Service { nfs: at(config.nfs.listen), mount: at(config.nfs.mount_listen.unwrap_or(config.nfs.listen)) }
}

/// Where to call whoever listens at every address.
fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(listen: &str, mount: Option<&str>, address: Option<&str>) -> [String; 2] {
        let text = include_str!("../storage-port.example.toml");
        let mut config: Config = toml::from_str(text).unwrap();
        config.nfs.listen = listen.parse().unwrap();
        config.nfs.mount_listen = mount.map(|mount| mount.parse().unwrap());
        let service = service(&config, address.map(|address| address.parse().unwrap()));
        [service.nfs, service.mount].map(|address| address.to_string())
    }

    /// PORT-18: the address that is asked is one where clients are served.
    #[test]
    fn the_port_is_asked_where_it_listens_or_where_it_is_said() {
        let v4 = "192.0.2.11:2049";
        assert_eq!(at(v4, None, None), [v4, v4]);
        assert_eq!(at("0.0.0.0:2049", Some("0.0.0.0:20048"), Some("192.0.2.11")), [v4, "192.0.2.11:20048"]);
        assert_eq!(at("0.0.0.0:2049", None, None)[0], "127.0.0.1:2049");
        assert_eq!(at("[::]:2049", None, None)[0], "[::1]:2049");
        assert_eq!(
            at(v4, Some("192.0.2.9:20048"), Some("192.0.2.10")),
            ["192.0.2.10:2049", "192.0.2.9:20048"]
        );
    }
}
