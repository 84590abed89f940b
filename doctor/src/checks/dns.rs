//! The storage center's names, and who knows them.

use std::net::IpAddr;

use super::or_ok;
use crate::report::Finding;
use crate::shell::names::{Names, Unknown};

const CHECK: &str = "dns";
/// The code of an answer that there is no such name (RFC 1035 4.1.1).
const NO_SUCH_NAME: u8 = 3;

pub(super) fn judge(names: &Names) -> Vec<Finding> {
    if names.names.is_empty() {
        return vec![Finding::ok(
            CHECK,
            "the storage center is named by its address: there is no name to look up",
        )];
    }
    let unknown = names.names.iter().filter_map(|(name, found)| Some((name, found.as_ref().err()?)));
    let mut findings: Vec<_> = unknown.map(|(name, why)| lost(name, why, &names.servers)).collect();
    if findings.is_empty() {
        // It works, by another server or the file of hosts.
        findings.extend(silent(&names.servers).map(|server| {
            Finding::warning(
                CHECK,
                format!("the name server {server} gives no answer: every look-up may wait for it"),
                "take it out, or see to the way to it (`dns` of the site file, /etc/resolv.conf)",
            )
        }));
    }
    or_ok(findings, || {
        let known = names.names.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        Finding::ok(CHECK, format!("looked up: {known}"))
    })
}

fn silent(servers: &[(IpAddr, Option<u8>)]) -> impl Iterator<Item = IpAddr> {
    servers.iter().filter(|(_, answer)| answer.is_none()).map(|(server, _)| *server)
}

fn lost(name: &str, why: &Unknown, servers: &[(IpAddr, Option<u8>)]) -> Finding {
    let all = servers.iter().map(|(server, _)| server.to_string()).collect::<Vec<_>>().join(", ");
    if silent(servers).count() == servers.len() {
        return Finding::fault(
            CHECK,
            format!("{name} cannot be looked up, for no name server answers: {all}"),
            "name one that answers (`dns` of the site file, /etc/resolv.conf), or see to the way to it",
        );
    }
    if servers.iter().any(|(_, answer)| *answer == Some(NO_SUCH_NAME)) {
        return Finding::fault(
            CHECK,
            format!("there is no name {name}, say the name servers: {all}"),
            "write the storage center's name as it is (`ddm` and `dosm` of [center]), or have it entered there",
        );
    }
    let why = match why {
        Unknown::Silent => "there was no answer in time",
        Unknown::Told(why) => why,
    };
    Finding::fault(
        CHECK,
        format!("{name} cannot be looked up: {why}"),
        format!("see to the name servers ({all}) and to how the name is written"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Outcome;

    fn of(found: Result<Vec<IpAddr>, Unknown>, answers: &[Option<u8>]) -> Vec<Finding> {
        let servers = answers.iter().zip(53..).map(|(answer, last)| ([192, 0, 2, last].into(), *answer));
        judge(&Names { names: vec![("center.example".into(), found)], servers: servers.collect() })
    }

    #[test]
    fn who_fails_is_told_apart_from_who_does_not_exist() {
        let found = || Ok(vec![IpAddr::from([198, 51, 100, 50])]);
        let lost = || Err(Unknown::Told("Name or service not known".into()));
        assert_eq!(of(found(), &[Some(0)])[0].outcome, Outcome::Ok);
        let half = of(found(), &[Some(0), None]);
        assert!(
            half.len() == 1 && half[0].outcome == Outcome::Warning && half[0].text.contains("192.0.2.54")
        );
        let dead = of(Err(Unknown::Silent), &[None, None]);
        assert!(dead[0].text.contains("no name server answers: 192.0.2.53, 192.0.2.54"), "{dead:?}");
        let none = of(lost(), &[Some(3), None]);
        assert!(none.len() == 1 && none[0].text.contains("there is no name center.example"), "{none:?}");
        let refused = of(lost(), &[Some(5)]);
        assert!(refused[0].outcome == Outcome::Fault && refused[0].text.contains("not known"), "{refused:?}");
        assert_eq!(judge(&Names::default())[0].outcome, Outcome::Ok, "an address needs no name server");
    }
}
