//! From figures to what is seen: a piece of markup for each place of the page. Pure.

use std::time::Instant;

use page_server::amount;
use page_server::page::chart::Chart;
use page_server::page::history::Point;
use page_server::page::html::Html;
use page_server::page::parts::{events, fact, list, overview, row, table};
use page_server::page::shown::Pieces;
use page_server::page::words::{ago, per_second, span};

use super::figures::{Figures, Judge};
use super::history::{Curve, History, points};
use crate::inspection::{CacheDiskReport, CacheReport, ClientReport, JournalReport};
use crate::status::{ExportStatus, PairStatus, Status};

/// Every piece by the id of its place.
pub fn pieces(figures: &Figures, history: &History, now: Instant) -> Pieces {
    let Figures { status, .. } = figures;
    let curve = |curve| points(history, now, curve);
    [
        ("about", about(status)),
        ("overview", overview(role(figures), &figures.health)),
        ("pair", pair(status.pair.as_ref(), &figures.judge)),
        ("wan", wan(status, history, now)),
        ("caches", caches(status, &figures.cache)),
        ("journal", journal(&figures.journal)),
        ("chart", Html::all(charts(curve).iter().map(Html::clone))),
        ("exports", exports(&status.exports)),
        ("clients", clients(figures)),
        ("events", events(&figures.events, "appliance::")),
    ]
    .into()
}

/// What the port is, in words.
fn role(figures: &Figures) -> &'static str {
    let Some(pair) = &figures.status.pair else { return "Serves clients" };
    let judged = figures.judge.status().map(|judge| judge.role.as_str());
    match (judged, pair.is_serving) {
        (Some("starting"), false) => "Starting",
        (Some("acquiring"), false) => "Taking over",
        (Some("releasing"), _) => "Handing over",
        (Some("active"), false) => "Active, and about to serve",
        (_, true) => "Active: serves clients",
        (_, false) => "Passive: the other port serves",
    }
}

fn about(status: &Status) -> Html {
    let Status { version, uptime_seconds, .. } = status;
    Html::new().raw("storage-port ").text(version).raw(", serving for ").text(span(*uptime_seconds))
}

fn pair(pair: Option<&PairStatus>, judge: &Judge) -> Html {
    let Some(pair) = pair else {
        return Html::new().raw("<p>This port stands alone: it is of no pair.</p>");
    };
    let mirror = match (pair.is_serving, pair.is_mirrored, pair.is_caught_up) {
        (true, true, _) => "the other port has all that this one acknowledges".to_owned(),
        (true, false, _) => format!("{} are on this port only", amount::bytes(pair.owed_bytes)),
        (false, _, true) => "whole: this port could take over".to_owned(),
        (false, _, false) => {
            "not whole: acknowledged writes of the other port are, or may be, missing here".to_owned()
        }
    };
    let facts =
        Html::all([fact("Pair", &pair.name), fact("Generation", pair.generation), fact("Mirror", mirror)]);
    let facts = match judge {
        Judge::Unasked => facts.then(&fact("Judge", "not asked: see judge_state_dir of [status_page]")),
        Judge::Silent(why) => facts.then(&fact("Judge", why)),
        Judge::Says(status) => {
            let lease = status.lease.as_ref().map_or("none".to_owned(), |lease| {
                format!("of the {}, for {} ms unless it is renewed", lease.giver, lease.remaining_ms)
            });
            let peer = status.peer.as_ref().map_or("never heard".to_owned(), |peer| {
                let may = if peer.eligible { "may take over" } else { "may not take over" };
                format!("{}, health {}, {may}, heard {} ms ago", peer.role, peer.score, peer.heard_ms)
            });
            let last = status.last_takeover.as_ref().map_or("none since the start".to_owned(), |last| {
                format!("{}: {}", ago(last.ago_ms / 1000), last.reason)
            });
            let health = format!("{} of {} (0 is well)", status.health.score, status.health.threshold);
            facts.then(&Html::all([
                fact("Role", format!("port {}: {}", status.member, status.role)),
                fact("Lease", lease),
                fact("Health score", health),
                fact("Other port", peer),
                fact("Last takeover", last),
            ]))
        }
    };
    list(&facts)
}

fn wan(status: &Status, history: &History, now: Instant) -> Html {
    let rate = |curve| {
        points(history, now, curve).last().map_or("not known yet".to_owned(), |(_, rate)| per_second(*rate))
    };
    let answer = status.wan.answer_micros.map_or("not known yet".to_owned(), |micros| {
        format!("{:.1} ms, on average of the last few", micros as f64 / 1e3)
    });
    let customers = status.customers.iter().map(|customer| {
        let state = if customer.is_center_reachable { "answers" } else { "is away" };
        fact(
            format_args!("Center of customer {}", customer.id),
            format_args!("{state}, for {}", span(customer.contact_seconds)),
        )
    });
    let facts = Html::all(customers).then(&Html::all([
        fact(
            "From the center",
            format!("{}, {} in all", rate(Curve::Received), amount::bytes(status.wan.received_bytes)),
        ),
        fact(
            "To the center",
            format!("{}, {} in all", rate(Curve::Sent), amount::bytes(status.wan.sent_bytes)),
        ),
        fact("The center answers in", answer),
    ]));
    list(&facts)
}

fn caches(status: &Status, cache: &CacheReport) -> Html {
    let CacheReport { hits, misses, warmed: _, evictions, corrupt, disks } = cache;
    let share = cache
        .hit_percent()
        .map_or("none was read yet".to_owned(), |share| format!("{share} % of {} blocks", hits + misses));
    let disks =
        disks.iter().map(|CacheDiskReport { path, is_in_service, bytes_used, bytes_max, files, .. }| {
            let state = if *is_in_service { "" } else { ", OUT OF SERVICE" };
            let (used, max) = (amount::bytes(*bytes_used), amount::bytes(*bytes_max));
            fact(path, format_args!("{used} of {max} in {files} files{state}"))
        });
    let directories = status.customers.iter().map(|customer| {
        let heard = customer
            .feed_seconds
            .map_or("never heard since the start".to_owned(), |seconds| format!("heard {}", ago(seconds)));
        fact(
            format_args!("Directory of customer {}", customer.id),
            format_args!("{} entries, kept true by a change feed {heard}", customer.directory_entries),
        )
    });
    let facts = Html::all([
        fact("Hits", share),
        fact("Counted for", span(status.uptime_seconds)),
        fact("Thrown out", format!("{evictions} files for room, {corrupt} for wrong bytes")),
    ]);
    list(&facts.then(&Html::all(disks)).then(&Html::all(directories)))
}

fn journal(journal: &JournalReport) -> Html {
    let JournalReport {
        files,
        uploading,
        owed_bytes,
        oldest_seconds,
        delay_seconds: _,
        bytes_used,
        bytes_max,
    } = journal;
    let oldest =
        oldest_seconds.map_or("nothing is owed".to_owned(), |seconds| format!("written {}", ago(seconds)));
    list(&Html::all([
        fact(
            "Owed to the center",
            format!("{} of {files} files, {uploading} of them under way", amount::bytes(*owed_bytes)),
        ),
        fact("The oldest of it", oldest),
        fact("Log", format!("{} of {}", amount::bytes(*bytes_used), amount::bytes(*bytes_max))),
    ]))
}

fn charts(curve: impl Fn(Curve) -> Vec<Point>) -> [Html; 4] {
    let chart =
        |title, full, shown, lines: &[(&'static str, Vec<_>)]| Chart { title, full, shown, lines }.draw();
    let bytes = |value: f64| amount::bytes(value as u64);
    [
        chart("NFS calls", None, |value| format!("{value:.1} a second"), &[("", curve(Curve::Calls))]),
        chart("Cache hits", Some(100.0), |value| format!("{value:.0} %"), &[("", curve(Curve::HitShare))]),
        chart(
            "WAN",
            None,
            per_second,
            &[("in", curve(Curve::Received)), ("out (dashed)", curve(Curve::Sent))],
        ),
        chart("Owed to the center", None, bytes, &[("", curve(Curve::Owed))]),
    ]
}

fn exports(exports: &[ExportStatus]) -> Html {
    let rows = exports.iter().map(|export| {
        let ExportStatus { path, tree, customer, folder, squash, .. } = export;
        let place = format_args!("{customer}: {folder}");
        row(&[path, tree, &place, &export.access(), squash, &export.allowed_to(), &export.shared_as()])
    });
    table(
        "Exports",
        &["Path", "What", "Customer and folder", "Access", "Squash", "For", "CIFS shares"],
        rows,
        "storage-port exports",
    )
}

fn clients(figures: &Figures) -> Html {
    let rows = figures.clients.clients.iter().map(|client| {
        let ClientReport { address, connections, connected_seconds, mounts, cifs } = client;
        let connected = |connections, seconds| format!("{connections} connections, for {}", span(seconds));
        let by_nfs = connected_seconds.map(|seconds| connected(*connections, seconds));
        let by_cifs =
            cifs.map(|cifs| format!("CIFS: {}", connected(cifs.connections, cifs.connected_seconds)));
        let ways: Vec<String> = by_nfs.into_iter().chain(by_cifs).collect();
        let connected = if ways.is_empty() { "not connected".to_owned() } else { ways.join("; ") };
        let mounts = mounts.iter().map(|mount| format!("{} ({})", mount.path, ago(mount.seconds)));
        row(&[address, &connected, &mounts.collect::<Vec<_>>().join(", ")])
    });
    table("Clients", &["Address", "Connected", "Mounted"], rows, "storage-port clients")
}

#[cfg(test)]
mod tests {
    use page_server::page::event_log::Entry;
    use page_server::page::health::{Degree, Health, Reason};

    use super::*;
    use crate::cifs_attendance::ShareStatus;
    use crate::inspection::{CifsReport, ClientsReport, MountReport};
    use crate::status_page::testing::{judge_status, status};

    const HOSTILE: &str = "/<img src=x onerror=alert(1)>\"'&";

    fn figures(judge: Judge) -> Figures {
        let cache =
            CacheReport { hits: 3, misses: 1, warmed: 0, evictions: 0, corrupt: 0, disks: Vec::new() };
        let journal = JournalReport {
            files: 0,
            uploading: 0,
            owed_bytes: 0,
            oldest_seconds: None,
            delay_seconds: 30,
            bytes_used: 0,
            bytes_max: 100,
        };
        let clients = ClientsReport { clients: Vec::new(), left_off: 0, calls: 0 };
        let health = Health { degree: Degree::Well, reasons: Vec::new() };
        Figures { at: 0, status: status(), cache, journal, clients, judge, health, events: Vec::new() }
    }

    fn role_with(is_serving: bool, judged: Option<&str>) -> &'static str {
        let judge = judged.map_or(Judge::Unasked, |role| Judge::Says(Box::new(judge_status(role))));
        let mut figures = figures(judge);
        if let Some(pair) = &mut figures.status.pair {
            pair.is_serving = is_serving;
        }
        role(&figures)
    }

    #[test]
    fn a_role_is_said_in_words_also_while_it_changes() {
        let roles = [
            (true, Some("active"), "Active: serves clients"),
            (true, None, "Active: serves clients"),
            (false, None, "Passive: the other port serves"),
            (false, Some("passive"), "Passive: the other port serves"),
            (false, Some("acquiring"), "Taking over"),
            (true, Some("releasing"), "Handing over"),
            (false, Some("starting"), "Starting"),
        ];
        for (is_serving, judged, said) in roles {
            assert_eq!(role_with(is_serving, judged), said);
        }
        let mut alone = figures(Judge::Unasked);
        alone.status.pair = None;
        assert_eq!(role(&alone), "Serves clients");
    }

    /// Every value that somebody else chose: none becomes markup.
    #[test]
    fn names_are_text_wherever_they_stand() {
        let mut judge = judge_status("active");
        judge.member = HOSTILE.to_owned();
        let mut figures = figures(Judge::Says(Box::new(judge)));
        figures.status.exports[0].path = HOSTILE.to_owned();
        figures.status.exports[0].folder = HOSTILE.to_owned();
        let share = ShareStatus { name: HOSTILE.to_owned(), users: vec![HOSTILE.to_owned()] };
        figures.status.exports[0].shares.push(share);
        if let Some(pair) = &mut figures.status.pair {
            pair.name = HOSTILE.to_owned();
        }
        let disk = CacheDiskReport {
            path: HOSTILE.to_owned(),
            is_in_service: false,
            bytes_used: 1,
            bytes_max: 2,
            pinned_bytes: 1,
            pinned_bytes_max: 1,
            files: 1,
        };
        figures.cache.disks.push(disk);
        figures.clients.clients.push(ClientReport {
            address: HOSTILE.to_owned(),
            connections: 1,
            connected_seconds: Some(1),
            mounts: vec![MountReport { path: HOSTILE.to_owned(), seconds: 1 }],
            cifs: Some(CifsReport { connections: 1, connected_seconds: 1 }),
        });
        let (at, times) = (0, 2);
        let [level, source, text] = [(); 3].map(|()| HOSTILE.to_owned());
        figures.events.push(Entry { at, level, source, text, times });
        figures.health.reasons.push(Reason { degree: Degree::Well, text: HOSTILE.to_owned() });
        let pieces = pieces(&figures, &History::default(), Instant::now());
        for (id, times) in
            [("overview", 1), ("pair", 2), ("caches", 1), ("exports", 4), ("clients", 2), ("events", 3)]
        {
            let piece = pieces[id].as_str();
            assert!(!piece.contains("<img"), "{id}: {piece}");
            assert_eq!(
                piece.matches("/&lt;img src=x onerror=alert(1)&gt;&quot;&#39;&amp;").count(),
                times,
                "{id}"
            );
        }
    }
}
