//! Programs from outside, run to their end.

use std::process::{Command, Output};

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
