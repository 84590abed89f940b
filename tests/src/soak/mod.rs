//! A long run under mixed load: nothing grows, nothing fails, every byte read is the one that was written.
//!
//! - [`client`] is one client and what it expects of its own folder.
//! - [`locking`] takes and gives back locks.
//! - [`watch`] samples the processes, and says whether they grew.

pub mod client;
pub mod locking;
pub mod watch;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use self::client::{Client, Count};
use self::watch::{Growth, Margins, Process};
use crate::mount::Mount;
use crate::poll;
use crate::rpc::Credential;
use crate::site::{Port, Site};

/// The last uploads may take so long.
const SETTLE_MAX: Duration = Duration::from_secs(120);

/// How a run goes.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How long the load lasts.
    pub duration: Duration,
    /// Clients at once, each with a folder of its own.
    pub clients: u64,
    /// A client's pause between two operations: the same load on any machine, and a bounded use of its disk.
    pub pause: Duration,
    /// Between two samples.
    pub sample_every: Duration,
    /// How much the end may be above the beginning.
    pub margins: Margins,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    plan: Plan,
    counts: BTreeMap<&'static str, Count>,
    growths: Vec<Growth>,
    /// What went wrong; empty for a good run.
    pub failures: Vec<String>,
}

/// Puts load on the port of a site, watches both processes, and compares everything at the end.
pub fn run(site: &Site, port: &Port, plan: Plan) -> Report {
    let is_over = AtomicBool::new(false);
    let mut processes = [Process::new("port", port.daemon.pid()), Process::new("center", site.center.pid())];
    let results: Vec<_> = thread::scope(|scope| {
        let clients: Vec<_> = (0..plan.clients)
            .map(|number| {
                let is_over = &is_over;
                scope.spawn(move || load(port, number, plan.pause, is_over))
            })
            .collect();
        let start = Instant::now();
        while start.elapsed() < plan.duration && !clients.iter().any(|client| client.is_finished()) {
            processes.iter_mut().for_each(|process| process.sample(start.elapsed()));
            poll::pause(plan.sample_every.min(plan.duration.saturating_sub(start.elapsed())));
        }
        is_over.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join()).collect()
    });
    let mut failures = Vec::new();
    let mut counts = BTreeMap::<_, Count>::new();
    for result in results {
        match result {
            Ok(Ok(counted)) => {
                counted.into_iter().for_each(|(what, count)| counts.entry(what).or_default().add(&count));
            }
            Ok(Err(failure)) => failures.push(failure),
            Err(_) => failures.push("a client's call was not answered (see above)".to_owned()),
        }
    }
    let growths: Vec<_> = processes.iter().flat_map(|process| process.growths(&plan.margins)).collect();
    failures.extend(
        growths.iter().filter(|growth| growth.is_too_much()).map(|growth| format!("grown: {growth}")),
    );
    if let Err(text) = settled(site) {
        failures.push(format!("references and rows of the center differ: {text}"));
    }
    Report { plan, counts, growths, failures }
}

/// Waits until the center's references and rows agree: the last uploads are under way when the load ends.
fn settled(site: &Site) -> Result<(), String> {
    let end = Instant::now() + SETTLE_MAX;
    loop {
        match site.check() {
            (true, _) => return Ok(()),
            (false, text) if Instant::now() > end => return Err(text),
            (false, _) => poll::pause(Duration::from_secs(1)),
        }
    }
}

fn load(
    port: &Port,
    number: u64,
    pause: Duration,
    is_over: &AtomicBool,
) -> Result<BTreeMap<&'static str, Count>, String> {
    let mut client = Client::start(port, number)?;
    while !is_over.load(Ordering::Relaxed) {
        client.step()?;
        poll::pause(pause);
    }
    client.compare(Mount::new(port.nfs(), "/export", Credential::root()).map_err(|error| error.to_string())?)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.plan.duration.as_secs_f64();
        writeln!(f, "{} clients for {:.1} minutes\n", self.plan.clients, seconds / 60.0)?;
        writeln!(f, "| operation | done | a second | mean | longest |\n|---|---|---|---|---|")?;
        for (what, count) in &self.counts {
            let Count { done, total, longest } = count;
            let mean = total.as_secs_f64() * 1e3 / (*done).max(1) as f64;
            let (rate, longest) = (*done as f64 / seconds, longest.as_secs_f64() * 1e3);
            writeln!(f, "| {what} | {done} | {rate:.1} | {mean:.2} ms | {longest:.0} ms |")?;
        }
        writeln!(
            f,
            "\n| what | first third, median | last third, median | highest | slope an hour | may grow to |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|")?;
        for growth in &self.growths {
            writeln!(f, "{}", growth.row())?;
        }
        match self.failures.as_slice() {
            [] => write!(f, "\nNothing grew, nothing failed, every byte was right."),
            failures => write!(f, "\nFAILED:\n{}", failures.join("\n")),
        }
    }
}
