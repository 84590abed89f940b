//! The status page of a port in a browser: it says what the commands say, follows a takeover, cannot be written into by
//! whoever chooses a name, and lets nobody without the password change anything.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use e2e::daemon::{binary, free_port};
use e2e::data;
use e2e::devtools::Tab;
use e2e::pair::ground::Ground;
use e2e::pair::ours::STATUS_PAGE;
use e2e::pair::{Judges, Pair};
use e2e::site::{Port, PortSettings, Site};
use e2e::tools::{curl, run_ok};
use serde_json::{Value, json};

/// Of a page that is at hand, and of what is new on it: it asks every two seconds.
const LOADED_WITHIN_MS: f64 = 1_000.0;
const SEEN_WITHIN: Duration = Duration::from_secs(10);
/// All that a page of ours may do.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      frame-ancestors 'none'; base-uri 'none'; form-action 'self'";
/// Is run by a browser wherever it becomes markup.
const HOSTILE: &str = "/<img src=x onerror=document.title='owned'>";
const PHONE: (u32, u32) = (360, 740);

struct Served {
    site: Site,
    port: Port,
    listen: SocketAddr,
}

impl Served {
    fn start(more: &str) -> Self {
        let (site, listen) = (Site::start(), SocketAddr::from(([127, 0, 0, 1], free_port())));
        let more = format!("\n[status_page]\nlisten = \"{listen}\"\n{more}");
        let port = site.port_with("port", &PortSettings { more, ..PortSettings::default() });
        Self { site, port, listen }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.listen)
    }

    fn tab(&self) -> Tab {
        let mut tab = Tab::open(self.site.path(), None);
        tab.visit(&self.url("/"));
        tab
    }
}

#[track_caller]
fn told(config: &Path, command: &[&str]) -> Value {
    let arguments = [command, &["--config", config.to_str().unwrap(), "--json"]].concat();
    serde_json::from_slice(&run_ok(binary("storage-port").to_str().unwrap(), &arguments)).unwrap()
}

/// PORT-17: the page is there within a second, says what `status` says, and follows it without being loaded again.
#[test]
fn the_page_says_what_the_commands_say() {
    let served = Served::start("");
    let config = served.port.config();
    let mut mount = served.port.mount("/export");
    let root = mount.root();
    mount.put(&root, b"file", &data::bytes(1, 100_000)).unwrap();
    let mut tab = served.tab();
    let loaded = tab.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd").as_f64().unwrap();
    assert!(loaded > 0.0 && loaded < LOADED_WITHIN_MS, "loaded after {loaded} ms");

    let status = told(&config, &["status"]);
    let overview = tab.text("#overview");
    assert!(overview.contains("Serves clients") && overview.contains("Well"), "{overview}");
    assert!(tab.text("#about").contains(status["version"].as_str().unwrap()));
    assert!(tab.text("#wan").contains("answers, for"));
    let exports = tab.text("#exports");
    for export in told(&config, &["exports"]).as_array().unwrap() {
        assert!(exports.contains(export["path"].as_str().unwrap()), "{exports}");
    }
    let clients = tab.text("#clients");
    assert!(clients.contains("127.0.0.1") && clients.contains("/export ("), "{clients}");
    assert!(tab.text("#pair").contains("stands alone"));
    assert_eq!(tab.evaluate("document.querySelectorAll('#chart svg').length"), 4);

    // What programs read is what the commands print.
    let (code, header, body) = curl(&served.url("/status.json"), &[]);
    assert_eq!(code, 200, "{header}");
    let figures = &serde_json::from_slice::<Value>(&body).unwrap()["figures"];
    assert_eq!(figures["status"]["exports"], status["exports"]);
    assert_eq!(figures["status"]["customers"][0]["id"], 1);
    assert!(figures["status"]["wan"]["answer_micros"].as_u64() > Some(0), "{figures:#}");
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    for (figure, command) in
        [("cache", &["cache", "stat"][..]), ("journal", &["journal"]), ("clients", &["clients"])]
    {
        assert_eq!(keys(&figures[figure]), keys(&told(&config, command)));
    }

    // It is the same page when the center goes away, and says so.
    tab.evaluate("document.body.dataset.same = 'yes'");
    let Served { mut site, port, listen: _ } = served;
    site.center.kill_9();
    let away = "document.querySelector('#overview').innerText.includes('In trouble')
        && document.querySelector('#wan').innerText.includes('is away')
        && document.querySelector('#events').innerText.includes('serving what is cached')
        && document.body.dataset.same === 'yes'";
    // The port itself takes its time to notice.
    tab.until("the page says that the center is away", away);
    site.center.restart();
    tab.until(
        "it says that the center is back",
        "document.querySelector('#overview').innerText.includes('Well')",
    );
    drop(port);
    tab.until("it says that it is old", "document.querySelector('#freshness').innerText.includes('is old')");
}

/// FO-2: who looks at the passive port sees it take over, while it happens.
#[test]
fn a_takeover_is_seen_while_it_happens() {
    let ground = Ground::new("page");
    let mut pair = Pair::start(&ground, 1, Judges::Failover);
    let active = pair.holder().unwrap();
    let host = pair.member(active.other()).host.namespace().name().to_owned();
    let mut tab = Tab::open(ground.site.path(), Some(&host));
    tab.visit(&format!("http://{STATUS_PAGE}/"));
    assert_eq!(tab.text("#role"), "Passive: the other port serves");
    let seen = tab.text("#pair");
    assert!(
        seen.contains("site-1") && seen.contains("passive") && seen.contains("could take over"),
        "{seen}"
    );
    tab.evaluate("document.body.dataset.same = 'yes'");
    pair.member_mut(active).service.kill_9();
    let took = tab.until(
        "the page says that this port serves",
        "document.querySelector('#role').innerText === 'Active: serves clients'
            && document.querySelector('#pair').innerText.includes('of the ')
            && document.querySelector('#events').innerText.includes('active')
            && document.body.dataset.same === 'yes'",
    );
    assert!(took < SEEN_WITHIN, "after {took:?}");
    assert!(!tab.text("#overview").contains("Well"), "the other port's writes are on one disk alone");
}

/// PORT-17: nothing that somebody else named is markup, nothing runs that is not a file of the port's, and whoever has a
/// phone sees all of it.
#[test]
fn names_are_no_markup_and_a_phone_is_wide_enough() {
    let export = format!("[[export]]\npath = \"{HOSTILE}\"\ncustomer = 1\nfolder = \"/\"\n");
    let served = Served::start(&export);
    let _mount = served.port.mount(HOSTILE);
    let mut tab = served.tab();
    for place in ["#exports", "#clients"] {
        let seen = tab.text(place);
        assert!(seen.contains(HOSTILE), "{seen}");
    }
    let is_refreshed = "performance.getEntriesByType('resource').filter(entry =>
        entry.name.endsWith('/status.json')).length > 1";
    tab.until("the script has put it there anew", is_refreshed);
    assert_eq!(tab.evaluate("document.querySelectorAll('img').length"), 0);
    assert_eq!(tab.evaluate("document.title"), "Storage port");

    // Even what would become markup could not run.
    tab.evaluate(
        "document.querySelector('#events').innerHTML = `<img src=x onerror=\"document.title='owned'\">`",
    );
    tab.until("the picture has failed", "document.querySelector('#events img')?.complete !== false");
    assert_eq!(tab.evaluate("document.title"), "Storage port");

    for (path, media_type) in [
        ("/", "text/html"),
        ("/status.json", "application/json"),
        ("/script.js", "text/javascript"),
        ("/style.css", "text/css"),
        ("/icon.svg", "image/svg+xml"),
        ("/nothing", "text/plain"),
    ] {
        let (_, header, body) = curl(&served.url(path), &[]);
        let header = header.to_lowercase();
        let has =
            |line: &str| assert!(header.contains(&line.to_lowercase()), "{path} lacks {line}: {header}");
        has(&format!("content-type: {media_type}"));
        has(&format!("\r\ncontent-security-policy: {POLICY}\r\n"));
        has("\r\nx-content-type-options: nosniff\r\n");
        has("\r\nreferrer-policy: same-origin\r\n");
        has("\r\ncache-control: no-store\r\n");
        let body = String::from_utf8(body).unwrap();
        if media_type == "text/html" {
            assert_eq!(body.matches("<script").count(), 1, "{body}");
            assert!(body.contains("<script src=\"/script.js\" defer></script>") && !body.contains("<style"));
        }
    }

    let shots = served.site.path().join("shots");
    fs::create_dir(&shots).unwrap();
    for (name, width, height) in [("desk", 1280, 900), ("phone", PHONE.0, PHONE.1)] {
        tab.resize(width, height);
        tab.visit(&served.url("/"));
        let all = "(({ scrollWidth, clientWidth }) => [scrollWidth <= clientWidth, innerWidth])(document.documentElement)";
        assert_eq!(tab.evaluate(all), json!([true, width]), "{name}: it is moved sideways");
        let (picture, file) = (tab.screenshot(), shots.join(format!("{name}.png")));
        assert!(picture.starts_with(b"\x89PNG") && picture.len() > 8 << 10, "{} bytes", picture.len());
        fs::write(file, picture).unwrap();
    }
}
