//! The record of a copy: what the object is, where its bytes lie, and its block digests; pure.
//!
//! 192 bytes of text, then 32 bytes for each block if there is more than one, then the bytes themselves if they lie in
//! the record. It is written once, whole, and never changed.

use protocol::digest::{BlockDigests, Content, Digest, Fingerprint};

use super::keys::DataId;

/// Length of the text in bytes.
pub const HEAD_BYTES: usize = 192;
const MAGIC: &str = "storage-center-copy-1";
const HERE: &str = "here";

/// Where the bytes of a copy lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Behind the digests, in the record.
    Here,
    /// In an object of the store of their own.
    Data(DataId),
}

/// The beginning of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// What the object is.
    pub content: Content,
    /// Where its bytes lie.
    pub place: Place,
}

impl Head {
    /// Its text.
    pub fn encode(&self) -> Vec<u8> {
        let Content { fingerprint, size, digest } = self.content;
        let place = match self.place {
            Place::Here => HERE.to_owned(),
            Place::Data(id) => id.to_string(),
        };
        let text = format!("{MAGIC} {fingerprint} {size} {digest} {place}");
        format!("{text:<width$}\n", width = HEAD_BYTES - 1).into_bytes()
    }

    /// Reads the text at the beginning of the record of that object; nothing if it is no such text.
    pub fn decode(fingerprint: Fingerprint, record: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(record.get(..HEAD_BYTES)?).ok()?;
        let words: Vec<&str> = text.split_whitespace().collect();
        let [MAGIC, name, size, digest, place] = words[..] else { return None };
        let content = Content {
            fingerprint: Fingerprint::parse(name).filter(|name| *name == fingerprint)?,
            size: size.parse().ok()?,
            digest: Digest::parse(digest)?,
        };
        let place = if place == HERE { Place::Here } else { Place::Data(DataId::parse(place)?) };
        Some(Self { content, place })
    }

    /// Bytes of the block digests behind it.
    pub fn list_bytes(&self) -> u64 {
        if self.content.blocks() > 1 { 32 * self.content.blocks() } else { 0 }
    }

    /// Where the object's bytes begin in what [`Self::place`] names.
    pub fn data_offset(&self) -> u64 {
        match self.place {
            Place::Here => HEAD_BYTES as u64 + self.list_bytes(),
            Place::Data(_) => 0,
        }
    }

    /// The block digests of a record read at least so far, checked.
    pub fn blocks(&self, record: &[u8]) -> Option<BlockDigests> {
        let end = HEAD_BYTES.checked_add(usize::try_from(self.list_bytes()).ok()?)?;
        BlockDigests::from_bytes(&self.content, record.get(HEAD_BYTES..end)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use protocol::digest::ObjectHasher;

    use super::*;

    /// ISN-2: a record describes its object and no other.
    #[test]
    fn a_record_is_read_as_it_was_written() {
        for size in [1, 1 << 20, (1 << 20) + 1, 5 << 20] {
            let mut hasher = ObjectHasher::new();
            hasher.update(&vec![7; size]);
            let (content, blocks) = hasher.finish();
            for place in [Place::Here, Place::Data(DataId([9; 16]))] {
                let head = Head { content, place };
                let mut record = head.encode();
                assert_eq!(record.len(), HEAD_BYTES);
                record.extend(blocks.as_bytes());
                assert_eq!(Head::decode(content.fingerprint, &record), Some(head));
                assert_eq!(head.blocks(&record), Some(blocks.clone()));
                assert_eq!(Head::decode(Fingerprint([0; 16]), &record), None, "another object's");
                assert_eq!(Head::decode(content.fingerprint, &record[1..]), None);
                assert_eq!(Head::decode(content.fingerprint, &record[..HEAD_BYTES - 1]), None);
                if place == Place::Here {
                    assert_eq!(head.data_offset(), record.len() as u64);
                }
                if head.list_bytes() > 0 {
                    record[HEAD_BYTES] ^= 1;
                    assert_eq!(head.blocks(&record), None, "digests that are not the object's");
                }
            }
        }
    }
}
