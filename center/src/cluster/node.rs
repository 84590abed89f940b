//! This process as the cluster sees it: its heartbeat, and what it says of its disks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use protocol::digest::Fingerprint;
use protocol::dosp::heartbeat::{DiskLoad, DiskState, Heartbeat, NodeState};
use protocol::dosp::operations::{DiskStateOut, DiskStatusOut, Located, NodeStatus};
use protocol::dosp::{DISKS_MAX, Failure, Status};

use super::daemon::Load;
use super::repair::Repair;
use super::view::Own;
use crate::host;
use crate::isn::{DiskStatus, Isn};

/// How often the disks are asked for their free space.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a process says of itself.
pub struct NodeDaemon {
    own: Own,
    isn: Option<Isn>,
    load: Arc<Load>,
    repair: Option<Repair>,
    started: Instant,
    done_before: AtomicU64,
    last: Mutex<Heartbeat>,
}

impl NodeDaemon {
    /// Of a process, with its node if it plays that part.
    pub fn new(own: Own, isn: Option<Isn>, repair: Option<Repair>, load: Arc<Load>) -> Self {
        let last = Heartbeat {
            node: own.node,
            roles: own.roles,
            address: own.address,
            state: NodeState::Online,
            lost_references: false,
            ops_per_second: 0,
            outstanding: 0,
            disks: Vec::new(),
        };
        let started = Instant::now();
        Self { own, isn, load, repair, started, done_before: AtomicU64::new(0), last: Mutex::new(last) }
    }

    /// The heartbeat, `since` after the last one.
    pub fn heartbeat(&self, since: Duration) -> Heartbeat {
        let done = self.load.done();
        let recent = done.saturating_sub(self.done_before.swap(done, Ordering::Relaxed));
        let per_second = recent as f64 / since.as_secs_f64();
        let disks = self.isn.as_ref().map_or_else(Vec::new, disk_loads);
        let heartbeat = Heartbeat {
            node: self.own.node,
            roles: self.own.roles,
            address: self.own.address,
            state: self.state(&disks),
            lost_references: self.isn.as_ref().is_some_and(Isn::lost_references),
            ops_per_second: per_second as u32,
            outstanding: self.load.outstanding(),
            disks,
        };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = heartbeat.clone();
        heartbeat
    }

    /// The heartbeat that was sent last.
    pub fn last_heartbeat(&self) -> Heartbeat {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A node without a disk it can read stops itself and says so (ISN-8).
    fn state(&self, disks: &[DiskLoad]) -> NodeState {
        let Some(isn) = &self.isn else { return NodeState::Online };
        if disks.iter().all(|disk| disk.state == DiskState::Down) {
            NodeState::Failed
        } else if isn.is_draining() {
            NodeState::Draining
        } else {
            NodeState::Online
        }
    }

    /// Which of these objects are here.
    pub async fn locate(&self, ids: &[Fingerprint]) -> Vec<Located> {
        let Some(isn) = &self.isn else { return Vec::new() };
        let found = isn.locate(ids, host::now_seconds()).await;
        found
            .into_iter()
            .map(|copy| Located { content: copy.content, disk: copy.disk, leaving: copy.leaving })
            .collect()
    }

    /// What a disk, or each, can be asked (ISN-9, MC-4).
    pub fn disk_state(&self, disk: Option<u32>) -> Result<DiskStateOut, Failure> {
        let states: Vec<DiskState> = self.last_disks().into_iter().map(|disk| disk.state).collect();
        Ok(DiskStateOut { states: pick(states, disk)? })
    }

    /// Numbers of a disk, or of each (ISN-10, MC-5).
    pub async fn disk_status(&self, disk: Option<u32>) -> Result<DiskStatusOut, Failure> {
        let all = match &self.isn {
            Some(isn) => isn.disk_status().await,
            None => Vec::new(),
        };
        let chosen = pick(all, disk)?;
        let list = |number: fn(&DiskStatus) -> u64| {
            chosen.iter().map(|disk| disk.as_ref().map_or(0, number)).collect::<Vec<u64>>()
        };
        Ok(DiskStatusOut {
            bytes_free: list(|disk| disk.bytes_free),
            bytes_available: list(|disk| disk.bytes_available),
            inodes_used: list(|disk| disk.inodes_used),
            inodes_available: list(|disk| disk.inodes_available),
            outstanding: list(|disk| disk.outstanding),
        })
    }

    /// All that `storage-center status` shows of it.
    pub async fn status(&self) -> NodeStatus {
        let heartbeat = self.last_heartbeat();
        NodeStatus {
            node: self.own.node,
            roles: self.own.roles,
            state: heartbeat.state,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: self.started.elapsed().as_secs(),
            ops_per_second: heartbeat.ops_per_second,
            outstanding: self.load.outstanding(),
            lost_references: heartbeat.lost_references,
            copies_owed: self.repair.as_ref().map_or(0, Repair::owed),
            copies_made: self.repair.as_ref().map_or(0, Repair::made),
            copies_spare: self.repair.as_ref().map_or(0, Repair::spare),
            disks: match &self.isn {
                Some(isn) => isn.disk_reports().await,
                None => Vec::new(),
            },
        }
    }

    fn last_disks(&self) -> Vec<DiskLoad> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).disks.clone()
    }

    /// Keeps the disks' free space current, until dropped.
    pub async fn watch_disks(&self) {
        let Some(isn) = &self.isn else { return std::future::pending().await };
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            tick.tick().await;
            isn.refresh_space().await;
        }
    }
}

fn disk_loads(isn: &Isn) -> Vec<DiskLoad> {
    isn.disk_loads().into_iter().take(DISKS_MAX).collect()
}

/// One of them, or all.
fn pick<T>(all: Vec<T>, number: Option<u32>) -> Result<Vec<T>, Failure> {
    let Some(number) = number else { return Ok(all) };
    let one = all.into_iter().nth(number as usize).map(|one| vec![one]);
    one.ok_or_else(|| Failure::new(Status::NotFound, format!("this node has no disk {number}")))
}
