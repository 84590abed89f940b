//! Web servers by other people put SRLs into their pages: set up as docs/administrator.md says, with the tree of SRLs mounted on
//! this machine.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Child;

use e2e::daemon::free_port;
use e2e::data;
use e2e::nginx::Nginx;
use e2e::shared::Shared;
use e2e::tools::{curl, quiet, wait_for};

const DOCUMENT: &str = include_str!("../../docs/administrator.md");
const FILM: &str = "/srl/films/trailer.mp4";
/// What it needs beside what the document says: as distributions set it up.
const APACHE_MODULES: &[&str] =
    &["mpm_event", "authz_core", "mime", "alias", "include", "rewrite", "headers"];

/// The block of the document that begins so.
fn block(start: &str) -> &'static str {
    let mut blocks = DOCUMENT.split("\n```\n");
    blocks.find(|block| block.starts_with(start)).unwrap_or_else(|| panic!("no block begins with {start}"))
}

/// A film below `/export`, the tree of SRLs as a folder of this machine, and a page that names the film's.
struct Film {
    shared: Shared,
    bytes: Vec<u8>,
    www: PathBuf,
}

impl Film {
    fn start() -> Self {
        let shared = Shared::start("engine = \"samba\"\n");
        let bytes = data::bytes(5, 2_000_000);
        shared.export("mkdir films").good().unwrap();
        shared.put("films/trailer.mp4", &bytes).unwrap();
        shared.port.wait_nothing_owed();
        let www = shared.site.path().join("www");
        fs::create_dir_all(www.join("pages")).unwrap();
        let page = block("<video src=\"<!--#include");
        for name in ["film.html", "film.shtml"] {
            fs::write(www.join("pages").join(name), page).unwrap();
        }
        Self { shared, bytes, www }
    }

    /// What the document says, for the folders that there are here.
    fn configured(&self, start: &str) -> String {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let ours = self.shared.port.path().to_str().unwrap().to_owned();
        let mut points =
            mounts.lines().filter_map(|line| line.split(' ').nth(1)).filter(|at| at.starts_with(&ours));
        let holds_srls = |at: &&str| {
            let srl = fs::read_to_string(Path::new(at).join("films/trailer.mp4"));
            srl.is_ok_and(|srl| srl.starts_with("http://"))
        };
        let srls = points.find(holds_srls).expect("the tree of SRLs is mounted");
        let there = [("/var/www", self.www.to_str().unwrap()), ("/mnt/srl", srls)];
        there.iter().fold(block(start).to_owned(), |text, (path, at)| {
            assert!(text.contains(path), "{text}");
            text.replace(path, at)
        })
    }

    /// PORT-16: the page has the URL in it by which anybody fetches the film from the center; the URL itself nobody is
    /// given.
    fn is_in(&self, server: SocketAddr, page: &str, refusal: u16) {
        let (status, header, body) = curl(&format!("http://{server}/pages/{page}"), &[]);
        let text = String::from_utf8(body).unwrap();
        assert_eq!(status, 200, "{header}{text}");
        assert!(header.to_lowercase().contains("cache-control: private, max-age=60"), "{header}");
        let url = text.strip_prefix("<video src=\"").and_then(|rest| rest.split_once('"'));
        // Browsers take ends of lines out of a URL.
        let (url, rest) = url.map(|(url, rest)| (url.trim_end(), rest)).unwrap_or_else(|| panic!("{text}"));
        assert!(
            url.starts_with("http://") && url.ends_with("/trailer.mp4") && rest.starts_with("></video>"),
            "{text}"
        );
        let (status, header, body) = curl(url, &[]);
        assert!(status == 200 && body == self.bytes, "{header}");
        assert_eq!(curl(&format!("http://{server}{FILM}"), &[]).0, refusal);
    }
}

/// PORT-16.
#[test]
fn nginx_puts_srls_into_pages() {
    let film = Film::start();
    let nginx = Nginx::with_locations(film.shared.site.path(), &film.configured("location /pages/"));
    film.is_in(nginx.address, "film.html", 404);
}

/// Debian's Apache in one process; ended when dropped.
struct Apache {
    child: Child,
    address: SocketAddr,
}

impl Apache {
    fn start(dir: &Path, www: &Path, more: &str) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let load = |name: &&str| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n");
        let modules: String = APACHE_MODULES.iter().map(load).collect();
        let (log, types) = (dir.join("apache.log"), dir.join("mime.types"));
        fs::write(&types, "video/mp4 mp4\n").unwrap();
        let text = format!(
            "{modules}ServerRoot {dir}\nDefaultRuntimeDir {dir}\nPidFile {dir}/apache.pid\nErrorLog {log}\nListen {address}\n\
             ServerName localhost\nUser nobody\nGroup nogroup\nTypesConfig {types}\nDocumentRoot {www}\n{more}",
            dir = dir.display(),
            log = log.display(),
            types = types.display(),
            www = www.display(),
        );
        let config = dir.join("apache.conf");
        fs::write(&config, text).unwrap();
        let child = quiet("apache2", &["-X", "-f", config.to_str().unwrap()]);
        wait_for(address, &log);
        Self { child, address }
    }
}

impl Drop for Apache {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// PORT-16.
#[test]
fn apache_puts_srls_into_pages() {
    let film = Film::start();
    let dir = film.shared.site.path().join("apache");
    fs::create_dir_all(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
    let apache = Apache::start(&dir, &film.www, &film.configured("<Directory /var/www/pages/>"));
    film.is_in(apache.address, "film.shtml", 403);
}
