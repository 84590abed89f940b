//! Samba's own tests of SMB2 servers (Debian's samba-testsuite), against the CIFS gateway. What passes is listed in
//! docs/smbtorture.md and must go on passing; `SMBTORTURE=all` runs the rest as well and writes the page,
//! `SMBTORTURE=smb2.read` runs what begins so and says how it failed.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fmt::Write;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use e2e::daemon::free_port;
use e2e::mount::mode;
use e2e::shared::{settings, write_users};
use e2e::site::{PortSettings, Site};
use e2e::tools::{run, run_ok};

/// Tests that run side by side, each in a share of its own: they use names of their program's choice.
const WORKERS: usize = 4;
/// What the gateway must pass, whatever else it passes.
const PASSED_MIN: usize = 85;
/// A test of the list is much shorter; of the others some wait for a client that is never told.
const SECONDS_MAX: &str = "45";
/// Of what a failed test has said.
const LINES_TOLD: usize = 6;
/// Groups that measure, or wait for somebody at the keyboard, or take most of a minute.
const LEFT_OUT: [&str; 4] = ["smb2.bench", "smb2.hold-oplock", "smb2.hold-sharemode", "smb2.maxfid"];
const PAGE_BEGIN: &str = "\
# smbtorture

Samba's tests of SMB2 servers, one process each, against the CIFS gateway (`SMBTORTURE=all cargo test -p e2e --test
smbtorture` writes this page). What passes is listed below and is run by `./test`; it must go on passing. Most of what
does not pass asks for what the gateway does not offer: oplocks and leases (an export is written by NFS, too), durable
handles, ACLs, alternate streams, copies made by the server.

";
const LIST_BEGIN: &str = "```text\n";
const LIST_END: &str = "```\n";

/// A port with a share for each worker.
struct Torture {
    site: Site,
    _port: e2e::site::Port,
    server: SocketAddr,
}

impl Torture {
    fn start() -> Self {
        let site = Site::start();
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        // Several of the tests do not sign what they send.
        let mut more = settings(&site, server, "signing = \"offered\"").more;
        for worker in 0..WORKERS {
            write!(
                more,
                "\n[[export]]\npath = \"/worker{worker}\"\ntree = \"files\"\ncustomer = 1\nfolder = \"/worker{worker}\"\n\
                 squash = \"none\"\n"
            )
            .unwrap();
        }
        let settings = PortSettings { more, ..PortSettings::default() };
        let (dir, config) = site.write_port_config("port", &settings);
        write_users(&site, &config);
        let port = site.start_port(dir, &config);
        let mut mount = port.mount("/export");
        let root = mount.root();
        for worker in 0..WORKERS {
            let folder = mount.mkdir(&root, format!("worker{worker}").as_bytes()).unwrap();
            mount.setattr(&folder, mode(0o777)).unwrap();
        }
        Self { site, _port: port, server }
    }

    /// Whether a test passes; otherwise what it said last.
    fn run(&self, test: &str, worker: usize) -> Result<(), String> {
        let port = format!("--option=smb ports={}", self.server.port());
        let unc = format!("//{}/worker{worker}", self.server.ip());
        let (user, scratch) = ("--user=alice%Secret 1", format!("--basedir={}", self.site.path().display()));
        let arguments =
            [SECONDS_MAX, "smbtorture", "--configfile=/dev/null", user, &scratch, &port, &unc, test];
        let output = run("timeout", &arguments);
        let said = [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat();
        let succeeded = said.lines().any(|line| line.starts_with("success: "));
        if output.status.success() && succeeded {
            return Ok(());
        }
        let lines: Vec<&str> = said.lines().filter(|line| !["", "]"].contains(&line.trim())).collect();
        let last = lines[lines.len().saturating_sub(LINES_TOLD)..].join("\n");
        Err(format!("{}: {last}", output.status))
    }

    /// What comes of each of the tests.
    fn run_all(&self, tests: &BTreeSet<String>) -> BTreeMap<String, Result<(), String>> {
        let tests: Vec<&String> = tests.iter().collect();
        let (next, done) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
        thread::scope(|scope| {
            for worker in 0..WORKERS {
                let (tests, next, done) = (&tests, &next, &done);
                scope.spawn(move || {
                    while let Some(test) = tests.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let came = self.run(test, worker);
                        done.lock().unwrap_or_else(PoisonError::into_inner).insert((*test).clone(), came);
                    }
                });
            }
        });
        done.into_inner().unwrap()
    }
}

fn page_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/smbtorture.md")
}

/// The tests that the page says pass.
fn listed() -> BTreeSet<String> {
    let page = fs::read_to_string(page_path()).unwrap();
    let (_, list) = page.split_once(LIST_BEGIN).unwrap();
    let (list, _) = list.split_once(LIST_END).unwrap();
    list.lines().map(str::to_owned).collect()
}

/// The tests that there are. The program's list has the last part of each name twice.
fn all() -> BTreeSet<String> {
    let list = String::from_utf8(run_ok("smbtorture", &["--list"])).unwrap();
    let names = list.lines().filter(|line| line.starts_with("smb2."));
    let once = |name: &str| match name.rsplit_once('.') {
        Some((test, last)) if test.ends_with(&format!(".{last}")) => test.to_owned(),
        _ => name.to_owned(),
    };
    let names = names.map(once);
    names.filter(|name| !LEFT_OUT.contains(&group(name).as_str())).collect()
}

/// `smb2.read` of `smb2.read.eof`.
fn group(test: &str) -> String {
    test.splitn(3, '.').take(2).collect::<Vec<_>>().join(".")
}

fn page(results: &BTreeMap<String, Result<(), String>>) -> String {
    let mut groups: BTreeMap<String, [usize; 2]> = BTreeMap::new();
    for (test, result) in results {
        let [passed, tests] = groups.entry(group(test)).or_default();
        *passed += usize::from(result.is_ok());
        *tests += 1;
    }
    let passed: Vec<&String> =
        results.iter().filter(|(_, result)| result.is_ok()).map(|(test, _)| test).collect();
    let mut page = PAGE_BEGIN.to_owned();
    writeln!(page, "{} of {} pass.\n\n| group | pass | of |\n|---|---|---|", passed.len(), results.len())
        .unwrap();
    for (group, [passed, tests]) in groups {
        writeln!(page, "| {group} | {passed} | {tests} |").unwrap();
    }
    writeln!(page, "\n## What passes\n").unwrap();
    page.push_str(LIST_BEGIN);
    for test in passed {
        writeln!(page, "{test}").unwrap();
    }
    page.push_str(LIST_END);
    page
}

/// PORT-1: what passed once passes.
#[test]
fn what_passes_goes_on_passing() {
    let torture = Torture::start();
    if let Ok(wanted) = env::var("SMBTORTURE") {
        let is_all = wanted == "all";
        let tests = all().into_iter().filter(|test| is_all || test.starts_with(&wanted)).collect();
        let results = torture.run_all(&tests);
        for (test, result) in &results {
            println!("{test}: {}", result.as_ref().map_or_else(String::as_str, |()| "passed"));
        }
        if is_all {
            fs::write(page_path(), page(&results)).unwrap();
        }
        return;
    }
    let listed = listed();
    assert!(listed.len() >= PASSED_MIN, "the page lists {} tests", listed.len());
    let failed = |(test, result): (String, Result<(), String>)| result.is_err().then_some(test);
    let again: BTreeSet<String> = torture.run_all(&listed).into_iter().filter_map(failed).collect();
    // Some go by the clock, and four at once are late on a busy machine: those are tried alone.
    let results = again.into_iter().map(|test| (torture.run(&test, 0), test));
    let failed: Vec<_> = results.filter(|(result, _)| result.is_err()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}
