//! One failure, from a well pair to a well pair.

use std::time::Duration;

use super::Pair;
use super::fault::Fault;
use super::ground::Ground;
use super::member::Side;
use super::observer::{Observer, Report};
use crate::poll;

/// After the pair is well again it is watched for so long still: what a mended member does wrong shows then.
const AFTER: Duration = Duration::from_millis(200);

/// What was seen.
#[derive(Clone, Debug)]
pub struct Trial {
    /// What happened.
    pub fault: Fault,
    /// Who had the address before.
    pub victim: Side,
    /// Who had it when the failure had been there for its time.
    pub after: Option<Side>,
    /// Who had it when all was well again.
    pub last: Option<Side>,
    /// From the failure to the mending.
    pub struck: Report,
    /// From the mending until all was well.
    pub mended: Report,
}

impl Trial {
    /// Lets a failure happen to whoever has the address, after it was quiet for a while, mends it after `held`, and waits
    /// until the pair is well.
    pub fn run(
        ground: &Ground,
        pair: &mut Pair,
        observer: &mut Observer,
        fault: Fault,
        [quiet, held]: [Duration; 2],
    ) -> Self {
        observer.mark();
        poll::pause(quiet);
        let before = observer.mark();
        let victim = before.owner(pair).expect("somebody has the address");
        fault.strike(ground, pair, victim);
        poll::pause(held);
        let struck = observer.mark();
        fault.mend(ground, pair, victim);
        pair.wait_well();
        poll::pause(AFTER);
        let mended = observer.mark();
        Self { fault, victim, after: struck.owner(pair), last: mended.owner(pair), struck, mended }
    }

    /// The time in which two answered for the address.
    pub fn twice(&self) -> Duration {
        self.struck.owners.twice + self.mended.owners.twice
    }
}
