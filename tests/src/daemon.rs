//! One process of ours: started, watched, killed, started again.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{LazyLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::poll;

/// How long a daemon may take to print its `ready` line, recovery included.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// How long a daemon may take to stop after SIGTERM.
const STOP_PATIENCE: Duration = Duration::from_secs(40);
/// Below it are the ports of services a machine may run.
const FIRST_PORT: u16 = 10_000;

/// A running daemon.
pub struct Daemon {
    name: String,
    command: Vec<String>,
    environment: Vec<(String, String)>,
    log: PathBuf,
    child: Option<Child>,
    ready: HashMap<String, SocketAddr>,
}

impl Daemon {
    /// Starts `program` with `arguments`; its standard error goes to `log`, appended. Returns when it is ready.
    pub fn start(program: &str, arguments: &[&str], log: &Path) -> Self {
        Self::start_in(None, program, arguments, log)
    }

    /// The same in a network namespace.
    pub fn start_in(netns: Option<&str>, program: &str, arguments: &[&str], log: &Path) -> Self {
        let mut command = Vec::new();
        if let Some(netns) = netns {
            command.extend(["ip", "netns", "exec", netns].map(str::to_owned));
        }
        command.push(binary(program).to_str().unwrap().to_owned());
        command.extend(arguments.iter().map(|argument| argument.to_string()));
        let mut daemon = Self {
            name: program.to_owned(),
            command,
            environment: Vec::new(),
            log: log.to_owned(),
            child: None,
            ready: HashMap::new(),
        };
        daemon.restart();
        daemon
    }

    /// What it finds in its environment from its next start on.
    pub fn set_environment(&mut self, variables: impl IntoIterator<Item = (String, String)>) {
        self.environment = variables.into_iter().collect();
    }

    /// Starts it (again) and waits for its line `ready key=address …` on standard output.
    pub fn restart(&mut self) {
        if self.restart_within(START_PATIENCE).is_none() {
            panic!("{} is not ready; its log ends:\n{}", self.name, self.log_tail());
        }
    }

    /// The same for a start that may take long, or too long: how long it took; `None`, and it is ended, when
    /// `patience` is over or it has ended by itself.
    pub fn restart_within(&mut self, patience: Duration) -> Option<Duration> {
        assert!(self.child.is_none(), "{} runs already", self.name);
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        let start = Instant::now();
        let mut child = Command::new(&self.command[0])
            .args(&self.command[1..])
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", self.command[0]));
        let stdout = child.stdout.take().unwrap();
        self.child = Some(child);
        let (sender, receiver) = mpsc::channel();
        let mut copy = File::options().append(true).open(&self.log).unwrap();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = writeln!(copy, "{line}");
                if let Some(addresses) = line.strip_prefix("ready ") {
                    let _ = sender.send(addresses.to_owned());
                }
            }
        });
        match receiver.recv_timeout(patience) {
            Ok(addresses) => {
                self.ready = parse_ready(&addresses);
                Some(start.elapsed())
            }
            Err(_) => {
                self.kill_9();
                None
            }
        }
    }

    /// An address it said it serves.
    pub fn address(&self, key: &str) -> SocketAddr {
        self.ready[key]
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        let id = self.child.as_ref().expect("runs").id();
        Pid::from_raw(i32::try_from(id).unwrap()).unwrap()
    }

    /// Ends it at once, as a crash would.
    pub fn kill_9(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Holds it still (SIGSTOP): it answers nobody, and its connections stay open.
    pub fn freeze(&self) {
        kill_process(self.pid(), Signal::STOP).unwrap();
        // The kernel wakes one of its threads for that. The others go on until that one runs.
        poll::until(&format!("{} stands still", self.name), STOP_PATIENCE, || {
            all_threads_stand_still(self.pid()).then_some(())
        });
    }

    /// Lets it go on after [`freeze`](Self::freeze).
    pub fn thaw(&self) {
        kill_process(self.pid(), Signal::CONT).unwrap();
    }

    /// Asks it to stop and waits until it has.
    pub fn stop(&mut self) -> ExitStatus {
        kill_process(self.pid(), Signal::TERM).unwrap();
        self.ended()
    }

    /// Waits until it has ended.
    pub fn ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap();
        poll::until(&format!("{} ends", self.name), STOP_PATIENCE, || child.try_wait().unwrap())
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// Bytes of its memory that are resident and not file-backed.
    pub fn anonymous_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid().as_raw_nonzero())).unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
    }

    /// Bytes of it that are resident, of whatever kind.
    pub fn resident_bytes(&self) -> u64 {
        let statm = fs::read_to_string(format!("/proc/{}/statm", self.pid().as_raw_nonzero())).unwrap();
        let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
        pages * rustix::param::page_size() as u64
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- log of {} ({}) ends:\n{}", self.name, self.log.display(), self.log_tail());
        }
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The path of one of our programs: it lies beside the test's own executable or one folder above.
pub fn binary(program: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(program))
        .find(|path| path.exists())
        .unwrap_or_else(|| {
            panic!("{program} is not built: run `cargo build --workspace --bins --examples` first")
        })
}

fn all_threads_stand_still(pid: Pid) -> bool {
    let threads = fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero())).unwrap();
    threads.into_iter().all(|thread| {
        // One that is gone does nothing either. The state is behind the name, which may have anything in it.
        let Ok(stat) = fs::read_to_string(thread.unwrap().path().join("stat")) else { return true };
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
    })
}

/// Processor seconds a process has used, user and system.
pub fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
    let ticks = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

/// A TCP port of the loopback address that nobody has, and that stays free until it is asked for: it lies outside of the
/// range from which the kernel takes ports for connections, and this process gives no port twice.
pub fn free_port() -> u16 {
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| {
        // Test programs side by side begin at different places.
        let spread = u16::try_from(process::id() % 200).unwrap() * 100;
        AtomicU16::new(FIRST_PORT + spread)
    });
    let of_connections = ports_of_connections();
    (0..u16::MAX - FIRST_PORT)
        .map(|_| NEXT.fetch_add(1, Ordering::Relaxed).max(FIRST_PORT))
        .find(|port| !of_connections.contains(port) && TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .unwrap_or_else(|| panic!("no TCP port is free outside of {of_connections:?}"))
}

/// The ports from which the kernel takes one for each connection that names none (ip(7)).
fn ports_of_connections() -> RangeInclusive<u16> {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let mut ends = range.split_whitespace().map(|end| end.parse().unwrap());
    ends.next().unwrap()..=ends.next().unwrap()
}

fn parse_ready(addresses: &str) -> HashMap<String, SocketAddr> {
    addresses
        .split_whitespace()
        .filter_map(|word| {
            let (key, address) = word.split_once('=')?;
            Some((key.to_owned(), address.parse().ok()?))
        })
        .collect()
}
