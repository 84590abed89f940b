//! What the judge shows a Prometheus server (`[metrics]`): its [`Status`], as values. `docs/metrics.md` says what each
//! means.
//!
//! On a thread of its own that has no priority: who reads metrics disturbs no judge, which is asked twice a second at
//! most.

use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use metrics::Kind::{Counter, Gauge};
use metrics::{Labels, Number, Page};
use tokio::runtime::Builder;

use super::mailbox::{Mailbox, News};
use super::operations::ask;
use super::status::{Status, Takeover};

/// All that a port can be.
const ROLES: [&str; 5] = ["starting", "passive", "acquiring", "active", "releasing"];
const GIVERS: [&str; 2] = ["peer", "center"];
/// All that makes a port sick.
const KINDS: [&str; 9] = [
    "processor",
    "hung_threads",
    "memory",
    "cache_disk",
    "journal_disk",
    "disk_full",
    "nic",
    "temperature",
    "kernel",
];

/// Begins to serve the metrics of the judge behind `mailbox`, until the process ends.
pub(super) fn start(listen: SocketAddr, mailbox: Mailbox) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let started = since_epoch();
    let page = move || {
        let mailbox = mailbox.clone();
        async move { Ok(page(&ask(&mailbox, News::Status).await?, started).into_text()) }
    };
    let serve = move || runtime.block_on(metrics::server::serve(listen, page));
    thread::Builder::new().name("metrics".into()).spawn(serve)?;
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "a server of metrics wants to know when the judge was started")]
fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn page(status: &Status, started: Duration) -> Page {
    let page = process(Page::new("port_failover"), status, started);
    let page = health(page, status);
    let page = links(page, status);
    let page = peer(page, status);
    takeovers(page, status)
}

fn process(page: Page, status: &Status, started: Duration) -> Page {
    let roles = ROLES.map(|role| {
        let labels = Labels::of("pair", &status.pair).and("member", &status.member).and("role", role);
        (labels, status.role == role)
    });
    let lease = status.lease.as_ref();
    let givers =
        GIVERS.map(|giver| (Labels::of("giver", giver), lease.is_some_and(|lease| lease.giver == giver)));
    page.build_info(&status.version)
        .value(
            Gauge,
            "start_time_seconds",
            "When the judge was started, in seconds since the epoch.",
            started,
        )
        .values(Gauge, "role", "1 at what this port is, 0 at all else.", roles)
        .value(Gauge, "generation", "How often the addresses have changed hands.", status.generation)
        .values(Gauge, "lease", "1 at who gave the lease under which this port serves.", givers)
        .value(
            Gauge,
            "lease_remaining_seconds",
            "What is left of that lease; 0 without one.",
            millis(lease.map_or(0, |lease| lease.remaining_ms)),
        )
        .value(
            Gauge,
            "problems",
            "Things that are not as they should be; `port-failover status` names them.",
            status.problems.len() as u64,
        )
        .value(Gauge, "maintenance", "1 if an operator keeps the judge from acting.", status.maintenance)
        .value(
            Gauge,
            "hold_down_seconds",
            "For so long no ill health moves the addresses.",
            millis(status.hold_down_ms),
        )
}

fn health(page: Page, status: &Status) -> Page {
    let health = &status.health;
    let weights = KINDS.map(|kind| {
        let of_kind = health.reasons.iter().filter(|reason| reason.kind == kind);
        (Labels::of("kind", kind), of_kind.map(|reason| u64::from(reason.weight)).sum::<u64>())
    });
    page.value(
        Gauge,
        "health_score",
        "Sum of the weights of what is wrong; 0 is well.",
        u64::from(health.score),
    )
    .value(
        Gauge,
        "health_threshold",
        "From this score on the port makes room for a better one.",
        u64::from(health.threshold),
    )
    .values(Gauge, "health_weight", "The score by what is wrong.", weights)
    .value(Gauge, "lan_usable", "1 if the clients' LAN can be used.", health.lan)
    .value(Gauge, "center_reachable", "1 if the storage center answers the judge.", health.wan)
}

fn links(page: Page, status: &Status) -> Page {
    let links = &status.links;
    let links = [("heartbeat", &links.heartbeat), ("lan", &links.lan), ("wan", &links.wan)];
    let heard = links
        .into_iter()
        .filter_map(|(name, link)| Some((Labels::of("link", name), millis(link.peer_heard_ms?))));
    page.values(
        Gauge,
        "link_carrier",
        "1 if the NIC has carrier.",
        links.map(|(name, link)| (Labels::of("link", name), link.carrier)),
    )
    .values(
        Gauge,
        "link_peer_heard_seconds",
        "Since the peer was heard on this link. Absent before the first time.",
        heard,
    )
}

fn peer(page: Page, status: &Status) -> Page {
    let (peer, mirror) = (status.peer.as_ref(), status.mirror.as_ref());
    page.known(
        Gauge,
        "peer_eligible",
        "1 if the peer said that it may take over. Absent before it was heard.",
        peer.map(|peer| peer.eligible),
    )
    .known(
        Gauge,
        "peer_heard_seconds",
        "Since the peer was heard on any link.",
        peer.map(|peer| millis(peer.heard_ms)),
    )
    .known(
        Gauge,
        "peer_health_score",
        "The peer's score.",
        peer.map(|peer| u64::from(peer.score)),
    )
    .known(
        Gauge,
        "mirror_caught_up",
        "1 if nothing acknowledged is lost should this port take over now. Absent while the port does not say.",
        mirror.map(|mirror| mirror.caught_up),
    )
    .known(
        Gauge,
        "mirror_owed_bytes",
        "Acknowledged bytes that neither the peer nor the storage center has.",
        mirror.map(|mirror| mirror.owed_bytes),
    )
}

fn takeovers(page: Page, status: &Status) -> Page {
    let last = status.last_takeover.as_ref();
    let steps = last.and_then(|takeover| takeover.steps);
    page.value(Counter, "takeovers_total", "How often this port became active.", status.takeovers)
        .known(
            Gauge,
            "last_takeover_seconds",
            "How long ago it did. Absent before the first time.",
            last.map(|Takeover { ago_ms, .. }| millis(*ago_ms)),
        )
        .known(
            Gauge,
            "last_takeover_duration_seconds",
            "From the first question to the storage center until the port served.",
            steps.map(|steps| Number::Real(steps.serving_ms / 1e3)),
        )
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
