//! The BR2_EXTERNAL tree agrees with itself, and each check finds what it is there to find. PORT-19.
//!
//! Buildroot itself is not here: buildroot/readme.md says what of it was run, and how.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Command;

use e2e::buildroot::{self, Tree};
use e2e::daemon::binary;
use e2e::tools::{run, run_ok};

const DEFCONFIG: &str = "configs/storage_port_x86_64_defconfig";
const MAKEFILE: &str = "package/storage-port/storage-port.mk";
const HASHES: &str = "package/storage-port/storage-port.hash";
const KERNEL: &str = "board/storage-port/linux.config";

#[track_caller]
fn none(faults: Vec<String>) {
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Spoils one file of a copy of the tree by putting `new` in place of `old`, and sees that the check says so.
#[track_caller]
fn finds(check: impl Fn(&Tree) -> Vec<String>, file: &str, old: &str, new: &str, said: &str) {
    let folder = tempfile::tempdir().unwrap();
    let tree = Tree::of_the_repository().copy(folder.path());
    let text = tree.text(file);
    assert!(text.contains(old), "{file} has no {old:?} to be spoiled");
    fs::write(tree.path(file), text.replacen(old, new, 1)).unwrap();
    let faults = check(&tree).join("\n");
    assert!(faults.contains(said), "{file} with {new:?} for {old:?}: {said:?} is not among\n{faults}");
}

/// PORT-19.
#[test]
fn the_configuration_names_what_exists_and_every_choice_takes_effect() {
    none(buildroot::kconfig(&Tree::of_the_repository()));
}

#[test]
fn faults_of_the_configuration_are_found() {
    let config = "package/storage-port/Config.in";
    let finds = |file, old, new, said| finds(buildroot::kconfig, file, old, new, said);
    finds(DEFCONFIG, "BR2_REPRODUCIBLE=y\n", "", "BR2_REPRODUCIBLE=y is missing");
    finds(DEFCONFIG, "BR2_LINUX_KERNEL_ZSTD=y", "BR2_LINUX_KERNEL_ZSTDD=y", "BR2_LINUX_KERNEL_ZSTDD");
    finds(DEFCONFIG, "BR2_LINUX_KERNEL=y\n", "", "BR2_LINUX_KERNEL_ZSTD is 'n'");
    finds(
        DEFCONFIG,
        "BR2_x86_64=y",
        "BR2_x86_64=y\nBR2_PACKAGE_STORAGE_PORT_FAILOVER=y",
        "what is the default anyway",
    );
    finds(DEFCONFIG, "post-build.sh", "post-bild.sh", "post-bild.sh does not exist");
    finds("Config.in", "Config.in.host", "Config.in.hosts", "Config.in.hosts");
    finds(
        config,
        "BR2_TOOLCHAIN_USES_GLIBC",
        "BR2_TOOLCHAIN_USES_GLIB",
        "BR2_TOOLCHAIN_USES_GLIB is not declared",
    );
    finds(config, "\tbool \"storage-port\"\n", "\tboool \"storage-port\"\n", "Kconfig:");
    finds(config, "config BR2_PACKAGE_STORAGE_PORT\n", "config BR2_PACKAGE_STORAGEPORT\n", "has no `config");
}

/// PORT-19.
#[test]
fn scripts_are_well_written() {
    none(buildroot::scripts(&Tree::of_the_repository()));
}

#[test]
fn faults_of_scripts_are_found() {
    let script = "board/storage-port/post-image.sh";
    finds(buildroot::scripts, script, "\"$images/grub\"", "$images/grub", "SC2086");
    finds(buildroot::scripts, script, "#!/bin/sh\n", "#!/bin/sh\nif true; then\n", "error:");
}

/// PORT-19.
#[test]
fn everything_to_be_downloaded_has_a_hash() {
    none(buildroot::hashes(&Tree::of_the_repository()));
}

#[test]
fn missing_and_wrong_hashes_are_found() {
    let finds = |file, old, new, said| finds(buildroot::hashes, file, old, new, said);
    finds(HASHES, "-vendored.tar.gz", ".tar.gz", "no hash of storage-port-");
    finds(HASHES, "sha256  ", "sha256 ", "is no hash");
    finds(HASHES, "  LICENSE-MIT", "  LICENSE-MITT", "the hash of LICENSE-MIT is missing");
    finds(MAKEFILE, "STORAGE_PORT_VERSION = ", "STORAGE_PORT_VERSION = v", "is no commit");
    finds(DEFCONFIG, "_VALUE=\"6.", "_VALUE=\"7.", "patches/linux/linux.hash: no hash of linux-7.");
}

/// PORT-19.
#[test]
fn the_package_installs_programs_services_and_units_and_nothing_else() {
    let out = tempfile::tempdir().unwrap();
    none(buildroot::package(&Tree::of_the_repository(), out.path()));
}

#[test]
fn faults_of_the_package_are_found() {
    let package = |tree: &Tree| buildroot::package(tree, tempfile::tempdir().unwrap().path());
    let finds = |file, old, new, said| finds(package, file, old, new, said);
    // A second supervisor would start the daemons as well.
    let start = "mkdir -p $(TARGET_DIR)/etc/s6\n";
    let second = "mkdir -p $(TARGET_DIR)/etc/s6 $(TARGET_DIR)/etc/init.d\n\t\ttouch $(TARGET_DIR)/etc/init.d/S80port\n";
    finds(MAKEFILE, start, second, "etc/init.d/S80port");
    finds(
        MAKEFILE,
        "-D -m 0755 $(STORAGE_PORT_BUILT)",
        "-D -m 0644 $(STORAGE_PORT_BUILT)",
        "is not executable",
    );
    finds(MAKEFILE, "STORAGE_PORT_PROGRAMS += port-failover\n", "", "in place of");
    finds(
        MAKEFILE,
        "STORAGE_PORT_CRATES += failover",
        "STORAGE_PORT_CRATES += center failover",
        "cargo is told to build",
    );
    finds(MAKEFILE, "$(STORAGE_PORT_OVERLAY)/etc/s6", "$(STORAGE_PORT_OVERLAY)/etc/s7", "fail: cp:");
    finds(
        MAKEFILE,
        "CONFIG_INET_DIAG_DESTROY",
        "CONFIG_INET_DIAG_DESTROYED",
        "asks for CONFIG_INET_DIAG_DESTROYED",
    );
}

/// PORT-19.
#[test]
fn users_have_one_number_and_no_password() {
    none(buildroot::users(&Tree::of_the_repository()));
}

#[test]
fn faults_of_users_are_found() {
    let finds = |file, old, new, said| finds(buildroot::users, file, old, new, said);
    finds(
        MAKEFILE,
        "storage-port 810 storage-port 810",
        "storage-port 910 storage-port 810",
        "users.txt has",
    );
    finds(MAKEFILE, "storage-port 810 *", "storage-port 810 -", "password field");
}

/// PORT-18, PORT-19.
#[test]
fn the_kernel_has_what_a_1u_box_and_both_daemons_need() {
    none(buildroot::kernel(&Tree::of_the_repository()));
}

#[test]
fn faults_of_the_kernel_are_found() {
    let finds = |old, new, said| finds(buildroot::kernel, KERNEL, old, new, said);
    finds("CONFIG_NETFILTER_EGRESS=y\n", "", "the judge's fence needs CONFIG_NETFILTER_EGRESS");
    finds("CONFIG_SECCOMP_FILTER=y\n", "", "filter of system calls needs CONFIG_SECCOMP_FILTER");
    finds("CONFIG_IGB=m", "# CONFIG_IGB is not set", "NICs needs CONFIG_IGB");
    finds("CONFIG_BONDING=m", "CONFIG_BONDINGS=m", "knows no CONFIG_BONDINGS");
    finds("CONFIG_SMP=y", "CONFIG_SMP=y\nCONFIG_NET=y", "CONFIG_NET stands in it twice");
    finds("CONFIG_SMP=y", "CONFIG_SMP=yes", "is no choice");
    finds("# CONFIG_MODULE_SIG is not set", "CONFIG_MODULE_SIG=y", "no two builds are the same");
}

/// PORT-19. For those who choose systemd.
#[test]
fn systemd_takes_the_units() {
    let out = tempfile::tempdir().unwrap();
    none(buildroot::units(&Tree::of_the_repository(), out.path()));
    let units = |tree: &Tree| buildroot::units(tree, tempfile::tempdir().unwrap().path());
    let unit = "package/storage-port/storage-port.service";
    finds(units, unit, "ProtectSystem=strict", "ProtectSytem=strict", "ProtectSytem");
    finds(units, unit, "RestartSec=2", "RestartSec=two", "Failed to parse sec value");
}

/// PORT-19. What the tests boot, without Buildroot, has the files that Buildroot puts into the image.
#[test]
fn buildroot_and_the_image_builder_take_one_overlay_and_one_table_of_users() {
    let help = run_ok(binary("image").to_str().unwrap(), &["build", "--help"]);
    let help = String::from_utf8(help).unwrap();
    for symbol in ["BR2_ROOTFS_OVERLAY", "BR2_ROOTFS_USERS_TABLES"] {
        let choice = Tree::of_the_repository().choice(symbol).unwrap();
        let path = choice.replace("$(BR2_EXTERNAL_STORAGE_PORT_PATH)", "buildroot");
        assert!(
            help.contains(&format!("[default: {path}]")),
            "{symbol} is {path}; the image builder says\n{help}"
        );
    }
}

/// What Buildroot hands to the image builder is checked last, by the scripts of the tree themselves.
#[test]
fn the_build_stops_at_an_account_that_can_log_in() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path();
    fs::create_dir_all(target.join("etc")).unwrap();
    fs::create_dir_all(target.join("usr/bin")).unwrap();
    fs::write(target.join("usr/bin/busybox"), "busybox").unwrap();
    run("chmod", &["4755", target.join("usr/bin/busybox").to_str().unwrap()]);
    let script = Tree::of_the_repository().path("board/storage-port/post-fakeroot.sh");
    let run_script = || Command::new(&script).arg(target).output().unwrap();

    fs::write(target.join("etc/shadow"), "root:*:::::::\nstorage-port:!:::::::\n").unwrap();
    let told = run_script();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    assert_eq!(mode(&target.join("usr/bin/busybox")), 0o755, "the setuid bit is still there");

    for password in ["", "$6$salt$hash"] {
        fs::write(target.join("etc/shadow"), format!("root:*:::::::\nport:{password}:::::::\n")).unwrap();
        let told = run_script();
        let said = String::from_utf8_lossy(&told.stderr).into_owned();
        assert!(!told.status.success() && said.trim().ends_with(": port"), "{password:?}: {said}");
    }
}

/// One supervisor, no boot loader's tools, and the overlay as it was tested.
#[test]
fn the_build_stops_where_the_overlay_was_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let (target, images) = (folder.path().join("target"), folder.path().join("images"));
    let tree = Tree::of_the_repository();
    for folder in ["etc/init.d", "usr/bin", "usr/lib/grub/i386-pc", "usr/lib/grub/x86_64-efi"] {
        fs::create_dir_all(target.join(folder)).unwrap();
    }
    let overlay = tree.path("board/storage-port/rootfs-overlay/.");
    run_ok("cp", &["-a", overlay.to_str().unwrap(), target.to_str().unwrap()]);
    for file in ["etc/init.d/S80storage-port", "usr/bin/grub-mkimage", "usr/lib/grub/i386-pc/squash4.mod"] {
        fs::write(target.join(file), "").unwrap();
    }
    let script = tree.path("board/storage-port/post-build.sh");
    let run_script = || {
        let told = Command::new(&script).arg(&target).env("BINARIES_DIR", &images).output().unwrap();
        (told.status.success(), String::from_utf8_lossy(&told.stderr).into_owned())
    };

    let (done, said) = run_script();
    assert!(!done && said.contains("/usr/bin/storage-port is missing"), "{said}");
    for program in ["storage-port", "port-failover"] {
        fs::copy("/bin/true", target.join("usr/bin").join(program)).unwrap();
    }
    // A second time as well: Buildroot keeps the target between two runs of make.
    for _ in 0..2 {
        assert_eq!(run_script(), (true, String::new()));
    }
    assert!(images.join("grub/i386-pc/squash4.mod").exists() && images.join("grub/x86_64-efi").exists());
    for gone in ["etc/init.d", "usr/bin/grub-mkimage", "usr/lib/grub"] {
        assert!(!target.join(gone).exists(), "{gone} is still there");
    }

    fs::write(target.join("etc/inittab"), "::respawn:/bin/sh\n").unwrap();
    let (done, said) = run_script();
    assert!(!done && said.contains("etc/inittab is not the overlay's"), "{said}");
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}
