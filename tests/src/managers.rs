//! A storage center with two directory managers.

use std::fs;
use std::path::Path;

use client::{Center, Settings};
use protocol::id::CustomerId;
use protocol::srl::Secret;

use crate::daemon::{Daemon, binary, free_port};
use crate::tools::run_ok;

/// Two processes of one storage center, both with a directory manager on one PostgreSQL database; the first is its object
/// manager and storage node as well. It has customer 1.
pub struct Managers {
    /// The first.
    pub one: Daemon,
    /// The second.
    pub two: Daemon,
    secret: Secret,
    urls: Vec<String>,
}

impl Managers {
    /// Starts both; their files are in `dir`.
    pub fn start(dir: &Path, database: &str) -> Self {
        let key = dir.join("cluster.key");
        run_center(&["cluster", "key", "--out", key.to_str().unwrap()]);
        let dosp = [free_port(), free_port()];
        let http = [free_port(), free_port()];
        for disk in ["disk0", "disk1"] {
            fs::create_dir(dir.join(disk)).unwrap();
        }
        let config = |index: usize| {
            let roles = [r#"["ddm", "dosm", "isn"]"#, r#"["ddm"]"#][index];
            let isn = format!(
                "[isn]\nnode = 1\ndisks = [\"{0}/disk0\", \"{0}/disk1\"]\nreserve_bytes = 0\n",
                dir.display()
            );
            let text = format!(
                r#"roles = {roles}
control = "{dir}/control{index}"
[http]
listen = "127.0.0.1:{http}"
[vfs]
postgres = "{database}"
{isn}
[cluster]
node = {number}
name = "main"
key_file = "{key}"
listen = "127.0.0.1:{dosp}"
peers = ["127.0.0.1:{peer}"]
copies = 2
"#,
                dir = dir.display(),
                http = http[index],
                isn = if index == 0 { &isn } else { "" },
                number = index + 1,
                key = key.display(),
                dosp = dosp[index],
                peer = dosp[1 - index],
            );
            let path = dir.join(format!("center{index}.toml"));
            fs::write(&path, text).unwrap();
            path
        };
        let (first, second) = (config(0), config(1));
        let secret = dir.join("secret");
        let (first, second) = (first.to_str().unwrap(), second.to_str().unwrap());
        let out = secret.to_str().unwrap();
        run_center(&[
            "customer",
            "add",
            "--config",
            first,
            "--id",
            "1",
            "--name",
            "one",
            "--secret-out",
            out,
        ]);
        let start = |config, log: &str| {
            Daemon::start("storage-center", &["serve", "--config", config], &dir.join(log))
        };
        Self {
            one: start(first, "one.log"),
            two: start(second, "two.log"),
            secret: Secret::new(fs::read_to_string(secret).unwrap().trim_end().into()).unwrap(),
            urls: http.map(|port| format!("http://127.0.0.1:{port}")).to_vec(),
        }
    }

    /// A client that asks both, one of them first.
    pub fn client(&self, first: usize) -> Center {
        let mut urls = self.urls.clone();
        urls.rotate_left(first);
        let settings = Settings::new(urls.clone(), urls, CustomerId(1), self.secret.clone());
        Center::new(settings).unwrap()
    }
}

fn run_center(arguments: &[&str]) {
    run_ok(binary("storage-center").to_str().unwrap(), arguments);
}
