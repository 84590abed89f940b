//! The newest kernel of Debian's package `linux-image-amd64`: its image uncompressed, and its modules.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A kernel that is installed, with its modules, on this machine.
#[derive(Clone, Debug)]
pub struct Kernel {
    release: String,
    modules: PathBuf,
}

impl Kernel {
    /// The one with the newest image; panics with what to install if there is none.
    pub fn newest() -> Self {
        let image = fs::read_dir("/boot")
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.to_string_lossy().starts_with("/boot/vmlinuz-"))
            .max_by_key(|path| fs::metadata(path).and_then(|image| image.modified()).ok());
        let image = image.expect("no kernel in /boot: ./test installs Debian's package linux-image-amd64");
        let release = image.to_str().unwrap().trim_start_matches("/boot/vmlinuz-").to_owned();
        let modules = Path::new("/lib/modules").join(&release);
        Self { release, modules }
    }

    /// The uncompressed image, unpacked once into `folder`. QEMU starts it at its PVH entry. A guest that unpacks itself
    /// needs 4.4 processor seconds to its first program, this way 2.0.
    pub fn image(&self, folder: &Path) -> PathBuf {
        let unpacked = folder.join(format!("vmlinux-{}", self.release));
        let packed = PathBuf::from(format!("/boot/vmlinuz-{}", self.release));
        let age = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).ok();
        if age(&unpacked) < age(&packed) {
            let image = fs::read(&packed).unwrap();
            let mut file = tempfile::NamedTempFile::new_in(folder).unwrap();
            file.write_all(&unpack(payload(&image))).unwrap();
            file.persist(&unpacked).unwrap();
        }
        unpacked
    }

    /// The paths of these modules and of all they need, in the order in which they go into the kernel.
    pub fn modules(&self, names: &[&str]) -> Vec<PathBuf> {
        let list = fs::read_to_string(self.modules.join("modules.dep")).unwrap_or_else(|error| {
            panic!("no modules of {} ({error}): install linux-image-amd64 whole", self.release)
        });
        let needed: HashMap<&str, &str> = list.lines().filter_map(|line| line.split_once(':')).collect();
        let mut order = Vec::new();
        for name in names {
            let file = format!("/{name}.ko");
            let (module, needs) = needed
                .iter()
                .find(|(path, _)| path.ends_with(&file))
                .unwrap_or_else(|| panic!("{} has no module {name}", self.release));
            // What is named last needs nothing of the others.
            for path in needs.split_whitespace().rev().chain([*module]) {
                let path = self.modules.join(path);
                if !order.contains(&path) {
                    order.push(path);
                }
            }
        }
        order
    }
}

/// The compressed kernel inside a bzImage (Linux, `Documentation/x86/boot.rst`: `setup_sects`, `payload_offset`,
/// `payload_length`).
fn payload(image: &[u8]) -> &[u8] {
    let word = |at: usize| u32::from_le_bytes(image[at..at + 4].try_into().unwrap()) as usize;
    assert_eq!(&image[0x202..0x206], b"HdrS", "not a kernel image");
    let start = (usize::from(image[0x1f1]) + 1) * 512 + word(0x248);
    &image[start..start + word(0x24c)]
}

fn unpack(payload: &[u8]) -> Vec<u8> {
    assert!(payload.starts_with(b"\xfd7zXZ\0"), "Debian's kernels are compressed with xz");
    // Behind the stream stand the four bytes of its unpacked length.
    let mut xz = Command::new("xz")
        .args(["--decompress", "--stdout", "--single-stream"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run xz ({error}): ./test installs what the tests need"));
    let mut input = xz.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || {
            // xz may stop reading when its stream has ended.
            let _ = input.write_all(payload);
        });
        xz.wait_with_output().unwrap()
    });
    assert!(output.stdout.starts_with(b"\x7fELF"), "the kernel did not unpack");
    output.stdout
}
