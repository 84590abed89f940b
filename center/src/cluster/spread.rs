//! How an object's copies are spread over nodes and centers, and what is to be done about it (GEO-4). Pure.

use super::centers::CenterNumber;

/// A node that has a copy, and its center.
pub type Holder = (u32, CenterNumber);

/// What is to be done about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Right,
    /// So many copies more are to be made.
    Wanting(usize),
    /// There are copies enough, and a center without one that should have one.
    Unspread,
    /// These nodes' copies are too many.
    Spare(Vec<u32>),
}

/// Judges the copies that count: `copies` there should be, in as many of so many centers as there are copies. Whoever
/// judges the same copies comes to the same verdict, however he numbers the centers.
pub fn judge(holders: &[Holder], copies: usize, centers: usize) -> Verdict {
    if holders.len() < copies {
        return Verdict::Wanting(copies - holders.len());
    }
    if centers_of(holders) < copies.min(centers) {
        return Verdict::Unspread;
    }
    let (mut left, mut spare) = (holders.to_vec(), Vec::new());
    while left.len() > copies {
        let crowd = |center: CenterNumber| left.iter().filter(|(_, other)| *other == center).count();
        let Some((node, _)) = left.iter().copied().max_by_key(|(node, center)| (crowd(*center), *node))
        else {
            break;
        };
        left.retain(|(other, _)| *other != node);
        spare.push(node);
    }
    if spare.is_empty() { Verdict::Right } else { Verdict::Spare(spare) }
}

fn centers_of(holders: &[Holder]) -> usize {
    let mut centers: Vec<CenterNumber> = holders.iter().map(|(_, center)| *center).collect();
    centers.sort_unstable();
    centers.dedup();
    centers.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// GEO-4: two copies are one in each center; an additional copy goes when the other center has its own.
    #[test]
    fn copies_are_spread_over_the_centers() {
        for (holders, centers, verdict) in [
            (&[][..], 2, Verdict::Wanting(2)),
            (&[(11, 0)], 2, Verdict::Wanting(1)),
            (&[(11, 0), (12, 0)], 1, Verdict::Right),
            (&[(11, 0), (12, 0)], 2, Verdict::Unspread),
            (&[(11, 0), (111, 1)], 2, Verdict::Right),
            (&[(11, 0), (12, 0), (111, 1)], 2, Verdict::Spare(vec![12])),
            (&[(11, 0), (111, 1), (112, 1)], 2, Verdict::Spare(vec![112])),
            (&[(11, 0), (12, 0), (111, 1), (112, 1)], 2, Verdict::Spare(vec![112, 12])),
            (&[(11, 0), (12, 0), (13, 0)], 2, Verdict::Unspread),
            (&[(11, 0), (12, 0), (13, 0)], 1, Verdict::Spare(vec![13])),
            (&[(11, 0), (111, 1), (211, 2)], 3, Verdict::Spare(vec![211])),
        ] {
            assert_eq!(judge(holders, 2, centers), verdict, "{holders:?} in {centers}");
        }
        assert_eq!(judge(&[(11, 0), (111, 1)], 3, 3), Verdict::Wanting(1));
        assert_eq!(judge(&[(11, 0), (111, 1), (211, 2)], 3, 3), Verdict::Right);
    }

    proptest! {
        /// GEO-4: what is spare leaves the right number in the right number of centers, and the other center, which has
        /// other numbers for the centers, says the same.
        #[test]
        fn what_is_spare_can_go(nodes in prop::collection::btree_set(0..12_u32, 0..9), copies in 1..4_usize) {
            let holders: Vec<Holder> = nodes.iter().map(|node| (*node, (node / 4) as usize)).collect();
            let turned: Vec<Holder> = holders.iter().map(|(node, center)| (*node, (center + 1) % 3)).collect();
            let verdict = judge(&holders, copies, 3);
            prop_assert_eq!(&judge(&turned, copies, 3), &verdict);
            if let Verdict::Spare(spare) = verdict {
                let left: Vec<Holder> = holders.into_iter().filter(|(node, _)| !spare.contains(node)).collect();
                prop_assert_eq!(judge(&left, copies, 3), Verdict::Right);
            }
        }
    }
}
