//! Which nodes take a new object (DOSM-13): by room and by load. Pure.

use rand::Rng;

/// What is known of a node when choosing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its number.
    pub node: u32,
    /// Free bytes on the emptiest of its disks that can be written.
    pub bytes_free: u64,
    /// Operations it does in a second.
    pub ops_per_second: u32,
    /// Operations it has begun and not ended.
    pub outstanding: u32,
}

impl Candidate {
    /// Operations under way count for more than those done: they are what a new one waits for.
    fn load(&self) -> u64 {
        u64::from(self.ops_per_second) + 16 * u64::from(self.outstanding)
    }

    /// Less than half as busy is better; between two that are about as busy, more room is.
    fn is_better_than(&self, other: &Self) -> bool {
        let (own, others) = (self.load() + LOAD_NOISE, other.load() + LOAD_NOISE);
        if own * 2 < others || others * 2 < own {
            return own < others;
        }
        self.bytes_free >= other.bytes_free
    }
}

/// Loads below are all alike.
const LOAD_NOISE: u64 = 64;

/// Chooses up to `copies` distinct nodes with room for `length` bytes. Each is the better of two drawn at random:
/// nearly as even as always taking the best, without all uploads of a moment meeting on one node.
pub fn choose(candidates: &[Candidate], length: u64, copies: usize, rng: &mut impl Rng) -> Vec<u32> {
    let mut left: Vec<Candidate> =
        candidates.iter().copied().filter(|candidate| candidate.bytes_free > length).collect();
    let mut chosen = Vec::new();
    while chosen.len() < copies && !left.is_empty() {
        let (first, second) = (rng.random_range(0..left.len()), rng.random_range(0..left.len()));
        let better = if left[first].is_better_than(&left[second]) { first } else { second };
        chosen.push(left.swap_remove(better).node);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    fn candidate(node: u32, bytes_free: u64, ops_per_second: u32) -> Candidate {
        Candidate { node, bytes_free, ops_per_second, outstanding: 0 }
    }

    proptest! {
        /// DOSM-13, DOSM-15: never a full node, never one twice, never fewer than there are.
        #[test]
        fn chooses_distinct_nodes_with_room(free in prop::collection::vec(0..100_u64, 0..8), length in 0..100_u64, seed: u64) {
            let candidates: Vec<_> =
                free.iter().zip(0..).map(|(&free, node)| candidate(node, free, 0)).collect();
            let mut chosen = choose(&candidates, length, 2, &mut StdRng::seed_from_u64(seed));
            let with_room = free.iter().filter(|&&free| free > length).count();
            prop_assert_eq!(chosen.len(), with_room.min(2));
            prop_assert!(chosen.iter().all(|&node| free[node as usize] > length));
            chosen.sort_unstable();
            chosen.dedup();
            prop_assert_eq!(chosen.len(), with_room.min(2));
        }
    }

    fn share_of_first(candidates: [Candidate; 2]) -> usize {
        let mut rng = StdRng::seed_from_u64(1);
        (0..1_000).filter(|_| choose(&candidates, 0, 1, &mut rng) == [candidates[0].node]).count()
    }

    /// DOSM-13, MC-9: the node with more room, or the one with less to do, is in three of four draws of two.
    #[test]
    fn prefers_room_and_idleness() {
        let range = 700..800;
        let emptier = share_of_first([candidate(0, 1_000, 50), candidate(1, 10, 60)]);
        assert!(range.contains(&emptier), "{emptier}");
        let idler = share_of_first([candidate(0, 10, 0), candidate(1, 1_000, 5_000)]);
        assert!(range.contains(&idler), "{idler}");
    }
}
