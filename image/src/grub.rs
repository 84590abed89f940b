//! The boot loader: GRUB for BIOS and for UEFI, each one file with its modules and its configuration inside. So there is
//! no file of it on a file system that a power cut could damage; from the ESP it only reads the slots' state.

use std::fs;
use std::io;
use std::path::Path;

use crate::archive;
use crate::layout::SlotPlan;
use crate::tool::{GRUB_MKIMAGE, GRUB_SCRIPT_CHECK, ToolError};
use crate::tree::Tree;

/// Where GRUB's modules lie unless it is said otherwise.
pub const MODULES: &str = "/usr/lib/grub";
const CONFIGURATION: &str = include_str!("../board/grub.cfg");
const COMMON: [&str; 19] = [
    "boot", "configfile", "echo", "fat", "linux", "loadenv", "memdisk", "minicmd", "normal", "part_gpt", "probe", "reboot", "regexp",
    "serial", "sleep", "squash4", "tar", "terminal", "test",
];
/// Arguments of the kernel that hold for every box.
///
/// `panic`: the boot loader tries again. `no_timer_check`: the kernel's trial of the timer's interrupt fails by chance on
/// busy virtual machines, and there is no box of this century that needs it.
const ARGUMENTS: &str = "console=tty0 console=ttyS0,115200n8 panic=10 oops=panic ro quiet loglevel=4 no_timer_check \
                         net.ifnames=0";
/// Bytes of a sector.
const SECTOR: usize = 512;

/// A firmware that starts the box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// The old one.
    Bios,
    /// The other one.
    Uefi,
}

/// Why there is no boot loader.
#[derive(Debug, thiserror::Error)]
pub enum GrubError {
    /// A tool failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// A file cannot be read or written.
    #[error("cannot read or write the boot loader's {what}: {error}")]
    File {
        /// Which.
        what: String,
        /// Why.
        error: io::Error,
    },
    /// What GRUB made is not as it has been since 2009.
    #[error("GRUB's {0} is not laid out as expected; which version of GRUB is it?")]
    Layout(&'static str),
}

/// The part of the configuration that lies in a slot, beside its kernel.
pub fn slot_configuration(plan: &SlotPlan) -> String {
    format!("set slot_args=\"{ARGUMENTS} storage_port.plan={plan}\"\n")
}

/// The plan in such a configuration.
pub fn plan_of(configuration: &str) -> Option<SlotPlan> {
    let (_, plan) = configuration.split_once("storage_port.plan=")?;
    SlotPlan::parse(plan.trim_end().trim_end_matches('"'))
}

/// Makes the core image for a firmware, in `dir` for what is in between. `modules` has a folder for each firmware.
///
/// # Errors
/// See [`GrubError`].
pub fn core(firmware: Firmware, modules: &Path, dir: &Path, time: u64) -> Result<Vec<u8>, GrubError> {
    let file = |what: &str| {
        let what = what.to_owned();
        move |error| GrubError::File { what, error }
    };
    let configuration = dir.join("grub.cfg");
    fs::write(&configuration, CONFIGURATION).map_err(file("configuration"))?;
    GRUB_SCRIPT_CHECK.with([&configuration]).output()?;
    let mut inside = Tree::default();
    inside.file("grub/grub.cfg", 0o644, CONFIGURATION.as_bytes().to_vec());
    let (memdisk, out) = (dir.join("memdisk.tar"), dir.join("core.img"));
    let tar = archive::to_tar(&inside, time).map_err(file("memory disk"))?;
    fs::write(&memdisk, tar).map_err(file("memory disk"))?;
    let (format, own): (_, &[&str]) = match firmware {
        Firmware::Bios => ("i386-pc", &["biosdisk"]),
        Firmware::Uefi => ("x86_64-efi", &["efi_gop", "efi_uga", "efifwsetup"]),
    };
    GRUB_MKIMAGE
        .with(["--format", format])
        .and("--directory")
        .and(modules.join(format))
        .and("--memdisk")
        .and(memdisk)
        // Behind the memory disk, which sets another.
        .also(["--prefix", "(memdisk)/grub"])
        .and("--output")
        .and(&out)
        .and("--compression")
        .and(if firmware == Firmware::Bios { "auto" } else { "none" })
        .variable("SOURCE_DATE_EPOCH", time)
        .also(COMMON.iter().chain(own))
        .output()?;
    fs::read(&out).map_err(file("core image"))
}

/// The first sector of the disk for BIOS, and the core image as it must be to lie at this sector of the disk. It does what
/// grub-bios-setup does, which would need a disk of the machine's own: GRUB's manual, "BIOS installation".
///
/// # Errors
/// They are not GRUB's.
pub fn at_sector(mut first: Vec<u8>, mut core: Vec<u8>, sector: u64) -> Result<(Vec<u8>, Vec<u8>), GrubError> {
    const KERNEL_SECTOR: usize = 0x5c;
    const DRIVE_CHECK: usize = 0x66;
    const LIST_START: usize = SECTOR - 12;
    if first.len() != SECTOR || first[510..] != [0x55, 0xaa] || first[DRIVE_CHECK] != 0xeb {
        return Err(GrubError::Layout("boot.img"));
    }
    if core.len() < 2 * SECTOR || core[LIST_START..LIST_START + 8] != 2_u64.to_le_bytes() {
        return Err(GrubError::Layout("core image"));
    }
    first[KERNEL_SECTOR..KERNEL_SECTOR + 8].copy_from_slice(&sector.to_le_bytes());
    // A disk's number is believed as the BIOS gives it.
    first[DRIVE_CHECK..DRIVE_CHECK + 2].copy_from_slice(&[0x90, 0x90]);
    core[LIST_START..LIST_START + 8].copy_from_slice(&(sector + 1).to_le_bytes());
    // What is behind is the table of partitions.
    first.truncate(440);
    Ok((first, core))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_tells_its_plan() {
        let plan = SlotPlan {
            root_at: 1 << 24,
            root_blocks: 4_000,
            hash_blocks: 33,
            root_hash: "12".repeat(32),
            salt: "34".repeat(32),
        };
        let configuration = slot_configuration(&plan);
        assert_eq!(plan_of(&configuration), Some(plan));
        assert_eq!(plan_of("set slot_args=\"\""), None);
    }

    #[test]
    fn sectors_of_another_make_are_refused() {
        assert!(at_sector(vec![0; 512], vec![0; 4_096], 2_048).is_err());
        assert!(at_sector(Vec::new(), Vec::new(), 2_048).is_err());
    }
}
