//! In which order an object is looked for (GAP-5): the named orders of the founding document, and ours. Pure data.

use serde::Deserialize;

/// A way to find copies of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Where the lookup table says (DOSM-3).
    Known,
    /// Ask the group of this center (DOSM-4).
    Multicast,
    /// Ask each node of this center (DOSM-6).
    EachNode,
    /// Ask the node of another center that mirrors the one it lay on (GEO-7). Nothing where no other center is known.
    MappedElsewhere,
    /// Have another center ask its group, then ask each of its nodes (DFO-4). Nothing where no other center is known.
    MulticastElsewhere,
    /// Ask the group of this center, and a moment later the mapped nodes of another, or have that ask its group: the
    /// first answer counts (GEO-9).
    Hedged,
}

/// A named order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// This center first, because a copy here costs no way to another; but not for long (GEO-9).
    #[default]
    Hedged,
    /// As the text of the founding document says of a dead node (GEO-7).
    Document,
    /// As its Figure 31 says (DFO-3, DFO-4).
    Fig31,
    /// As its Figure 4 says (DOSM-4 to DOSM-7).
    Fig4,
}

impl Order {
    /// The steps, one after the other.
    pub fn steps(self) -> &'static [Step] {
        use Step::*;
        match self {
            Self::Hedged => &[Known, Step::Hedged, EachNode, MulticastElsewhere],
            Self::Document => &[Known, MappedElsewhere, Multicast, MulticastElsewhere, EachNode],
            Self::Fig31 => &[Known, Multicast, MulticastElsewhere, EachNode],
            Self::Fig4 => &[Known, Multicast, EachNode, MulticastElsewhere],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Order; 4] = [Order::Hedged, Order::Document, Order::Fig31, Order::Fig4];

    /// GAP-5, DOSM-3: every order begins with what is known, asks every node of this center before it gives up, and
    /// does nothing twice.
    #[test]
    fn every_order_is_complete() {
        for order in ALL {
            let steps = order.steps();
            assert_eq!(steps[0], Step::Known, "{order:?}");
            assert!(steps.contains(&Step::EachNode), "{order:?}");
            assert!((1..steps.len()).all(|at| !steps[..at].contains(&steps[at])), "{order:?}");
        }
    }

    /// GEO-7, DFO-3, DOSM-6: what the three orders of the document differ in.
    #[test]
    fn the_orders_differ_as_the_document_does() {
        let place = |order: Order, step| order.steps().iter().position(|known| *known == step).unwrap();
        assert!(place(Order::Document, Step::MappedElsewhere) < place(Order::Document, Step::Multicast));
        assert!(place(Order::Fig31, Step::MulticastElsewhere) < place(Order::Fig31, Step::EachNode));
        assert!(place(Order::Fig4, Step::EachNode) < place(Order::Fig4, Step::MulticastElsewhere));
    }
}
