//! Strays: segments of connections that this kernel does not know, because they are those of the port before.
//!
//! A kernel resets them. That of a dead service must not, for its client would come back to it. But while the service
//! listens a stray has to be told: its client has asked a port that is gone, and without a reset waits for minutes. The
//! answer to a tickle is one, too. nftables can tell the two apart: it finds the socket that a segment is
//! for, and of a stray that is the listening one, if there is one. Such a segment gets the mark of what is closed on
//! purpose, and the kernel's reset takes it over (`fwmark_reflect`).

use std::fmt::Write;
use std::fs;
use std::io;

use super::FenceError;
use super::rules::{DELIBERATE, Rules};

/// Has replies of the kernel carry the mark of what they reply to.
const REFLECT: [&str; 2] = ["/proc/sys/net/ipv4/fwmark_reflect", "/proc/sys/net/ipv6/fwmark_reflect"];

/// The rules: segments that neither open a connection nor end one, for a socket that belongs to no connection.
pub(super) fn answer(rules: &Rules) -> String {
    let (table, interface, port) = (rules.table(), rules.interface(), rules.port());
    let mut marks = String::new();
    for address in rules.floating() {
        let family = if address.is_ipv4() { "ip" } else { "ip6" };
        // A String takes everything. The service listens at the wildcard address, a connection's socket is at its own.
        let _ = writeln!(
            marks,
            "iifname \"{interface}\" {family} daddr {address} tcp dport {port} tcp flags & (syn | rst) == 0 \
             socket wildcard 1 meta mark set {DELIBERATE:#x}"
        );
    }
    format!(
        "{}table inet {table} {{\n\
           chain strays {{\n\
             type filter hook prerouting priority mangle; policy accept;\n\
             {marks}\
           }}\n\
         }}\n",
        ignore(table)
    )
}

/// Takes them away, whether or not they are there.
pub(super) fn ignore(table: &str) -> String {
    format!("table inet {table}\ndelete table inet {table}\n")
}

/// Has the kernel's replies carry marks on.
pub(super) fn reflect() -> Result<(), FenceError> {
    for setting in REFLECT {
        match fs::write(setting, "1") {
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
    }
    Ok(())
}
