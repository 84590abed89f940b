//! The process that mounts, and starts and ends Samba, as it is told over its standard input, a socket.
//!
//! | order | what it does | answer |
//! |---|---|---|
//! | `mount PATH` | mounts `/dev/fuse` there | `ok` with the descriptor, or `no` and why |
//! | `start` | starts `smbd`, again and again if it ends | `ok`, or `no` and why |
//! | `stop` | kills it and all that it has started | none |
//!
//! Orders are lines; one is done before the next is read, and the first is a mount. At the socket's end Samba is killed, everything unmounted,
//! and the process ends.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{Pid, Signal, getegid, geteuid, kill_process_group};
use tokio::io::{AsyncBufReadExt, BufReader, Interest};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use crate::conf::Places;

/// How long Samba stays ended at first when it ended by itself, and at most.
const AGAIN: Duration = Duration::from_millis(250);
const AGAIN_MAX: Duration = Duration::from_secs(4);
/// Most mounts one above the other that are left by earlier runs and taken away.
const LEFT_MAX: usize = 16;
/// How often it is looked whether what was left has ended, which has Samba's address until then, and how often at most.
const LEFT_LOOK: Duration = Duration::from_millis(10);
const LEFT_LOOKS: u32 = 200;
/// By which programs are shown users that the machine does not have.
const NSS_WRAPPER: &str = "libnss_wrapper.so";

struct Keeper {
    places: Places,
    mounts: Vec<PathBuf>,
    samba: Option<Samba>,
    again: Duration,
}

/// A process, and the group of those it has started.
struct Samba {
    child: Child,
    group: Pid,
}

/// Does as it is told until the socket ends.
///
/// # Errors
/// The socket, or signals, cannot be used.
pub async fn run(places: Places) -> io::Result<()> {
    // Whoever ends the port and all that belongs to it tells this process as well, which has to outlive it.
    let mut terminations = signal(SignalKind::terminate())?;
    let mut interrupts = signal(SignalKind::interrupt())?;
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    socket.set_nonblocking(true)?;
    let (orders, socket) = tokio::net::UnixStream::from_std(socket)?.into_split();
    let mut keeper = Keeper { places, mounts: Vec::new(), samba: None, again: AGAIN };
    let mut lines = BufReader::new(orders).lines();
    loop {
        tokio::select! {
            line = lines.next_line() => match line {
                Ok(Some(order)) => keeper.obey(&order, socket.as_ref()).await?,
                Ok(None) | Err(_) => break,
            },
            () = ended(&mut keeper.samba) => keeper.restart().await,
            _ = terminations.recv() => {}
            _ = interrupts.recv() => {}
        }
    }
    keeper.stop().await;
    for path in &keeper.mounts {
        take_away(path);
    }
    Ok(())
}

/// Waits for its end; for ever if there is none.
async fn ended(samba: &mut Option<Samba>) {
    match samba {
        Some(samba) => match samba.child.wait().await {
            Ok(status) => tracing::error!("smbd has ended ({status}): see its log"),
            Err(error) => tracing::error!("smbd cannot be waited for: {error}"),
        },
        None => std::future::pending().await,
    }
}

impl Keeper {
    async fn obey(&mut self, order: &str, socket: &tokio::net::UnixStream) -> io::Result<()> {
        match order.split_once(' ') {
            Some(("mount", path)) => {
                if self.mounts.is_empty() {
                    // Not before the first order: whoever gives one has made sure that no other port serves from here.
                    for _ in 0..LEFT_LOOKS {
                        if !self.end_left() {
                            break;
                        }
                        sleep(LEFT_LOOK).await;
                    }
                }
                tell(socket, self.mount(Path::new(path)).map(Some)).await
            }
            None if order == "start" => {
                self.stop().await;
                self.again = AGAIN;
                tell(socket, self.start().map(|()| None)).await
            }
            None if order == "stop" => {
                self.stop().await;
                Ok(())
            }
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, format!("no order: {order}"))),
        }
    }

    fn mount(&mut self, path: &Path) -> io::Result<OwnedFd> {
        take_away(path);
        fs::create_dir_all(path)?;
        let device: OwnedFd = fs::File::options().read(true).write(true).open("/dev/fuse")?.into();
        let number = std::os::fd::AsRawFd::as_raw_fd(&device);
        let (user, group) = (geteuid().as_raw(), getegid().as_raw());
        let options = format!("fd={number},rootmode=40000,user_id={user},group_id={group},allow_other");
        let options = std::ffi::CString::new(options).map_err(io::Error::other)?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        mount("storage-port", path, "fuse.storage-port", flags, Some(options.as_c_str()))?;
        self.mounts.push(path.to_owned());
        Ok(device)
    }

    fn start(&mut self) -> io::Result<()> {
        let conf = self.places.conf();
        let mut command = Command::new("smbd");
        command
            .args(["--foreground", "--no-process-group", "--configfile"])
            .arg(&conf)
            .envs(self.environment())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            // What it starts is killed with it.
            .process_group(0)
            .kill_on_drop(true);
        let child = command.spawn()?;
        let id = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let group = id.ok_or_else(|| io::Error::other("it has ended at once"))?;
        self.samba = Some(Samba { child, group });
        Ok(())
    }

    /// Users of its own, where there are any.
    fn environment(&self) -> BTreeMap<&'static str, PathBuf> {
        let passwd = self.places.passwd();
        if !passwd.exists() {
            return BTreeMap::new();
        }
        BTreeMap::from([
            ("LD_PRELOAD", PathBuf::from(NSS_WRAPPER)),
            ("NSS_WRAPPER_PASSWD", passwd),
            ("NSS_WRAPPER_GROUP", self.places.group()),
        ])
    }

    async fn restart(&mut self) {
        self.stop().await;
        sleep(self.again).await;
        self.again = (self.again * 2).min(AGAIN_MAX);
        if let Err(error) = self.start() {
            tracing::error!("smbd cannot be started: {error}");
        }
    }

    /// Kills Samba and waits for its end.
    async fn stop(&mut self) {
        let Some(mut samba) = self.samba.take() else { return };
        // Fails where all of it has ended already.
        let _ = kill_process_group(samba.group, Signal::KILL);
        let _ = samba.child.wait().await;
        self.end_left();
    }

    /// Kills what Samba has left: helpers outside of its group, or all of it if this process was killed. Whether there was
    /// any.
    fn end_left(&self) -> bool {
        let dir = self.places.dir().as_os_str().as_encoded_bytes();
        let Ok(processes) = fs::read_dir("/proc") else { return false };
        let mut is_any = false;
        for process in processes.flatten() {
            let Some(id) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let read = |file| fs::read(process.path().join(file)).unwrap_or_default();
            let arguments = read("cmdline");
            let program = arguments.split(|byte| *byte == 0).next().unwrap_or_default();
            let is_samba = [&b"smbd"[..], b"samba-dcerpcd", b"rpcd_"].iter().any(|name| {
                program.rsplit(|byte| *byte == b'/').next().is_some_and(|own| own.starts_with(name))
            });
            let names_ours = |text: &[u8]| text.windows(dir.len()).any(|part| part == dir);
            if is_samba
                && (names_ours(&arguments) || names_ours(&read("environ")))
                && let Some(id) = Pid::from_raw(id)
            {
                let _ = rustix::process::kill_process(id, Signal::KILL);
                is_any = true;
            }
        }
        is_any
    }
}

/// Whatever is mounted there, busy or not.
fn take_away(path: &Path) {
    for _ in 0..LEFT_MAX {
        if unmount(path, UnmountFlags::DETACH).is_err() {
            return;
        }
    }
}

async fn tell(socket: &tokio::net::UnixStream, done: io::Result<Option<OwnedFd>>) -> io::Result<()> {
    let (text, device) = match done {
        Ok(device) => ("ok".to_owned(), device),
        Err(error) => (format!("no {error}"), None),
    };
    // One line.
    let line = format!("{}\n", text.replace('\n', " "));
    let sent = socket
        .async_io(Interest::WRITABLE, || {
            let descriptors: Vec<_> = device.iter().map(|device| device.as_fd()).collect();
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            if !descriptors.is_empty() {
                ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
            }
            Ok(sendmsg(socket, &[IoSlice::new(line.as_bytes())], &mut ancillary, SendFlags::NOSIGNAL)?)
        })
        .await?;
    if sent == line.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}
