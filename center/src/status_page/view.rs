//! From figures to what is seen: a piece of markup for each place of the page. Pure.

use std::cmp::Reverse;
use std::time::Instant;

use page_server::amount;
use page_server::page::chart::Chart;
use page_server::page::html::Html;
use page_server::page::parts::{events, fact, list, overview, row, table};
use page_server::page::shown::Pieces;
use page_server::page::words::{ago, span};

use super::figures::Figures;
use super::history::{Curve, History, points};
use crate::cluster::mirror::status::{FollowerStatus, MirrorStatus};
use crate::cluster::status::{ClusterStatus, Details, DiskDetails, ProcessStatus};

/// Where all of a table is that has too many lines.
const ALL: &str = "storage-center status";

/// Every piece by the id of its place.
pub fn pieces(figures: &Figures, history: &History, now: Instant) -> Pieces {
    let Figures { at, status, mirror, health, events: kept } = figures;
    [
        ("about", about(status)),
        ("overview", overview(&size(status), health)),
        ("debts", debts(status)),
        ("mirror", of_mirror(mirror.as_ref())),
        ("chart", Html::all(charts(history, now))),
        ("nodes", processes(status)),
        ("disks", disks(status, at / 1_000_000_000)),
        ("events", events(kept, "center::")),
    ]
    .into()
}

fn about(status: &ClusterStatus) -> Html {
    let ClusterStatus { seen_by, processes, .. } = status;
    let own = processes.iter().find(|process| process.node == *seen_by);
    let details = own.and_then(|process| process.details.as_ref());
    let about = Html::new().raw("storage-center");
    let about = match details {
        Some(details) => {
            about.raw(" ").text(&details.version).raw(", for ").text(span(details.uptime_seconds))
        }
        None => about,
    };
    about.raw("; as process ").text(seen_by).raw(" sees it")
}

/// How much of it there is, in words.
fn size(status: &ClusterStatus) -> String {
    let plural =
        |count: usize, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
    let disks =
        status.processes.iter().flat_map(|process| &process.details).map(|details| details.disks.len());
    let processes = plural(status.processes.len(), "process", "processes");
    format!("{processes}, {}", plural(disks.sum(), "disk", "disks"))
}

fn debts(status: &ClusterStatus) -> Html {
    let details = || status.processes.iter().filter_map(|process| process.details.as_ref());
    let disks = || details().flat_map(|details| &details.disks);
    let (read, objects): (u64, u64) =
        (disks().map(|disk| disk.scrub_read).sum(), disks().map(|disk| disk.objects).sum());
    let (free, total): (u64, u64) =
        (disks().map(|disk| disk.bytes_free).sum(), disks().map(|disk| disk.bytes_total).sum());
    let damaged: u64 = disks().map(|disk| disk.scrub_damaged).sum();
    list(&Html::all([
        fact("Copies owed", status.copies_owed),
        fact("Copies too many, which go soon", status.copies_spare),
        fact("Copies made since the start", details().map(|details| details.copies_made).sum::<u64>()),
        fact(
            "Read against digests",
            format!("{read} of {objects} copies in the rounds under way, {damaged} of them damaged"),
        ),
        fact("Free", format!("{} of {}", amount::bytes(free), amount::bytes(total))),
    ]))
}

fn of_mirror(mirror: Option<&MirrorStatus>) -> Html {
    let Some(mirror) = mirror else {
        return Html::new().raw("<p>This process keeps no mirrored directory.</p>");
    };
    let MirrorStatus {
        center,
        role,
        generation,
        writer,
        position,
        writer_position,
        log_entries,
        log_bytes,
        ..
    } = mirror;
    let behind = writer_position.saturating_sub(*position);
    let followers = mirror.followers.iter().map(|FollowerStatus { center, owed, silent_ms, .. }| {
        fact(
            format_args!("Follower {center}"),
            format_args!("lacks {owed} changes, asked {}", ago(silent_ms / 1_000)),
        )
    });
    let facts = Html::all([
        fact("This center", format!("{center}: {role}")),
        fact("Written by", format!("{writer}, in generation {generation}")),
        fact("Last change here", format!("{position}, {behind} behind the writer")),
        fact("Kept for followers", format!("{log_entries} changes, {}", amount::bytes(*log_bytes))),
    ]);
    list(&facts.then(&Html::all(followers)))
}

fn charts(history: &History, now: Instant) -> [Html; 4] {
    let chart = |title, shown, curve| {
        Chart { title, full: None, shown, lines: &[("", points(history, now, curve))] }.draw()
    };
    [
        chart("Operations between processes", |value| format!("{value:.0} a second"), Curve::Operations),
        chart("Taken on all disks", |value| amount::bytes(value as u64), Curve::Used),
        chart("Copies owed", |value| format!("{value:.0}"), Curve::Owed),
        chart("Read against digests", |value| format!("{value:.1} objects a second"), Curve::Scrubbed),
    ]
}

/// Those that are not well first, so that a bound never hides them.
fn processes(status: &ClusterStatus) -> Html {
    let mut sorted: Vec<&ProcessStatus> = status.processes.iter().collect();
    sorted.sort_by_key(|process| {
        let is_well = process.condition == "live" && process.state == "online" && process.details.is_some();
        (is_well, process.node)
    });
    let rows = sorted.into_iter().map(|process| {
        let ProcessStatus { node, roles, address, center, condition, state, details } = process;
        let (version, uptime, operations, owed) = match details {
            Some(Details { version, uptime_seconds, ops_per_second, copies_owed, .. }) => {
                (version.as_str(), span(*uptime_seconds), ops_per_second.to_string(), copies_owed.to_string())
            }
            None => ("", "does not answer".to_owned(), String::new(), String::new()),
        };
        row(&[
            node,
            &roles.join(", "),
            address,
            center,
            condition,
            state,
            &version,
            &uptime,
            &operations,
            &owed,
        ])
    });
    let columns = [
        "Number",
        "Parts",
        "Address",
        "Center",
        "Seen",
        "Says",
        "Version",
        "Runs for",
        "Operations/s",
        "Owed",
    ];
    table("Processes", &columns, rows, ALL)
}

/// As [`processes`], and of those that are well the fullest first.
fn disks(status: &ClusterStatus, now_seconds: i64) -> Html {
    let mut sorted: Vec<(u32, &DiskDetails)> = Vec::new();
    for process in &status.processes {
        let disks = process.details.iter().flat_map(|details| &details.disks);
        sorted.extend(disks.map(|disk| (process.node, disk)));
    }
    sorted.sort_by_key(|(_, disk)| {
        let is_well = disk.state == "online" && !disk.draining && disk.quarantined == 0;
        let used = disk.bytes_total.saturating_sub(disk.bytes_free);
        (is_well, Reverse(used.saturating_mul(1_000) / disk.bytes_total.max(1)))
    });
    let rows = sorted.into_iter().map(|(node, disk)| {
        let DiskDetails { path, state, reason, draining, bytes_free, bytes_total, objects, .. } = disk;
        let draining = if *draining { ", being drained" } else { "" };
        let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
        let room = format!("{} of {}", amount::bytes(*bytes_free), amount::bytes(*bytes_total));
        let ended = match i64::try_from(disk.scrub_ended) {
            Ok(0) | Err(_) => "no round ended yet".to_owned(),
            Ok(ended) => format!(
                "the last round ended {}",
                ago(now_seconds.saturating_sub(ended).max(0).unsigned_abs())
            ),
        };
        let scrub = format!("{} of {objects}, {} damaged; {ended}", disk.scrub_read, disk.scrub_damaged);
        let state = format_args!("{state}{draining}{reason}");
        row(&[&node, path, &state, &room, objects, &disk.quarantined, &scrub])
    });
    let columns = ["Process", "Disk", "State", "Free", "Copies", "Put aside", "Read against digests"];
    table("Disks", &columns, rows, ALL)
}

#[cfg(test)]
mod tests {
    use page_server::page::event_log::Entry;
    use page_server::page::health::Reason;
    use page_server::page::parts::ROWS_MAX;

    use super::*;
    use crate::status_page::testing::figures;

    const HOSTILE: &str = "/<img src=x onerror=alert(1)>\"'&";

    /// Every value that somebody else chose: none becomes markup.
    #[test]
    fn names_are_text_wherever_they_stand() {
        let mut figures = figures();
        let process = &mut figures.status.processes[0];
        (process.center, process.address) = (HOSTILE.into(), HOSTILE.into());
        let disk = &mut process.details.as_mut().unwrap().disks[0];
        (disk.path, disk.reason) = (HOSTILE.into(), HOSTILE.into());
        let mirror = figures.mirror.as_mut().unwrap();
        (mirror.center, mirror.writer, mirror.followers[0].center) =
            (HOSTILE.into(), HOSTILE.into(), HOSTILE.into());
        figures.health.reasons.push(Reason::attention(HOSTILE));
        let [level, source, text] = [(); 3].map(|()| HOSTILE.to_owned());
        figures.events.push(Entry { at: 0, times: 1, level, source, text });
        let pieces = pieces(&figures, &History::default(), Instant::now());
        for (id, times) in [("overview", 1), ("mirror", 3), ("nodes", 2), ("disks", 2), ("events", 3)] {
            let piece = pieces[id].as_str();
            assert!(!piece.contains("<img"), "{id}: {piece}");
            assert_eq!(piece.matches("&lt;img src=x").count(), times, "{id}: {piece}");
        }
    }

    /// However many there are, what is not well is on the page.
    #[test]
    fn what_is_not_well_is_first() {
        let mut figures = figures();
        let well = figures.status.processes[0].clone();
        figures.status.processes =
            (1..=2 * ROWS_MAX as u32).map(|node| ProcessStatus { node, ..well.clone() }).collect();
        let last = figures.status.processes.last_mut().unwrap();
        last.details.as_mut().unwrap().disks[0].state = "down".into();
        let away = &mut figures.status.processes[ROWS_MAX + 7];
        (away.details, away.condition) = (None, "failed".into());
        let pieces = pieces(&figures, &History::default(), Instant::now());
        let first = |id: &str| {
            pieces[id].as_str().split("<tbody>").nth(1).unwrap().split("</tr>").next().unwrap().to_owned()
        };
        assert!(first("nodes").starts_with("<tr><td>208</td>"), "{}", first("nodes"));
        assert!(first("disks").starts_with("<tr><td>400</td>"), "{}", first("disks"));
        assert!(pieces["nodes"].as_str().contains("And 200 more: see storage-center status"));
    }
}
