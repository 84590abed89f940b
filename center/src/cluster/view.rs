//! The cluster as one process sees it: who is in it, where objects are, and the ways to ask and to tell.
//!
//! All of it is soft state. A process that begins with an empty view loses nothing but time (SYS-2).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use metrics::Histogram;
use protocol::digest::{Content, Fingerprint};
use protocol::dosp::Operation;
use protocol::dosp::announcement::{Announcement, Deleted, Failed, New, Updated};
use protocol::dosp::heartbeat::{DiskState, Heartbeat, NodeState, Roles};
use protocol::dosp::operations::{MEMBERS_MAX, MemberReport};
use tokio::sync::{Notify, broadcast};

use super::beacon::Beacon;
use super::centers::{CenterNumber, Centers, HERE};
use super::link::{AskError, Links};
use super::locations::{Locations, Place};
use super::members::{Condition, Members, News};
use super::session::SessionError;

/// Invalidations that a slow listener may be behind; if it is further behind it forgets everything.
const DELETIONS_MAX: usize = 4_096;

/// A view. Clones share it.
#[derive(Clone)]
pub struct View {
    shared: Arc<Shared>,
}

struct Shared {
    own: Own,
    links: Links,
    beacon: Beacon,
    members: Mutex<Members>,
    locations: Mutex<Locations>,
    /// Who waits for an object to be found.
    waiting: Mutex<HashMap<Fingerprint, Arc<Notify>>>,
    deletions: broadcast::Sender<Fingerprint>,
    changed: Notify,
    locating: Histogram,
}

/// This process.
#[derive(Clone, Copy, Debug)]
pub struct Own {
    /// Its number in the cluster.
    pub node: u32,
    /// The parts it plays.
    pub roles: Roles,
    /// Where it is reached by DOSP.
    pub address: SocketAddr,
}

/// A storage node, as somebody who wants to ask it needs it.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its number.
    pub number: u32,
    /// Where it is reached.
    pub address: SocketAddr,
    /// The center it is in.
    pub center: CenterNumber,
    /// How it is.
    pub condition: Condition,
    /// For how long it has not been live.
    pub away: Duration,
    /// What it said last.
    pub heartbeat: Heartbeat,
}

impl Node {
    /// Whether it takes objects: live, not being drained, with a disk that can be written.
    pub fn takes_objects(&self) -> bool {
        self.condition == Condition::Live
            && self.heartbeat.state == NodeState::Online
            && self.bytes_free() > 0
    }

    /// Room on the emptiest of its disks that can be written.
    pub fn bytes_free(&self) -> u64 {
        let online = self.heartbeat.disks.iter().filter(|disk| disk.state == DiskState::Online);
        online.map(|disk| disk.bytes_free).max().unwrap_or(0)
    }
}

impl View {
    /// Of nobody yet.
    pub fn new(own: Own, links: Links, beacon: Beacon, lookup_entries: NonZeroUsize) -> Self {
        let shared = Shared {
            own,
            links,
            beacon,
            members: Mutex::default(),
            locations: Mutex::new(Locations::new(lookup_entries)),
            waiting: Mutex::default(),
            deletions: broadcast::Sender::new(DELETIONS_MAX),
            changed: Notify::new(),
            locating: Histogram::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// This process.
    pub fn own(&self) -> Own {
        self.shared.own
    }

    /// The way to ask a process by its address.
    pub fn links(&self) -> &Links {
        &self.shared.links
    }

    /// How long it took to find out where an object is that was not in the table.
    pub fn locating(&self) -> &Histogram {
        &self.shared.locating
    }

    /// The way to tell everybody.
    pub fn beacon(&self) -> &Beacon {
        &self.shared.beacon
    }

    /// All storage nodes ever heard of, in order of their numbers.
    pub fn nodes(&self) -> Vec<Node> {
        self.with_role(|roles| roles.isn)
    }

    /// All processes that play a role, in order of their numbers.
    pub fn with_role(&self, plays: impl Fn(Roles) -> bool) -> Vec<Node> {
        let (now, members) = (Instant::now(), self.members());
        let node = |(member, condition): (&super::members::Member, Condition)| Node {
            number: member.heartbeat.node,
            address: member.heartbeat.address,
            center: self.links().center_of(member.heartbeat.address),
            condition,
            away: members.away_for(member.heartbeat.node, now),
            heartbeat: member.heartbeat.clone(),
        };
        members.with_role(plays, now).map(node).collect()
    }

    /// Whether any storage node that has been heard of lately has a disk to read from.
    pub fn gives_objects(&self) -> bool {
        let (now, members) = (Instant::now(), self.members());
        members.with_role(|roles| roles.isn, now).any(|(member, condition)| {
            condition != Condition::Failed
                && member.heartbeat.disks.iter().any(|disk| disk.state != DiskState::Down)
        })
    }

    /// How many centers there are.
    pub fn centers(&self) -> usize {
        self.links().centers().map_or(1, Centers::count)
    }

    /// Whether any process of a center is there.
    pub fn reaches(&self, center: CenterNumber) -> bool {
        let now = Instant::now();
        self.members().all(now).any(|(member, condition)| {
            condition != Condition::Failed && self.links().center_of(member.heartbeat.address) == center
        })
    }

    /// In which center a node is, if it is known.
    pub fn center_of_node(&self, number: u32) -> Option<CenterNumber> {
        let address = self.members().address(number)?;
        Some(self.links().center_of(address))
    }

    /// The node that mirrors this one in another center, if there is one (GEO-2).
    pub fn counterpart(&self, node: &Node, center: CenterNumber) -> Option<Node> {
        let there = self.links().centers()?.counterpart(node.address.ip(), center)?;
        let address = SocketAddr::new(there, node.address.port());
        self.nodes().into_iter().find(|other| other.address == address && other.number != node.number)
    }

    /// The processes of this center that have been heard of, as another center is told them.
    pub fn heard_here(&self) -> Vec<MemberReport> {
        let (now, members) = (Instant::now(), self.members());
        let here =
            members.heard().filter(|(heartbeat, ..)| self.links().center_of(heartbeat.address) == HERE);
        let report = |(heartbeat, boot, heard): (&Heartbeat, u64, Instant)| MemberReport {
            heartbeat: heartbeat.clone(),
            boot,
            silent_ms: now.saturating_duration_since(heard).as_millis() as u64,
        };
        here.take(MEMBERS_MAX).map(report).collect()
    }

    /// The storage node of this number.
    pub fn node(&self, number: u32) -> Option<Node> {
        self.nodes().into_iter().find(|node| node.number == number)
    }

    /// Takes in a heartbeat that was heard now, or some time ago in another center; what it changed.
    pub fn hear(&self, heartbeat: Heartbeat, boot: u64, heard: Instant) -> News {
        let (node, address) = (heartbeat.node, heartbeat.address);
        let (state, lost) = (heartbeat.state, heartbeat.lost_references);
        let news = self.members().hear(heartbeat, boot, heard);
        if news == News::Nothing {
            return news;
        }
        tracing::info!(node, %address, ?state, lost_references = lost, "a process of the cluster is heard of");
        if news == News::Joined {
            self.shared.links.forget(address);
        }
        if state == NodeState::Failed {
            self.locations().forget_node(node);
        }
        self.shared.changed.notify_waiters();
        news
    }

    /// Puts in a process that is known from before and has not been heard of yet.
    pub fn remember(&self, heartbeat: Heartbeat) {
        self.members().remember(heartbeat, Instant::now());
    }

    /// A node did not answer: it is not asked again before its next heartbeat, and everybody is told (DFO-2).
    pub fn refuse(&self, node: u32, error: &AskError) {
        let now = Instant::now();
        if self.members().condition(node, now) == Condition::Failed {
            return;
        }
        tracing::warn!(node, %error, "a process of the cluster does not answer");
        self.members().refuse(node, now);
        self.locations().forget_node(node);
        self.announce(&Failed { node });
        self.shared.changed.notify_waiters();
    }

    /// What another process says of a node. Believed if the node has said nothing itself meanwhile.
    pub fn hear_failed(&self, node: u32, sender: u32) {
        let now = Instant::now();
        let mut members = self.members();
        if sender == node || members.condition(node, now) != Condition::Live {
            members.refuse(node, now);
            drop(members);
            self.locations().forget_node(node);
        }
    }

    /// Takes a node out of the view for good.
    pub fn forget(&self, node: u32) -> bool {
        self.locations().forget_node(node);
        self.members().forget(node)
    }

    /// Returns when a process has come, gone or changed since the call.
    pub async fn changed(&self) {
        self.shared.changed.notified().await;
    }

    /// Where copies of an object were seen.
    pub fn places(&self, fingerprint: Fingerprint) -> Vec<Place> {
        self.locations().find(fingerprint)
    }

    /// Objects whose places are known.
    pub fn objects_known(&self) -> usize {
        self.locations().len()
    }

    /// A copy was seen.
    pub fn note(&self, fingerprint: Fingerprint, place: Place) {
        self.locations().note(fingerprint, place);
        let waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiter) = waiting.get(&fingerprint) {
            waiter.notify_waiters();
        }
    }

    /// A copy is not where it was thought to be.
    pub fn mistaken(&self, fingerprint: Fingerprint, node: u32) {
        self.locations().forget(fingerprint, node);
    }

    /// A copy was made; everybody is told (DOSM-20).
    pub fn made(&self, content: Content, place: Place) {
        self.note(content.fingerprint, place);
        self.announce(&New { content, node: place.node, disk: place.disk });
    }

    /// A reference was given up: what caches know is to be asked again (DOSM-19). Everybody is told.
    pub fn deleted(&self, fingerprint: Fingerprint) {
        self.hear_deleted(fingerprint);
        self.announce(&Deleted { fingerprint });
    }

    /// As [`Self::deleted`], heard from somebody else.
    pub fn hear_deleted(&self, fingerprint: Fingerprint) {
        // Nobody listens in a process without a cache.
        let _ = self.shared.deletions.send(fingerprint);
    }

    /// The object's copies have changed; everybody is told.
    pub fn updated(&self, fingerprint: Fingerprint) {
        self.hear_updated(fingerprint);
        self.announce(&Updated { fingerprint });
    }

    /// As [`Self::updated`], heard from somebody else.
    pub fn hear_updated(&self, fingerprint: Fingerprint) {
        self.locations().forget_object(fingerprint);
    }

    /// Objects of which references were given up from now on.
    pub fn deletions(&self) -> broadcast::Receiver<Fingerprint> {
        self.shared.deletions.subscribe()
    }

    /// Asks a storage node, and remembers if it does not answer. One of another center that is away is not asked: it would
    /// take seconds to find that out once more.
    pub async fn ask<O: Operation>(
        &self,
        node: &Node,
        input: &O::In,
        patience: Duration,
    ) -> Result<O::Out, AskError> {
        if node.center != HERE && node.condition == Condition::Failed {
            return Err(SessionError::Late.into());
        }
        let asked = self.shared.links.ask::<O>(node.address, input, patience).await;
        if let Err(error @ AskError::Broken(_)) = &asked {
            self.refuse(node.number, error);
        }
        asked
    }

    /// Waits until a place of the object is known, at most for `patience`.
    pub async fn await_place(&self, fingerprint: Fingerprint, patience: Duration) -> Vec<Place> {
        let waiter = {
            let mut waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(waiting.entry(fingerprint).or_default())
        };
        let notified = waiter.notified();
        tokio::pin!(notified);
        notified.as_mut().enable();
        let mut places = self.places(fingerprint);
        if places.is_empty() {
            // Not to be told is an answer too.
            let _ = tokio::time::timeout(patience, notified).await;
            places = self.places(fingerprint);
        }
        let mut waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // The map's, and ours: nobody else waits.
        if Arc::strong_count(&waiter) <= 2 {
            waiting.remove(&fingerprint);
        }
        places
    }

    fn announce(&self, news: &impl Announcement) {
        self.shared.beacon.announce(news, &self.unicast_peers());
    }

    /// Processes of this center that were heard of, for where multicast does not reach.
    pub fn unicast_peers(&self) -> Vec<SocketAddr> {
        let members = self.members();
        let others =
            members.all(Instant::now()).filter(|(member, _)| member.heartbeat.node != self.own().node);
        let addresses = others.map(|(member, _)| member.heartbeat.address);
        addresses.filter(|address| self.links().center_of(*address) == HERE).collect()
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.shared.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn locations(&self) -> MutexGuard<'_, Locations> {
        self.shared.locations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
