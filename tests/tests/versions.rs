//! What is deleted and overwritten, through a port or by the command, is kept and comes back (undo).

#![allow(clippy::unwrap_used)]

use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use client::{Center, Settings};
use e2e::daemon::binary;
use e2e::desk::Desk;
use e2e::mount::{Mount, mode};
use e2e::shared::Shared;
use e2e::site::{Port, PortSettings, Site};
use e2e::tools::run_ok;
use e2e::{data, poll};
use nfs3_types::nfs3::{nfs_fh3, nfsstat3};
use protocol::id::{CustomerId, Token, VersionId};
use protocol::vfs::{Answer, Operation, Request, VfsErrorCode};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(30);
const HOUR: u32 = 3_600;

/// A storage center that keeps what customer 1 deletes and overwrites for so long.
fn keeping(seconds: u32) -> Desk {
    let desk = Desk::start();
    keep(&desk.site, seconds);
    desk
}

fn keep(site: &Site, seconds: u32) {
    let (config, seconds) = (site.center_config(), seconds.to_string());
    let arguments = ["customer", "keep", "--id", "1", "--seconds", &seconds, "--config"];
    let program = binary("storage-center");
    run_ok(program.to_str().unwrap(), &[&arguments, &[config.to_str().unwrap()][..]].concat());
}

fn versions(desk: &Desk, path: &str) -> Vec<Value> {
    match serde_json::from_str(&desk.done(&["versions", "--json", path])).unwrap() {
        Value::Array(versions) => versions,
        other => panic!("no list: {other}"),
    }
}

/// Waits until so many versions are kept at a path.
fn await_versions(desk: &Desk, path: &str, count: usize) -> Vec<Value> {
    poll::until(&format!("{count} versions of {path}"), PATIENCE, || {
        let found = versions(desk, path);
        (found.len() == count).then_some(found)
    })
}

fn number(version: &Value) -> String {
    version["version"].to_string()
}

#[track_caller]
fn assert_clean(desk: &Desk, references: usize) {
    let mut last = String::new();
    poll::until("references equal rows", PATIENCE, || {
        let (agrees, report) = desk.site.check();
        let is_clean = agrees && report.contains(&format!("references on the disks  {references}\n"));
        if !is_clean && report != last {
            eprintln!("{report}");
            last = report;
        }
        is_clean.then_some(())
    });
}

/// Waits until a path of the export has these contents.
fn await_contents(port: &Port, path: &str, contents: &[u8]) {
    let mut mount = port.mount("/export");
    poll::until(&format!("{path} has its contents again"), PATIENCE, || {
        let file = mount.walk(path).ok()?;
        (mount.read(&file).ok()? == contents).then_some(())
    });
}

/// PORT-12, REF-4: the old bytes of a file that was overwritten through a port come back under its handle, and the new ones
/// are kept in turn.
#[test]
fn what_is_overwritten_through_a_port_comes_back() {
    let desk = keeping(HOUR);
    // No pause of the client's is taken for the end of its writing.
    let settings = PortSettings { quiet: Duration::from_secs(2), ..PortSettings::default() };
    let port = desk.site.port_with("port", &settings);
    let (first, second) = (data::bytes(1, 3_000_000), data::bytes(2, 3_500_000));
    let mut mount = port.mount("/export");
    let root = mount.root();
    let file: nfs_fh3 = mount.put(&root, b"f", &first).unwrap();
    port.wait_nothing_owed();
    assert_eq!(versions(&desk, "/f"), Vec::<Value>::new(), "an empty file was overwritten: that is no loss");
    mount.write_durably(&file, 0, &second).unwrap();
    let kept = await_versions(&desk, "/f", 1);
    assert_eq!((&kept[0]["why"], &kept[0]["size"]), (&"overwritten".into(), &first.len().into()));
    assert_eq!(kept[0]["md5"], data::md5_hex(&first));
    assert_eq!(versions(&desk, "/"), kept, "in its folder, too");
    assert_clean(&desk, 2);

    assert!(desk.refused(&["restore", "/f", "--version", &number(&kept[0])]).contains("--force"));
    desk.done(&["restore", "/f", "--version", &number(&kept[0]), "--force"]);
    poll::until("the old bytes, by the old handle", PATIENCE, || {
        (mount.read(&file).ok()? == first).then_some(())
    });
    let kept = await_versions(&desk, "/f", 1);
    assert_eq!(kept[0]["md5"], data::md5_hex(&second));
    desk.done(&["restore", "/f", "--to", "new"]);
    await_contents(&port, "new", &second);
    assert_eq!(versions(&desk, "/f"), Vec::<Value>::new());
    assert_clean(&desk, 2);
}

/// A file that was removed through a port comes back, and a whole tree, however it went.
#[test]
fn what_is_deleted_comes_back() {
    let desk = keeping(HOUR);
    let port = desk.site.port("port");
    let mut mount = port.mount("/export");
    let root = mount.root();
    let contents: Vec<Vec<u8>> = (0..3).map(|number| data::bytes(number, 50_000)).collect();
    let top = mount.mkdir(&root, b"top").unwrap();
    let below = mount.mkdir(&top, b"below").unwrap();
    mount.put(&top, b"a", &contents[0]).unwrap();
    mount.put(&below, b"b", &contents[1]).unwrap();
    mount.symlink(&below, b"link", b"b").unwrap();
    mount.put(&root, b"c", &contents[2]).unwrap();
    port.wait_nothing_owed();
    assert_clean(&desk, 3);
    mount.remove(&root, b"c").unwrap();
    assert_eq!(await_versions(&desk, "/c", 1)[0]["why"], "deleted");
    desk.done(&["restore", "/c"]);
    await_contents(&port, "c", &contents[2]);

    // By one command, and name by name.
    desk.done(&["rm", "-r", "/top"]);
    for _ in 0..2 {
        assert_eq!(await_versions(&desk, "/top/below/", 2).len(), 2);
        let listed = desk.done(&["versions", "/top"]);
        assert!(listed.contains(" deleted ") && listed.trim_end().ends_with(" top"), "{listed}");
        assert!(desk.refused(&["restore", "/top/a"]).contains("its folder is gone"));
        desk.done(&["restore", "-r", "/top"]);
        await_contents(&port, "top/a", &contents[0]);
        await_contents(&port, "top/below/b", &contents[1]);
        let below = mount.walk("top/below").unwrap();
        let link = mount.lookup(&below, b"link").unwrap();
        assert_eq!(mount.readlink(&link).unwrap(), b"b");
        let top = mount.walk("top").unwrap();
        mount.remove(&below, b"link").unwrap();
        mount.remove(&below, b"b").unwrap();
        mount.rmdir(&top, b"below").unwrap();
        mount.remove(&top, b"a").unwrap();
        mount.rmdir(&root, b"top").unwrap();
    }
    assert_clean(&desk, 3);
}

/// A tree of which some was restored is made whole by the same command, and what has a name by now keeps it.
#[test]
fn a_restore_that_was_interrupted_goes_on() {
    let desk = keeping(HOUR);
    let files = [1, 2].map(|seed| desk.file(&format!("local-{seed}"), &data::bytes(seed, 9_000)));
    for folder in ["/top", "/top/below", "/top/below/deep"] {
        desk.done(&["mkdir", folder]);
    }
    let names = ["/top/a", "/top/b", "/top/below/c", "/top/below/d", "/top/below/deep/e"];
    for name in names {
        desk.done(&["put", &files[0], name]);
    }
    desk.done(&["rm", "-r", "/top"]);
    for name in ["/top", "/top/below", "/top/below/c"] {
        desk.done(&["restore", name]);
    }
    desk.done(&["put", &files[1], "/top/b"]);
    let output = desk.run(&["restore", "-r", "/top"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && told.contains("/top: passed over 1 whose names are in use"), "{told}");
    for name in names {
        let seed = if name == "/top/b" { 2 } else { 1 };
        assert_is(&desk, name, &data::bytes(seed, 9_000));
    }
    assert_eq!(versions(&desk, "/top/b").len(), 1, "it is still kept");
    assert_clean(&desk, 6);
    // Of everything, from the root on.
    desk.done(&["rm", "/top/b"]);
    desk.done(&["rm", "/top/below/deep/e"]);
    desk.done(&["restore", "-r", "/"]);
    assert_is(&desk, "/top/b", &data::bytes(2, 9_000));
    assert_is(&desk, "/top/below/deep/e", &data::bytes(1, 9_000));
    assert!(desk.refused(&["restore", "/"]).contains("root"));
}

/// REF-4: when their time is over versions are gone, and nothing holds their objects any more; without a time nothing
/// is kept.
#[test]
fn versions_go_when_their_time_is_over() {
    let desk = keeping(HOUR);
    let [first, second] = [1, 2].map(|seed| desk.file(&format!("local-{seed}"), &data::bytes(seed, 9_000)));
    desk.done(&["put", &first, "/f"]);
    desk.done(&["put", &second, "/f"]);
    desk.done(&["put", &first, "/g"]);
    desk.done(&["rm", "/g"]);
    assert_eq!(versions(&desk, "/").len(), 2);
    assert_clean(&desk, 3);
    keep(&desk.site, 1);
    await_versions(&desk, "/", 0);
    assert_clean(&desk, 1);
    assert!(desk.refused(&["restore", "/g"]).contains("no version"));
    keep(&desk.site, 0);
    desk.done(&["rm", "/f"]);
    assert_eq!(versions(&desk, "/").len(), 0);
    assert_clean(&desk, 0);
}

/// SYS-8, SRL-18: a restore that the center's death interrupts happens once, and so does one that is asked for twice under
/// one key; no reference is lost or left over.
#[test]
fn the_center_killed_between_loses_no_version() {
    let mut desk = keeping(HOUR);
    let contents: Vec<Vec<u8>> = (0..2).map(|seed| data::bytes(seed, 20_000)).collect();
    let files: Vec<String> =
        (0..2).map(|each| desk.file(&format!("local-{each}"), &contents[each])).collect();
    let mut rng = data::rng(0x756e_646f);
    desk.done(&["put", &files[0], "/f"]);
    for round in 0..10 {
        desk.done(&["put", &files[1], "/f"]);
        kill(&mut desk);
        assert_eq!(versions(&desk, "/f").len(), 1, "round {round}");
        interrupted(&mut desk, &mut rng, &["restore", "/f", "--force"]);
        assert_is(&desk, "/f", &contents[0]);
        // The new contents are kept in turn; away with them, so that the next round has one version again.
        let kept = versions(&desk, "/f");
        assert_eq!(kept.len(), 1, "round {round}: {kept:?}");
        assert_eq!(kept[0]["md5"], data::md5_hex(&contents[1]));
        desk.done(&["restore", "/f", "--to", &format!("new-{round}")]);

        interrupted(&mut desk, &mut rng, &["rm", "/f"]);
        interrupted(&mut desk, &mut rng, &["restore", "/f"]);
        assert_is(&desk, "/f", &contents[0]);
        assert_eq!(versions(&desk, "/f").len(), 0, "round {round}");
    }
    assert_clean(&desk, 11);

    desk.done(&["rm", "/f"]);
    let version = VersionId(versions(&desk, "/f")[0]["version"].as_u64().unwrap());
    let urls = vec![desk.site.center_url()];
    let settings = Settings::new(urls.clone(), urls, CustomerId(1), desk.site.secret(1));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let restore = |key| {
        let operation = Operation::Restore { version, parent: None, name: None, replace: false };
        let request = Request { key: Some(Token([key; 16])), operation };
        let settings = settings.clone();
        runtime.block_on(async { Center::new(settings).unwrap().operate(request).await })
    };
    let first = restore(1).unwrap();
    assert!(matches!(&first.answer, Answer::Changed(changed) if changed.created));
    kill(&mut desk);
    assert_eq!(restore(1).unwrap(), first);
    assert_eq!(restore(2).unwrap_err().vfs_code(), Some(VfsErrorCode::NotFound));
    assert_eq!(desk.done(&["ls", "/"]).matches("f\n").count(), 1);
    assert_clean(&desk, 11);
}

/// A port whose `/export` shows versions, and believes a second that one is there.
fn port_with_versions(desk: &Desk) -> Port {
    // No pause of the client's is taken for the end of its writing.
    let settings = PortSettings { quiet: Duration::from_secs(2), ..PortSettings::default() };
    let (dir, config) = desk.site.write_port_config("port", &settings);
    let text = fs::read_to_string(&config).unwrap();
    let text = text.replacen("squash = \"none\"\n", "squash = \"none\"\nversions = true\n", 1).replacen(
        "[cache]\n",
        "[cache]\nbelieve_seconds = 1\n",
        1,
    );
    fs::write(&config, text).unwrap();
    desk.site.start_port(dir, &config)
}

/// What a folder of versions shows: name and handle.
fn listed(mount: &mut Mount, path: &str) -> Vec<(String, nfs_fh3)> {
    let folder = mount.walk(path).unwrap();
    let entries = mount.readdirplus(&folder).unwrap().into_iter();
    let named = entries.map(|(name, _, handle)| (String::from_utf8(name).unwrap(), handle));
    named.filter(|(name, _)| name != "." && name != "..").collect()
}

/// The path of the one entry of a folder of versions that begins so.
fn only(mount: &mut Mount, path: &str, begins: &str) -> String {
    let entries = listed(mount, path);
    let [(name, _)] = &entries[..] else { panic!("{entries:?} in {path}") };
    assert!(name.starts_with(begins), "{name}");
    format!("{path}/{name}")
}

/// PORT-12: what was overwritten and deleted, also with its folder, is read through the export that it was in, from its first
/// byte to its last, and by the same handle after a restart.
#[test]
fn what_is_kept_is_read_below_an_export() {
    let desk = keeping(HOUR);
    let mut port = port_with_versions(&desk);
    let (first, second) = (data::bytes(1, 3_000_000), data::bytes(2, 3_500_000));
    let mut mount = port.mount("/export");
    let root = mount.root();
    let docs = mount.mkdir(&root, b"docs").unwrap();
    let deep = mount.mkdir(&docs, b"deep").unwrap();
    let file = mount.put(&docs, b"report.pdf", &first).unwrap();
    mount.put(&deep, b"inside", b"bytes").unwrap();
    mount.symlink(&deep, b"link", b"inside").unwrap();
    port.wait_nothing_owed();
    mount.write_durably(&file, 0, &second).unwrap();
    await_versions(&desk, "/docs", 1);
    mount.remove(&docs, b"report.pdf").unwrap();
    let numbers: Vec<String> = await_versions(&desk, "/docs", 2).iter().map(number).collect();

    assert!(mount.readdir(&root).unwrap().iter().all(|(name, _)| name != b".versions"));
    assert_eq!(listed(&mut mount, ".versions").len(), 1);
    let kept = listed(&mut mount, ".versions/docs");
    let versions: Vec<_> = kept.iter().filter(|(name, _)| name != "deep").collect();
    assert_eq!((kept.len(), versions.len()), (3, 2), "{kept:?}");
    for ((name, handle), (number, contents)) in versions.iter().zip(numbers.iter().zip([&first, &second])) {
        assert!(name.starts_with("report.") && name.ends_with(&format!("Z.v{number}.pdf")), "{name}");
        assert!(mount.read(handle).unwrap() == *contents, "{name} has other contents");
        assert_eq!(mount.walk(&format!(".versions/docs/{name}")).unwrap(), *handle);
    }

    desk.done(&["rm", "-r", "/docs"]);
    let docs = poll::until("the deleted folder", PATIENCE, || {
        let entries = listed(&mut mount, ".versions");
        (entries.len() == 1 && entries[0].0 != "docs").then(|| only(&mut mount, ".versions", "docs."))
    });
    let deep = listed(&mut mount, &docs).into_iter().find(|(name, _)| name.starts_with("deep.")).unwrap().0;
    let inside = listed(&mut mount, &format!("{docs}/{deep}"));
    assert_eq!(inside.len(), 2, "{inside:?}");
    let [(_, file), (_, link)] = &inside[..] else { panic!() };
    assert_eq!(mount.read(file).unwrap(), b"bytes");
    assert_eq!(mount.readlink(link).unwrap(), b"inside");

    port.daemon.kill_9();
    port.daemon.restart();
    let mut mount = port.mount("/export");
    assert_eq!(mount.read(file).unwrap(), b"bytes");
    assert!(mount.read(&versions[0].1).unwrap() == first);
}

/// Nobody changes what is kept; a restored or outdated version is gone, and so is all of it where it is switched off.
#[test]
fn what_is_shown_of_versions_is_theirs_alone() {
    let desk = keeping(HOUR);
    let port = port_with_versions(&desk);
    let mut mount = port.mount("/export");
    let root = mount.root();
    for name in [b"a", b"b", b"c"] {
        mount.put(&root, name, name).unwrap();
    }
    port.wait_nothing_owed();
    for name in [b"a", b"b"] {
        mount.remove(&root, name).unwrap();
    }
    await_versions(&desk, "/", 2);
    let top = mount.walk(".versions").unwrap();
    let kept = listed(&mut mount, ".versions");
    let (name, file) = &kept[0];
    let rofs = Some(nfsstat3::NFS3ERR_ROFS);
    assert_eq!(mount.mkdir(&root, b".versions").err(), Some(nfsstat3::NFS3ERR_EXIST));
    assert_eq!(mount.rmdir(&root, b".versions").err(), rofs);
    assert_eq!(mount.remove(&top, name.as_bytes()).err(), rofs);
    assert_eq!(mount.create_file(&top, b"new").err(), rofs);
    assert_eq!(mount.rename(&root, b"c", &top, b"c").err(), rofs);
    assert_eq!(mount.setattr(file, mode(0o777)).err(), rofs);
    assert_eq!(mount.write_durably(file, 0, b"x").err(), rofs);

    desk.done(&["restore", "/a"]);
    let stale = |mount: &mut Mount, file: &nfs_fh3| {
        let gone = mount.getattr(file).err();
        (gone == Some(nfsstat3::NFS3ERR_STALE)).then_some(())
    };
    poll::until("the restored version is gone", PATIENCE, || stale(&mut mount, file));
    assert_eq!(mount.lookup(&top, name.as_bytes()).err(), Some(nfsstat3::NFS3ERR_NOENT));
    only(&mut mount, ".versions", "b.");
    keep(&desk.site, 1);
    poll::until("the outdated version is gone", PATIENCE, || stale(&mut mount, &kept[1].1));
    assert_eq!(listed(&mut mount, ".versions").len(), 0);

    port.edit_config("versions = true", "versions = false");
    assert_eq!(port.reload(), "changed: [[export]] /export versions\n");
    assert_eq!(mount.getattr(&top).err(), Some(nfsstat3::NFS3ERR_STALE));
    assert_eq!(mount.walk(".versions").err(), Some(nfsstat3::NFS3ERR_NOENT));
    mount.mkdir(&root, b".versions").unwrap();
}

/// A share shows what its export shows.
fn by_cifs(more: &str) {
    let shared = Shared::start(more);
    keep(&shared.site, HOUR);
    shared.port.edit_config("squash = \"none\"", "squash = \"none\"\nversions = true");
    shared.port.reload();
    let bytes = data::bytes(1, 100_000);
    shared.put("f.txt", &bytes).unwrap();
    shared.port.wait_nothing_owed();
    shared.export("rm f.txt").good().unwrap();
    let mut mount = shared.port.mount("/export");
    let path = only(&mut mount, ".versions", "f.").replace('/', "\\");
    assert!(shared.get(&path).unwrap() == bytes);
    let listed = shared.export("cd .versions; ls").good().unwrap();
    assert!(listed.contains("f.20") && !listed.contains("f.txt"), "{listed}");
    assert!(shared.export(&format!("rm \"{path}\"")).good().is_err());
    assert!(shared.put(".versions\\new", b"x").is_err());
    only(&mut mount, ".versions", "f.");
}

#[test]
fn what_is_kept_is_read_by_cifs() {
    by_cifs("");
}

#[test]
fn what_is_kept_is_read_by_samba() {
    by_cifs("engine = \"samba\"\n");
}

fn kill(desk: &mut Desk) {
    desk.site.center.kill_9();
    desk.site.center.restart();
}

/// Runs the command while the center is killed and started again; it must succeed.
fn interrupted(desk: &mut Desk, rng: &mut impl rand::Rng, arguments: &[&str]) {
    let config = desk.config.to_str().unwrap().to_owned();
    let mut command = Command::new(binary("center"));
    command.args(["--config", &config]).args(arguments);
    let running = thread::spawn(move || command.output().unwrap());
    poll::pause(Duration::from_millis(rng.random_range(0..30)));
    kill(desk);
    let output = running.join().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[track_caller]
fn assert_is(desk: &Desk, path: &str, contents: &[u8]) {
    desk.done(&["get", path, &desk.local("back")]);
    assert!(desk.bytes("back") == contents, "{path} has other contents");
}
