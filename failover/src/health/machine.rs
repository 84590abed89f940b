//! Looking at the machine: processors, memory, sensors, NICs, and the port's threads. A shell.

use std::fs;
use std::num::NonZero;
use std::path::Path;
use std::thread::available_parallelism;

use sysinfo::{Components, Networks, System};

use super::sample::{Nic, Sample};

/// Threads of the port that are looked at; it has some dozens.
const THREADS_MAX: usize = 4096;

/// What stays between two looks.
pub(super) struct Machine {
    system: System,
    sensors: Components,
    networks: Networks,
    nics: [(Nic, String); 3],
}

impl Machine {
    /// With the names of the three NICs.
    pub(super) fn new(nics: [(Nic, String); 3]) -> Self {
        let (sensors, networks) =
            (Components::new_with_refreshed_list(), Networks::new_with_refreshed_list());
        Self { system: System::new(), sensors, networks, nics }
    }

    /// One look. `port` is the port's process, if it runs.
    pub(super) fn look(&mut self, port: Option<u32>) -> Vec<Sample> {
        self.system.refresh_memory();
        self.sensors.refresh(false);
        self.networks.refresh(false);
        let cores = available_parallelism().map_or(1, NonZero::get);
        let mut samples = vec![
            Sample::Load(System::load_average().one / cores as f64),
            Sample::Memory { available: self.system.available_memory(), total: self.system.total_memory() },
            Sample::Sleeping(port.map(sleeping).unwrap_or_default()),
        ];
        samples.extend(self.hottest());
        for (nic, name) in &self.nics {
            if let Some(seen) = self.networks.get(name) {
                let errors =
                    seen.total_errors_on_received().saturating_add(seen.total_errors_on_transmitted());
                samples.push(Sample::NicErrors(*nic, errors));
            }
        }
        samples
    }

    /// The sensor nearest to its limit.
    fn hottest(&self) -> Option<Sample> {
        let measured = self.sensors.iter().filter_map(|sensor| {
            let celsius = sensor.temperature().filter(|celsius| celsius.is_finite())?;
            // Some drivers have 0 for "no limit".
            let critical = sensor.critical().filter(|limit| *limit > 1.0);
            Some(Sample::Temperature { sensor: sensor.label().to_owned(), celsius, critical })
        });
        let share = |sample: &Sample| match sample {
            Sample::Temperature { celsius, critical, .. } => celsius / critical.unwrap_or(100.0),
            _ => 0.0,
        };
        measured.max_by(|left, right| share(left).total_cmp(&share(right)))
    }
}

/// The threads of a process that are in an uninterruptible sleep (state D).
fn sleeping(process: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(Path::new("/proc").join(process.to_string()).join("task")) else {
        return Vec::new();
    };
    let in_state_d = |task: fs::DirEntry| {
        let stat = fs::read_to_string(task.path().join("stat")).ok()?;
        is_uninterruptible(&stat).then(|| task.file_name().to_str()?.parse().ok()).flatten()
    };
    tasks.take(THREADS_MAX).filter_map(|task| in_state_d(task.ok()?)).collect()
}

/// The state stands behind the name, which is in parentheses and may hold any character (proc_pid_stat(5)).
fn is_uninterruptible(stat: &str) -> bool {
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('D'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FO-3: processors and memory of a real machine, and the threads of a real process.
    #[test]
    fn a_look_sees_load_memory_threads_and_nics() {
        let nics = [(Nic::Heartbeat, "none".into()), (Nic::Lan, "lo".into()), (Nic::Wan, "none".into())];
        let samples = Machine::new(nics).look(Some(std::process::id()));
        let memory = samples.iter().any(|sample| {
            matches!(sample, Sample::Memory { available, total } if *available > 0 && available <= total)
        });
        assert!(memory, "{samples:?}");
        assert!(samples.iter().any(|sample| matches!(sample, Sample::Load(load) if *load >= 0.0)));
        assert!(samples.iter().any(|sample| matches!(sample, Sample::Sleeping(_))));
        let errors: Vec<_> =
            samples.iter().filter(|sample| matches!(sample, Sample::NicErrors(..))).collect();
        assert_eq!(errors, [&Sample::NicErrors(Nic::Lan, 0)]);
    }

    #[test]
    fn a_name_cannot_pretend_a_state() {
        assert!(is_uninterruptible("7 (a) D 1"));
        assert!(is_uninterruptible("7 (a) S (b) D 1"));
        assert!(!is_uninterruptible("7 (a) D 1) S 1"));
        assert!(!is_uninterruptible(""));
    }
}
