//! The cluster's key, and the keys derived from it (DOSP-10, MC-10). A peer that does not have it gets nothing.

use std::fmt;

use crate::digest::{parse_hex, write_hex};

const PSK_CONTEXT: &str = "storage-port dosp noise psk v1";
const DATAGRAM_CONTEXT: &str = "storage-port dosp datagram v1";

/// What all processes of one cluster share: 256 random bits. Never printed; the text of its file is
/// [`Self::to_file_content`].
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterKey([u8; 32]);

impl ClusterKey {
    /// Of random bits.
    pub const fn new(bits: [u8; 32]) -> Self {
        Self(bits)
    }

    /// Reads 64 hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        parse_hex(text).map(Self)
    }

    /// Reads the content of a key file: 64 hex digits, and white space around them.
    pub fn from_file_content(content: &[u8]) -> Option<Self> {
        Self::parse(str::from_utf8(content.trim_ascii()).ok()?)
    }

    /// The content of a key file.
    pub fn to_file_content(&self) -> String {
        struct Hex<'a>(&'a [u8]);
        impl fmt::Display for Hex<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(f, self.0)
            }
        }
        format!("{}\n", Hex(&self.0))
    }

    /// The pre-shared key of encrypted sessions in the cluster of this name.
    pub fn session_key(&self, cluster: &str) -> [u8; 32] {
        self.derive(PSK_CONTEXT, cluster)
    }

    /// The key that datagrams of the cluster of this name are signed with.
    pub fn datagram_key(&self, cluster: &str) -> DatagramKey {
        DatagramKey(self.derive(DATAGRAM_CONTEXT, cluster))
    }

    /// The key has a fixed length, so that the name behind it is unambiguous.
    fn derive(&self, context: &str, cluster: &str) -> [u8; 32] {
        blake3::derive_key(context, &[&self.0[..], cluster.as_bytes()].concat())
    }
}

/// Signs datagrams; see [`super::datagram`]. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct DatagramKey([u8; 32]);

impl DatagramKey {
    /// The tag of these bytes.
    pub(super) fn tag(&self, bytes: &[u8]) -> [u8; 16] {
        let hash = blake3::keyed_hash(&self.0, bytes);
        let mut tag = [0; 16];
        tag.copy_from_slice(&hash.as_bytes()[..16]);
        tag
    }
}

impl fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterKey(…)")
    }
}

impl fmt::Debug for DatagramKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatagramKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_is_read_as_it_was_written() {
        let key = ClusterKey::new([0xab; 32]);
        let content = key.to_file_content();
        assert_eq!(content, format!("{}\n", "ab".repeat(32)));
        assert_eq!(ClusterKey::from_file_content(content.as_bytes()), Some(key));
        assert_eq!(ClusterKey::parse(&"ab".repeat(31)), None);
        assert_eq!(ClusterKey::parse(&"xy".repeat(32)), None);
    }

    /// DOSP-10: nothing printed gives the key away.
    #[test]
    fn keys_are_not_printed() {
        let key = ClusterKey::new([0xab; 32]);
        let printed = format!("{key:?} {:?}", key.datagram_key("main"));
        assert_eq!(printed, "ClusterKey(…) DatagramKey(…)");
    }

    /// DOSP-10: two clusters with one key, and the two uses in one cluster, have keys of their own.
    #[test]
    fn derived_keys_differ_by_cluster_and_use() {
        let key = ClusterKey::new([7; 32]);
        assert_ne!(key.session_key("main"), key.session_key("other"));
        assert_ne!(key.datagram_key("main"), key.datagram_key("other"));
        assert_ne!(key.session_key("main"), key.datagram_key("main").0);
        assert_ne!(key.session_key("main"), ClusterKey::new([8; 32]).session_key("main"));
    }
}
