//! What a process of the storage center shows a Prometheus server at `/metrics`.

use std::sync::Arc;

use futures::future::BoxFuture;
use metrics::Kind::{Counter, Gauge};
use metrics::{Labels, Number, Page};
use protocol::dosp::heartbeat::DiskState;
use protocol::dosp::operations::{DiskReport, NodeStatus};

use crate::dosm::cache::Figures;

/// Whoever knows the values, now.
pub type Exposition = Arc<dyn Fn() -> BoxFuture<'static, String> + Send + Sync>;

/// An empty page.
pub const fn page() -> Page {
    Page::new("storage_center")
}

/// What every process says: how long it runs, and of its disks.
pub fn process(page: Page, uptime_seconds: u64, disks: &[DiskReport]) -> Page {
    fn each<N: Into<Number>>(
        disks: &[DiskReport],
        number: impl Fn(&DiskReport) -> N,
    ) -> impl Iterator<Item = (Labels, N)> {
        let numbered = disks.iter().enumerate();
        numbered.map(move |(disk, report)| (Labels::of("disk", &disk.to_string()), number(report)))
    }
    page.build_info(env!("CARGO_PKG_VERSION"))
        .value(Gauge, "uptime_seconds", "Seconds since the process was started.", uptime_seconds)
        .values(
            Gauge,
            "disk_online",
            "1 if the disk takes objects.",
            each(disks, |disk| disk.state == DiskState::Online),
        )
        .values(
            Gauge,
            "disk_free_bytes",
            "Bytes that objects may still take.",
            each(disks, |disk| disk.bytes_free),
        )
        .values(Gauge, "disk_size_bytes", "Bytes the disk has in all.", each(disks, |disk| disk.bytes_total))
        .values(Gauge, "disk_objects", "Objects on the disk.", each(disks, |disk| disk.objects))
        .values(
            Gauge,
            "disk_quarantined_objects",
            "Damaged objects put aside.",
            each(disks, |disk| disk.quarantined),
        )
        .values(
            Gauge,
            "disk_scrub_read_objects",
            "Objects read against their digests in this round.",
            each(disks, |disk| disk.scrub.read),
        )
        .values(
            Gauge,
            "disk_scrub_ended_seconds",
            "When the last whole round ended, in seconds since the epoch; 0 if none did.",
            each(disks, |disk| disk.scrub.ended),
        )
}

/// What a process of a cluster says of itself.
pub fn node(page: Page, status: &NodeStatus) -> Page {
    process(page, status.uptime_seconds, &status.disks)
        .value(
            Gauge,
            "dosp_operations",
            "Operations under way for other processes.",
            u64::from(status.outstanding),
        )
        .value(
            Gauge,
            "copies_owed",
            "Objects here with fewer copies than there should be.",
            status.copies_owed,
        )
        .value(Counter, "copies_made_total", "Copies made for others since the start.", status.copies_made)
        .value(Gauge, "copies_spare", "Copies here that are one too many and go soon.", status.copies_spare)
        .value(
            Gauge,
            "references_lost",
            "1 while references may be missing until they are compared with the VFS.",
            status.lost_references,
        )
}

/// What an object manager says of its cache.
pub fn cache(page: Page, figures: Figures) -> Page {
    page.value(Counter, "cache_hits_total", "Fetches that asked no node.", figures.hits)
        .value(Counter, "cache_misses_total", "Fetches for which a node was read.", figures.misses)
        .value(Counter, "cache_evictions_total", "Objects that went for others.", figures.evictions)
        .value(Counter, "cache_spoiled_total", "Cache files found damaged.", figures.spoiled)
        .value(Gauge, "cache_objects", "Objects of which something is kept.", figures.entries)
        .value(Gauge, "cache_bytes", "Bytes of them.", figures.bytes)
}
