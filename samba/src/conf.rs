//! `smb.conf`. Pure.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use cifs::server::Demand;

/// Most clients at once; each is a process.
const PROCESSES_MAX: u32 = 512;
/// KiB of Samba's log, of which one more is kept.
const LOG_KIB: u32 = 1_024;

/// Where everything of Samba's lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places(PathBuf);

impl Places {
    /// Below a directory that is Samba's alone.
    pub fn new(dir: PathBuf) -> Self {
        Self(dir)
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.0
    }

    /// `smb.conf`.
    pub fn conf(&self) -> PathBuf {
        self.0.join("smb.conf")
    }

    /// passwd(5).
    pub fn passwd(&self) -> PathBuf {
        self.0.join("passwd")
    }

    /// group(5).
    pub fn group(&self) -> PathBuf {
        self.0.join("group")
    }

    /// smbpasswd(5).
    pub fn smbpasswd(&self) -> PathBuf {
        self.0.join("smbpasswd")
    }

    /// What Samba writes for itself.
    pub fn run(&self) -> PathBuf {
        self.0.join("run")
    }

    /// The mount of the share of that place in the list of shares.
    pub fn mount(&self, place: usize) -> PathBuf {
        self.0.join(format!("mount-{place}"))
    }
}

/// A tree that is shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// What clients call it.
    pub name: String,
    /// Whether nothing can be changed in it.
    pub read_only: bool,
}

/// What Samba serves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// TCP address.
    pub listen: SocketAddr,
    /// By which clients know the server.
    pub name: String,
    /// Each is mounted at [`Places::mount`].
    pub shares: Vec<Share>,
    /// Whether users stand in [`Places::smbpasswd`], and nowhere else.
    pub own_users: bool,
    /// A file with more of `[global]`, by which the site joins a domain.
    pub include: Option<PathBuf>,
    /// Of requests.
    pub signing: Demand,
    /// Of everything.
    pub encryption: Demand,
}

/// The whole file.
///
/// No leases, oplocks or share modes of the kernel: what is shared here is also written by NFS clients, of whom Samba
/// learns nothing.
pub fn text(settings: &Settings, places: &Places) -> String {
    let run = places.run();
    let run = run.display();
    let mut text = String::from("# Made by storage-port at each start; changes are lost.\n[global]\n");
    let mut say = |key: &str, value: &dyn std::fmt::Display| {
        // Into memory.
        let _ = writeln!(text, "    {key} = {value}");
    };
    say("server role", &"standalone server");
    say("netbios name", &settings.name);
    say("disable netbios", &"yes");
    say("smb ports", &settings.listen.port());
    if !settings.listen.ip().is_unspecified() {
        say("interfaces", &settings.listen.ip());
        say("bind interfaces only", &"yes");
    }
    say("server min protocol", &"SMB2_10");
    say("server max protocol", &"SMB3_11");
    say("server multi channel support", &"no");
    say("server signing", &if settings.signing == Demand::Required { "mandatory" } else { "auto" });
    let encryption = if settings.encryption == Demand::Required { "required" } else { "if_required" };
    say("server smb encrypt", &encryption);
    say("map to guest", &"never");
    say("restrict anonymous", &2);
    say("max smbd processes", &PROCESSES_MAX);
    if settings.own_users {
        say("passdb backend", &format_args!("smbpasswd:{}", places.smbpasswd().display()));
    }
    for key in [
        "private dir",
        "lock directory",
        "state directory",
        "cache directory",
        "pid directory",
        "ncalrpc dir",
    ] {
        say(key, &run);
    }
    say("log file", &format_args!("{run}/log.%m"));
    say("max log size", &LOG_KIB);
    say("load printers", &"no");
    say("printcap name", &"/dev/null");
    say("disable spoolss", &"yes");
    for key in
        ["oplocks", "level2 oplocks", "kernel oplocks", "smb2 leases", "kernel share modes", "posix locking"]
    {
        say(key, &"no");
    }
    // In the one extended attribute that the mount has.
    say("store dos attributes", &"yes");
    for key in ["ea support", "map archive", "map hidden", "map system", "nt acl support"] {
        say(key, &"no");
    }
    say("map readonly", &"yes");
    say("create mask", &"0644");
    say("directory mask", &"0755");
    say("strict sync", &"yes");
    if let Some(include) = &settings.include {
        say("include", &include.display());
    }
    for (place, share) in settings.shares.iter().enumerate() {
        let path = places.mount(place);
        let read_only = if share.read_only { "yes" } else { "no" };
        let _ = write!(
            text,
            "\n[{}]\n    path = {}\n    read only = {read_only}\n    guest ok = no\n",
            share.name,
            path.display()
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(listen: &str) -> Settings {
        Settings {
            listen: listen.parse().unwrap(),
            name: "PORT".into(),
            shares: vec![
                Share { name: "export".into(), read_only: false },
                Share { name: "SRL".into(), read_only: true },
            ],
            own_users: true,
            include: None,
            signing: Demand::Required,
            encryption: Demand::Offered,
        }
    }

    #[test]
    fn what_is_demanded_of_clients_is_said() {
        let places = Places::new("/s".into());
        let made = text(&settings("192.0.2.1:445"), &places);
        for line in [
            "interfaces = 192.0.2.1",
            "server signing = mandatory",
            "server smb encrypt = if_required",
            "smb2 leases = no",
            "passdb backend = smbpasswd:/s/smbpasswd",
            "[SRL]\n    path = /s/mount-1\n    read only = yes",
        ] {
            assert!(made.contains(line), "{line}: {made}");
        }
        let strict = Settings { encryption: Demand::Required, ..settings("0.0.0.0:445") };
        let made = text(&strict, &places);
        assert!(made.contains("server smb encrypt = required") && !made.contains("interfaces"), "{made}");
    }

    #[test]
    fn a_domain_s_users_are_looked_for_where_the_site_says() {
        let include = Some("/etc/domain.conf".into());
        let made = text(
            &Settings { own_users: false, include, ..settings("0.0.0.0:445") },
            &Places::new("/s".into()),
        );
        assert!(made.contains("include = /etc/domain.conf") && !made.contains("passdb"), "{made}");
    }
}
