//! The exports through CIFS, with smbclient: what works as a table, and the same tree through NFS at once.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use e2e::cifs_checks;
use e2e::daemon::{binary, free_port};
use e2e::data;
use e2e::mount::mode;
use e2e::poll;
use e2e::shared::{Shared, settings, users_file, write_users};
use e2e::site::{self, Site};
use e2e::tools::{curl, run, run_ok};

/// What the server of `smb-server` does not do; told to users in README.md.
const NOT_DONE: &[&str] =
    &["hidden is kept", "a second stream of a file", "the server copies a file", "a short name"];

/// PORT-1: an export is a share; of the checks those fail alone that are known to.
#[test]
fn clients_do_by_cifs_what_they_do_by_nfs() {
    let shared = Shared::start("");
    cifs_checks::pass(&shared, NOT_DONE, 37);
}

/// PORT-1: what is written by either is what is read by the other, no later than after a second.
#[test]
fn one_tree_by_cifs_and_nfs_at_once() {
    let shared = Shared::start("");
    let mut mount = shared.port.mount("/export");
    let root = mount.root();
    for round in 0..8_u64 {
        let bytes = data::bytes(round, 500_000 + 1_000 * round as usize);
        // Each takes the same name in turn, so that what came before is there to be shown by mistake.
        if round % 2 == 0 {
            shared.put("shared", &bytes).unwrap();
        } else {
            let file = mount.put(&root, b"shared", &bytes).unwrap();
            mount.setattr(&file, mode(0o666)).unwrap();
            mount.truncate(&file, bytes.len() as u64).unwrap();
        }
        let begun = Instant::now();
        let file = mount.walk("shared").unwrap();
        let by_nfs = mount.read(&file).unwrap();
        let by_cifs = shared.get("shared").unwrap();
        let url = shared.port.libnfs_url("/export/shared");
        let by_libnfs = run_ok("nfs-cat", &[&url]);
        let digests = [&by_nfs, &by_cifs, &by_libnfs].map(|bytes| data::md5_hex(bytes));
        assert_eq!(digests, [(); 3].map(|()| data::md5_hex(&bytes)), "round {round}");
        assert!(begun.elapsed() < Duration::from_secs(20), "round {round}");
    }
    // A file that is open by CIFS shows what NFS writes.
    shared.put("grows", b"begin").unwrap();
    let file = mount.walk("grows").unwrap();
    mount.setattr(&file, mode(0o666)).unwrap();
    mount.write_durably(&file, 5, b" end").unwrap();
    poll::until("what NFS appended", Duration::from_secs(1), || {
        (shared.get("grows").unwrap() == b"begin end").then_some(())
    });
    let listed = String::from_utf8(run_ok("nfs-ls", &[&shared.port.libnfs_url("/export")])).unwrap();
    assert!(listed.contains("shared") && listed.contains("grows"), "{listed}");
}

/// PORT-1: a close is a COMMIT; after it the port may die, before anything has gone to the center.
#[test]
fn what_was_closed_survives_the_port() {
    let mut shared = Shared::start("");
    let bytes = data::bytes(7, 5_000_000);
    for round in 0..3 {
        let name = format!("closed-{round}");
        shared.put(&name, &bytes).unwrap();
        shared.port.daemon.kill_9();
        shared.port.daemon.restart();
        assert!(shared.get(&name).unwrap() == bytes, "round {round}");
    }
}

/// Who is connected by CIFS stands beside who is by NFS, and what is shared beside what is exported.
#[test]
fn who_uses_the_shares_is_told() {
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let shared = Shared::start(&format!("[metrics]\nlisten = \"{listen}\"\n"));
    let config = shared.port.config();
    let said = |command: &str| site::said(&config, &[command]);
    let value = |name: &str| {
        let page = String::from_utf8(curl(&format!("http://{listen}/metrics"), &[]).2).unwrap();
        let line = page.lines().find_map(|line| line.strip_prefix(&format!("storage_port_cifs_{name} ")));
        line.unwrap_or_else(|| panic!("{name} in {page}")).parse::<f64>().unwrap()
    };
    let exports = said("exports");
    assert!(exports.contains("; by CIFS as export (alice), export-bob (bob)"), "{exports}");
    let status = said("status");
    assert!(status.contains(&format!("cifs: served at {}, 0 connections", shared.server)), "{status}");
    assert!(!said("clients").contains("CIFS"));
    assert_eq!((value("serving"), value("connections")), (1.0, 0.0));

    let mut alice = shared.alice().stay("export");
    let told = poll::until("alice's connection", Duration::from_secs(20), || {
        let told = said("clients");
        told.contains("127.0.0.1: ").then_some(told).filter(|told| told.contains("CIFS: 1 connections"))
    });
    assert_eq!(told.lines().count(), 1, "by NFS and by CIFS it is one machine: {told}");
    assert!(said("status").contains("1 connections of 1 clients"));
    shared.put("counted", &[1; 70_000]).unwrap();
    poll::until("both counts", Duration::from_secs(20), || {
        (value("clients") == 1.0 && value("connections") == 1.0).then_some(())
    });
    assert_eq!((value("written_bytes_total"), value("open_files")), (70_000.0, 0.0));
    drop(alice.stdin.take());
    assert!(alice.wait().unwrap().success());
    poll::until("alice is gone", Duration::from_secs(20), || {
        (value("connections") == 0.0 && !said("clients").contains("CIFS")).then_some(())
    });
}

/// PORT-1: encryption that is required is.
#[test]
fn who_does_not_encrypt_is_refused_where_that_is_required() {
    let shared = Shared::start("encryption = \"required\"");
    shared.there_and_back(&shared.alice(), "sealed", b"sealed").unwrap();
    let old = shared.alice().in_dialect("SMB2_10").run("export", "ls");
    old.refused("NT_STATUS_").unwrap();
}

/// Design decision 11: what is wrong is said in one line, before anybody is served.
#[test]
fn what_is_wrong_with_the_shares_is_said() {
    let site = Site::start();
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let (_, config) = site.write_port_config("port", &settings(&site, server, ""));
    let config = config.to_str().unwrap();
    let refusal = |arguments: &[&str]| {
        let output = run(binary("storage-port").to_str().unwrap(), arguments);
        assert!(!output.status.success(), "{arguments:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        said.lines().last().unwrap_or_default().to_owned()
    };
    let told = |words: &[&str]| {
        for arguments in [["serve", "--config", config].as_slice(), &["config", "check", "--config", config]]
        {
            let line = refusal(arguments);
            assert!(words.iter().all(|word| line.contains(word)), "`{line}` lacks one of {words:?}");
        }
    };
    told(&["cifs-users", "No such file", "storage-port cifs user"]);
    write_users(&site, Path::new(config));
    fs::set_permissions(users_file(&site), fs::Permissions::from_mode(0o644)).unwrap();
    told(&["cifs-users", "chmod 600"]);
    fs::set_permissions(users_file(&site), fs::Permissions::from_mode(0o600)).unwrap();
    let good = fs::read_to_string(users_file(&site)).unwrap();
    fs::write(users_file(&site), good.replace("bob:", "rob:")).unwrap();
    told(&["line 2", "`rob`", "storage-port cifs user"]);
    fs::write(users_file(&site), "alice:1000:1000:Secret 1\n").unwrap();
    told(&["line 1", "name:uid:gid"]);
    fs::write(users_file(&site), &good).unwrap();
    let text = fs::read_to_string(config).unwrap();
    for (more, words) in [
        ("signing = \"maybe\"", &["signing", "maybe", "required"][..]),
        ("name = \"much too long a name\"", &["[cifs]", "15"]),
        ("user = \"x\"", &["user", "`users`"]),
    ] {
        fs::write(config, format!("{text}{more}\n")).unwrap();
        told(words);
    }
    fs::write(config, &text).unwrap();
    // Somebody else has the address.
    let _taken = std::net::TcpListener::bind(server).unwrap();
    let line = refusal(&["serve", "--config", config]);
    assert!(line.contains(&server.to_string()) && line.contains("[cifs]"), "{line}");
    let line = refusal(&["cifs", "user", "a:b", "--uid", "1", "--gid", "1", "--config", config]);
    assert!(line.contains("no user name") || line.contains("no password"), "{line}");
}
