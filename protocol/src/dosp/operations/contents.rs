//! What lies on a node, as text (DOSP-8).

use std::fmt;

use super::operation;
use crate::digest::Fingerprint;
use crate::dosp::wire::layout;
use crate::dosp::{CONTENTS_MAX, Malformed, Message, Reader, Streamed};

operation! {
    /// The node's objects in order of their fingerprints: [`GetContentsHead`], lines ([`ContentsLine`]),
    /// [`GetContentsOut`]. An object on several disks has a line for each.
    GetContents = 5 "get-contents": GetContentsIn => GetContentsOut
}

/// In of [`GetContents`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetContentsIn {
    /// The last fingerprint seen.
    pub after: Option<Fingerprint>,
    /// Most lines wanted, 1 to [`CONTENTS_MAX`]. All lines of one object come together, so there may be some more.
    pub limit: u32,
}

impl Message for GetContentsIn {
    fn encode(&self, to: &mut Vec<u8>) {
        self.after.encode(to);
        self.limit.encode(to);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { after: from.get()?, limit: from.limit(CONTENTS_MAX)? })
    }
}

/// Head of [`GetContents`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetContentsHead {
    /// Bytes of the lines that follow.
    pub length: u64,
}
layout!(GetContentsHead { length });

/// Out of [`GetContents`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetContentsOut {
    /// What to ask after next; `None` at the end.
    pub last: Option<Fingerprint>,
}
layout!(GetContentsOut { last });

impl Streamed for GetContents {
    type Head = GetContentsHead;

    fn length(head: &GetContentsHead) -> u64 {
        head.length
    }
}

/// One line of [`GetContents`]: `<32 hex>.MD5 <node> <disk> <size>`, and a new line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentsLine {
    /// Which object.
    pub fingerprint: Fingerprint,
    /// On which node.
    pub node: u32,
    /// On which of its disks.
    pub disk: u32,
    /// Its length in bytes.
    pub size: u64,
}

impl ContentsLine {
    /// Reads a line without its new line.
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let line = Self {
            fingerprint: Fingerprint::parse(words.next()?.strip_suffix(".MD5")?)?,
            node: number(words.next()?)?,
            disk: number(words.next()?)?,
            size: number(words.next()?)?,
        };
        words.next().is_none().then_some(line)
    }
}

/// Digits alone; `parse` would also take a sign.
fn number<N: std::str::FromStr>(word: &str) -> Option<N> {
    if word.bytes().all(|byte| byte.is_ascii_digit()) { word.parse().ok() } else { None }
}

/// With its new line.
impl fmt::Display for ContentsLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fingerprint, node, disk, size } = self;
        writeln!(f, "{fingerprint}.MD5 {node} {disk} {size}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// DOSP-8: the founding document's md5/node&disk associations.
    #[test]
    fn a_line_is_read_as_it_was_written() {
        let line = ContentsLine { fingerprint: Fingerprint([0xab; 16]), node: 3, disk: 1, size: u64::MAX };
        let text = line.to_string();
        assert_eq!(text, format!("{}.MD5 3 1 18446744073709551615\n", "ab".repeat(16)));
        assert_eq!(ContentsLine::parse(text.trim_end()), Some(line));
        for bad in ["", "3 1 5", "x.MD5 3 1 5", &format!("{} 3 1 5", "ab".repeat(16))] {
            assert_eq!(ContentsLine::parse(bad), None, "{bad}");
        }
        let name = format!("{}.MD5", "ab".repeat(16));
        for rest in ["3 1", "3 1 5 6", "+3 1 5", "3  1 5", "4294967296 1 5"] {
            assert_eq!(ContentsLine::parse(&format!("{name} {rest}")), None, "{rest}");
        }
    }
}
