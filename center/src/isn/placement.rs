//! Which disks a new object goes to (DOSM-13, within one node).

use rand::Rng;

/// What is known of a disk when choosing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its number in the node.
    pub disk: usize,
    /// Free bytes beyond the reserve.
    pub bytes_free: u64,
}

/// Chooses up to `copies` distinct disks with room for `length` bytes. Each is the emptier of two drawn at random:
/// nearly as even as always taking the emptiest, without all stores of a moment meeting on one disk.
pub fn choose(candidates: &[Candidate], length: u64, copies: usize, rng: &mut impl Rng) -> Vec<usize> {
    let mut left: Vec<Candidate> =
        candidates.iter().copied().filter(|candidate| candidate.bytes_free > length).collect();
    let mut chosen = Vec::new();
    while chosen.len() < copies && !left.is_empty() {
        let (first, second) = (rng.random_range(0..left.len()), rng.random_range(0..left.len()));
        let emptier = if left[first].bytes_free >= left[second].bytes_free { first } else { second };
        chosen.push(left.swap_remove(emptier).disk);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    proptest! {
        /// DOSM-13, DOSM-15: never a full disk, never one disk twice, never fewer than there are.
        #[test]
        fn chooses_distinct_disks_with_room(free in prop::collection::vec(0..100_u64, 0..8), length in 0..100_u64, seed: u64) {
            let candidates: Vec<_> =
                free.iter().enumerate().map(|(disk, &bytes_free)| Candidate { disk, bytes_free }).collect();
            let mut chosen = choose(&candidates, length, 2, &mut StdRng::seed_from_u64(seed));
            let with_room = free.iter().filter(|&&free| free > length).count();
            prop_assert_eq!(chosen.len(), with_room.min(2));
            prop_assert!(chosen.iter().all(|&disk| free[disk] > length));
            chosen.sort_unstable();
            chosen.dedup();
            prop_assert_eq!(chosen.len(), with_room.min(2));
        }
    }

    #[test]
    fn prefers_the_emptier_disk() {
        let candidates = [Candidate { disk: 0, bytes_free: 10 }, Candidate { disk: 1, bytes_free: 1_000 }];
        let mut rng = StdRng::seed_from_u64(1);
        let emptier = (0..1_000).filter(|_| choose(&candidates, 0, 1, &mut rng) == [1]).count();
        assert!((700..800).contains(&emptier), "three of four draws contain the emptier one: {emptier}");
    }
}
