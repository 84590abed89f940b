//! What was measured, as Markdown, with each goal met or missed.

use super::work::{Unit, Work};
use crate::bench::load::Done;
use crate::bench::report::{median, short};

/// One run of a work.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// What was done.
    pub done: Done,
    /// Processor seconds meanwhile of all processes that did it; `None` where that says nothing.
    pub cpu_seconds: Option<f64>,
}

/// All runs of a work on one system.
#[derive(Clone, Debug, Default)]
pub struct Samples(pub Vec<Sample>);

/// A row with what was measured: the center, and what stands beside it under its name.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was done.
    pub work: Work,
    /// By the center.
    pub ours: Samples,
    /// By the other.
    pub beside: Samples,
    /// Who that is; `None` where there is nobody.
    pub beside_name: Option<String>,
}

impl Samples {
    /// The median rate in the row's unit; NaN if every run failed.
    fn rate(&self, unit: Unit) -> f64 {
        let of = match unit {
            Unit::Things(_) | Unit::Event | Unit::Latency => 1.0,
            Unit::Bytes => 1e6,
        };
        median(self.0.iter().map(|sample| sample.done.amount / of / sample.done.seconds))
    }

    /// The median processor time in the row's unit; NaN where there is none.
    fn cost(&self, unit: Unit) -> f64 {
        let of = match unit {
            Unit::Things(bytes) => 1e9 / bytes,
            Unit::Bytes => 1e9,
            Unit::Event | Unit::Latency => 1.0,
        };
        median(self.0.iter().filter_map(|sample| Some(sample.cpu_seconds? * of / sample.done.amount)))
    }

    /// Rate or duration, and processor time.
    fn cell(&self, unit: Unit) -> String {
        if self.0.is_empty() {
            return "failed".into();
        }
        let rate = self.rate(unit);
        let (rate, cost_name) = match unit {
            Unit::Things(_) => (format!("{} /s", short(rate)), "s/GB"),
            Unit::Bytes => (format!("{} MB/s", short(rate)), "s/GB"),
            Unit::Event => (format!("{} s", short(rate.recip())), "s of processor time"),
            Unit::Latency => (format!("≤ {} ms", short(1e3 / rate)), "s of processor time"),
        };
        match self.cost(unit) {
            cost if cost.is_nan() => rate,
            cost => format!("{rate} · {} {cost_name}", short(cost)),
        }
    }
}

/// The whole table.
pub fn comparison(rows: &[Row]) -> String {
    let mut lines = vec![
        "| work | storage center | beside it | center ÷ that: rate · CPU | goals |".to_owned(),
        format!("|{}", "---|".repeat(5)),
    ];
    for row in rows {
        let unit = row.work.unit();
        let beside = match &row.beside_name {
            None => "–".into(),
            Some(name) => format!("{name}: {}", row.beside.cell(unit)),
        };
        lines.push(format!(
            "| {} | {} | {beside} | {} | {} |",
            row.work.title(),
            row.ours.cell(unit),
            row.ratios(),
            row.judgement(),
        ));
    }
    lines.join("\n")
}

impl Row {
    fn rate_ratio(&self) -> f64 {
        self.ours.rate(self.work.unit()) / self.beside.rate(self.work.unit())
    }

    fn cost_ratio(&self) -> f64 {
        self.ours.cost(self.work.unit()) / self.beside.cost(self.work.unit())
    }

    fn ratios(&self) -> String {
        if self.beside_name.is_none() {
            return "–".into();
        }
        format!("{} · {}", times(self.rate_ratio()), times(self.cost_ratio()))
    }

    /// Each goal, and whether it is met. What was not measured is no success.
    fn judgement(&self) -> String {
        let goal = self.work.goal();
        let verdict = |is_met: bool| if is_met { "met" } else { "**missed**" };
        let rate = goal
            .rate_ratio_min
            .map(|bound| format!("≥ {bound} × rate: {}", verdict(self.rate_ratio() >= bound)));
        let cost = goal
            .cost_ratio_max
            .map(|bound| format!("≤ {bound} × CPU: {}", verdict(self.cost_ratio() <= bound)));
        let seconds = goal.seconds_max.map(|bound| {
            let seconds = self.ours.rate(self.work.unit()).recip();
            let text = if bound < 1.0 { format!("{} ms", bound * 1e3) } else { format!("{bound} s") };
            format!("≤ {text}: {}", verdict(seconds <= bound))
        });
        let goals: Vec<String> = [rate, cost, seconds].into_iter().flatten().collect();
        if goals.is_empty() { "–".into() } else { goals.join("; ") }
    }
}

fn times(ratio: f64) -> String {
    if ratio.is_nan() { "–".into() } else { format!("{ratio:.2}×") }
}

#[cfg(test)]
mod tests {
    use super::super::work::{Finding, OBJECTS};
    use super::*;

    fn samples(amount: f64, seconds: f64, cpu_seconds: Option<f64>) -> Samples {
        Samples(vec![Sample { done: Done { amount, seconds }, cpu_seconds }])
    }

    fn row(work: Work, ours: Samples, beside: Samples) -> Row {
        Row { work, ours, beside, beside_name: Some("nginx".into()) }
    }

    #[test]
    fn costs_and_rates_stand_in_the_units_of_their_row() {
        let cell = |work: Work, samples: Samples| samples.cell(work.unit());
        // 10,000 times 1 MiB are 10.49 GB.
        let fetches = samples(1e4, 2.0, Some(2.097152));
        assert_eq!(cell(Work::Cached { bytes: 1 << 20 }, fetches), "5000 /s · 0.20 s/GB");
        assert_eq!(cell(Work::Upload, samples(1e9, 2.0, Some(3.0))), "500 MB/s · 3.00 s/GB");
        assert_eq!(cell(Work::Upload, samples(6.5e8, 1.0, None)), "650 MB/s");
        let start = Work::Start { objects: OBJECTS, finding: Finding::Index };
        assert_eq!(cell(start, samples(1.0, 4.0, Some(1.5))), "4.00 s · 1.50 s of processor time");
        assert_eq!(cell(start, Samples::default()), "failed");
        let locate = Work::Locate { percentile: 99, lost_percent: 0 };
        assert_eq!(cell(locate, samples(1.0, 0.002, None)), "≤ 2.00 ms");
    }

    #[test]
    fn a_goal_is_met_or_missed_by_its_own_bound() {
        let fetch = Work::Cached { bytes: 64 << 10 };
        let judged = row(fetch, samples(950.0, 1.0, Some(0.06)), samples(1000.0, 1.0, Some(0.05)));
        assert_eq!(judged.judgement(), "≥ 0.9 × rate: met; ≤ 1.1 × CPU: **missed**");
        assert_eq!(judged.ratios(), "0.95× · 1.26×");
        let start = Work::Start { objects: OBJECTS, finding: Finding::NoIndex };
        let judged = |seconds| row(start, samples(1.0, seconds, None), Samples::default()).judgement();
        assert_eq!(judged(29.0), "≤ 30 s: met");
        assert_eq!(judged(31.0), "≤ 30 s: **missed**");
        let locate = Work::Locate { percentile: 50, lost_percent: 0 };
        let judged = |seconds| row(locate, samples(1.0, seconds, None), Samples::default()).judgement();
        assert_eq!(judged(0.0005), "≤ 0.5 ms: met");
        assert_eq!(judged(0.000_75), "≤ 0.5 ms: **missed**");
    }

    #[test]
    fn what_was_not_measured_is_no_success() {
        let upload = row(Work::Upload, samples(1e9, 1.0, None), Samples::default());
        assert_eq!(upload.judgement(), "≥ 0.8 × rate: **missed**");
        let start = Work::Start { objects: OBJECTS, finding: Finding::Index };
        assert_eq!(row(start, Samples::default(), Samples::default()).judgement(), "≤ 5 s: **missed**");
        let few = Work::Start { objects: 10, finding: Finding::Index };
        assert_eq!(row(few, samples(1.0, 1.0, None), Samples::default()).judgement(), "–");
    }
}
