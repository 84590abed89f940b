//! What an operator asks of a running port: exports, clients, journal, cache.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use e2e::daemon::binary;
use e2e::data;
use e2e::poll;
use e2e::rpc::Credential;
use e2e::site::{PortSettings, Site, said, told};
use e2e::tools::{run, run_ok};
use nfs3_types::nfs3::nfsstat3;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);

/// PORT-1, PORT-2: who is there, since when, and what there is for them.
#[test]
fn exports_and_clients_are_told() {
    let site = Site::start();
    let port = site.port("port");
    let config = port.config();
    let exports = told(&config, &["exports"]);
    let paths: Vec<_> =
        exports.as_array().unwrap().iter().map(|export| export["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["/SRL", "/export"]);
    assert!(
        said(&config, &["exports"]).contains("export /export: files of customer 1 below /, read and write")
    );

    assert!(said(&config, &["clients"]).contains("nobody is connected"));
    let mut mount = port.mount("/export");
    let root = mount.root();
    mount.create_file(&root, b"file").unwrap();
    let clients = told(&config, &["clients"]);
    let client = &clients["clients"][0];
    assert_eq!(client["address"], "127.0.0.1", "{clients:#}");
    assert!(client["connections"].as_u64() >= Some(1) && client["connected_seconds"].is_u64(), "{clients:#}");
    assert_eq!(client["mounts"][0]["path"], "/export");
    assert!(said(&config, &["clients"]).contains("; mounted /export"));
    drop(mount);
    poll::until("the client is gone", PATIENCE, || {
        told(&config, &["clients"])["clients"][0]["connected_seconds"].is_null().then_some(())
    });
    assert!(said(&config, &["clients"]).contains("127.0.0.1: not connected"));
}

/// PORT-12: what the center does not have is told, with its age, and that nothing is owed any more.
#[test]
fn what_is_owed_is_told() {
    let mut site = Site::start();
    let port = site.port("port");
    let config = port.config();
    let mut mount = port.mount("/export");
    let root = mount.root();
    assert!(said(&config, &["journal"]).contains("nothing is owed"));
    let file = mount.create_file(&root, b"file").unwrap();
    site.center.kill_9();
    let bytes = data::bytes(1, 300_000);
    mount.write_durably(&file, 0, &bytes).unwrap();
    let journal = told(&config, &["journal"]);
    assert_eq!(
        (&journal["files"], &journal["owed_bytes"]),
        (&Value::from(1), &Value::from(300_000)),
        "{journal:#}"
    );
    poll::until("it grows old", PATIENCE, || {
        (told(&config, &["journal"])["oldest_seconds"].as_u64() >= Some(2)).then_some(())
    });
    assert!(said(&config, &["journal"]).contains("300000 bytes of 1 files"));
    let uploads = told(&config, &["uploads"]);
    let (upload, left_off) = (&uploads["uploads"][0], &uploads["left_off"]);
    assert_eq!((&upload["path"], &upload["bytes"], left_off), (&"/file".into(), &300_000.into(), &0.into()));
    assert!(upload["state"] != "written" && upload["quiet_seconds"].as_u64() >= Some(1), "{upload:#}");
    assert!(said(&config, &["uploads"]).starts_with("/file (customer 1): 300000 bytes, written "));
    site.center.restart();
    poll::until("nothing is owed", PATIENCE, || {
        let journal = told(&config, &["journal"]);
        (journal["files"] == 0 && journal["owed_bytes"] == 0 && journal["oldest_seconds"].is_null())
            .then_some(())
    });
    assert_eq!(said(&config, &["uploads"]).trim_end(), "nothing waits for its upload");
}

/// PORT-3, PORT-21: the cache's counts are those of what was read, and an emptied one costs only misses.
#[test]
fn the_cache_is_counted_and_emptied() {
    let site = Site::start();
    let port = site.port_with("port", &PortSettings { cache_bytes: 64 << 20, ..PortSettings::default() });
    let config = port.config();
    let mut mount = port.mount("/export");
    let root = mount.root();
    let bytes = data::bytes(1, 5 << 20);
    let file = mount.put(&root, b"file", &bytes).unwrap();
    port.wait_uploaded(&site, &data::md5_hex(&bytes));
    assert!(mount.read(&file).unwrap() == bytes);
    let full = told(&config, &["cache", "stat"]);
    let disks = |stat: &Value, key: &str| -> u64 {
        stat["disks"].as_array().unwrap().iter().map(|disk| disk[key].as_u64().unwrap()).sum()
    };
    assert!(disks(&full, "bytes_used") >= 5 << 20 && disks(&full, "files") >= 5, "{full:#}");
    assert_eq!(disks(&full, "bytes_max"), 64 << 20);
    assert!(said(&config, &["cache", "stat"]).contains("since the start:"));
    // Whole when the disks were looked through after the start.
    let mut dropped = 0;
    poll::until("the cache is emptied", PATIENCE, || {
        let told = told(&config, &["cache", "drop"]);
        dropped += told["bytes"].as_u64().unwrap();
        (told["is_whole"] == true).then_some(())
    });
    assert!(dropped >= 5 << 20, "{dropped}");
    let empty = told(&config, &["cache", "stat"]);
    assert_eq!((disks(&empty, "bytes_used"), disks(&empty, "files")), (0, 0), "{empty:#}");
    assert!(mount.read(&file).unwrap() == bytes);
    let again = told(&config, &["cache", "stat"]);
    assert!(again["misses"].as_u64() > empty["misses"].as_u64() && disks(&again, "bytes_used") >= 5 << 20);
}

/// Where no port runs that is told, in a line.
#[test]
fn a_port_that_does_not_run_is_told() {
    let site = Site::start();
    let (_, config) = site.write_port_config("port", &PortSettings::default());
    for command in
        [&["exports"][..], &["clients"], &["journal"], &["uploads"], &["cache", "stat"], &["cache", "drop"]]
    {
        let arguments = [command, &["--config", config.to_str().unwrap()]].concat();
        let output = run(binary("storage-port").to_str().unwrap(), &arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && error.contains("no storage port runs"), "{error}");
        assert_eq!(error.lines().count(), 1);
    }
}

/// The files of a support bundle by their names.
fn unpacked(bundle: &Path, to: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::create_dir_all(to).unwrap();
    run_ok("tar", &["-xf", bundle.to_str().unwrap(), "-C", to.to_str().unwrap()]);
    let listed = String::from_utf8(run_ok("tar", &["-tf", bundle.to_str().unwrap()])).unwrap();
    let name = |path: &str| path.strip_prefix("storage-port-support/").unwrap().to_owned();
    listed.lines().map(|path| (name(path), fs::read(to.join(path)).unwrap())).collect()
}

/// PORT-4: what helps is in the bundle of a port of a pair, and no byte of a secret, wherever somebody wrote it.
#[test]
fn a_support_bundle_has_what_helps_and_no_secret() {
    let site = Site::start();
    let keys = site.path().join("keys");
    let program = binary("storage-port");
    let program = program.to_str().unwrap();
    run_ok(program, &["pair", "keys", "--name", "site-1", "--out", keys.to_str().unwrap()]);
    let at = |file: &str| keys.join("a").join(file).display().to_string();
    let pair = format!(
        "[pair]\nname = \"site-1\"\nmember = \"a\"\nlisten = \"127.0.0.1:{}\"\npeer = \"127.0.0.2:7421\"\n\
         key_file = {:?}\ncertificate_file = {:?}\ncertificate_key_file = {:?}\nca_file = {:?}\n",
        e2e::daemon::free_port(),
        at("pair.key"),
        at("port.pem"),
        at("port.key"),
        at("ca.pem"),
    );
    let port = site.port_with("port", &PortSettings { more: pair, ..PortSettings::default() });
    let config = port.config();
    let secret = fs::read_to_string(site.secret_file(1)).unwrap().trim_end().to_owned();
    let pair_key = fs::read_to_string(at("pair.key")).unwrap().trim_end().to_owned();
    let port_key = fs::read_to_string(at("port.key")).unwrap();
    // Somebody kept them where they do not belong.
    let content = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("# {secret}\n{content}# {pair_key} http://me:{pair_key}@a.example\n"))
        .unwrap();
    let judge =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../failover/port-failover.example.toml"));
    let judge =
        judge.unwrap().replace("/etc/storage-port/pair/pair.key", &at("pair.key")) + &format!("# {secret}\n");
    fs::write(config.with_file_name("port-failover.toml"), judge).unwrap();

    let bundle = site.path().join("bundle.tar");
    let command = ["support-bundle", "--config", config.to_str().unwrap(), "--out", bundle.to_str().unwrap()];
    run_ok(program, &command);
    assert_eq!(fs::metadata(&bundle).unwrap().permissions().mode() & 0o777, 0o600);
    let files = unpacked(&bundle, &site.path().join("unpacked"));
    let text = |name: &str| {
        let found = files.get(name).unwrap_or_else(|| panic!("{name} in {:?}", files.keys()));
        String::from_utf8_lossy(found).into_owned()
    };
    assert!(text("config/storage-port.toml").starts_with("# [secret]\n"));
    assert!(text("config/storage-port.toml").contains("path = \"/export\""));
    assert!(text("config/port-failover.toml").contains("[heartbeat]"));
    for name in [
        "doctor.json",
        "port/status.json",
        "port/clients.json",
        "port/journal.json",
        "port/uploads.json",
        "port/cache.json",
    ] {
        assert!(serde_json::from_str::<Value>(&text(name)).unwrap().is_object(), "{name}");
    }
    assert!(text("judge/status.json.missing").contains("no port-failover runs"));
    assert!(text("doctor.txt").contains("nic: "));
    assert!(text("system/interfaces").contains("\"lo\"") && text("system/mounts").contains(" / "));
    assert!(files.contains_key("system/kernel-log") || files.contains_key("system/kernel-log.missing"));

    let whole = fs::read(&bundle).unwrap();
    let lines = port_key.lines().filter(|line| !line.starts_with("-----")).map(str::to_owned);
    let handle_key = fs::read(port.path().join("state/handle_key")).unwrap();
    let words = [secret, pair_key].into_iter().chain(lines).map(String::into_bytes).chain([handle_key]);
    for word in words {
        assert!(word.len() >= 16, "{word:?}");
        assert!(!whole.windows(word.len()).any(|window| window == word), "a secret is in the bundle");
    }
    // Of a file that cannot be read nobody knows what is secret in it.
    fs::write(&config, format!("{content}[[customer]]\nid = 2\nsecret = {:?}\n", "0123456789abcdef"))
        .unwrap();
    let blind = site.path().join("blind.tar");
    run_ok(
        program,
        &["support-bundle", "--config", config.to_str().unwrap(), "--out", blind.to_str().unwrap()],
    );
    let files = unpacked(&blind, &site.path().join("blind"));
    assert!(files.contains_key("config/storage-port.toml.missing"), "{:?}", files.keys());
    assert!(!fs::read(&blind).unwrap().windows(16).any(|window| window == b"0123456789abcdef"));
    // What is there is not written over.
    let again = run(program, &command);
    assert!(again.status.code() == Some(1) && fs::read(&bundle).unwrap() == whole);
}

/// A page for each command, and a completion that the shell takes, of both daemons.
#[test]
fn manual_pages_and_completions_are_made() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_str().unwrap();
    for (name, command) in [("storage-port", "support-bundle"), ("port-failover", "takeover")] {
        let program = binary(name);
        let program = program.to_str().unwrap();
        run_ok(program, &["manual", "pages", "--out", folder]);
        let page = fs::read_to_string(dir.path().join(format!("{name}-{command}.1"))).unwrap();
        assert!(page.contains(".SH OPTIONS") && page.contains("config"), "{page}");
        let completion = dir.path().join(format!("{name}.bash"));
        fs::write(&completion, run_ok(program, &["manual", "completion", "bash"])).unwrap();
        let script = format!("source {}; complete -p {name}", completion.display());
        let told = String::from_utf8(run_ok("bash", &["-c", &script])).unwrap();
        assert!(
            told.contains("complete") && fs::read_to_string(&completion).unwrap().contains(command),
            "{told}"
        );
    }
    let refused =
        run(binary("storage-port").to_str().unwrap(), &["manual", "pages", "--out", "/no/such/folder"]);
    assert_eq!(refused.status.code(), Some(1));
}

/// PORT-9: who changed which name is told where an export asks for it, from a reload on; what was refused as well; and a
/// client's name is no line of the log.
#[test]
fn changes_of_names_are_told_with_who_made_them() {
    let site = Site::start();
    let port = site.port("port");
    let mut mount = port.mount("/export");
    let root = mount.root();
    mount.mkdir(&root, b"before").unwrap();
    port.edit_config("tree = \"files\"", "tree = \"files\"\naudit = true");
    assert!(port.reload().contains("audit"));
    let dir = mount.mkdir(&root, b"dir").unwrap();
    mount.create_file(&dir, b"new\nline").unwrap();
    mount.rename(&dir, b"new\nline", &root, "fr\u{fc}her".as_bytes()).unwrap();
    let mut stranger = port.mount_as("/export", Credential::user(1_001));
    assert_eq!(stranger.remove(&root, "fr\u{fc}her".as_bytes()), Err(nfsstat3::NFS3ERR_ACCES));
    mount.symlink(&root, b"link", b"dir").unwrap();
    mount.remove(&root, b"link").unwrap();
    mount.rmdir(&root, b"dir").unwrap();
    port.edit_config("audit = true", "audit = false");
    port.reload();
    mount.rmdir(&root, b"before").unwrap();

    let log = fs::read_to_string(port.path().join("port.log")).unwrap();
    let told: Vec<_> =
        log.lines().filter_map(|line| line.split_once(" audit: ")).map(|(_, told)| told).collect();
    let by_root = "client=127.0.0.1 uid=0 gid=0";
    let expected = [
        format!(r#"operation="mkdir" export="/export" path="/dir" {by_root}"#),
        format!(r#"operation="create" export="/export" path="/dir/new\nline" {by_root}"#),
        format!(r#"operation="rename" export="/export" path="/dir/new\nline" to="/früher" {by_root}"#),
        r#"operation="remove" export="/export" path="/früher" client=127.0.0.1 uid=1001 gid=1001 refused=permission denied"#
            .to_owned(),
        format!(r#"operation="symlink" export="/export" path="/link" {by_root}"#),
        format!(r#"operation="remove" export="/export" path="/link" {by_root}"#),
        format!(r#"operation="rmdir" export="/export" path="/dir" {by_root}"#),
    ];
    assert_eq!(told, expected);
}
