//! The guests' root file system: busybox, the kernel's NFS client, Debian's mount.nfs and lock daemons with their
//! libraries, and our own agent. It lies in memory and is made anew at each start.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::archive::Archive;
use super::kernel::Kernel;
use crate::daemon::binary;
use crate::tools::run_ok;

/// Runs first in the guest.
const INIT: &str = include_str!("../../guest/init");
/// What the kernel is given beside what is built into it. From `ecb` on it is what the CIFS client would load by itself: ciphers,
/// and names in UTF-8.
const MODULES: [&str; 12] = [
    "virtio_pci",
    "virtio_console",
    "virtio_net",
    "nfsv3",
    "ecb",
    "cmac",
    "ctr",
    "ghash-generic",
    "gcm",
    "sha512_generic",
    "nls_utf8",
    "cifs",
];
/// Programs of the host's packages, and where they stand. The shell is not busybox's, which would take its own `mount`
/// and `umount` for these.
const PROGRAMS: [&str; 11] = [
    "/bin/dash",
    "/usr/bin/flock",
    "/usr/sbin/start-statd",
    "/bin/mount",
    "/bin/umount",
    "/sbin/mount.nfs",
    "/sbin/rpcbind",
    "/sbin/rpc.statd",
    "/sbin/showmount",
    "/usr/sbin/rpcinfo",
    "/sbin/sm-notify",
];
const FOLDERS: [&str; 25] = [
    "/bin",
    "/dev",
    "/etc",
    "/lib",
    "/lib64",
    "/lib/x86_64-linux-gnu",
    "/mnt",
    "/modules",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/srl",
    "/sys",
    "/tmp",
    "/usr",
    "/usr/bin",
    "/usr/lib",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/sbin",
    "/var",
    "/var/lib",
    "/var/lib/nfs",
    "/var/lib/nfs/sm",
    "/var/lib/nfs/sm.bak",
];

/// Makes the archive for guests with this kernel.
pub fn make(kernel: &Kernel) -> Vec<u8> {
    let mut archive = Archive::default();
    for folder in FOLDERS {
        archive.folder(folder);
    }
    archive.file("/init", 0o755, INIT.as_bytes());
    modules(&mut archive, kernel);
    programs(&mut archive);
    settings(&mut archive);
    archive.finish()
}

/// `/modules/1.ko` …, which go into the kernel in the order of their numbers.
fn modules(archive: &mut Archive, kernel: &Kernel) {
    let paths = kernel.modules(&MODULES);
    for (index, path) in paths.iter().enumerate() {
        archive.copy(&format!("/modules/{index:02}.ko"), path);
    }
}

fn programs(archive: &mut Archive) {
    archive.copy("/bin/busybox", Path::new("/bin/busybox"));
    let own = PROGRAMS.map(|path| path.rsplit('/').next().unwrap());
    let applets = String::from_utf8(run_ok("/bin/busybox", &["--list"])).unwrap();
    for applet in
        applets.lines().filter(|applet| !own.contains(applet) && !["busybox", "sh"].contains(applet))
    {
        archive.link(&format!("/bin/{applet}"), "busybox");
    }
    let mut libraries = BTreeSet::new();
    let agent = binary("nfs-guest");
    for program in PROGRAMS.map(PathBuf::from).into_iter().chain([agent.clone()]) {
        if fs::read(&program).is_ok_and(|bytes| bytes.starts_with(b"\x7fELF")) {
            libraries.extend(needed_libraries(&program));
        }
    }
    for program in PROGRAMS {
        archive.copy(program, Path::new(program));
    }
    archive.copy("/bin/nfs-guest", &agent);
    archive.link("/bin/sh", "dash");
    archive.link("/sbin/umount.nfs", "mount.nfs");
    for library in libraries {
        archive.copy(&library, Path::new(&library));
    }
}

/// The shared libraries a program is loaded with, and its loader, by their paths.
fn needed_libraries(program: &Path) -> BTreeSet<String> {
    let listed = String::from_utf8(run_ok("ldd", &[program.to_str().unwrap()])).unwrap();
    listed
        .lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(str::to_owned)
        .collect()
}

/// What the C library and the daemons look up: users, names, ports.
fn settings(archive: &mut Archive) {
    let files = [
        (
            "/etc/passwd",
            "root:x:0:0::/root:/bin/sh\n_rpc:x:100:100::/run:/bin/false\nstatd:x:101:101::/var/lib/nfs:/bin/false\n",
        ),
        ("/etc/group", "root:x:0:\n_rpc:x:100:\nstatd:x:101:\n"),
        (
            "/etc/nsswitch.conf",
            "passwd: files\ngroup: files\nhosts: files\nprotocols: files\nservices: files\nrpc: files\n",
        ),
        (
            "/etc/hosts",
            "127.0.0.1 localhost\n192.0.2.1 server\n192.0.2.11 client1\n192.0.2.12 client2\n192.0.2.13 client3\n",
        ),
        ("/etc/protocols", "ip 0 IP\nicmp 1 ICMP\ntcp 6 TCP\nudp 17 UDP\n"),
        // mount.nfs asks for the service "portmapper", rpcbind for "sunrpc".
        (
            "/etc/services",
            "sunrpc 111/tcp portmapper\nsunrpc 111/udp portmapper\nnfs 2049/tcp\nnfs 2049/udp\n",
        ),
        (
            "/etc/rpc",
            "portmapper 100000 portmap sunrpc rpcbind\nnfs 100003\nmountd 100005 mount showmount\nnlockmgr 100021\nstatus 100024\n",
        ),
        (
            "/etc/netconfig",
            "udp tpi_clts v inet udp - -\ntcp tpi_cots_ord v inet tcp - -\nlocal tpi_cots_ord - loopback - - -\n",
        ),
    ];
    for (path, contents) in files {
        archive.file(path, 0o644, contents.as_bytes());
    }
    archive.link("/etc/mtab", "/proc/mounts");
}
