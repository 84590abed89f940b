//! What an operator has kept in the data cache of a running port: warming and pins.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use e2e::daemon::binary;
use e2e::data;
use e2e::mount::Mount;
use e2e::poll;
use e2e::site::{Port, PortSettings, Site, told};
use e2e::tools::run;
use nfs3_types::nfs3::nfs_fh3;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);

/// `storage-port cache …` with what it said and how it ended.
fn cache(port: &Port, command: &[&str]) -> Output {
    let config = port.config();
    let arguments = [&["cache"], command, &["--config", config.to_str().unwrap()]].concat();
    run(binary("storage-port").to_str().unwrap(), &arguments)
}

/// `storage-port cache warm … --json`: its exit status and its lines.
fn warm(port: &Port, command: &[&str]) -> (i32, Vec<Value>) {
    let output = cache(port, &[&["warm", "--json"], command].concat());
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (output.status.code().unwrap(), lines)
}

/// The last line of one that must come to its end.
#[track_caller]
fn warmed(port: &Port, command: &[&str]) -> Value {
    let (code, mut lines) = warm(port, command);
    assert_eq!(code, 0, "{lines:#?}");
    lines.pop().unwrap()
}

fn stat(port: &Port) -> Value {
    told(&port.config(), &["cache", "stat"])
}

/// Files that another port has written: 40 small ones in two folders, and one of several blocks.
struct Tree {
    files: Vec<(String, Vec<u8>)>,
}

impl Tree {
    fn write(site: &Site, mount: &mut Mount, port: &Port) -> Self {
        let root = mount.root();
        let photos = mount.mkdir(&root, b"photos").unwrap();
        let old = mount.mkdir(&photos, b"old").unwrap();
        let mut files = Vec::new();
        for number in 0..40_u64 {
            let (dir, path) = if number % 2 == 0 { (&photos, "photos") } else { (&old, "photos/old") };
            let bytes = data::bytes(number, 20_000 + number as usize);
            let name = format!("{number}.jpg");
            mount.put(dir, name.as_bytes(), &bytes).unwrap();
            files.push((format!("{path}/{name}"), bytes));
        }
        let large = data::bytes(99, 5_000_001);
        mount.put(&photos, b"large.mov", &large).unwrap();
        files.push(("photos/large.mov".to_owned(), large));
        files.iter().for_each(|(_, bytes)| port.wait_uploaded(site, &data::md5_hex(bytes)));
        port.wait_nothing_owed();
        Self { files }
    }

    fn bytes(&self) -> u64 {
        self.files.iter().map(|(_, bytes)| bytes.len() as u64).sum()
    }

    /// Reads all of them, which must be right.
    fn read(&self, mount: &mut Mount) {
        for (path, bytes) in &self.files {
            let file: nfs_fh3 = mount.walk(path).unwrap();
            assert!(mount.read(&file).unwrap() == *bytes, "{path}");
        }
    }
}

fn two_ports(site: &Site, cache_bytes: u64) -> (Port, Port, Tree) {
    let writer = site.port("writer");
    let mut elsewhere = writer.mount("/export");
    let tree = Tree::write(site, &mut elsewhere, &writer);
    let port = site.port_with("port", &PortSettings { cache_bytes, ..PortSettings::default() });
    (writer, port, tree)
}

/// PORT-3, PORT-4, PORT-11: a tree that was warmed is read without one miss, also after a restart and without the center; what
/// is there is not fetched again.
#[test]
fn a_warmed_tree_is_read_without_the_center() {
    let mut site = Site::start();
    let (_writer, mut port, tree) = two_ports(&site, 1 << 30);
    let files = tree.files.len() as u64;

    let dry = warmed(&port, &["/export/photos", "--dry-run"]);
    assert_eq!(
        (&dry["event"], &dry["files"], &dry["files_done"]),
        (&"done".into(), &files.into(), &0.into())
    );
    assert_eq!((&dry["bytes"], &dry["bytes_done"]), (&tree.bytes().into(), &0.into()), "{dry}");
    assert_eq!(stat(&port)["warmed"], 0);

    let done = warmed(&port, &["/export/photos"]);
    for (key, value) in [
        ("files", files),
        ("files_done", files),
        ("failed", 0),
        ("bytes_done", tree.bytes()),
        ("bytes_fetched", tree.bytes()),
    ] {
        assert_eq!(done[key], value, "{key} of {done}");
    }
    let (again, after) = (warmed(&port, &["/export/photos"]), stat(&port));
    assert_eq!((&again["files_done"], &again["bytes_fetched"]), (&files.into(), &0.into()), "{again}");
    assert_eq!(
        (&after["warmed"], &after["misses"]),
        (&45.into(), &0.into()),
        "one of 40 files, five of one: {after}"
    );

    let mut mount = port.mount("/export");
    tree.read(&mut mount);
    assert_eq!(stat(&port)["misses"], 0);
    site.center.kill_9();
    port.daemon.stop();
    port.daemon.restart();
    tree.read(&mut mount);
}

/// A list, what is wrong in it, and what people are told.
#[test]
fn a_list_is_warmed_and_what_fails_is_told() {
    let site = Site::start();
    let (_writer, port, tree) = two_ports(&site, 1 << 30);
    let list = port.path().join("list");
    let mut lines: Vec<String> = tree.files[..10].iter().map(|(path, _)| format!("/export/{path}")).collect();
    lines.push("# not these:".to_owned());
    lines.extend(["/export/none", "/SRL/photos", "/elsewhere"].map(str::to_owned));
    fs::write(&list, lines.join("\n")).unwrap();
    let list = list.to_str().unwrap();

    let (code, told) = warm(&port, &["--list", list]);
    assert_eq!(code, 3, "{told:#?}");
    let failed: Vec<_> =
        told.iter().filter(|line| line["event"] == "failed").map(|line| &line["path"]).collect();
    assert_eq!(failed, ["/export/none", "/SRL/photos", "/elsewhere"]);
    let last = told.last().unwrap();
    assert_eq!((&last["files_done"], &last["failed"]), (&10.into(), &3.into()), "{last}");

    let said = cache(&port, &["warm", "--list", list]);
    let (out, error) = (String::from_utf8(said.stdout).unwrap(), String::from_utf8(said.stderr).unwrap());
    assert!(out.starts_with("10 of 10 files, ") && out.ends_with("3 FAILED\n"), "{out}");
    assert!(error.contains("failed: /export/none: ") && error.lines().count() == 3, "{error}");
    let none = cache(&port, &["warm"]);
    assert_eq!(none.status.code(), Some(2), "a path or a list must be named");
    fs::write(port.path().join("empty"), "# nothing\n").unwrap();
    let empty = cache(&port, &["warm", "--list", port.path().join("empty").to_str().unwrap()]);
    assert!(
        String::from_utf8(empty.stderr).unwrap().contains("names nothing") && empty.status.code() == Some(1)
    );
}

/// PORT-21: what has no room is refused with figures before anything is fetched.
#[test]
fn what_has_no_room_in_the_cache_is_refused() {
    let site = Site::start();
    let writer = site.port("writer");
    let mut mount = writer.mount("/export");
    let bytes = data::bytes(1, 12 << 20);
    let root = mount.root();
    mount.put(&root, b"large", &bytes).unwrap();
    writer.wait_uploaded(&site, &data::md5_hex(&bytes));
    let port = site.port_with("port", &PortSettings { cache_bytes: 8 << 20, ..PortSettings::default() });
    poll::until("the file has its contents", PATIENCE, || {
        let (_, lines) = warm(&port, &["/export/large", "--dry-run"]);
        lines.last().filter(|line| line["event"] == "refused").map(drop)
    });
    let (code, lines) = warm(&port, &["/export"]);
    let last = lines.last().unwrap();
    assert_eq!((code, &last["event"], &last["room"]), (1, &"refused".into(), &(8 << 20).into()), "{last}");
    assert!(last["bytes"].as_u64() >= Some(12 << 20), "{last}");
    assert_eq!(stat(&port)["warmed"], 0);
    let said = String::from_utf8(cache(&port, &["warm", "/export"]).stderr).unwrap();
    assert!(said.contains("nothing was fetched") && said.contains("8388608"), "{said}");
}

fn begin(port: &Port, out: &Path) -> std::process::Child {
    Command::new(binary("storage-port"))
        .args(["cache", "warm", "/export", "--json", "--config", port.config().to_str().unwrap()])
        .stdout(fs::File::create(out).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Ctrl-C ends it, at the port as well, and the same command goes on; two at once are not.
#[test]
fn an_interrupted_warming_ends_and_is_taken_up_again() {
    let site = Site::start();
    let (_writer, port, tree) = two_ports(&site, 1 << 30);
    // All that is known is where the files are; their bytes are not to be had for now.
    warmed(&port, &["/export", "--dry-run"]);
    site.center.freeze();
    let mut running = begin(&port, &port.path().join("lines"));
    poll::until("it fetches", PATIENCE, || {
        fs::read_to_string(port.path().join("lines")).unwrap().contains("fetching").then_some(())
    });
    let second = cache(&port, &["warm", "/export"]);
    assert!(
        String::from_utf8(second.stderr).unwrap().contains("under way") && second.status.code() == Some(1)
    );
    kill_process(Pid::from_child(&running), Signal::INT).unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(130));
    site.center.thaw();
    poll::until("the port has ended it", PATIENCE, || (warm(&port, &["/export"]).0 == 0).then_some(()));
    let done = warmed(&port, &["/export"]);
    assert_eq!(done["bytes_done"], tree.bytes(), "{done}");
}

/// Waits until all of the one pin is in the cache.
fn wait_pinned(port: &Port, files: usize, bytes: u64) {
    let config = port.config();
    let whole = serde_json::json!({
        "path": "/export/photos", "files": files, "bytes": bytes, "bytes_cached": bytes, "left_out": 0, "failed": 0
    });
    poll::until("what is pinned is in the cache", PATIENCE, || {
        let told = told(&config, &["cache", "pins"]);
        let pins = told["pins"].as_array().unwrap();
        assert_eq!(pins.len(), 1, "{told}");
        let is_whole = whole.as_object().unwrap().iter().all(|(key, value)| pins[0][key] == *value);
        (is_whole && told["pinned_bytes"].as_u64() >= Some(bytes)).then_some(())
    });
}

/// PORT-3, PORT-4: a pinned folder is fetched by itself, what comes new in it as well; it outlasts a restart and more other
/// files than the cache has room for, until it is unpinned.
#[test]
fn a_pinned_folder_stays_whatever_else_is_read() {
    let mut site = Site::start();
    let (writer, mut port, mut tree) = two_ports(&site, 32 << 20);
    let mut elsewhere = writer.mount("/export");
    let root = elsewhere.root();
    let flood: Vec<_> = (0..12_u64).map(|number| data::bytes(1_000 + number, 4 << 20)).collect();
    for (number, bytes) in flood.iter().enumerate() {
        elsewhere.put(&root, format!("flood-{number}").as_bytes(), bytes).unwrap();
        writer.wait_uploaded(&site, &data::md5_hex(bytes));
    }
    writer.wait_nothing_owed();
    let mut mount = port.mount("/export");
    let mut read_flood = |port: &Port| {
        for (number, bytes) in flood.iter().enumerate() {
            let file = mount.walk(&format!("flood-{number}")).unwrap();
            assert!(mount.read(&file).unwrap() == *bytes, "flood-{number}");
        }
        assert!(stat(port)["evictions"].as_u64() > Some(0), "the cache had room for all");
    };

    let said = cache(&port, &["pin", "/export/photos"]);
    assert!(said.status.success(), "{said:?}");
    wait_pinned(&port, tree.files.len(), tree.bytes());
    let photos = elsewhere.walk("photos").unwrap();
    let new = data::bytes(777, 300_000);
    elsewhere.put(&photos, b"new.jpg", &new).unwrap();
    tree.files.push(("photos/new.jpg".to_owned(), new));
    wait_pinned(&port, tree.files.len(), tree.bytes());
    read_flood(&port);
    port.daemon.stop();
    port.daemon.restart();
    wait_pinned(&port, tree.files.len(), tree.bytes());
    read_flood(&port);

    site.center.kill_9();
    let misses = stat(&port)["misses"].clone();
    tree.read(&mut port.mount("/export"));
    assert_eq!(stat(&port)["misses"], misses);
    // Without the center, too: by the path it was pinned by.
    assert!(cache(&port, &["unpin", "/export/photos"]).status.success());
    let told = told(&port.config(), &["cache", "pins"]);
    assert_eq!(told["pins"], serde_json::json!([]));
    let again = cache(&port, &["unpin", "/export/photos"]);
    assert!(String::from_utf8(again.stderr).unwrap().contains("is not pinned") && !again.status.success());
}

/// PORT-21: a folder that is larger than what may be pinned is not pinned, and the figures are told.
#[test]
fn what_may_not_be_pinned_is_refused_with_figures() {
    let site = Site::start();
    let (_writer, port, tree) = two_ports(&site, 8 << 20);
    let said = cache(&port, &["pin", "/export/photos"]);
    let error = String::from_utf8(said.stderr).unwrap();
    let files = format!("{} files take", tree.files.len());
    assert!(
        said.status.code() == Some(1) && error.contains(&files) && error.contains("pinned_share"),
        "{error}"
    );
    assert_eq!(told(&port.config(), &["cache", "pins"])["pins"], serde_json::json!([]));
}
