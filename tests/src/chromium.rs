//! Chromium as Debian ships it, without a window, and web pages for it that report what they saw.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

/// A running browser; ended with all its processes when dropped.
pub struct Chromium {
    child: Child,
}

impl Chromium {
    /// Opens a page. Everything of the browser's lies in `dir`, and it finds no host but this machine.
    pub fn open(dir: &Path, url: &str) -> Self {
        let dir = dir.join("chromium");
        let mut command = Command::new("chromium");
        command.args(arguments(&dir)).arg(url).stdin(Stdio::null()).stdout(Stdio::null());
        Self { child: spawn(&mut command, &dir) }
    }

    /// A browser with nothing open that does what it is told (the DevTools protocol) through the pipes it is given here,
    /// in a network namespace if one is named.
    pub fn told(dir: &Path, netns: Option<&str>) -> (Self, ChildStdin, ChildStdout) {
        let dir = dir.join("chromium");
        let shell = ["sh", "-c", "exec chromium \"$@\" 3<&0 4>&1 </dev/null >/dev/null", "chromium"];
        let enter = netns.map(|netns| ["ip", "netns", "exec", netns]);
        let mut words = enter.into_iter().flatten().chain(shell);
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words).args(arguments(&dir)).arg("--remote-debugging-pipe").arg("about:blank");
        let mut child = spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()), &dir);
        let (to, from) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        (Self { child }, to, from)
    }
}

/// Everything of the browser's lies in `dir`, and it finds no host but this machine.
fn arguments(dir: &Path) -> Vec<String> {
    let fixed = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--mute-audio",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--autoplay-policy=no-user-gesture-required",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ];
    let profile = format!("--user-data-dir={}", dir.join("profile").display());
    fixed.map(str::to_owned).into_iter().chain([profile]).collect()
}

fn spawn(command: &mut Command, dir: &Path) -> Child {
    fs::create_dir_all(dir).unwrap();
    let log = fs::File::create(dir.join("log")).unwrap();
    // Its processes are a group of their own, and end together.
    let started = command.env("HOME", dir).stderr(log).process_group(0).spawn();
    started.unwrap_or_else(|error| panic!("cannot start chromium ({error}): ./test installs what tests need"))
}

impl Drop for Chromium {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// A web site of one page, at an origin of its own. What its script sends to `/report` comes out of it.
pub struct Pages {
    /// Where it serves.
    pub address: SocketAddr,
    reports: Receiver<String>,
}

impl Pages {
    /// Serves this page at `/`, until the test ends.
    pub fn serve(page: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, reports) = channel();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // A browser that hangs up early is no concern of ours.
                let _ = answer(stream, &page, &sender);
            }
        });
        Self { address, reports }
    }

    /// What the page reports next.
    #[track_caller]
    pub fn next_report(&self, patience: Duration) -> String {
        self.reports.recv_timeout(patience).expect("the page reports")
    }
}

/// One request of a connection: a report is the body of a POST.
fn answer(stream: TcpStream, page: &str, reports: &Sender<String>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut reader = BufReader::new(stream);
    let (mut request, mut length) = (String::new(), 0);
    reader.read_line(&mut request)?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    std::io::Read::read_exact(&mut reader, &mut body)?;
    let (status, text) = match request.split(' ').nth(1) {
        Some("/") => ("200 OK", page),
        Some("/report") => {
            let _ = reports.send(String::from_utf8_lossy(&body).into_owned());
            ("200 OK", "")
        }
        _ => ("404 Not Found", ""),
    };
    write!(
        reader.into_inner(),
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{text}",
        text.len()
    )
}
