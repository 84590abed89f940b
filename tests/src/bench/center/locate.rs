//! Finding objects among many nodes: each node, and the object manager that asks them, on a host of its own at one bridge.
//! The object manager remembers no place, so it must ask for every object; how long that took it says itself.

use std::io;

use protocol::digest::Fingerprint;
use protocol::id::Token;

use super::table::Sample;
use crate::bench::load::Done;
use crate::cluster::client::stored;
use crate::cluster::http::{Http, Request};
use crate::cluster::{Cluster, Settings};
use crate::data;

/// Storage nodes.
const NODES: u8 = 8;
/// Objects asked for, each once.
const OBJECTS: u64 = 2_000;
/// The histogram's name at `/metrics`.
const METRIC: &str = "storage_center_locate_seconds";

/// The cluster, and the objects on it.
pub struct Locating {
    cluster: Cluster,
    objects: Vec<Fingerprint>,
}

impl Locating {
    /// Starts the cluster and stores the objects.
    pub fn start() -> io::Result<Self> {
        let settings = Settings { managers: 1, nodes: NODES, disks: 1, ..Settings::default() };
        let cluster = Cluster::start("locate", settings);
        cluster.managers[0].edit_config("order =", "lookup_entries = 1\norder =");
        eprintln!("  storing {OBJECTS} objects on {NODES} nodes");
        let client = cluster.client();
        let objects = (0..OBJECTS)
            .map(|number| {
                let token = Token(u128::from(number + 1).to_be_bytes());
                let answer = client.store(0, 1, token, &data::bytes(number, 1_000))?;
                let (content, _) = stored(&answer).ok_or_else(|| io::Error::other(answer.summary()))?;
                Ok(content.fingerprint)
            })
            .collect::<io::Result<_>>()?;
        Ok(Self { cluster, objects })
    }

    /// Fetches every object once while so many of a hundred multicast packets are lost; within which time so many of a
    /// hundred were found.
    pub fn measure(&mut self, percentile: u8, lost_percent: u8) -> io::Result<Sample> {
        // It begins to count anew, and knows no place.
        self.cluster.managers[0].daemon.stop();
        self.cluster.managers[0].daemon.restart();
        self.cluster.wait_assembled();
        self.cluster.network().lose_multicast(lost_percent);
        let fetched = self.fetch_all();
        self.cluster.network().lose_multicast(0);
        fetched?;
        let http = Http::new(self.cluster.client_host().entrance());
        let request = Request { method: "GET", path: "/metrics", headers: &[], body: &[] };
        let page = http.exchange(self.cluster.managers[0].http(), request)?;
        let page = String::from_utf8(page.body).map_err(io::Error::other)?;
        let seconds = within(&page, OBJECTS, percentile).ok_or_else(|| {
            io::Error::other(format!("not every object was asked for, or found in time:\n{page}"))
        })?;
        Ok(Sample { done: Done { amount: 1.0, seconds }, cpu_seconds: None })
    }

    fn fetch_all(&self) -> io::Result<()> {
        let client = self.cluster.client();
        for object in &self.objects {
            let answer = client.fetch(0, 1, *object)?;
            if answer.status != 200 {
                return Err(io::Error::other(answer.summary()));
            }
        }
        Ok(())
    }
}

/// The end of the range in which the percentile lies; `None` if that has no end, or if there are not `wanted` in all.
fn within(page: &str, wanted: u64, percentile: u8) -> Option<f64> {
    let value = |line: &str| line.rsplit(' ').next().and_then(|number| number.parse::<u64>().ok());
    let count = page.lines().find(|line| line.starts_with(&format!("{METRIC}_count"))).and_then(value)?;
    if count < wanted {
        return None;
    }
    let bounded = page.lines().filter_map(|line| {
        let bound =
            line.strip_prefix(&format!("{METRIC}_bucket{{le=\""))?.split('"').next()?.parse::<f64>().ok()?;
        Some((bound, value(line)?))
    });
    let rank = (count * u64::from(percentile)).div_ceil(100);
    let (seconds, _) =
        bounded.filter(|(bound, _)| bound.is_finite()).find(|(_, at_most)| *at_most >= rank)?;
    Some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_end_of_its_range() {
        let page = |in_second: u64, count: u64| {
            format!(
                "{METRIC}_bucket{{le=\"0.0001\"}} 50\n{METRIC}_bucket{{le=\"0.005\"}} {in_second}\n\
                 {METRIC}_bucket{{le=\"+Inf\"}} {count}\n{METRIC}_count {count}\n"
            )
        };
        assert_eq!(within(&page(99, 100), 100, 50), Some(0.0001));
        assert_eq!(within(&page(99, 100), 100, 51), Some(0.005));
        assert_eq!(within(&page(99, 100), 100, 99), Some(0.005));
        assert_eq!(within(&page(98, 100), 100, 99), None, "longer than any range");
        assert_eq!(within(&page(99, 100), 101, 50), None, "not all");
        assert_eq!(within("", 0, 50), None);
    }
}
