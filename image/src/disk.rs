//! The disk: the table of partitions, the boot loader, the ESP, slot A, an empty slot B, an empty file system for the
//! configuration. Sparse, and bootable by BIOS and UEFI.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::boot_state;
use crate::grub::{self, Firmware, GrubError};
use crate::layout::{BIOS, CONFIG, DISK_ID, ESP, MIB, PARTITIONS, SLOT_A};
use crate::tool::{GENIMAGE, MCOPY, MKE2FS, MKFS_VFAT, MMD, ToolError};

/// Of the file system for the configuration.
const CONFIG_ID: &str = "5f0b7a52-6d0e-4c7b-9f53-70c8e5b1c0f1";
/// For whoever looks at the ESP.
const README: &str = "Put the site file here, as storage-port/site.toml, with the files it names beside it.\r\n\
                      At its next start the box takes them to its own disk and removes them here.\r\n\
                      storage-port/boot is the boot loader's: leave it alone.\r\n";

/// Why there is no disk.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// A tool failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// There is no boot loader.
    #[error(transparent)]
    Grub(#[from] GrubError),
    /// A file cannot be read or written.
    #[error("cannot read or write {}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Makes the disk in `out` with this file in slot A. `grub_modules`: see [`grub::core`]. `dir` is for what is in between.
///
/// # Errors
/// See [`DiskError`].
pub fn make(slot: &Path, out: &Path, grub_modules: &Path, dir: &Path, time: u64) -> Result<(), DiskError> {
    let inputs = dir.join("inputs");
    let empty = dir.join("empty");
    for folder in [&inputs, &empty] {
        fs::create_dir_all(folder).map_err(failed(folder))?;
    }
    boot_loader(grub_modules, &inputs, dir, time)?;
    esp(&inputs.join("esp.vfat"), grub_modules, dir, time)?;
    configuration(&inputs.join("config.ext4"), time)?;
    let linked = inputs.join("slot-a.img");
    fs::copy(slot, &linked).map_err(failed(&linked))?;
    let description = dir.join("genimage.cfg");
    fs::write(&description, description_of(out)).map_err(failed(&description))?;
    let folder = out.parent().unwrap_or(Path::new("."));
    GENIMAGE
        .with(["--config"])
        .and(&description)
        .and("--rootpath")
        .and(&empty)
        .and("--tmppath")
        .and(dir.join("genimage"))
        .and("--inputpath")
        .and(&inputs)
        .and("--outputpath")
        .and(folder)
        .variable("SOURCE_DATE_EPOCH", time)
        .output()?;
    Ok(())
}

/// genimage's description of the disk.
fn description_of(out: &Path) -> String {
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    let mut text = format!(
        "image {name} {{\n    hdimage {{\n        partition-table-type = gpt\n        disk-uuid = {DISK_ID}\n        \
         align = 1M\n    }}\n    partition boot-sector {{\n        in-partition-table = false\n        \
         image = \"boot.img\"\n        offset = 0\n        size = 440\n    }}\n"
    );
    for partition in PARTITIONS {
        let image = match partition.number {
            number if number == BIOS.number => "        image = \"core.img\"\n",
            number if number == ESP.number => "        image = \"esp.vfat\"\n        bootable = false\n",
            number if number == SLOT_A.number => "        image = \"slot-a.img\"\n",
            number if number == CONFIG.number => "        image = \"config.ext4\"\n",
            _ => "",
        };
        text.push_str(&format!(
            "    partition {} {{\n        offset = {}\n        size = {}\n        partition-type-uuid = {}\n        \
             partition-uuid = {}\n{image}    }}\n",
            partition.name,
            start_of(partition.number),
            partition.bytes,
            partition.kind,
            partition.id,
        ));
    }
    text.push_str("}\n");
    text
}

/// Where a partition begins, in bytes: the first one after a MiB, each right behind the one before.
pub fn start_of(number: u8) -> u64 {
    let before = PARTITIONS.iter().filter(|partition| partition.number < number);
    MIB + before.map(|partition| partition.bytes).sum::<u64>()
}

fn boot_loader(modules: &Path, inputs: &Path, dir: &Path, time: u64) -> Result<(), DiskError> {
    let first = modules.join("i386-pc/boot.img");
    let first = fs::read(&first).map_err(failed(&first))?;
    let core = grub::core(Firmware::Bios, modules, dir, time)?;
    let (first, core) = grub::at_sector(first, core, start_of(BIOS.number) / 512)?;
    for (name, contents) in [("boot.img", first), ("core.img", core)] {
        let path = inputs.join(name);
        fs::write(&path, contents).map_err(failed(&path))?;
    }
    Ok(())
}

fn esp(out: &Path, modules: &Path, dir: &Path, time: u64) -> Result<(), DiskError> {
    let core = grub::core(Firmware::Uefi, modules, dir, time)?;
    let file = fs::File::create(out).map_err(failed(out))?;
    file.set_len(ESP.bytes).map_err(failed(out))?;
    MKFS_VFAT.with(["--invariant", "-n", "ESP"]).and(out).output()?;
    for folder in ["EFI", "EFI/BOOT", "storage-port", boot_state::FOLDER] {
        let at = format!("::{folder}");
        MMD.with(["-i"]).and(out).and(at).variable("SOURCE_DATE_EPOCH", time).output()?;
    }
    let state = boot_state::new();
    let [one, two] = boot_state::FILES;
    let files = [
        ("EFI/BOOT/BOOTX64.EFI".to_owned(), core),
        (format!("{}/{one}", boot_state::FOLDER), state.clone()),
        (format!("{}/{two}", boot_state::FOLDER), state),
        ("storage-port/README.TXT".to_owned(), README.as_bytes().to_vec()),
    ];
    let source = dir.join("esp-file");
    for (path, contents) in files {
        fs::write(&source, contents).map_err(failed(&source))?;
        let at = format!("::{path}");
        MCOPY.with(["-i"]).and(out).and(&source).and(at).variable("SOURCE_DATE_EPOCH", time).output()?;
    }
    Ok(())
}

fn configuration(out: &Path, time: u64) -> Result<(), DiskError> {
    let file = fs::File::create(out).map_err(failed(out))?;
    file.set_len(CONFIG.bytes).map_err(failed(out))?;
    MKE2FS
        .with(["-q", "-t", "ext4", "-m", "0", "-L", "sp-config", "-U", CONFIG_ID])
        .and("-E")
        .and(format!("hash_seed={CONFIG_ID},root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0"))
        .and(out)
        .variable("E2FSPROGS_FAKE_TIME", time)
        .variable("SOURCE_DATE_EPOCH", time)
        .output()?;
    Ok(())
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> DiskError + use<> {
    let path = path.to_owned();
    move |error| DiskError::File { path, error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_do_not_overlap() {
        let description = description_of(Path::new("disk.img"));
        assert_eq!(description.matches("partition-uuid").count(), PARTITIONS.len());
        for partition in PARTITIONS {
            assert_eq!(start_of(partition.number) % MIB, 0);
            assert_eq!(start_of(partition.number + 1), start_of(partition.number) + partition.bytes);
        }
    }
}
