//! What must hold, always.

use super::node::Node;

/// Bounds in microseconds, and what is remembered to hold them.
pub struct Checks {
    pub with_fence: bool,
    /// I7: one well port, so long: somebody serves meanwhile.
    pub serves_within: u64,
    /// I9: the address configured twice, behind a fence.
    pub twice_max: u64,
    pub hold_down: u64,
    /// Losses are so frequent that they count as a failure.
    pub is_lossy: bool,
    well_since: [Option<u64>; 2],
    pub served_at: u64,
    twice_since: Option<u64>,
    /// The last failure, order, or end of one.
    pub cause_at: u64,
    pub ordered_at: Option<u64>,
    /// The last change of owner by ill health.
    moved_at: Option<u64>,
    pub openings: u64,
    owner: Option<usize>,
}

impl Checks {
    pub fn new(with_fence: bool, serves_within: u64, twice_max: u64, hold_down: u64, is_lossy: bool) -> Self {
        Self {
            with_fence,
            serves_within,
            twice_max,
            hold_down,
            is_lossy,
            well_since: [None; 2],
            served_at: 0,
            twice_since: None,
            cause_at: 0,
            ordered_at: None,
            moved_at: None,
            openings: 0,
            owner: None,
        }
    }

    /// I1, I9: at the moment in which one opens, or comes back from a suspend, the other is shut.
    pub fn one_owner(&self, nodes: &[Node; 2], now: u64) -> Result<(), String> {
        let owns =
            |node: &Node| if self.with_fence { node.is_fence_open(now) } else { node.has_address(now) };
        if owns(&nodes[0]) && owns(&nodes[1]) {
            return Err("I1: two owners".to_owned());
        }
        Ok(())
    }

    /// I8: a first opening after another one has a cause; ill health moves once in a hold-down. An order counts when the
    /// generation for it is `granted`; without the WAN it may take seconds more until it is done.
    pub fn opened(&mut self, node: usize, by_agreement: bool, granted: u64, now: u64) -> Result<(), String> {
        let is_first = self.openings == 0;
        self.openings += 1;
        let changed = self.owner.replace(node).is_some_and(|before| before != node);
        if !is_first && !self.is_lossy && now > self.cause_at + self.serves_within {
            return Err(format!("I8: opened without a cause (the last one {} µs ago)", now - self.cause_at));
        }
        let is_ordered = self.ordered_at.is_some_and(|ordered| granted < ordered + 5_000_000);
        if changed && by_agreement && !is_ordered {
            if let Some(moved) = self.moved_at
                && now < moved + self.hold_down
            {
                return Err(format!("I8: moved again after {} µs", now - moved));
            }
            self.moved_at = Some(now);
        }
        Ok(())
    }

    /// A judge started again: it knows of no hold-down.
    pub fn judge_started(&mut self) {
        self.moved_at = None;
    }

    /// Looked at every 10 ms.
    pub fn look(&mut self, nodes: &[Node; 2], center_is_well: bool, now: u64) -> Result<(), String> {
        let is_maintained = nodes.iter().any(|node| node.maintenance);
        for (node, since) in nodes.iter().zip(&mut self.well_since) {
            let is_well = node.is_well() && center_is_well && !is_maintained;
            *since = if is_well { since.or(Some(now)) } else { None };
        }
        if nodes.iter().any(|node| node.serves(now, self.with_fence).is_some()) {
            self.served_at = now;
        }
        let bound = now.saturating_sub(self.serves_within);
        if self.served_at < bound && self.well_since.iter().flatten().any(|since| *since < bound) {
            return Err(format!("I7: nobody serves for {} µs", now - self.served_at));
        }
        let is_twice = nodes.iter().all(|node| node.has_address(now));
        self.twice_since = if is_twice { self.twice_since.or(Some(now)) } else { None };
        match self.twice_since {
            Some(since) if now - since > self.twice_max => {
                Err("I9: the address is there twice for too long".to_owned())
            }
            _ => Ok(()),
        }
    }
}
