//! What was measured, as Markdown, with each goal met or missed.

use super::work::{Unit, Work};
use crate::bench::load::Done;
use crate::bench::report::{median, short};

/// One run of a work on one system.
#[derive(Clone, Debug)]
pub struct Sample {
    /// What was done.
    pub done: Done,
    /// Processor seconds meanwhile of each of the system's processes.
    pub cpu_seconds: Vec<f64>,
    /// Processor seconds of all of them from the last reply until they were idle.
    pub cpu_seconds_behind: f64,
}

/// All runs of a work on one system.
#[derive(Clone, Debug, Default)]
pub struct Samples(pub Vec<Sample>);

/// Less than this part of a system's processor time is not worth a word.
const NOTEWORTHY: f64 = 0.02;

impl Samples {
    /// The median rate, in the work's unit.
    pub fn rate(&self, work: Work) -> f64 {
        median(self.0.iter().map(|sample| sample.done.amount / rate_unit(work) / sample.done.seconds))
    }

    /// The median processor time of all processes, in the work's unit.
    pub fn cost(&self, work: Work) -> f64 {
        self.cost_of(work, |sample| sample.cpu_seconds.iter().sum())
    }

    fn cost_of(&self, work: Work, seconds: impl Fn(&Sample) -> f64) -> f64 {
        median(self.0.iter().map(|sample| seconds(sample) * cost_unit(work) / sample.done.amount))
    }

    /// Rate and processor time; of several processes the parts, and what was done behind the last reply.
    pub fn cell(&self, work: Work, processes: &[&str]) -> String {
        if self.0.is_empty() {
            return "failed".into();
        }
        let (rate_name, cost_name) = match work.unit() {
            Unit::Calls | Unit::Listings => ("/s", "µs"),
            Unit::Bytes => ("MiB/s", "s/GiB"),
        };
        let cost = self.cost(work);
        let mut notes = Vec::new();
        let part = |index: usize| self.cost_of(work, |sample| sample.cpu_seconds[index]);
        if (1..processes.len()).any(|index| part(index) > NOTEWORTHY * cost) {
            let parts = processes.iter().enumerate();
            notes.extend(parts.map(|(index, name)| format!("{name} {}", short(part(index)))));
        }
        let behind = self.cost_of(work, |sample| sample.cpu_seconds_behind);
        if work.unit() == Unit::Bytes && behind > 0.1 * cost {
            notes.push(format!("afterwards {}", short(behind)));
        }
        let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join(", ")) };
        format!("{} {rate_name} · {} {cost_name}{notes}", short(self.rate(work)), short(cost))
    }
}

/// The whole comparison: `[port, peer, bare]` for each row.
pub fn comparison(peer: &str, rows: &[(Work, [Samples; 3])]) -> String {
    let mut lines = vec![
        format!(
            "| work | storage port | {peer} | bare | port ÷ Ganesha: rate · CPU | port ÷ bare: rate | goals |"
        ),
        format!("|{}", "---|".repeat(7)),
    ];
    for (work, [port, peer, bare]) in rows {
        let rates = [port, peer, bare].map(|samples| samples.rate(*work));
        let costs = [port, peer].map(|samples| samples.cost(*work));
        let [ratio, cost_ratio, bare_ratio] =
            [rates[0] / rates[1], costs[0] / costs[1], rates[0] / rates[2]].map(times);
        let bare = if work.is_bare() { bare.cell(*work, &[]) } else { "–".into() };
        lines.push(format!(
            "| {} | {} | {} | {bare} | {ratio} · {cost_ratio} | {bare_ratio} | {} |",
            work.title(),
            port.cell(*work, &["port", "center"]),
            peer.cell(*work, &[]),
            judgement(*work, rates, costs),
        ));
    }
    lines.join("\n")
}

/// The same rates of a port that was just started and of one after a long load.
pub fn sustained(rows: &[(Work, [Samples; 2])]) -> String {
    let mut lines = vec![
        "| work | just started | after the load | after ÷ just started: rate · CPU |".into(),
        "|---|---|---|---|".into(),
    ];
    for (work, [fresh, loaded]) in rows {
        lines.push(format!(
            "| {} | {} | {} | {} · {} |",
            work.title(),
            fresh.cell(*work, &["port", "center"]),
            loaded.cell(*work, &["port", "center"]),
            times(loaded.rate(*work) / fresh.rate(*work)),
            times(loaded.cost(*work) / fresh.cost(*work)),
        ));
    }
    lines.join("\n")
}

/// Each goal of a row, and whether it is met. `rates` are of port, peer and bare server, `costs` of port and peer.
fn judgement(work: Work, rates: [f64; 3], costs: [f64; 2]) -> String {
    let goal = work.goal();
    let unit = if work.unit() == Unit::Bytes { "s/GiB" } else { "µs" };
    let at_most = |bound: Option<f64>, value: f64, name: &str| {
        bound.map(|bound| format!("≤ {bound} {name}: {}", verdict(value <= bound)))
    };
    let at_least = |bound: Option<f64>, value: f64, name: &str| {
        bound.map(|bound| format!("≥ {bound} × {name}: {}", verdict(value >= bound)))
    };
    let goals = [
        at_most(goal.cost_max, costs[0], unit),
        at_most(goal.cost_ratio_max, costs[0] / costs[1], "× CPU"),
        at_least(goal.rate_ratio_min, rates[0] / rates[1], "rate"),
        at_least(goal.bare_ratio_min, rates[0] / rates[2], "bare rate"),
    ];
    let goals: Vec<String> = goals.into_iter().flatten().collect();
    if goals.is_empty() { "–".into() } else { goals.join("; ") }
}

/// A comparison with what was not measured is no success.
fn verdict(is_met: bool) -> &'static str {
    if is_met { "met" } else { "**missed**" }
}

fn times(ratio: f64) -> String {
    if ratio.is_nan() { "–".into() } else { format!("{ratio:.2}×") }
}

/// Amount of one unit of rate.
fn rate_unit(work: Work) -> f64 {
    match work.unit() {
        Unit::Calls => 1.0,
        Unit::Listings => f64::from(64 << 10),
        Unit::Bytes => f64::from(1 << 20),
    }
}

/// Turns seconds for each of an amount into the unit of cost.
fn cost_unit(work: Work) -> f64 {
    match work.unit() {
        Unit::Calls => 1e6,
        Unit::Listings => 1e6 * f64::from(64 << 10),
        Unit::Bytes => f64::from(1 << 30),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(amount: f64, seconds: f64, cpu_seconds: f64) -> Samples {
        let done = Done { amount, seconds };
        Samples(vec![Sample { done, cpu_seconds: vec![cpu_seconds], cpu_seconds_behind: 0.0 }])
    }

    #[test]
    fn costs_and_rates_stand_in_the_units_of_their_row() {
        let calls = samples(1e6, 2.0, 4.0);
        let cell = calls.cell(Work::Getattr(64), &["port"]);
        assert_eq!(cell, "500000 /s · 4.00 µs");
        let gibibyte = samples(f64::from(1 << 30), 2.0, 0.25);
        assert_eq!(
            gibibyte.cell(Work::Read { bytes: 1 << 20, window: 8 }, &["port"]),
            "512 MiB/s · 0.25 s/GiB"
        );
        let listings = samples(10.0 * 65_536.0, 1.0, 0.001);
        assert_eq!(listings.cell(Work::ReadDirPlus, &["port"]), "10.0 /s · 100 µs");
    }

    #[test]
    fn a_goal_is_met_or_missed_by_its_own_bound() {
        let work = Work::Read { bytes: 1 << 20, window: 8 };
        let judged = |rates, costs| judgement(work, rates, costs);
        assert_eq!(
            judged([1500.0, 1000.0, 1900.0], [0.36, 0.5]),
            "≤ 0.35 s/GiB: **missed**; ≥ 1.5 × rate: met; ≥ 0.8 × bare rate: **missed**"
        );
        assert!(judged([1500.0, f64::NAN, 1600.0], [0.3, 0.5]).contains("≥ 1.5 × rate: **missed**"));
        assert_eq!(judgement(Work::Null(64), [1.0; 3], [1.0; 2]), "–");
    }
}
