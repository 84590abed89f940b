//! One of a pair's two hosts: the daemon that serves, the daemon that judges, and what stands in the kernel.

use std::path::{Path, PathBuf};

use super::networks::{Host, Link};
use super::process::Process;
use crate::tools::{run, run_ok};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// `member = "a"`.
    A,
    /// `member = "b"`.
    B,
}

/// A host of a pair.
pub struct Member {
    /// `storage-port`.
    pub service: Process,
    /// `port-failover` or keepalived.
    pub judge: Process,
    /// Where its configuration, state, journal and caches lie.
    pub dir: PathBuf,
    /// The host.
    pub host: Host,
}

impl Side {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// As the configuration writes it.
    pub fn letter(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }
}

impl Member {
    /// Makes its cache disks fail: nothing on them can be read or written any more, by whoever runs on the host.
    pub fn lose_disks(&self, disks: &[&str]) {
        for (process, disk) in self.each_mount(disks) {
            mount(process, &["mount", "-t", "tmpfs", "-o", "ro,size=4k", "lost", disk.to_str().unwrap()]);
        }
    }

    /// Gives them back.
    pub fn return_disks(&self, disks: &[&str]) {
        for (process, disk) in self.each_mount(disks) {
            mount(process, &["umount", "-l", disk.to_str().unwrap()]);
        }
    }

    /// What a machine has lost when it boots: the floating addresses and the packet filter's tables.
    pub fn forget(&self, addresses: &[String]) {
        let namespace = self.host.namespace().name();
        let inside = |program: &str, arguments: &[&str]| {
            // There may be nothing to forget.
            run("ip", &[&["netns", "exec", namespace, program], arguments].concat());
        };
        for address in addresses {
            inside("ip", &["address", "del", address, "dev", Link::Lan.interface()]);
        }
        inside("nft", &["flush", "ruleset"]);
    }

    /// Each daemon has a mount namespace of its own, from `ip netns exec`.
    fn each_mount(&self, disks: &[&str]) -> Vec<(&Process, PathBuf)> {
        let both = [&self.service, &self.judge];
        both.into_iter()
            .flat_map(|process| disks.iter().map(move |disk| (process, self.dir.join(disk))))
            .collect()
    }

    /// A file of the member.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

fn mount(process: &Process, command: &[&str]) {
    let pid = process.pid().as_raw_nonzero().to_string();
    run_ok("nsenter", &[&["-t", &pid, "-m"], command].concat());
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("the harness's own paths are plain")
}
