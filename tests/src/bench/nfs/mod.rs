//! `./bench nfs`: the storage port, nfs-ganesha (FSAL_VFS) and a bare server, work by work in turns.
//!
//! - [`work`] says what is done, and what the port shall reach.
//! - [`pipe`] is the client.
//! - [`bare`] is the limit: what a server costs that decodes and looks up nothing.
//! - [`table`] prints.

pub mod bare;
pub mod pipe;
pub mod table;
pub mod work;

use std::path::Path;
use std::time::{Duration, Instant};

use self::bare::Bare;
use self::table::{Sample, Samples};
use self::work::{FILE_BYTES, Target, Work};
use crate::bench::peers::Peer;
use crate::bench::wait_idle;
use crate::daemon::cpu_seconds;
use crate::data;
use crate::site::{PortSettings, Site};

/// A server, the processes that make it up, and what the works are done on.
struct System {
    pids: Vec<u32>,
    target: Target,
    /// Waits until nothing of a work goes on behind its last reply.
    settle: Box<dyn Fn(&Target)>,
}

impl System {
    /// A server that is done when it uses no processor.
    fn alone(pid: u32, target: Target) -> Self {
        Self { pids: vec![pid], target, settle: Box::new(move |_| wait_idle(&[pid])) }
    }

    /// One run of a work: from warm caches and an idle server to an idle server.
    fn measure(&self, work: Work) -> Samples {
        let run = || {
            let before = self.cpu_seconds();
            let done = self.target.run(work)?;
            let after = self.cpu_seconds();
            (self.settle)(&self.target);
            let cpu_seconds: Vec<f64> =
                after.iter().zip(&before).map(|(after, before)| after - before).collect();
            let behind = self.cpu_seconds().iter().sum::<f64>() - after.iter().sum::<f64>();
            Ok::<_, std::io::Error>(Sample { done, cpu_seconds, cpu_seconds_behind: behind })
        };
        match run() {
            Ok(sample) => Samples(vec![sample]),
            Err(error) => {
                eprintln!("  failed: {error}");
                Samples::default()
            }
        }
    }

    fn cpu_seconds(&self) -> Vec<f64> {
        self.pids.iter().map(|pid| cpu_seconds(*pid)).collect()
    }

    /// A storage port with its center, prepared and warm; they end with the system.
    fn ours() -> Self {
        let site = Site::start();
        let settings = PortSettings {
            cache_bytes: 4 << 30,
            journal_bytes: 4 << 30,
            // As the port has it by default.
            quiet: Duration::from_millis(200),
            ..PortSettings::default()
        };
        let port = site.port_with("port", &settings);
        let target = Target::prepare(port.nfs(), port.nfs(), "/export").unwrap();
        port.wait_uploaded(&site, &data::md5_hex(&data::bytes(1, FILE_BYTES as usize)));
        let pids = [&port.daemon, &site.center].map(|daemon| daemon.pid().as_raw_nonzero().get() as u32);
        let settle = move |target: &Target| {
            // Uploading waits for disks now and then: an idle processor alone does not end it.
            if let Some(md5) = target.written_md5() {
                port.wait_uploaded(&site, &md5);
            }
            wait_idle(&pids);
        };
        settle(&target);
        target.warm().unwrap();
        System { pids: pids.to_vec(), target, settle: Box::new(settle) }
    }
}

/// Compares, `rounds` times, the works whose titles contain `filter`, and prints the table.
pub fn compare(rounds: usize, filter: &str, scratch: &Path) {
    let works = chosen(filter);
    let ours = System::ours();
    let peer = Peer::ganesha(scratch);
    let target = Target::prepare(peer.server, peer.mount, &peer.export).unwrap();
    let theirs = System::alone(peer.pid(), target);
    theirs.target.warm().unwrap();
    let file = scratch.join("bare-file");
    std::fs::write(&file, data::bytes(1, FILE_BYTES as usize)).unwrap();
    let server = Bare::start(&file).unwrap();
    let bare = System::alone(server.pid(), Target::bare(server.server));
    // What was prepared shall not be written to the disk while something is measured.
    rustix::fs::sync();

    let mut rows: Vec<(Work, [Samples; 3])> =
        works.into_iter().map(|work| (work, Default::default())).collect();
    for round in 1..=rounds {
        for (work, row) in &mut rows {
            eprintln!("round {round} of {rounds}: {}", work.title());
            for (system, samples) in [&ours, &theirs, &bare].into_iter().zip(row) {
                if !std::ptr::eq(system, &bare) || work.is_bare() {
                    samples.0.extend(system.measure(*work).0);
                }
            }
        }
    }
    println!("{}", table::comparison(&peer.name, &rows));
}

/// Loads a port with everything in turn for `minutes`, and measures it in turns with one that was just started: a machine
/// that others use too is not the same after some minutes.
pub fn sustain(minutes: u64, rounds: usize, filter: &str) {
    let works = chosen(filter);
    let loaded = System::ours();
    eprintln!("loading for {minutes} minutes");
    let (start, end) = (Instant::now(), Duration::from_secs(60 * minutes));
    for work in Work::ALL.into_iter().cycle().take_while(|_| start.elapsed() < end) {
        loaded.target.run(work).unwrap();
    }
    (loaded.settle)(&loaded.target);
    let fresh = System::ours();
    rustix::fs::sync();

    let mut rows: Vec<(Work, [Samples; 2])> =
        works.into_iter().map(|work| (work, Default::default())).collect();
    for round in 1..=rounds {
        eprintln!("measuring, round {round} of {rounds}");
        for (work, row) in &mut rows {
            for (system, samples) in [&fresh, &loaded].into_iter().zip(row) {
                samples.0.extend(system.measure(*work).0);
            }
        }
    }
    println!("{}", table::sustained(&rows));
}

fn chosen(filter: &str) -> Vec<Work> {
    let works: Vec<Work> = Work::ALL.into_iter().filter(|work| work.title().contains(filter)).collect();
    assert!(!works.is_empty(), "no row has {filter:?} in its title");
    works
}
