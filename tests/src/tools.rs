//! Programs from outside.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::poll;

/// Runs a program; panics if it cannot be started (the tests' README line installs all of them).
pub fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("cannot run {program} ({error}): ./test installs what the tests need"))
}

/// Runs a program that must succeed, and gives its standard output.
#[track_caller]
pub fn run_ok(program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = run(program, arguments);
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    output.stdout
}

/// GETs a URL with curl: HTTP status, headers and body.
pub fn curl(url: &str, extra: &[&str]) -> (u16, String, Vec<u8>) {
    let mut arguments = vec!["--silent", "--show-error", "--include", "--max-time", "60", "--path-as-is"];
    arguments.extend(extra);
    arguments.push(url);
    let answer = run_ok("curl", &arguments);
    let split = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("an HTTP header");
    let header = String::from_utf8_lossy(&answer[..split]).into_owned();
    let status = header.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("an HTTP status");
    (status, header, answer[split + 4..].to_vec())
}

/// Starts a program that says nothing; the caller ends it.
pub fn quiet(program: &str, arguments: &[&str]) -> Child {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {program}: {error}"))
}

/// Waits until somebody listens there; panics with the program's log if nobody does.
#[track_caller]
pub fn wait_for(server: SocketAddr, log: &Path) {
    let start = Instant::now();
    poll::until(&format!("{server} answers"), Duration::from_secs(30), || {
        if start.elapsed() > Duration::from_secs(20) {
            panic!("{server} does not answer:\n{}", fs::read_to_string(log).unwrap_or_default());
        }
        TcpStream::connect(server).ok()
    });
}
