//! Whether a port is well, and what is not, in words. Pure.

use std::time::Duration;

use page_server::page::health::{Degree, Health, Reason};

use super::figures::Judge;
use crate::inspection::{CacheReport, JournalReport};
use crate::status::{PairStatus, Status};

/// What is owed for so long after its upload was to begin is more than a file that somebody writes.
const OWED_LONG: Duration = Duration::from_secs(600);
/// From so many parts of a hundred on the log is nearly full.
const LOG_FULL_PERCENT: u64 = 90;

/// What all this says of the port.
pub fn judge(status: &Status, cache: &CacheReport, journal: &JournalReport, judge: &Judge) -> Health {
    let mut reasons = center(status);
    reasons.extend(of_cache(cache));
    reasons.extend(of_journal(journal));
    reasons.extend(status.pair.as_ref().into_iter().flat_map(of_pair));
    reasons.extend(of_judge(judge));
    Health::of(reasons)
}

fn center(status: &Status) -> Vec<Reason> {
    let away = status.customers.iter().filter(|customer| !customer.is_center_reachable);
    away.map(|customer| {
        Reason::trouble(format!(
            "the storage center does not answer for customer {}: what is cached is served, writes wait in the journal",
            customer.id
        ))
    })
    .collect()
}

fn of_cache(cache: &CacheReport) -> Vec<Reason> {
    let mut reasons: Vec<_> = cache
        .disks
        .iter()
        .filter(|disk| !disk.is_in_service)
        .map(|disk| Reason::attention(format!("the cache disk {} is out of service: check it", disk.path)))
        .collect();
    if cache.corrupt > 0 {
        reasons.push(Reason::attention(format!(
            "{} cached files had wrong bytes and were fetched again: check the cache disks",
            cache.corrupt
        )));
    }
    reasons
}

fn of_journal(journal: &JournalReport) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if journal.bytes_used.saturating_mul(100) >= journal.bytes_max.saturating_mul(LOG_FULL_PERCENT) {
        reasons.push(Reason::trouble(
            "the journal is nearly full: soon clients that write must wait".to_owned(),
        ));
    }
    let long = journal.delay_seconds.saturating_add(OWED_LONG.as_secs());
    if journal.oldest_seconds.is_some_and(|seconds| seconds >= long) {
        let text = "what was to be uploaded ten minutes ago is not at the storage center yet";
        reasons.push(Reason::attention(text.to_owned()));
    }
    reasons
}

fn of_pair(pair: &PairStatus) -> Option<Reason> {
    match (pair.is_serving, pair.is_mirrored, pair.is_caught_up) {
        (true, false, _) => {
            let reason = pair.alone_because.as_ref().map_or_else(String::new, |reason| format!(" ({reason})"));
            Some(Reason::attention(format!("this port serves alone: the other one does not have its writes{reason}")))
        }
        (false, _, false) => Some(Reason::attention(
            "this port lacks writes that the other one acknowledged, and cannot take over without losing them"
                .to_owned(),
        )),
        _ => None,
    }
}

fn of_judge(judge: &Judge) -> Vec<Reason> {
    match judge {
        Judge::Unasked => Vec::new(),
        Judge::Silent(why) => vec![Reason::attention(format!("the judge of the pair is not heard: {why}"))],
        Judge::Says(status) => {
            let is_sick = status.health.score >= status.health.threshold;
            let degree = if is_sick { Degree::Trouble } else { Degree::Attention };
            status.problems.iter().map(|text| Reason { degree, text: text.clone() }).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status_page::testing::{judge_status, status};

    fn cache(is_in_service: bool, corrupt: u64) -> CacheReport {
        let disk = crate::inspection::CacheDiskReport {
            path: "/data/cache0".into(),
            is_in_service,
            bytes_used: 1,
            bytes_max: 2,
            pinned_bytes: 0,
            pinned_bytes_max: 1,
            files: 1,
        };
        CacheReport { hits: 0, misses: 0, warmed: 0, evictions: 0, corrupt, disks: vec![disk] }
    }

    fn journal(bytes_used: u64, oldest_seconds: Option<u64>) -> JournalReport {
        JournalReport {
            files: 0,
            uploading: 0,
            owed_bytes: 0,
            oldest_seconds,
            delay_seconds: 3600,
            bytes_used,
            bytes_max: 100,
        }
    }

    #[test]
    fn a_port_that_is_well_has_no_reasons() {
        let says = Judge::Says(Box::new(judge_status("active")));
        let health = judge(&status(), &cache(true, 0), &journal(89, Some(4199)), &says);
        assert_eq!(health, Health { degree: Degree::Well, reasons: Vec::new() });
    }

    #[test]
    fn everything_that_is_not_well_is_said_the_worst_first() {
        let mut status = status();
        status.customers[0].is_center_reachable = false;
        if let Some(pair) = &mut status.pair {
            pair.is_mirrored = false;
        }
        let silent = Judge::Silent("it hangs".to_owned());
        let health = judge(&status, &cache(false, 1), &journal(90, Some(4200)), &silent);
        let told: Vec<_> = health.reasons.iter().map(|reason| reason.text.as_str()).collect();
        let words =
            ["customer 1", "nearly full", "/data/cache0", "wrong bytes", "ten minutes", "alone", "hangs"];
        assert_eq!((health.degree, told.len()), (Degree::Trouble, words.len()), "{told:?}");
        for (told, word) in told.iter().zip(words) {
            assert!(told.contains(word), "{told} lacks {word}");
        }
    }

    #[test]
    fn a_sick_port_is_in_trouble_as_its_judge_says() {
        let mut sick = judge_status("active");
        sick.problems = vec!["the cache disk fails".to_owned()];
        let degree = |says: &_| {
            let says = Judge::Says(Box::new(Clone::clone(says)));
            judge(&status(), &cache(true, 0), &journal(0, None), &says).degree
        };
        assert_eq!(degree(&sick), Degree::Attention);
        sick.health.score = sick.health.threshold;
        assert_eq!(degree(&sick), Degree::Trouble);
    }
}
