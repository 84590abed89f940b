//! One daemon on a host of the pair, with the processes it starts: killed, held still, started again, all at once.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::networks::Host;
use crate::poll;

/// How long a daemon may take to stop when asked.
const STOP_PATIENCE: Duration = Duration::from_secs(40);

/// Ended when dropped.
pub struct Process {
    command: Vec<String>,
    log: PathBuf,
    child: Option<Child>,
}

impl Process {
    /// Starts `program` on a host; what it says goes to `log`, appended.
    pub fn start(host: &Host, program: &str, arguments: &[&str], log: &Path) -> Self {
        let mut command: Vec<String> =
            ["ip", "netns", "exec", host.namespace().name(), program].map(str::to_owned).into();
        command.extend(arguments.iter().map(|argument| argument.to_string()));
        let mut process = Self { command, log: log.to_owned(), child: None };
        process.restart();
        process
    }

    /// Starts it again after its end, as init does; does not wait until it is ready.
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "{} runs already", self.name());
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        let child = Command::new(&self.command[0])
            .args(&self.command[1..])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", self.command[0]));
        self.child = Some(child);
    }

    /// Ends it and all it has started with kill -9.
    pub fn kill_9(&mut self) {
        // Held still first: none of them shall notice the end of another, and tidy up or start it anew.
        self.freeze();
        self.signal_all(Signal::KILL);
        if let Some(mut child) = self.child.take() {
            child.wait().unwrap();
        }
    }

    /// Holds it and all it has started still.
    pub fn freeze(&self) {
        self.signal_all(Signal::STOP);
    }

    /// Lets them go on.
    pub fn thaw(&self) {
        self.signal_all(Signal::CONT);
    }

    /// Asks it to stop and waits until it has.
    pub fn stop(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("runs");
        kill_process(pid(&child), Signal::TERM).unwrap();
        poll::until(&format!("{} stops after SIGTERM", self.name()), STOP_PATIENCE, || {
            child.try_wait().unwrap()
        })
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        pid(self.child.as_ref().expect("runs"))
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    fn name(&self) -> &str {
        &self.command[4]
    }

    fn signal_all(&self, signal: Signal) {
        let Some(child) = &self.child else { return };
        let mut all = vec![child.id()];
        let mut at = 0;
        while let Some(&parent) = all.get(at) {
            let path = format!("/proc/{parent}/task/{parent}/children");
            let children = fs::read_to_string(path).unwrap_or_default();
            all.extend(children.split_whitespace().filter_map(|id| id.parse::<u32>().ok()));
            at += 1;
        }
        for id in all {
            // One of them may have ended meanwhile.
            let _ = kill_process(Pid::from_raw(id.cast_signed()).unwrap(), signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of {} ({}) ends:\n{}", self.name(), self.log.display(), self.log_tail());
        }
        self.kill_9();
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}
