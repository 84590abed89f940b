//! A network namespace of the test's own, with nothing but a loopback address.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use rustix::fd::AsFd;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::tools::{run, run_ok};

/// Where `ip netns` keeps the namespaces it made.
const NAMED: &str = "/run/netns";

/// Removed when dropped.
pub struct NetworkNamespace {
    name: String,
}

impl NetworkNamespace {
    /// Makes it and brings its loopback up.
    pub fn new(purpose: &str) -> Self {
        let name = format!("e2e-{purpose}-{}", std::process::id());
        run_ok("ip", &["netns", "add", &name]);
        let namespace = Self { name };
        namespace.run_ok("ip", &["link", "set", "lo", "up"]);
        namespace
    }

    /// Its name, for `ip netns exec`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs a program in it that must succeed, and gives its standard output.
    #[track_caller]
    pub fn run_ok(&self, program: &str, arguments: &[&str]) -> Vec<u8> {
        let mut all = vec!["netns", "exec", &self.name, program];
        all.extend(arguments);
        run_ok("ip", &all)
    }

    /// A way in for threads of the test.
    pub fn entrance(&self) -> Entrance {
        Entrance(Arc::new(File::open(Path::new(NAMED).join(&self.name)).unwrap()))
    }
}

/// A way into a namespace, for a thread at a time. A socket stays in the namespace it was made in, whoever uses it.
#[derive(Clone, Debug)]
pub struct Entrance(Arc<File>);

impl Entrance {
    /// Does `work` on a thread of its own in the namespace: what it connects and binds is there.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                self.move_in();
                work()
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Moves the calling thread in, for good.
    pub fn move_in(&self) {
        move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
    }
}

/// How many namespaces there are with this in their name.
pub fn count(word: &str) -> usize {
    let listed = String::from_utf8(run_ok("ip", &["netns", "list"])).unwrap();
    listed.lines().filter(|line| line.contains(word)).count()
}

impl Drop for NetworkNamespace {
    fn drop(&mut self) {
        run("ip", &["netns", "del", &self.name]);
    }
}
