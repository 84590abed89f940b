//! Whether packets of full size go where they must.
//!
//! To the storage center it is tried: what answers a small question and not one of several packets is behind a way that
//! loses large packets without a word. Of the clients' LAN there is nobody to try it with, so a size below the usual is
//! told and left to the operator.

use failover::net::interfaces::Seen;

use super::or_ok;
use crate::plan::Plan;
use crate::report::Finding;
use crate::shell::center::Visit;
use crate::shell::neighbours::lan;

const CHECK: &str = "mtu";
/// Ethernet's.
const USUAL: u32 = 1500;

pub(super) fn judge(plan: &Plan, interfaces: &Result<Vec<Seen>, String>, visits: &[Visit]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let seen = interfaces.as_deref().unwrap_or_default();
    if let Some(lan) = lan(plan, seen)
        && lan.mtu < USUAL
    {
        findings.push(Finding::warning(
            CHECK,
            format!(
                "{}: packets of {} bytes at most, and clients of an Ethernet send {USUAL}",
                lan.name, lan.mtu
            ),
            format!("`ip link set {} mtu {USUAL}`, or the same size on every host of the LAN", lan.name),
        ));
    }
    let narrow = |visit: &&Visit| matches!(visit, Ok(answer) if answer.heard_large == Some(false));
    let narrow = plan.doors.iter().zip(visits).filter(|(_, visit)| narrow(visit)).map(|(door, _)| {
        Finding::fault(
            CHECK,
            format!("{}: answers a small question, and not one of several packets of full size", door.url),
            "lower the MTU of the WAN's interface to what the way takes (1400 behind most tunnels), or let ICMP \
             \"fragmentation needed\" through",
        )
    });
    findings.extend(narrow);
    or_ok(findings, || {
        let tried = visits.iter().filter_map(|visit| visit.as_ref().ok());
        if tried.clone().all(|answer| answer.heard_large.is_none()) {
            return Finding::not_checked(
                CHECK,
                "no storage center answered, so that packets of full size could be tried",
            );
        }
        match tried.filter_map(|answer| answer.mtu).min() {
            Some(mtu) => Finding::ok(CHECK, format!("packets of {mtu} bytes reach the storage center")),
            None => Finding::ok(CHECK, "packets of full size reach the storage center"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{answer, interface, judge as judge_file, outcome, plan};
    use crate::report::Outcome;
    use crate::shell::center::{Answer, Trouble};

    #[test]
    fn large_packets_are_tried_at_the_center_and_looked_up_on_the_lan() {
        let plan = plan(Some(judge_file()));
        let with = |mtu| Ok(vec![Seen { mtu, ..interface("lan", &["192.0.2.11/24"]) }]);
        let of =
            |mtu, heard_large| outcome(&judge(&plan, &with(mtu), &[Ok(Answer { heard_large, ..answer() })]));
        assert_eq!(of(1500, Some(true)), Outcome::Ok);
        assert_eq!(of(9000, Some(true)), Outcome::Ok);
        assert_eq!(of(1499, Some(true)), Outcome::Warning);
        assert_eq!(of(1500, Some(false)), Outcome::Fault);
        assert_eq!(of(1500, None), Outcome::NotChecked);
        assert_eq!(outcome(&judge(&plan, &with(1500), &[Err(Trouble::Name)])), Outcome::NotChecked);
    }
}
