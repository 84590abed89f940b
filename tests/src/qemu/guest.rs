//! One guest: booted, given scripts to run, killed, booted again.

use std::fs;
use std::io::{BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::log::Log;
use super::wire::{self, Report};
use super::{initramfs, kernel::Kernel};
use crate::daemon::binary;
use crate::netns::NetworkNamespace;
use crate::poll;

/// Memory of a guest in MiB. Half of it serves as its page cache.
const MEMORY_MIB: u32 = 320;
/// How long a boot may take; under load an emulated processor is twenty times slower than on a quiet machine.
const BOOT_PATIENCE: Duration = Duration::from_secs(120);
/// How long a script may take unless its test says otherwise.
const SCRIPT_PATIENCE: Duration = Duration::from_secs(120);

/// Linux gives up a silent connection after 181 s.
const STALL_PATIENCE: Duration = Duration::from_secs(200);

/// A running guest. Dropped, it is killed; its log is shown if the test has failed.
pub struct Guest {
    name: String,
    command: Vec<String>,
    socket: PathBuf,
    log: Log,
    running: Option<Running>,
}

struct Running {
    qemu: Child,
    console: JoinHandle<()>,
    line: BufReader<UnixStream>,
}

/// What a script left.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its exit status.
    pub status: i32,
    /// What it printed, to standard output and standard error.
    pub output: String,
}

impl Guest {
    /// Boots guest `number` at a tap device of the namespace. `dir` is for its files. See [`super::lan::Lan::boot`].
    pub fn boot(namespace: &NetworkNamespace, dir: &Path, number: u8, tap: &str) -> Self {
        let name = format!("client{number}");
        let socket = dir.join(format!("{name}.agent"));
        let parameters = format!(
            "console=ttyS0 loglevel=4 panic=-1 no_timer_check mitigations=off nokaslr ipv6.disable=1 rdinit=/init \
             client={name} address=192.0.2.{}/24",
            10 + number
        );
        let mut netdev = format!("tap,id=net,ifname={tap},script=no,downscript=no");
        let mut command: Vec<String> =
            ["ip", "netns", "exec", namespace.name(), "qemu-system-x86_64"].map(str::to_owned).into();
        // One processor: under emulation a second one costs a second of every boot. PVH needs the machine q35 or pc.
        let machine =
            "-machine q35 -accel tcg -cpu max -smp 1 -nodefaults -no-user-config -display none -no-reboot";
        command.extend(machine.split(' ').map(str::to_owned));
        let (kernel, initramfs) = files();
        let mut add = |option: &str, value: String| command.extend([option.to_owned(), value]);
        add("-m", MEMORY_MIB.to_string());
        add("-kernel", kernel.to_str().unwrap().to_owned());
        add("-initrd", initramfs.to_str().unwrap().to_owned());
        add("-append", parameters);
        add("-serial", "stdio".into());
        add("-chardev", format!("socket,id=agent,path={}", socket.display()));
        add("-device", "virtio-serial-pci,id=lines".into());
        add("-device", "virtserialport,bus=lines.0,nr=1,chardev=agent".into());
        if let Some(folder) = std::env::var_os("E2E_PCAP") {
            // What the guest sends and receives, for a look with tshark. Without the virtual header, which no other
            // program expects in the file.
            netdev.push_str(",vnet_hdr=off");
            let file = Path::new(&folder).join(format!("{}-{name}.pcap", namespace.name()));
            add("-object", format!("filter-dump,id=dump,netdev=net,file={}", file.display()));
        }
        add("-netdev", netdev);
        add("-device", format!("virtio-net-pci,netdev=net,romfile=,mac=52:54:00:12:34:{number:02x}"));
        let mut guest = Self { name, command, socket, log: Log::default(), running: None };
        guest.start();
        guest
    }

    /// Its host name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Starts it (again) and waits until it takes scripts.
    pub fn start(&mut self) {
        assert!(self.running.is_none(), "{} runs already", self.name);
        let _ = fs::remove_file(&self.socket);
        let listener = UnixListener::bind(&self.socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        self.log.add("boots");
        let mut qemu = Command::new(&self.command[0])
            .args(&self.command[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", self.command[0]));
        let console = self.log.follow(qemu.stdout.take().unwrap());
        self.log.follow(qemu.stderr.take().unwrap());
        let line = poll::until("QEMU starts", BOOT_PATIENCE, || match listener.accept() {
            Ok((line, _)) => Some(line),
            Err(_) if qemu.try_wait().unwrap().is_some() => panic!("QEMU ended:\n{}", self.log.text()),
            Err(_) => None,
        });
        line.set_nonblocking(false).unwrap();
        self.running = Some(Running { qemu, console, line: BufReader::new(line) });
        match self.receive(Instant::now() + BOOT_PATIENCE) {
            Report::Ready => self.log.add("is ready"),
            other => panic!("{} said {other:?} in place of ready", self.name),
        }
    }

    /// Ends it at once, as a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = running.qemu.kill();
            let _ = running.qemu.wait();
            let _ = running.line.get_ref().shutdown(Shutdown::Both);
            let _ = running.console.join();
            self.log.add("was killed");
        }
    }

    /// Runs a shell script (`set -eu`; busybox, mount.nfs, our `nfs-guest`) to its end.
    pub fn run(&mut self, script: &str) -> Outcome {
        self.run_within(SCRIPT_PATIENCE, script)
    }

    /// The same, with a patience of the test's own.
    pub fn run_within(&mut self, patience: Duration, script: &str) -> Outcome {
        self.log.add(&format!("runs: {}", script.trim()));
        let deadline = Instant::now() + patience;
        let line = self.running.as_mut().expect("runs").line.get_mut();
        wire::send_script(line, script).unwrap();
        let mut output = Vec::new();
        loop {
            match self.receive(deadline) {
                Report::Output(bytes) => {
                    self.log.add_all(&bytes);
                    output.extend(bytes);
                }
                Report::Status(status) => {
                    self.log.add(&format!("status {status}"));
                    return Outcome { status, output: String::from_utf8_lossy(&output).into_owned() };
                }
                Report::Ready => panic!("{} started anew by itself", self.name),
            }
        }
    }

    /// Runs a script that must end with status 0, and gives what it printed, without blanks around.
    #[track_caller]
    pub fn ok(&mut self, script: &str) -> String {
        self.ok_within(SCRIPT_PATIENCE, script)
    }

    /// The same, with a patience of the test's own.
    #[track_caller]
    pub fn ok_within(&mut self, patience: Duration, script: &str) -> String {
        let outcome = self.run_within(patience, script);
        assert_eq!(outcome.status, 0, "{}: {}\n{}", self.name, script.trim(), outcome.output);
        outcome.output.trim().to_owned()
    }

    /// The longest stalls in ms, of reads and of writes, since the last time, of `nfs-guest stall … /tmp/stalls` with its
    /// process id in `/tmp/pid` and its report in `/tmp/report`. One that goes on is waited for.
    #[track_caller]
    pub fn stalls(&mut self) -> [u64; 2] {
        let told = self.ok_within(
            STALL_PATIENCE + SCRIPT_PATIENCE,
            &format!(
                "pid=$(cat /tmp/pid) tries=0
                until grep -qs read /tmp/stalls && grep -qs write /tmp/stalls; do
                    tries=$((tries + 1))
                    if [ $tries -gt {most} ] || ! kill -0 $pid; then
                        set +e
                        echo 'reads and writes do not go on'
                        cat /tmp/report /tmp/stalls /proc/$pid/task/*/stack /proc/net/tcp /proc/self/mountstats
                        dmesg | tail -n 30
                        exit 1
                    fi
                    sleep 0.1
                done
                mv /tmp/stalls /tmp/told; cat /tmp/told",
                most = STALL_PATIENCE.as_secs() * 10,
            ),
        );
        ["read", "write"].map(|kind| {
            let stalls = told.lines().filter_map(|line| line.strip_prefix(kind)?.trim().parse().ok());
            stalls.max().expect("the script has seen one")
        })
    }

    fn receive(&mut self, deadline: Instant) -> Report {
        let line = &mut self.running.as_mut().expect("runs").line;
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        line.get_ref().set_read_timeout(Some(left)).unwrap();
        Report::receive(line).unwrap_or_else(|error| panic!("{} does not answer: {error}", self.name))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!("--- log of {}:\n{}", self.name, self.log.text());
        }
    }
}

/// The kernel and the root file system, made once by each test program, beside the programs that were built.
fn files() -> (PathBuf, PathBuf) {
    static FILES: OnceLock<(PathBuf, PathBuf)> = OnceLock::new();
    FILES
        .get_or_init(|| {
            let folder = binary("nfs-guest").with_file_name("nfs-guest-boot");
            fs::create_dir_all(&folder).unwrap();
            let kernel = Kernel::newest();
            let mut file = tempfile::NamedTempFile::new_in(&folder).unwrap();
            file.write_all(&initramfs::make(&kernel)).unwrap();
            let initramfs = folder.join("initramfs.cpio");
            file.persist(&initramfs).unwrap();
            (kernel.image(&folder), initramfs)
        })
        .clone()
}
