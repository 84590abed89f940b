//! The firmware image under test, made once of the programs that are built, beside them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use crate::daemon::binary;
use crate::tools::run_ok;

/// What an image is made of besides the programs, in the repository.
const OVERLAY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../buildroot/board/storage-port/rootfs-overlay");
const USERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../buildroot/board/storage-port/users.txt");
/// Where a trial puts what a box with a shell runs at its start, before its services.
pub const TRIAL: &str = "/config/trial";
/// In such a box, the seconds from power-on in which a new slot must serve: those of every box, in a file over which a trial
/// may mount another one.
pub const HEALTH_GATE: &str = "/etc/storage-port/health-gate-seconds";
const HEALTH_GATE_SECONDS: &str = "900";
/// The version of the image of this commit, and of that with a shell, which is the older one.
pub const VERSION: &str = "2.1.0";
/// See [`VERSION`].
pub const SHELL_VERSION: &str = "2.0.0";
/// The time on everything in it.
const TIME: &str = "1700000000";

/// An image and who may sign updates for it.
#[derive(Clone, Debug)]
pub struct Firmware {
    folder: PathBuf,
}

impl Firmware {
    /// The image of this commit, of the version [`VERSION`].
    pub fn of_this_commit() -> Self {
        static FIRMWARE: OnceLock<Firmware> = OnceLock::new();
        FIRMWARE.get_or_init(|| Self::made("image-under-test", VERSION, |_| {})).clone()
    }

    /// The same, of the version [`SHELL_VERSION`], with what trials need: at the console a word `shell` that runs the rest of
    /// its line as root; at the start a script of the trial's, [`TRIAL`]; and [`HEALTH_GATE`].
    pub fn with_shell() -> Self {
        static FIRMWARE: OnceLock<Firmware> = OnceLock::new();
        let change = |overlay: &Path| {
            let libexec = overlay.join("usr/libexec/storage-port");
            let shell = "        shell) eval \"$first $second\" ;;\n";
            insert(&libexec.join("console"), "        *) echo \"There is no such word.\"", shell);
            let trial = format!("[ ! -f {TRIAL} ] || . {TRIAL}\n");
            insert(&libexec.join("boot"), "/usr/libexec/storage-port/services\n", &trial);
            fs::write(overlay.join(&HEALTH_GATE[1..]), HEALTH_GATE_SECONDS).unwrap();
        };
        FIRMWARE.get_or_init(|| Self::made("image-with-shell", SHELL_VERSION, change)).clone()
    }

    /// The image of this commit with an overlay that is changed in one way or another, built anew if it is older than what
    /// it is made of.
    fn made(name: &str, version: &str, change: impl Fn(&Path)) -> Self {
        // One at a time: they share the signer, and two at once would be no faster.
        static MAKING: Mutex<()> = Mutex::new(());
        let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = binary("image").with_file_name(name);
        fs::create_dir_all(&folder).unwrap();
        let firmware = Self { folder };
        let signer = firmware.signer();
        if !firmware.keyring().exists() {
            fs::create_dir_all(&signer).unwrap();
            make_signer(&signer, "signer");
        }
        let done = firmware.folder.join("version");
        let test = std::env::current_exe().unwrap();
        let programs = ["image", "storage-port", "port-failover"].map(binary);
        let newest = programs.iter().chain([&test]).map(|path| age(path)).max();
        if Some(age(&done)) < newest.max(Some(newest_in(Path::new(OVERLAY)))) {
            let _ = fs::remove_file(&done);
            let staged = tempfile::tempdir().unwrap();
            let overlay = staged.path().join("overlay");
            run_ok("cp", &["-a", OVERLAY, overlay.to_str().unwrap()]);
            change(&overlay);
            build(&firmware.folder, &firmware.keyring(), &overlay, version);
        }
        firmware
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
        self.signer().join("signer.pem")
    }

    /// The key of the one it trusts.
    pub fn key(&self) -> PathBuf {
        self.signer().join("signer.key")
    }

    /// All images trust the same one.
    fn signer(&self) -> PathBuf {
        self.folder.with_file_name("image-signer")
    }
}

/// Puts a line before the first one that has this text.
fn insert(path: &Path, before: &str, line: &str) {
    let text = fs::read_to_string(path).unwrap();
    let at = text.find(before).unwrap_or_else(|| panic!("{} has no {before:?}", path.display()));
    fs::write(path, format!("{}{line}{}", &text[..at], &text[at..])).unwrap();
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

/// An update with this slot, as this version, signed by the owner of the key.
pub fn bundle(
    folder: &Path,
    name: &str,
    version: &str,
    slot: &Path,
    certificate: &Path,
    key: &Path,
) -> PathBuf {
    let from = folder.join(format!("{name}-from"));
    fs::create_dir(&from).unwrap();
    fs::copy(slot, from.join("slot.img")).unwrap();
    fs::write(from.join("version"), version).unwrap();
    let out = folder.join(format!("{name}.raucb"));
    let arguments = ["bundle", "--from", from.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let signer = ["--cert", certificate.to_str().unwrap(), "--key", key.to_str().unwrap()];
    run_ok(binary("image").to_str().unwrap(), &[&arguments[..], &signer].concat());
    out
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
        .map(
            |entry| {
                if entry.file_type().unwrap().is_dir() {
                    newest_in(&entry.path())
                } else {
                    age(&entry.path())
                }
            },
        )
        .max()
        .unwrap_or(SystemTime::UNIX_EPOCH)
}
