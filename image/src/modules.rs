//! Which modules of a kernel go into the image: those named, and all they need. Pure over the kernel's own lists.

use std::collections::{BTreeMap, BTreeSet};

/// What the box needs before it has its root file system: disks, and how a slot is read. Also what a console needs, so
/// that somebody at the box can read why it does not start.
pub const FIRST: [&str; 23] = [
    "aacraid", "ahci", "ata_piix", "crc32c-intel", "dm-mod", "dm-verity", "ehci-pci", "hpsa", "loop", "megaraid_sas",
    "mmc_block", "mpt3sas", "nvme", "sd_mod", "sdhci-pci", "sha256-ssse3", "smartpqi", "squashfs", "uas",
    "usb-storage", "virtio_blk", "virtio_pci", "xhci-pci",
];

/// What it needs from then on: NICs, watchdogs, file systems, packet filter, sensors, keyboards.
pub const LATER: [&str; 58] = [
    "be2net", "bnx2x", "bnxt_en", "coretemp", "e1000", "e1000e", "efivarfs", "ext4", "hid-generic", "hpwdt",
    "i2c-i801", "i40e", "i6300esb", "iTCO_wdt", "ice", "igb", "igc", "inet_diag", "ipmi_devintf", "ipmi_si",
    "ipmi_watchdog", "ixgbe", "k10temp", "lpc_ich", "mlx4_core", "mlx4_en", "mlx5_core", "nf_conntrack", "nf_tables",
    "nft_ct", "nft_limit", "nft_log", "nft_reject_inet", "nft_reject_ipv4", "nft_reject_ipv6", "nf_socket_ipv4", "nf_socket_ipv6", "nft_socket",
    "nls_ascii", "nls_cp437", "nls_iso8859-1", "nls_utf8", "r8169", "softdog", "sp5100_tco", "sr_mod", "tcp_diag",
    "tg3", "udp_diag", "usbhid", "vfat", "virtio_console", "virtio_net", "virtio_scsi", "vmxnet3", "button",
    "aesni-intel", "virtio-rng",
];

/// A kernel's lists, as `depmod` writes them.
#[derive(Clone, Copy, Debug)]
pub struct Lists<'a> {
    /// `modules.dep`: each module, and what it needs.
    pub needs: &'a str,
    /// `modules.builtin`: what is part of the kernel itself.
    pub builtin: &'a str,
    /// `modules.softdep`: what a module wants loaded before or behind it.
    pub wants: &'a str,
    /// `modules.alias`: which hardware a module is for.
    pub aliases: &'a str,
}

/// A module is named that this kernel has in no form.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the kernel has no module {}: it is of another configuration than the image is made for", names.join(", "))]
pub struct NoModule {
    /// Its names.
    pub names: Vec<String>,
}

/// Modules by path (`kernel/fs/ext4/ext4.ko`), and the lists of them alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// Their paths below the folder of the kernel's release.
    pub paths: BTreeSet<String>,
    /// `modules.dep` of these.
    pub needs: String,
    /// `modules.alias` of these.
    pub aliases: String,
}

/// Picks the modules named, with all they need and want.
///
/// # Errors
/// See [`NoModule`].
pub fn choose<'n>(lists: &Lists<'_>, names: impl IntoIterator<Item = &'n str>) -> Result<Chosen, NoModule> {
    let needs: BTreeMap<&str, &str> = lists.needs.lines().filter_map(|line| line.split_once(':')).collect();
    let by_name: BTreeMap<String, &str> = needs.keys().map(|path| (name_of(path), *path)).collect();
    let builtin: BTreeSet<String> = lists.builtin.lines().map(name_of).collect();
    let wants = wants(lists.wants);
    let mut paths = BTreeSet::new();
    let mut unknown = Vec::new();
    let mut waiting: Vec<(String, bool)> = names.into_iter().map(|name| (name_of(name), true)).collect();
    while let Some((name, must)) = waiting.pop() {
        match by_name.get(&name) {
            Some(path) if paths.insert((*path).to_owned()) => {
                waiting.extend(needs[path].split_whitespace().map(|path| (name_of(path), true)));
                let wanted = wants.get(&name).into_iter().flatten();
                waiting.extend(wanted.map(|name| (name.clone(), false)));
            }
            Some(_) => {}
            None if builtin.contains(&name) || !must => {}
            None => unknown.push(name),
        }
    }
    if !unknown.is_empty() {
        unknown.sort();
        return Err(NoModule { names: unknown });
    }
    let kept: BTreeSet<String> = paths.iter().map(|path| name_of(path)).collect();
    let lines = |text: &str, keep: &dyn Fn(&str) -> bool| -> String {
        text.lines().filter(|line| keep(line)).map(|line| format!("{line}\n")).collect()
    };
    let is_chosen = |line: &str| line.split_once(':').is_some_and(|(path, _)| paths.contains(path));
    let is_for = |line: &str| line.rsplit_once(' ').is_some_and(|(_, name)| kept.contains(&name_of(name)));
    let (needs, aliases) = (lines(lists.needs, &is_chosen), lines(lists.aliases, &is_for));
    Ok(Chosen { paths, needs, aliases })
}

/// Those of the names that a kernel has as modules.
pub fn known<'n>(lists: &Lists<'_>, names: &[&'n str]) -> Vec<&'n str> {
    let has: BTreeSet<String> =
        lists.needs.lines().filter_map(|line| line.split_once(':')).map(|(path, _)| name_of(path)).collect();
    names.iter().copied().filter(|name| has.contains(&name_of(name))).collect()
}

/// A module's name, of its name or path: the kernel takes `-` and `_` for one.
fn name_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}

/// `softdep NAME pre: A B post: C`.
fn wants(list: &str) -> BTreeMap<String, Vec<String>> {
    let mut wants: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in list.lines() {
        let mut words = line.split_whitespace();
        if let (Some("softdep"), Some(name)) = (words.next(), words.next()) {
            let wanted = words.filter(|word| !word.ends_with(':')).map(name_of);
            wants.entry(name_of(name)).or_default().extend(wanted);
        }
    }
    wants
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTS: Lists<'_> = Lists {
        needs: "kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko\nkernel/fs/jbd2/jbd2.ko:\n\
                kernel/lib/crc32c-generic.ko:\nkernel/net/other.ko:\n",
        builtin: "kernel/fs/fat/vfat.ko\n",
        wants: "# a comment\nsoftdep ext4 pre: crc32c-generic absent\n",
        aliases: "alias fs-ext4 ext4\nalias pci:v* other\nalias crc32c crc32c_generic\n",
    };

    #[test]
    fn a_module_comes_with_what_it_needs_and_wants() {
        let chosen = choose(&LISTS, ["ext4", "vfat"]).unwrap();
        let paths: Vec<&str> = chosen.paths.iter().map(String::as_str).collect();
        let expected = ["kernel/fs/ext4/ext4.ko", "kernel/fs/jbd2/jbd2.ko", "kernel/lib/crc32c-generic.ko"];
        assert_eq!(paths, expected);
        assert_eq!(chosen.needs.lines().count(), 3);
        assert_eq!(chosen.aliases, "alias fs-ext4 ext4\nalias crc32c crc32c_generic\n");
    }

    #[test]
    fn a_module_that_is_in_no_form_there_is_told() {
        let none = choose(&LISTS, ["ext4", "zfs", "btrfs"]).unwrap_err();
        assert_eq!(none.names, ["btrfs", "zfs"]);
    }
}
