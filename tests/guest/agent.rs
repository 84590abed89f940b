//! Runs the test's scripts, one after the other, until the line ends.

use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};

use e2e::qemu::wire::{self, Report};

/// Obeys the test at the other end of `device`. What a script leaves running must not hold its output open.
pub fn obey(device: &str) {
    let mut line = File::options().read(true).write(true).open(device).unwrap();
    let mut scripts = BufReader::new(line.try_clone().unwrap());
    Report::Ready.send(&mut line).unwrap();
    while let Ok(script) = wire::receive_script(&mut scripts) {
        let status = run(&script, &mut line);
        Report::Status(status).send(&mut line).unwrap();
    }
}

fn run(script: &str, line: &mut File) -> i32 {
    let mut shell = Command::new("/bin/sh")
        .args(["-c", &format!("exec 2>&1\nset -eu\n{script}")])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = shell.stdout.take().unwrap();
    let mut piece = vec![0; 4096];
    loop {
        match output.read(&mut piece).unwrap() {
            0 => break,
            length => Report::Output(piece[..length].to_vec()).send(line).unwrap(),
        }
    }
    status(shell.wait().unwrap())
}

fn status(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}
