//! Whether a storage center is well, and what is not, in words. Pure.

use page_server::page::health::{Health, Reason};

use crate::cluster::mirror::status::MirrorStatus;
use crate::cluster::status::{ClusterStatus, Details, DiskDetails, ProcessStatus};

/// From so many parts of a hundred on a disk is nearly full.
const FULL_PERCENT: u64 = 95;

/// What all this says of the center.
pub fn judge(status: &ClusterStatus, mirror: Option<&MirrorStatus>) -> Health {
    let mut reasons: Vec<Reason> = status.processes.iter().flat_map(of_process).collect();
    if status.copies_owed > 0 {
        reasons.push(Reason::attention(format!(
            "{} objects have fewer copies than they should: they are being made, if there is room",
            status.copies_owed
        )));
    }
    reasons.extend(mirror.into_iter().flat_map(of_mirror));
    Health::of(reasons)
}

fn of_process(process: &ProcessStatus) -> Vec<Reason> {
    let ProcessStatus { node, address, condition, state, details, .. } = process;
    let Some(details) = details else {
        return vec![match condition.as_str() {
            "failed" => Reason::trouble(format!(
                "process {node} at {address} is away: start it, or replace its machine"
            )),
            _ => Reason::attention(format!("process {node} at {address} does not answer")),
        }];
    };
    let Details { lost_references, disks, .. } = details;
    let mut reasons: Vec<Reason> = disks.iter().flat_map(|disk| of_disk(*node, disk)).collect();
    match state.as_str() {
        "failed" => {
            reasons.push(Reason::trouble(format!("process {node} can do nothing: all its disks failed")))
        }
        "draining" => reasons.push(Reason::attention(format!("process {node} is being drained"))),
        _ => {}
    }
    if *lost_references {
        reasons.push(Reason::attention(format!(
            "process {node} lost the index of a disk: its references are compared with the directory, and nothing is removed until then"
        )));
    }
    reasons
}

fn of_disk(node: u32, disk: &DiskDetails) -> Vec<Reason> {
    let DiskDetails { path, state, reason, draining, bytes_free, bytes_total, quarantined, .. } = disk;
    let mut reasons = Vec::new();
    let why = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
    match (state.as_str(), draining) {
        ("down", _) => {
            reasons.push(Reason::trouble(format!("disk {path} of process {node} failed{why}: replace it")))
        }
        (_, true) => {
            reasons.push(Reason::attention(format!("disk {path} of process {node} is being drained")))
        }
        ("offline", false) => {
            reasons.push(Reason::trouble(format!(
                "disk {path} of process {node} takes nothing new{why}: replace it"
            )));
        }
        _ => {}
    }
    let used = bytes_total.saturating_sub(*bytes_free);
    if *bytes_total > 0 && used.saturating_mul(100) >= bytes_total.saturating_mul(FULL_PERCENT) {
        reasons.push(Reason::attention(format!("disk {path} of process {node} is nearly full")));
    }
    if *quarantined > 0 {
        reasons.push(Reason::attention(format!(
            "{quarantined} damaged objects were put aside on disk {path} of process {node}: check the disk"
        )));
    }
    reasons
}

fn of_mirror(mirror: &MirrorStatus) -> Vec<Reason> {
    let MirrorStatus { role, writer, writer_reached, witness_reached, alone, .. } = mirror;
    let mut reasons = Vec::new();
    match role.as_str() {
        "waiting" => reasons.push(Reason::trouble("nobody may change the directory now".to_owned())),
        "writer" if *alone => reasons.push(Reason::attention(
            "the directory changes here alone: no other center has the last changes".to_owned(),
        )),
        "follower" if !writer_reached => {
            reasons.push(Reason::trouble(format!(
                "the center {writer}, which changes the directory, is not reached"
            )));
        }
        _ => {}
    }
    if *witness_reached == Some(false) {
        reasons.push(Reason::attention(
            "the witness does not answer: no center takes over by itself".to_owned(),
        ));
    }
    reasons
}

#[cfg(test)]
mod tests {
    use page_server::page::health::Degree;

    use super::*;
    use crate::status_page::testing::{mirror, status};

    #[test]
    fn a_center_that_is_well_has_no_reasons() {
        assert_eq!(judge(&status(), Some(&mirror())), Health { degree: Degree::Well, reasons: Vec::new() });
    }

    fn told(change: impl FnOnce(&mut ClusterStatus, &mut MirrorStatus)) -> (Degree, String) {
        let (mut status, mut mirror) = (status(), mirror());
        change(&mut status, &mut mirror);
        let health = judge(&status, Some(&mirror));
        (health.degree, health.reasons.first().map(|worst| worst.text.clone()).unwrap_or_default())
    }

    fn disk(status: &mut ClusterStatus) -> &mut DiskDetails {
        &mut status.processes[1].details.as_mut().unwrap().disks[0]
    }

    #[test]
    fn everything_that_is_not_well_is_said() {
        type Change = fn(&mut ClusterStatus, &mut MirrorStatus);
        let cases: &[(Change, Degree, &str)] = &[
            (|status, _| status.copies_owed = 3, Degree::Attention, "3 objects"),
            (
                |status, _| status.processes[1].details = None,
                Degree::Attention,
                "process 2 at 192.0.2.2:7400 does not answer",
            ),
            (
                |status, _| {
                    (status.processes[1].details, status.processes[1].condition) = (None, "failed".into())
                },
                Degree::Trouble,
                "process 2 at 192.0.2.2:7400 is away",
            ),
            (
                |status, _| status.processes[1].state = "draining".into(),
                Degree::Attention,
                "process 2 is being drained",
            ),
            (
                |status, _| status.processes[1].state = "failed".into(),
                Degree::Trouble,
                "process 2 can do nothing",
            ),
            (
                |status, _| status.processes[1].details.as_mut().unwrap().lost_references = true,
                Degree::Attention,
                "process 2 lost the index",
            ),
            (
                |status, _| (disk(status).state, disk(status).reason) = ("down".into(), "it hangs".into()),
                Degree::Trouble,
                "/data/2 of process 2 failed (it hangs)",
            ),
            (|status, _| disk(status).state = "offline".into(), Degree::Trouble, "takes nothing new"),
            (
                |status, _| (disk(status).state, disk(status).draining) = ("offline".into(), true),
                Degree::Attention,
                "/data/2 of process 2 is being drained",
            ),
            (|status, _| disk(status).bytes_free = 5, Degree::Attention, "nearly full"),
            (|status, _| disk(status).quarantined = 2, Degree::Attention, "2 damaged objects"),
            (|_, mirror| mirror.alone = true, Degree::Attention, "here alone"),
            (|_, mirror| mirror.role = "waiting".into(), Degree::Trouble, "nobody may change"),
            (
                |_, mirror| (mirror.role, mirror.writer_reached) = ("follower".into(), false),
                Degree::Trouble,
                "the center south, which changes the directory",
            ),
            (|_, mirror| mirror.witness_reached = Some(false), Degree::Attention, "the witness"),
        ];
        for (change, degree, words) in cases {
            let (is, says) = told(change);
            assert!(is == *degree && says.contains(words), "{words}: {is:?}, {says}");
        }
        assert_eq!(told(|status, _| disk(status).bytes_free = 6).0, Degree::Well);
    }
}
