//! The rows: what is done, in which unit it is counted, and what the center shall reach.

use super::cluster::{Layout, Manager};

/// Objects a start is judged by; with fewer, the row has no goal.
pub const OBJECTS: u64 = 1_000_000;

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Whole objects of so many bytes, each by an SRL of its own, from the cache of an object manager. Beside it: the
    /// same files from nginx.
    Cached {
        /// Bytes of an object.
        bytes: u64,
    },
    /// The same through an object manager that does not have the object. Beside it: nginx before another nginx.
    Miss {
        /// Bytes of an object.
        bytes: u64,
        /// Whether it goes into the cache on its way.
        is_kept: bool,
    },
    /// One object over one connection, durable in two copies at the end. Beside it: MD5 alone.
    Upload,
    /// Small objects from several clients at once, each durable in two copies. Beside it: the files of one disk alone.
    Stores,
    /// Finding an object among eight nodes, each on a host of its own: within which time so many of a hundred are found.
    Locate {
        /// So many of a hundred.
        percentile: u8,
        /// Multicast packets lost, of a hundred.
        lost_percent: u8,
    },
    /// A node with so many objects, until it is ready.
    Start {
        /// How many.
        objects: u64,
        /// What it finds on its disk.
        finding: Finding,
    },
}

/// What a node that is started finds on its disk beside the objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Nothing: the objects are found by their names.
    NoIndex,
    /// The index, as a node leaves it that is stopped.
    Index,
    /// The index, as a node leaves it that is killed.
    UnclosedIndex,
}

/// In what a row counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unit {
    /// Things of so many bytes: rate in things a second, cost in s/GB.
    Things(f64),
    /// Bytes: rate in MB/s, cost in s/GB.
    Bytes,
    /// One event: how long it takes, and its processor time, in seconds.
    Event,
    /// A time within which something is done, in milliseconds.
    Latency,
}

/// What the center shall reach in a row: each part only where there is one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Goal {
    /// Rate at least, as a multiple of what stands beside it.
    pub rate_ratio_min: Option<f64>,
    /// Cost at most, as a multiple of what stands beside it.
    pub cost_ratio_max: Option<f64>,
    /// Seconds at most.
    pub seconds_max: Option<f64>,
}

impl Work {
    /// All rows in order; the start with so many objects.
    pub fn all(objects: u64) -> [Self; 13] {
        [
            Self::Cached { bytes: 4 << 10 },
            Self::Cached { bytes: 64 << 10 },
            Self::Cached { bytes: 1 << 20 },
            Self::Miss { bytes: 1 << 20, is_kept: false },
            Self::Miss { bytes: 1 << 20, is_kept: true },
            Self::Upload,
            Self::Stores,
            Self::Locate { percentile: 50, lost_percent: 0 },
            Self::Locate { percentile: 99, lost_percent: 0 },
            Self::Locate { percentile: 99, lost_percent: 20 },
            Self::Start { objects, finding: Finding::NoIndex },
            Self::Start { objects, finding: Finding::Index },
            Self::Start { objects, finding: Finding::UnclosedIndex },
        ]
    }

    /// As it stands in the table.
    pub fn title(self) -> String {
        match self {
            Self::Cached { bytes } => format!("cached fetch with SRL check, {}", size(bytes)),
            Self::Miss { bytes, is_kept } => {
                let what = if is_kept { "into the cache" } else { "without a cache" };
                format!("miss through DOSM and node, {}, {what}", size(bytes))
            }
            Self::Upload => "upload, one stream, two copies".into(),
            Self::Stores => "durable stores of 64 KiB, 8 clients, per disk copy".into(),
            Self::Locate { percentile, lost_percent: 0 } => format!("locate, 8 nodes, p{percentile}"),
            Self::Locate { percentile, lost_percent } => {
                format!("locate, 8 nodes, {lost_percent} % of multicast lost, p{percentile}")
            }
            Self::Start { objects, finding } => {
                let how = match finding {
                    Finding::NoIndex => "from names",
                    Finding::Index => "from the index",
                    Finding::UnclosedIndex => "from the index after kill -9",
                };
                format!("start of a node with {} objects, {how}", grouped(objects))
            }
        }
    }

    /// Whether such a center can do it.
    pub fn fits(self, layout: Layout) -> bool {
        layout == Layout::Cluster || !matches!(self, Self::Miss { .. } | Self::Locate { .. })
    }

    /// The object manager that answers from where the row wants it to.
    pub fn manager(self) -> Manager {
        match self {
            Self::Miss { is_kept: false, .. } => Manager::Passing,
            Self::Miss { is_kept: true, .. } => Manager::Filling,
            _ => Manager::Caching,
        }
    }

    /// In what it counts.
    pub fn unit(self) -> Unit {
        match self {
            Self::Cached { bytes } | Self::Miss { bytes, .. } => Unit::Things(bytes as f64),
            Self::Stores => Unit::Things(65_536.0),
            Self::Upload => Unit::Bytes,
            Self::Locate { .. } => Unit::Latency,
            Self::Start { .. } => Unit::Event,
        }
    }

    /// What the center shall reach.
    pub fn goal(self) -> Goal {
        let none = Goal::default();
        match self {
            Self::Cached { bytes } if bytes < 64 << 10 => Goal { rate_ratio_min: Some(0.7), ..none },
            Self::Cached { .. } => Goal { rate_ratio_min: Some(0.9), cost_ratio_max: Some(1.1), ..none },
            Self::Miss { .. } => Goal { cost_ratio_max: Some(1.0), ..none },
            Self::Upload => Goal { rate_ratio_min: Some(0.8), ..none },
            Self::Stores => Goal { rate_ratio_min: Some(0.7), ..none },
            Self::Locate { percentile: 50, .. } => Goal { seconds_max: Some(0.0005), ..none },
            Self::Locate { lost_percent: 0, .. } => Goal { seconds_max: Some(0.005), ..none },
            Self::Locate { .. } => Goal { seconds_max: Some(0.06), ..none },
            Self::Start { objects: OBJECTS, finding } => {
                Goal { seconds_max: Some(if finding == Finding::NoIndex { 30.0 } else { 5.0 }), ..none }
            }
            Self::Start { .. } => none,
        }
    }
}

fn size(bytes: u64) -> String {
    match bytes >> 20 {
        0 => format!("{} KiB", bytes >> 10),
        mib => format!("{mib} MiB"),
    }
}

/// The digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_by_the_words_of_their_titles() {
        let titles = Work::all(OBJECTS).map(Work::title);
        let found = |words: &str| titles.iter().filter(|title| title.contains(words)).count();
        assert_eq!(found("4 KiB"), 3, "4 KiB, 64 KiB, and the stores of 64 KiB");
        assert_eq!(found("start of a node with 1,000,000 objects"), 3);
        assert_eq!(found("miss"), 2);
        assert_eq!(grouped(12_345), "12,345");
        assert_eq!(grouped(7), "7");
    }

    #[test]
    fn a_center_of_one_process_misses_nothing() {
        let elsewhere = Work::all(OBJECTS).into_iter().filter(|work| !work.fits(Layout::Alone));
        assert_eq!(elsewhere.count(), 5, "two kinds of misses, and locating three times");
        assert!(Work::all(OBJECTS).into_iter().all(|work| work.fits(Layout::Cluster)));
    }
}
