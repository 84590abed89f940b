//! This machine's clock against the storage center's.

use std::time::Duration;

use crate::report::Finding;
use crate::shell::center::Visit;

const CHECK: &str = "clock";
/// 1 January 2026: no storage port was there before.
const BEGINNING: Duration = Duration::from_secs(1_767_225_600);
/// An SRL may be good for some seconds alone; and the center's time is told in whole ones, in an answer that travels.
const OFF: u64 = 5;
/// What the port asks of the center is good for five minutes, and its caches' times are compared with the center's.
const FAR_OFF: u64 = 60;
/// How a clock is set.
const MEND: &str =
    "set this machine's clock, by NTP best (`ntp` of the site file; `chronyc tracking` tells how it stands)";

pub(super) fn judge(now: Duration, visits: &[Visit]) -> Vec<Finding> {
    if now < BEGINNING {
        let text = "this machine's clock says a year before 2026: it was never set, or its battery is empty";
        return vec![Finding::fault(CHECK, text, MEND)];
    }
    // Of several doors the nearest clock: the others' are their own operators' matter.
    let offs = visits.iter().filter_map(|visit| visit.as_ref().ok()?.ahead);
    let Some(ahead) = offs.min_by_key(|ahead| ahead.unsigned_abs()) else {
        return vec![Finding::not_checked(CHECK, "no storage center told its time to compare with")];
    };
    let off = ahead.unsigned_abs();
    let way = if ahead > 0 { "behind" } else { "before" };
    let text = format!("this machine's clock is {off} s {way} the storage center's");
    vec![match off {
        _ if off <= OFF => Finding::ok(CHECK, "as the storage center's"),
        _ if off < FAR_OFF => {
            Finding::warning(CHECK, format!("{text}: SRLs end too early or too late"), MEND)
        }
        _ => {
            let text = format!("{text}: what it signs is refused, and certificates may be");
            Finding::fault(CHECK, text, MEND)
        }
    }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::answer;
    use crate::report::Outcome;
    use crate::shell::center::{Answer, Trouble};

    #[test]
    fn a_clock_is_judged_by_the_center_and_by_the_calendar() {
        let today = Duration::from_secs(1_800_000_000);
        let of = |ahead| judge(today, &[Ok(Answer { ahead, ..answer() })])[0].clone();
        let edges = [
            (0, Outcome::Ok),
            (5, Outcome::Ok),
            (-5, Outcome::Ok),
            (6, Outcome::Warning),
            (-59, Outcome::Warning),
            (60, Outcome::Fault),
            (-60, Outcome::Fault),
        ];
        for (ahead, outcome) in edges {
            assert_eq!(of(Some(ahead)).outcome, outcome, "{ahead}");
        }
        assert!(of(Some(3600)).text.contains("3600 s behind") && of(Some(-7)).text.contains("7 s before"));
        assert_eq!(of(None).outcome, Outcome::NotChecked);
        assert_eq!(judge(today, &[Err(Trouble::Name)])[0].outcome, Outcome::NotChecked);
        let mixed = [Ok(Answer { ahead: Some(900), ..answer() }), Ok(Answer { ahead: Some(-1), ..answer() })];
        assert_eq!(judge(today, &mixed)[0].outcome, Outcome::Ok, "one center's clock is wrong, not ours");
        let old = BEGINNING - Duration::from_secs(1);
        assert_eq!(judge(old, &[Ok(answer())])[0].outcome, Outcome::Fault);
        assert_eq!(judge(BEGINNING, &[Ok(answer())])[0].outcome, Outcome::Ok);
    }
}
