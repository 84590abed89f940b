//! What an administrator gets wrong: one clear line that says what and how to mend it, and nothing lost.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use e2e::daemon::binary;
use e2e::data;
use e2e::poll;
use e2e::site::{PortSettings, Site};
use e2e::tmpfs::Tmpfs;
use e2e::tools::{run, run_ok};
use nfs3_types::nfs3::*;

/// Runs a program that must refuse, and gives the one line it says.
#[track_caller]
fn refusal(program: &str, arguments: &[&str]) -> String {
    let output = run("timeout", &[&["20", binary(program).to_str().unwrap()], arguments].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && output.status.code() != Some(124),
        "{program} {arguments:?} went on: {said}"
    );
    let errors: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    assert_eq!(errors.len(), 1, "one line, not {errors:#?}");
    assert!(!said.contains("panicked"), "{said}");
    errors[0].to_owned()
}

#[track_caller]
fn assert_says(line: &str, words: &[&str]) {
    for word in words {
        assert!(line.contains(word), "`{line}` does not say `{word}`");
    }
}

fn edit(config: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(config).unwrap();
    assert!(text.contains(from), "{from} in {text}");
    fs::write(config, text.replacen(from, to, 1)).unwrap();
}

/// Design decision 11, for the port: `config check` and `serve` say the same.
#[test]
fn the_port_says_what_is_wrong_with_its_configuration() {
    let site = Site::start();
    let cases: [(&str, &str, &[&str]); 9] = [
        ("quiet_ms", "quiet_msec", &["quiet_msec", "quiet_ms"]),
        ("squash = \"none\"", "squash = \"some\"", &["some", "none", "root", "all"]),
        ("listen = \"127.0.0.1:", "listen = \"localhost-not-an-address:", &["listen"]),
        ("[journal]", "[journals]", &["journals", "journal"]),
        ("customer = 1\n", "customer = 9\n", &["9", "customer"]),
        ("customer-1.secret", "customer-8.secret", &["customer-8.secret"]),
        ("path = \"/SRL\"", "path = \"/export\"", &["/export"]),
        ("[upload]", "[wan]\nfetch_bytes_per_second = 65535\n[upload]", &["65535", "65536"]),
        ("[upload]", "[[wan.hours]]\nfrom = \"8:00\"\nuntil = \"24:00\"\n[upload]", &["8:00", "08:30"]),
    ];
    for (number, (from, to, words)) in cases.into_iter().enumerate() {
        let (_, config) = site.write_port_config(&format!("port-{number}"), &PortSettings::default());
        edit(&config, from, to);
        let config = config.to_str().unwrap();
        let line = refusal("storage-port", &["config", "check", "--config", config]);
        assert_says(&line, words);
        assert_says(&refusal("storage-port", &["serve", "--config", config]), words);
    }
    let (_, config) = site.write_port_config("port-secret", &PortSettings::default());
    fs::set_permissions(site.secret_file(1), fs::Permissions::from_mode(0o644)).unwrap();
    let line = refusal("storage-port", &["serve", "--config", config.to_str().unwrap()]);
    assert_says(&line, &["customer-1.secret", "chmod 600"]);
    fs::set_permissions(site.secret_file(1), fs::Permissions::from_mode(0o600)).unwrap();
    run_ok(
        binary("storage-port").to_str().unwrap(),
        &["config", "check", "--config", config.to_str().unwrap()],
    );
    assert_says(
        &refusal("storage-port", &["serve", "--config", "/does/not/exist.toml"]),
        &["/does/not/exist.toml"],
    );
}

/// Design decision 11, for the center.
#[test]
fn the_center_says_what_is_wrong_with_its_configuration() {
    let mut site = Site::start();
    site.center.stop();
    let good = fs::read_to_string(site.center_config()).unwrap();
    let config = site.center_config();
    let config_text = config.to_str().unwrap();
    let cases: [(&str, &str, &[&str]); 4] = [
        ("[http]", "[htpp]", &["htpp", "http"]),
        ("reserve_bytes", "reserved_bytes", &["reserved_bytes", "reserve_bytes"]),
        ("listen = \"127.0.0.1:", "listen = \"nowhere:", &["listen"]),
        ("\"isn\"]", "\"isnt\"]", &["isnt"]),
    ];
    for (from, to, words) in cases {
        edit(&config, from, to);
        assert_says(&refusal("storage-center", &["config", "check", "--config", config_text]), words);
        assert_says(&refusal("storage-center", &["serve", "--config", config_text]), words);
        fs::write(&config, &good).unwrap();
    }
    // A directory with something else in it is not a disk.
    let foreign = site.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("holiday.jpg"), b"not ours").unwrap();
    edit(&config, "disk0", "foreign");
    assert_says(&refusal("storage-center", &["serve", "--config", config_text]), &["foreign"]);
    assert_eq!(fs::read(foreign.join("holiday.jpg")).unwrap(), b"not ours");
    fs::write(&config, &good).unwrap();
    // The address is taken.
    site.center.restart();
    assert_says(&refusal("storage-center", &["serve", "--config", config_text]), &["use"]);
    // A customer twice, and a secret file that exists.
    let secret = site.secret_file(1);
    let before = fs::read(&secret).unwrap();
    let line = refusal(
        "storage-center",
        &[
            "customer",
            "add",
            "--config",
            config_text,
            "--id",
            "9",
            "--name",
            "x",
            "--secret-out",
            secret.to_str().unwrap(),
        ],
    );
    assert_says(&line, &["exists"]);
    assert_eq!(fs::read(&secret).unwrap(), before, "the old secret stays");
}

/// A full journal disk: writes wait, nothing is lost, and they go on when there is space.
#[test]
fn a_full_journal_disk_makes_writers_wait() {
    let mut site = Site::start();
    let settings = PortSettings { journal_bytes: 1 << 30, ..PortSettings::default() };
    let (dir, _) = site.write_port_config("port", &settings);
    let _journal = Tmpfs::mount(&dir.join("journal"), "size=80m");
    let port = site.port_with("port", &settings);
    let mut mount = port.mount("/export");
    let root = mount.root();
    let small = mount.put(&root, b"small", b"before").unwrap();
    let file = mount.create_file(&root, b"large").unwrap();
    poll::until("the small file is uploaded", Duration::from_secs(20), || {
        (site.copies(&data::md5_hex(b"before")) == 2).then_some(())
    });
    // The center away, nothing leaves the journal.
    site.center.kill_9();
    let part = data::bytes(1, 1 << 20);
    let mut taken = 0_u64;
    let refused = loop {
        let args = WRITE3args {
            file: file.clone(),
            offset: taken,
            count: part.len() as u32,
            stable: stable_how::FILE_SYNC,
            data: (&part[..]).into(),
        };
        match mount.call_once::<WRITE3resok, WRITE3resfail>(NFS_PROGRAM::NFSPROC3_WRITE, &args) {
            Ok(written) => taken += u64::from(written.count),
            Err(status) => break status,
        }
        assert!(taken < 200 << 20, "the disk of 80 MiB took {taken} bytes");
    };
    assert_eq!(refused, nfsstat3::NFS3ERR_JUKEBOX);
    assert!(taken >= 8 << 20, "only {taken} bytes were taken");
    assert_eq!(mount.read(&small).unwrap(), b"before");
    site.center.restart();
    mount.write_durably(&file, taken, b"after").unwrap();
    let mut expected = part.repeat((taken >> 20) as usize);
    expected.extend_from_slice(b"after");
    assert!(mount.read(&file).unwrap() == expected);
    port.wait_uploaded(&site, &data::md5_hex(&expected));
}

/// A full or read-only storage node disk: files go to the others, nothing acknowledged is lost; with no space left the
/// port keeps what it acknowledged.
#[test]
fn full_and_read_only_disks_lose_nothing() {
    let mut site = Site::start();
    site.center.stop();
    let disks = site.disks();
    for disk in &disks {
        fs::remove_dir_all(disk).unwrap();
    }
    let mounts: Vec<Tmpfs> = disks.iter().map(|disk| Tmpfs::mount(disk, "size=48m")).collect();
    site.center.restart();
    let port = site.port("port");
    let mut mount = port.mount("/export");
    let root = mount.root();
    let first = data::bytes(1, 5 << 20);
    let file = mount.put(&root, b"first", &first).unwrap();
    port.wait_uploaded(&site, &data::md5_hex(&first));

    site.center.stop();
    mounts[0].remount("ro");
    site.center.restart();
    let second = data::bytes(2, 5 << 20);
    mount.put(&root, b"second", &second).unwrap();
    port.wait_uploaded(&site, &data::md5_hex(&second));
    site.center.stop();
    mounts[0].remount("rw");
    site.center.restart();

    // More than all disks hold: the port takes it into its journal and keeps it.
    let mut large = Vec::new();
    for number in 0..16 {
        let bytes = data::bytes(100 + number, 8 << 20);
        large.push((mount.put(&root, format!("large-{number}").as_bytes(), &bytes).unwrap(), bytes));
    }
    assert!(site.center.is_running());
    for (handle, bytes) in &large {
        assert!(mount.read(handle).unwrap() == *bytes);
    }
    assert!(mount.read(&file).unwrap() == first);
    // Space comes back: what waited arrives.
    for tmpfs in &mounts {
        tmpfs.remount("size=400m");
    }
    // An object that found room on one disk alone is stored once (the center says so loudly).
    for (_, bytes) in &large {
        let md5 = data::md5_hex(bytes);
        poll::until("what waited arrives", Duration::from_secs(60), || {
            (site.copies(&md5) >= 1).then_some(())
        });
    }
}

/// A lost cache disk costs only misses; a read-only one as well.
#[test]
fn a_lost_cache_disk_costs_only_misses() {
    let site = Site::start();
    let port = site.port("port");
    let mut mount = port.mount("/export");
    let root = mount.root();
    let bytes = data::bytes(1, 20 << 20);
    let file = mount.put(&root, b"file", &bytes).unwrap();
    port.wait_uploaded(&site, &data::md5_hex(&bytes));
    assert!(mount.read(&file).unwrap() == bytes);
    fs::remove_dir_all(port.path().join("cache0")).unwrap();
    let _lost = Tmpfs::mount(&port.path().join("cache1"), "ro,size=1m");
    assert!(mount.read(&file).unwrap() == bytes);
    let other = data::bytes(2, 3 << 20);
    let other_file = mount.put(&root, b"other", &other).unwrap();
    port.wait_uploaded(&site, &data::md5_hex(&other));
    assert!(mount.read(&other_file).unwrap() == other);
}

/// A secret that the center refuses: the port says so in one line that names the customer, and clients wait.
#[test]
fn a_wrong_secret_is_named() {
    let site = Site::start();
    let (dir, config) = site.write_port_config("port", &PortSettings::default());
    let wrong = dir.join("wrong.secret");
    fs::write(&wrong, "0123456789abcdef0123456789abcdef").unwrap();
    fs::set_permissions(&wrong, fs::Permissions::from_mode(0o600)).unwrap();
    edit(&config, site.secret_file(1).to_str().unwrap(), wrong.to_str().unwrap());
    let line =
        refusal("storage-port", &["config", "check", "--online", "--config", config.to_str().unwrap()]);
    assert_says(&line, &["customer 1", "secret"]);
    assert!(!line.contains("0123456789abcdef"), "a secret in a message");
}
