//! From the text of a site file to a [`Site`], or to all that is wrong with it.

use std::path::Path;

use protocol::pair::{Member, PairName};
use toml::Table;

use super::reader::{Reader, Told};
use super::{Advanced, Center, Lan, Pair, SCHEMA, Site, Wan, WanAddress, check, exports, keys};
use crate::fault::Fault;
use crate::words::{HostName, Interface, NicId, NotA};

/// What the name of a pair has behind it where the storage center keeps the mirror's mark.
const MARK: &str = "-mirror";

/// Reads the text of a site file of the present schema. `path` is where it stands, for faults.
///
/// # Errors
/// All that is wrong with it: of TOML's own rules the first, of everything else all.
pub fn read(text: &str, path: &Path) -> Result<Site, Vec<Fault>> {
    let document: Table = match config_file::parse_table(text, path) {
        Ok(document) => document,
        Err(error) => return Err(vec![Fault::at("TOML", error)]),
    };
    let mut faults: Vec<Fault> = config_file::unknown_keys(&document, keys::KEYS)
        .into_iter()
        .map(|unknown| {
            let text = format!(
                "there is no such key; did you mean `{}`? (remove it, or write that)",
                unknown.nearest
            );
            Fault::new(&unknown.table, &unknown.key, text)
        })
        .collect();
    if document.get("schema").and_then(toml::Value::as_integer) != Some(i64::from(SCHEMA)) {
        faults.push(Fault::new(
            "",
            "schema",
            format_args!("write schema = {SCHEMA} at the top: it tells how to read the rest"),
        ));
    }
    let site = site(&document, &mut faults);
    if let Some(site) = &site {
        check::check(site, &mut faults);
    }
    match site {
        Some(site) if faults.is_empty() => Ok(site),
        _ => Err(faults),
    }
}

fn site(document: &Table, faults: &mut Vec<Fault>) -> Option<Site> {
    // All are read before the first that is missing ends it.
    let name = with(document, "port", faults, |port| port.required::<HostName>("name", "\"port-a\""));
    let lan = with(document, "lan", faults, lan);
    let wan = with(document, "wan", faults, wan);
    let ntp = match document.get("time") {
        None => Some(Vec::new()),
        Some(_) => with(document, "time", faults, |time| time.list("ntp", "[\"ntp.example\"]").ok()),
    };
    let center = with(document, "center", faults, center);
    let exports = exports::read(document, faults);
    let cifs_users = match document.get("cifs") {
        None => Some(None),
        Some(_) => {
            with(document, "cifs", faults, |cifs| cifs.required("users_file", "\"cifs-users\"").map(Some))
        }
    };
    let pair = pair_of(document, faults);
    let authorized_keys = match document.get("ssh") {
        None => Some(None),
        Some(_) => with(document, "ssh", faults, |ssh| {
            ssh.required("authorized_keys_file", "\"authorized_keys\"").map(Some)
        }),
    };
    let advanced = match document.get("advanced") {
        None => Some(Advanced::default()),
        Some(_) => with(document, "advanced", faults, |advanced| {
            let (port, judge) = (advanced.below("storage-port"), advanced.below("port-failover"));
            Some(Advanced { port: port?, judge: judge? })
        }),
    };
    Some(Site {
        name: name?,
        lan: lan?,
        wan: wan?,
        ntp: ntp?,
        center: center?,
        exports: exports?,
        cifs_users: cifs_users?,
        pair: pair?,
        authorized_keys: authorized_keys?,
        advanced: advanced?,
    })
}

/// Reads a table that must be there.
fn with<T>(
    document: &Table,
    name: &str,
    faults: &mut Vec<Fault>,
    read: impl FnOnce(&mut Reader<'_>) -> Option<T>,
) -> Option<T> {
    match document.get(name) {
        Some(toml::Value::Table(table)) => read(&mut Reader::new(format!("[{name}]"), table, faults)),
        Some(_) => {
            faults.push(Fault::new(
                name,
                "",
                format_args!("is no table: write [{name}] on a line of its own"),
            ));
            None
        }
        None => {
            faults.push(Fault::new(
                name,
                "",
                "the table is missing: add it (docs/setup.md has an example), or run `storage-port setup`",
            ));
            None
        }
    }
}

const NIC: &str = "\"52:54:00:00:00:01\"";
const ADDRESS: &str = "\"192.0.2.11/24\"";

fn lan(table: &mut Reader<'_>) -> Option<Lan> {
    let nic = table.required("nic", NIC);
    let address = table.required("address", ADDRESS);
    let gateway = table.optional::<Ip>("gateway", "\"192.0.2.1\"");
    Some(Lan { nic: nic?, address: address?, gateway: gateway.ok()?.map(|ip| ip.0) })
}

fn wan(table: &mut Reader<'_>) -> Option<Wan> {
    let nic = table.required::<NicId>("nic", NIC);
    let address = table.required::<DhcpOr>("address", "\"198.51.100.7/24\" or \"dhcp\"");
    let gateway = table.optional::<Ip>("gateway", "\"198.51.100.1\"");
    let dns = table.list::<Ip>("dns", "[\"198.51.100.53\"]");
    let gateway = gateway.ok()?.map(|ip| ip.0);
    let address = match address? {
        DhcpOr(None) if gateway.is_some() => {
            table.fault("gateway", "is given by DHCP as well: remove it, or give the port a fixed address");
            return None;
        }
        DhcpOr(None) => WanAddress::Dhcp,
        DhcpOr(Some(address)) => WanAddress::Fixed { address, gateway },
    };
    Some(Wan { nic: nic?, address, dns: dns.ok()?.into_iter().map(|ip| ip.0).collect() })
}

fn center(table: &mut Reader<'_>) -> Option<Center> {
    const URL: &str = "[\"https://center.example:8443\"]";
    let (url, ddm, dosm) = (table.list("url", URL), table.list("ddm", URL), table.list("dosm", URL));
    let endpoints = match (table.has("url"), table.has("ddm"), table.has("dosm")) {
        (true, false, false) => url.map(|url| (url.clone(), url)),
        (false, true, true) => ddm.and_then(|ddm| Ok((ddm, dosm?))),
        (true, _, _) => {
            table.fault("url", "stands there beside `ddm` or `dosm`: write `url` alone, or both others");
            Err(Told)
        }
        (false, false, false) => {
            table.missing("url", URL);
            Err(Told)
        }
        (false, ddm, _) => {
            table.missing(if ddm { "dosm" } else { "ddm" }, URL);
            Err(Told)
        }
    };
    let endpoints = endpoints.and_then(|(ddm, dosm)| {
        if ddm.is_empty() || dosm.is_empty() {
            table.fault("url", format_args!("names nobody: write url = {URL}"));
            return Err(Told);
        }
        Ok((ddm, dosm))
    });
    let ca_file = table.optional("ca_file", "\"center-ca.pem\"");
    let customer = match table.number("customer", 1, u32::MAX) {
        Ok(None) => {
            table.missing("customer", "1");
            None
        }
        customer => customer.ok().flatten(),
    };
    let secret_file = table.required("secret_file", "\"customer-1.secret\"");
    let (ddm, dosm) = endpoints.ok()?;
    Some(Center { ddm, dosm, ca_file: ca_file.ok()?, customer: customer?, secret_file: secret_file? })
}

/// `None` was told; `Some(None)` is a port that stands alone.
fn pair_of(document: &Table, faults: &mut Vec<Fault>) -> Option<Option<Pair>> {
    match (document.contains_key("pair"), document.contains_key("heartbeat")) {
        (false, false) => return Some(None),
        (false, true) => {
            let text = "is for a port of a pair: remove it, or add [pair]";
            faults.push(Fault::new("heartbeat", "", text));
            return None;
        }
        (true, _) => {}
    }
    let link = with(document, "heartbeat", faults, |table| {
        let (nic, address) = (table.required("nic", NIC), table.required("address", "\"10.99.0.1/30\""));
        Some((nic?, address?))
    });
    let pair = with(document, "pair", faults, |table| {
        let name = table.required::<SiteName>("name", "\"site-1\"");
        let member = table.required::<Letter>("member", "\"a\"");
        let addresses = table.list("addresses", "[\"192.0.2.10/24\"]").ok();
        if addresses.as_ref().is_some_and(Vec::is_empty) {
            table.missing("addresses", "[\"192.0.2.10/24\"]");
        }
        let peer_lan = table.required::<Ip>("peer_lan", "\"192.0.2.12\"");
        let peer_heartbeat = table.required::<Ip>("peer_heartbeat", "\"10.99.0.2\"");
        let keys = table.required("keys", "\"pair\"");
        let reference = table.list::<Ip>("reference", "[\"192.0.2.1\"]");
        let addresses: Vec<Interface> = addresses.filter(|addresses| !addresses.is_empty())?;
        let reference = reference.ok()?.into_iter().map(|ip| ip.0).collect();
        Some((name?.0, member?.0, addresses, peer_lan?.0, peer_heartbeat?.0, keys?, reference))
    });
    let ((nic, heartbeat), (name, member, addresses, peer_lan, peer_heartbeat, keys, reference)) =
        (link?, pair?);
    Some(Some(Pair { name, member, addresses, peer_lan, nic, heartbeat, peer_heartbeat, keys, reference }))
}

/// The address of a host.
pub(crate) struct Ip(pub(crate) std::net::IpAddr);

impl std::str::FromStr for Ip {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Self, NotA> {
        const FORM: NotA = NotA("write an address alone, like 192.0.2.1");
        let ip: std::net::IpAddr = text.parse().map_err(|_| FORM)?;
        if ip.is_unspecified() || ip.is_multicast() || ip.is_loopback() {
            return Err(NotA("no host of a site has that address"));
        }
        Ok(Self(ip))
    }
}

/// `"dhcp"`, or an address.
pub(crate) struct DhcpOr(pub(crate) Option<Interface>);

impl std::str::FromStr for DhcpOr {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Self, NotA> {
        if text == "dhcp" { Ok(Self(None)) } else { text.parse().map(|address| Self(Some(address))) }
    }
}

/// The name of a pair, with room for what the storage center puts behind it.
pub(crate) struct SiteName(pub(crate) PairName);

impl std::str::FromStr for SiteName {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Self, NotA> {
        let has_room = PairName::parse(&format!("{text}{MARK}")).is_some();
        // It stands in the DNS name of a certificate: a hyphen may be at neither end, and the last label is no number.
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        let is_label = !text.starts_with('-') && !text.ends_with('-') && !is_number;
        PairName::parse(text).filter(|_| has_room && is_label).map(Self).ok_or(NotA(
            "write 1 to 57 lower-case letters, digits and hyphens, no hyphen at an end, and one letter at least, like site-1",
        ))
    }
}

/// A member as its letter.
pub(crate) struct Letter(pub(crate) Member);

impl std::str::FromStr for Letter {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Self, NotA> {
        Member::parse(text)
            .map(Self)
            .ok_or(NotA("write \"a\" on one of the two ports and \"b\" on the other"))
    }
}
