//! A private file manager before a storage center (Figures 27 and 28): the example program of the library, its pages
//! asked for and its forms sent with curl, as a browser does.

#![allow(clippy::unwrap_used)]

use std::fs;

use client::{Center, Settings};
use e2e::daemon::{Daemon, binary, free_port};
use e2e::data;
use e2e::site::Site;
use e2e::tools::{curl, run, run_ok};
use protocol::id::{ClientFile, CustomerId};
use protocol::vfs::xml::decode_error;
use protocol::vfs::{Answer, Operation, Request};

const PROGRAM: &str = "examples/private_file_manager";

/// A web site with its private file manager, for customer 1 of a storage center.
struct WebSite {
    site: Site,
    manager: Daemon,
}

impl WebSite {
    fn start() -> Self {
        let site = Site::start();
        site.add_customer(2, &[]);
        let listen = format!("127.0.0.1:{}", free_port());
        let page = format!("http://{listen}/done");
        let config = site.center_config();
        let center = binary("storage-center");
        let upload_page = ["customer", "upload-page", "--id", "1", "--url", &page, "--config"];
        run_ok(center.to_str().unwrap(), &[&upload_page[..], &[config.to_str().unwrap()]].concat());
        let arguments = arguments(&site, &listen);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let manager = Daemon::start(PROGRAM, &arguments, &site.path().join("manager.log"));
        Self { site, manager }
    }

    fn page(&self, path: &str) -> (u16, String) {
        let (status, head, body) = curl(&format!("http://{}{path}", self.manager.address("http")), &[]);
        assert!(head.contains("cache-control: no-store"), "{head}");
        (status, String::from_utf8(body).unwrap())
    }

    /// Fills in the form for a new file; the path of its page.
    fn new_file(&self, name: &str) -> String {
        let url = format!("http://{}/files", self.manager.address("http"));
        let (status, head, body) = curl(&url, &["--data-urlencode", &format!("name={name}")]);
        assert_eq!(status, 303, "{}", String::from_utf8_lossy(&body));
        head.lines().find_map(|line| line.strip_prefix("location: ")).unwrap().trim().to_owned()
    }

    /// Sends a file by the form with this button, to where the form says.
    fn send(&self, page: &str, button: &str, bytes: &[u8]) -> (u16, String, Vec<u8>) {
        let file = self.site.path().join("cat.jpg");
        fs::write(&file, bytes).unwrap();
        let field = format!("file=@{}", file.display());
        curl(&self.action(page, button), &["-F", &field, "-H", "Expect:"])
    }

    /// Where the form with this button goes.
    fn action(&self, page: &str, button: &str) -> String {
        let html = self.page(page).1;
        let form = html.lines().find(|line| line.contains(&format!("<button>{button}</button>"))).unwrap();
        attribute(form, "action")
    }

    fn link(&self, page: &str) -> String {
        let html = self.page(page).1;
        attribute(html.lines().find(|line| line.contains(">Download</a>")).unwrap(), "href")
    }

    fn library(&self, customer: u32) -> Center {
        let url = vec![self.site.center_url()];
        let secret = self.site.secret(customer);
        Center::new(Settings::new(url.clone(), url, CustomerId(customer), secret)).unwrap()
    }

    /// Everything the storage center's directory shows the customer.
    fn shown(&self, customer: u32) -> (Answer, Answer) {
        let center = self.library(customer);
        let ask = |operation| {
            let answered = center.operate(Request { key: None, operation });
            block_on(answered).unwrap().answer
        };
        let Answer::Row(root) = ask(Operation::OpenRoot) else { panic!("no root") };
        let open = Operation::OpenFolder { folder: root.id, after: None, limit: 10, srl_expires: None };
        (ask(open), ask(Operation::Usage))
    }
}

fn arguments(site: &Site, listen: &str) -> Vec<String> {
    let (secret, table) = (site.secret_file(1), site.path().join("files.txt"));
    [
        ("--listen", listen),
        ("--center", &site.center_url()),
        ("--customer", "1"),
        ("--secret-file", secret.to_str().unwrap()),
        ("--table", table.to_str().unwrap()),
    ]
    .into_iter()
    .flat_map(|(name, value)| [name.to_owned(), value.to_owned()])
    .collect()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn attribute(html: &str, name: &str) -> String {
    let (_, rest) = html.split_once(&format!(" {name}=\"")).unwrap();
    rest.split_once('"').unwrap().0.replace("&amp;", "&")
}

/// PRIV-1, PRIV-2, PRIV-5, DOSM-18: a browser stores and fetches by what the pages say, and nothing of it goes
/// through the web site; the site's table outlives its program; the storage center's directory shows nothing.
#[test]
fn a_browser_stores_and_fetches_by_the_pages_of_a_site() {
    let mut web = WebSite::start();
    let bytes = data::bytes(1, 2_300_000);
    let page = web.new_file("Katze <1> & co.jpg");
    assert_eq!(curl(&web.link(&page), &[]).0, 404, "nothing is stored yet");
    let (status, head, _) = web.send(&page, "Store", &bytes);
    let file = ClientFile::named(CustomerId(1), b"1");
    let done = format!("location: http://{}/done?file={file}.UFID", web.manager.address("http"));
    assert!(status == 303 && head.contains(&done), "{head}");
    assert_eq!(curl(&done["location: ".len()..], &[]).0, 303, "and from there to the list");

    let (status, head, body) = curl(&web.link(&page), &[]);
    assert!(status == 200 && body == bytes && head.contains("content-type: image/jpeg"), "{head}");
    let (status, _, part) = curl(&web.link(&page), &["--range", "2000000-2000099"]);
    assert!(status == 206 && part == bytes[2_000_000..2_000_100]);
    assert!(web.page("/").1.contains("Katze &lt;1&gt; &amp; co.jpg"));

    web.manager.stop();
    web.manager.restart();
    assert!(curl(&web.link(&page), &[]).2 == bytes);
    assert_eq!(web.new_file("two"), "/files/2");

    let (Answer::Folder { folder, entries, .. }, Answer::Usage(usage)) = web.shown(1) else { panic!() };
    assert!(entries.is_empty() && folder.version == 1, "{entries:?}");
    assert_eq!((usage.files_used, usage.bytes_used), (1, 2_300_000));
    let port = web.site.port("port");
    let mut export = port.mount("/export");
    let root = export.root();
    let listed = export.readdir(&root).unwrap();
    assert!(listed.iter().all(|(name, _)| name == b"." || name == b".."), "{listed:?}");
    assert!(web.site.check().0, "{}", web.site.check().1);
}

/// PRIV-3, PRIV-4, SRL-17: a wrong SRL gets an error; a file is stored once, and replaced by the form that says so;
/// another customer sees nothing of it.
#[test]
fn a_page_permits_what_it_says_and_nothing_else() {
    let web = WebSite::start();
    let page = web.new_file("cat.jpg");
    assert_eq!(web.send(&page, "Store", b"one").0, 303);
    let (status, _, body) = web.send(&page, "Store", b"two");
    assert_eq!((status, decode_error(&body).unwrap().code.as_str()), (409, "exists"));
    assert_eq!(curl(&web.link(&page), &[]).2, b"one");
    assert_eq!(web.send(&page, "Replace", b"three").0, 303);
    assert_eq!(curl(&web.link(&page), &[]).2, b"three");

    let link = web.link(&page);
    let mut parts: Vec<String> = link.split('/').map(str::to_owned).collect();
    for part in [3, 4] {
        let right = parts[part].clone();
        let at = right.len() / 2;
        let other = if &right[at..=at] == "0" { "1" } else { "0" };
        parts[part].replace_range(at..=at, other);
        let (status, _, body) = curl(&parts.join("/"), &[]);
        assert!(matches!(status, 400 | 403) && decode_error(&body).is_ok(), "{status}");
        parts[part] = right;
    }
    // A link for fetching stores nothing, and a form's address fetches nothing.
    assert_eq!(curl(&link, &["-X", "PUT", "-d", "x"]).0, 405);
    assert_eq!(curl(&web.action(&page, "Replace"), &[]).0, 405);

    let (Answer::Folder { entries, .. }, Answer::Usage(usage)) = web.shown(2) else { panic!() };
    assert!(entries.is_empty() && usage.files_used == 0);
    let foreign = web.library(2);
    for file in [ClientFile::named(CustomerId(1), b"1"), foreign.client_file(b"1")] {
        assert!(block_on(foreign.find_client_file(file)).unwrap_err().is_not_found());
    }
}

/// SRL-14: it does not start with a secret that others may read, and says so.
#[test]
fn a_secret_that_others_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let site = Site::start();
    fs::set_permissions(site.secret_file(1), fs::Permissions::from_mode(0o644)).unwrap();
    let program = binary(PROGRAM);
    let arguments = arguments(&site, "127.0.0.1:0");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = run(program.to_str().unwrap(), &arguments);
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(!ended.status.success() && told.contains("chmod 0600"), "{told}");
}
