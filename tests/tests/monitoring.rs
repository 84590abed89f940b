//! What running daemons show a Prometheus server is what docs/metrics.md says, promtool finds it well formed, and the
//! alert rules and the dashboard ask for nothing else.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use e2e::cluster::Settings;
use e2e::cluster::centers::Centers;
use e2e::daemon::free_port;
use e2e::netns::NetworkNamespace;
use e2e::pair::ground::Ground;
use e2e::pair::member::Side;
use e2e::pair::ours::{JUDGE_METRICS, PORT_METRICS};
use e2e::pair::{Judges, Pair};
use e2e::poll;
use e2e::site::{PortSettings, Site};
use e2e::tools::{curl, run_ok};

const PATIENCE: Duration = Duration::from_secs(30);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The page at an address of the test's own network.
fn page(address: &str) -> String {
    let (status, header, body) = curl(&format!("http://{address}/metrics"), &[]);
    assert_eq!(status, 200, "{header}");
    assert!(header.to_lowercase().contains("text/plain; version=0.0.4"), "{header}");
    String::from_utf8(body).unwrap()
}

/// The page at an address of another one.
fn page_in(namespace: &NetworkNamespace, address: impl std::fmt::Display) -> String {
    let url = format!("http://{address}/metrics");
    String::from_utf8(namespace.run_ok("curl", &["--silent", "--fail", "--max-time", "20", &url])).unwrap()
}

/// The value of a series, as it is written.
fn value(page: &str, series: &str) -> Option<f64> {
    let mut lines = page.lines().filter_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    lines.next().map(|value| value.parse().unwrap())
}

/// What promtool says of a page: nothing, if it is as it should be.
#[track_caller]
fn assert_well_formed(page: &str) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}\n{page}", String::from_utf8_lossy(&said));
}

/// The table of what these pages show, in the order of the last one that has it.
fn table(pages: &[&str]) -> Vec<String> {
    let mut lines = Vec::new();
    for page in pages {
        let helps: BTreeMap<&str, &str> =
            page.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split_once(' ')).collect();
        for (name, kind) in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')) {
            let words: Vec<&str> = name.split('_').collect();
            let unit = ["bytes", "seconds"].into_iter().find(|unit| words.contains(unit)).unwrap_or("–");
            let line = format!("| `{name}` | {kind} | {unit} | {} |", helps[name]);
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
    lines
}

/// Compares the table of a daemon in docs/metrics.md with what its pages show; with `UPDATE=1`, writes it.
#[track_caller]
fn assert_documented(prefix: &str, pages: &[&str]) {
    let (shown, path) = (table(pages), root().join("docs/metrics.md"));
    let document = fs::read_to_string(&path).unwrap();
    let is_row = |line: &&str| line.starts_with(&format!("| `{prefix}_"));
    if std::env::var_os("UPDATE").is_some() {
        let heading = format!("## `{}`", prefix.replace('_', "-"));
        let mut lines: Vec<&str> = document.lines().filter(|line| !is_row(line)).collect();
        let section = lines.iter().position(|line| *line == heading).unwrap();
        let rule = section + lines[section..].iter().position(|line| line.starts_with("|---")).unwrap();
        lines.splice(rule + 1..rule + 1, shown.iter().map(String::as_str));
        fs::write(&path, lines.join("\n") + "\n").unwrap();
        return;
    }
    let documented: Vec<&str> = document.lines().filter(is_row).collect();
    assert_eq!(documented, shown, "docs/metrics.md: see `UPDATE=1` there");
}

/// A port that stands alone: what clients did is counted, and the same page is well formed and not served elsewhere.
#[test]
fn a_port_counts_what_its_clients_do() {
    let site = Site::start();
    let listen = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let more = format!("\n[metrics]\nlisten = \"{listen}\"\n");
    let port = site.port_with("port", &PortSettings { more, ..PortSettings::default() });
    let address = listen.to_string();
    let before = page(&address);
    assert_well_formed(&before);
    assert_eq!(value(&before, "storage_port_serving"), Some(1.0));
    assert_eq!(value(&before, "storage_port_center_reachable{customer=\"1\"}"), Some(1.0));
    assert_eq!(value(&before, "storage_port_clients"), Some(0.0));
    assert_eq!(value(&before, "storage_port_pair_generation"), None, "it is of no pair");

    let (data, mut mount) = (vec![7; 4096], port.mount("/export"));
    let root = mount.root();
    let file = mount.put(&root, b"file", &data).unwrap();
    assert!(mount.lookup(&root, b"nothing").is_err());
    assert_eq!(mount.read(&file).unwrap(), data);
    let mut urls = port.mount("/SRL");
    let srl = urls.walk("file").unwrap();
    urls.read(&srl).unwrap();
    let after = poll::until("the file is uploaded and counted", PATIENCE, || {
        let page = page(&address);
        (value(&page, "storage_port_uploads_total") == Some(1.0)).then_some(page)
    });
    assert_well_formed(&after);
    let calls = |procedure, outcome| {
        let labels = format!("{{procedure=\"{procedure}\",outcome=\"{outcome}\"}}");
        value(&after, &format!("storage_port_nfs_calls_total{labels}"))
    };
    assert_eq!((calls("LOOKUP", "refused"), calls("CREATE", "done")), (Some(1.0), Some(1.0)), "{after}");
    assert!(calls("READ", "done") >= Some(2.0), "{after}");
    assert_eq!(calls("WRITE", "failed"), Some(0.0));
    let took = value(&after, "storage_port_nfs_call_seconds_count{procedure=\"CREATE\"}");
    assert_eq!(took, Some(1.0));
    assert_eq!(value(&after, "storage_port_srl_reads_total"), Some(1.0), "{after}");
    assert_eq!(value(&after, "storage_port_clients"), Some(1.0));
    assert_eq!(value(&after, "storage_port_connections"), Some(2.0));
    assert_eq!(value(&after, "storage_port_journal_owed_bytes"), Some(0.0));
    assert!(value(&after, "storage_port_journal_disk_free_bytes") > Some(0.0));
    assert!(value(&after, "storage_port_directory_entries{customer=\"1\"}") >= Some(2.0), "{after}");

    // A center of one process shows its disks and cache, under names that clusters have as well.
    let center = page(site.center_url().strip_prefix("http://").unwrap());
    assert_well_formed(&center);
    assert_eq!(value(&center, "storage_center_disk_online{disk=\"2\"}"), Some(1.0), "{center}");
    let documented = text("docs/metrics.md");
    for line in table(&[&center]) {
        assert!(documented.contains(&line), "docs/metrics.md lacks {line}");
    }
    for (url, status) in [("/", 404), ("/metrics/", 404)] {
        assert_eq!(curl(&format!("http://{listen}{url}"), &[]).0, status, "{url}");
    }
    assert_eq!(curl(&format!("http://{listen}/metrics"), &["--request", "POST"]).0, 405);

    drop((mount, urls));
    poll::until("the clients are gone", PATIENCE, || {
        (value(&page(&address), "storage_port_clients") == Some(0.0)).then_some(())
    });
}

/// FO-2: a pair says who serves, under whose lease, and how well.
#[test]
fn a_pair_shows_what_is_documented() {
    let ground = Ground::new("metrics");
    let mut pair = Pair::start(&ground, 1, Judges::Failover);
    let look =
        |pair: &Pair, address| Side::BOTH.map(|side| page_in(pair.member(side).host.namespace(), address));
    let [port, other] = look(&pair, PORT_METRICS);
    let [judge, peer] = look(&pair, JUDGE_METRICS);
    for page in [&port, &other, &judge, &peer] {
        assert_well_formed(page);
    }
    assert_documented("storage_port", &[&port]);
    assert_documented("port_failover", &[&judge]);
    assert_eq!(table(&[&judge]), table(&[&peer]), "active and passive");
    let role = |page: &str, member, role| {
        let labels = format!("{{pair=\"site-1\",member=\"{member}\",role=\"{role}\"}}");
        value(page, &format!("port_failover_role{labels}"))
    };
    let active = if role(&judge, "a", "active") == Some(1.0) { Side::A } else { Side::B };
    let pages = [(&judge, "a"), (&peer, "b")];
    let owners: f64 = pages.iter().map(|(page, member)| role(page, member, "active").unwrap()).sum();
    assert_eq!(owners, 1.0, "{judge}{peer}");
    let serving = [&port, &other].map(|page| value(page, "storage_port_serving").unwrap());
    assert_eq!(serving[active as usize], 1.0);
    assert_eq!(serving[active.other() as usize], 0.0);
    let of_active = pages[active as usize].0;
    assert_eq!(value(of_active, "port_failover_lease{giver=\"peer\"}"), Some(1.0), "{of_active}");
    assert!(value(of_active, "port_failover_lease_remaining_seconds") > Some(0.0), "{of_active}");

    let taken = |page: &str| value(page, "port_failover_takeovers_total").unwrap();
    let before = taken(pages[active.other() as usize].0);
    pair.hand_to(active.other());
    pair.wait_well();
    // A page is given to all who ask within half a second.
    let after = poll::until("a page made after that", PATIENCE, || {
        let after = look(&pair, JUDGE_METRICS);
        (taken(&after[active.other() as usize]) != before).then_some(after)
    });
    assert_eq!(taken(&after[active.other() as usize]), before + 1.0);
    assert!(value(&after[active.other() as usize], "port_failover_last_takeover_seconds").is_some());
}

/// Two centers that mirror each other have all there is to show.
#[test]
fn centers_show_what_is_documented() {
    let settings = Settings { managers: 1, nodes: 2, cache_bytes: 64 << 20, ..Settings::default() };
    let centers = Centers::start("metrics", settings);
    centers.wait_assembled();
    let [north, _] = centers.both();
    let look = |member: &e2e::cluster::member::Member| page_in(member.host().namespace(), member.http());
    let (manager, directory) = (look(&north.managers[0]), look(&north.directory));
    assert_well_formed(&manager);
    assert_well_formed(&directory);
    assert_documented("storage_center", &[&manager, &directory]);
}

/// Names of metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
    let prefixes = ["storage_port_", "port_failover_", "storage_center_"];
    let series = words.filter(|word| prefixes.iter().any(|prefix| word.starts_with(prefix)));
    series.map(str::to_owned).collect()
}

#[test]
fn alerts_and_dashboard_ask_for_documented_metrics_alone() {
    let documented = names(&text("docs/metrics.md"));
    for file in ["monitoring/alerts.yml", "monitoring/alerts.test.yml", "monitoring/grafana.json"] {
        let asked = names(&text(file));
        assert!(asked.len() > 10, "{file}: {asked:?}");
        for name in asked {
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|part| name.strip_suffix(part))
                .filter(|family| documented.contains(*family));
            assert!(documented.contains(family.unwrap_or(&name)), "{file}: `{name}` is not documented");
        }
    }
}

#[test]
fn every_alert_fires_and_is_silent_and_says_what_to_do() {
    let (rules, tests) = (root().join("monitoring/alerts.yml"), root().join("monitoring/alerts.test.yml"));
    run_ok("promtool", &["check", "rules", rules.to_str().unwrap()]);
    run_ok("promtool", &["test", "rules", tests.to_str().unwrap()]);
    let (rules, tests) = (text("monitoring/alerts.yml"), text("monitoring/alerts.test.yml"));
    let alerts: Vec<&str> = rules.split("- alert: ").skip(1).collect();
    assert!(alerts.len() > 20, "only {} alerts", alerts.len());
    for alert in alerts {
        let name = alert.lines().next().unwrap();
        for case in ["fires", "is silent"] {
            assert!(
                tests.contains(&format!("- name: {name} {case}\n")),
                "alerts.test.yml: no `{name} {case}`"
            );
        }
        let annotation = |key: &str| {
            let line = alert.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix(": "));
            line.unwrap_or_else(|| panic!("{name} has no {key}")).trim_matches('"')
        };
        assert!(annotation("summary").len() > 20 && annotation("action").len() > 40, "{name}");
        let (file, section) = annotation("docs").split_once('#').unwrap();
        let anchor = |line: &str| line.trim_start_matches(['#', ' ']).to_lowercase().replace(' ', "-");
        let document = text(file);
        let headings = document.lines().filter(|line| line.starts_with("## "));
        assert!(headings.into_iter().any(|line| anchor(line) == section), "{name}: {file} has no {section}");
    }
}
