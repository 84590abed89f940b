//! The NICs of this machine, as sysfs has them; and whether they are those that a site file names.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use crate::fault::Fault;
use crate::site::Site;
use crate::words::{NicId, PciPath};

/// Where sysfs has them.
pub const SYSFS: &str = "/sys/class/net";
/// More are not looked at.
const NICS_MAX: usize = 64;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nic {
    /// What the kernel calls it now.
    pub interface: String,
    /// Its MAC.
    pub mac: NicId,
    /// Where it is on the PCI bus, if it is there.
    pub pci: Option<NicId>,
    /// Whether a cable is in and the other end is there; `None` while it is switched off.
    pub carrier: Option<bool>,
}

impl Nic {
    /// Whether it is the one that is named so.
    pub fn is(&self, id: &NicId) -> bool {
        self.mac == *id || self.pci.as_ref() == Some(id)
    }
}

impl fmt::Display for Nic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.interface, self.mac)?;
        if let Some(pci) = &self.pci {
            write!(f, " at {pci}")?;
        }
        f.write_str(match self.carrier {
            Some(true) => ", cable in",
            Some(false) => ", no cable",
            None => ", switched off",
        })
    }
}

/// The Ethernet NICs below `sysfs`, in order of their names; not those that the kernel makes by itself.
///
/// # Errors
/// There is no such folder.
pub fn list(sysfs: &Path) -> io::Result<Vec<Nic>> {
    let mut names: Vec<String> = fs::read_dir(sysfs)?
        .take(NICS_MAX)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    Ok(names.iter().filter_map(|name| nic(&sysfs.join(name), name)).collect())
}

fn nic(folder: &Path, interface: &str) -> Option<Nic> {
    /// `ARPHRD_ETHER`.
    const ETHERNET: &str = "1";
    let read = |file: &str| fs::read_to_string(folder.join(file)).map(|text| text.trim().to_owned());
    // What is made of software has no device below it.
    let device = fs::canonicalize(folder.join("device")).ok()?;
    if read("type").ok()? != ETHERNET {
        return None;
    }
    let carrier = match read("carrier").as_deref() {
        Ok("1") => Some(true),
        Ok("0") => Some(false),
        // It cannot be asked while it is down.
        _ => None,
    };
    // A virtio NIC hangs below its PCI function.
    let pci = device.ancestors().find_map(|above| above.file_name()?.to_str()?.parse::<PciPath>().ok());
    Some(Nic {
        interface: interface.to_owned(),
        mac: read("address").ok()?.parse().ok()?,
        pci: pci.map(NicId::Pci),
        carrier,
    })
}

/// What is wrong with the NICs that a site names, and what else is worth a look.
pub fn check(site: &Site, nics: &[Nic]) -> (Vec<Fault>, Vec<Fault>) {
    let (mut faults, mut notes) = (Vec::new(), Vec::new());
    for (place, (role, id)) in site.nics().into_iter().enumerate() {
        let table = role.as_str();
        let Some(nic) = nics.iter().find(|nic| nic.is(id)) else {
            let text = format!("there is no NIC {id} in this machine; {}", those(nics));
            faults.push(Fault::new(table, "nic", text));
            continue;
        };
        // One may be named by its MAC and by its place.
        let other = site.nics().into_iter().take(place).find(|(_, other)| nic.is(other) && *other != id);
        if let Some((other, named)) = other {
            let text = format!(
                "{id} and {named} of [{}] are one NIC: each of the roles needs its own; {}",
                other.as_str(),
                those(nics)
            );
            faults.push(Fault::new(table, "nic", text));
        }
        if nic.carrier == Some(false) {
            notes.push(Fault::new(table, "nic", format_args!("no cable is in {nic}: plug it in")));
        }
    }
    (faults, notes)
}

fn those(nics: &[Nic]) -> String {
    if nics.is_empty() {
        return "it has none that this firmware has a driver for".to_owned();
    }
    let list: Vec<String> = nics.iter().map(ToString::to_string).collect();
    format!("it has: {}", list.join("; "))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::site;

    const EXAMPLE: &str = include_str!("../site.example.toml");

    /// A machine's sysfs, as far as it is looked at.
    fn machine(nics: &[(&str, &str, &str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let class = dir.path().join("class/net");
        for (name, mac, pci, carrier) in nics {
            let device = dir.path().join("devices/pci0000:00").join(pci).join("virtio1");
            fs::create_dir_all(&device).unwrap();
            let nic = class.join(name);
            fs::create_dir_all(&nic).unwrap();
            symlink(&device, nic.join("device")).unwrap();
            for (file, text) in [("address", mac), ("type", &"1"), ("carrier", carrier)] {
                fs::write(nic.join(file), format!("{text}\n")).unwrap();
            }
        }
        let loopback = class.join("lo");
        fs::create_dir_all(&loopback).unwrap();
        fs::write(loopback.join("type"), "772\n").unwrap();
        fs::write(loopback.join("address"), "00:00:00:00:00:00\n").unwrap();
        dir
    }

    const TWO: [(&str, &str, &str, &str); 2] = [
        ("eth0", "52:54:00:00:00:01", "0000:00:03.0", "1"),
        ("eth1", "52:54:00:00:00:02", "0000:00:04.0", "0"),
    ];

    #[test]
    fn nics_are_found_with_mac_place_and_cable() {
        let machine = machine(&TWO);
        let nics = list(&machine.path().join("class/net")).unwrap();
        let told: Vec<String> = nics.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "eth0 52:54:00:00:00:01 at 0000:00:03.0, cable in",
                "eth1 52:54:00:00:00:02 at 0000:00:04.0, no cable"
            ]
        );
        assert!(list(Path::new("/no/such/sysfs")).is_err());
    }

    /// PORT-18: three roles: what is missing is told with what is there.
    #[test]
    fn a_nic_that_is_missing_or_has_two_roles_is_told() {
        let machine = machine(&TWO);
        let nics = list(&machine.path().join("class/net")).unwrap();
        let checked = |text: &str| check(&site::read(text, Path::new("site.toml")).unwrap(), &nics);
        let (faults, notes) = checked(EXAMPLE);
        assert_eq!(faults, []);
        assert!(notes.len() == 1 && notes[0].to_string().contains("[wan] nic: no cable"), "{notes:?}");
        let (faults, _) = checked(&EXAMPLE.replace("52:54:00:00:00:02", "52:54:00:00:00:09"));
        let said = faults[0].to_string();
        assert!(
            said.starts_with("[wan] nic: there is no NIC 52:54:00:00:00:09") && said.contains("eth1"),
            "{said}"
        );
        let (faults, _) = checked(&EXAMPLE.replace("52:54:00:00:00:02", "0000:00:03.0"));
        let said = faults[0].to_string();
        assert!(faults.len() == 1 && said.contains("[lan] are one NIC"), "{said}");
        let (faults, _) = check(&site::read(EXAMPLE, Path::new("site.toml")).unwrap(), &[]);
        assert!(faults.len() == 2 && faults[0].to_string().contains("none"), "{faults:?}");
    }
}
