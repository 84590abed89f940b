//! What the fallback's root file system takes of Debian's packages. Shared libraries come by themselves ([`crate::closure`]).

/// Programs of a package.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// The package.
    pub package: &'static str,
    /// Where they lie in it.
    pub programs: &'static [&'static str],
}

/// The kernel, and below which folder its modules lie.
pub const KERNEL_PACKAGE: &str = "linux-image-amd64";

/// Where the loader looks for shared libraries, in Debian's and in Buildroot's system.
pub const LIBRARY_FOLDERS: [&str; 6] = [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
];

/// Everything but the kernel.
pub const PACKAGES: [Taken; 10] = [
    // PID 1, the shell, and all small programs.
    Taken { package: "busybox-static", programs: &["/bin/busybox"] },
    // Network time.
    Taken { package: "chrony", programs: &["/usr/sbin/chronyd", "/usr/bin/chronyc"] },
    // RAUC's service is asked over it; it runs only while an update is installed.
    Taken { package: "dbus-daemon", programs: &["/usr/bin/dbus-daemon"] },
    // Sets up the verified root file system.
    Taken { package: "dmsetup", programs: &["/sbin/dmsetup"] },
    // SSH with a key, where the site file allows it.
    Taken { package: "dropbear-bin", programs: &["/usr/sbin/dropbear", "/usr/bin/dropbearkey"] },
    // Checks file systems at each start, and makes them when an operator asks.
    Taken { package: "e2fsprogs", programs: &["/sbin/e2fsck", "/sbin/mke2fs"] },
    // The packet filter, and the fence of a pair.
    Taken { package: "nftables", programs: &["/usr/sbin/nft"] },
    // Updates.
    Taken { package: "rauc", programs: &["/usr/bin/rauc"] },
    // Supervision with readiness.
    Taken {
        package: "s6",
        programs: &[
            "/usr/bin/s6-ftrigrd",
            "/usr/bin/s6-log",
            "/usr/bin/s6-supervise",
            "/usr/bin/s6-svc",
            "/usr/bin/s6-svscan",
            "/usr/bin/s6-svscanctl",
            "/usr/bin/s6-svstat",
            "/usr/bin/s6-svwait",
        ],
    },
    // Drops privileges but for capabilities by name; finds file systems by label on all disks.
    Taken { package: "util-linux", programs: &["/usr/bin/setpriv", "/sbin/blkid"] },
];
