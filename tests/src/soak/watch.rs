//! Memory, open files and threads of a process over time, and whether they grow.
//!
//! The time of warming up does not count. Of the rest, the median of the last third may be above that of the first
//! third by a margin. The slope of a regression line over all of it stands beside, for people.

use std::fmt;
use std::fs;
use std::time::Duration;

use rustix::process::Pid;

/// How far the end may be above the beginning.
#[derive(Clone, Copy, Debug)]
pub struct Margins {
    /// Of memory, as a part of what it was …
    pub memory_part: f64,
    /// … and in MiB on top.
    pub memory_mib: f64,
    /// Of open files and sockets.
    pub files: f64,
    /// Of threads: those for blocking work come and go with the load, within a bound.
    pub threads: f64,
    /// How long a run warms up.
    pub warm_up: Duration,
}

impl Margins {
    /// For a run of many minutes: noise, and no growth. The center remembers answers and keeps removed objects for ten
    /// minutes, so its database and its indexes grow for so long.
    pub const LONG: Self = Self {
        memory_part: 0.05,
        memory_mib: 4.0,
        files: 8.0,
        threads: 32.0,
        warm_up: Duration::from_secs(12 * 60),
    };
    /// For a run of a minute, in which caches still fill: only a fast leak is seen.
    pub const SHORT: Self = Self {
        memory_part: 0.5,
        memory_mib: 32.0,
        files: 16.0,
        threads: 32.0,
        warm_up: Duration::from_secs(5),
    };
}

/// What is watched, in the order of [`Sample::values`].
const WHAT: [&str; 5] = [
    "anonymous memory, MiB",
    "resident memory, MiB",
    "open files and sockets",
    "open blocks of the cache",
    "threads",
];
/// The port keeps up to 1,024 blocks of each of the two cache disks open: a cache that fills, to this and no further.
const OPEN_BLOCKS_MAX: f64 = 2_048.0;

struct Sample {
    at: Duration,
    values: [f64; 5],
}

/// A process under watch.
pub struct Process {
    name: &'static str,
    pid: i32,
    samples: Vec<Sample>,
}

impl Process {
    /// Not sampled yet.
    pub fn new(name: &'static str, pid: Pid) -> Self {
        Self { name, pid: pid.as_raw_nonzero().get(), samples: Vec::new() }
    }

    /// Takes a sample, `at` after the start. Panics if the process is gone: then the run has failed.
    pub fn sample(&mut self, at: Duration) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let number = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
            line.split_whitespace().next().unwrap().parse::<f64>().unwrap()
        };
        let open = fs::read_dir(format!("/proc/{}/fd", self.pid)).unwrap();
        // One that was closed meanwhile counts as a file, whatever it was.
        let is_block = |entry: &fs::DirEntry| {
            let path = fs::read_link(entry.path()).unwrap_or_default();
            path.components().any(|part| part.as_os_str().to_string_lossy().starts_with("cache"))
        };
        let (blocks, files): (Vec<_>, Vec<_>) = open.filter_map(Result::ok).partition(is_block);
        let mib = |key| number(key) / 1024.0;
        let (blocks, files) = (blocks.len() as f64, files.len() as f64);
        let values = [mib("RssAnon:"), mib("VmRSS:"), files, blocks, number("Threads:")];
        self.samples.push(Sample { at, values });
    }

    /// How everything watched went, without the time of warming up.
    pub fn growths(&self, margins: &Margins) -> Vec<Growth> {
        let cold = self.samples.partition_point(|sample| sample.at < margins.warm_up);
        let warm = &self.samples[cold..];
        let growth = |index: usize| {
            let points: Vec<_> =
                warm.iter().map(|sample| (sample.at.as_secs_f64() / 3_600.0, sample.values[index])).collect();
            // Pages of files (the center's database, for one) are the kernel's to keep: not judged.
            let margin = |before: f64| match index {
                0 => Some(before * (1.0 + margins.memory_part) + margins.memory_mib),
                1 => None,
                3 => Some(OPEN_BLOCKS_MAX),
                2 => Some(before + margins.files),
                _ => Some(before + margins.threads),
            };
            Growth::of(format!("{}: {}", self.name, WHAT[index]), &points, margin)
        };
        (0..WHAT.len()).filter_map(growth).collect()
    }
}

/// How one value went.
#[derive(Clone, Debug)]
pub struct Growth {
    what: String,
    before: f64,
    after: f64,
    highest: f64,
    slope: f64,
    /// What `after` may be; `None` if it is not judged.
    bound: Option<f64>,
}

impl Growth {
    /// Of points of hours and values; `None` of too few to tell.
    fn of(what: String, points: &[(f64, f64)], bound: impl Fn(f64) -> Option<f64>) -> Option<Self> {
        let third = points.len() / 3;
        if third == 0 {
            return None;
        }
        let before = median(&points[..third]);
        Some(Self {
            what,
            before,
            after: median(&points[points.len() - third..]),
            highest: points.iter().map(|point| point.1).fold(0.0, f64::max),
            slope: slope(points),
            bound: bound(before),
        })
    }

    /// Whether it grew by more than it may.
    pub fn is_too_much(&self) -> bool {
        self.bound.is_some_and(|bound| self.after > bound)
    }

    /// As a row of the report's table.
    pub fn row(&self) -> String {
        let Self { what, before, after, highest, slope, bound } = self;
        let bound = bound.map_or("–".to_owned(), |bound| format!("{bound:.1}"));
        format!("| {what} | {before:.1} | {after:.1} | {highest:.1} | {slope:+.1} | {bound} |")
    }
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {:.1} to {:.1}, {:+.1} an hour", self.what, self.before, self.after, self.slope)
    }
}

fn median(points: &[(f64, f64)]) -> f64 {
    let mut values: Vec<_> = points.iter().map(|point| point.1).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Of the regression line.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |value: fn(&(f64, f64)) -> f64| points.iter().map(value).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let (mut product, mut square) = (0.0, 0.0);
    for point in points {
        product += (point.0 - x) * (point.1 - y);
        square += (point.0 - x) * (point.0 - x);
    }
    if square == 0.0 { 0.0 } else { product / square }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn growths(memory: impl Fn(u32) -> f64, files: impl Fn(u32) -> f64) -> Vec<bool> {
        let mut process = Process { name: "port", pid: 0, samples: Vec::new() };
        for number in 0..300 {
            let values = [memory(number), 0.0, files(number), 900.0, 12.0];
            process.samples.push(Sample { at: Duration::from_secs(10 * u64::from(number)), values });
        }
        process.growths(&Margins::LONG).iter().map(Growth::is_too_much).collect()
    }

    #[test]
    fn noise_and_warming_up_are_no_growth() {
        let warming =
            |number: u32| if number < 72 { f64::from(number) } else { 60.0 + f64::from(number % 7) };
        assert_eq!(growths(warming, |number| 50.0 + f64::from(number % 5)), [false; 5]);
    }

    #[test]
    fn a_leak_of_memory_or_of_files_is_growth() {
        assert_eq!(
            growths(|number| 60.0 + 0.1 * f64::from(number), |_| 50.0),
            [true, false, false, false, false]
        );
        assert_eq!(growths(|_| 60.0, |number| f64::from(number / 10)), [false, false, true, false, false]);
    }

    #[test]
    fn the_slope_is_that_of_the_line() {
        let points: Vec<_> = (0..10).map(|x| (f64::from(x), 3.0 * f64::from(x) + 1.0)).collect();
        assert!((slope(&points) - 3.0).abs() < 1e-9);
    }
}
