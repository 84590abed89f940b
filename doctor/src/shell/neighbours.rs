//! Who else at this machine's cables has its addresses, and whether the other port of the pair speaks under its key.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use failover::config::Config as Judge;
use failover::machine::event::Path;
use failover::net::announce::Probe;
use failover::net::interfaces::Seen;
use failover::net::link::Links;
use failover::net::overhear::Ears;
use failover::wire::{Dropped, Seal};
use ipnetwork::IpNetwork;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::within;
use crate::plan::Plan;

/// How long is listened, after the first of the questions.
const LISTENING: Duration = Duration::from_millis(1_200);
/// How often is asked in that time.
const QUESTIONS: u32 = 3;
/// When the thread that listens must have ended.
const PATIENCE: Duration = Duration::from_secs(3);

/// Who says that he has an address of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Neighbours {
    /// Each address with the link-layer address of another machine that claims it; [`Plan::floating`], [`Plan::own`]
    /// and the peer's were asked for.
    Heard(Vec<(IpAddr, String)>),
    /// Nobody was asked, and why.
    NotAsked(String),
}

/// What was heard of the other port's judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overheard {
    /// Nothing.
    Nothing,
    /// It speaks under this judge's key.
    Good,
    /// It speaks under another key.
    Forged,
    /// It speaks, of another pair or another version.
    Foreign,
    /// Nobody could listen.
    Deaf,
}

/// The interface towards the clients: as the judge has it, or the one with the port's own address.
pub fn lan<'a>(plan: &Plan, interfaces: &'a [Seen]) -> Option<&'a Seen> {
    match plan.judge() {
        Some(judge) => interfaces.iter().find(|interface| interface.name == judge.lan.interface),
        None => interfaces.iter().find(|interface| plan.own().is_some_and(|own| interface.has(own))),
    }
}

pub(crate) async fn ask(plan: &Plan, interfaces: &[Seen]) -> Neighbours {
    let Some(lan) = lan(plan, interfaces) else {
        return Neighbours::NotAsked("it is not known which network interface is the clients'".to_owned());
    };
    if lan.mac.is_none() || !lan.has_carrier {
        return Neighbours::NotAsked(format!("the network interface {} has no link", lan.name));
    }
    let peer = plan.judge().map(|judge| judge.lan.peer.ip());
    let mut addresses = plan.floating();
    addresses.extend(plan.own());
    addresses.extend(peer);
    let own: Vec<String> = interfaces.iter().filter_map(|one| Some(one.mac?.to_string())).collect();
    let name = lan.name.clone();
    match within(PATIENCE, move || claims(&name, &addresses)).await {
        Some(Ok(mut claims)) => {
            // A second cable of this machine at the same switch answers as well.
            claims.retain(|(_, mac)| !own.contains(mac));
            Neighbours::Heard(claims)
        }
        Some(Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => {
            Neighbours::NotAsked("asking by ARP needs root, or the capability NET_RAW".to_owned())
        }
        Some(Err(error)) => Neighbours::NotAsked(format!("cannot ask by ARP: {error}")),
        None => Neighbours::NotAsked("asking by ARP takes too long".to_owned()),
    }
}

fn claims(interface: &str, addresses: &[IpAddr]) -> io::Result<Vec<(IpAddr, String)>> {
    let interface = Links::new()?.find(interface).map_err(io::Error::other)?;
    let networks: Vec<IpNetwork> = addresses.iter().copied().map(IpNetwork::from).collect();
    let probe = Probe::new(&interface, &networks)?;
    let mut claims = Vec::new();
    for _ in 0..QUESTIONS {
        probe.ask()?;
        let until = Instant::now() + LISTENING / QUESTIONS;
        while wait(&probe, until)? {
            while let Some((mac, address)) = probe.heard()? {
                let claim = (address, mac.to_string());
                if !claims.contains(&claim) {
                    claims.push(claim);
                }
            }
        }
    }
    Ok(claims)
}

pub(crate) async fn overhear(plan: &Plan) -> Overheard {
    let Some(judge) = plan.judge().cloned() else { return Overheard::Deaf };
    within(PATIENCE, move || listen(&judge)).await.and_then(Result::ok).unwrap_or(Overheard::Deaf)
}

fn listen(judge: &Judge) -> io::Result<Overheard> {
    let (key, old) = judge.pair_keys().map_err(io::Error::other)?;
    let seal =
        Seal::new(&judge.pair.name, judge.pair.member, &key, old.as_deref()).map_err(io::Error::other)?;
    let heartbeat = &judge.heartbeat;
    let interface = Links::new()?.find(&heartbeat.interface).map_err(io::Error::other)?;
    let (from, to): (SocketAddr, SocketAddr) = (heartbeat.peer, heartbeat.listen);
    let ears = Ears::new(&interface, from, to)?;
    let until = Instant::now() + LISTENING;
    while wait(&ears, until)? {
        if let Some(datagram) = ears.heard()? {
            return Ok(match seal.open(Path::Heartbeat, &datagram) {
                Ok(_) | Err(Dropped::Astray | Dropped::Malformed(_)) => Overheard::Good,
                Err(Dropped::Forged) => Overheard::Forged,
                Err(Dropped::Foreign) => Overheard::Foreign,
            });
        }
    }
    Ok(Overheard::Nothing)
}

/// Waits until there is something to read, or until the time is over: then false.
fn wait(socket: &impl AsFd, until: Instant) -> io::Result<bool> {
    let left = until.saturating_duration_since(Instant::now());
    let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
    loop {
        match poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&left)) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
