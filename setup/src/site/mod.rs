//! The site file: what a storage port has to be told about the place where it stands. Pure.
//!
//! A [`Site`] is good in each of its values and in how they go together; whether the files it names are there, and the
//! NICs, is for others to see ([`crate::files`], [`crate::nics`]).

pub(crate) mod check;
mod exports;
pub(crate) mod keys;
pub(crate) mod read;
mod reader;

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use protocol::pair::{Member, PairName};
use toml::Table;

pub use self::exports::{Export, Squash, Tree};
pub use self::read::read;
use crate::words::{CenterUrl, FileName, Host, HostName, Interface, NicId};

/// The version of the site file's form that this program reads and writes.
pub const SCHEMA: u32 = 1;

/// What stands in a site file.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    /// What the port is called.
    pub name: HostName,
    /// Where the clients are.
    pub lan: Lan,
    /// Where the storage center is.
    pub wan: Wan,
    /// Who tells the time.
    pub ntp: Vec<Host>,
    /// The storage center.
    pub center: Center,
    /// What clients mount.
    pub exports: Vec<Export>,
    /// Who may log on by CIFS, if anybody shall.
    pub cifs_users: Option<FileName>,
    /// The other port, if there is one, and the link to it.
    pub pair: Option<Pair>,
    /// Who may log in.
    pub authorized_keys: Option<FileName>,
    /// What is put over the daemons' configurations.
    pub advanced: Advanced,
}

/// `[lan]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lan {
    /// The NIC.
    pub nic: NicId,
    /// This port's own address.
    pub address: Interface,
    /// The router to clients in other networks.
    pub gateway: Option<IpAddr>,
}

/// `[wan]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wan {
    /// The NIC.
    pub nic: NicId,
    /// This port's address.
    pub address: WanAddress,
    /// Who knows names.
    pub dns: Vec<IpAddr>,
}

/// How the WAN's address comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WanAddress {
    /// A server there gives it, with router and name servers.
    Dhcp,
    /// It is always this one.
    Fixed {
        /// The address.
        address: Interface,
        /// The router to the storage center.
        gateway: Option<IpAddr>,
    },
}

/// `[center]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Center {
    /// Directory managers, the preferred one first.
    pub ddm: Vec<CenterUrl>,
    /// Object managers, the preferred one first.
    pub dosm: Vec<CenterUrl>,
    /// The authority that signed the center's certificate, if it is none of the public ones.
    pub ca_file: Option<FileName>,
    /// The customer's number.
    pub customer: u32,
    /// His secret.
    pub secret_file: FileName,
}

/// `[pair]` and `[heartbeat]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The pair's name at the storage center.
    pub name: PairName,
    /// Which of the two this port is.
    pub member: Member,
    /// What clients mount.
    pub addresses: Vec<Interface>,
    /// The other port's own address on the LAN.
    pub peer_lan: IpAddr,
    /// The NIC of the link between the two.
    pub nic: NicId,
    /// This port's address on that link.
    pub heartbeat: Interface,
    /// The other port's.
    pub peer_heartbeat: IpAddr,
    /// The folder with what the two know each other by.
    pub keys: FileName,
    /// Who always answers on the LAN.
    pub reference: Vec<IpAddr>,
}

/// `[advanced]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Advanced {
    /// Over the port's.
    pub port: Table,
    /// Over the judge's.
    pub judge: Table,
}

impl Site {
    /// The network whose hosts may mount, where an export does not say otherwise: the LAN, in which floating addresses are.
    pub fn lan_network(&self) -> IpNetwork {
        self.lan.address.network()
    }

    /// The NICs it names, by their roles.
    pub fn nics(&self) -> Vec<(Role, &NicId)> {
        let heartbeat = self.pair.as_ref().map(|pair| (Role::Heartbeat, &pair.nic));
        [(Role::Lan, &self.lan.nic), (Role::Wan, &self.wan.nic)].into_iter().chain(heartbeat).collect()
    }
}

/// What a NIC is for; the kernel's name of it, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Clients.
    Lan,
    /// The storage center.
    Wan,
    /// The other port.
    Heartbeat,
}

impl Role {
    /// Its name, that of its table and of the interface.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lan => "lan",
            Self::Wan => "wan",
            Self::Heartbeat => "heartbeat",
        }
    }
}

#[cfg(test)]
mod tests;
