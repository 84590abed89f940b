//! What is in an image: which system, of which size, and whether its hash tree is right.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::disk::start_of;
use crate::grub;
use crate::layout::{BLOCK, PARTITIONS, Partition, SLOT_A, SLOT_B, SLOT_BYTES_MAX, SlotPlan};
use crate::tool::{Tool, ToolError, VERITYSETUP};

/// Reads a file of a squashfs.
const SQFSCAT: Tool = Tool { program: "sqfscat", package: "squashfs-tools" };
/// Where GPT's header says that it is one.
const GPT_AT: u64 = 512;

/// Why nothing can be told.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The file cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is something else.
    #[error("{} is neither a disk nor a slot of a storage port", path.display())]
    Unknown {
        /// Which.
        path: PathBuf,
    },
    /// A tool failed: of veritysetup, the contents are not what was built.
    #[error(transparent)]
    Tool(#[from] ToolError),
}

/// Tells it as text.
///
/// # Errors
/// See [`InspectError`].
pub fn tell(path: &Path) -> Result<String, InspectError> {
    let mut file = File::open(path).map_err(failed(path))?;
    let mut head = [0; 8];
    let length = file.seek(SeekFrom::End(0)).map_err(failed(path))?;
    if length > GPT_AT + 8 {
        file.seek(SeekFrom::Start(GPT_AT)).map_err(failed(path))?;
        file.read_exact(&mut head).map_err(failed(path))?;
    }
    let mut text = String::new();
    if &head == b"EFI PART" {
        for partition in PARTITIONS {
            let Partition { name, number, bytes, id, .. } = partition;
            let _ = writeln!(text, "partition {number} {name}: {bytes} bytes at {}, {id}", start_of(number));
        }
        for partition in [SLOT_A, SLOT_B] {
            let told = match slot(path, &mut file, start_of(partition.number))? {
                Some(plan) => verified(path, &mut file, start_of(partition.number), &plan)?,
                None => "empty".to_owned(),
            };
            let _ = writeln!(text, "{}: {told}", partition.name);
        }
    } else {
        let plan = slot(path, &mut file, 0)?.ok_or(InspectError::Unknown { path: path.to_owned() })?;
        let _ = writeln!(text, "slot: {}", verified(path, &mut file, 0, &plan)?);
    }
    Ok(text.trim_end().to_owned())
}

/// The plan of the slot that begins here; `None` if there is none.
fn slot(path: &Path, file: &mut File, at: u64) -> Result<Option<SlotPlan>, InspectError> {
    let mut head = [0; 48];
    file.seek(SeekFrom::Start(at)).map_err(failed(path))?;
    let read = file.read_exact(&mut head);
    if read.is_err() || &head[..4] != b"hsqs" {
        return Ok(None);
    }
    // A squashfs tells its length at byte 40.
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&head[40..48]);
    let length = u64::from_le_bytes(bytes).next_multiple_of(BLOCK).min(SLOT_A.bytes);
    let boot = piece(path, file, at, length)?;
    let told = SQFSCAT.with([boot.path()]).and("slot.cfg").text();
    Ok(told.ok().and_then(|configuration| grub::plan_of(&configuration)))
}

/// Checks every block of the root file system.
fn verified(path: &Path, file: &mut File, at: u64, plan: &SlotPlan) -> Result<String, InspectError> {
    let root = piece(path, file, at + plan.root_at, plan.root_blocks * BLOCK)?;
    let hashes = piece(path, file, at + plan.root_at + plan.root_blocks * BLOCK, plan.hash_blocks * BLOCK)?;
    let blocks = format!("--data-blocks={}", plan.root_blocks);
    let salt = format!("--salt={}", plan.salt);
    VERITYSETUP
        .with([
            "verify",
            "--no-superblock",
            "--hash=sha256",
            "--data-block-size=4096",
            "--hash-block-size=4096",
        ])
        .and(blocks)
        .and(salt)
        .and(root.path())
        .and(hashes.path())
        .and(&plan.root_hash)
        .output()?;
    let version = SQFSCAT.with([root.path()]).and("etc/storage-port/version").text()?;
    let bytes = plan.bytes();
    Ok(format!(
        "version {}, {bytes} of at most {SLOT_BYTES_MAX} bytes, root hash {}, verified",
        version.trim(),
        plan.root_hash
    ))
}

fn piece(
    path: &Path,
    file: &mut File,
    at: u64,
    length: u64,
) -> Result<tempfile::NamedTempFile, InspectError> {
    file.seek(SeekFrom::Start(at)).map_err(failed(path))?;
    let mut bytes = Vec::new();
    file.take(length.min(SLOT_A.bytes)).read_to_end(&mut bytes).map_err(failed(path))?;
    let mut out = tempfile::NamedTempFile::new().map_err(failed(path))?;
    out.write_all(&bytes).map_err(failed(path))?;
    Ok(out)
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> InspectError + use<> {
    let path = path.to_owned();
    move |error| InspectError::File { path, error }
}
