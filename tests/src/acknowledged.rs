//! Clients that remember what was acknowledged to them, and look whether it is so: the load of the tests that kill.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use nfs3_types::nfs3::*;
use rand::Rng;

use crate::data;
use crate::mount::Mount;
use crate::poll;

/// Files of each writer.
const FILES: usize = 12;

/// What one writer knows to be acknowledged.
pub struct Acknowledged {
    /// In the writer's folder.
    pub name: String,
    /// As it was created.
    pub handle: nfs_fh3,
    /// Its contents.
    pub bytes: Vec<u8>,
}

/// The writers at work, see [`under_load`].
pub struct Load<'scope, 'a> {
    operations: &'a AtomicU64,
    writers: &'a [ScopedJoinHandle<'scope, Vec<Acknowledged>>],
}

impl Load<'_, '_> {
    /// Waits until so many more calls are acknowledged. False if a writer has failed: it says why at the end of
    /// [`under_load`], and there is nothing to go on with.
    pub fn makes_headway(&self, calls: u64, patience: Duration, before: &str) -> bool {
        let target = self.operations.load(Ordering::Relaxed) + calls;
        let has_failed = || self.writers.iter().any(ScopedJoinHandle::is_finished);
        poll::until(&format!("headway before {before}"), patience, || {
            (has_failed() || self.operations.load(Ordering::Relaxed) >= target).then_some(())
        });
        if has_failed() {
            eprintln!("a writer failed before {before}");
        }
        !has_failed()
    }
}

/// Has each of the mounts, made on the writer's own thread, written to for as long as `test` takes; what each writer
/// remembers then.
pub fn under_load<M: FnOnce() -> Mount + Send>(
    mounts: impl IntoIterator<Item = M>,
    test: impl FnOnce(&Load<'_, '_>),
) -> Vec<Vec<Acknowledged>> {
    let (stop, operations) = (AtomicBool::new(false), AtomicU64::new(0));
    let files = thread::scope(|scope| {
        let (stop, operations) = (&stop, &operations);
        let mut writers = Vec::new();
        for (writer, mount) in (0..).zip(mounts) {
            writers.push(scope.spawn(move || write_until(stop, operations, mount(), writer)));
        }
        test(&Load { operations, writers: &writers });
        stop.store(true, Ordering::Relaxed);
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    println!("{} operations acknowledged", operations.load(Ordering::Relaxed));
    files
}

/// Writes, overwrites, renames and removes its own files until told to stop. Its calls are repeated until they are
/// answered, so when it stops, all it remembers was acknowledged and durable.
fn write_until(
    stop: &AtomicBool,
    operations: &AtomicU64,
    mut mount: Mount,
    writer: u64,
) -> Vec<Acknowledged> {
    let mut rng = data::rng(writer);
    let root = mount.root();
    let dir = mount.mkdir(&root, format!("writer-{writer}").as_bytes()).unwrap();
    let mut files: Vec<Acknowledged> = Vec::new();
    let mut made = 0;
    while !stop.load(Ordering::Relaxed) {
        match rng.random_range(0..10) {
            0..3 if files.len() < FILES => {
                made += 1;
                let name = format!("file-{made}");
                let mut verifier = [0; 8];
                rng.fill(&mut verifier);
                let how = createhow3::EXCLUSIVE(createverf3(verifier));
                let handle = mount.create(&dir, name.as_bytes(), how).unwrap();
                let len = if rng.random_ratio(1, 6) { 2_500_000 } else { rng.random_range(0..100_000) };
                let bytes = data::bytes(rng.random(), len);
                mount.write_durably(&handle, 0, &bytes).unwrap();
                files.push(Acknowledged { name, handle, bytes });
            }
            3..8 if !files.is_empty() => {
                let at = rng.random_range(0..files.len());
                let file = &mut files[at];
                let start = rng.random_range(0..=file.bytes.len());
                let part = data::bytes(rng.random(), rng.random_range(1..60_000));
                mount.write_durably(&file.handle, start as u64, &part).unwrap();
                file.bytes.resize(file.bytes.len().max(start + part.len()), 0);
                file.bytes[start..start + part.len()].copy_from_slice(&part);
            }
            8 if !files.is_empty() => {
                let at = rng.random_range(0..files.len());
                made += 1;
                let name = format!("renamed-{made}");
                mount.rename(&dir, files[at].name.as_bytes(), &dir, name.as_bytes()).unwrap();
                files[at].name = name;
            }
            9 if files.len() > 3 => {
                let file = files.swap_remove(rng.random_range(0..files.len()));
                mount.remove(&dir, file.name.as_bytes()).unwrap();
            }
            _ => {}
        }
        operations.fetch_add(1, Ordering::Relaxed);
    }
    files
}

/// Compares everything acknowledged with what a mount says, by the old handles and by name.
pub fn verify_all(files: &[Vec<Acknowledged>], mount: impl Fn() -> Mount) {
    for (writer, files) in (0..).zip(files) {
        verify(&mut mount(), writer, files);
    }
}

fn verify(mount: &mut Mount, writer: u64, files: &[Acknowledged]) {
    let dir = mount.walk(&format!("writer-{writer}")).unwrap();
    let listed = mount.readdir(&dir).unwrap().len() - 2;
    assert_eq!(listed, files.len(), "names of writer {writer}");
    for file in files {
        assert_eq!(
            mount.lookup(&dir, file.name.as_bytes()).unwrap(),
            file.handle,
            "{} has its handle",
            file.name
        );
        let bytes = mount.read(&file.handle).unwrap();
        assert_eq!(bytes.len(), file.bytes.len(), "size of {}", file.name);
        assert!(bytes == file.bytes, "{} of writer {writer} differs", file.name);
    }
}
