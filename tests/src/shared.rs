//! A site that shares its exports by CIFS, and what alice does there.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::daemon::free_port;
use crate::mount::mode;
use crate::site::{Port, PortSettings, Site};
use crate::smbclient::{self, Said, Smbclient, User};

/// Good, or what was wrong.
pub type Checked = Result<(), String>;

/// Good if it is so.
///
/// # Errors
/// What is said otherwise.
pub fn expect(is_so: bool, else_said: &str) -> Checked {
    if is_so { Ok(()) } else { Err(else_said.to_owned()) }
}

/// A site whose port shares its exports with alice and bob.
pub struct Shared {
    /// The storage center, with customer 1.
    pub site: Site,
    /// The port, which serves NFS as well.
    pub port: Port,
    /// Where the shares are.
    pub server: SocketAddr,
}

/// Settings of a port that shares at `server`, with `more` keys, whose users are in [`users_file`].
pub fn settings(site: &Site, server: SocketAddr, more: &str) -> PortSettings {
    let users = users_file(site);
    PortSettings {
        more: format!("[cifs]\nlisten = \"{server}\"\nusers = {users:?}\n{more}"),
        ..PortSettings::default()
    }
}

/// The file of users of a site's port.
pub fn users_file(site: &Site) -> PathBuf {
    site.path().join("cifs-users")
}

/// Writes it, with a port's configuration.
pub fn write_users(site: &Site, config: &Path) {
    let users = [("alice", 1000, "Secret 1"), ("bob", 1001, "Zürich")];
    let users = users.map(|(name, id, password)| User { name, id, password });
    smbclient::write_users(&users_file(site), config, &users);
    let lines = fs::read_to_string(users_file(site)).unwrap();
    assert!(
        !lines.contains("Secret") && !lines.contains("Zürich"),
        "PORT-1: passwords are not kept as typed"
    );
}

impl Shared {
    /// With those keys of [cifs] as well.
    pub fn start(more: &str) -> Self {
        Self::start_away(more, |center| center)
    }

    /// The same with the center where `away` says that it is reached.
    pub fn start_away(more: &str, away: impl FnOnce(SocketAddr) -> SocketAddr) -> Self {
        let site = Site::start();
        // Samba's users pass below it.
        fs::set_permissions(site.path(), fs::Permissions::from_mode(0o711)).unwrap();
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let (dir, config) = site.write_port_config("port", &settings(&site, server, more));
        write_users(&site, &config);
        let text = fs::read_to_string(&config).unwrap();
        let (center, reached) = (site.center_address(), away(site.center_address()));
        fs::write(&config, text.replace(&center.to_string(), &reached.to_string())).unwrap();
        let port = site.start_port(dir, &config);
        let shared = Self { site, port, server };
        // Everybody's, as `chmod 777` by an NFS client that is root makes it.
        let mut mount = shared.port.mount("/export");
        let root = mount.root();
        mount.setattr(&root, mode(0o777)).unwrap();
        shared
    }

    /// What the port has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.port.path().join("port.log")).unwrap()
    }

    /// Alice, who knows her password.
    pub fn alice(&self) -> Smbclient {
        Smbclient::new(self.server, "alice", "Secret 1")
    }

    /// The share of the export in which bob acts as himself: the port's own server has one for each user, Samba one for
    /// all.
    pub fn share_of_bob(&self) -> &'static str {
        let config = fs::read_to_string(self.port.config()).unwrap();
        if config.contains("engine = \"samba\"") { "export" } else { "export-bob" }
    }

    /// What comes of alice's commands in the export's share.
    pub fn export(&self, commands: &str) -> Said {
        self.alice().run("export", commands)
    }

    /// A local file of that name with those bytes.
    pub fn local(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.site.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Puts bytes under a remote name and gets them again.
    ///
    /// # Errors
    /// What the client said, or that they differ.
    pub fn there_and_back(&self, client: &Smbclient, name: &str, bytes: &[u8]) -> Checked {
        let (there, back) = (self.local("there", bytes), self.site.path().join("back"));
        let _ = fs::remove_file(&back);
        client.run("export", &format!("put {there} \"{name}\"; get \"{name}\" {}", back.display())).good()?;
        expect(fs::read(&back).map_err(|error| error.to_string())? == bytes, "other bytes came back")
    }

    /// Puts some bytes there.
    ///
    /// # Errors
    /// What the client said.
    pub fn put(&self, name: &str, bytes: &[u8]) -> Checked {
        let from = self.local("put", bytes);
        self.export(&format!("put {from} \"{name}\"")).good().map(drop)
    }

    /// What is there.
    ///
    /// # Errors
    /// What the client said.
    pub fn get(&self, name: &str) -> Result<Vec<u8>, String> {
        let to = self.site.path().join("got");
        let _ = fs::remove_file(&to);
        self.export(&format!("get \"{name}\" {}", to.display())).good()?;
        fs::read(&to).map_err(|error| error.to_string())
    }
}
