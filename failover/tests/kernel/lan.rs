//! A LAN of the test's own: hosts in network namespaces, each with one interface, at a bridge in another one.

use std::fs::File;
use std::os::fd::AsFd;
use std::process::Command;
use std::thread;

use failover::net::link::{Interface, Links};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// What every host calls its interface.
pub const NIC: &str = "lan0";

/// Gone when dropped, with its hosts.
pub struct Lan {
    name: String,
    namespaces: Vec<String>,
}

impl Lan {
    /// One without hosts. `purpose`: some letters that no other test has.
    pub fn new(purpose: &str) -> Self {
        let name = format!("fo-{purpose}-{}", std::process::id());
        run(&["ip", "netns", "add", &name]);
        let lan = Self { namespaces: vec![name.clone()], name };
        run_in(&lan.name, &["ip", "link", "add", "bridge", "type", "bridge", "forward_delay", "0"]);
        run_in(&lan.name, &["ip", "link", "set", "bridge", "up"]);
        lan
    }

    /// Puts a host at it, with these addresses.
    pub fn host(&mut self, name: &str, addresses: &[&str]) -> Host {
        let namespace = format!("{}-{name}", self.name);
        run(&["ip", "netns", "add", &namespace]);
        self.namespaces.push(namespace.clone());
        let cable = ["type", "veth", "peer", "name", name, "netns", &self.name];
        run(&[&["ip", "link", "add", NIC, "netns", &namespace], &cable[..]].concat());
        run_in(&self.name, &["ip", "link", "set", name, "master", "bridge", "up"]);
        run_in(&namespace, &["ip", "link", "set", "lo", "up"]);
        run_in(&namespace, &["ip", "link", "set", NIC, "up"]);
        for address in addresses {
            run_in(&namespace, &["ip", "address", "add", address, "dev", NIC, "nodad"]);
        }
        Host { namespace }
    }

    /// Runs a program on the switch.
    pub fn run(&self, command: &[&str]) -> String {
        run_in(&self.name, command)
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for namespace in &self.namespaces {
            let _ = Command::new("ip").args(["netns", "del", namespace]).status();
        }
    }
}

/// A host.
pub struct Host {
    namespace: String,
}

impl Host {
    /// Its network namespace, for `ip netns`.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Does `work` on it. The sockets it makes stay there.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                enter(&self.namespace);
                work()
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Runs a program on it that must succeed, and gives what it says.
    pub fn run(&self, command: &[&str]) -> String {
        run_in(&self.namespace, command)
    }

    /// Its interface.
    pub fn nic(&self) -> Interface {
        self.inside(|| Links::new().unwrap().find(NIC).unwrap())
    }
}

/// Moves the calling thread into a namespace, for good.
pub fn enter(namespace: &str) {
    let file = File::open(format!("/run/netns/{namespace}")).unwrap();
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
}

fn run_in(namespace: &str, command: &[&str]) -> String {
    run(&[&["ip", "netns", "exec", namespace], command].concat())
}

fn run(command: &[&str]) -> String {
    let output = Command::new(command[0]).args(&command[1..]).output().unwrap();
    let (said, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {said}{failed}");
    said.into_owned()
}
