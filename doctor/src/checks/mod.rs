//! One check for each mistake: from what is configured and what was found to findings. Pure.
//!
//! Who stands behind something that another check has found broken says nothing but that it was not checked.

mod address;
mod center;
mod certificate;
mod clock;
mod disk;
mod dns;
mod mtu;
mod nic;
mod pair_key;
mod port;
#[cfg(test)]
mod testing;

use crate::Told;
use crate::plan::Plan;
use crate::report::{Finding, Outcome};
use crate::shell::Facts;

/// All of them, at least one finding each.
pub fn all(plan: &Plan, told: &Told, facts: &Facts) -> Vec<Finding> {
    let clock = clock::judge(facts.now, &facts.visits);
    // What is signed at a wrong time is refused for that.
    let is_right = clock.iter().all(|finding| finding.outcome < Outcome::Fault);
    let refused = told.refused.as_deref().filter(|_| is_right);
    [
        configuration(told),
        nic::judge(plan, &facts.interfaces),
        clock,
        dns::judge(&facts.names),
        center::judge(&plan.doors, &facts.visits, refused),
        certificate::judge(&plan.doors, &facts.visits),
        pair_key::judge(plan.pair.as_ref(), facts.overheard),
        disk::judge(&plan.folders, &facts.folders),
        port::judge(plan, &facts.listeners, told.daemon),
        mtu::judge(plan, &facts.interfaces, &facts.visits),
        address::judge(plan, &facts.interfaces, &facts.neighbours),
    ]
    .concat()
}

fn configuration(told: &Told) -> Vec<Finding> {
    const CHECK: &str = "configuration";
    match &told.configuration {
        None => vec![Finding::ok(CHECK, "file, secrets and authorities can be read")],
        Some(why) => {
            vec![Finding::fault(CHECK, why, "mend that, then look again: `storage-port config check`")]
        }
    }
}

/// What was found, or that all is well.
fn or_ok(findings: Vec<Finding>, ok: impl FnOnce() -> Finding) -> Vec<Finding> {
    if findings.is_empty() { vec![ok()] } else { findings }
}
