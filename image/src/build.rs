//! The whole way from a root file system and a kernel to a disk, with a line for each step.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::accounts::{self, TableError};
use crate::archive::{self, ArchiveError};
use crate::debian::{self, DebianError, Kernel, Origin};
use crate::disk::{self, DiskError};
use crate::layout::SlotPlan;
use crate::slot::{self, SlotError};
use crate::tool::{STRIP, ToolError};
use crate::tree::{ReadError, Tree};

/// The disk, to be written to a box's boot disk.
pub const DISK: &str = "disk.img";
/// What goes into a slot: of the disk, and of updates.
pub const SLOT: &str = "slot.img";
/// Which version the slot is, for [`crate::bundle`].
pub const VERSION: &str = "version";
/// Which file of the fallback came from which package: path, package, version, by tabs.
pub const ORIGINS: &str = "files.tsv";

/// The programs of ours.
const OWN: [&str; 2] = ["storage-port", "port-failover"];
/// Folders that packages and overlay leave out, and that must be there to be mounted at.
const FOLDERS: [(&str, u32); 10] = [
    ("config", 0o700),
    ("data", 0o755),
    ("dev", 0o755),
    ("esp", 0o700),
    ("proc", 0o755),
    ("root", 0o700),
    ("run", 0o755),
    ("sys", 0o755),
    ("tmp", 0o1777),
    ("var", 0o755),
];

/// What an image is made of.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// Where the results go.
    pub out: PathBuf,
    /// The root file system and its kernel.
    pub root: Root,
    /// Who may sign updates, as certificates in PEM; without, the image takes none.
    pub keyring: Option<PathBuf>,
    /// What the image calls itself.
    pub version: String,
    /// The time on everything in it, in seconds since 1970.
    pub time: u64,
    /// GRUB's modules, a folder for each firmware.
    pub grub_modules: PathBuf,
}

/// Where the root file system comes from.
#[derive(Clone, Debug)]
pub enum Root {
    /// Of Debian's packages.
    Fallback {
        /// The folder with our programs.
        binaries: PathBuf,
        /// The overlay that Buildroot's tree has as well.
        overlay: PathBuf,
        /// The table of users that Buildroot's tree has as well.
        users: PathBuf,
    },
    /// Of Buildroot.
    Buildroot {
        /// Its `rootfs.tar`.
        archive: PathBuf,
        /// Its `bzImage`.
        kernel: PathBuf,
    },
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A file cannot be read or written.
    #[error("cannot read or write {}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A program of ours is not built.
    #[error("{} is missing ({error}): build it first, or say with --binaries where it is", path.display())]
    Unbuilt {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The archive is bad.
    #[error("{}: {error}", path.display())]
    Archive {
        /// Which.
        path: PathBuf,
        /// Why.
        error: ArchiveError,
    },
    /// The version does not fit into a file of `KEY=value`.
    #[error("the version {0:?} must be 1 to 64 of A-Z, a-z, 0-9, `.`, `-`, `+` and `~`")]
    Version(String),
    /// The table of users is bad.
    #[error(transparent)]
    Users(#[from] TableError),
    /// The overlay cannot be read.
    #[error(transparent)]
    Overlay(#[from] ReadError),
    /// Debian's packages do not make a root file system.
    #[error(transparent)]
    Debian(#[from] DebianError),
    /// There is no slot.
    #[error(transparent)]
    Slot(#[from] SlotError),
    /// There is no disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A tool failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
}

/// Builds it all; `progress` gets a line before each step.
///
/// # Errors
/// See [`BuildError`].
pub fn build(inputs: &Inputs, progress: &mut dyn FnMut(&str)) -> Result<SlotPlan, BuildError> {
    let version = &inputs.version;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-+~".contains(&byte);
    if version.is_empty() || version.len() > 64 || !version.bytes().all(plain) {
        return Err(BuildError::Version(version.clone()));
    }
    fs::create_dir_all(&inputs.out).map_err(failed(&inputs.out))?;
    let work = tempfile::Builder::new().prefix(".work-").tempdir_in(&inputs.out).map_err(failed(&inputs.out))?;
    progress("root file system");
    let (mut root, kernel, origins) = match &inputs.root {
        Root::Fallback { binaries, overlay, users } => fallback(binaries, overlay, users, work.path())?,
        Root::Buildroot { archive, kernel } => (buildroot(archive)?, kernel.clone(), Vec::new()),
    };
    finish(&mut root, inputs)?;
    progress("slot: squashfs, hash tree, initramfs");
    let slot = inputs.out.join(SLOT);
    let plan = slot::make(&root, &kernel, &slot, work.path(), inputs.time)?;
    progress("disk: boot loader, ESP, partitions");
    let disk = inputs.out.join(DISK);
    disk::make(&slot, &disk, &inputs.grub_modules, work.path(), inputs.time)?;
    let told = [(VERSION, format!("{version}\n")), (ORIGINS, table_of(&origins))];
    for (name, contents) in told {
        let path = inputs.out.join(name);
        fs::write(&path, contents).map_err(failed(&path))?;
    }
    progress(&format!("{}: slot of {} bytes, root hash {}", disk.display(), plan.bytes(), plan.root_hash));
    Ok(plan)
}

fn fallback(
    binaries: &Path,
    overlay: &Path,
    users: &Path,
    work: &Path,
) -> Result<(Tree, PathBuf, Vec<Origin>), BuildError> {
    let kernel = Kernel::newest()?;
    let mut own = Vec::new();
    for (name, at) in OWN.into_iter().zip(["/usr/bin/storage-port", "/usr/bin/port-failover"]) {
        let (built, stripped) = (binaries.join(name), work.join(name));
        fs::metadata(&built).map_err(|error| BuildError::Unbuilt { path: built.clone(), error })?;
        STRIP.with(["--strip-all", "-o"]).and(&stripped).and(&built).output()?;
        own.push((at, fs::read(&stripped).map_err(failed(&stripped))?));
    }
    let mut tree = Tree::merged_usr();
    let mut origins = debian::programs(&mut tree, &own)?;
    origins.retain(|origin| own.iter().all(|(path, _)| *path != origin.path));
    origins.extend(debian::modules(&mut tree, &kernel)?);
    debian::applets(&mut tree)?;
    let table = fs::read_to_string(users).map_err(failed(users))?;
    let accounts = accounts::files(&accounts::parse(&table)?);
    tree.file("etc/passwd", 0o644, accounts.passwd.into_bytes());
    tree.file("etc/group", 0o644, accounts.group.into_bytes());
    tree.file("etc/shadow", 0o600, accounts.shadow.into_bytes());
    tree.overlay(overlay)?;
    Ok((tree, kernel.image, origins))
}

fn buildroot(path: &Path) -> Result<Tree, BuildError> {
    let file = fs::File::open(path).map_err(failed(path))?;
    archive::from_tar(io::BufReader::new(file))
        .map_err(|error| BuildError::Archive { path: path.to_owned(), error })
}

/// What every root file system gets, wherever it comes from.
fn finish(root: &mut Tree, inputs: &Inputs) -> Result<(), BuildError> {
    for (folder, mode) in FOLDERS {
        root.folder(folder, mode);
    }
    root.file("etc/storage-port/version", 0o644, format!("{}\n", inputs.version).into_bytes());
    if let Some(keyring) = &inputs.keyring {
        let certificates = fs::read(keyring).map_err(failed(keyring))?;
        root.file("etc/rauc/keyring.pem", 0o644, certificates);
    }
    Ok(())
}

fn table_of(origins: &[Origin]) -> String {
    origins
        .iter()
        .map(|Origin { path, package, version }| format!("{path}\t{package}\t{version}\n"))
        .collect()
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> BuildError + use<> {
    let path = path.to_owned();
    move |error| BuildError::File { path, error }
}
