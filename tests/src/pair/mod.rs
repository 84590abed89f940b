//! A failover pair as a site has it (FO-1 to FO-12): two hosts with three network interfaces each, a client, a storage
//! center, all in namespaces; the real daemons; failures; and probes that see what a client sees.
//!
//! - [`networks`] is the cables and switches, and what goes wrong with them.
//! - [`process`] is one daemon: killed, held still, started again.
//! - [`ground`] is all but the pair: the networks, the storage center, the client, the observer's host.
//! - [`member`] is one of the two hosts with its daemons.
//! - [`ours`] and [`keepalived`] are who judges: `port-failover`, or the anchor it is compared with.
//! - [`fault`] is what happens to a member, and how it is mended.
//! - [`observer`] runs the probes ([`probe`], the program `pair-probe`).
//! - [`trial`] is one failure from a well pair to a well pair, and what was seen; [`table`] sums up many.

pub mod fault;
pub mod ground;
pub mod keepalived;
pub mod member;
pub mod networks;
pub mod observer;
pub mod ours;
pub mod probe;
pub mod process;
pub mod table;
pub mod trial;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use self::ground::Ground;
use self::member::{Member, Side};
use self::networks::Link;
use crate::poll;

/// How long a pair may take until it is well again.
const WELL_PATIENCE: Duration = Duration::from_secs(60);
/// Last byte of the address of the first pair's first host; the others follow.
const FIRST_MEMBER: u8 = 201;

/// Who moves the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Judges {
    /// `port-failover`, with `storage-port` as its pair's member.
    Failover,
    /// Debian's keepalived, with `storage-port` on each host as if it was alone.
    Keepalived,
}

/// Two hosts and the address they share.
pub struct Pair {
    members: [Member; 2],
    /// Its number on the ground, from 1.
    pub number: u8,
    /// What clients mount.
    pub address: Ipv4Addr,
    /// Who moves it.
    pub judges: Judges,
    /// Of the storage center behind it.
    center_config: PathBuf,
}

impl Pair {
    /// Starts both hosts' daemons, and waits until one of them has the address and the other could take it.
    pub fn start(ground: &Ground, number: u8, judges: Judges) -> Self {
        let pair = Self::begin(ground, number, judges);
        pair.wait_well();
        pair
    }

    /// The same without waiting.
    pub fn begin(ground: &Ground, number: u8, judges: Judges) -> Self {
        let address = Link::Lan.address(number);
        let hosts = Side::BOTH.map(|side| {
            let last = FIRST_MEMBER + 2 * (number - 1) + side as u8;
            ground.networks.host(&format!("{}{number}", side.letter()), last, &Link::ALL)
        });
        let members = match judges {
            Judges::Failover => ours::members(ground, number, address, hosts),
            Judges::Keepalived => keepalived::members(ground, number, address, hosts),
        };
        Self { members, number, address, judges, center_config: ground.site.center_config() }
    }

    /// One of the two.
    pub fn member(&self, side: Side) -> &Member {
        &self.members[side as usize]
    }

    /// One of the two, to be harmed.
    pub fn member_mut(&mut self, side: Side) -> &mut Member {
        &mut self.members[side as usize]
    }

    /// The floating addresses with their prefix lengths.
    pub fn addresses(&self) -> [String; 2] {
        [format!("{}/24", self.address), format!("2001:db8::{:x}/64", self.number)]
    }

    /// Whether the address stands at the LAN interface of this host.
    pub fn has_address(&self, side: Side) -> bool {
        let namespace = self.member(side).host.namespace();
        let listed = namespace.run_ok("ip", &["-o", "-4", "address", "show", "dev", Link::Lan.interface()]);
        let inet = format!("inet {}/", self.address);
        String::from_utf8_lossy(&listed).contains(&inet)
    }

    /// Which of the two has the address, when one alone has it.
    pub fn holder(&self) -> Option<Side> {
        match Side::BOTH.map(|side| self.has_address(side)) {
            [true, false] => Some(Side::A),
            [false, true] => Some(Side::B),
            _ => None,
        }
    }

    /// Waits until one has the address and the other could take it over.
    #[track_caller]
    pub fn wait_well(&self) {
        poll::until("the pair is well", WELL_PATIENCE, || match self.judges {
            Judges::Failover => ours::is_well(self).then_some(()),
            Judges::Keepalived => keepalived::is_well(self).then_some(()),
        });
        if self.judges == Judges::Keepalived {
            poll::pause(keepalived::SETTLING);
        }
    }

    /// Moves the address to this host, as an operator would.
    pub fn hand_to(&mut self, side: Side) {
        match self.judges {
            Judges::Failover => ours::hand_over(self, side.other()),
            Judges::Keepalived => keepalived::hand_over(self, side.other()),
        }
    }
}
