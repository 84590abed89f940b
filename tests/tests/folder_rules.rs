//! Rules of folders at a running port: how long SRLs are good, what is cached, when it is uploaded.

#![allow(clippy::unwrap_used)]

use std::time::{Duration, SystemTime};

use e2e::data;
use e2e::mount::Mount;
use e2e::poll;
use e2e::site::{Port, PortSettings, Site, said, told};
use e2e::tools::curl;
use nfs3_types::nfs3::nfs_fh3;
use protocol::srl::SignedSrl;
use serde_json::Value;

/// Of the port whose files have `quiet` of 100 ms else.
const RULES: &str = r#"
[[folder]]
customer = 1
path = "/ads"
srl_seconds = 86_400
[[folder]]
customer = 1
path = "/ads/permanent"
srl_seconds = 0
[[folder]]
customer = 1
path = "/archive"
cached = false
[[folder]]
customer = 1
path = "/logs"
quiet_ms = 3_600_000
"#;

fn ruled(site: &Site) -> Port {
    site.port_with("port", &PortSettings { more: RULES.into(), ..PortSettings::default() })
}

/// The SRL of a file of `/SRL` at this path, and for how many seconds it is good from now on; `None` for ever. Its length is
/// what GETATTR says.
#[allow(clippy::disallowed_methods, reason = "an SRL expires by the center's own clock")]
fn srl(site: &Site, urls: &mut Mount, path: &str) -> (String, Option<u64>) {
    let file = urls.walk(path).unwrap();
    let text = String::from_utf8(urls.read(&file).unwrap()).unwrap();
    assert_eq!(urls.getattr(&file).unwrap().size, text.len() as u64, "{path}");
    let url = text.trim_end().to_owned();
    let signed = url.strip_prefix(&site.center_url()).unwrap();
    let expires = SignedSrl::parse(signed).unwrap().0.request().unwrap().expires;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    (url, (expires > 0).then(|| expires - now))
}

#[track_caller]
fn assert_about(seconds: Option<u64>, wanted: u64) {
    assert!(seconds.is_some_and(|seconds| seconds.abs_diff(wanted) <= 70), "{seconds:?} for {wanted}");
}

/// What an SRL fetches.
fn fetched(url: &str) -> (u16, Vec<u8>) {
    let (status, _, bytes) = curl(url, &[]);
    (status, bytes)
}

fn put(mount: &mut Mount, dir: &nfs_fh3, name: &str, bytes: &[u8]) -> nfs_fh3 {
    mount.put(dir, name.as_bytes(), bytes).unwrap()
}

/// PORT-14, SRL-4: the time-out of SRLs follows a file through the folders, over a restart, and as a reload says.
#[test]
fn the_time_out_of_srls_is_that_of_the_folder() {
    let site = Site::start();
    let mut port = ruled(&site);
    let (mut mount, mut urls) = (port.mount("/export"), port.mount("/SRL"));
    let root = mount.root();
    let ads = mount.mkdir(&root, b"ads").unwrap();
    let permanent = mount.mkdir(&ads, b"permanent").unwrap();
    for (dir, name) in [(&root, "plain"), (&ads, "ad"), (&permanent, "logo")] {
        put(&mut mount, dir, name, name.as_bytes());
    }
    assert_about(srl(&site, &mut urls, "plain").1, 3_600);
    let (url, seconds) = srl(&site, &mut urls, "ads/ad");
    assert_about(seconds, 86_400);
    assert_eq!(fetched(&url), (200, b"ad".to_vec()));
    let (url, seconds) = srl(&site, &mut urls, "ads/permanent/logo");
    assert_eq!((seconds, fetched(&url)), (None, (200, b"logo".to_vec())));

    mount.rename(&root, b"plain", &permanent, b"plain").unwrap();
    assert_eq!(srl(&site, &mut urls, "ads/permanent/plain").1, None, "moved into it");
    mount.rename(&permanent, b"logo", &root, b"logo").unwrap();
    assert_about(srl(&site, &mut urls, "logo").1, 3_600);

    // By a handle alone, of a port that has to ask for the folders above.
    let file = urls.walk("ads/permanent/plain").unwrap();
    port.wait_nothing_owed();
    port.daemon.stop();
    std::fs::remove_file(port.path().join("state").join("directory-1.snapshot")).unwrap();
    port.daemon.restart();
    let (mut mount, mut urls) = (port.mount("/export"), port.mount("/SRL"));
    let size = urls.getattr(&file).unwrap().size;
    assert_eq!(size, urls.read(&file).unwrap().len() as u64);
    assert_eq!(srl(&site, &mut urls, "ads/permanent/plain").1, None);

    port.edit_config(
        "path = \"/ads/permanent\"\nsrl_seconds = 0",
        "path = \"/ads/permanent\"\nsrl_seconds = 600",
    );
    let said = port.reload();
    assert!(said.contains("[[folder]] 1 /ads/permanent srl_seconds"), "{said}");
    assert_about(srl(&site, &mut urls, "ads/permanent/plain").1, 600);
    mount.rename(&root, b"ads", &root, b"adverts").unwrap();
    assert_about(srl(&site, &mut urls, "adverts/permanent/plain").1, 3_600);
}

/// PORT-3, PORT-11: what is not to be cached leaves the cache as it is, whole and in pieces; a warmed file is kept all the
/// same.
#[test]
fn a_folder_may_be_left_out_of_the_cache() {
    let site = Site::start();
    let port = ruled(&site);
    let mut mount = port.mount("/export");
    let root = mount.root();
    let archive = mount.mkdir(&root, b"archive").unwrap();
    let figures = || {
        let stat = told(&port.config(), &["cache", "stat"]);
        let of = |disk: &Value| (disk["files"].as_u64().unwrap(), disk["bytes_used"].as_u64().unwrap());
        let disks = stat["disks"].as_array().unwrap();
        (disks.iter().map(of).collect::<Vec<_>>(), stat["hits"].clone(), stat["misses"].clone())
    };
    let empty = figures();
    let bytes = data::bytes(1, 9_000_001);
    let film = put(&mut mount, &archive, "film", &bytes);
    port.wait_uploaded(&site, &data::md5_hex(&bytes));
    port.wait_nothing_owed();
    assert_eq!(figures(), empty, "after the upload");
    assert!(mount.read(&film).unwrap() == bytes);
    let mut pieces = Vec::new();
    while pieces.len() < 1 << 20 {
        pieces.extend(mount.read_at(&film, pieces.len() as u64, 4_096).unwrap().0);
    }
    assert!(pieces == bytes[..pieces.len()]);
    assert_eq!(figures(), empty, "after reading");

    let other = data::bytes(2, 5_000_001);
    let cached = put(&mut mount, &root, "cached", &other);
    port.wait_uploaded(&site, &data::md5_hex(&other));
    port.wait_nothing_owed();
    assert!(mount.read(&cached).unwrap() == other);
    let with_other = figures();
    assert_ne!(with_other, empty);

    let warmed = said(&port.config(), &["cache", "warm", "/export/archive"]);
    let files = |figures: &(Vec<(u64, u64)>, Value, Value)| figures.0.iter().map(|disk| disk.0).sum::<u64>();
    assert_eq!(files(&figures()), files(&with_other) + 10, "nine blocks and their digests: {warmed}");
    assert!(mount.read(&film).unwrap() == bytes);
}

/// PORT-12, PORT-13: a file of a folder with a long delay is the port's alone for so long, and told so; who reads its SRL has
/// it uploaded.
#[test]
fn a_folder_may_have_its_files_wait_for_the_upload() {
    let site = Site::start();
    let port = ruled(&site);
    let mut mount = port.mount("/export");
    let root = mount.root();
    let logs = mount.mkdir(&root, b"logs").unwrap();
    let (bytes, other) = (data::bytes(1, 100_000), data::bytes(2, 100_000));
    put(&mut mount, &logs, "log", &bytes);
    put(&mut mount, &root, "other", &other);
    port.wait_uploaded(&site, &data::md5_hex(&other));
    poll::pause(Duration::from_secs(2));
    assert_eq!(site.copies(&data::md5_hex(&bytes)), 0, "uploaded before its time");
    let uploads = told(&port.config(), &["uploads"]);
    let [upload] = &uploads["uploads"].as_array().unwrap()[..] else { panic!("{uploads:#}") };
    assert_eq!((&upload["path"], &upload["state"]), (&"/logs/log".into(), &"written".into()), "{upload:#}");
    assert_eq!(upload["delay_seconds"], 3_600, "{upload:#}");
    assert_eq!(told(&port.config(), &["journal"])["delay_seconds"], 3_600, "nothing is late before");

    let (url, _) = srl(&site, &mut port.mount("/SRL"), "logs/log");
    assert_eq!(fetched(&url), (200, bytes.clone()));
    assert_eq!(site.copies(&data::md5_hex(&bytes)), 2);
    port.wait_nothing_owed();
}
