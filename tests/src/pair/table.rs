//! Many trials in few figures.

use std::time::Duration;

use super::fault::Fault;
use super::probe::report::Seen;
use super::trial::Trial;

/// Median, 99th of a hundred and the longest of some times, and how many had no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Half of them are shorter.
    pub p50: Duration,
    /// 99 of a hundred are not longer.
    pub p99: Duration,
    /// None is longer.
    pub max: Duration,
    /// Outages that lasted as long as the failure did.
    pub never: usize,
}

impl Figures {
    /// Of the outages that one kind of client saw.
    pub fn of<'a>(seen: impl Iterator<Item = &'a Seen>) -> Self {
        let seen: Vec<&Seen> = seen.collect();
        let mut times: Vec<Duration> = seen.iter().map(|seen| seen.outage).collect();
        times.sort_unstable();
        // Without trials there is nothing to be proud of.
        let at = |part: f64| {
            let index = (times.len() as f64 * part).ceil() as usize;
            times.get(index.saturating_sub(1)).copied().unwrap_or(Duration::MAX)
        };
        Self {
            p50: at(0.5),
            p99: at(0.99),
            max: at(1.0),
            never: seen.iter().filter(|seen| seen.is_out).count(),
        }
    }

    fn cell(self) -> String {
        let [p50, p99, max] = [self.p50, self.p99, self.max].map(|time| time.as_millis());
        let never = if self.never == 0 { String::new() } else { format!(" ({}× never)", self.never) };
        format!("{p50}/{p99}/{max}{never}")
    }
}

/// A line of Markdown: outages in ms as median/p99/longest of fresh connections and of the long-lived one, when the
/// failure came and when it was mended; the time with two owners, median and longest; how often the address moved.
pub fn line(fault: Fault, trials: &[Trial]) -> String {
    let mut twice: Vec<u128> = trials.iter().map(|trial| trial.twice().as_millis()).collect();
    twice.sort_unstable();
    let moved = trials.iter().filter(|trial| trial.after != Some(trial.victim)).count();
    let cells = [
        fault.title().to_owned(),
        trials.len().to_string(),
        Figures::of(trials.iter().map(|trial| &trial.struck.calls.fresh)).cell(),
        Figures::of(trials.iter().map(|trial| &trial.struck.calls.steady)).cell(),
        Figures::of(trials.iter().map(|trial| &trial.mended.calls.fresh)).cell(),
        Figures::of(trials.iter().map(|trial| &trial.mended.calls.steady)).cell(),
        format!("{}/{}", twice.get(twice.len() / 2).unwrap_or(&0), twice.last().unwrap_or(&0)),
        moved.to_string(),
    ];
    format!("| {} |", cells.join(" | "))
}

/// The lines above them.
pub fn head() -> String {
    let cells = [
        "failure of the active",
        "trials",
        "fresh, ms p50/p99/max",
        "long-lived",
        "mended: fresh",
        "long-lived",
        "two owners, ms p50/max",
        "moved",
    ];
    format!("| {} |\n|{}", cells.join(" | "), "---|".repeat(cells.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_99th_of_a_hundred_is_not_the_longest() {
        let seen: Vec<Seen> = (1..=200)
            .map(|ms| Seen { outage: Duration::from_millis(ms), is_out: ms > 199, ..Seen::default() })
            .collect();
        let figures = Figures::of(seen.iter());
        assert_eq!([figures.p50, figures.p99, figures.max].map(|time| time.as_millis()), [100, 198, 200]);
        assert_eq!(figures.never, 1);
        assert_eq!(Figures::of(seen[..20].iter()).cell(), "10/20/20");
    }
}
