//! What a site administrator sees: `showmount`, `rpcinfo`, the SRL tree, and SRLs fetched with curl.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::time::Duration;

use e2e::data;
use e2e::mount::{at, mode};
use e2e::netns::NetworkNamespace;
use e2e::poll;
use e2e::site::{Port, PortSettings, Site};
use e2e::tools::curl;
use nfs3_types::nfs3::*;
use protocol::digest::Fingerprint;
use protocol::id::CustomerId;
use protocol::srl::{AccessMethod, ObjectName, Secret, SrlKind, SrlOperation, SrlRequest, SrlVersion};

fn fetch_path(md5: &str, customer: u32, secret: &Secret, expires: u64, version: SrlVersion) -> String {
    let request = SrlRequest {
        kind: SrlKind::Standard,
        version,
        expires,
        access: AccessMethod::EndUser,
        customer: CustomerId(customer),
        operation: SrlOperation::Fetch { object: ObjectName::Content(Fingerprint::parse(md5).unwrap()) },
    };
    request.sign(secret).path(b"file.txt")
}

fn srl_of(port: &Port, path: &str) -> String {
    let mut mount = port.mount("/SRL");
    let file = mount.walk(path).unwrap();
    String::from_utf8(mount.read(&file).unwrap()).unwrap().trim_end().to_owned()
}

/// PORT-2: `showmount -e` lists both exports, and rpcbind (v2 to v4) knows every program.
#[test]
fn showmount_and_rpcinfo_find_both_exports() {
    let netns = NetworkNamespace::new("exports");
    let site = Site::start_in(Some(netns.name()));
    let port = site.port_with("port", &PortSettings { rpcbind: "serve", ..PortSettings::default() });
    let exports = String::from_utf8(netns.run_ok("showmount", &["-e", "127.0.0.1"])).unwrap();
    let paths: BTreeSet<&str> =
        exports.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(paths, BTreeSet::from(["/export", "/SRL"]), "{exports}");
    for version in ["-p", ""] {
        let arguments: Vec<&str> =
            [version, "127.0.0.1"].into_iter().filter(|word| !word.is_empty()).collect();
        let programs = String::from_utf8(netns.run_ok("rpcinfo", &arguments)).unwrap();
        for program in ["100000", "100003", "100005"] {
            assert!(programs.contains(program), "{program} is missing from rpcinfo {version}:\n{programs}");
        }
    }
    for (transport, program) in [("tcp", "100003"), ("tcp", "100005"), ("udp", "100005")] {
        netns.run_ok("rpcinfo", &["-T", transport, "127.0.0.1", program, "3"]);
    }
    // With nothing but the address: libnfs asks rpcbind for the ports.
    let listed = netns.run_ok("nfs-ls", &["nfs://127.0.0.1/export"]);
    assert!(listed.is_empty(), "{}", String::from_utf8_lossy(&listed));
    drop(port);
}

/// PORT-13 to PORT-16, SRL-4, SRL-13, SRL-14, SRL-17, CDN-2.
#[test]
fn an_srl_from_the_shadow_tree_fetches_the_file_and_a_wrong_one_is_refused() {
    let site = Site::start();
    site.add_customer(2, &[]);
    let port = site.port("port");
    let mut mount = port.mount("/export");
    let bytes = data::bytes(5, 1_300_000);
    let root = mount.root();
    let dir = mount.mkdir(&root, b"dir").unwrap();
    mount.put(&dir, "größe 1.jpg".as_bytes(), &bytes).unwrap();

    let url = srl_of(&port, "dir/größe 1.jpg");
    assert!(url.starts_with(&site.center_url()), "{url}");
    let (status, header, body) = curl(&url, &[]);
    assert_eq!(status, 200, "{url}\n{header}");
    assert!(body == bytes);
    let header = header.to_ascii_lowercase();
    assert!(header.contains("content-type: image/jpeg"), "{header}");
    assert!(header.contains("x-content-type-options: nosniff"), "{header}");
    let (status, header, body) = curl(&url, &["--range", "1048570-1048579"]);
    assert_eq!(status, 206, "{header}");
    assert_eq!(body, bytes[1_048_570..1_048_580]);
    assert_eq!(curl(&url, &["--range", "1300000-"]).0, 416);

    let md5 = data::md5_hex(&bytes);
    let secret = site.secret(1);
    let refused = |path: &str, status: u16, code: &str| {
        let (got, header, body) = curl(&format!("{}{path}", site.center_url()), &[]);
        let body = String::from_utf8(body).unwrap();
        assert_eq!(got, status, "{path}: {body}");
        assert!(header.to_ascii_lowercase().contains("content-type: application/xml"), "{header}");
        assert!(body.contains("<error ") && body.contains(&format!("code=\"{code}\"")), "{body}");
        body
    };
    for version in [SrlVersion::Md5, SrlVersion::HmacSha256] {
        let good = fetch_path(&md5, 1, &secret, 0, version);
        assert_eq!(curl(&format!("{}{good}", site.center_url()), &[]).0, 200);
        refused(&fetch_path(&md5, 1, &secret, 1, version), 403, "expired");
        // A certificate with one digit changed, the request of another certificate, a customer that does not exist.
        let (last, cut) = (good.rfind('/').unwrap(), good[..good.rfind('/').unwrap()].to_owned());
        let flipped = if cut.ends_with('0') { '1' } else { '0' };
        let forged =
            refused(&format!("{}{flipped}{}", &cut[..cut.len() - 1], &good[last..]), 403, "not-authentic");
        let unknown = refused(&fetch_path(&md5, 77, &secret, 0, version), 403, "not-authentic");
        assert_eq!(forged, unknown, "one text for both, so that nobody can ask which customers exist");
        // Customer 2 signs well but holds no reference to the object.
        refused(&fetch_path(&md5, 2, &site.secret(2), 0, version), 404, "not-found");
    }
    refused("/!!!!/abc/file", 400, "malformed");
    refused(&fetch_path(&"0".repeat(32), 1, &secret, 0, SrlVersion::Md5), 404, "not-found");
}

/// PORT-13, PORT-15: the shadow tree is read-only, and its files are as long as their text.
#[test]
fn the_shadow_tree_is_read_only_and_tells_true_sizes() {
    let site = Site::start();
    let port = site.port("port");
    let mut files = port.mount("/export");
    let root = files.root();
    let dir = files.mkdir(&root, b"dir").unwrap();
    files.put(&dir, b"a", b"contents").unwrap();
    files.put(&dir, b"empty", b"").unwrap();

    let mut srl = port.mount("/SRL");
    let (srl_root, srl_dir) = (srl.root(), srl.walk("dir").unwrap());
    let file = srl.walk("dir/a").unwrap();
    let text = srl.read(&file).unwrap();
    let attributes = srl.getattr(&file).unwrap();
    assert_eq!((attributes.size, attributes.mode), (text.len() as u64, 0o444));
    assert!(text.ends_with(b"\n"));
    assert_eq!(srl.read(&file).unwrap(), text, "the text stays while a client may cache its size");
    let names: Vec<_> = srl.readdirplus(&srl_dir).unwrap().into_iter().map(|(name, _, _)| name).collect();
    assert_eq!(names, [&b"."[..], b"..", b"a", b"empty"]);
    let empty = String::from_utf8(srl.walk("dir/empty").and_then(|file| srl.read(&file)).unwrap()).unwrap();
    assert_eq!(curl(empty.trim_end(), &[]).0, 200, "{empty}");

    let rofs = Some(nfsstat3::NFS3ERR_ROFS);
    assert_eq!(srl.write_at(&file, 0, b"x", stable_how::FILE_SYNC).err(), rofs);
    assert_eq!(srl.truncate(&file, 0).err(), rofs);
    assert_eq!(srl.setattr(&file, mode(0o777)).err(), rofs);
    assert_eq!(srl.create_file(&srl_dir, b"new").err(), rofs);
    assert_eq!(srl.mkdir(&srl_root, b"new").err(), rofs);
    assert_eq!(srl.remove(&srl_dir, b"a").err(), rofs);
    assert_eq!(srl.rmdir(&srl_root, b"dir").err(), rofs);
    assert_eq!(srl.rename(&srl_dir, b"a", &srl_dir, b"b").err(), rofs);
    assert_eq!(srl.symlink(&srl_dir, b"link", b"a").err(), rofs);
    assert_eq!(files.read(&files_walk(&port)).unwrap(), b"contents");
}

fn files_walk(port: &Port) -> nfs_fh3 {
    port.mount("/export").walk("dir/a").unwrap()
}

/// PORT-11 and the export's squash: permissions are the caller's own.
#[test]
fn permissions_hold_for_plain_users_groups_and_squashed_root() {
    use e2e::rpc::Credential;
    let site = Site::start();
    let port = site.port("port");
    let squashed = site.port_with("squashed", &PortSettings { squash: "root", ..PortSettings::default() });
    let mut root = port.mount("/export");
    let top = root.root();
    let dir = root.mkdir(&top, b"dir").unwrap();
    let set = sattr3 {
        mode: Nfs3Option::Some(0o770),
        uid: Nfs3Option::Some(1_000),
        gid: Nfs3Option::Some(500),
        ..Default::default()
    };
    root.setattr(&dir, set).unwrap();

    let denied = Some(nfsstat3::NFS3ERR_ACCES);
    let mut owner = port.mount_as("/export", Credential::user(1_000));
    let file = owner.put(&dir, b"file", b"mine").unwrap();
    owner.setattr(&file, mode(0o640)).unwrap();
    let mut stranger = port.mount_as("/export", Credential::user(2_000));
    assert_eq!(stranger.lookup(&dir, b"file").err(), denied);
    assert_eq!(stranger.read(&file).err(), denied, "a handle is no permission");
    assert_eq!(stranger.remove(&dir, b"file").err(), denied);
    assert_eq!(stranger.setattr(&file, mode(0o777)).err(), Some(nfsstat3::NFS3ERR_PERM));
    let member = Credential { uid: 2_001, gid: 2_001, groups: vec![400, 500] };
    let mut member = port.mount_as("/export", member);
    assert_eq!(member.lookup(&dir, b"file").unwrap(), file);
    let by_group = member.put(&dir, b"by group", b"x").unwrap();
    assert_eq!(member.getattr(&by_group).unwrap().uid, 2_001);

    // Root of a client is nobody at the export that squashes root.
    let mut nobody = squashed.mount("/export");
    let dir_there = poll::until("the folder", Duration::from_secs(5), || {
        let dir = nobody.lookup(&nobody.root(), b"dir").ok()?;
        (nobody.getattr(&dir).ok()?.mode == 0o770).then_some(dir)
    });
    assert_eq!(nobody.lookup(&dir_there, b"file").err(), denied);
    let access = ACCESS3args { object: dir_there, access: 0x3f };
    let granted = nobody.call::<ACCESS3resok, ACCESS3resfail>(NFS_PROGRAM::NFSPROC3_ACCESS, &access).unwrap();
    assert_eq!(granted.access, 0, "ACCESS tells the truth");

    // LINK and MKNOD, which the storage center does not have.
    let link = LINK3args { file: file.clone(), link: at(&dir, b"hard") };
    let linked = root.call::<LINK3resok, LINK3resfail>(NFS_PROGRAM::NFSPROC3_LINK, &link).map(drop);
    assert_eq!(linked, Err(nfsstat3::NFS3ERR_NOTSUPP));
    let mknod = MKNOD3args { where_: at(&dir, b"fifo"), what: mknoddata3::NF3FIFO(mode(0o600)) };
    let made = root.call::<MKNOD3resok, MKNOD3resfail>(NFS_PROGRAM::NFSPROC3_MKNOD, &mknod).map(drop);
    assert_eq!(made, Err(nfsstat3::NFS3ERR_NOTSUPP));
}

/// A new customer's root folder is his: with root squashed, as by default, he can write at once.
#[test]
fn a_new_customers_root_folder_has_an_owner() {
    use e2e::rpc::Credential;
    let site = Site::start();
    site.add_customer(4, &["--uid", "1000", "--gid", "500", "--mode", "0750"]);
    let port =
        site.port_with("port", &PortSettings { customer: 4, squash: "root", ..PortSettings::default() });
    let mut owner = port.mount_as("/export", Credential::user(1_000));
    let root = owner.root();
    let attributes = owner.getattr(&root).unwrap();
    assert_eq!((attributes.uid, attributes.gid, attributes.mode), (1_000, 500, 0o750));
    owner.put(&root, b"file", b"at once").unwrap();
    let refused = port.mount("/export").create_file(&root, b"another").err();
    assert_eq!(refused, Some(nfsstat3::NFS3ERR_ACCES), "root of a client is nobody here");
}

/// VFS-17 and FSSTAT: the quota is the free space, and going over it is NFS3ERR_DQUOT.
#[test]
fn the_quota_is_the_free_space() {
    const QUOTA: u64 = 8 << 20;
    let site = Site::start();
    site.add_customer(3, &["--quota-bytes", &QUOTA.to_string()]);
    let port = site.port_with("port", &PortSettings { customer: 3, ..PortSettings::default() });
    let mut mount = port.mount("/export");
    let root = mount.root();
    let fsstat = |mount: &mut e2e::mount::Mount| {
        let args = FSSTAT3args { fsroot: mount.root() };
        mount.call::<FSSTAT3resok, FSSTAT3resfail>(NFS_PROGRAM::NFSPROC3_FSSTAT, &args).unwrap()
    };
    let empty = fsstat(&mut mount);
    assert_eq!((empty.tbytes, empty.fbytes, empty.abytes), (QUOTA, QUOTA, QUOTA));
    let file = mount.put(&root, b"file", &data::bytes(1, 6 << 20)).unwrap();
    poll::until("FSSTAT knows the use", Duration::from_secs(20), || {
        (fsstat(&mut mount).fbytes == QUOTA - (6 << 20)).then_some(())
    });
    let over = mount.write_at(&file, QUOTA, b"one byte too many", stable_how::FILE_SYNC);
    assert_eq!(over.err(), Some(nfsstat3::NFS3ERR_DQUOT));
    mount.write_durably(&file, QUOTA - 3, b"fit").unwrap();
    mount.remove(&root, b"file").unwrap();
    poll::until("the space comes back", Duration::from_secs(20), || {
        (fsstat(&mut mount).fbytes == QUOTA).then_some(())
    });
}
