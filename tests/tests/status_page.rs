//! The status page of a port in a browser: it says what the commands say, follows a takeover, cannot be written into by
//! whoever chooses a name, and lets nobody without the password change anything.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use e2e::certificate;
use e2e::daemon::{binary, free_port};
use e2e::data;
use e2e::devtools::Tab;
use e2e::pair::ground::Ground;
use e2e::pair::ours::STATUS_PAGE;
use e2e::pair::{Judges, Pair};
use e2e::poll;
use e2e::site::{PAGE_PASSWORD, Port, PortSettings, Site, write_password_hash};
use e2e::tools::{curl, run, run_ok};
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
const ACTIVE: &str = "Active: serves clients";
const PASSIVE: &str = "Passive: the other port serves";

struct Served {
    site: Site,
    port: Port,
    listen: SocketAddr,
}

impl Served {
    fn start(more: &str) -> Self {
        Self::start_on(Site::start(), more)
    }

    /// With a password.
    fn locked() -> Self {
        let site = Site::start();
        let hash = write_password_hash(site.path());
        Self::start_on(site, &format!("password_hash_file = {hash:?}\n"))
    }

    fn start_on(site: Site, more: &str) -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let more = format!("\n[status_page]\nlisten = \"{listen}\"\n{more}");
        let port = site.port_with("port", &PortSettings { more, ..PortSettings::default() });
        Self { site, port, listen }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.listen)
    }

    fn origin(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// Sends a form as a browser does; the status, and the header in small letters.
    fn post(&self, path: &str, origin: Option<&str>, cookie: &str, password: &str) -> (u16, String) {
        let origin = origin.map(|origin| format!("Origin: {origin}"));
        let origin: Vec<&str> = origin.iter().flat_map(|line| ["-H", line]).collect();
        let (cookie, password) = (format!("Cookie: {cookie}"), format!("password={password}"));
        let form = ["-X", "POST", "-H", &cookie, "--data-urlencode", &password];
        let (status, header, _) = curl(&self.url(path), &[&form[..], &origin].concat());
        (status, header.to_lowercase())
    }

    fn cached_bytes(&self) -> u64 {
        let disks = told(&self.port.config(), &["cache", "stat"])["disks"].take();
        disks.as_array().unwrap().iter().map(|disk| disk["bytes_used"].as_u64().unwrap()).sum()
    }

    /// Has something in the data cache, on disks that were looked through.
    fn fill_cache(&self) {
        let mut mount = self.port.mount("/export");
        let (root, bytes) = (mount.root(), data::bytes(1, 2 << 20));
        let file = mount.put(&root, b"file", &bytes).unwrap();
        self.port.wait_uploaded(&self.site, &data::md5_hex(&bytes));
        assert!(mount.read(&file).unwrap() == bytes);
        poll::until("the cache has it", SEEN_WITHIN, || (self.cached_bytes() >= 2 << 20).then_some(()));
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

/// FO-2: who looks at the passive port sees it take over, while it happens; who has the password hands over and takes
/// over by the page.
#[test]
fn a_takeover_is_seen_while_it_happens() {
    let ground = Ground::new("page");
    let mut pair = Pair::start(&ground, 1, Judges::Failover);
    let active = pair.holder().unwrap();
    let host = pair.member(active.other()).host.namespace().name().to_owned();
    let mut tab = Tab::open(ground.site.path(), Some(&host));
    tab.visit(&format!("http://{STATUS_PAGE}/"));
    assert_eq!(tab.text("#role"), PASSIVE);
    let seen = tab.text("#pair");
    assert!(
        seen.contains("site-1") && seen.contains("passive") && seen.contains("could take over"),
        "{seen}"
    );

    log_in(&mut tab, PAGE_PASSWORD);
    let is_now = |role: &str| format!("document.querySelector('#role')?.innerText === '{role}'");
    for (path, role, holder) in
        [("/actions/takeover", ACTIVE, active.other()), ("/actions/standby", PASSIVE, active)]
    {
        tab.until("he is let in", &format!("document.querySelector('form[action=\"{path}\"]') !== null"));
        click(&mut tab, path);
        tab.until("it is done", "document.querySelector('[role=status]')?.innerText.startsWith('Done')");
        let took = tab.until(path, &is_now(role));
        assert!(took < SEEN_WITHIN, "{path}: after {took:?}");
        pair.wait_well();
        assert_eq!(pair.holder(), Some(holder), "{path}");
    }

    tab.evaluate("document.body.dataset.same = 'yes'");
    pair.member_mut(active).service.kill_9();
    let took = tab.until(
        "the page says that this port serves",
        &format!(
            "{} && document.querySelector('#pair').innerText.includes('of the ')
            && document.querySelector('#events').innerText.includes('active')
            && document.body.dataset.same === 'yes'",
            is_now(ACTIVE)
        ),
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

/// Says the password on the page that is open, and waits until he may change something.
fn log_in(tab: &mut Tab, password: &str) {
    tab.evaluate("document.querySelector('a[href=\"/login\"]').click()");
    tab.until("the login is there", "document.querySelector('#password') !== null");
    say_password(tab, password);
}

fn say_password(tab: &mut Tab, password: &str) {
    tab.evaluate(&format!("document.querySelector('#password').value = {password:?}"));
    tab.evaluate("document.querySelector('form button').click()");
}

fn click(tab: &mut Tab, path: &str) {
    tab.evaluate(&format!("document.querySelector('form[action=\"{path}\"] button').click()"));
}

/// PORT-17: nobody changes anything without the password, or from another site's page, and who guesses has to wait.
#[test]
fn nothing_is_changed_without_a_login() {
    let unlocked = Served::start("");
    let own = unlocked.origin();
    for path in ["/login", "/actions/cache-drop", "/actions/standby"] {
        assert_eq!(
            unlocked.post(path, Some(&own), "", PAGE_PASSWORD).0,
            403,
            "{path} without a password file"
        );
    }
    assert_eq!(curl(&unlocked.url("/login"), &[]).0, 404);
    assert!(unlocked.tab().text("footer").contains("Nothing can be changed here"));
    drop(unlocked);

    let served = Served::locked();
    served.fill_cache();
    let own = served.origin();
    let own = Some(own.as_str());
    let drop = "/actions/cache-drop";
    let zeros = format!("storage_port_session={}", "0".repeat(64));
    for cookie in ["", "storage_port_session=", &zeros] {
        assert_eq!(served.post(drop, own, cookie, PAGE_PASSWORD).0, 403, "{cookie}");
    }
    for foreign in [None, Some("null"), Some("http://evil.example"), Some("http://127.0.0.1")] {
        assert_eq!(served.post("/login", foreign, "", PAGE_PASSWORD).0, 403, "{foreign:?}");
    }
    let (wrong, header) = served.post("/login", own, "", "right & good house");
    assert!(wrong == 403 && !header.contains("set-cookie"), "{header}");

    let (status, header) = served.post("/login", own, "", PAGE_PASSWORD);
    assert!(status == 303 && header.contains("\r\nlocation: /"), "{header}");
    let cookie = header.split("\r\nset-cookie: ").nth(1).unwrap().lines().next().unwrap();
    let (cookie, attributes) = cookie.split_once("; ").unwrap();
    assert_eq!(attributes, "path=/; max-age=1800; httponly; samesite=strict");
    for foreign in [None, Some("null"), Some("http://evil.example")] {
        assert_eq!(served.post(drop, foreign, cookie, "").0, 403, "{foreign:?}");
    }
    assert_eq!(curl(&served.url(drop), &["-H", &format!("Cookie: {cookie}")]).0, 404, "a link does nothing");
    assert!(served.cached_bytes() >= 2 << 20, "nothing was done so far");
    assert_eq!(served.post(drop, own, cookie, "").0, 303);
    assert_eq!(served.cached_bytes(), 0);
    assert_eq!(served.post("/actions/nothing", own, cookie, "").0, 404);
    assert_eq!(served.post("/logout", own, cookie, "").0, 303);
    assert_eq!(served.post(drop, own, cookie, "").0, 403, "after the end of the session");

    let (large, _) = served.post("/login", own, "", &"x".repeat(5 << 10));
    assert_eq!(large, 413);
    for _ in 0..5 {
        assert_eq!(served.post("/login", own, "", "a guess or two").0, 403);
    }
    let (status, header) = served.post("/login", own, "", PAGE_PASSWORD);
    assert!(status == 429 && header.contains("\r\nretry-after: "), "{header}");
    let log = fs::read_to_string(served.site.path().join("port/port.log")).unwrap();
    assert!(!log.contains("good horse") && log.contains("a wrong password"), "{log}");
}

/// PORT-17: with the password a browser empties the cache, and is told what came of it.
#[test]
fn who_has_the_password_empties_the_cache() {
    let served = Served::locked();
    served.fill_cache();
    let mut tab = served.tab();
    log_in(&mut tab, "the wrong horse");
    let refused = "document.querySelector('main').innerText.includes('not the password')";
    tab.until("the wrong one is refused", refused);
    say_password(&mut tab, PAGE_PASSWORD);
    tab.until("he is let in", "document.querySelector('form[action=\"/logout\"]') !== null");
    assert!(tab.evaluate("document.cookie") == "", "no script reads it");
    assert_eq!(tab.evaluate("document.querySelectorAll('footer form').length"), 2, "it is of no pair");
    click(&mut tab, "/actions/cache-drop");
    let done = "document.querySelector('[role=status]')?.innerText.includes('bytes were dropped')";
    tab.until("it is done", done);
    assert_eq!(served.cached_bytes(), 0);
    let told =
        "document.querySelector('#events').innerText.includes('Empty the data cache, an operator said')";
    tab.until("it is told", told);
    click(&mut tab, "/logout");
    tab.until("he is out", "document.querySelector('a[href=\"/login\"]') !== null");
}

/// A hash that others can read, or that is none, is refused before anything is served.
#[test]
fn a_password_file_is_for_the_port_alone() {
    let site = Site::start();
    let hash = write_password_hash(site.path());
    let more = format!("[status_page]\nlisten = \"127.0.0.1:1\"\npassword_hash_file = {hash:?}\n");
    let (_, config) = site.write_port_config("port", &PortSettings { more, ..PortSettings::default() });
    let program = binary("storage-port");
    let check = || run(program.to_str().unwrap(), &["config", "check", "--config", config.to_str().unwrap()]);
    assert!(check().status.success());
    fs::set_permissions(&hash, fs::Permissions::from_mode(0o644)).unwrap();
    let said = String::from_utf8(check().stderr).unwrap();
    assert!(said.contains("chmod 600") && said.lines().count() == 1, "{said}");
    fs::set_permissions(&hash, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&hash, PAGE_PASSWORD).unwrap();
    let said = String::from_utf8(check().stderr).unwrap();
    assert!(said.contains("storage-port status-page password") && !said.contains(PAGE_PASSWORD), "{said}");
    let short = run("sh", &["-c", "echo short | \"$0\" status-page password", program.to_str().unwrap()]);
    let said = String::from_utf8(short.stderr).unwrap();
    assert!(!short.status.success() && said.contains("10 to 256 bytes") && short.stdout.is_empty(), "{said}");
}

/// With a certificate the page is served by TLS alone, and its cookie goes no other way.
#[test]
fn the_page_is_served_with_tls() {
    let site = Site::start();
    let hash = write_password_hash(site.path());
    let signed = certificate::signed("127.0.0.1", 2100);
    let [authority, chain, key] =
        ["authority.pem", "page.pem", "page.key"].map(|name| site.path().join(name));
    fs::write(&authority, signed.authority).unwrap();
    fs::write(&chain, signed.certificate).unwrap();
    fs::write(&key, signed.key).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let more = format!("password_hash_file = {hash:?}\ncertificate = {chain:?}\nkey = {key:?}\n");
    let served = Served::start_on(site, &more);
    let (url, origin) =
        (format!("https://{}/login", served.listen), format!("Origin: https://{}", served.listen));
    let trusted = ["--cacert", authority.to_str().unwrap()];
    assert_eq!(curl(&url, &trusted).0, 200);
    let password = format!("password={PAGE_PASSWORD}");
    let form = ["-H", &origin, "--data-urlencode", &password];
    let (status, header, _) = curl(&url, &[&trusted[..], &form].concat());
    assert!(status == 303 && header.contains("SameSite=Strict; Secure"), "{header}");
    let plain = run("curl", &["--silent", "--max-time", "20", &served.url("/")]);
    assert!(!plain.status.success() && plain.stdout.is_empty(), "{plain:?}");
}
