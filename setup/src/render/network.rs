//! The file for the boot scripts: one fact a line, words with single spaces between them. Pure.
//!
//! Every word is of a type that permits neither spaces nor anything that a shell would take for more than a word
//! ([`crate::words`]), so a script may read the lines with `while read`.

use std::fmt::{Display, Write};
use std::path::Path;

use super::Places;
use crate::site::{Site, WanAddress};

/// What stands where a line's word has no value.
const NONE: &str = "-";

pub(super) fn render(site: &Site, places: Option<&Places>) -> String {
    let mut out = String::new();
    let mut line = |words: &[&dyn Display]| {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        // A text takes whatever is written.
        let _ = writeln!(out, "{}", words.join(" "));
    };
    line(&[&"hostname", &site.name]);
    let or_none =
        |router: Option<std::net::IpAddr>| router.map_or_else(|| NONE.to_owned(), |ip| ip.to_string());
    line(&[&"role", &"lan", &site.lan.nic, &site.lan.address, &or_none(site.lan.gateway)]);
    match site.wan.address {
        WanAddress::Dhcp => line(&[&"role", &"wan", &site.wan.nic, &"dhcp", &NONE]),
        WanAddress::Fixed { address, gateway } => {
            line(&[&"role", &"wan", &site.wan.nic, &address, &or_none(gateway)]);
        }
    }
    if let Some(pair) = &site.pair {
        line(&[&"role", &"heartbeat", &pair.nic, &pair.heartbeat, &NONE]);
        for address in &pair.addresses {
            line(&[&"floating", address]);
        }
    }
    for server in &site.wan.dns {
        line(&[&"dns", server]);
    }
    for server in &site.ntp {
        line(&[&"ntp", server]);
    }
    let yes_or_no = |is: bool| if is { "yes" } else { "no" };
    line(&[&"ssh", &yes_or_no(site.authorized_keys.is_some())]);
    line(&[&"cifs", &yes_or_no(site.cifs_users.is_some())]);
    line(&[&"pair", &yes_or_no(site.pair.is_some())]);
    let Some(places) = places else { return out };
    let mut folder =
        |user: &str, mode: &str, path: &Path| line(&[&"directory", &user, &mode, &path.display()]);
    // The judge asks the port through the socket in its state directory, by the group that both have.
    folder("port", if site.pair.is_some() { "2750" } else { "0700" }, &places.state.port);
    let disks = || places.caches.iter().chain([&places.journal]);
    for place in disks() {
        folder("port", "0700", &place.port);
    }
    if site.pair.is_some() {
        folder("judge", "0700", &places.state.judge);
        for place in disks() {
            folder("judge", "0700", &place.judge);
        }
    }
    out
}
