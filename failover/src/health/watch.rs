//! The threads that look: one for the machine, one for each disk. A shell.
//!
//! They are ordinary threads, for what they do may wait. Whoever holds the [`Watch`] holds them; a disk's thread that
//! hangs in the kernel is left behind.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::disk::{self, Pending};
use super::machine::Machine;
use super::sample::{DiskSample, Nic, Sample};
use super::smart;
use crate::config::Health as Settings;

/// How often a disk is written to.
const DISK_INTERVAL: Duration = Duration::from_secs(1);
/// A disk is asked for its own opinion once in so many probes, beginning with the first: it may have to be woken.
const PROBES_PER_SMART: u64 = 600;

/// The process id of the port, as whoever talks to it knows it; 0 for none.
pub type PortProcess = Arc<AtomicU32>;

/// Ends the threads when it is dropped.
#[derive(Debug)]
pub struct Watch {
    _stop: Vec<Sender<()>>,
}

impl Watch {
    /// Begins to look, and gives what is seen to `report`, which may wait.
    ///
    /// # Errors
    /// No more threads.
    pub fn start(
        settings: &Settings,
        nics: [(Nic, String); 3],
        port: PortProcess,
        report: impl Fn(Sample) + Clone + Send + 'static,
    ) -> io::Result<Self> {
        let mut stop = Vec::new();
        let mut disks = Vec::new();
        let smart = Arc::new(AtomicBool::new(true));
        for (place, dir) in settings.cache_disks.iter().chain(&settings.journal_disks).enumerate() {
            let (sender, stopped) = channel();
            let pending = Pending::default();
            disks.push(pending.clone());
            let (dir, report, smart) = (dir.clone(), report.clone(), Arc::clone(&smart));
            thread::Builder::new()
                .name(format!("disk {place}"))
                .spawn(move || watch_disk(place, &dir, &pending, &smart, &stopped, report))?;
            stop.push(sender);
        }
        let (sender, stopped) = channel();
        let interval = settings.interval();
        thread::Builder::new()
            .name("machine".into())
            .spawn(move || watch_machine(nics, interval, &disks, &port, &stopped, report))?;
        stop.push(sender);
        Ok(Self { _stop: stop })
    }
}

/// Waits; false if it is time to end.
fn pause(stopped: &Receiver<()>, span: Duration) -> bool {
    matches!(stopped.recv_timeout(span), Err(RecvTimeoutError::Timeout))
}

fn watch_machine(
    nics: [(Nic, String); 3],
    interval: Duration,
    disks: &[Pending],
    port: &PortProcess,
    stopped: &Receiver<()>,
    report: impl Fn(Sample),
) {
    let mut machine = Machine::new(nics);
    let mut began = Instant::now();
    while pause(stopped, interval) {
        let now = Instant::now();
        report(Sample::Lateness(now.saturating_duration_since(began).saturating_sub(interval)));
        for (place, pending) in disks.iter().enumerate() {
            if let Some(span) = pending.duration(now) {
                report(Sample::Disk(place, DiskSample::Pending(span)));
            }
        }
        let port = Some(port.load(Ordering::Relaxed)).filter(|process| *process != 0);
        machine.look(port).into_iter().for_each(&report);
        began = Instant::now();
    }
}

fn watch_disk(
    place: usize,
    dir: &Path,
    pending: &Pending,
    is_smart_there: &AtomicBool,
    stopped: &Receiver<()>,
    report: impl Fn(Sample),
) {
    for number in 0_u64.. {
        report(Sample::Disk(place, disk::probe(dir, number, pending)));
        match disk::space(dir) {
            Ok(space) => report(Sample::Disk(place, space)),
            Err(error) => tracing::debug!("room of {}: {error}", dir.display()),
        }
        if let Some(device) = disk::device(dir) {
            if let Some(errors) = disk::errors(&device) {
                report(Sample::Disk(place, errors));
            }
            if is_smart_there.load(Ordering::Relaxed) && number.is_multiple_of(PROBES_PER_SMART) {
                ask_smart(&device, is_smart_there, |sample| report(Sample::Disk(place, sample)));
            }
        }
        if !pause(stopped, DISK_INTERVAL) {
            return;
        }
    }
}

fn ask_smart(device: &Path, is_smart_there: &AtomicBool, report: impl Fn(DiskSample)) {
    match smart::ask(device) {
        Ok(answer) => answer.into_iter().for_each(report),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Told by one of the disks.
            if is_smart_there.swap(false, Ordering::Relaxed) {
                tracing::info!("smartctl is not installed: disks are not asked for their own opinion");
            }
        }
        Err(error) => tracing::warn!("smartctl {}: {error}", device.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FO-3: disks, processors, memory are watched continually.
    #[test]
    fn what_is_watched_is_reported_until_nobody_wants_it() {
        let dir = tempfile::tempdir().unwrap();
        let settings =
            Settings { interval_ms: 5, journal_disks: vec![dir.path().to_owned()], ..Settings::default() };
        let nics = Nic::ALL.map(|nic| (nic, "lo".to_owned()));
        let (sender, samples) = channel();
        let watch =
            Watch::start(&settings, nics, PortProcess::default(), move |sample| drop(sender.send(sample)));
        let mut seen = [false; 3];
        while seen != [true; 3] {
            match samples.recv_timeout(Duration::from_secs(20)).unwrap() {
                Sample::Disk(0, DiskSample::Answered(_)) => seen[0] = true,
                Sample::Memory { .. } => seen[1] = true,
                Sample::Lateness(_) => seen[2] = true,
                _ => {}
            }
        }
        drop(watch.unwrap());
        // The senders end with the threads.
        while samples.recv_timeout(Duration::from_secs(20)).is_ok() {}
        assert!(matches!(samples.try_recv(), Err(std::sync::mpsc::TryRecvError::Disconnected)));
    }
}
