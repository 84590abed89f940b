//! A network namespace of the test's own, with nothing but a loopback address.

use crate::tools::{run, run_ok};

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
}

impl Drop for NetworkNamespace {
    fn drop(&mut self) {
        run("ip", &["netns", "del", &self.name]);
    }
}
