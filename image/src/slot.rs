//! What goes into a slot, as one blob: a small squashfs with kernel, initramfs and the slot's part of the boot loader's
//! configuration; the root file system; its hash tree. An update writes all of it or, in the eyes of the boot loader,
//! nothing, and the root hash can never be another slot's.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::archive;
use crate::first_root::{self, FirstRootError};
use crate::grub;
use crate::layout::{BLOCK, MIB, SLOT_A, SlotPlan};
use crate::tool::{MKSQUASHFS, ToolError, VERITYSETUP};
use crate::tree::Tree;

/// Room in the boot files' file system for what it needs besides.
const BOOT_ROOM: u64 = 64 << 10;
/// veritysetup wants one; nobody reads it.
const NO_ID: &str = "00000000-0000-0000-0000-000000000000";

/// Why there is no slot.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// A tool failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// There is no initramfs.
    #[error(transparent)]
    FirstRoot(#[from] FirstRootError),
    /// A file cannot be read or written.
    #[error("cannot read or write {}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file is no kernel.
    #[error("{} is not a bzImage: the boot loader starts nothing else", path.display())]
    NoKernel {
        /// Which.
        path: PathBuf,
    },
    /// veritysetup has said something else.
    #[error("veritysetup tells no root hash; which version of it is installed?")]
    NoHash,
    /// More than fits.
    #[error("the slot's contents have {bytes} bytes and its partition {}", SLOT_A.bytes)]
    TooLarge {
        /// How much there is.
        bytes: u64,
    },
}

/// Makes the slot's contents in the file `out`; `dir` is for what is in between.
///
/// # Errors
/// See [`SlotError`].
pub fn make(root: &Tree, kernel: &Path, out: &Path, dir: &Path, time: u64) -> Result<SlotPlan, SlotError> {
    let kernel_image = read(kernel)?;
    if kernel_image.get(0x202..0x206) != Some(b"HdrS") {
        return Err(SlotError::NoKernel { path: kernel.to_owned() });
    }
    let first_root = first_root::make(root)?;
    let root_file = dir.join("root.squashfs");
    squash(root, &root_file, time, &["-comp", "xz", "-b", "1M", "-Xbcj", "x86"])?;
    let mut contents = read(&root_file)?;
    contents.resize(contents.len().next_multiple_of(BLOCK as usize), 0);
    write(&root_file, &contents)?;

    let hash_file = dir.join("root.hashes");
    // Two builds must be the same, and two different systems should not share hashes.
    let salt = hex(&Sha256::digest(&contents));
    let told = VERITYSETUP
        .with([
            "format",
            "--no-superblock",
            "--hash=sha256",
            "--data-block-size=4096",
            "--hash-block-size=4096",
        ])
        .and(format!("--salt={salt}"))
        .and(format!("--uuid={NO_ID}"))
        .and(&root_file)
        .and(&hash_file)
        .text()?;
    let root_hash = told
        .lines()
        .find_map(|line| line.strip_prefix("Root hash:"))
        .map(|hash| hash.trim().to_owned())
        .ok_or(SlotError::NoHash)?;
    let hashes = read(&hash_file)?;

    let boot_bytes = kernel_image.len() as u64 + first_root.len() as u64 + BOOT_ROOM;
    let plan = SlotPlan {
        root_at: boot_bytes.next_multiple_of(MIB),
        root_blocks: contents.len() as u64 / BLOCK,
        hash_blocks: hashes.len() as u64 / BLOCK,
        root_hash,
        salt,
    };
    let mut boot = Tree::default();
    boot.file("kernel", 0o644, kernel_image);
    boot.file("initramfs", 0o644, first_root);
    boot.file("slot.cfg", 0o644, grub::slot_configuration(&plan).into_bytes());
    let boot_file = dir.join("boot.squashfs");
    // Both are compressed already, and the boot loader is slow at it.
    squash(&boot, &boot_file, time, &["-noI", "-noD", "-noF", "-noX", "-no-xattrs"])?;
    let mut slot = read(&boot_file)?;
    if slot.len() as u64 > plan.root_at || plan.bytes() > SLOT_A.bytes {
        return Err(SlotError::TooLarge { bytes: plan.bytes().max(slot.len() as u64) });
    }
    slot.resize(plan.root_at as usize, 0);
    slot.extend(contents);
    slot.extend(hashes);
    write(out, &slot)?;
    Ok(plan)
}

fn squash(tree: &Tree, out: &Path, time: u64, options: &[&str]) -> Result<(), SlotError> {
    let tar = archive::to_tar(tree, time).map_err(|error| SlotError::File { path: out.to_owned(), error })?;
    MKSQUASHFS
        .with(["-"])
        .and(out)
        .also(["-tar", "-noappend", "-no-progress", "-no-exports", "-quiet", "-root-mode", "0755"])
        .also(["-root-uid", "0", "-root-gid", "0"])
        .also(options)
        .variable("SOURCE_DATE_EPOCH", time)
        .input(tar)
        .output()?;
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read(path: &Path) -> Result<Vec<u8>, SlotError> {
    fs::read(path).map_err(|error| SlotError::File { path: path.to_owned(), error })
}

fn write(path: &Path, contents: &[u8]) -> Result<(), SlotError> {
    fs::write(path, contents).map_err(|error| SlotError::File { path: path.to_owned(), error })
}
