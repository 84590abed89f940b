//! A box: QEMU with the firmware's disk and data disks, its console in the test's hands, its NICs at a test's networks.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::log::{Log, Mark};
use super::monitor::Monitor;
use crate::netns::NetworkNamespace;
use crate::pair::ground::Ground;
use crate::pair::networks::Link;
use crate::poll;
use crate::tools::run_ok;

/// Memory of a box in MiB.
const MEMORY_MIB: u32 = 768;
/// How long a box may take from power-on to its service: twenty times what it takes on a quiet machine.
pub const BOOT_PATIENCE: Duration = Duration::from_secs(600);
/// What the kernel says last before it resets the machine.
const RESETTING: &str = "reboot: Restarting system";
/// How long the machine may say nothing from then on: its own firmware is there after some seconds, and a kernel that
/// hangs before it is bitten by the box's watchdog in a minute.
const RESET_PATIENCE: Duration = Duration::from_secs(180);
/// How long a line of shell may take.
const SHELL_PATIENCE: Duration = Duration::from_secs(120);
/// Bytes of each data disk; they are sparse.
const DATA_BYTES: u64 = 2 << 30;
/// Bytes of a USB stick.
const STICK_BYTES: u64 = 256 << 20;
/// Where the ESP begins on the disk, as mtools writes it.
const ESP_AT: &str = "@@2M";
/// The last byte of the first box's addresses.
const FIRST: u8 = 30;

/// The first NIC's place at the PCI bus.
const FIRST_SLOT: u8 = 0x10;

/// What starts the box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Starter {
    /// SeaBIOS.
    Bios,
    /// OVMF.
    Uefi,
}

/// A box. Dropped, it is switched off; its console is shown if the test has failed.
pub struct Appliance {
    number: u8,
    command: Vec<String>,
    disk: PathBuf,
    monitor: Monitor,
    log: Log,
    boot: Mark,
    running: Option<Running>,
}

struct Running {
    qemu: Child,
    keyboard: ChildStdin,
}

impl Appliance {
    /// A box, switched off, with this disk's contents, a journal, two caches, and NICs at the ground's networks. Its number
    /// from 0 makes its addresses and MACs. More arguments of QEMU's may follow.
    pub fn new(ground: &Ground, disk: &Path, number: u8, starter: Starter, more: &[String]) -> Self {
        let hub: &NetworkNamespace = ground.networks.hub();
        let dir = ground.site.path();
        let own = dir.join(format!("box{number}.img"));
        run_ok("cp", &["--sparse=always", disk.to_str().unwrap(), own.to_str().unwrap()]);
        // A test that is killed leaves no box behind.
        let enter = ["ip", "netns", "exec", hub.name(), "setpriv", "--pdeathsig", "KILL"];
        let mut command: Vec<String> = enter.map(str::to_owned).into();
        command.push("qemu-system-x86_64".to_owned());
        let machine = "-machine q35 -accel tcg -cpu max -smp 1 -nodefaults -no-user-config -display none -serial stdio \
                       -device i6300esb -watchdog-action reset -boot strict=on";
        command.extend(machine.split_whitespace().map(str::to_owned));
        command.extend(["-m".to_owned(), MEMORY_MIB.to_string()]);
        if starter == Starter::Uefi {
            command.extend(
                ["-drive", "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE.fd"]
                    .map(str::to_owned),
            );
        }
        let mut drive = |path: &Path, index: u32| {
            let file = format!("file={},format=raw,if=none,id=disk{index},cache=unsafe", path.display());
            let device =
                format!("virtio-blk-pci,drive=disk{index}{}", if index == 0 { ",bootindex=0" } else { "" });
            command.extend(["-drive".to_owned(), file, "-device".to_owned(), device]);
        };
        drive(&own, 0);
        for (index, label) in (1..).zip(["sp-journal", "sp-cache0", "sp-cache1"]) {
            let path = dir.join(format!("box{number}-{label}.img"));
            File::create(&path).unwrap().set_len(DATA_BYTES).unwrap();
            run_ok("mke2fs", &["-q", "-t", "ext4", "-L", label, path.to_str().unwrap()]);
            drive(&path, index);
        }
        for link in Link::ALL {
            let bridge = link.interface();
            let tap = format!("box{number}{bridge}");
            hub.run_ok("ip", &["tuntap", "add", "dev", &tap, "mode", "tap"]);
            hub.run_ok("ip", &["link", "set", &tap, "master", bridge, "up"]);
            command.extend([
                "-netdev".to_owned(),
                format!("tap,id={bridge},ifname={tap},script=no,downscript=no"),
                "-device".to_owned(),
                format!(
                    "virtio-net-pci,netdev={bridge},romfile=,mac={},addr={:#x}",
                    mac(number, link),
                    FIRST_SLOT + link as u8
                ),
            ]);
        }
        command.extend_from_slice(more);
        let monitor = Monitor::new(dir.join(format!("box{number}.monitor")));
        command.extend(monitor.arguments());
        let log = Log::default();
        let boot = log.mark();
        Self { number, command, disk: own, monitor, log, boot, running: None }
    }

    /// Its own address on a network.
    pub fn address(&self, link: Link) -> std::net::Ipv4Addr {
        link.address(FIRST + self.number)
    }

    /// The MAC of its NIC at a network.
    pub fn mac(&self, link: Link) -> String {
        mac(self.number, link)
    }

    /// The PCI path of its NIC at a network.
    pub fn pci_path(&self, link: Link) -> String {
        format!("0000:00:{:02x}.0", FIRST_SLOT + link as u8)
    }

    /// A site file for a port that stands alone, with the center of the ground. `more` is further tables.
    pub fn site_file(&self, ground: &Ground, more: &str) -> String {
        format!(
            "schema = 1\n[port]\nname = \"box{number}\"\n\
             [lan]\nnic = \"{lan_nic}\"\naddress = \"{lan}/24\"\n\
             [wan]\nnic = \"{wan_nic}\"\naddress = \"{wan}/24\"\n\
             [center]\nurl = [\"{center}\"]\ncustomer = 1\nsecret_file = \"customer-1.secret\"\n{more}",
            number = self.number,
            lan_nic = mac(self.number, Link::Lan),
            lan = self.address(Link::Lan),
            wan_nic = mac(self.number, Link::Wan),
            wan = self.address(Link::Wan),
            center = ground.site.center_url(),
        )
    }

    /// Puts a site file and the customer's secret onto the ESP, as an operator does.
    pub fn provision(&self, ground: &Ground, more: &str) {
        self.put("site.toml", self.site_file(ground, more).as_bytes());
        self.put("customer-1.secret", &fs::read(ground.site.secret_file(1)).unwrap());
    }

    /// Puts a file onto the ESP, beside the site file.
    pub fn put(&self, name: &str, contents: &[u8]) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(contents).unwrap();
        let (image, source) = (self.esp(), file.path().to_str().unwrap().to_owned());
        run_ok("mcopy", &["-o", "-i", &image, &source, &format!("::storage-port/{name}")]);
    }

    /// Puts a folder with its files onto the ESP, beside the site file, under another name.
    pub fn put_folder(&self, name: &str, folder: &Path) {
        let staged = tempfile::tempdir().unwrap();
        let renamed = staged.path().join(name);
        run_ok("cp", &["-r", folder.to_str().unwrap(), renamed.to_str().unwrap()]);
        run_ok("mcopy", &["-s", "-i", &self.esp(), renamed.to_str().unwrap(), "::storage-port/"]);
    }

    /// A USB stick with these files in its folder `storage-port`; it must be among the arguments of [`Appliance::new`],
    /// see [`stick`].
    pub fn fill_stick(path: &Path, files: &[(&str, &Path)]) {
        File::create(path).unwrap().set_len(STICK_BYTES).unwrap();
        let image = path.to_str().unwrap();
        run_ok("mkfs.vfat", &["-n", "STICK", image]);
        run_ok("mmd", &["-i", image, "::storage-port"]);
        for (name, source) in files {
            run_ok("mcopy", &["-i", image, source.to_str().unwrap(), &format!("::storage-port/{name}")]);
        }
    }

    /// What lies in a folder of the ESP.
    pub fn esp_folder(&self, folder: &str) -> String {
        let listed = run_ok("mdir", &["-b", "-i", &self.esp(), &format!("::{folder}")]);
        String::from_utf8_lossy(&listed).into_owned()
    }

    /// The disk it starts from.
    pub fn disk(&self) -> &Path {
        &self.disk
    }

    fn esp(&self) -> String {
        format!("{}{ESP_AT}", self.disk.display())
    }

    /// Switches it on.
    pub fn start(&mut self) {
        self.boot = self.log.mark();
        self.switch_on();
    }

    fn switch_on(&mut self) {
        assert!(self.running.is_none(), "it runs already");
        let mut qemu = Command::new(&self.command[0])
            .args(&self.command[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", self.command[0]));
        self.log.follow(qemu.stdout.take().unwrap());
        self.log.follow(qemu.stderr.take().unwrap());
        let keyboard = qemu.stdin.take().unwrap();
        self.running = Some(Running { qemu, keyboard });
    }

    /// The same, until its service is there; how long it took.
    pub fn start_until_ready(&mut self) -> Duration {
        self.start();
        self.wait("STORAGE-PORT READY").0
    }

    /// Types a line at the console; only what is said from now on is waited for.
    pub fn say(&mut self, line: &str) {
        self.forget_said();
        let keyboard = &mut self.running.as_mut().expect("it is on").keyboard;
        keyboard.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Only what is said from now on is waited for.
    pub fn forget_said(&mut self) {
        self.boot = self.log.mark();
    }

    /// Waits until the console has said this, since it was switched on or last typed at; after how long, and the line.
    #[track_caller]
    pub fn wait(&mut self, text: &str) -> (Duration, String) {
        poll::until(&format!("box{} says {text:?}", self.number), BOOT_PATIENCE, || {
            self.mend_a_hung_reset();
            let qemu = &mut self.running.as_mut().expect("it is on").qemu;
            if let Some(status) = qemu.try_wait().unwrap() {
                panic!("QEMU ended, {status}");
            }
            self.log.find(self.boot, text)
        })
    }

    /// What a server's BMC does if the machine's own firmware does not come up after a reset: it switches it off and on.
    /// OVMF in QEMU was seen to hang so, once. It is said, with what the processor was at, even where the test passes.
    fn mend_a_hung_reset(&mut self) {
        let hangs = |(since, line): (Duration, String)| since >= RESET_PATIENCE && line.ends_with(RESETTING);
        if self.log.last().is_some_and(hangs) {
            let told = format!("box{} said nothing for {RESET_PATIENCE:?} after a reset", self.number);
            let at = self.monitor.processor();
            let _ = writeln!(io::stderr(), "{told}; it is switched off and on. It was at:\n{at}");
            self.kill();
            self.switch_on();
        }
    }

    /// Whether the console has said this, since it was switched on or last typed at.
    pub fn has_said(&self, text: &str) -> bool {
        self.log.find(self.boot, text).is_some()
    }

    /// What a line of shell prints, which must end well. Only a box with [`super::firmware::Firmware::with_shell`] takes
    /// one.
    #[track_caller]
    pub fn shell(&mut self, line: &str) -> String {
        // All of it by one write: what the box says of itself at the console meanwhile is before it or behind it.
        self.say(&format!("shell said=$({line}); printf 'begin=%s\\n%s\\nstatus=%s\\n' 0 \"$said\" $?"));
        let what = format!("box{} has done {line:?}", self.number);
        let (text, status) = poll::until(&what, SHELL_PATIENCE, || answer(&self.log.since(self.boot)));
        assert_eq!(status, 0, "{line}: {text}");
        text
    }

    /// Cuts its power.
    pub fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = running.qemu.kill();
            let _ = running.qemu.wait();
            self.log.add("--- power off");
        }
    }
}

impl Drop for Appliance {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!("--- console of box{}:\n{}", self.number, self.log.text());
        }
    }
}

/// What a line of shell printed, and how it ended, once both are on the console. The terminal's echo of the line has
/// neither number; it may come before the prompt, behind it or in the middle of it, and then it is broken in two.
fn answer(console: &[String]) -> Option<(String, u8)> {
    let from = console.iter().position(|text| text.contains("begin=0"))? + 1;
    let printed = &console[from..];
    let (length, status) = printed
        .iter()
        .enumerate()
        .find_map(|(at, text)| Some((at, text.strip_prefix("status=")?.parse().ok()?)))?;
    Some((printed[..length].join("\n").trim().to_owned(), status))
}

/// QEMU's arguments for a USB stick.
pub fn stick(path: &Path) -> [String; 4] {
    [
        "-drive".to_owned(),
        format!("file={},format=raw,if=none,id=stick,cache=unsafe", path.display()),
        "-device".to_owned(),
        "virtio-blk-pci,drive=stick".to_owned(),
    ]
}

/// The MAC of a box's NIC.
fn mac(number: u8, link: Link) -> String {
    format!("52:54:00:b0:{number:02x}:{:02x}", link as u8)
}

#[cfg(test)]
mod tests {
    use super::answer;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn an_answer_is_found_wherever_the_echo_of_its_question_is() {
        let behind = lines(
            "state | status | factory-reset\n> shell said=$(date); printf 'begin=%s\\n%s\\nstatus=%s\\n' 0 \"$said\" $?\n\
             storage-port: not serving yet\nbegin=0\nnoon\nstatus=0",
        );
        let within = lines(
            "state | status | factory-resetshell said=$(date); printf 'begin=%s\\n%s\\n\nstatus=%s\\n' 0 \"$said\" $?\n\
             > begin=0\nnoon\nstatus=0",
        );
        for console in [behind, within] {
            assert_eq!(answer(&console), Some(("noon".to_owned(), 0)), "{console:?}");
            for end in 0..console.len() {
                assert_eq!(answer(&console[..end]), None, "{console:?} to line {end}");
            }
        }
        assert_eq!(answer(&lines("sh: x: not found\nbegin=0\n\nstatus=127")), Some((String::new(), 127)));
    }
}
