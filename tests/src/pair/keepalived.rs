//! The anchor: Debian's keepalived with VRRPv3 on the clients' LAN, adverts every 0.1 s, and scripts that look after the
//! service and the WAN once a second. Real-time priority, with the limit raised by which the kernel otherwise kills it
//! on a busy machine: its best.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use super::Pair;
use super::ground::Ground;
use super::member::{Member, Side, text};
use super::networks::{Host, Link};
use super::process::Process;
use crate::daemon::binary;
use crate::site::PortSettings;

/// After it has settled who is master the other one's scripts have yet to pass.
pub(super) const SETTLING: Duration = Duration::from_millis(1_500);

/// Starts the daemons of both hosts. The first is preferred, and takes the address back when it can.
pub(super) fn members(ground: &Ground, number: u8, address: Ipv4Addr, hosts: [Host; 2]) -> [Member; 2] {
    let mut sides = Side::BOTH.into_iter();
    hosts.map(|host| {
        let side = sides.next().expect("one for each");
        let settings =
            PortSettings { address: Some(Ipv4Addr::UNSPECIFIED.into()), ..PortSettings::default() };
        let (dir, port_config) =
            ground.site.write_port_config(&format!("{}{number}", side.letter()), &settings);
        let config = dir.join("keepalived.conf");
        fs::write(&config, configuration(&dir, side, number, address, &ground.site.center_url())).unwrap();
        let service = Process::start(
            &host,
            text(&binary("storage-port")),
            &["serve", "--config", text(&port_config)],
            &dir.join("storage-port.log"),
        );
        let judge = start(&host, &dir);
        Member { service, judge, dir, host }
    })
}

fn start(host: &Host, dir: &Path) -> Process {
    let [config, pid, vrrp_pid] =
        ["keepalived.conf", "keepalived.pid", "vrrp.pid"].map(|name| dir.join(name));
    // A file that a killed one left may name a process of others by now: then the next one does not start.
    let command = "rm -f \"$2\" \"$3\"
        exec keepalived --dont-fork --log-console --vrrp -f \"$1\" -p \"$2\" -r \"$3\"";
    let arguments = ["-c", command, "keepalived", text(&config), text(&pid), text(&vrrp_pid)];
    Process::start(host, "sh", &arguments, &dir.join("keepalived.log"))
}

fn configuration(dir: &Path, side: Side, number: u8, address: Ipv4Addr, center: &str) -> String {
    let script = |name: &str, command: &str| {
        let path = dir.join(name);
        fs::write(&path, format!("#!/bin/sh\nexec {command} >/dev/null 2>&1\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        path.display().to_string()
    };
    let service = script("service", "rpcinfo -a 127.0.0.1.8.1 -T tcp 100003 3");
    let wan = script("wan", &format!("curl --silent --max-time 0.8 {center}/"));
    let priority = match side {
        Side::A => 150,
        Side::B => 100,
    };
    format!(
        "global_defs {{
            router_id {letter}
            vrrp_version 3
            vrrp_rt_priority 50
            vrrp_rlimit_rttime 10000000
            script_user root
        }}
        vrrp_script service {{
            script {service}
            interval 1
            timeout 1
            fall 1
            rise 1
        }}
        vrrp_script wan {{
            script {wan}
            interval 1
            timeout 1
            weight -60
        }}
        vrrp_instance pair{number} {{
            state BACKUP
            interface {lan}
            virtual_router_id {number}
            priority {priority}
            advert_int 0.1
            virtual_ipaddress {{
                {address}/24 dev {lan}
            }}
            track_script {{
                service
                wan
            }}
        }}
        ",
        letter = side.letter(),
        lan = Link::Lan.interface(),
    )
}

/// Whether the preferred one has the address, alone.
pub(super) fn is_well(pair: &Pair) -> bool {
    pair.holder() == Some(Side::A)
}

/// Ends the holder's keepalived in peace: it says so to the other one, which takes over.
pub(super) fn hand_over(pair: &mut Pair, from: Side) {
    pair.member_mut(from).judge.stop();
}
