//! A CIFS client by other people: Debian's smbclient.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::daemon::binary;
use crate::tools::run;

/// Somebody who may log on.
#[derive(Clone, Copy, Debug)]
pub struct User {
    /// By which he does.
    pub name: &'static str,
    /// His uid, and gid.
    pub id: u32,
    /// By which he proves it.
    pub password: &'static str,
}

/// Writes a port's file of users, of lines that `storage-port cifs user` makes.
#[track_caller]
pub fn write_users(file: &Path, config: &Path, users: &[User]) {
    let lines: String = users.iter().map(|user| line(config, user)).collect();
    fs::write(file, lines).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

fn line(config: &Path, user: &User) -> String {
    let id = user.id.to_string();
    let mut child = Command::new(binary("storage-port"))
        .args(["cifs", "user", user.name, "--uid", &id, "--gid", &id, "--config", config.to_str().unwrap()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(format!("{}\n", user.password).as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// Somebody at a share's server.
#[derive(Clone, Debug)]
pub struct Smbclient {
    server: SocketAddr,
    logon: String,
    options: Vec<String>,
}

/// What came of some commands.
#[derive(Clone, Debug)]
pub struct Said {
    /// None of them failed.
    pub is_good: bool,
    /// What was printed.
    pub text: String,
}

impl Smbclient {
    /// With a name and a password.
    pub fn new(server: SocketAddr, user: &str, password: &str) -> Self {
        Self { server, logon: format!("--user={user}%{password}"), options: Vec::new() }
    }

    /// Nobody in particular.
    pub fn anonymous(server: SocketAddr) -> Self {
        Self { server, logon: "--no-pass".to_owned(), options: Vec::new() }
    }

    /// With a further argument of the program.
    #[must_use]
    pub fn with(mut self, option: &str) -> Self {
        self.options.push(option.to_owned());
        self
    }

    /// In that dialect alone, by smbclient's word for it.
    #[must_use]
    pub fn in_dialect(self, dialect: &str) -> Self {
        self.with(&format!("--option=client min protocol={dialect}"))
            .with(&format!("--option=client max protocol={dialect}"))
    }

    /// Does `commands`, which `;` parts, in a share.
    pub fn run(&self, share: &str, commands: &str) -> Said {
        let unc = format!("//{}/{share}", self.server.ip());
        self.said(&[&unc, "--command", commands])
    }

    /// Logs on to a share and stays, until the child's standard input is closed.
    ///
    /// # Panics
    /// There is no smbclient.
    pub fn stay(&self, share: &str) -> Child {
        let unc = format!("//{}/{share}", self.server.ip());
        let port = format!("--port={}", self.server.port());
        Command::new("smbclient")
            .args(["--configfile=/dev/null", &port, &self.logon])
            .args(&self.options)
            .arg(unc)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// What the server lists of itself.
    pub fn shares(&self) -> Said {
        self.said(&["--grepable", "--list", &self.server.ip().to_string()])
    }

    fn said(&self, arguments: &[&str]) -> Said {
        let port = format!("--port={}", self.server.port());
        let mut all =
            vec!["TZ=UTC", "timeout", "60", "smbclient", "--configfile=/dev/null", &port, &self.logon];
        all.extend(self.options.iter().map(String::as_str));
        all.extend(arguments);
        let output = run("env", &all);
        let text = [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat();
        Said { is_good: output.status.success() && !text.contains("NT_STATUS_"), text }
    }
}

impl Said {
    /// All were done.
    ///
    /// # Errors
    /// What was said instead.
    pub fn good(self) -> Result<String, String> {
        if self.is_good { Ok(self.text) } else { Err(self.text) }
    }

    /// Refused with that status.
    ///
    /// # Errors
    /// What was said instead.
    pub fn refused(self, status: &str) -> Result<(), String> {
        if self.text.contains(status) { Ok(()) } else { Err(format!("no {status}: {}", self.text)) }
    }

    /// All were done, and `word` was said.
    ///
    /// # Errors
    /// What was said instead.
    pub fn says(self, word: &str) -> Result<(), String> {
        let text = self.good()?;
        if text.contains(word) { Ok(()) } else { Err(format!("no `{word}`: {text}")) }
    }
}
