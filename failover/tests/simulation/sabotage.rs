//! Bugs that are planted around the judges, never in them: each has to be found.

use super::faults::Fault;

/// What goes wrong that must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// The kernel shuts the fence only when told.
    FenceStaysOpen,
    /// The active is shown echoes of what it sent last, whatever the passive echoed.
    LeaseFromReceipt,
    /// A judge is told that it started a while ago.
    NoWaitAfterStart,
    /// The active is shown promises ten times as long as the passive's.
    PromiseTooLong,
    /// The number of renewals stands still.
    RenewalsNotCounted,
    /// The center keeps its leases in memory.
    CenterForgets,
    /// The center does not look at the number in RELEASE.
    ReleaseTakesAny,
    /// The center grants without raising the generation.
    GrantsTwice,
    /// The judge's clock and the kernel's know nothing of a suspend.
    ClockStops,
    /// The judge's datagrams go out first, the rest is done 100 ms later.
    ReleaseFirst,
    /// An answer of the center's that did not come is not told.
    AnswersLost,
    /// Ill health may move the addresses at any time.
    NoHoldDown,
    /// An order that nobody gave.
    OrderNobodyGave,
}

impl Sabotage {
    /// Histories with such faults come to the bug sooner.
    pub fn shows_with(self, fault: Fault) -> bool {
        match self {
            Self::LeaseFromReceipt => matches!(fault, Fault::WaysFrom(_)),
            Self::NoWaitAfterStart => matches!(fault, Fault::JudgeDead(_) | Fault::WaysFrom(_)),
            Self::CenterForgets => matches!(fault, Fault::AllWays | Fault::CenterDown),
            Self::RenewalsNotCounted | Self::ReleaseTakesAny => matches!(fault, Fault::AllWays),
            Self::ClockStops => matches!(fault, Fault::MachineSuspended(_)),
            Self::AnswersLost => matches!(fault, Fault::PowerOff(_) | Fault::WanLost { .. }),
            Self::NoHoldDown => matches!(fault, Fault::Sick(_) | Fault::WanLost { .. }),
            Self::OrderNobodyGave => false,
            Self::FenceStaysOpen | Self::PromiseTooLong | Self::GrantsTwice | Self::ReleaseFirst => true,
        }
    }
}
