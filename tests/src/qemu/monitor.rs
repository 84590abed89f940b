//! QEMU's monitor: what an emulated processor is at, for whoever has to find out why nothing is said any more.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

/// How long an answer may take. A QEMU that hangs itself gives none.
const PATIENCE: Duration = Duration::from_secs(5);
/// Lines that are read for one answer: QEMU tells of events between them.
const LINES: usize = 100;

/// The monitor of one QEMU.
pub struct Monitor {
    path: PathBuf,
}

impl Monitor {
    /// One whose socket lies there.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// QEMU's arguments for it.
    pub fn arguments(&self) -> [String; 2] {
        ["-qmp".to_owned(), format!("unix:{},server=on,wait=off", self.path.display())]
    }

    /// The processor's registers and whether the machine runs, or why they cannot be had.
    pub fn processor(&self) -> String {
        self.ask(&["info status", "info registers"])
            .unwrap_or_else(|error| format!("QEMU's monitor does not answer: {error}\n"))
    }

    /// What the monitor prints for these commands of a person's.
    fn ask(&self, commands: &[&str]) -> io::Result<String> {
        let mut to = UnixStream::connect(&self.path)?;
        to.set_read_timeout(Some(PATIENCE))?;
        let mut from = BufReader::new(to.try_clone()?);
        let mut call = |command: Value| -> io::Result<String> {
            writeln!(to, "{command}")?;
            answer(&mut from)
        };
        call(json!({"execute": "qmp_capabilities"}))?;
        let call = |command: &&str| {
            call(json!({"execute": "human-monitor-command", "arguments": {"command-line": command}}))
        };
        commands.iter().map(call).collect()
    }
}

/// The next answer: neither greeting nor event.
fn answer(from: &mut impl BufRead) -> io::Result<String> {
    for _ in 0..LINES {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let said: Value = serde_json::from_str(&line)?;
        if let Some(returned) = said.get("return") {
            return Ok(returned.as_str().unwrap_or_default().to_owned());
        }
        if let Some(error) = said.get("error") {
            return Err(io::Error::other(error.to_string()));
        }
    }
    Err(io::Error::other("no answer among many events"))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use crate::poll;

    #[test]
    fn the_processor_of_a_machine_that_says_nothing_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let monitor = Monitor::new(dir.path().join("monitor"));
        assert!(monitor.processor().contains("does not answer"));
        // Stopped before its first instruction.
        let mut qemu = Command::new("qemu-system-x86_64")
            .args("-machine q35 -accel tcg -nodefaults -display none -S".split_whitespace())
            .args(monitor.arguments())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        poll::until("QEMU listens", PATIENCE, || UnixStream::connect(&monitor.path).ok());
        let said = monitor.processor();
        qemu.kill().unwrap();
        qemu.wait().unwrap();
        assert!(said.contains("paused") && said.contains("IP=0000fff0"), "{said}");
    }
}
