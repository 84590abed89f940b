//! `[mirror]`: the other storage centers that keep the same objects and the same directory (GEO-1 to GEO-11).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnetwork::IpNetwork;
use protocol::dosp::CENTER_BYTES_MAX;
use serde::Deserialize;

/// Most other centers, and networks and overrides of each.
const OTHERS_MAX: usize = 16;
const NETWORKS_MAX: usize = 256;

/// `[mirror]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    /// Name of this center; the certificate is for this name.
    pub center: String,
    /// Where its processes are. The first network of one center maps to the first of another, and so on (Table 6).
    pub networks: Vec<IpNetwork>,
    /// PEM certificate chain of this center's processes, shown to the other centers and by them.
    pub certificate: PathBuf,
    /// Its PEM private key.
    pub key: PathBuf,
    /// PEM certificates of who signs those of all centers.
    pub authority: PathBuf,
    /// The center that changes the directory from the beginning, until another takes over.
    pub first_writer: String,
    /// A process with the role witness, at a third place: then a center takes over by itself.
    pub witness: Option<WitnessPlace>,
    /// The other centers.
    #[serde(rename = "other")]
    pub others: Vec<Other>,
}

/// `witness` in `[mirror]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WitnessPlace {
    /// `mirror.center` of the witness; its certificate is for this name.
    pub center: String,
    /// Its `cluster.listen`.
    pub listen: SocketAddr,
}

/// `[[mirror.other]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Other {
    /// Its name.
    pub center: String,
    /// Where its processes are, in the order of this center's networks.
    pub networks: Vec<IpNetwork>,
    /// `cluster.listen` of some of its processes, which know the others.
    pub peers: Vec<SocketAddr>,
    /// Of addresses of this center's: their counterparts there, where the networks do not tell.
    #[serde(default)]
    pub overrides: BTreeMap<IpAddr, IpAddr>,
}

impl Mirror {
    pub(super) fn nonsense(&self, listen: Option<SocketAddr>) -> Option<String> {
        let Some(listen) = listen else {
            return Some("[mirror] needs [cluster]: its processes are reached by cluster.listen".to_owned());
        };
        let is_own = |address: IpAddr| self.networks.iter().any(|network| network.contains(address));
        if !is_own(listen.ip()) {
            return Some(format!("mirror.networks: {} (cluster.listen) is in none of them", listen.ip()));
        }
        if self.others.len() > OTHERS_MAX {
            return Some(format!("mirror.other: give at most {OTHERS_MAX} other centers"));
        }
        let names: Vec<&str> = self.names().collect();
        if let Some(twice) = names.iter().enumerate().find(|(number, name)| names[..*number].contains(name)) {
            return Some(format!("mirror.other: {:?} is there twice; give each center a name", twice.1));
        }
        if let Some(name) = names.iter().find(|name| name.is_empty() || name.len() > CENTER_BYTES_MAX) {
            return Some(format!(
                "mirror.center: {name:?} is no name; give each center one of 1 to {CENTER_BYTES_MAX} bytes"
            ));
        }
        if let Some(witness) =
            self.witness.as_ref().filter(|witness| names.contains(&witness.center.as_str()))
        {
            return Some(format!(
                "mirror.witness: {:?} is a storage center; give the witness a name of its own",
                witness.center
            ));
        }
        if !names.contains(&self.first_writer.as_str()) {
            return Some(format!(
                "mirror.first_writer: {:?} is no center; give one of {names:?}",
                self.first_writer
            ));
        }
        self.others.iter().find_map(|other| self.mismatch(other))
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        [self.center.as_str()].into_iter().chain(self.others.iter().map(|other| other.center.as_str()))
    }

    fn mismatch(&self, other: &Other) -> Option<String> {
        let name = &other.center;
        if other.networks.len() > NETWORKS_MAX || other.overrides.len() > NETWORKS_MAX {
            return Some(format!(
                "mirror.other {name:?}: give at most {NETWORKS_MAX} networks and overrides"
            ));
        }
        let pairs = self.networks.iter().zip(&other.networks);
        let is_pair = |(own, theirs): (&IpNetwork, &IpNetwork)| {
            own.prefix() == theirs.prefix() && own.is_ipv4() == theirs.is_ipv4()
        };
        if self.networks.len() != other.networks.len() || !pairs.clone().all(is_pair) {
            return Some(format!(
                "mirror.other {name:?}: give as many networks as in mirror.networks, each as long as its counterpart"
            ));
        }
        let overlap = |a: &IpNetwork, b: &IpNetwork| a.contains(b.network()) || b.contains(a.network());
        let elsewhere = self.others.iter().filter(|another| another.center != *name);
        let mut taken = self.networks.iter().chain(elsewhere.flat_map(|another| &another.networks));
        if let Some(twice) = taken.find(|taken| other.networks.iter().any(|network| overlap(taken, network)))
        {
            return Some(format!(
                "mirror.other {name:?}: {twice} is another center's; give each its own networks"
            ));
        }
        let is_theirs = |address: IpAddr| other.networks.iter().any(|network| network.contains(address));
        if other.peers.is_empty() || !other.peers.iter().all(|peer| is_theirs(peer.ip())) {
            return Some(format!(
                "mirror.other {name:?}: give in `peers` at least one cluster.listen of its processes, all in its networks"
            ));
        }
        let stray = other.overrides.values().find(|address| !is_theirs(**address))?;
        Some(format!("mirror.other {name:?}: the override {stray} is in none of its networks"))
    }
}
