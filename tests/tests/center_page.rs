//! The status page of a storage center in a browser: it says what the command says, shows what happens to disks and
//! processes, cannot be written into by whoever chooses a name, and changes nothing.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use e2e::cluster::{Cluster, Settings};
use e2e::daemon::{binary, free_port};
use e2e::devtools::Tab;
use e2e::site::Site;
use e2e::tools::{curl, run, run_ok};
use serde_json::{Value, json};

/// Of a page that is at hand, and of what is new on it: it asks every two seconds, and so does the process others.
const LOADED_WITHIN_MS: f64 = 1_000.0;
const SEEN_WITHIN: Duration = Duration::from_secs(15);
/// All that a page of ours may do.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      frame-ancestors 'none'; base-uri 'none'; form-action 'self'";
const PAGE_PORT: u16 = 7420;

/// A storage center of one process, with a page.
fn alone() -> (Site, SocketAddr) {
    let mut site = Site::start();
    let listen = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let config = site.center_config();
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}\n[status_page]\nlisten = \"{listen}\"\n")).unwrap();
    site.center.stop();
    site.center.restart();
    (site, listen)
}

fn has(place: &str, text: &str) -> String {
    format!("document.querySelector('{place}').innerText.includes({text:?})")
}

/// The page is there within a second, says what `status` says, to programs as well, and changes nothing; nothing on it is
/// from elsewhere, and whoever has a phone sees all of it.
#[test]
fn the_page_says_what_the_command_says() {
    let (site, listen) = alone();
    let url = |path: &str| format!("http://{listen}{path}");
    let mut tab = Tab::open(site.path(), None);
    tab.visit(&url("/"));
    let loaded = tab.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd").as_f64().unwrap();
    assert!(loaded > 0.0 && loaded < LOADED_WITHIN_MS, "loaded after {loaded} ms");
    let overview = tab.text("#overview");
    assert!(overview.contains("1 process, 3 disks") && overview.contains("Well"), "{overview}");
    let disks = tab.text("#disks");
    for disk in site.disks() {
        assert!(disks.contains(disk.to_str().unwrap()), "{disks}");
    }
    assert!(tab.text("#mirror").contains("keeps no mirrored directory"));
    assert_eq!(tab.evaluate("document.querySelectorAll('#chart svg').length"), 4);
    assert_eq!(tab.evaluate("document.querySelectorAll('form, button, input').length"), 0);

    let (program, config) = (binary("storage-center"), site.center_config());
    let said = run_ok(program.to_str().unwrap(), &["status", "--json", "--config", config.to_str().unwrap()]);
    let said: Value = serde_json::from_slice(&said).unwrap();
    let (code, header, body) = curl(&url("/status.json"), &[]);
    assert_eq!(code, 200, "{header}");
    let shown = &serde_json::from_slice::<Value>(&body).unwrap()["figures"]["status"];
    let paths = |status: &Value| {
        let disks = status["processes"][0]["details"]["disks"].as_array().unwrap();
        disks.iter().map(|disk| disk["path"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(paths(shown), paths(&said));
    assert_eq!((&shown["copies_owed"], &shown["seen_by"]), (&said["copies_owed"], &said["seen_by"]));

    for (path, status) in
        [("/", 200), ("/script.js", 200), ("/style.css", 200), ("/icon.svg", 200), ("/login", 404)]
    {
        let (code, header, _) = curl(&url(path), &[]);
        assert_eq!(code, status, "{path}");
        assert!(
            header.to_lowercase().contains(&format!("content-security-policy: {}", POLICY.to_lowercase()))
        );
        assert_eq!(curl(&url(path), &["-X", "POST", "-d", ""]).0, 405, "{path}");
    }
    for (width, height) in [(1280, 900), (360, 740)] {
        tab.resize(width, height);
        tab.visit(&url("/"));
        let all = "(({ scrollWidth, clientWidth }) => [scrollWidth <= clientWidth, innerWidth])(document.documentElement)";
        assert_eq!(tab.evaluate(all), json!([true, width]), "it is moved sideways");
        let picture = tab.screenshot();
        assert!(picture.starts_with(b"\x89PNG") && picture.len() > 8 << 10, "{} bytes", picture.len());
    }
}

/// What happens to a cluster's disks and processes is seen while it happens, on a page that is not loaded again.
#[test]
fn a_disk_that_is_drained_and_a_node_that_is_gone_are_seen() {
    let mut cluster = Cluster::start("page", Settings::default());
    // The browser finds no other host.
    let listen = SocketAddr::from(([127, 0, 0, 1], PAGE_PORT));
    cluster.directory.edit_config("[cluster]", &format!("[status_page]\nlisten = \"{listen}\"\n\n[cluster]"));
    cluster.directory.daemon.stop();
    cluster.directory.daemon.restart();
    cluster.wait_assembled();
    let namespace = cluster.directory.host().namespace().name().to_owned();
    let mut tab = Tab::open(cluster.path(), Some(&namespace));
    tab.visit(&format!("http://{listen}/"));
    tab.until("all are well", &has("#overview", "Well"));
    assert!(tab.text("#overview").contains("7 processes, 8 disks"), "{}", tab.text("#overview"));
    tab.evaluate("document.body.dataset.same = 'yes'");

    let first = &cluster.nodes[0].member;
    let (number, drain) = (first.number(), |undo: &[&str]| {
        let said = first.command(&["drain", "--disk", "1"], undo);
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    });
    drain(&[]);
    let took = tab.until("the disk is being drained", &has("#disks", "being drained"));
    assert!(took < SEEN_WITHIN, "after {took:?}");
    let overview = tab.text("#overview");
    assert!(
        overview.contains("Needs attention")
            && overview.contains(&format!("of process {number} is being drained")),
        "{overview}"
    );
    drain(&["--undo"]);
    tab.until("it is not any more", &has("#overview", "Well"));

    let gone = cluster.nodes[1].member.number();
    cluster.nodes[1].member.daemon.kill_9();
    let took = tab.until("the node is away", &has("#overview", &format!("process {gone} at")));
    assert!(took < SEEN_WITHIN, "after {took:?}");
    tab.until("it is given up", &has("#overview", "is away: start it"));
    let first_row = tab.evaluate("document.querySelector('#nodes tbody tr').innerText");
    assert!(first_row.as_str().unwrap().starts_with(&gone.to_string()), "{first_row}");
    cluster.nodes[1].member.daemon.restart();
    tab.until("it is back", &has("#overview", "Well"));
    assert_eq!(tab.evaluate("document.body.dataset.same"), "yes");
}

/// Half a certificate is told before anything is served.
#[test]
fn a_certificate_needs_its_key() {
    let site = Site::start();
    let config = site.center_config();
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}\n[status_page]\nlisten = \"127.0.0.1:1\"\nkey = \"/k\"\n")).unwrap();
    let check = ["config", "check", "--config", config.to_str().unwrap()];
    let said = String::from_utf8(run(binary("storage-center").to_str().unwrap(), &check).stderr).unwrap();
    assert!(
        said.contains("status_page") && said.contains("certificate") && said.lines().count() == 1,
        "{said}"
    );
}
