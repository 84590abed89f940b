//! From samples to a score with its reasons (FO-3, FO-5). Pure: it is told the time.
//!
//! | sample | wrong when | weight |
//! |---|---|---|
//! | load, lateness | over its limit for `overload_seconds` without a pause | `processor`, once |
//! | sleeping threads | one and the same for `hung_seconds` | `hung_threads`, once |
//! | memory | less than `memory_available_percent` is available | `memory` |
//! | temperature | over the sensor's own limit, or `celsius` | `temperature` |
//! | disk | a probe takes longer than `disk_probe_ms`, fails, an I/O error in the last minute, SMART | `cache_disk` or `journal_disk`, once for each |
//! | disk's room | less than `disk_free_percent` | `disk_full`, each |
//! | NIC | no carrier, or more than `nic_errors_per_minute` | `nic`, each |
//!
//! What ends by itself ends here with the next good sample; a disk is well again after a minute of good ones.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

use super::sample::{DiskSample, Nic, Sample};
use crate::config::{Health as Settings, Limits, Weights};
use crate::machine::event::Reason;
use crate::machine::time::Time;

/// Over how long errors are counted, and how long a disk that failed is under suspicion.
const MINUTE: Duration = Duration::from_secs(60);
/// A counter's values that are kept: one each time it changed, of the last minute.
const COUNTS_MAX: usize = 64;
/// Threads that are watched.
const THREADS_MAX: usize = 256;

/// What is known of this machine.
#[derive(Debug)]
pub struct Judgement {
    weights: Weights,
    limits: Limits,
    load: Sustained,
    lateness: Sustained,
    sleeping: BTreeMap<u32, Time>,
    memory: Option<u64>,
    hot: Option<String>,
    disks: Vec<Disk>,
    nics: BTreeMap<Nic, NicState>,
}

#[derive(Debug)]
struct Disk {
    name: String,
    kind: &'static str,
    weight: u32,
    /// Why it failed last, and when.
    fault: Option<(Time, String)>,
    free_percent: Option<u64>,
    errors: Counter,
    is_dying: bool,
}

#[derive(Debug, Default)]
struct NicState {
    is_unplugged: bool,
    errors: Counter,
}

/// Something that must not last: since when it does.
#[derive(Debug, Default)]
struct Sustained(Option<Time>);

impl Sustained {
    fn take(&mut self, is_over: bool, now: Time) {
        self.0 = if is_over { self.0.or(Some(now)) } else { None };
    }

    fn lasts(&self, at_least: Duration, now: Time) -> bool {
        self.0.is_some_and(|since| now.since(since) >= at_least)
    }
}

/// A counter that only grows, and what it was in the last minute.
#[derive(Debug, Default)]
struct Counter(VecDeque<(Time, u64)>);

impl Counter {
    fn take(&mut self, count: u64, now: Time) {
        // One value older than a minute stays: the growth is measured from it.
        while self.0.get(1).is_some_and(|(when, _)| now.since(*when) > MINUTE) || self.0.len() >= COUNTS_MAX {
            self.0.pop_front();
        }
        match self.0.back() {
            // A device that was taken out and put in again counts from zero.
            Some((_, last)) if count < *last => self.0.clear(),
            Some((_, last)) if count == *last => return,
            _ => {}
        }
        self.0.push_back((now, count));
    }

    /// How much it grew in the last minute.
    fn growth(&self, now: Time) -> u64 {
        let Some((_, last)) = self.0.back() else { return 0 };
        let before = self.0.iter().rev().find(|(when, _)| now.since(*when) > MINUTE).or(self.0.front());
        last - before.map_or(*last, |(_, count)| *count)
    }
}

impl Judgement {
    /// Nothing is known yet, and so nothing is wrong. Disks are numbered in the order cache disks, journal disks.
    pub fn new(settings: &Settings) -> Self {
        let disk = |what: &str, kind, weight, path: &PathBuf| Disk {
            name: format!("{what} disk {}", path.display()),
            kind,
            weight,
            fault: None,
            free_percent: None,
            errors: Counter::default(),
            is_dying: false,
        };
        let Settings { weights, limits, cache_disks, journal_disks, .. } = settings;
        let caches = cache_disks.iter().map(|path| disk("cache", "cache_disk", weights.cache_disk, path));
        let journals =
            journal_disks.iter().map(|path| disk("journal", "journal_disk", weights.journal_disk, path));
        Self {
            weights: weights.clone(),
            limits: limits.clone(),
            load: Sustained::default(),
            lateness: Sustained::default(),
            sleeping: BTreeMap::new(),
            memory: None,
            hot: None,
            disks: caches.chain(journals).collect(),
            nics: BTreeMap::new(),
        }
    }

    /// Takes one sample.
    pub fn take(&mut self, sample: Sample, now: Time) {
        match sample {
            Sample::Load(per_core) => self.load.take(per_core > f64::from(self.limits.load_per_core), now),
            Sample::Lateness(late) => self.lateness.take(late > self.limits.lateness(), now),
            Sample::Sleeping(threads) => {
                self.sleeping.retain(|thread, _| threads.contains(thread));
                for thread in threads.into_iter().take(THREADS_MAX) {
                    self.sleeping.entry(thread).or_insert(now);
                }
            }
            Sample::Memory { available, total } => self.memory = percent(available, total),
            Sample::Temperature { sensor, celsius, critical } => {
                let limit = critical.unwrap_or(self.limits.celsius as f32);
                self.hot =
                    (celsius >= limit).then(|| format!("{sensor} is at {celsius:.0} °C, of {limit:.0}"));
            }
            Sample::Disk(place, sample) => {
                let limit = self.limits.disk_probe();
                if let Some(disk) = self.disks.get_mut(place) {
                    disk.take(sample, limit, now);
                }
            }
            Sample::NicErrors(nic, count) => self.nics.entry(nic).or_default().errors.take(count, now),
            Sample::Carrier(nic, has_carrier) => {
                self.nics.entry(nic).or_default().is_unplugged = !has_carrier;
            }
        }
    }

    /// The sum of the weights of what is wrong, and what that is.
    pub fn verdict(&self, now: Time) -> (u32, Vec<Reason>) {
        let (weights, limits) = (&self.weights, &self.limits);
        let mut reasons = Vec::new();
        let mut blame = |kind, weight, text| reasons.push(Reason { weight, kind, text });
        if self.load.lasts(limits.overload(), now) {
            let (most, seconds) = (limits.load_per_core, limits.overload_seconds);
            blame(
                "processor",
                weights.processor,
                format!("more than {most} threads for each processor for {seconds} s"),
            );
        } else if self.lateness.lasts(limits.overload(), now) {
            let (most, seconds) = (limits.lateness_ms, limits.overload_seconds);
            blame(
                "processor",
                weights.processor,
                format!("threads are woken more than {most} ms late for {seconds} s"),
            );
        }
        let hung = self.sleeping.values().filter(|since| now.since(**since) >= limits.hung()).count();
        if hung > 0 {
            let seconds = limits.hung_seconds;
            blame(
                "hung_threads",
                weights.hung_threads,
                format!("{hung} threads of the port hang in the kernel for {seconds} s"),
            );
        }
        if let Some(left) = self.memory.filter(|left| *left < u64::from(limits.memory_available_percent)) {
            blame("memory", weights.memory, format!("{left} % of the memory are available"));
        }
        if let Some(hot) = &self.hot {
            blame("temperature", weights.temperature, hot.clone());
        }
        for disk in &self.disks {
            if let Some(why) = disk.wrong(now) {
                blame(disk.kind, disk.weight, format!("{}: {why}", disk.name));
            }
            if let Some(free) = disk.free_percent.filter(|free| *free < u64::from(limits.disk_free_percent)) {
                blame("disk_full", weights.disk_full, format!("{}: {free} % are free", disk.name));
            }
        }
        for (nic, state) in &self.nics {
            let errors = state.errors.growth(now);
            if state.is_unplugged {
                blame("nic", weights.nic, format!("{nic} NIC: no carrier"));
            } else if errors > u64::from(limits.nic_errors_per_minute) {
                blame("nic", weights.nic, format!("{nic} NIC: {errors} errors in a minute"));
            }
        }
        let score = reasons.iter().fold(0_u32, |score, reason| score.saturating_add(reason.weight));
        (score, reasons)
    }
}

impl Disk {
    fn take(&mut self, sample: DiskSample, limit: Duration, now: Time) {
        match sample {
            DiskSample::Answered(took) | DiskSample::Pending(took) if took > limit => {
                self.fault = Some((now, format!("a probe took over {:.1} s", limit.as_secs_f64())));
            }
            DiskSample::Answered(_) => {
                self.fault = self.fault.take().filter(|(when, _)| now.since(*when) < MINUTE);
            }
            DiskSample::Pending(_) => {}
            DiskSample::Failed(why) => self.fault = Some((now, why)),
            DiskSample::Space { free, total } => self.free_percent = percent(free, total),
            DiskSample::Errors(count) => self.errors.take(count, now),
            DiskSample::Smart { passed } => self.is_dying = !passed,
        }
    }

    fn wrong(&self, now: Time) -> Option<String> {
        if let Some((_, why)) = &self.fault {
            return Some(why.clone());
        }
        match self.errors.growth(now) {
            0 => self.is_dying.then(|| "SMART: it expects to fail".to_owned()),
            errors => Some(format!("{errors} I/O errors in a minute")),
        }
    }
}

fn percent(part: u64, whole: u64) -> Option<u64> {
    part.saturating_mul(100).checked_div(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time(1_000_000_000) + Duration::from_secs(seconds)
    }

    fn judgement() -> Judgement {
        let (cache_disks, journal_disks) = (vec!["/c0".into(), "/c1".into()], vec!["/j".into()]);
        Judgement::new(&Settings { cache_disks, journal_disks, ..Settings::default() })
    }

    fn said(judgement: &Judgement, now: Time) -> (u32, String) {
        let (score, reasons) = judgement.verdict(now);
        (score, reasons.into_iter().map(|reason| reason.text).collect::<Vec<_>>().join("; "))
    }

    /// FO-5: a set number of failed disks.
    #[test]
    fn two_cache_disks_or_the_journals_come_to_the_threshold_and_one_cache_disk_does_not() {
        let threshold = Settings::default().threshold;
        let mut judgement = judgement();
        assert_eq!(said(&judgement, at(0)), (0, String::new()));
        judgement.take(Sample::Disk(0, DiskSample::Failed("Input/output error".into())), at(0));
        let (score, reasons) = said(&judgement, at(0));
        assert!(score < threshold && reasons == "cache disk /c0: Input/output error", "{score} {reasons}");
        judgement.take(Sample::Disk(1, DiskSample::Pending(Duration::from_secs(3))), at(0));
        let (score, reasons) = said(&judgement, at(0));
        assert!(
            score >= threshold && reasons.contains("cache disk /c1: a probe took over 2.0 s"),
            "{reasons}"
        );
        let mut journal = self::judgement();
        journal.take(Sample::Disk(2, DiskSample::Smart { passed: false }), at(0));
        assert!(journal.verdict(at(0)).0 >= threshold);
    }

    #[test]
    fn a_disk_is_well_after_a_minute_without_a_fault() {
        let mut judgement = judgement();
        judgement.take(Sample::Disk(0, DiskSample::Failed("no".into())), at(0));
        judgement.take(Sample::Disk(0, DiskSample::Answered(Duration::from_millis(3))), at(10));
        assert_eq!(said(&judgement, at(10)).0, 50, "it may be in between two faults");
        judgement.take(Sample::Disk(0, DiskSample::Answered(Duration::from_millis(3))), at(61));
        assert_eq!(said(&judgement, at(61)).0, 0);
    }

    /// FO-3: the processor. A short overload is no illness.
    #[test]
    fn overload_counts_when_it_lasts_without_a_pause() {
        let mut judgement = judgement();
        for second in 0..60 {
            judgement.take(Sample::Load(30.0), at(second));
        }
        assert_eq!(said(&judgement, at(59)).0, 0);
        let (score, reasons) = said(&judgement, at(60));
        assert!(score == 30 && reasons.contains("20 threads"), "{score} {reasons}");
        judgement.take(Sample::Load(1.0), at(61));
        judgement.take(Sample::Load(30.0), at(62));
        assert_eq!(said(&judgement, at(90)).0, 0);
    }

    #[test]
    fn a_thread_hangs_if_it_is_the_same_one_all_the_time() {
        let mut judgement = judgement();
        for second in 0..40 {
            judgement.take(Sample::Sleeping(vec![7, 100 + second]), at(u64::from(second)));
        }
        let (score, reasons) = said(&judgement, at(39));
        assert!(score == 50 && reasons.starts_with("1 threads"), "{score} {reasons}");
        judgement.take(Sample::Sleeping(vec![]), at(40));
        assert_eq!(said(&judgement, at(40)).0, 0);
    }

    #[test]
    fn counters_count_by_their_growth_in_a_minute() {
        let mut judgement = judgement();
        judgement.take(Sample::NicErrors(Nic::Lan, 1_000_000), at(0));
        judgement.take(Sample::Disk(2, DiskSample::Errors(5)), at(0));
        assert_eq!(said(&judgement, at(0)).0, 0, "what was before is not known to be new");
        judgement.take(Sample::NicErrors(Nic::Lan, 1_000_601), at(10));
        judgement.take(Sample::Disk(2, DiskSample::Errors(6)), at(10));
        let (score, reasons) = said(&judgement, at(20));
        assert_eq!(
            (score, reasons.as_str()),
            (120, "journal disk /j: 1 I/O errors in a minute; LAN NIC: 601 errors in a minute")
        );
        assert_eq!(said(&judgement, at(90)).0, 0);
    }

    #[test]
    fn memory_room_heat_and_carrier_are_told_with_their_numbers() {
        let mut judgement = judgement();
        judgement.take(Sample::Memory { available: 1 << 20, total: 1 << 30 }, at(0));
        judgement.take(Sample::Disk(1, DiskSample::Space { free: 0, total: 100 }), at(0));
        let sensor = "Package".to_owned();
        judgement.take(Sample::Temperature { sensor, celsius: 101.0, critical: Some(100.0) }, at(0));
        judgement.take(Sample::Carrier(Nic::Wan, false), at(0));
        let (score, reasons) = said(&judgement, at(0));
        assert_eq!(score, 50 + 20 + 50 + 20);
        for part in ["0 % of the memory", "/c1: 0 % are free", "Package is at 101 °C", "WAN NIC: no carrier"]
        {
            assert!(reasons.contains(part), "{reasons} lacks {part}");
        }
    }
}
