//! A tree of more than 2,000 files through two independent NFS clients, the crate `nfs3_client` and libnfs's tools:
//! written, listed, renamed, truncated, overwritten in the middle, read back and removed, with equal digests at the
//! client, in the storage node's directories and through the SRL.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use e2e::data;
use e2e::mount::at;
use e2e::poll;
use e2e::rpc::Credential;
use e2e::site::{Port, Site};
use e2e::tools::{curl, run_ok};
use nfs3_client::tokio::{TokioConnector, TokioIo};
use nfs3_client::{Nfs3Connection, Nfs3ConnectionBuilder};
use nfs3_types::nfs3::*;
use nfs3_types::xdr_codec::Opaque;
use rand::Rng;
use tokio::net::TcpStream;

/// Files written through `nfs3_client`; the tools add theirs.
const FILES: usize = 2_000;
/// Files written through `nfs-cp`.
const TOOL_FILES: usize = 120;
const FOLDERS: usize = 20;
/// Sizes at every edge of a block, and large ones; all other files are small and odd.
const EDGE_SIZES: [usize; 14] = [
    0,
    1,
    4_095,
    4_096,
    4_097,
    65_537,
    (1 << 20) - 1,
    1 << 20,
    (1 << 20) + 1,
    (2 << 20) + 3,
    (5 << 20) + 12_345,
    16 << 20,
    (33 << 20) + 1,
    64 << 20,
];

type Connection = Nfs3Connection<TokioIo<TcpStream>>;

struct Client(Connection);

impl Client {
    async fn mount(port: &Port, export: &str) -> Self {
        let builder = Nfs3ConnectionBuilder::new(TokioConnector, port.nfs().ip().to_string(), export)
            .connect_from_privileged_port(false)
            .nfs3_port(port.nfs().port())
            .mount_port(port.mount_address().port())
            .credential(Credential::root().auth());
        Self(builder.mount().await.unwrap())
    }

    fn root(&self) -> nfs_fh3 {
        self.0.root_nfs_fh3()
    }

    async fn mkdir(&mut self, dir: &nfs_fh3, name: &[u8]) -> nfs_fh3 {
        let args = MKDIR3args { where_: at(dir, name), attributes: e2e::mount::mode(0o755) };
        some(self.0.mkdir(&args).await.unwrap().unwrap().obj)
    }

    async fn put(&mut self, dir: &nfs_fh3, name: &[u8], bytes: &[u8]) -> nfs_fh3 {
        let how = createhow3::GUARDED(e2e::mount::mode(0o644));
        let created = self.0.create(&CREATE3args { where_: at(dir, name), how }).await.unwrap().unwrap();
        let file = some(created.obj);
        self.write(&file, 0, bytes).await;
        file
    }

    async fn write(&mut self, file: &nfs_fh3, start: usize, bytes: &[u8]) {
        let mut verifier = None;
        let mut done = 0;
        while done < bytes.len() {
            let part = &bytes[done..bytes.len().min(done + (256 << 10))];
            let args = WRITE3args {
                file: file.clone(),
                offset: (start + done) as u64,
                count: part.len() as u32,
                stable: stable_how::UNSTABLE,
                data: Opaque::borrowed(part),
            };
            let written = self.0.write(&args).await.unwrap().unwrap();
            assert!(verifier.replace(written.verf).is_none_or(|earlier| earlier == written.verf));
            done += written.count as usize;
        }
        let commit = COMMIT3args { file: file.clone(), offset: 0, count: 0 };
        let committed = self.0.commit(&commit).await.unwrap().unwrap();
        assert!(verifier.is_none_or(|verifier| verifier == committed.verf), "the write verifier changed");
    }

    async fn read(&mut self, file: &nfs_fh3) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let args = READ3args { file: file.clone(), offset: bytes.len() as u64, count: 1 << 20 };
            let part = self.0.read(&args).await.unwrap().unwrap();
            bytes.extend_from_slice(part.data.as_ref());
            if part.eof {
                return bytes;
            }
        }
    }

    async fn truncate(&mut self, file: &nfs_fh3, size: u64) {
        let new_attributes = sattr3 { size: Nfs3Option::Some(size), ..Default::default() };
        let args = SETATTR3args { object: file.clone(), new_attributes, guard: Nfs3Option::None };
        self.0.setattr(&args).await.unwrap().unwrap();
    }

    async fn rename(&mut self, from: (&nfs_fh3, &[u8]), to: (&nfs_fh3, &[u8])) {
        let args = RENAME3args { from: at(from.0, from.1), to: at(to.0, to.1) };
        self.0.rename(&args).await.unwrap().unwrap();
    }

    async fn list(&mut self, dir: &nfs_fh3) -> BTreeMap<Vec<u8>, u64> {
        let mut sizes = BTreeMap::new();
        let (mut cookie, mut cookieverf) = (0, cookieverf3::default());
        loop {
            let (dircount, maxcount) = (4 << 10, 32 << 10);
            let args = READDIRPLUS3args { dir: dir.clone(), cookie, cookieverf, dircount, maxcount };
            let part = self.0.readdirplus(&args).await.unwrap().unwrap();
            cookieverf = part.cookieverf;
            for entry in part.reply.entries.into_inner() {
                cookie = entry.cookie;
                let size = some(entry.name_attributes).size;
                let name = entry.name.as_ref().to_vec();
                assert_eq!(sizes.insert(name.clone(), size), None, "listed twice: {name:?}");
            }
            if part.reply.eof {
                sizes.remove(&b"."[..]).unwrap();
                sizes.remove(&b".."[..]).unwrap();
                return sizes;
            }
        }
    }
}

fn some<T: nfs3_types::xdr_codec::Pack + nfs3_types::xdr_codec::Unpack>(value: Nfs3Option<T>) -> T {
    match value {
        Nfs3Option::Some(value) => value,
        Nfs3Option::None => panic!("the server left out an optional value"),
    }
}

struct Written {
    folder: usize,
    name: String,
    bytes: Vec<u8>,
    handle: nfs_fh3,
}

/// PORT-1, PORT-2, PORT-3, PORT-10, PORT-12, PORT-13, PORT-16, ISN-6, SRL-1, SYS-9.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_written_through_two_clients_reads_back_everywhere() {
    const SEED: u64 = 0x7265_6531;
    let site = Site::start();
    let port = site.port("port");
    let mut client = Client::mount(&port, "/export").await;
    let mut rng = data::rng(SEED);
    let root = client.root();

    let mut folders = Vec::new();
    for number in 0..FOLDERS {
        folders.push(client.mkdir(&root, format!("folder {number}").as_bytes()).await);
    }
    let mut files: Vec<Written> = Vec::new();
    for number in 0..FILES {
        let folder = number % FOLDERS;
        let size = EDGE_SIZES.get(number).copied().unwrap_or_else(|| rng.random_range(0..20_000) | 1);
        let bytes = data::bytes(SEED + number as u64, size);
        let name = format!("{number}-{}", data::name(&mut rng));
        let name = name.chars().scan(0, |len, c| {
            *len += c.len_utf8();
            (*len <= 255).then_some(c)
        });
        let name: String = name.collect();
        let handle = client.put(&folders[folder], name.as_bytes(), &bytes).await;
        files.push(Written { folder, name, bytes, handle });
    }

    // Renamed within and across folders, truncated shorter and longer, overwritten in the middle.
    for number in (0..FILES).step_by(7) {
        let file = &mut files[number];
        let (to_folder, to_name) = ((file.folder + number % 3) % FOLDERS, format!("renamed {number}"));
        client
            .rename((&folders[file.folder], file.name.as_bytes()), (&folders[to_folder], to_name.as_bytes()))
            .await;
        (file.folder, file.name) = (to_folder, to_name);
    }
    for number in (0..FILES).step_by(11) {
        let file = &mut files[number];
        let size = if number % 2 == 0 { file.bytes.len() / 2 } else { file.bytes.len() + 70_001 };
        client.truncate(&file.handle, size as u64).await;
        file.bytes.resize(size, 0);
    }
    for number in (0..FILES).step_by(5) {
        let file = &mut files[number];
        let (start, part) = (file.bytes.len() / 3, data::bytes(number as u64, file.bytes.len() / 4));
        client.write(&file.handle, start, &part).await;
        file.bytes[start..start + part.len()].copy_from_slice(&part);
    }

    // libnfs's tools write their own and read everybody's.
    let local = tempfile::tempdir().unwrap();
    let tools = client.mkdir(&root, b"tools").await;
    let mut tool_files = BTreeMap::new();
    for number in 0..TOOL_FILES {
        let size = EDGE_SIZES.get(number).copied().unwrap_or(number * 997);
        let bytes = data::bytes(0x746f_6f6c + number as u64, size);
        let name = format!("tool-{number}");
        let path = local.path().join(&name);
        fs::write(&path, &bytes).unwrap();
        run_ok("nfs-cp", &[path.to_str().unwrap(), &port.libnfs_url(&format!("/export/tools/{name}"))]);
        tool_files.insert(name.into_bytes(), bytes);
    }
    let listed = String::from_utf8(run_ok("nfs-ls", &["-R", &port.libnfs_url("/export")])).unwrap();
    assert!(
        listed.lines().count() >= FILES + TOOL_FILES + FOLDERS,
        "nfs-ls -R lists {}",
        listed.lines().count()
    );
    let back = local.path().join("back");
    for (name, bytes) in tool_files.iter().take(40) {
        let name = std::str::from_utf8(name).unwrap();
        let url = port.libnfs_url(&format!("/export/tools/{name}"));
        let _ = fs::remove_file(&back);
        run_ok("nfs-cp", &[&url, back.to_str().unwrap()]);
        assert!(fs::read(&back).unwrap() == *bytes, "{name} differs through nfs-cp");
    }
    for (name, bytes) in &tool_files {
        let found = client.0.lookup(&LOOKUP3args { what: at(&tools, name) }).await.unwrap().unwrap();
        assert!(client.read(&found.object).await == *bytes, "{name:?} differs through nfs3_client");
    }

    // Every listing is complete and tells the sizes; every file reads back.
    for (number, folder) in folders.iter().enumerate() {
        let expected: BTreeMap<Vec<u8>, u64> = files
            .iter()
            .filter(|file| file.folder == number)
            .map(|file| (file.name.clone().into_bytes(), file.bytes.len() as u64))
            .collect();
        assert_eq!(client.list(folder).await, expected, "listing of folder {number}");
    }
    for file in &files {
        assert!(client.read(&file.handle).await == file.bytes, "{} differs", file.name);
    }

    // The same digests on the storage node's disks, twice, and through the SRL.
    for file in &files {
        let md5 = data::md5_hex(&file.bytes);
        let patience = Duration::from_secs(120);
        poll::until(&format!("{} on two disks", file.name), patience, || {
            (site.copies(&md5) >= 2).then_some(())
        });
        for copy in site.object_files(&md5) {
            assert_eq!(data::md5_hex(&fs::read(copy).unwrap()), md5, "{} on a disk", file.name);
        }
    }
    let mut srl = Client::mount(&port, "/SRL").await;
    let srl_root = srl.root();
    for number in (0..FILES).step_by(40).chain(0..EDGE_SIZES.len()) {
        let file = &files[number];
        let folder = format!("folder {}", file.folder);
        let dir =
            srl.0.lookup(&LOOKUP3args { what: at(&srl_root, folder.as_bytes()) }).await.unwrap().unwrap();
        let shadow = srl
            .0
            .lookup(&LOOKUP3args { what: at(&dir.object, file.name.as_bytes()) })
            .await
            .unwrap()
            .unwrap();
        let text = String::from_utf8(srl.read(&shadow.object).await).unwrap();
        assert_eq!(some(shadow.obj_attributes).size, text.len() as u64, "GETATTR tells the SRL's length");
        let (status, _, body) = curl(text.trim_end(), &[]);
        assert_eq!(status, 200, "{text}");
        assert!(body == file.bytes, "{} differs through its SRL", file.name);
    }

    // Removed: gone from the listing, and in time from the disks' references.
    for file in files.iter().step_by(2) {
        let args = REMOVE3args { object: at(&folders[file.folder], file.name.as_bytes()) };
        client.0.remove(&args).await.unwrap().unwrap();
    }
    let left: usize = files.len() - files.iter().step_by(2).count();
    let mut listed = 0;
    for folder in &folders {
        listed += client.list(folder).await.len();
    }
    assert_eq!(listed, left);
    for file in files.iter().step_by(2).take(50) {
        let gone = client.0.getattr(&GETATTR3args { object: file.handle.clone() }).await.unwrap();
        assert!(matches!(gone, Nfs3Result::Err((nfsstat3::NFS3ERR_STALE, _))), "{gone:?}");
    }
    poll::until("references equal rows", Duration::from_secs(60), || site.check().0.then_some(()));
}

/// VFS-8: 1,000 levels deep, walked by handles, with a file at the bottom.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_levels_deep() {
    const LEVELS: usize = 1_000;
    let site = Site::start();
    let port = site.port("port");
    let mut client = Client::mount(&port, "/export").await;
    let mut dir = client.root();
    for level in 0..LEVELS {
        dir = client.mkdir(&dir, format!("level-{level}").as_bytes()).await;
    }
    client.put(&dir, b"bottom", b"here it is").await;

    let mut other = Client::mount(&port, "/export").await;
    let mut dir = other.root();
    for level in 0..LEVELS {
        let name = format!("level-{level}");
        dir = other.0.lookup(&LOOKUP3args { what: at(&dir, name.as_bytes()) }).await.unwrap().unwrap().object;
    }
    let file = other.0.lookup(&LOOKUP3args { what: at(&dir, b"bottom") }).await.unwrap().unwrap().object;
    assert_eq!(other.read(&file).await, b"here it is");
}
