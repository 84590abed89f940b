//! Medians, ratios and the table.

use crate::bench::load::{Done, Load};

/// One run of a load on a server.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// What was done.
    pub done: Done,
    /// Processor seconds of the server meanwhile.
    pub cpu_seconds: f64,
}

/// All runs of a load on one server.
#[derive(Clone, Debug, Default)]
pub struct Samples(pub Vec<Sample>);

impl Samples {
    /// Operations or MiB a second: the median.
    pub fn rate(&self, load: Load) -> f64 {
        let unit = if load.in_bytes() { f64::from(1 << 20) } else { 1.0 };
        median(self.0.iter().map(|sample| sample.done.amount / unit / sample.done.seconds))
    }

    /// Microseconds of processor time an operation, or milliseconds a MiB: the median.
    pub fn cost(&self, load: Load) -> f64 {
        let unit = if load.in_bytes() { 1e3 * f64::from(1 << 20) } else { 1e6 };
        median(self.0.iter().map(|sample| sample.cpu_seconds * unit / sample.done.amount))
    }
}

/// One line of Markdown for a load: each server's rate and cost, and ours against each peer's.
pub fn line(load: Load, servers: &[Samples]) -> String {
    let unit = if load.in_bytes() { ("MiB/s", "ms/MiB") } else { ("/s", "µs") };
    let mut cells = vec![load.title()];
    for samples in servers {
        let cell = match samples.0.is_empty() {
            true => "failed".to_owned(),
            false => {
                format!("{} {} · {} {}", short(samples.rate(load)), unit.0, short(samples.cost(load)), unit.1)
            }
        };
        cells.push(cell);
    }
    let ours = &servers[0];
    for peer in &servers[1..] {
        let cell = match ours.0.is_empty() || peer.0.is_empty() {
            true => "–".to_owned(),
            false => format!(
                "{:.2}× · {:.2}×",
                ours.rate(load) / peer.rate(load),
                peer.cost(load) / ours.cost(load)
            ),
        };
        cells.push(cell);
    }
    format!("| {} |", cells.join(" | "))
}

pub(super) fn short(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
