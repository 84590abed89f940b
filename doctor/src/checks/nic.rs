//! Each address on the NIC that has its role (PORT-4, FO-6).

use std::net::IpAddr;

use failover::net::interfaces::Seen;

use super::or_ok;
use crate::plan::Plan;
use crate::report::Finding;

const CHECK: &str = "nic";
/// What the firmware calls the clients' interface.
const LAN: &str = "lan";

/// An address, which key says so, and on which interface it belongs, if that is known.
struct Role<'a> {
    key: &'a str,
    address: IpAddr,
    interface: Option<&'a str>,
}

pub(super) fn judge(plan: &Plan, interfaces: &Result<Vec<Seen>, String>) -> Vec<Finding> {
    let interfaces = match interfaces {
        Ok(interfaces) => interfaces,
        Err(why) => return vec![Finding::not_checked(CHECK, why)],
    };
    let mut findings = Vec::new();
    if let Some(judge) = plan.judge() {
        let named = [
            ("[lan] interface", &judge.lan.interface),
            ("[wan] interface", &judge.wan.interface),
            ("[heartbeat] interface", &judge.heartbeat.interface),
        ];
        findings.extend(named.iter().filter_map(|(key, name)| interface(key, name, interfaces)));
    }
    findings.extend(roles(plan, interfaces).iter().filter_map(|role| misplaced(role, interfaces)));
    or_ok(findings, || Finding::ok(CHECK, "every address is on the network interface of its role"))
}

fn roles<'a>(plan: &'a Plan, interfaces: &[Seen]) -> Vec<Role<'a>> {
    let mut roles = Vec::new();
    let mut add = |key, address: IpAddr, interface| {
        if !address.is_unspecified() && !address.is_loopback() {
            roles.push(Role { key, address, interface });
        }
    };
    match plan.judge() {
        Some(judge) => {
            let heartbeat = Some(judge.heartbeat.interface.as_str());
            add("[lan] listen", judge.lan.listen.ip(), Some(&judge.lan.interface));
            add("[heartbeat] listen", judge.heartbeat.listen.ip(), heartbeat);
            if let Some(pair) = &plan.pair
                && pair.listen.ip() != judge.heartbeat.listen.ip()
            {
                add("[pair] listen", pair.listen.ip(), heartbeat);
            }
        }
        None => {
            let has_lan = interfaces.iter().any(|interface| interface.name == LAN);
            // The address of a pair is there only while the port serves.
            if plan.pair.is_none() {
                add("[nfs] listen", plan.listen.ip(), has_lan.then_some(LAN));
            }
            if let Some(pair) = &plan.pair {
                add("[pair] listen", pair.listen.ip(), None);
            }
        }
    }
    roles
}

fn interface(key: &str, name: &str, interfaces: &[Seen]) -> Option<Finding> {
    let Some(found) = interfaces.iter().find(|interface| interface.name == name) else {
        return Some(Finding::fault(
            CHECK,
            format!("{key}: there is no network interface {name}; {}", those(interfaces)),
            "name the right one, or see to the card and its driver",
        ));
    };
    if found.has_carrier {
        return None;
    }
    let (what, mend) = if found.is_up {
        ("has no link: no cable, or the other end is off", "see to the cable and the switch")
    } else {
        ("is switched off", "switch it on: `ip link set NAME up`")
    };
    Some(Finding::fault(CHECK, format!("{key}: {name} {what}"), mend.replace("NAME", name)))
}

fn misplaced(role: &Role<'_>, interfaces: &[Seen]) -> Option<Finding> {
    let Role { key, address, interface } = role;
    let mut at = interfaces.iter().filter(|interface| interface.has(*address));
    match (at.next(), interface) {
        (Some(found), Some(wanted)) if found.name != *wanted && !at.any(|other| other.name == *wanted) => {
            Some(Finding::fault(
                CHECK,
                format!("{key}: {address} is on {}, and its place is {wanted}", found.name),
                "move the address to the other interface, or give the interfaces the other roles",
            ))
        }
        (Some(_), _) => None,
        (None, _) => Some(Finding::fault(
            CHECK,
            format!("{key}: {address} is on no network interface; {}", those(interfaces)),
            "give it to the interface of that role, or write the address that it has",
        )),
    }
}

/// What there is, for who has to choose.
fn those(interfaces: &[Seen]) -> String {
    let each = interfaces.iter().filter(|interface| interface.name != "lo").map(|interface| {
        let addresses: Vec<String> = interface.addresses.iter().map(ToString::to_string).collect();
        format!(
            "{} {}",
            interface.name,
            if addresses.is_empty() { "-".to_owned() } else { addresses.join(" ") }
        )
    });
    let each: Vec<String> = each.collect();
    if each.is_empty() { "there is none".to_owned() } else { format!("there are: {}", each.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{interface, judge as judge_file, outcome, plan};
    use crate::report::Outcome;

    fn machine() -> Vec<Seen> {
        vec![
            interface("lan", &["192.0.2.11/24"]),
            interface("wan", &["198.51.100.7/24"]),
            interface("hb", &["10.99.0.1/30"]),
        ]
    }

    /// PORT-4, FO-6: an address on another interface than that of its role is named with both.
    #[test]
    fn an_address_belongs_on_the_interface_of_its_role() {
        let pair = plan(Some(judge_file()));
        let found = |machine: Vec<Seen>| judge(&pair, &Ok(machine));
        assert_eq!(outcome(&found(machine())), Outcome::Ok);
        let mut crossed = machine();
        crossed[0].addresses = machine()[1].addresses.clone();
        crossed[1].addresses = machine()[0].addresses.clone();
        let told = found(crossed);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].text.contains("192.0.2.11 is on wan, and its place is lan"), "{told:?}");
        // On both it does its work.
        let mut both = machine();
        both[1].addresses.extend(machine()[0].addresses.clone());
        assert_eq!(outcome(&found(both)), Outcome::Ok);
        let mut without = machine();
        without[2].addresses.clear();
        let told = found(without);
        assert!(
            told.len() == 1 && told[0].text.contains("[heartbeat] listen: 10.99.0.1 is on no"),
            "{told:?}"
        );
        let told = found(machine()[..2].to_vec());
        assert!(
            told[0].text.contains("no network interface hb") && told[0].text.contains("lan 192.0.2.11/24")
        );
        let mut dark = machine();
        dark[0].has_carrier = false;
        assert!(found(dark)[0].mend.as_ref().unwrap().contains("cable"));
    }

    /// Without a judge only the address says which interface is meant, and the firmware's names for them.
    #[test]
    fn a_port_alone_is_judged_by_its_address() {
        let mut alone = plan(None);
        alone.listen = "192.0.2.11:2049".parse().unwrap();
        assert_eq!(outcome(&judge(&alone, &Ok(machine()))), Outcome::Ok);
        assert_eq!(outcome(&judge(&alone, &Ok(vec![interface("eth7", &["192.0.2.11/24"])]))), Outcome::Ok);
        let crossed = vec![interface("lan", &["198.51.100.7/24"]), interface("wan", &["192.0.2.11/24"])];
        assert!(judge(&alone, &Ok(crossed))[0].text.contains("is on wan, and its place is lan"));
        for everywhere in ["0.0.0.0:2049", "127.0.0.1:2049", "[::]:2049"] {
            alone.listen = everywhere.parse().unwrap();
            assert_eq!(outcome(&judge(&alone, &Ok(Vec::new()))), Outcome::Ok);
        }
        assert_eq!(outcome(&judge(&alone, &Err("no".into()))), Outcome::NotChecked);
    }
}
