//! The firmware image under test, made once of the programs that are built, beside them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

use crate::daemon::binary;
use crate::tools::run_ok;

/// What an image is made of besides the programs, in the repository.
const OVERLAY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../buildroot/board/storage-port/rootfs-overlay");
const USERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../buildroot/board/storage-port/users.txt");
/// The time on everything in it.
const TIME: &str = "1700000000";

/// An image and who may sign updates for it.
#[derive(Clone, Debug)]
pub struct Firmware {
    folder: PathBuf,
}

impl Firmware {
    /// The image of this commit, version 2.0.0.
    pub fn of_this_commit() -> Self {
        static FIRMWARE: OnceLock<Firmware> = OnceLock::new();
        FIRMWARE
            .get_or_init(|| {
                let folder = binary("image").with_file_name("image-under-test");
                fs::create_dir_all(&folder).unwrap();
                let firmware = Self { folder };
                firmware.make_keys();
                let done = firmware.folder.join("version");
                let sources = ["image", "storage-port", "port-failover"].map(binary);
                let newest = sources.iter().map(|path| age(path)).max().max(Some(newest_in(Path::new(OVERLAY))));
                if Some(age(&done)) < newest {
                    let _ = fs::remove_file(&done);
                    build(&firmware.folder, &firmware.keyring(), Path::new(OVERLAY), "2.0.0");
                }
                firmware
            })
            .clone()
    }

    /// The disk as it is written to a box.
    pub fn disk(&self) -> PathBuf {
        self.folder.join("disk.img")
    }

    /// What goes into a slot.
    pub fn slot(&self) -> PathBuf {
        self.folder.join("slot.img")
    }

    /// The folder with all of it.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whose signatures the box takes.
    pub fn keyring(&self) -> PathBuf {
        self.folder.join("signer.pem")
    }

    /// The key of the one it trusts.
    pub fn key(&self) -> PathBuf {
        self.folder.join("signer.key")
    }

    fn make_keys(&self) {
        if !self.keyring().exists() {
            make_signer(&self.folder, "signer");
        }
    }
}

/// Makes a certificate `NAME.pem` that signs for itself, and its key `NAME.key`.
pub fn make_signer(folder: &Path, name: &str) {
    let (certificate, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
    let fixed = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj";
    let mut arguments: Vec<&str> = fixed.split(' ').collect();
    let subject = format!("/CN={name}");
    arguments.extend([&subject, "-keyout", key.to_str().unwrap(), "-out", certificate.to_str().unwrap()]);
    run_ok("openssl", &arguments);
}

/// Builds an image into a folder.
pub fn build(out: &Path, keyring: &Path, overlay: &Path, version: &str) {
    let image = binary("image");
    let binaries = image.parent().unwrap().to_str().unwrap();
    let arguments = [
        "build",
        "--out",
        out.to_str().unwrap(),
        "--binaries",
        binaries,
        "--overlay",
        overlay.to_str().unwrap(),
        "--users",
        USERS,
        "--keyring",
        keyring.to_str().unwrap(),
        "--image-version",
        version,
        "--time",
        TIME,
    ];
    run_ok(image.to_str().unwrap(), &arguments);
}

/// The overlay of the repository.
pub fn overlay() -> &'static Path {
    Path::new(OVERLAY)
}

fn age(path: &Path) -> SystemTime {
    fs::metadata(path).and_then(|file| file.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
}

fn newest_in(folder: &Path) -> SystemTime {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| if entry.file_type().unwrap().is_dir() { newest_in(&entry.path()) } else { age(&entry.path()) })
        .max()
        .unwrap_or(SystemTime::UNIX_EPOCH)
}
