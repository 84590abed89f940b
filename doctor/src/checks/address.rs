//! Whether somebody else at the LAN has this port's addresses (FO-2, FO-11).

use failover::net::interfaces::Seen;

use super::or_ok;
use crate::plan::Plan;
use crate::report::Finding;
use crate::shell::neighbours::Neighbours;

const CHECK: &str = "address";

pub(super) fn judge(
    plan: &Plan,
    interfaces: &Result<Vec<Seen>, String>,
    neighbours: &Neighbours,
) -> Vec<Finding> {
    let claims = match neighbours {
        Neighbours::Heard(claims) => claims,
        Neighbours::NotAsked(why) => return vec![Finding::not_checked(CHECK, why)],
    };
    let peer = plan.judge().map(|judge| judge.lan.peer.ip());
    let of_peer = claims.iter().find(|(address, _)| Some(*address) == peer).map(|(_, mac)| mac);
    let is_here = |address| interfaces.iter().flatten().any(|interface| interface.has(address));
    let mut findings = Vec::new();
    for (address, mac) in claims.iter().filter(|(address, _)| Some(*address) != peer) {
        let another = "give the other machine another address, or this port";
        if Some(*address) == plan.own() {
            let text = format!("this port's own {address} is that of another machine as well, {mac}");
            findings.push(Finding::fault(CHECK, text, another));
        } else if is_here(*address) {
            let text =
                format!("the floating {address} is here, and another machine answers for it, too: {mac}");
            findings.push(Finding::fault(CHECK, text, another));
        } else if of_peer.is_some_and(|peer| peer != mac) {
            let text =
                format!("the floating {address} is that of a machine which is none of the pair, {mac}");
            findings.push(Finding::fault(CHECK, text, another));
        } else if of_peer.is_none() {
            let text = format!(
                "the floating {address} is that of {mac}; the other port, which may be it, does not answer"
            );
            findings.push(Finding::warning(
                CHECK,
                text,
                "find out who that is; see to the other port's LAN address",
            ));
        }
    }
    or_ok(findings, || Finding::ok(CHECK, "nobody else at the LAN has this port's addresses"))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::checks::testing::{interface, judge as judge_file, outcome, plan};
    use crate::report::Outcome;

    const OWN: [u8; 4] = [192, 0, 2, 11];
    const PEER: [u8; 4] = [192, 0, 2, 12];
    const FLOATING: [u8; 4] = [192, 0, 2, 10];

    /// FO-2, FO-11: the peer may have the floating address, and nobody else; nobody the port's own.
    #[test]
    fn an_address_has_one_owner() {
        let plan = plan(Some(judge_file()));
        let of = |here: &[&str], claims: &[([u8; 4], &str)]| {
            let claims = claims.iter().map(|(ip, mac)| (IpAddr::from(*ip), (*mac).to_owned())).collect();
            outcome(&judge(&plan, &Ok(vec![interface("lan", here)]), &Neighbours::Heard(claims)))
        };
        let passive = ["192.0.2.11/24"];
        let active = ["192.0.2.11/24", "192.0.2.10/24"];
        assert_eq!(of(&passive, &[]), Outcome::Ok);
        assert_eq!(of(&passive, &[(PEER, "p"), (FLOATING, "p")]), Outcome::Ok);
        assert_eq!(of(&active, &[(PEER, "p")]), Outcome::Ok);
        assert_eq!(of(&passive, &[(OWN, "x")]), Outcome::Fault);
        assert_eq!(of(&active, &[(PEER, "p"), (FLOATING, "p")]), Outcome::Fault, "two owners");
        assert_eq!(of(&passive, &[(PEER, "p"), (FLOATING, "x")]), Outcome::Fault);
        assert_eq!(of(&passive, &[(FLOATING, "x")]), Outcome::Warning, "it may be the other port");
        let unasked = Neighbours::NotAsked("needs NET_RAW".into());
        assert_eq!(outcome(&judge(&plan, &Ok(Vec::new()), &unasked)), Outcome::NotChecked);
    }
}
