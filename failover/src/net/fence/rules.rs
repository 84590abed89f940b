//! The fence in the language of nft(8).

use std::fmt::{Display, Write};
use std::net::{IpAddr, Ipv6Addr};

use super::FenceError;

/// The mark (`SO_MARK`) of what the service closes on purpose: "SPO". `nfs` sets the same one.
pub const DELIBERATE: u32 = 0x0053_504f;

/// The set that holds the interface while the fence is open.
pub const OPEN: &str = "open";

/// Longest name that the kernel takes for a table (`NFT_TABLE_MAXNAMELEN`) is 255; this leaves it readable.
const NAME_BYTES_MAX: usize = 64;

/// What the fence of a pair consists of.
#[derive(Debug)]
pub struct Rules {
    table: String,
    interface: String,
    floating: Vec<IpAddr>,
    port: u16,
}

impl Rules {
    /// For those addresses at that interface, and a service at that port of them.
    ///
    /// # Errors
    /// A name that would not stay a name in the rules.
    pub fn new(pair: &str, interface: &str, floating: &[IpAddr], port: u16) -> Result<Self, FenceError> {
        let table = format!("storage_port_{}", name(pair)?);
        Ok(Self { table, interface: name(interface)?.to_owned(), floating: floating.to_vec(), port })
    }

    /// The table's name.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Where clients are.
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// What is fenced.
    pub fn floating(&self) -> &[IpAddr] {
        &self.floating
    }

    /// The service's.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Makes it, in place of one that is there.
    ///
    /// Open, all passes. Shut, nothing that bears a floating address as source or destination does, nor an ARP that
    /// asks for it from without or gives it out from within, nor its neighbour discovery, but for the probe: its sender
    /// has no address yet.
    ///
    /// If it is `silent`, of what passes FIN and RST of the service's port need the mark.
    pub fn raise(&self, silent: bool) -> String {
        let Self { table, interface, .. } = self;
        let drops_both = |chain: &mut String, address: &IpAddr| match address {
            IpAddr::V4(address) => {
                line(chain, format_args!("ip saddr {address} drop"));
                line(chain, format_args!("ip daddr {address} drop"));
            }
            IpAddr::V6(address) => {
                line(chain, format_args!("ip6 saddr {address} drop"));
                line(chain, format_args!("ip6 daddr {address} drop"));
            }
        };
        let (mut ingress, mut egress, mut speaking) = (String::new(), String::new(), String::new());
        for address in &self.floating {
            drops_both(&mut ingress, address);
            drops_both(&mut egress, address);
            match address {
                IpAddr::V4(address) => {
                    line(&mut ingress, format_args!("arp daddr ip {address} drop"));
                    line(&mut egress, format_args!("arp saddr ip {address} drop"));
                }
                IpAddr::V6(address) => {
                    let target = target_is(*address);
                    line(&mut ingress, format_args!("icmpv6 type nd-neighbor-solicit {target} drop"));
                    line(&mut ingress, format_args!("icmpv6 type nd-neighbor-advert {target} drop"));
                    line(&mut egress, format_args!("icmpv6 type nd-neighbor-advert {target} drop"));
                }
            }
            if !silent {
                continue;
            }
            let family = if address.is_ipv4() { "ip" } else { "ip6" };
            let port = self.port;
            line(
                &mut speaking,
                format_args!(
                    "{family} saddr {address} tcp sport {port} tcp flags & (fin | rst) != 0 \
                     meta mark != {DELIBERATE:#x} drop"
                ),
            );
        }
        // The first two lines make it work whether or not there is one; nft sends it all as one transaction.
        format!(
            "table netdev {table}\n\
             delete table netdev {table}\n\
             table netdev {table} {{\n\
               set {OPEN} {{ type iface_index; flags timeout; }}\n\
               chain ingress {{\n\
                 type filter hook ingress device \"{interface}\" priority 0; policy accept;\n\
                 iif @{OPEN} accept\n\
                 {ingress}\
               }}\n\
               chain speaking {{\n\
                 {speaking}\
               }}\n\
               chain egress {{\n\
                 type filter hook egress device \"{interface}\" priority 0; policy accept;\n\
                 oif @{OPEN} goto speaking\n\
                 {egress}\
               }}\n\
             }}\n"
        )
    }
}

/// Takes the table away.
pub fn remove(table: &str) -> String {
    format!("delete table netdev {table}\n")
}

fn line(chain: &mut String, rule: impl Display) {
    // A String takes everything.
    let _ = writeln!(chain, "{rule}");
}

/// The target of a solicitation or an advertisement: 16 bytes from the ninth on (RFC 4861 4.3, 4.4).
fn target_is(address: Ipv6Addr) -> String {
    format!("@th,64,128 {:#034x}", u128::from(address))
}

fn name(of: &str) -> Result<&str, FenceError> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    if of.is_empty() || of.len() > NAME_BYTES_MAX || !of.chars().all(plain) {
        return Err(FenceError::Name(of.to_owned()));
    }
    Ok(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FO-11: nothing but a name gets into the rules.
    #[test]
    fn a_name_that_would_end_a_rule_is_refused() {
        for bad in ["", "a b", "a\"", "a}", "a;b", "ä", &"a".repeat(65)] {
            assert!(Rules::new(bad, "lan", &[], 2049).is_err(), "{bad:?}");
            assert!(Rules::new("pair", bad, &[], 2049).is_err(), "{bad:?}");
        }
        assert_eq!(Rules::new("site-1.b_2", "eth0.7", &[], 2049).unwrap().table(), "storage_port_site-1.b_2");
    }
}
