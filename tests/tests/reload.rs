//! A changed configuration, taken by the running port: by command and by SIGHUP, under mounts that go on.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use e2e::daemon::binary;
use e2e::data;
use e2e::mount::Mount;
use e2e::poll;
use e2e::rpc::{Connection, Credential};
use e2e::site::{Port, Site};
use e2e::tools::{curl, run, run_ok};
use nfs3_types::mount::{MOUNT_PROGRAM, PROGRAM, VERSION, dirpath, exports, mountlist};
use nfs3_types::nfs3::*;
use nfs3_types::xdr_codec::{Opaque, Void};
use rustix::process::{Signal, kill_process};

const SQUASH: &str = "squash = \"none\"";
const ROFS: Option<nfsstat3> = Some(nfsstat3::NFS3ERR_ROFS);
const ACCES: Option<nfsstat3> = Some(nfsstat3::NFS3ERR_ACCES);
const STALE: Option<nfsstat3> = Some(nfsstat3::NFS3ERR_STALE);
const PATIENCE: Duration = Duration::from_secs(10);

fn mount_program(port: &Port) -> Connection {
    Connection::open(port.mount_address(), &Credential::root(), PATIENCE).unwrap()
}

/// The paths that MOUNT's EXPORT lists.
fn exported(port: &Port) -> BTreeSet<String> {
    let listed: exports<'_, '_> = mount_program(port)
        .call_program(PROGRAM, VERSION, MOUNT_PROGRAM::MOUNTPROC3_EXPORT as u32, &Void)
        .unwrap();
    listed.into_inner().iter().map(|node| String::from_utf8(node.ex_dir.0.to_vec()).unwrap()).collect()
}

/// The paths that MOUNT's DUMP lists.
fn mounted(port: &Port) -> BTreeSet<String> {
    let listed: mountlist<'_, '_> = mount_program(port)
        .call_program(PROGRAM, VERSION, MOUNT_PROGRAM::MOUNTPROC3_DUMP as u32, &Void)
        .unwrap();
    listed.into_inner().iter().map(|body| String::from_utf8(body.ml_directory.0.to_vec()).unwrap()).collect()
}

fn unmount(port: &Port, path: &str) -> io::Result<Void> {
    let path = dirpath(Opaque::owned(path.as_bytes().to_vec()));
    mount_program(port).call_program(PROGRAM, VERSION, MOUNT_PROGRAM::MOUNTPROC3_UMNT as u32, &path)
}

fn hang_up(port: &Port) {
    kill_process(port.daemon.pid(), Signal::HUP).unwrap();
}

/// Runs `storage-port reload`, which must fail, and gives the one line it says.
#[track_caller]
fn refused(port: &Port) -> String {
    let config = port.config();
    let output =
        run(binary("storage-port").to_str().unwrap(), &["reload", "--config", config.to_str().unwrap()]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

/// PORT-2: every option of an export changes under a mount, and the mount goes on: the same connection, the same
/// handles, a file opened before.
#[test]
fn options_change_under_a_mount() {
    let site = Site::start();
    let port = site.port("port");
    let mut mount = port.mount("/export");
    let root = mount.root();
    let bytes = data::bytes(7, 300_000);
    let file = mount.put(&root, b"open", &bytes).unwrap();
    assert_eq!(port.reload(), "nothing has changed\n");

    port.edit_config(SQUASH, "squash = \"none\"\nread_only = true");
    assert_eq!(port.reload(), "changed: [[export]] /export read_only\n");
    assert_eq!(mount.write_at(&file, 0, b"x", stable_how::FILE_SYNC).err(), ROFS);
    assert_eq!(mount.create_file(&root, b"new").err(), ROFS);
    assert!(mount.read(&file).unwrap() == bytes, "reading goes on");
    let access = ACCESS3args { object: file.clone(), access: ACCESS3_MODIFY | ACCESS3_READ };
    let granted = mount.call::<ACCESS3resok, ACCESS3resfail>(NFS_PROGRAM::NFSPROC3_ACCESS, &access).unwrap();
    assert_eq!(granted.access, ACCESS3_READ);

    port.edit_config("read_only = true", "read_only = false");
    port.reload();
    mount.write_durably(&file, 0, b"still open").unwrap();

    port.edit_config(SQUASH, "squash = \"none\"\nallowed = [\"192.0.2.0/24\"]");
    port.reload();
    assert_eq!(mount.getattr(&file).err(), ACCES, "a handle is no permission");
    assert_eq!(mount.read_at(&file, 0, 10).err(), ACCES);
    let refused = Mount::new(port.nfs(), "/export", Credential::root()).err().unwrap().to_string();
    assert!(refused.contains("MNT3ERR_ACCES"), "{refused}");
    port.edit_config("\"192.0.2.0/24\"", "\"192.0.2.0/24\", \"127.0.0.0/8\"");
    port.reload();
    assert_eq!(mount.read_at(&file, 0, 10).unwrap().0, b"still open");

    mount.setattr(&root, e2e::mount::mode(0o777)).unwrap();
    port.edit_config(SQUASH, "squash = \"all\"\nanonymous_uid = 4711\nanonymous_gid = 4712");
    port.reload();
    let squashed = mount.create_file(&root, b"squashed").unwrap();
    let owner = mount.getattr(&squashed).unwrap();
    assert_eq!((owner.uid, owner.gid), (4711, 4712));
    assert_eq!(mount.repeated, 0, "one connection, and every call answered at once");
}

/// PORT-2: exports come, change their folder, and go, without a restart; EXPORT and DUMP tell.
#[test]
fn exports_come_and_go_without_a_restart() {
    let site = Site::start();
    let port = site.port("port");
    let mut mount = port.mount("/export");
    let root = mount.root();
    let dir = mount.mkdir(&root, b"dir").unwrap();
    mount.put(&dir, b"file", b"contents").unwrap();
    mount.put(&root, b"outside", b"not shown").unwrap();

    port.edit_config(
        "[nfs]",
        "[[export]]\npath = \"/extra\"\ncustomer = 1\nfolder = \"/dir\"\nsquash = \"none\"\n[nfs]",
    );
    assert_eq!(port.reload(), "changed: [[export]] /extra added\n");
    assert_eq!(exported(&port), BTreeSet::from(["/SRL", "/export", "/extra"].map(str::to_owned)));
    let mut extra = port.mount("/extra");
    let names: Vec<_> = extra.readdir(&extra.root()).unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, [&b"."[..], b"..", b"file"]);
    let file = extra.walk("file").unwrap();
    assert_eq!(extra.read(&file).unwrap(), b"contents");
    assert_eq!(mounted(&port), BTreeSet::from(["/export", "/extra"].map(str::to_owned)));

    port.edit_config("folder = \"/dir\"", "folder = \"/\"");
    assert_eq!(port.reload(), "changed: [[export]] /extra folder\n");
    assert!(port.mount("/extra").walk("outside").is_ok());
    assert_eq!(extra.read(&file).err(), STALE, "of the export as it was");
    let mut extra = port.mount("/extra");
    let outside = extra.walk("outside").unwrap();
    let whole = extra.root();
    port.edit_config("folder = \"/\"", "folder = \"/dir\"");
    assert_eq!(port.reload(), "changed: [[export]] /extra folder\n");
    assert_eq!(extra.read(&outside).err(), STALE, "what is outside the folder now");
    assert_eq!(extra.readdir(&whole).err(), STALE);
    assert_eq!(extra.write_at(&outside, 0, b"x", stable_how::FILE_SYNC).err(), STALE);
    assert_eq!(extra.read(&file).unwrap(), b"contents", "back to its folder, back to its handles");

    port.edit_config("path = \"/extra\"", "path = \"/other\"");
    assert_eq!(port.reload(), "changed: [[export]] /extra removed\nchanged: [[export]] /other added\n");
    assert_eq!(extra.getattr(&file).err(), STALE);
    assert_eq!(extra.write_at(&file, 0, b"x", stable_how::FILE_SYNC).err(), STALE);
    assert!(Mount::new(port.nfs(), "/extra", Credential::root()).is_err());
    assert_eq!(exported(&port), BTreeSet::from(["/SRL", "/export", "/other"].map(str::to_owned)));
    assert_eq!(mounted(&port), BTreeSet::from(["/export".to_owned()]), "what is gone is mounted nowhere");
    unmount(&port, "/extra").unwrap();
    port.edit_config("path = \"/other\"", "path = \"/extra\"");
    port.reload();
    assert_eq!(extra.read(&file).unwrap(), b"contents", "back under its path, back under its handles");
    assert_eq!((mount.repeated, extra.repeated), (0, 0));
}

/// Design decision 11: whatever is wrong, the port goes on as it was, and says why in one line.
#[test]
fn a_bad_file_changes_nothing_and_says_why() {
    let site = Site::start();
    let mut port = site.port("port");
    let mut mount = port.mount("/export");
    let root = mount.root();
    let good = fs::read_to_string(port.config()).unwrap();
    let cases: [(&str, &str, &[&str]); 4] = [
        ("quiet_ms", "quiet_msec", &["quiet_msec", "quiet_ms"]),
        ("customer-1.secret", "customer-8.secret", &["customer-8.secret"]),
        ("path = \"/SRL\"", "path = \"/export\"", &["/export"]),
        ("ddm = [", "ddm = [\"nowhere\", ", &["ddm", "nowhere"]),
    ];
    for (from, to, words) in cases {
        // Each would also take the right to write away.
        port.edit_config(SQUASH, "squash = \"none\"\nread_only = true");
        port.edit_config(from, to);
        let said = refused(&port);
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
        let before = port.daemon.log_tail().matches("not reloaded").count();
        hang_up(&port);
        poll::until("the log says why", PATIENCE, || {
            let tail = port.daemon.log_tail();
            let is_told = words.iter().all(|word| tail.contains(word));
            (is_told && tail.matches("nothing was changed").count() > before).then_some(())
        });
        mount.create_file(&root, b"file").unwrap();
        fs::write(port.config(), &good).unwrap();
    }
    assert_eq!(mount.repeated, 0);

    // Another file, however good, is not the port's.
    let other = site.path().join("other.toml");
    fs::write(&other, &good).unwrap();
    let storage_port = binary("storage-port");
    let reload = |config: &std::path::Path| {
        let output = run(storage_port.to_str().unwrap(), &["reload", "--config", config.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(reload(&other).contains("port.toml"), "it says with which it was started");
    port.daemon.stop();
    assert!(reload(&port.config()).contains("no storage port runs"));
}

/// What a running port cannot change is named, each time, and what it can is changed all the same.
#[test]
fn what_needs_a_start_is_named() {
    let site = Site::start();
    site.add_customer(2, &[]);
    let port = site.port("port");
    let mut mount = port.mount("/export");
    let root = mount.root();
    port.edit_config("rpcbind = \"off\"", "rpcbind = \"off\"\nrpcbind_port = 1111");
    port.edit_config("quiet_ms = 100", "quiet_ms = 101");
    let secret = site.secret_file(2);
    let added = format!(
        "[[customer]]\nid = 2\nsecret_file = \"{}\"\n[[export]]\npath = \"/two\"\ncustomer = 2\n[nfs]",
        secret.display()
    );
    port.edit_config("[nfs]", &added);
    port.edit_config(SQUASH, "squash = \"none\"\nread_only = true");
    let later = ["[[customer]] 2 added", "[[export]] /two added", "[nfs] rpcbind_port", "[upload] quiet_ms"]
        .map(|change| format!("takes effect at the next start: {change}\n"))
        .concat();
    assert_eq!(port.reload(), format!("changed: [[export]] /export read_only\n{later}"));
    assert_eq!(port.reload(), later, "until then");
    assert_eq!(mount.create_file(&root, b"new").err(), ROFS);
    assert_eq!(exported(&port), BTreeSet::from(["/SRL", "/export"].map(str::to_owned)));

    hang_up(&port);
    poll::until("the log names it too", PATIENCE, || {
        port.daemon.log_tail().contains("takes effect at the next start: [[customer]] 2 added").then_some(())
    });
}

/// A secret that was wrong is mended without a restart.
#[test]
fn a_mended_secret_is_taken_by_sighup() {
    let site = Site::start();
    let right = fs::read(site.secret_file(1)).unwrap();
    fs::write(site.secret_file(1), b"not the right secret at all").unwrap();
    let port = site.port("port");
    poll::until("the log says so", PATIENCE, || {
        port.daemon.log_tail().contains("the secret is not accepted").then_some(())
    });
    fs::write(site.secret_file(1), right).unwrap();
    hang_up(&port);
    let mut mount = poll::until("the export can be mounted", PATIENCE, || {
        Mount::new(port.nfs(), "/export", Credential::root()).ok()
    });
    assert!(port.daemon.log_tail().contains("changed: [[customer]] 1 secret"), "{}", port.daemon.log_tail());
    let root = mount.root();
    mount.put(&root, b"file", b"stored").unwrap();
    port.wait_uploaded(&site, &data::md5_hex(b"stored"));
    let mut urls = port.mount("/SRL");
    let url = urls.walk("file").and_then(|file| urls.read(&file)).unwrap();
    let url = String::from_utf8(url).unwrap();
    assert_eq!(curl(url.trim_end(), &[]).0, 200, "SRLs are signed with it too: {url}");
}

/// While the configuration is reloaded over and over, no call is lost, repeated or wrong.
#[test]
fn reloads_under_load_lose_no_call() {
    const RELOADS: usize = 40;
    const CLIENTS: u64 = 4;
    let site = Site::start();
    let port = site.port("port");
    let is_over = AtomicBool::new(false);
    let root = port.mount("/export").root();
    let calls: u64 = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (port, is_over, root) = (&port, &is_over, root.clone());
                scope.spawn(move || {
                    let mut mount = port.mount("/export");
                    let mut calls = 0;
                    let name = format!("file {client}");
                    let file = mount.create_file(&root, name.as_bytes()).unwrap();
                    while !is_over.load(Ordering::Relaxed) {
                        let bytes = data::bytes(client << 32 | calls, 5_000);
                        mount.write_durably(&file, 0, &bytes).unwrap();
                        assert!(mount.read(&file).unwrap() == bytes);
                        assert_eq!(mount.lookup(&root, name.as_bytes()).unwrap(), file);
                        calls += 4;
                    }
                    assert_eq!(mount.repeated, 0);
                    calls
                })
            })
            .collect();
        for number in 0..RELOADS {
            // Comes and goes: each reload changes the table that the calls go through.
            let (from, to) = match number % 2 {
                0 => ("path = \"/SRL\"", "path = \"/URLs\""),
                _ => ("path = \"/URLs\"", "path = \"/SRL\""),
            };
            port.edit_config(from, to);
            assert_eq!(port.reload().lines().count(), 2);
        }
        is_over.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    assert!(calls > 4 * RELOADS as u64, "only {calls} calls: that was no load");
}

/// `storage-port status`, for people and for programs.
#[test]
fn status_tells_what_is_in_force() {
    let site = Site::start();
    let port = site.port("port");
    let mut mount = port.mount("/export");
    let root = mount.root();
    mount.put(&root, b"file", b"x").unwrap();
    port.edit_config(SQUASH, "squash = \"root\"\nallowed = [\"127.0.0.0/8\"]\nread_only = true");
    port.reload();
    let config = port.config();
    let ask = |extra: &[&str]| {
        let arguments = [&["status", "--config", config.to_str().unwrap()], extra].concat();
        String::from_utf8(run_ok(binary("storage-port").to_str().unwrap(), &arguments)).unwrap()
    };
    let status: serde_json::Value = serde_json::from_str(&ask(&["--json"])).unwrap();
    assert_eq!(status["pid"], port.daemon.pid().as_raw_nonzero().get());
    assert_eq!(status["customers"][0]["is_center_reachable"], true);
    assert!(status["journal"]["bytes_max"].as_u64().unwrap() > 900 << 20);
    let export = &status["exports"][1];
    assert_eq!((&export["path"], &export["squash"]), (&"/export".into(), &"root".into()));
    assert_eq!((&export["read_only"], &export["allowed"][0]), (&true.into(), &"127.0.0.0/8".into()));
    let text = ask(&[]);
    for words in [
        "customer 1: the storage center answers",
        "export /SRL: srl",
        "read-only, squash root, for 127.0.0.0/8",
    ] {
        assert!(text.contains(words), "`{words}` is not in:\n{text}");
    }
}
