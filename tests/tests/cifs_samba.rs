//! The exports through CIFS where Debian's Samba serves them, over a mount of each.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::cifs_checks;
use e2e::daemon::binary;
use e2e::data;
use e2e::mount::mode;
use e2e::poll;
use e2e::shared::{Shared, users_file};
use e2e::site;
use e2e::tools::{run, run_ok};
use rustix::process::{Pid, Signal, kill_process};

const SAMBA: &str = "engine = \"samba\"\n";

/// What is not done by Samba over the mount; told to users in README.md.
const NOT_DONE: &[&str] = &[
    // There is none: each acts as himself in one share for all.
    "the share of another user is refused",
    "a second stream of a file",
];

/// Reads and writes what its owner has opened as somebody else, who may not open it.
const AS_ANOTHER: &str = "
import os, sys
path = sys.argv[1]
owner = os.stat(path)
os.setgroups([])
os.setegid(owner.st_gid)
os.seteuid(owner.st_uid)
file = os.open(path, os.O_RDWR)
os.seteuid(0)
os.setegid(12345)
os.seteuid(12345)
try:
    os.open(path, os.O_RDONLY)
    sys.exit('he may open it')
except PermissionError:
    pass
assert os.pread(file, 100, 0) == b'private'
assert os.pwrite(file, b'A', 4) == 1
os.fsync(file)
os.close(file)
";

fn mounts(shared: &Shared) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let dir = shared.port.path().to_str().unwrap().to_owned();
    let own = mounts.lines().filter(|line| line.contains(&dir) && line.contains("fuse.storage-port"));
    own.filter_map(|line| line.split(' ').nth(1)).map(PathBuf::from).collect()
}

fn mounts_of(shared: &Shared) -> usize {
    mounts(shared).len()
}

/// Processes that have the port's directory among their arguments or variables, of programs called so, or with that
/// argument.
fn processes(shared: &Shared, program: &str) -> Vec<Pid> {
    let dir = shared.port.path().join("state").to_str().unwrap().to_owned();
    let found = fs::read_dir("/proc").unwrap().flatten().filter_map(|process| {
        let id = process.file_name().to_str()?.parse().ok()?;
        let name = fs::read_to_string(process.path().join("comm")).ok()?;
        let read = |file| fs::read(process.path().join(file)).unwrap_or_default();
        let text = String::from_utf8_lossy(&[read("cmdline"), read("environ")].concat()).into_owned();
        let is_one = name.trim_end().starts_with(program) || text.split('\0').any(|word| word == program);
        (is_one && text.contains(&dir)).then(|| Pid::from_raw(id)).flatten()
    });
    found.collect()
}

/// PORT-1: of the same checks as the port's own server's those fail alone that are known to.
#[test]
fn clients_do_by_samba_what_they_do_by_nfs() {
    let shared = Shared::start(SAMBA);
    cifs_checks::pass(&shared, NOT_DONE, 40);
}

/// PORT-11: smbclient sets it, and asks for it with what the port's own server does not have, a short name.
#[test]
fn the_time_of_birth_is_kept() {
    let shared = Shared::start(SAMBA);
    let born = || {
        let text = shared.export("allinfo aged").good().unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("create_time:"));
        line.unwrap_or_else(|| panic!("{text}")).trim().to_owned()
    };
    shared.put("aged", b"x").unwrap();
    let new = born();
    shared.export("utimes aged 2001:02:03-04:05:06 -1 -1 -1").good().unwrap();
    let set = born();
    assert!(set != new && set.contains("04:05:06") && set.contains("2001"), "{set}");
    shared.put("aged", b"written anew").unwrap();
    let mut mount = shared.port.mount("/export");
    let file = mount.walk("aged").unwrap();
    mount.setattr(&file, mode(0o640)).unwrap();
    shared.export("rename aged older; rename older aged").good().unwrap();
    assert_eq!(born(), set);
}

/// PORT-1: what is written by either is what is read by the other, no later than after a second.
#[test]
fn one_tree_by_samba_and_nfs_at_once() {
    let shared = Shared::start(SAMBA);
    let mut mount = shared.port.mount("/export");
    let root = mount.root();
    for round in 0..6_u64 {
        let bytes = data::bytes(round, 500_000 + 1_000 * round as usize);
        if round % 2 == 0 {
            shared.put("shared", &bytes).unwrap();
        } else {
            let file = mount.put(&root, b"shared", &bytes).unwrap();
            mount.setattr(&file, mode(0o666)).unwrap();
            mount.truncate(&file, bytes.len() as u64).unwrap();
        }
        let file = mount.walk("shared").unwrap();
        assert!(mount.read(&file).unwrap() == bytes, "by NFS, round {round}");
        poll::until("the same by CIFS", Duration::from_secs(1), || {
            (shared.get("shared").unwrap() == bytes).then_some(())
        });
    }
}

/// PORT-1: a file is read and written with the rights of who opened it. Samba does so in threads that may act as another
/// user of the same connection.
#[test]
fn who_opened_a_file_reads_and_writes_it() {
    let shared = Shared::start(SAMBA);
    let mut mount = shared.port.mount("/export");
    let root = mount.root();
    let file = mount.put(&root, b"file", b"private").unwrap();
    mount.setattr(&file, mode(0o600)).unwrap();
    let mut paths = mounts(&shared).into_iter().map(|dir| dir.join("file"));
    let path = paths.find(|path| fs::read(path).is_ok_and(|bytes| bytes == b"private"));
    run_ok("python3", &["-c", AS_ANOTHER, path.unwrap().to_str().unwrap()]);
    assert_eq!(mount.read(&file).unwrap(), b"privAte");
}

/// PORT-1: a close is a COMMIT. However the port ends, nothing of Samba's is left, and the next one serves again.
#[test]
fn what_was_closed_survives_the_port_and_nothing_else_does() {
    let mut shared = Shared::start(SAMBA);
    assert_eq!(mounts_of(&shared), 2);
    let bytes = data::bytes(7, 5_000_000);
    for round in 0..2 {
        let name = format!("closed-{round}");
        shared.put(&name, &bytes).unwrap();
        shared.port.daemon.kill_9();
        poll::until("Samba has ended", Duration::from_secs(10), || {
            let left = processes(&shared, "smbd").len() + processes(&shared, "rpcd").len();
            (left == 0 && mounts_of(&shared) == 0).then_some(())
        });
        shared.port.daemon.restart();
        assert!(shared.get(&name).unwrap() == bytes, "round {round}");
    }
    shared.port.daemon.stop();
    poll::until("Samba has ended", Duration::from_secs(10), || {
        (processes(&shared, "smbd").is_empty() && mounts_of(&shared) == 0).then_some(())
    });
}

/// Samba that ends is started anew; whoever keeps it may be killed as well, and the port that is started then begins
/// clean.
#[test]
fn samba_that_ends_is_started_anew() {
    let mut shared = Shared::start(SAMBA);
    shared.put("kept", b"kept").unwrap();
    for id in processes(&shared, "smbd") {
        let _ = kill_process(id, Signal::KILL);
    }
    poll::until("it serves again", Duration::from_secs(20), || shared.get("kept").ok());
    let keepers = processes(&shared, "keep-samba");
    assert_eq!(keepers.len(), 1);
    kill_process(keepers[0], Signal::KILL).unwrap();
    shared.port.daemon.kill_9();
    assert!(mounts_of(&shared) == 2 && !processes(&shared, "smbd").is_empty(), "nobody was left to tidy up");
    shared.port.daemon.restart();
    assert_eq!(shared.get("kept").unwrap(), b"kept");
    assert_eq!(mounts_of(&shared), 2);
}

/// PORT-8: a folder that cannot be listed now is not an empty one.
#[test]
fn a_folder_that_cannot_be_listed_is_not_shown_as_empty() {
    let mut shared = Shared::start(SAMBA);
    let elsewhere = shared.site.port("other");
    let (mut mount, mut other) = (shared.port.mount("/export"), elsewhere.mount("/export"));
    let folder = other.mkdir(&other.root(), b"folder").unwrap();
    other.put(&folder, b"file", b"x").unwrap();
    poll::until("the folder is known", Duration::from_secs(10), || mount.walk("folder").ok());
    shared.site.center.stop();
    let said = shared.export("ls folder\\*");
    assert!(said.text.contains("listing \\folder\\*"), "{said:?}");
}

/// A second port with the same configuration ends, and not what the first one serves with.
#[test]
fn a_port_that_may_not_serve_leaves_samba_alone() {
    let shared = Shared::start(SAMBA);
    shared.put("kept", b"kept").unwrap();
    let first = || processes(&shared, "smbd").into_iter().map(Pid::as_raw_nonzero).min();
    let before = first();
    assert!(before.is_some());
    let config = shared.port.config();
    let output =
        run(binary("storage-port").to_str().unwrap(), &["serve", "--config", config.to_str().unwrap()]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("in use by another storage port"), "{said}");
    assert_eq!(first(), before);
    assert_eq!(mounts_of(&shared), 2);
    assert_eq!(shared.get("kept").unwrap(), b"kept");
}

/// Design decision 11: what is wrong is said in one line.
#[test]
fn what_is_wrong_with_samba_is_said() {
    let mut shared = Shared::start(SAMBA);
    shared.port.daemon.stop();
    let config = shared.port.config();
    let good = fs::read_to_string(&config).unwrap();
    let refusal = |command: &[&str]| {
        let arguments = [command, &["--config", config.to_str().unwrap()]].concat();
        let output = run(binary("storage-port").to_str().unwrap(), &arguments);
        assert!(!output.status.success(), "{arguments:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        said.lines().last().unwrap_or_default().to_owned()
    };
    let told = |text: &str, command: &[&str], words: &[&str]| {
        fs::write(&config, text).unwrap();
        let line = refusal(command);
        assert!(words.iter().all(|word| line.contains(word)), "`{line}` lacks one of {words:?}");
    };
    let check = ["config", "check"];
    let users = format!("users = {:?}\n", users_file(&shared.site));
    told(&good.replace(SAMBA, "engine = \"other\"\n"), &check, &["engine", "built-in", "samba"]);
    told(&good.replace(&users, ""), &check, &["users", "include"]);
    told(&good.replace(SAMBA, "include = \"/x\"\n"), &check, &["include", "samba"]);
    told(&good.replace(SAMBA, "").replace(&users, ""), &check, &["users"]);
    // Nobody but root could get to a mount below it.
    fs::set_permissions(shared.site.path(), fs::Permissions::from_mode(0o700)).unwrap();
    told(&good, &["serve"], &["chmod o+x", shared.site.path().to_str().unwrap()]);
    fs::set_permissions(shared.site.path(), fs::Permissions::from_mode(0o711)).unwrap();
    let _taken = std::net::TcpListener::bind(shared.server).unwrap();
    told(&good, &["serve"], &[&shared.server.to_string(), "[cifs]"]);
    assert!(Path::new(&config).exists());
}

/// Who is connected is told whatever serves.
#[test]
fn who_uses_samba_is_told() {
    let shared = Shared::start(SAMBA);
    let config = shared.port.config();
    let exports = site::said(&config, &["exports"]);
    assert!(exports.contains("; by CIFS as export (alice, bob)"), "{exports}");
    let doctor =
        run(binary("storage-port").to_str().unwrap(), &["doctor", "--config", config.to_str().unwrap()]);
    let found = String::from_utf8(doctor.stdout).unwrap();
    assert!(!found.contains("445") && !found.contains("CIFS"), "{found}");
    let mut alice = shared.alice().stay("export");
    poll::until("alice's connection", Duration::from_secs(20), || {
        site::said(&config, &["status"]).contains("1 connections of 1 clients").then_some(())
    });
    drop(alice.stdin.take());
    assert!(alice.wait().unwrap().success());
}

/// A site's own lines of `[global]` hold, with which it joins a domain.
#[test]
fn the_site_s_own_settings_hold() {
    let dir = tempfile::tempdir().unwrap();
    let include = dir.path().join("more.conf");
    fs::write(&include, "    veto files = /*.forbidden/\n").unwrap();
    let shared = Shared::start(&format!("{SAMBA}include = {include:?}\n"));
    shared.put("allowed", b"x").unwrap();
    assert!(shared.put("a.forbidden", b"x").is_err());
}
