//! What an operator sees of a cluster: every process, its disks, copies owed, and how far the reading of all objects is.

use std::fmt;
use std::time::Duration;

use futures::future::join_all;
use page_server::amount;
use protocol::dosp::heartbeat::{DiskState, NodeState};
use protocol::dosp::operations::{self as op, DiskReport, NodeStatus};
use serde::{Deserialize, Serialize};

use super::members::Condition;
use super::search::LOCATE_PATIENCE;
use super::view::{Node, View};

/// The cluster as one of its processes sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// Whose view this is.
    pub seen_by: u32,
    /// Objects with fewer copies than there should be, as the nodes counted them last.
    pub copies_owed: u64,
    /// Copies that are one too many and go soon (GEO-4).
    pub copies_spare: u64,
    /// Every process ever heard of, by number.
    pub processes: Vec<ProcessStatus>,
}

/// One process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessStatus {
    /// Its number.
    pub node: u32,
    /// The parts it plays: `ddm`, `dosm`, `isn`.
    pub roles: Vec<String>,
    /// Where it is reached by DOSP.
    pub address: String,
    /// The storage center it is in, by its name; empty where there is but one.
    pub center: String,
    /// `live`, `suspect` or `failed`, as the one who looks judges it.
    pub condition: String,
    /// What it says of itself: `online`, `draining` or `failed`; what it said last if it does not answer.
    pub state: String,
    /// What it says when asked; nothing if it does not answer.
    pub details: Option<Details>,
}

/// What a process says of itself when it is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// The program's version.
    pub version: String,
    /// Seconds since it was started.
    pub uptime_seconds: u64,
    /// Operations it did in the last second.
    pub ops_per_second: u32,
    /// Operations it is doing now.
    pub outstanding: u32,
    /// References may be missing until they are compared with the VFS.
    pub lost_references: bool,
    /// Objects here with fewer copies in the cluster than there should be.
    pub copies_owed: u64,
    /// Copies it made for others since it was started.
    pub copies_made: u64,
    /// Copies here that are one too many and go soon.
    pub copies_spare: u64,
    /// Its disks, by number.
    pub disks: Vec<DiskDetails>,
}

/// One disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskDetails {
    /// Its directory on that machine.
    pub path: String,
    /// `online`, `offline` or `down`.
    pub state: String,
    /// Why it is not online.
    pub reason: String,
    /// What it holds is being moved away, by command.
    pub draining: bool,
    /// Bytes that objects may still take.
    pub bytes_free: u64,
    /// Bytes it has in all.
    pub bytes_total: u64,
    /// Objects on it.
    pub objects: u64,
    /// Damaged ones that were put aside.
    pub quarantined: u64,
    /// Objects read against their digests in this round.
    pub scrub_read: u64,
    /// Of these, damaged.
    pub scrub_damaged: u64,
    /// When the last whole round ended, in seconds since the epoch; 0 if none did.
    pub scrub_ended: u64,
}

impl ClusterStatus {
    /// A storage center of one process, reached by HTTP alone.
    pub fn alone(node: u32, address: String, uptime: Duration, disks: Vec<DiskReport>) -> Self {
        let is_failed = disks.iter().all(|disk| disk.state != DiskState::Online);
        let details = Details {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: uptime.as_secs(),
            ops_per_second: 0,
            outstanding: 0,
            lost_references: false,
            copies_owed: 0,
            copies_made: 0,
            copies_spare: 0,
            disks: disks.into_iter().map(DiskDetails::from).collect(),
        };
        let process = ProcessStatus {
            node,
            roles: ["ddm", "dosm", "isn"].map(str::to_owned).to_vec(),
            address,
            center: String::new(),
            condition: word_of(Condition::Live).to_owned(),
            state: word_of_state(if is_failed { NodeState::Failed } else { NodeState::Online }).to_owned(),
            details: Some(details),
        };
        Self { seen_by: node, copies_owed: 0, copies_spare: 0, processes: vec![process] }
    }
}

/// Asks every process.
pub async fn gather(view: &View) -> ClusterStatus {
    let ask = |node: Node| async move {
        // One that is silent says so by its silence; nothing is concluded from it here.
        let answer = view.links().ask::<op::GetNodeStatus>(node.address, &(), LOCATE_PATIENCE).await;
        let center = view.links().centers().map_or("", |centers| centers.name(node.center)).to_owned();
        process(node, center, answer.ok())
    };
    let processes = join_all(view.with_role(|_| true).into_iter().map(ask)).await;
    let details = || processes.iter().filter_map(|process| process.details.as_ref());
    let copies_owed = details().map(|details| details.copies_owed).sum();
    let copies_spare = details().map(|details| details.copies_spare).sum();
    ClusterStatus { seen_by: view.own().node, copies_owed, copies_spare, processes }
}

fn process(node: Node, center: String, details: Option<NodeStatus>) -> ProcessStatus {
    let roles = node.heartbeat.roles;
    let named = [(roles.ddm, "ddm"), (roles.dosm, "dosm"), (roles.isn, "isn")];
    let state = details.as_ref().map_or(node.heartbeat.state, |details| details.state);
    ProcessStatus {
        node: node.number,
        roles: named.iter().filter(|(plays, _)| *plays).map(|(_, name)| (*name).to_owned()).collect(),
        address: node.address.to_string(),
        center,
        condition: word_of(node.condition).to_owned(),
        state: word_of_state(state).to_owned(),
        details: details.map(Details::from),
    }
}

fn word_of_state(state: NodeState) -> &'static str {
    match state {
        NodeState::Online => "online",
        NodeState::Draining => "draining",
        NodeState::Failed => "failed",
    }
}

fn word_of(condition: Condition) -> &'static str {
    match condition {
        Condition::Live => "live",
        Condition::Suspect => "suspect",
        Condition::Failed => "failed",
    }
}

impl From<NodeStatus> for Details {
    fn from(status: NodeStatus) -> Self {
        Self {
            version: status.version,
            uptime_seconds: status.uptime_seconds,
            ops_per_second: status.ops_per_second,
            outstanding: status.outstanding,
            lost_references: status.lost_references,
            copies_owed: status.copies_owed,
            copies_made: status.copies_made,
            copies_spare: status.copies_spare,
            disks: status.disks.into_iter().map(DiskDetails::from).collect(),
        }
    }
}

impl From<DiskReport> for DiskDetails {
    fn from(disk: DiskReport) -> Self {
        let state = match disk.state {
            DiskState::Online => "online",
            DiskState::Offline => "offline",
            DiskState::Down => "down",
        };
        Self {
            path: disk.path,
            state: state.to_owned(),
            reason: disk.reason,
            draining: disk.draining,
            bytes_free: disk.bytes_free,
            bytes_total: disk.bytes_total,
            objects: disk.objects,
            quarantined: disk.quarantined,
            scrub_read: disk.scrub.read,
            scrub_damaged: disk.scrub.damaged,
            scrub_ended: disk.scrub.ended,
        }
    }
}

/// A table for people.
impl fmt::Display for ClusterStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "node  parts         address                condition  state     ops/s   copies owed / made"
        )?;
        for process in &self.processes {
            let ProcessStatus { node, roles, address, center, condition, state, details } = process;
            let parts = roles.join(",");
            write!(f, "{node:<5} {parts:<13} {address:<22} {condition:<10} {state:<9}")?;
            if !center.is_empty() {
                write!(f, " {center}")?;
            }
            match details {
                None => writeln!(f, " does not answer")?,
                Some(details) => {
                    let Details { ops_per_second, copies_owed, copies_made, .. } = details;
                    writeln!(f, " {ops_per_second:<7} {copies_owed} / {copies_made}")?;
                }
            }
            let disks = details.iter().flat_map(|details| details.disks.iter().zip(0..));
            for (disk, number) in disks {
                write!(
                    f,
                    "      disk {number:<3} {:<8} {} of {} free",
                    disk.state,
                    amount::bytes(disk.bytes_free),
                    amount::bytes(disk.bytes_total)
                )?;
                write!(f, ", {} objects, {} put aside", disk.objects, disk.quarantined)?;
                write!(f, ", scrub {} of {}", disk.scrub_read, disk.objects)?;
                let draining = if disk.draining { ", draining" } else { "" };
                let reason =
                    if disk.reason.is_empty() { String::new() } else { format!(" ({})", disk.reason) };
                writeln!(f, "{draining}  {}{reason}", disk.path.escape_debug())?;
            }
        }
        write!(f, "copies owed: {}, spare: {}", self.copies_owed, self.copies_spare)
    }
}
