//! The questions: how each is asked, and what is an answer. Pure.

use std::fmt::Display;
use std::str::FromStr;

use super::{Prompt, Wizard};
use crate::files::{Pending, content};
use crate::nics::Nic;
use crate::site::Role;
use crate::site::check::{no_floating, no_gateway, no_peer, overlap};
use crate::site::read::{DhcpOr, Ip, Letter, SiteName};
use crate::words::{CenterUrl, FileName, Host, HostName, Interface, NicId};

/// One question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    Name,
    Nic(Role),
    LanAddress,
    LanGateway,
    WanAddress,
    WanGateway,
    Dns,
    Ntp,
    Url,
    Authority,
    Customer,
    Secret,
    IsPair,
    PairName,
    Member,
    HeartbeatAddress,
    PeerHeartbeat,
    Floating,
    PeerLan,
    Keys,
    Ssh,
}

use Question as Q;

/// In which order they are asked.
pub(super) const ORDER: [Question; 23] = [
    Q::Name,
    Q::Nic(Role::Lan),
    Q::LanAddress,
    Q::LanGateway,
    Q::Nic(Role::Wan),
    Q::WanAddress,
    Q::WanGateway,
    Q::Dns,
    Q::Ntp,
    Q::Url,
    Q::Authority,
    Q::Customer,
    Q::Secret,
    Q::IsPair,
    Q::PairName,
    Q::Member,
    Q::Nic(Role::Heartbeat),
    Q::HeartbeatAddress,
    Q::PeerHeartbeat,
    Q::Floating,
    Q::PeerLan,
    Q::Keys,
    Q::Ssh,
];

/// What takes out a value that need not be there.
const NONE: &str = "none";

impl Question {
    /// Whether it is asked after the answers there are.
    pub(super) fn applies(self, wizard: &Wizard) -> bool {
        let is_fixed = wizard.document.text_of("wan", "address") != Some("dhcp");
        match self {
            Q::WanGateway => is_fixed,
            Q::Authority => {
                wizard.document.typed("center", "url").is_some_and(|urls| urls.contains("https://"))
            }
            Q::PairName
            | Q::Member
            | Q::Nic(Role::Heartbeat)
            | Q::HeartbeatAddress
            | Q::PeerHeartbeat
            | Q::Floating
            | Q::PeerLan
            | Q::Keys => wizard.is_pair,
            _ => true,
        }
    }

    /// Where the answer stands.
    fn place(self) -> (&'static str, &'static str) {
        match self {
            Q::Name => ("port", "name"),
            Q::Nic(role) => (role.as_str(), "nic"),
            Q::LanAddress => ("lan", "address"),
            Q::LanGateway => ("lan", "gateway"),
            Q::WanAddress => ("wan", "address"),
            Q::WanGateway => ("wan", "gateway"),
            Q::Dns => ("wan", "dns"),
            Q::Ntp => ("time", "ntp"),
            Q::Url => ("center", "url"),
            Q::Authority => ("center", "ca_file"),
            Q::Customer => ("center", "customer"),
            Q::Secret => ("center", "secret_file"),
            Q::IsPair | Q::PairName => ("pair", "name"),
            Q::Member => ("pair", "member"),
            Q::HeartbeatAddress => ("heartbeat", "address"),
            Q::PeerHeartbeat => ("pair", "peer_heartbeat"),
            Q::Floating => ("pair", "addresses"),
            Q::PeerLan => ("pair", "peer_lan"),
            Q::Keys => ("pair", "keys"),
            Q::Ssh => ("ssh", "authorized_keys_file"),
        }
    }

    /// How it is asked.
    pub(super) fn prompt(self, wizard: &Wizard) -> Prompt {
        let (table, key) = self.place();
        let there = wizard.document.typed(table, key);
        let ask = |ask: &str| Prompt {
            lines: Vec::new(),
            ask: ask.to_owned(),
            default: there.clone(),
            is_secret: false,
        };
        let or_none = |ask: &str| Prompt {
            lines: Vec::new(),
            ask: ask.to_owned(),
            default: Some(there.clone().unwrap_or_else(|| NONE.to_owned())),
            is_secret: false,
        };
        match self {
            Q::Name => ask("Name of this machine, like port-a"),
            Q::Nic(role) => nic_prompt(wizard, role, there),
            Q::LanAddress => ask("This port's own address on the LAN, like 192.0.2.11/24"),
            Q::LanGateway => or_none("Router to clients in other networks, or none"),
            Q::WanAddress => ask("This port's address on the WAN, like 198.51.100.7/24, or dhcp"),
            Q::WanGateway => or_none("Router to the storage center, or none"),
            Q::Dns => or_none("Name servers, with spaces between, or none"),
            Q::Ntp => or_none("Time servers, with spaces between, or none"),
            Q::Url => ask("Storage center, like https://center.example:8443"),
            Q::Authority => Prompt {
                lines: vec![
                    "Who signed the storage center's certificate: `public`, a public authority; `paste`, to paste the".into(),
                    format!("authority's certificate here; or the name of a PEM file.{}", listed(&wizard.around.files)),
                ],
                ask: "Authority".to_owned(),
                default: Some(there.unwrap_or_else(|| "public".to_owned())),
                is_secret: false,
            },
            Q::Customer => ask("Number of the customer"),
            Q::Secret => Prompt {
                lines: vec![match (&wizard.secret, &there) {
                    (Some(_), _) => "An empty answer keeps the secret that was typed.".to_owned(),
                    (None, Some(file)) if wizard.around.files.contains(file) => {
                        format!("An empty answer keeps the secret in {file}.")
                    }
                    _ => "It is what the file of `storage-center customer add --secret-out` holds; it is not shown.".into(),
                }],
                ask: "The customer's secret".to_owned(),
                default: None,
                is_secret: true,
            },
            Q::IsPair => Prompt {
                default: Some(if wizard.is_pair { "yes" } else { "no" }.to_owned()),
                ..ask("Is this one of two ports that stand in for each other (yes or no)")
            },
            Q::PairName => ask("Name of the pair, as given to `storage-port pair keys`"),
            Q::Member => ask("Which of the two this port is (a or b)"),
            Q::HeartbeatAddress => ask("This port's address on the link between the two, like 10.99.0.1/30"),
            Q::PeerHeartbeat => ask("The other port's address on that link"),
            Q::Floating => ask("Addresses that clients mount and the two share, like 192.0.2.10/24"),
            Q::PeerLan => ask("The other port's own address on the LAN"),
            Q::Keys => Prompt {
                lines: vec![format!(
                    "The folder beside the site file that `storage-port pair keys` made for this port.{}",
                    listed(&wizard.around.folders)
                )],
                ..ask("Folder of keys")
            },
            Q::Ssh => Prompt {
                lines: vec![format!("Nobody can log in by SSH but with a key of this file.{}", listed(&wizard.around.files))],
                ..or_none("File of public keys, or none")
            },
        }
    }

    /// Takes the answer.
    pub(super) fn answer(self, wizard: &mut Wizard, line: &str) -> Result<(), String> {
        let (table, key) = self.place();
        let default = self.prompt(wizard).default.unwrap_or_default();
        let line = if line.is_empty() { default.as_str() } else { line };
        if line.is_empty() && self != Q::Secret {
            return Err("There is no answer to take by itself: type one.".to_owned());
        }
        match self {
            Q::Name => text::<HostName>(wizard, self, line, |_| None),
            Q::Nic(role) => nic(wizard, role, line),
            Q::LanAddress => text::<Interface>(wizard, self, line, |_| None),
            Q::LanGateway | Q::WanGateway => {
                let own = wizard.document.parsed::<Interface>(table, "address");
                optional::<Ip>(wizard, self, line, |ip| no_gateway(own?, ip.0))
            }
            Q::WanAddress => {
                let lan = wizard.document.parsed("lan", "address");
                text::<DhcpOr>(wizard, self, line, |wan| overlapping(wan.0?, Role::Lan, lan))?;
                if line == "dhcp" {
                    wizard.document.remove("wan", "gateway");
                }
                Ok(())
            }
            Q::Dns => list::<Ip>(wizard, self, line, |_| None),
            Q::Ntp => list::<Host>(wizard, self, line, |_| None),
            Q::Url => {
                list::<CenterUrl>(wizard, self, line, |_| None)?;
                wizard.document.remove("center", "ddm");
                wizard.document.remove("center", "dosm");
                if !Q::Authority.applies(wizard) {
                    wizard.document.remove("center", "ca_file");
                    wizard.authority = None;
                }
                Ok(())
            }
            Q::Authority => authority(wizard, line),
            Q::Customer => {
                let number: i64 = line
                    .parse()
                    .ok()
                    .filter(|number| (1..=i64::from(u32::MAX)).contains(number))
                    .ok_or_else(|| {
                        not(line, "write a whole number from 1 on, as `customer add` printed it")
                    })?;
                wizard.document.set(table, key, number.into());
                Ok(())
            }
            Q::Secret => secret(wizard, line),
            Q::IsPair => {
                wizard.is_pair = yes(line)?;
                if !wizard.is_pair {
                    wizard.document.remove_table("pair");
                    wizard.document.remove_table("heartbeat");
                }
                Ok(())
            }
            Q::PairName => text::<SiteName>(wizard, self, line, |_| None),
            Q::Member => text::<Letter>(wizard, self, line, |_| None),
            Q::HeartbeatAddress => {
                let (lan, wan) =
                    (wizard.document.parsed("lan", "address"), wizard.document.parsed("wan", "address"));
                text::<Interface>(wizard, self, line, |own| {
                    overlapping(*own, Role::Lan, lan).or_else(|| overlapping(*own, Role::Wan, wan))
                })
            }
            Q::PeerHeartbeat => {
                let own = wizard.document.parsed::<Interface>("heartbeat", "address");
                text::<Ip>(wizard, self, line, |peer| no_peer(Role::Heartbeat, own?, peer.0))
            }
            Q::Floating => {
                let own = wizard.document.parsed::<Interface>("lan", "address");
                let router = wizard.document.parsed::<Ip>("lan", "gateway").map(|router| router.0);
                list::<Interface>(wizard, self, line, |address| no_floating(own?, router, *address))
            }
            Q::PeerLan => {
                let own = wizard.document.parsed::<Interface>("lan", "address");
                let shared = wizard.document.typed("pair", "addresses").unwrap_or_default();
                text::<Ip>(wizard, self, line, |peer| {
                    let is_shared = shared
                        .split(' ')
                        .any(|shared| shared.parse::<Interface>().is_ok_and(|shared| shared.ip() == peer.0));
                    let text = "that is the address that the two share: give the other port's own";
                    no_peer(Role::Lan, own?, peer.0).or_else(|| is_shared.then(|| text.to_owned()))
                })
            }
            Q::Keys => {
                let folders = wizard.around.folders.clone();
                text::<FileName>(wizard, self, line, |name| absent(name, &folders, "folder"))
            }
            Q::Ssh => {
                let files = wizard.around.files.clone();
                optional::<FileName>(wizard, self, line, |name| absent(name, &files, "file"))?;
                if !wizard.document.has("ssh") || wizard.document.typed(table, key).is_none() {
                    wizard.document.remove_table("ssh");
                }
                Ok(())
            }
        }
    }
}

/// A text of a kind.
fn text<T: FromStr<Err: Display>>(
    wizard: &mut Wizard,
    question: Question,
    line: &str,
    wrong: impl FnOnce(&T) -> Option<String>,
) -> Result<(), String> {
    let value: T = line.parse().map_err(|error| not(line, error))?;
    if let Some(wrong) = wrong(&value) {
        return Err(wrong);
    }
    let (table, key) = question.place();
    wizard.document.set(table, key, line.into());
    Ok(())
}

/// The same, or none.
fn optional<T: FromStr<Err: Display>>(
    wizard: &mut Wizard,
    question: Question,
    line: &str,
    wrong: impl FnOnce(&T) -> Option<String>,
) -> Result<(), String> {
    if line == NONE {
        let (table, key) = question.place();
        wizard.document.remove(table, key);
        return Ok(());
    }
    text(wizard, question, line, wrong)
}

/// Several, or none where that is an answer.
fn list<T: FromStr<Err: Display>>(
    wizard: &mut Wizard,
    question: Question,
    line: &str,
    wrong: impl Fn(&T) -> Option<String>,
) -> Result<(), String> {
    let (table, key) = question.place();
    if line == NONE && matches!(question, Q::Dns | Q::Ntp) {
        wizard.document.remove(table, key);
        return Ok(());
    }
    let words: Vec<String> =
        line.split([' ', ',']).filter(|word| !word.is_empty()).map(str::to_owned).collect();
    for word in &words {
        let value: T = word.parse().map_err(|error| not(word, error))?;
        if let Some(wrong) = wrong(&value) {
            return Err(wrong);
        }
    }
    if words.is_empty() {
        return Err("There is no answer to take by itself: type one.".to_owned());
    }
    wizard.document.set_list(table, key, &words);
    Ok(())
}

fn not(line: &str, error: impl Display) -> String {
    format!("`{}`: {error}", crate::fault::shown(line))
}

fn yes(line: &str) -> Result<bool, String> {
    match line {
        "yes" | "y" => Ok(true),
        "no" | "n" => Ok(false),
        _ => Err("Say yes or no.".to_owned()),
    }
}

fn overlapping(own: Interface, role: Role, other: Option<Interface>) -> Option<String> {
    let other = other.filter(|other| own.overlaps(*other))?;
    Some(overlap(own, role, other))
}

fn absent(name: &FileName, there: &[String], kind: &str) -> Option<String> {
    // What lies deeper was not listed.
    let first = name.as_str().split('/').next().unwrap_or_default();
    let is_there = there.iter().any(|other| other == first) || name.as_str().contains('/');
    (!is_there)
        .then(|| format!("there is no {kind} {name} beside the site file: put it there.{}", listed(there)))
}

fn listed(names: &[String]) -> String {
    /// More would not fit a console.
    const SHOWN_MAX: usize = 12;
    if names.is_empty() {
        return String::new();
    }
    let more = if names.len() > SHOWN_MAX { ", …" } else { "" };
    format!(" There are: {}{more}", names.iter().take(SHOWN_MAX).cloned().collect::<Vec<_>>().join(", "))
}

fn nic_prompt(wizard: &Wizard, role: Role, there: Option<String>) -> Prompt {
    let (what, nics) = (
        match role {
            Role::Lan => "the LAN, where the clients are",
            Role::Wan => "the WAN, where the storage center is",
            Role::Heartbeat => "the link to the other port",
        },
        &wizard.around.nics,
    );
    let mut lines: Vec<String> = nics
        .iter()
        .enumerate()
        .map(|(number, nic)| format!("  {} {nic}{}", number + 1, taken(wizard, role, nic)))
        .collect();
    lines.insert(
        0,
        if nics.is_empty() { "No NIC is seen.".to_owned() } else { "NICs of this machine:".to_owned() },
    );
    let is_free = |nic: &&Nic| taken(wizard, role, nic).is_empty();
    let default = there.or_else(|| {
        let with_cable = nics.iter().find(|nic| is_free(nic) && nic.carrier == Some(true));
        with_cable.or_else(|| nics.iter().find(is_free)).map(|nic| nic.mac.to_string())
    });
    Prompt { lines, ask: format!("NIC for {what}: its number, MAC or PCI path"), default, is_secret: false }
}

/// Which other role has it, in a form to put behind it.
fn taken(wizard: &Wizard, role: Role, nic: &Nic) -> String {
    let others = [Role::Lan, Role::Wan, Role::Heartbeat].into_iter().filter(|other| *other != role);
    let has =
        |other: &Role| wizard.document.parsed::<NicId>(other.as_str(), "nic").is_some_and(|id| nic.is(&id));
    others.filter(has).map(|other| format!(" ({})", other.as_str())).collect()
}

fn nic(wizard: &mut Wizard, role: Role, line: &str) -> Result<(), String> {
    let nics = &wizard.around.nics;
    let by_number = line.parse::<usize>().ok().and_then(|number| nics.get(number.checked_sub(1)?));
    let by_name = nics.iter().find(|nic| nic.interface == line);
    let (id, nic) = match by_number.or(by_name) {
        Some(nic) => (nic.mac.clone(), Some(nic)),
        None => {
            let id: NicId = line.parse().map_err(|error| not(line, error))?;
            let nic = nics.iter().find(|nic| nic.is(&id));
            (id, nic)
        }
    };
    match nic {
        None if !nics.is_empty() => return Err(format!("{id} is none of this machine's NICs.")),
        Some(nic) => {
            let taken = taken(wizard, role, nic);
            if !taken.is_empty() {
                return Err(format!(
                    "{id} has a role already{taken}: each needs a NIC of its own. (`back` changes that one.)"
                ));
            }
        }
        None => {}
    }
    wizard.document.set(role.as_str(), "nic", id.to_string().into());
    Ok(())
}

fn authority(wizard: &mut Wizard, line: &str) -> Result<(), String> {
    match line {
        "public" => {
            wizard.document.remove("center", "ca_file");
            wizard.authority = None;
            Ok(())
        }
        "paste" => {
            wizard.pasting = Some(String::new());
            Ok(())
        }
        // What was pasted before is kept.
        pasted if wizard.authority.as_ref().is_some_and(|authority| authority.name == pasted) => Ok(()),
        name => {
            let files = wizard.around.files.clone();
            text::<FileName>(wizard, Q::Authority, name, |name| absent(name, &files, "file"))
        }
    }
}

fn secret(wizard: &mut Wizard, line: &str) -> Result<(), String> {
    if line.is_empty() {
        let kept = wizard.document.text_of("center", "secret_file");
        let is_there = kept.is_some_and(|kept| wizard.around.files.iter().any(|file| file == kept));
        return if is_there || wizard.secret.is_some() {
            Ok(())
        } else {
            Err("There is none yet: type it.".to_owned())
        };
    }
    content::secret(line.as_bytes()).map_err(|text| format!("What was typed {text}"))?;
    let name = wizard
        .document
        .typed("center", "secret_file")
        .or_else(|| Some(format!("customer-{}.secret", wizard.document.typed("center", "customer")?)))
        .ok_or("Say first who the customer is.")?;
    wizard.document.set("center", "secret_file", name.as_str().into());
    wizard.secret = Some(Pending { name, content: format!("{line}\n").into_bytes(), is_secret: true });
    Ok(())
}
