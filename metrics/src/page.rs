//! A page of metrics in Prometheus' text format, version 0.0.4: of each metric its meaning and kind, then one line a
//! value. Pure.
//!
//! Names begin with the process's own prefix; units are last in the name. Everything is of this process alone: a server
//! that watches several asks each of them.

use std::fmt::{self, Write};
use std::time::Duration;

use crate::histogram::{BOUNDS_MICROS, Snapshot};

/// The media type of a page.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// See the module.
#[derive(Debug)]
pub struct Page {
    prefix: &'static str,
    text: String,
}

impl Page {
    /// An empty one of metrics whose names begin with `prefix` and an underscore.
    pub const fn new(prefix: &'static str) -> Self {
        Self { prefix, text: String::new() }
    }

    /// One value.
    pub fn value(self, kind: Kind, name: &str, help: &str, value: impl Into<Number>) -> Self {
        self.values(kind, name, help, [(Labels::default(), value)])
    }

    /// One value, where it is known.
    pub fn known(self, kind: Kind, name: &str, help: &str, value: Option<impl Into<Number>>) -> Self {
        self.values(kind, name, help, value.map(|value| (Labels::default(), value)))
    }

    /// Which version runs.
    pub fn build_info(self, version: &str) -> Self {
        let labels = Labels::of("version", version);
        self.values(Kind::Gauge, "build_info", "1; the label says which version runs.", [(labels, 1)])
    }

    /// One value for each set of labels.
    pub fn values(
        mut self,
        kind: Kind,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels, impl Into<Number>)>,
    ) -> Self {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        self.head(name, help, kind);
        let prefix = self.prefix;
        for (labels, value) in values {
            // A String takes whatever is written.
            let _ = writeln!(self.text, "{prefix}_{name}{labels} {}", value.into());
        }
        self
    }

    /// How long something took.
    pub fn histogram(self, name: &str, help: &str, snapshot: &Snapshot) -> Self {
        self.histograms(name, help, [(Labels::default(), *snapshot)])
    }

    /// How long something took, for each set of labels.
    pub fn histograms(
        mut self,
        name: &str,
        help: &str,
        snapshots: impl IntoIterator<Item = (Labels, Snapshot)>,
    ) -> Self {
        self.head(name, help, "histogram");
        let prefix = self.prefix;
        let seconds = |micros: u64| micros as f64 / 1e6;
        for (labels, Snapshot { at_most, count, sum_micros }) in snapshots {
            for (bound, at_most) in BOUNDS_MICROS.iter().zip(at_most) {
                let labels = labels.clone().and("le", &seconds(*bound).to_string());
                let _ = writeln!(self.text, "{prefix}_{name}_bucket{labels} {at_most}");
            }
            let endless = labels.clone().and("le", "+Inf");
            let _ = writeln!(self.text, "{prefix}_{name}_bucket{endless} {count}");
            let _ = writeln!(self.text, "{prefix}_{name}_sum{labels} {}", seconds(sum_micros));
            let _ = writeln!(self.text, "{prefix}_{name}_count{labels} {count}");
        }
        self
    }

    /// The text.
    pub fn into_text(self) -> String {
        self.text
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) {
        let prefix = self.prefix;
        let _ = writeln!(self.text, "# HELP {prefix}_{name} {help}\n# TYPE {prefix}_{name} {kind}");
    }
}

/// How a value changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, and begins at 0 with the process.
    Counter,
    /// It is what it is.
    Gauge,
}

/// A value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// Counted.
    Whole(u64),
    /// Measured.
    Real(f64),
}

impl From<u64> for Number {
    fn from(number: u64) -> Self {
        Self::Whole(number)
    }
}

/// 1 if it is so.
impl From<bool> for Number {
    fn from(is_so: bool) -> Self {
        Self::Whole(is_so.into())
    }
}

/// In seconds.
impl From<Duration> for Number {
    fn from(span: Duration) -> Self {
        Self::Real(span.as_secs_f64())
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => number.fmt(f),
            Self::Real(number) => number.fmt(f),
        }
    }
}

/// What tells values of one name apart. Few and lasting: each set of them is a series that a server keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(String);

impl Labels {
    /// One.
    pub fn of(name: &str, value: &str) -> Self {
        Self::default().and(name, value)
    }

    /// One more. The value may be any text.
    pub fn and(mut self, name: &str, value: &str) -> Self {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = write!(self.0, "{name}=\"{value}\"");
        self
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "{{{}}}", self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_the_form_that_prometheus_reads() {
        let text = Page::new("port")
            .value(Kind::Counter, "hits_total", "Hits.", 3)
            .values(Kind::Gauge, "disk_free_bytes", "Free.", [(Labels::of("disk", "0"), 5)])
            .value(Kind::Gauge, "age_seconds", "Age.", Duration::from_millis(1_500))
            .value(Kind::Gauge, "well", "Well.", true)
            .into_text();
        assert_eq!(
            text,
            "# HELP port_hits_total Hits.\n# TYPE port_hits_total counter\n\
             port_hits_total 3\n# HELP port_disk_free_bytes Free.\n\
             # TYPE port_disk_free_bytes gauge\nport_disk_free_bytes{disk=\"0\"} 5\n\
             # HELP port_age_seconds Age.\n# TYPE port_age_seconds gauge\nport_age_seconds 1.5\n\
             # HELP port_well Well.\n# TYPE port_well gauge\nport_well 1\n"
        );
    }

    #[test]
    fn a_label_may_be_any_text() {
        let labels = Labels::of("path", "a\"b\\c\nd").and("n", "1");
        assert_eq!(labels.to_string(), "{path=\"a\\\"b\\\\c\\nd\",n=\"1\"}");
        assert_eq!(Labels::default().to_string(), "");
    }

    #[test]
    fn a_histogram_has_the_form_that_prometheus_reads() {
        let histogram = crate::histogram::Histogram::default();
        histogram.record(Duration::from_micros(250));
        let text = Page::new("center")
            .histograms("locate_seconds", "Time.", [(Labels::of("way", "x"), histogram.snapshot())])
            .into_text();
        assert!(text.starts_with(
            "# HELP center_locate_seconds Time.\n# TYPE center_locate_seconds histogram\n\
             center_locate_seconds_bucket{way=\"x\",le=\"0.0001\"} 0\n\
             center_locate_seconds_bucket{way=\"x\",le=\"0.0002\"} 0\n\
             center_locate_seconds_bucket{way=\"x\",le=\"0.0003\"} 1\n"
        ));
        assert!(text.ends_with(
            "center_locate_seconds_bucket{way=\"x\",le=\"5\"} 1\n\
             center_locate_seconds_bucket{way=\"x\",le=\"+Inf\"} 1\n\
             center_locate_seconds_sum{way=\"x\"} 0.00025\ncenter_locate_seconds_count{way=\"x\"} 1\n"
        ));
    }
}
