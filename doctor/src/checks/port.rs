//! Whether the ports on which clients look for this one are its own.

use std::net::{IpAddr, SocketAddr};

use super::or_ok;
use crate::Daemon;
use crate::plan::{Plan, Wanted};
use crate::report::Finding;
use crate::shell::listeners::Listener;

const CHECK: &str = "port";

pub(super) fn judge(plan: &Plan, listeners: &Result<Vec<Listener>, String>, daemon: Daemon) -> Vec<Finding> {
    let listeners = match listeners {
        Ok(listeners) => listeners,
        Err(why) => return vec![Finding::not_checked(CHECK, why)],
    };
    if daemon == Daemon::Unknown && !listeners.is_empty() {
        let text =
            "some are taken, perhaps by this port, which cannot be asked: run this as its user or as root";
        return vec![Finding::not_checked(CHECK, text)];
    }
    let mut findings: Vec<Finding> = Vec::new();
    for wanted in &plan.sockets {
        let stranger =
            listeners.iter().find(|listener| takes(listener, wanted) && is_strange(listener, daemon));
        if let Some(stranger) = stranger {
            let finding = taken(wanted, stranger);
            // Most of them listen over TCP and UDP.
            if !findings.iter().any(|other| other.text == finding.text) {
                findings.push(finding);
            }
        }
    }
    if let Some(rpcbind) = plan.rpcbind
        && !listeners.iter().any(|listener| overlap(listener.address, rpcbind))
    {
        findings.push(Finding::fault(
            CHECK,
            format!("no rpcbind runs at {rpcbind} that could be told of this port"),
            "start rpcbind, or let the port answer as one: `rpcbind = \"serve\"` in [nfs]",
        ));
    }
    or_ok(findings, || match daemon {
        Daemon::Runs(pid) => Finding::ok(CHECK, format!("served by this port, process {pid}")),
        Daemon::Absent | Daemon::Unknown => Finding::ok(CHECK, "free for this port, which does not run"),
    })
}

fn taken(wanted: &Wanted, stranger: &Listener) -> Finding {
    let who = match &stranger.owner {
        Some((pid, name)) => format!("{name}, process {pid}"),
        None => format!("a process of user {} (run this as root to see which)", stranger.user),
    };
    let mend = match wanted.service {
        "rpcbind" => {
            "end it (`systemctl disable --now rpcbind.socket rpcbind`), or have it told of this port: \
             `rpcbind = \"register\"`"
        }
        "CIFS" => {
            "end it (Samba? `systemctl disable --now smbd`), or give CIFS another address: `listen` of [cifs]"
        }
        _ => "end it (a kernel's or another NFS server?), or give this port another one in its configuration",
    };
    Finding::fault(
        CHECK,
        format!("port {} for {} is taken by {who}", wanted.address.port(), wanted.service),
        mend,
    )
}

fn takes(listener: &Listener, wanted: &Wanted) -> bool {
    listener.is_datagram == wanted.is_datagram && overlap(listener.address, wanted.address)
}

/// A daemon that runs has what it needs, so an owner that cannot be seen is itself.
fn is_strange(listener: &Listener, daemon: Daemon) -> bool {
    match (&listener.owner, daemon) {
        (Some((pid, _)), Daemon::Runs(daemon)) => *pid != daemon,
        (None, Daemon::Runs(_)) => false,
        (_, Daemon::Absent | Daemon::Unknown) => true,
    }
}

fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let any = |ip: IpAddr| ip.is_unspecified();
    one.port() == other.port() && (one.ip() == other.ip() || any(one.ip()) || any(other.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{outcome, plan};
    use crate::report::Outcome;

    fn listener(address: &str, owner: Option<(u32, &str)>) -> Listener {
        let owner = owner.map(|(pid, name)| (pid, name.to_owned()));
        Listener { is_datagram: false, address: address.parse().unwrap(), user: 107, owner }
    }

    #[test]
    fn a_port_is_a_strangers_or_its_own() {
        let plan = plan(None);
        let of = |listeners: &[Listener], daemon: Option<u32>| {
            judge(&plan, &Ok(listeners.to_vec()), daemon.map_or(Daemon::Absent, Daemon::Runs))
        };
        assert_eq!(outcome(&of(&[], None)), Outcome::Ok);
        let rpcbind = listener("0.0.0.0:111", Some((311, "rpcbind")));
        let told = of(std::slice::from_ref(&rpcbind), None);
        assert!(told[0].text.contains("port 111 for rpcbind is taken by rpcbind, process 311"), "{told:?}");
        assert_eq!(outcome(&of(std::slice::from_ref(&rpcbind), Some(311))), Outcome::Ok, "it is this port");
        assert_eq!(outcome(&of(std::slice::from_ref(&rpcbind), Some(312))), Outcome::Fault);
        let unseen = listener("[::]:2049", None);
        assert!(of(std::slice::from_ref(&unseen), None)[0].text.contains("user 107"));
        assert_eq!(outcome(&of(std::slice::from_ref(&unseen), Some(312))), Outcome::Ok);
        let elsewhere = listener("127.0.0.1:2049", Some((5, "nfsd")));
        assert_eq!(outcome(&of(&[elsewhere], None)), Outcome::Ok, "at another address");
        let udp = Listener { is_datagram: true, ..rpcbind.clone() };
        assert_eq!(of(&[rpcbind, udp], None).len(), 1, "one program, one finding");
        assert_eq!(outcome(&judge(&plan, &Err("no /proc".into()), Daemon::Absent)), Outcome::NotChecked);
        let unknown = judge(&plan, &Ok(vec![unseen]), Daemon::Unknown);
        assert_eq!(outcome(&unknown), Outcome::NotChecked, "who may not ask does not accuse");
    }

    #[test]
    fn a_samba_at_the_shares_is_told_from_an_nfs_server() {
        let mut plan = plan(None);
        let address = "0.0.0.0:445".parse().unwrap();
        plan.sockets.push(Wanted { service: "CIFS", is_datagram: false, address });
        let samba = listener("0.0.0.0:445", Some((445, "smbd")));
        let told = judge(&plan, &Ok(vec![samba]), Daemon::Absent);
        assert!(told.len() == 1 && told[0].text.contains("port 445 for CIFS is taken by smbd"), "{told:?}");
        let mend = told[0].mend.as_deref().unwrap_or_default();
        assert!(mend.contains("`listen` of [cifs]"), "{mend}");
    }

    #[test]
    fn an_rpcbind_that_is_to_be_told_must_run() {
        let mut plan = plan(None);
        plan.sockets.clear();
        plan.rpcbind = Some("127.0.0.1:111".parse().unwrap());
        assert_eq!(outcome(&judge(&plan, &Ok(Vec::new()), Daemon::Absent)), Outcome::Fault);
        let running = listener("0.0.0.0:111", Some((311, "rpcbind")));
        assert_eq!(outcome(&judge(&plan, &Ok(vec![running]), Daemon::Absent)), Outcome::Ok);
    }
}
