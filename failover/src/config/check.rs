//! What no single value of a configuration shows. Pure.

use std::net::{IpAddr, SocketAddr};

use super::Config;

/// Most floating addresses of a pair; each costs some frames at every announcement.
const ADDRESSES_MAX: usize = 16;
/// Most references on the LAN; each is asked twenty times a second.
const REFERENCES_MAX: usize = 4;
/// Most disks that are probed; each has a thread of its own.
const DISKS_MAX: usize = 64;
/// A promise that is asked for so many times in its length survives the loss of all but one of them.
const QUERIES_PER_LEASE_MIN: u32 = 4;
/// Longest name of a pair, as the center has it.
const NAME_BYTES_MAX: usize = 64;

impl Config {
    /// One line that says what is wrong, and how to mend it.
    pub(super) fn check(&self) -> Result<(), String> {
        self.check_name()?;
        self.check_links()?;
        self.check_addresses()?;
        self.check_numbers()?;
        if self.state.dir == self.port.state_dir {
            return Err(
                "[state] dir and [port] state_dir are one: give the judge a directory of its own".into()
            );
        }
        if self.center.ddm.is_empty() {
            return Err("[center] names no `ddm`: the storage center is the pair's third vote".into());
        }
        Ok(())
    }

    fn check_name(&self) -> Result<(), String> {
        let name = &self.pair.name;
        let is_known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(is_known) {
            return Err(format!("[pair] name `{name}`: 1 to {NAME_BYTES_MAX} characters of a-z, 0-9 and -"));
        }
        Ok(())
    }

    fn check_links(&self) -> Result<(), String> {
        let nics = [
            ("heartbeat", &self.heartbeat.interface),
            ("lan", &self.lan.interface),
            ("wan", &self.wan.interface),
        ];
        for (place, (table, nic)) in nics.iter().enumerate() {
            if nic.is_empty() {
                return Err(format!("[{table}] interface is empty: name a NIC"));
            }
            // LAN and WAN may share one where there are only two; the heartbeat may not, or one cable cuts both paths.
            let other = nics[..place].iter().find(|(other, name)| name == nic && *other == "heartbeat");
            if let Some((other, _)) = other {
                return Err(format!(
                    "[{other}] and [{table}] both use {nic}: the heartbeat needs a NIC of its own"
                ));
            }
        }
        check_path("heartbeat", self.heartbeat.listen, self.heartbeat.peer)?;
        check_path("lan", self.lan.listen, self.lan.peer)
    }

    fn check_addresses(&self) -> Result<(), String> {
        let floating = &self.lan.addresses;
        if floating.is_empty() || floating.len() > ADDRESSES_MAX {
            return Err(format!(
                "[lan] addresses: 1 to {ADDRESSES_MAX} floating addresses, like \"192.0.2.10/24\""
            ));
        }
        for (place, address) in floating.iter().enumerate() {
            let ip = address.ip();
            if floating[..place].iter().any(|other| other.ip() == ip) {
                return Err(format!("[lan] addresses: {ip} stands there twice"));
            }
            if ip == self.lan.listen.ip() || ip == self.lan.peer.ip() {
                return Err(format!(
                    "[lan] addresses: {ip} is a port's own; a floating address must be free"
                ));
            }
            if ip.is_unspecified() || ip.is_multicast() || ip.is_loopback() {
                return Err(format!("[lan] addresses: {ip} is nobody's address"));
            }
        }
        if self.lan.reference.len() > REFERENCES_MAX {
            return Err(format!("[lan] reference: at most {REFERENCES_MAX}"));
        }
        let is_near = |ip: &IpAddr| floating.iter().any(|net| net.contains(*ip) && net.ip() != *ip);
        match self.lan.reference.iter().find(|ip| !is_near(ip)) {
            Some(far) => Err(format!(
                "[lan] reference: {far} is in no network of `addresses`; name a router or another host of the LAN"
            )),
            None => Ok(()),
        }
    }

    fn check_numbers(&self) -> Result<(), String> {
        let timers = &self.timers;
        let spans = [
            ("query_ms", timers.query_ms),
            ("service_probe_ms", timers.service_probe_ms),
            ("lan_probe_ms", timers.lan_probe_ms),
            ("center_lease_ms", timers.center_lease_ms),
        ];
        if let Some((key, _)) = spans.iter().find(|(_, millis)| *millis == 0) {
            return Err(format!("[timers] {key} is 0"));
        }
        if timers.lease_ms < QUERIES_PER_LEASE_MIN.saturating_mul(timers.query_ms) {
            return Err(format!("[timers] lease_ms must be {QUERIES_PER_LEASE_MIN} times query_ms, or more"));
        }
        if timers.hold_down_max_ms < timers.hold_down_ms {
            return Err("[timers] hold_down_max_ms is less than hold_down_ms".into());
        }
        let silences = [
            ("service_silent_ms", timers.service_silent_ms, "service_probe_ms", timers.service_probe_ms),
            ("lan_silent_ms", timers.lan_silent_ms, "lan_probe_ms", timers.lan_probe_ms),
        ];
        for (silent_key, silent, probe_key, probe) in silences {
            if silent < probe {
                return Err(format!("[timers] {silent_key} is less than {probe_key}"));
            }
        }
        let health = &self.health;
        if health.threshold == 0 || health.interval_ms == 0 {
            return Err("[health] threshold and interval_ms must be more than 0".into());
        }
        if health.cache_disks.len() + health.journal_disks.len() > DISKS_MAX {
            return Err(format!("[health] cache_disks and journal_disks: at most {DISKS_MAX} together"));
        }
        match &self.watchdog {
            // The loop feeds once a second at least.
            Some(watchdog) if watchdog.timeout_seconds < 2 => {
                Err("[watchdog] timeout_seconds must be 2 or more".into())
            }
            _ => Ok(()),
        }
    }
}

fn check_path(table: &str, listen: SocketAddr, peer: SocketAddr) -> Result<(), String> {
    if listen.ip() == peer.ip() {
        return Err(format!("[{table}] peer and listen are of one machine: name the other port's address"));
    }
    if listen.is_ipv4() != peer.is_ipv4() {
        return Err(format!("[{table}] listen and peer: both IPv4 or both IPv6"));
    }
    if listen.port() == 0 || peer.port() == 0 || listen.ip().is_unspecified() || peer.ip().is_unspecified() {
        return Err(format!(
            "[{table}] listen and peer: an address and a UDP port each, like \"10.99.0.1:7420\""
        ));
    }
    Ok(())
}
