//! The state table (DOSM-12): which processes make up the cluster and how they are, as their heartbeats tell. Pure.
//!
//! A process is known from its first heartbeat on, and never forgotten by itself: whoever gives up a reference wants to
//! hear from every storage node there has been.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use protocol::dosp::heartbeat::{Heartbeat, NodeState, Roles};

/// Silence after which a node is asked last.
pub const SUSPECT_AFTER: Duration = Duration::from_secs(3);
/// Silence after which it is not asked any more, unless nobody else is left.
pub const FAILED_AFTER: Duration = Duration::from_secs(5);
/// Most processes of a cluster.
const MEMBERS_MAX: usize = 1_024;

/// How a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// Heard of lately.
    Live,
    /// Silent for more than [`SUSPECT_AFTER`].
    Suspect,
    /// Silent for more than [`FAILED_AFTER`], or it said so itself, or it refused a connection.
    Failed,
}

/// A process of the cluster.
#[derive(Clone, Debug)]
pub struct Member {
    /// What it said last.
    pub heartbeat: Heartbeat,
    boot: u64,
    heard: Option<Instant>,
    /// When it refused a connection; what it said before that does not speak against it.
    refused: Option<Instant>,
    /// Since when it is not [`Condition::Live`]; judged when somebody asks.
    away_since: Option<Instant>,
}

/// What a heartbeat changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// It is as it was.
    Nothing,
    /// It is here for the first time, or again, or has been started anew.
    Joined,
    /// It is here and has less to give: failed, draining, or without its references.
    Changed,
}

/// The table.
#[derive(Debug, Default)]
pub struct Members {
    members: BTreeMap<u32, Member>,
}

impl Members {
    /// Takes in a heartbeat of process `boot` of a node, heard at `heard`: now, or before by another center. One that is
    /// older than what is known changes nothing.
    pub fn hear(&mut self, heartbeat: Heartbeat, boot: u64, heard: Instant) -> News {
        let now = heard;
        let node = heartbeat.node;
        let is_full = self.members.len() >= MEMBERS_MAX;
        match self.members.get_mut(&node) {
            None if is_full => News::Nothing,
            None => {
                let member = Member { heartbeat, boot, heard: Some(now), refused: None, away_since: None };
                self.members.insert(node, member);
                News::Joined
            }
            Some(member) if member.boot > boot || member.heard.is_some_and(|before| before > heard) => {
                News::Nothing
            }
            Some(member) => {
                let was_here = condition(member, now) == Condition::Live && member.boot == boot;
                let before = (member.heartbeat.state, member.heartbeat.lost_references);
                let after = (heartbeat.state, heartbeat.lost_references);
                let news = match (was_here, before == after) {
                    (false, _) => News::Joined,
                    (true, false) => News::Changed,
                    (true, true) => News::Nothing,
                };
                let refused = member.refused.filter(|refused| *refused >= heard && member.boot == boot);
                let away_since = member.away_since.filter(|_| refused.is_some());
                *member = Member { heartbeat, boot, heard: Some(now), refused, away_since };
                if refused.is_some() { News::Nothing } else { news }
            }
        }
    }

    /// Puts in a node that is known from before this process began and has not been heard of since.
    pub fn remember(&mut self, heartbeat: Heartbeat, now: Instant) {
        let absent = Member { heartbeat, boot: 0, heard: None, refused: None, away_since: Some(now) };
        self.members.entry(absent.heartbeat.node).or_insert(absent);
    }

    /// The node refused a connection or did not answer: it counts as failed until its next heartbeat (DFO-2).
    pub fn refuse(&mut self, node: u32, now: Instant) {
        if let Some(member) = self.members.get_mut(&node) {
            member.refused = Some(now);
            member.away_since.get_or_insert(now);
        }
    }

    /// Takes a node out of the table for good.
    pub fn forget(&mut self, node: u32) -> bool {
        self.members.remove(&node).is_some()
    }

    /// How a node is; unknown ones have failed.
    pub fn condition(&self, node: u32, now: Instant) -> Condition {
        self.members.get(&node).map_or(Condition::Failed, |member| condition(member, now))
    }

    /// For how long a node has not been live; zero for one that is.
    pub fn away_for(&self, node: u32, now: Instant) -> Duration {
        let Some(member) = self.members.get(&node) else { return Duration::MAX };
        if condition(member, now) == Condition::Live {
            return Duration::ZERO;
        }
        let since = member.away_since.or(member.heard);
        since.map_or(Duration::MAX, |since| now.saturating_duration_since(since))
    }

    /// Where a node is reached by DOSP.
    pub fn address(&self, node: u32) -> Option<SocketAddr> {
        self.members.get(&node).map(|member| member.heartbeat.address)
    }

    /// All that play a role, in order of their numbers, each with its condition.
    pub fn with_role(
        &self,
        plays: impl Fn(Roles) -> bool,
        now: Instant,
    ) -> impl Iterator<Item = (&Member, Condition)> {
        self.all(now).filter(move |(member, _)| plays(member.heartbeat.roles))
    }

    /// When each was heard of last that has been, with the number of its start.
    pub fn heard(&self) -> impl Iterator<Item = (&Heartbeat, u64, Instant)> {
        self.members.values().filter_map(|member| Some((&member.heartbeat, member.boot, member.heard?)))
    }

    /// All, in order of their numbers.
    pub fn all(&self, now: Instant) -> impl Iterator<Item = (&Member, Condition)> {
        self.members.values().map(move |member| (member, condition(member, now)))
    }
}

fn condition(member: &Member, now: Instant) -> Condition {
    let silence = member.heard.map(|heard| now.saturating_duration_since(heard));
    match silence {
        _ if member.refused.is_some() || member.heartbeat.state == NodeState::Failed => Condition::Failed,
        None => Condition::Failed,
        Some(silence) if silence > FAILED_AFTER => Condition::Failed,
        Some(silence) if silence > SUSPECT_AFTER => Condition::Suspect,
        Some(_) => Condition::Live,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heartbeat(node: u32, state: NodeState) -> Heartbeat {
        Heartbeat {
            node,
            roles: Roles { isn: true, ..Roles::default() },
            address: SocketAddr::from(([10, 3, 100, node as u8], 7_400)),
            state,
            lost_references: false,
            ops_per_second: 0,
            outstanding: 0,
            disks: Vec::new(),
        }
    }

    /// DOSM-12: silence makes a node suspect after 3 s and failed after 5 s, each to the millisecond; a heartbeat
    /// brings it back.
    #[test]
    fn silence_is_noticed_in_two_steps() {
        let (mut members, start) = (Members::default(), Instant::now());
        let at = |ms: u64| start + Duration::from_millis(ms);
        assert_eq!(members.hear(heartbeat(1, NodeState::Online), 7, start), News::Joined);
        assert_eq!(members.hear(heartbeat(1, NodeState::Online), 7, start), News::Nothing);
        assert_eq!(members.condition(1, at(3_000)), Condition::Live);
        assert_eq!(members.condition(1, at(3_001)), Condition::Suspect);
        assert_eq!(members.condition(1, at(5_000)), Condition::Suspect);
        assert_eq!(members.condition(1, at(5_001)), Condition::Failed);
        assert_eq!(members.away_for(1, at(5_001)), Duration::from_millis(5_001));
        assert_eq!(members.hear(heartbeat(1, NodeState::Online), 7, at(6_000)), News::Joined);
        assert_eq!(members.condition(1, at(6_000)), Condition::Live);
        assert_eq!(members.away_for(1, at(6_000)), Duration::ZERO);
    }

    /// DFO-1, DFO-2, DOSM-21: a node that reports its failure, or refuses a connection, is out at once.
    #[test]
    fn a_failure_told_or_met_counts_at_once() {
        let (mut members, now) = (Members::default(), Instant::now());
        members.hear(heartbeat(1, NodeState::Online), 7, now);
        assert_eq!(members.hear(heartbeat(1, NodeState::Failed), 7, now), News::Changed);
        assert_eq!(members.condition(1, now), Condition::Failed);
        members.hear(heartbeat(2, NodeState::Online), 8, now);
        members.refuse(2, now);
        assert_eq!(members.condition(2, now), Condition::Failed);
        assert_eq!(members.hear(heartbeat(2, NodeState::Online), 9, now), News::Joined, "started anew");
        assert_eq!(members.condition(2, now), Condition::Live);
        assert_eq!(members.condition(3, now), Condition::Failed, "unknown");
    }

    /// GEO-1: what another center says of a node is as old as it says, and does not speak against what was met since.
    #[test]
    fn what_was_heard_before_changes_nothing() {
        let (mut members, start) = (Members::default(), Instant::now());
        let at = |ms: u64| start + Duration::from_millis(ms);
        members.hear(heartbeat(1, NodeState::Online), 7, at(1_000));
        assert_eq!(members.hear(heartbeat(1, NodeState::Failed), 7, at(999)), News::Nothing);
        assert_eq!(members.condition(1, at(1_000)), Condition::Live);
        members.refuse(1, at(1_500));
        assert_eq!(members.hear(heartbeat(1, NodeState::Online), 7, at(1_500)), News::Nothing);
        assert_eq!(members.condition(1, at(1_500)), Condition::Failed);
        assert_eq!(members.away_for(1, at(2_500)), Duration::from_millis(1_000));
        assert_eq!(members.hear(heartbeat(1, NodeState::Online), 7, at(1_501)), News::Joined);
        assert_eq!(
            members.hear(heartbeat(1, NodeState::Failed), 6, at(1_600)),
            News::Nothing,
            "an earlier start"
        );
        assert_eq!(members.condition(1, at(1_600)), Condition::Live);
    }

    /// SYS-5: the table takes in newcomers up to its bound and not one more.
    #[test]
    fn the_table_is_bounded() {
        let (mut members, now) = (Members::default(), Instant::now());
        for node in 0..MEMBERS_MAX as u32 {
            assert_eq!(members.hear(heartbeat(node, NodeState::Online), 1, now), News::Joined);
        }
        assert_eq!(members.hear(heartbeat(MEMBERS_MAX as u32, NodeState::Online), 1, now), News::Nothing);
        assert_eq!(members.all(now).count(), MEMBERS_MAX);
        assert_eq!(members.with_role(|roles| roles.ddm, now).count(), 0);
    }

    /// A node known from before is away from the start, until it is heard of.
    #[test]
    fn a_remembered_node_is_away_until_heard_of() {
        let (mut members, now) = (Members::default(), Instant::now());
        members.remember(heartbeat(4, NodeState::Online), now);
        assert_eq!(members.condition(4, now), Condition::Failed);
        assert_eq!(members.away_for(4, now + SUSPECT_AFTER), SUSPECT_AFTER);
        assert_eq!(members.hear(heartbeat(4, NodeState::Online), 1, now), News::Joined);
        members.remember(heartbeat(4, NodeState::Online), now);
        assert_eq!(members.condition(4, now), Condition::Live, "what was heard counts more");
    }
}
