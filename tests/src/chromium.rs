//! Chromium as Debian ships it, without a window, and web pages for it that report what they saw.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

/// A running browser with one page open; ended with all its processes when dropped.
pub struct Chromium {
    child: Child,
}

impl Chromium {
    /// Opens a page. Everything of the browser's lies in `dir`, and it finds no host but this machine.
    pub fn open(dir: &Path, url: &str) -> Self {
        let dir = dir.join("chromium");
        fs::create_dir_all(&dir).unwrap();
        let log = fs::File::create(dir.join("log")).unwrap();
        let child = Command::new("chromium")
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--mute-audio",
            ])
            .args(["--no-first-run", "--disable-background-networking", "--disable-component-update"])
            .arg("--autoplay-policy=no-user-gesture-required")
            .arg("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
            .arg(format!("--user-data-dir={}", dir.join("profile").display()))
            .arg(url)
            .env("HOME", &dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            // Its processes are a group of their own, and end together.
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("cannot start chromium ({error}): ./test installs what tests need")
            });
        Self { child }
    }
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
