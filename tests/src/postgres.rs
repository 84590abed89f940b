//! A PostgreSQL server as Debian ships it, with its data in a directory of the caller's; and a standby of it.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Output};
use std::time::Duration;

use crate::daemon::free_port;
use crate::poll;
use crate::tools::{quiet, run, run_ok};

/// PostgreSQL refuses to run as root; the package makes this user.
const USER: &str = "postgres";
/// Start and recovery of a small database.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server; ended when dropped.
pub struct Postgres {
    child: Option<Child>,
    data: PathBuf,
    port: u16,
}

impl Postgres {
    /// Makes a database cluster in a folder of `dir`, and serves it at a free port of 127.0.0.1 to the user `storage`.
    pub fn start(dir: &Path) -> Self {
        let data = private_folder(dir, "postgres");
        let arguments = ["-D", data.to_str().unwrap(), "-A", "trust", "-U", "storage", "--no-sync"];
        as_user("initdb", &arguments);
        let mut server = Self { child: None, data, port: free_port() };
        server.restart();
        server
    }

    /// A standby that has everything of this server from now on. This one acknowledges a commit when the standby has it.
    pub fn standby(&self, dir: &Path) -> Self {
        let data = private_folder(dir, "postgres-standby");
        let (port, to) = (self.port.to_string(), data.to_str().unwrap());
        let from = ["-h", "127.0.0.1", "-p", &port, "-U", "storage", "-D", to];
        as_user("pg_basebackup", &[&from[..], &["-R", "-X", "stream", "-c", "fast"]].concat());
        let mut standby = Self { child: None, data, port: free_port() };
        standby.restart();
        self.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'");
        self.sql("postgres", "SELECT pg_reload_conf()");
        poll::until("the standby is waited for", PATIENCE, || {
            let state = self.sql("postgres", "SELECT sync_state FROM pg_stat_replication");
            (state.trim() == "sync").then_some(())
        });
        standby
    }

    /// Makes a standby the server that takes writes.
    pub fn promote(&self) {
        as_user("pg_ctl", &["promote", "-D", self.data.to_str().unwrap()]);
        self.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = ''");
        self.sql("postgres", "SELECT pg_reload_conf()");
    }

    /// Starts it (again); returns when it answers.
    pub fn restart(&mut self) {
        let (port, log) = (self.port.to_string(), self.data.with_extension("log"));
        poll::until("PostgreSQL starts", PATIENCE, || {
            // After a kill -9 its children need a moment to notice: until then it refuses to start.
            let running = self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none());
            if !running {
                let command = format!(
                    "exec {} -D {} -c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories= \
                     -c shared_buffers=64MB >> {} 2>&1",
                    program("postgres").display(),
                    self.data.display(),
                    log.display(),
                );
                self.child =
                    Some(quiet("setpriv", &[&as_user_arguments()[..], &["sh", "-c", &command]].concat()));
            }
            self.psql("postgres", "SELECT 1").status.success().then_some(())
        });
    }

    /// Ends it at once, as a crash would.
    pub fn kill_9(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Its address, in the words of a connection string.
    pub fn host(&self) -> (&'static str, u16) {
        ("127.0.0.1", self.port)
    }

    /// Makes a database; the connection string of it.
    pub fn database(&self, name: &str) -> String {
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        let (host, port) = self.host();
        format!("host={host} port={port} user=storage dbname={name}")
    }

    /// What `psql` answers, without headings.
    #[track_caller]
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let output = self.psql(database, sql);
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn psql(&self, database: &str, sql: &str) -> Output {
        let port = self.port.to_string();
        run("psql", &["-h", "127.0.0.1", "-p", &port, "-U", "storage", "-d", database, "-XAtqc", sql])
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill_9();
    }
}

/// A folder that belongs to the server, below one that it may pass through.
fn private_folder(dir: &Path, name: &str) -> PathBuf {
    fs::set_permissions(dir, Permissions::from_mode(0o711)).unwrap();
    let log = dir.join(name).with_extension("log");
    let folder = dir.join(name);
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
    fs::write(&log, "").unwrap();
    for path in [&folder, &log] {
        chown(path, Some(user_id("-u")), Some(user_id("-g"))).unwrap();
    }
    folder
}

fn user_id(which: &str) -> u32 {
    String::from_utf8(run_ok("id", &[which, USER])).unwrap().trim().parse().unwrap()
}

/// The server's programs stand outside of the usual path, by version.
fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("./test installs PostgreSQL");
    let mut found: Vec<PathBuf> = versions
        .map(|version| version.unwrap().path().join("bin").join(name))
        .filter(|path| path.exists())
        .collect();
    found.sort();
    found.pop().expect("a version of PostgreSQL")
}

fn as_user_arguments() -> [&'static str; 5] {
    ["--reuid", USER, "--regid", USER, "--init-groups"]
}

#[track_caller]
fn as_user(name: &str, arguments: &[&str]) {
    let program = program(name);
    run_ok("setpriv", &[&as_user_arguments()[..], &[program.to_str().unwrap()], arguments].concat());
}
