//! Which nodes take a new object (DOSM-13): by room and by load, in as many centers as there are copies (GEO-4). Pure.

use rand::Rng;

use super::centers::CenterNumber;
use super::spread::Holder;

/// What is known of a node when choosing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its number.
    pub node: u32,
    /// The center it is in.
    pub center: CenterNumber,
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

/// Chooses up to `copies` distinct nodes with room for `length` bytes, for an object that `holding` nodes have: each in
/// the center that has the fewest copies, of such centers the first. There it is the counterpart of a node that has one,
/// if that takes it (GEO-3); else the better of two drawn at random: nearly as even as always taking the best, without
/// all uploads of a moment meeting on one node.
pub fn choose(
    candidates: &[Candidate],
    holding: &[Holder],
    length: u64,
    copies: usize,
    counterpart: impl Fn(u32, CenterNumber) -> Option<u32>,
    rng: &mut impl Rng,
) -> Vec<u32> {
    let mut left: Vec<Candidate> =
        candidates.iter().copied().filter(|candidate| candidate.bytes_free > length).collect();
    let (mut holders, mut chosen) = (holding.to_vec(), Vec::new());
    while chosen.len() < copies {
        let copies_in = |center: CenterNumber| holders.iter().filter(|(_, other)| *other == center).count();
        let centers = left.iter().map(|candidate| candidate.center);
        let Some(center) = centers.min_by_key(|center| (copies_in(*center), *center)) else { break };
        let mapped: Vec<u32> = holders.iter().filter_map(|(node, _)| counterpart(*node, center)).collect();
        let here: Vec<usize> = (0..left.len()).filter(|&at| left[at].center == center).collect();
        let at = match here.iter().find(|&&at| mapped.contains(&left[at].node)) {
            Some(at) => *at,
            None => {
                let mut draw = || here[rng.random_range(0..here.len())];
                let (first, second) = (draw(), draw());
                if left[first].is_better_than(&left[second]) { first } else { second }
            }
        };
        let node = left.swap_remove(at).node;
        holders.push((node, center));
        chosen.push(node);
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
        Candidate { node, center: (node / 100) as usize, bytes_free, ops_per_second, outstanding: 0 }
    }

    fn choose(candidates: &[Candidate], length: u64, copies: usize, rng: &mut StdRng) -> Vec<u32> {
        super::choose(candidates, &[], length, copies, |_, _| None, rng)
    }

    /// GEO-3, GEO-4: one copy here and one at the counterpart there; at another node there if the counterpart is not to
    /// be had, and a second one here if nobody there is.
    #[test]
    fn copies_go_to_as_many_centers_as_there_are() {
        let nodes = [11, 12, 13, 111, 112, 113];
        let chosen = |nodes: &[u32], holding: &[Holder], copies, seed| {
            let candidates: Vec<_> = nodes.iter().map(|&node| candidate(node, 10, 0)).collect();
            let counterpart = |node: u32, center: usize| Some(node % 100 + 100 * center as u32);
            super::choose(&candidates, holding, 1, copies, counterpart, &mut StdRng::seed_from_u64(seed))
        };
        for seed in 0..50 {
            let [here, there] = chosen(&nodes, &[], 2, seed)[..] else { panic!("two nodes") };
            assert!(here < 100 && there == here + 100, "{here} {there}");
            let [here, there] = chosen(&[11, 112], &[], 2, seed)[..] else { panic!("two nodes") };
            assert_eq!((here, there), (11, 112));
            let both = chosen(&nodes[..3], &[], 2, seed);
            assert!(both.len() == 2 && both[0] != both[1] && both.iter().all(|node| *node < 100));
            assert_eq!(chosen(&nodes, &[(12, 0)], 1, seed), [112]);
            assert_eq!(chosen(&nodes, &[(112, 1)], 1, seed), [12]);
        }
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
