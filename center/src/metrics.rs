//! What a process shows a Prometheus server at `/metrics`: text, one line a value.
//!
//! Names begin with `storage_center_`; units are last in the name. Everything is of this process alone: a server that
//! watches a cluster asks each of its processes.

use std::fmt::Write;
use std::sync::Arc;

use futures::future::BoxFuture;
use protocol::dosp::heartbeat::DiskState;
use protocol::dosp::operations::{DiskReport, NodeStatus};

use crate::histogram::{BOUNDS_MICROS, Snapshot};

/// Whoever knows the values, now.
pub type Exposition = Arc<dyn Fn() -> BoxFuture<'static, String> + Send + Sync>;

/// A page of metrics.
#[derive(Debug, Default)]
pub struct Page(String);

impl Page {
    /// One value.
    pub fn value(self, kind: Kind, name: &str, help: &str, value: u64) -> Self {
        self.values(kind, name, help, [(String::new(), value)])
    }

    /// One value for each set of labels, as `{name="value"}` or nothing.
    pub fn values(
        mut self,
        kind: Kind,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (String, u64)>,
    ) -> Self {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        // A String takes whatever is written.
        let _ = writeln!(self.0, "# HELP storage_center_{name} {help}\n# TYPE storage_center_{name} {kind}");
        for (labels, value) in values {
            let _ = writeln!(self.0, "storage_center_{name}{labels} {value}");
        }
        self
    }

    /// How long something took.
    pub fn histogram(mut self, name: &str, help: &str, snapshot: &Snapshot) -> Self {
        let Snapshot { at_most, count, sum_micros } = snapshot;
        let seconds = |micros: u64| micros as f64 / 1e6;
        let _ =
            writeln!(self.0, "# HELP storage_center_{name} {help}\n# TYPE storage_center_{name} histogram");
        for (bound, at_most) in BOUNDS_MICROS.iter().zip(at_most) {
            let _ = writeln!(self.0, "storage_center_{name}_bucket{{le=\"{}\"}} {at_most}", seconds(*bound));
        }
        let _ = writeln!(
            self.0,
            "storage_center_{name}_bucket{{le=\"+Inf\"}} {count}\nstorage_center_{name}_sum {}\n\
             storage_center_{name}_count {count}",
            seconds(*sum_micros)
        );
        self
    }

    /// What a process says of itself and its disks.
    pub fn node(self, status: &NodeStatus) -> Self {
        let disks = |number: fn(&DiskReport) -> u64| {
            let numbered = status.disks.iter().enumerate();
            numbered
                .map(move |(disk, report)| (format!("{{disk=\"{disk}\"}}"), number(report)))
                .collect::<Vec<_>>()
        };
        let is_online = |disk: &DiskReport| u64::from(disk.state == DiskState::Online);
        use Kind::{Counter, Gauge};
        self.value(Gauge, "uptime_seconds", "Seconds since the process was started.", status.uptime_seconds)
            .value(
                Gauge,
                "dosp_operations",
                "Operations under way for other processes.",
                status.outstanding.into(),
            )
            .value(
                Gauge,
                "copies_owed",
                "Objects here with fewer copies than there should be.",
                status.copies_owed,
            )
            .value(
                Counter,
                "copies_made_total",
                "Copies made for others since the start.",
                status.copies_made,
            )
            .value(
                Gauge,
                "copies_spare",
                "Copies here that are one too many and go soon.",
                status.copies_spare,
            )
            .value(
                Gauge,
                "references_lost",
                "1 while references may be missing until they are compared with the VFS.",
                status.lost_references.into(),
            )
            .values(Gauge, "disk_online", "1 if the disk takes objects.", disks(is_online))
            .values(
                Gauge,
                "disk_free_bytes",
                "Bytes that objects may still take.",
                disks(|disk| disk.bytes_free),
            )
            .values(Gauge, "disk_size_bytes", "Bytes the disk has in all.", disks(|disk| disk.bytes_total))
            .values(Gauge, "disk_objects", "Objects on the disk.", disks(|disk| disk.objects))
            .values(
                Gauge,
                "disk_quarantined_objects",
                "Damaged objects put aside.",
                disks(|disk| disk.quarantined),
            )
            .values(
                Gauge,
                "disk_scrub_read_objects",
                "Objects read against their digests in this round.",
                disks(|disk| disk.scrub.read),
            )
            .values(
                Gauge,
                "disk_scrub_ended_seconds",
                "When the last whole round ended, in seconds since the epoch; 0 if none did.",
                disks(|disk| disk.scrub.ended),
            )
    }

    /// The text.
    pub fn into_text(self) -> String {
        self.0
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_the_form_that_prometheus_reads() {
        let text = Page::default()
            .value(Kind::Counter, "hits_total", "Hits.", 3)
            .values(Kind::Gauge, "disk_free_bytes", "Free.", [("{disk=\"0\"}".to_owned(), 5)])
            .into_text();
        assert_eq!(
            text,
            "# HELP storage_center_hits_total Hits.\n# TYPE storage_center_hits_total counter\n\
             storage_center_hits_total 3\n# HELP storage_center_disk_free_bytes Free.\n\
             # TYPE storage_center_disk_free_bytes gauge\nstorage_center_disk_free_bytes{disk=\"0\"} 5\n"
        );
    }

    #[test]
    fn a_histogram_has_the_form_that_prometheus_reads() {
        let histogram = crate::histogram::Histogram::default();
        histogram.record(std::time::Duration::from_micros(250));
        let text = Page::default().histogram("locate_seconds", "Time.", &histogram.snapshot()).into_text();
        assert!(text.starts_with(
            "# HELP storage_center_locate_seconds Time.\n# TYPE storage_center_locate_seconds histogram\n\
             storage_center_locate_seconds_bucket{le=\"0.0001\"} 0\n\
             storage_center_locate_seconds_bucket{le=\"0.0002\"} 0\n\
             storage_center_locate_seconds_bucket{le=\"0.0003\"} 1\n"
        ));
        assert!(text.ends_with(
            "storage_center_locate_seconds_bucket{le=\"5\"} 1\n\
             storage_center_locate_seconds_bucket{le=\"+Inf\"} 1\n\
             storage_center_locate_seconds_sum 0.00025\nstorage_center_locate_seconds_count 1\n"
        ));
    }
}
