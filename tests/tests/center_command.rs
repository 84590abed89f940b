//! The command `center`, each of its commands against a real storage center (LIB-2).

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use e2e::daemon::binary;
use e2e::data;
use e2e::desk::Desk;
use e2e::tools::{curl, run};
use protocol::srl::{SrlOperation, SrlVersion};

/// The value behind a word that begins a line.
fn value<'text>(text: &'text str, key: &str) -> &'text str {
    text.lines()
        .find_map(|line| line.strip_prefix(key))
        .unwrap_or_else(|| panic!("no {key} in {text}"))
        .trim()
}

/// LIB-1, LIB-2, VFS-10 to VFS-16: folders and files, one by one and whole trees.
#[test]
fn files_and_folders_are_made_listed_moved_fetched_and_removed() {
    let desk = Desk::start();
    let (small, large) = (b"small".to_vec(), data::bytes(1, 9_000_000));
    desk.done(&["mkdir", "/photos"]);
    assert!(desk.refused(&["mkdir", "/photos"]).contains("taken"));
    desk.done(&["mkdir", "-p", "/photos/2026/may"]);
    desk.done(&["put", &desk.file("cat.jpg", &large), "/photos"]);
    desk.done(&["put", &desk.file("small", &small), "/photos/2026/small.txt"]);
    assert_eq!(desk.done(&["ls", "/photos"]), "2026/\ncat.jpg\n");
    assert_eq!(desk.done(&["ls"]), "photos/\n");
    let long = desk.done(&["ls", "-l", "/photos"]);
    assert!(long.contains("d0755") && long.contains(" 9000000 "), "{long}");
    let told = desk.done(&["stat", "/photos/cat.jpg"]);
    assert_eq!(value(&told, "md5 "), data::md5_hex(&large));
    let id = value(&told, "id ").to_owned();

    desk.done(&["get", "/photos/cat.jpg", &desk.local("back.jpg")]);
    assert!(desk.bytes("back.jpg") == large);
    // Replaced: the same file with other contents; and by none.
    desk.done(&["put", &desk.file("cat.jpg", b"another"), "/photos/cat.jpg"]);
    desk.done(&["get", "/photos/cat.jpg", &desk.local("back.jpg")]);
    assert_eq!(desk.bytes("back.jpg"), b"another");
    desk.done(&["put", &desk.file("empty", b""), "/photos/cat.jpg"]);
    let told = desk.done(&["stat", "/photos/cat.jpg"]);
    assert_eq!((value(&told, "id "), value(&told, "size ")), (id.as_str(), "0"));

    desk.done(&["mv", "/photos/cat.jpg", "/photos/2026"]);
    desk.done(&["mv", "/photos/2026/cat.jpg", "/photos/2026/may/dog.jpg"]);
    desk.done(&["get", "-r", "/photos", &desk.local("tree")]);
    assert_eq!(desk.bytes("tree/2026/small.txt"), small);
    assert_eq!(desk.bytes("tree/2026/may/dog.jpg"), b"");
    desk.done(&["put", "-r", &desk.local("tree"), "/copy"]);
    assert_eq!(desk.done(&["ls", "/copy/2026"]), "may/\nsmall.txt\n");

    assert!(desk.refused(&["rm", "/copy"]).contains("the folder has entries"));
    desk.done(&["rm", "/copy/2026/small.txt"]);
    desk.done(&["rm", "-r", "/copy"]);
    assert!(desk.refused(&["stat", "/copy"]).contains("/copy: "));
    assert!(desk.refused(&["get", "/photos", &desk.local("x")]).contains("give -r"));
    assert!(desk.refused(&["put", &desk.local("none"), "/"]).contains("none"));
    assert!(desk.site.check().0, "{}", desk.site.check().1);
}

/// LIB-2, VFS-20, VFS-24: attributes are set; quota and use are shown; changes are told, those that are there and those
/// that come.
#[test]
fn attributes_are_set_and_changes_are_told() {
    let desk = Desk::start();
    desk.done(&["put", &desk.file("f", b"0123456789"), "/f"]);
    let before = desk.done(&["usage"]);
    assert_eq!((value(&before, "bytes used"), value(&before, "files used")), ("10", "1"));
    assert_eq!(value(&before, "bytes quota"), "none");
    assert!(value(&before, "bytes free").parse::<u64>().unwrap() > 0);
    let position: u64 = value(&before, "position").parse().unwrap();

    let id = value(&desk.done(&["stat", "/f"]), "id ").to_owned();
    desk.done(&["set", "--mode", "0600", "--uid", "7", "--gid", "8", "--modified", "1000000000", "/f"]);
    let told = desk.done(&["stat", "/f"]);
    assert_eq!(value(&told, "mode "), "0600 uid 7 gid 8");
    assert_eq!(value(&told, "modified "), "2001-09-09T01:46:40Z");
    desk.done(&["set", "--mode", "0640", "/f"]);
    let told = desk.done(&["stat", "/f"]);
    assert_eq!(
        (value(&told, "mode "), value(&told, "modified ")),
        ("0640 uid 7 gid 8", "2001-09-09T01:46:40Z")
    );

    let since = position.to_string();
    let changes = desk.done(&["watch", "--since", &since, "--once"]);
    let expected = format!("{} {id} 2\n{} {id} 3\n", position + 1, position + 2);
    assert_eq!(changes, expected);
    assert_eq!(desk.done(&["watch", "--once"]), "", "nothing since now");

    let mut watching = Command::new(binary("center"))
        .args(["--config", desk.config.to_str().unwrap(), "watch", "--since", &(position + 2).to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    desk.done(&["rm", "/f"]);
    assert_eq!(lines.next().unwrap().unwrap(), format!("{} {id} gone", position + 3));
    drop(lines);
    // Nobody reads any more: it ends with the next change.
    desk.done(&["mkdir", "/d"]);
    assert!(watching.wait().unwrap().success());
}

/// LIB-2, SRL-8 to SRL-10, SRL-16: URLs for others, used with curl and with the command itself, without a secret.
#[test]
fn urls_are_made_and_used() {
    let desk = Desk::start();
    let bytes = data::bytes(1, 9_000_000);
    desk.done(&["mkdir", "/in"]);
    desk.done(&["put", &desk.file("cat.jpg", &bytes), "/in/cat.jpg"]);
    let url = desk.done(&["srl", "/in/cat.jpg"]);
    let (status, head, body) = curl(url.trim(), &[]);
    assert!(status == 200 && body == bytes && head.contains("content-type: image/jpeg"), "{head}");
    assert_eq!(desk.operation(&url).2, SrlVersion::Md5);
    let forever = desk.done(&["srl", "--expires-in", "0", "--signature", "hmac", "/in/cat.jpg"]);
    let (_, expires, version) = desk.operation(&forever);
    assert_eq!((expires, version), (0, SrlVersion::HmacSha256));
    let asking = desk.done(&["srl", "--ask", "https://shop.example/may?id=7", "/in/cat.jpg"]);
    let (operation, ..) = desk.operation(&asking);
    assert!(
        matches!(operation, SrlOperation::FetchAuth { callback, .. } if callback == "https://shop.example/may?id=7")
    );
    assert!(desk.refused(&["srl", "/in"]).contains("--store"));
    assert!(desk.refused(&["srl", "--store", "/in/cat.jpg"]).contains("for the folder"));

    let program = binary("center");
    let alone = |arguments: &[&str]| run(program.to_str().unwrap(), arguments);
    let copy = desk.local("copy.jpg");
    let got = alone(&["download", url.trim(), &copy]);
    assert!(got.status.success() && desk.bytes("copy.jpg") == bytes);
    fs::create_dir(desk.local("folder")).unwrap();
    let got = alone(&["download", url.trim(), &desk.local("folder")]);
    assert!(got.status.success() && desk.bytes("folder/cat.jpg") == bytes, "under the URL's own name");
    let forged = url.trim().replacen("/cat.jpg", "0/cat.jpg", 1);
    let failed = alone(&["download", &forged, &desk.local("forged")]);
    assert!(failed.status.code() == Some(1) && !PathBuf::from(desk.local("forged")).exists());
    let told = String::from_utf8(failed.stderr).unwrap();
    assert!(told.contains("not-authentic") && !told.contains(&forged), "{told}");

    let store = desk.done(&["srl", "--store", "/in"]);
    let (status, ..) =
        curl(&format!("{}dog.jpg", store.trim()), &["-T", &desk.local("cat.jpg"), "-H", "Expect:"]);
    assert_eq!(status, 201);
    let stored = alone(&["upload", &desk.local("cat.jpg"), &format!("{}owl.jpg", store.trim())]);
    let told = String::from_utf8(stored.stdout).unwrap();
    assert!(told.starts_with(&format!("md5 {} file ", data::md5_hex(&bytes))), "{told}");
    assert_eq!(desk.done(&["ls", "/in"]), "cat.jpg\ndog.jpg\nowl.jpg\n");
}

/// LIB-2, PRIV-4, SRL-11: files under ids of one's own, and bytes without a file.
#[test]
fn files_without_a_folder_are_stored_fetched_and_removed() {
    let desk = Desk::start();
    let bytes = data::bytes(1, 3_000_000);
    let film = desk.file("film.mp4", &bytes);
    let id = "films/ä 7";
    desk.done(&["ufid", "put", &film, id]);
    assert!(desk.refused(&["ufid", "put", &film, id]).contains("exists"));
    let told = desk.done(&["ufid", "stat", id]);
    assert_eq!((value(&told, "size "), value(&told, "md5 ")), ("3000000", data::md5_hex(&bytes).as_str()));
    assert_eq!(value(&told, "ufid "), format!("{}.UFID", data::md5_hex(format!("1:{id}").as_bytes())));
    desk.done(&["ufid", "get", id, &desk.local("back.mp4")]);
    assert!(desk.bytes("back.mp4") == bytes);
    assert_eq!(desk.done(&["ls"]), "", "in no folder");

    let url = desk.done(&["ufid", "srl", "--name", "film.mp4", id]);
    let (status, head, body) = curl(url.trim(), &[]);
    assert!(status == 200 && body == bytes && head.contains("content-type: video/mp4"), "{head}");
    desk.done(&["ufid", "put", "--replace", &desk.file("none", b""), id]);
    assert_eq!(curl(url.trim(), &[]).2, b"");
    let url = desk.done(&["ufid", "srl", "--store", id]);
    let put = |url: &str| curl(url.trim(), &["-T", &film, "-H", "Expect:"]).0;
    assert_eq!(put(&url), 409);
    assert_eq!(put(&desk.done(&["ufid", "srl", "--replace", id])), 201);
    desk.done(&["ufid", "rm", id]);
    for command in [&["ufid", "rm", id][..], &["ufid", "stat", id], &["ufid", "get", id, &desk.local("x")]] {
        assert!(desk.refused(command).contains("not-found"), "{command:?}");
    }

    let printed = desk.done(&["object", "put", &film]);
    let (md5, token) = printed.trim().split_once(' ').unwrap();
    assert_eq!((md5, desk.site.copies(md5)), (data::md5_hex(&bytes).as_str(), 2));
    desk.done(&["object", "rm", md5, token]);
    desk.done(&["object", "rm", md5, token]);
    assert!(desk.refused(&["object", "rm", "x", token]).contains("32 hex digits"));
    assert!(desk.site.check().0, "{}", desk.site.check().1);
}

/// LIB-2: 2 for a call or configuration that cannot work, 1 for what the center says, 0 for done; secrets are not told.
#[test]
fn the_exit_status_says_whose_matter_it_is() {
    let mut desk = Desk::start();
    desk.done(&["probe"]);
    for wrong in [&["frobnicate"][..], &["get"], &["set", "/f"], &["set", "--mode", "9", "/f"]] {
        assert_eq!(desk.run(wrong).status.code(), Some(2), "{wrong:?}");
    }
    let missing = run(binary("center").to_str().unwrap(), &["--ddm", "http://127.0.0.1:1", "ls"]);
    assert_eq!(missing.status.code(), Some(2));
    let help = run(binary("center").to_str().unwrap(), &["--help"]);
    assert!(help.status.success() && String::from_utf8_lossy(&help.stdout).contains("Ends with 0 if done"));

    let secret = fs::read_to_string(desk.site.secret_file(1)).unwrap();
    let foreign = desk.site.path().join("foreign.secret");
    fs::write(&foreign, "0123456789abcdef0123456789abcdef").unwrap();
    fs::set_permissions(&foreign, fs::Permissions::from_mode(0o600)).unwrap();
    let told = desk.refused(&["--secret-file", foreign.to_str().unwrap(), "probe"]);
    assert!(told.contains("check the customer's number and its secret"), "{told}");
    assert!(!told.contains("0123456789abcdef") && !told.contains(secret.trim()));

    desk.site.center.stop();
    let text = fs::read_to_string(&desk.config).unwrap();
    fs::write(&desk.config, format!("{text}deadline_seconds = 1\n")).unwrap();
    assert!(desk.refused(&["ls"]).contains("cannot be reached"));
}
