//! `demo [--check] FOLDER`: a storage center and a storage port on this machine, with the files of FOLDER stored
//! through NFS. Serves until Ctrl-C; with `--check`, proves the round trip through libnfs and curl and ends.
//!
//! `./demo` builds everything and starts this on the project's own files.

#![allow(clippy::unwrap_used, reason = "what cannot go on says so once, through the panic hook")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use e2e::data::md5_hex;
use e2e::mount::Mount;
use e2e::site::{Port, Site};
use e2e::tools::{curl, run_ok};
use nfs3_types::nfs3::nfs_fh3;

/// The demo stores no larger files; what it is shown with has none.
const FILE_BYTES_MAX: u64 = 64 << 20;

#[tokio::main]
async fn main() {
    std::panic::set_hook(Box::new(|what| eprintln!("demo failed: {what}")));
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let check = arguments.iter().any(|argument| argument == "--check");
    let Some(folder) = arguments.iter().find(|argument| !argument.starts_with("--")) else {
        eprintln!("usage: demo [--check] FOLDER");
        std::process::exit(2);
    };

    let site = Site::start();
    let mut port = site.port("port");
    let files = files_of(Path::new(folder));
    let start = Instant::now();
    let bytes = store(&port, Path::new(folder), &files);
    println!(
        "Stored {} files, {:.1} MB, through NFS in {:.1} s.",
        files.len(),
        bytes as f64 / 1e6,
        start.elapsed().as_secs_f64()
    );
    if check {
        match round_trip(&site, &port, Path::new(folder), &files) {
            Ok(()) => {
                println!("Check passed: every file is the same through libnfs and, by its SRL, through curl.")
            }
            Err(what) => {
                eprintln!("Check failed: {what}");
                std::process::exit(1);
            }
        }
        return;
    }
    explain(&port, &files[0]);
    tokio::signal::ctrl_c().await.unwrap();
    println!("\nStopping.");
    port.daemon.stop();
}

/// The files below a folder that version control would keep, as paths relative to it.
fn files_of(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(inner) = folders.pop() {
        for entry in fs::read_dir(folder.join(&inner)).unwrap() {
            let entry = entry.unwrap();
            let path = inner.join(entry.file_name());
            let kind = entry.file_type().unwrap();
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            if kind.is_dir() && !hidden && path != Path::new("target") {
                folders.push(path);
            } else if kind.is_file() && entry.metadata().unwrap().len() <= FILE_BYTES_MAX {
                files.push(path);
            }
        }
    }
    files.sort();
    assert!(!files.is_empty(), "there are no files in {}", folder.display());
    files
}

fn store(port: &Port, folder: &Path, files: &[PathBuf]) -> usize {
    let mut mount = port.mount("/export");
    let mut bytes = 0;
    for file in files {
        let contents = fs::read(folder.join(file)).unwrap();
        let dir = make_folders(&mut mount, file.parent().unwrap());
        let name = file.file_name().unwrap().as_encoded_bytes();
        mount.put(&dir, name, &contents).unwrap();
        bytes += contents.len();
    }
    bytes
}

fn make_folders(mount: &mut Mount, path: &Path) -> nfs_fh3 {
    let mut dir = mount.root();
    for part in path.iter() {
        let name = part.as_encoded_bytes();
        dir = match mount.lookup(&dir, name) {
            Ok(found) => found,
            Err(_) => mount.mkdir(&dir, name).unwrap(),
        };
    }
    dir
}

fn explain(port: &Port, file: &Path) {
    let (nfs, mount) = (port.nfs(), port.mount_address());
    let options =
        format!("vers=3,proto=tcp,nolock,port={},mountport={},mountproto=tcp", nfs.port(), mount.port());
    println!("\nMount the files, and their SRLs:");
    for (export, folder) in [("/export", "/mnt/files"), ("/SRL", "/mnt/srl")] {
        println!("  sudo mount -t nfs -o {options} {}:{export} {folder}", nfs.ip());
    }
    println!("\nThe SRL of {} (it expires in an hour):", file.display());
    println!("  curl '{}'", srl(port, file));
    println!("\nServing until Ctrl-C.");
}

fn srl(port: &Port, file: &Path) -> String {
    let mut mount = port.mount("/SRL");
    let shadow = mount.walk(file.to_str().unwrap()).unwrap();
    String::from_utf8(mount.read(&shadow).unwrap()).unwrap().trim_end().to_owned()
}

fn round_trip(site: &Site, port: &Port, folder: &Path, files: &[PathBuf]) -> Result<(), String> {
    let scratch = tempfile::tempdir().unwrap();
    let back = scratch.path().join("back");
    for file in files {
        let name = file.to_str().unwrap();
        let original = fs::read(folder.join(file)).unwrap();
        run_ok("nfs-cp", &[&port.libnfs_url(&format!("/export/{name}")), back.to_str().unwrap()]);
        let through_nfs = fs::read(&back).unwrap();
        fs::remove_file(&back).unwrap();
        let (status, _, through_srl) = curl(&srl(port, file), &[]);
        let digests = [&original, &through_nfs, &through_srl].map(|bytes| md5_hex(bytes));
        if status != 200 || digests[0] != digests[1] || digests[0] != digests[2] {
            return Err(format!(
                "{name}: HTTP {status}, MD5 of the original, by libnfs, by SRL: {digests:?}"
            ));
        }
        let copies = site.copies(&digests[0]);
        if !original.is_empty() && copies < 2 {
            return Err(format!("{name}: {copies} copies on the storage node's disks"));
        }
    }
    Ok(())
}
