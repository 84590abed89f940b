//! A storage node's disk with very many tiny objects, made without the node: what a node's start is measured with.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::thread;

use protocol::digest::{Content, ObjectHasher};
use rustix::fs::{XattrFlags, fsetxattr};

/// Makes `root` the disk of this node with `objects` objects of 8 bytes, as they lie after the node's own stores, and
/// no index. Nothing is synced. A million takes about a minute and 4 GB.
pub fn make(root: &Path, cluster: &str, node: u32, objects: u64) {
    fs::create_dir_all(root).unwrap();
    let id = format!("{node:032x}");
    let format = format!("version = 1\ncluster = {cluster:?}\nnode = {node}\ndisk = {id:?}\n");
    fs::write(root.join("FORMAT"), format).unwrap();
    let mut contents: Vec<_> = (0..objects).map(|number| (content(number), number)).collect();
    contents.sort_unstable_by_key(|(content, _)| content.fingerprint);
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for part in contents.chunks(contents.len().div_ceil(workers).max(1)) {
            scope.spawn(move || part.iter().for_each(|(content, number)| write(root, content, *number)));
        }
    });
}

fn content(number: u64) -> Content {
    let mut hasher = ObjectHasher::new();
    hasher.update(&number.to_le_bytes());
    hasher.finish().0
}

fn write(root: &Path, content: &Content, number: u64) {
    let name = content.fingerprint.to_string();
    let folder = root.join("obj").join(&name[..2]).join(&name[2..4]);
    let path = folder.join(format!("{name}.MD5"));
    let mut file = File::create(&path).unwrap_or_else(|_| {
        fs::create_dir_all(&folder).unwrap();
        File::create(&path).unwrap()
    });
    file.write_all(&number.to_le_bytes()).unwrap();
    let told = format!("{} {}", content.size, content.digest);
    fsetxattr(&file, "user.sc", told.as_bytes(), XattrFlags::empty()).unwrap();
}
