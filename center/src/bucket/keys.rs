//! How things are named in the store; pure.
//!
//! ```text
//! PREFIX/format                                                which cluster and node; another's prefix is refused
//!        objects/ab/<32 hex>/copy/<n>                          an object's record, and its bytes if they are few
//!        objects/ab/<32 hex>/copy/<n>.gone.<seconds>           that copy is to be counted on no more
//!        objects/ab/<32 hex>/refs/<customer>/<token>/<seconds>-<nonce>    a reference, empty
//!        data/<32 hex>                                         the bytes of a large object
//!        uploads/<32 hex>/begun                                they are on their way: the id of the multipart upload
//!        uploads/<32 hex>/for.<32 hex>                         they are about to become that object's
//!        uploads/<32 hex>/ended                                nobody may finish the upload any more
//!        unheld/<due seconds>/<32 hex>                         an object that may be without a reference, to be looked at
//! ```
//!
//! No name is a folder of another one: some stores cannot have both.

use std::fmt;

use object_store::path::Path;
use protocol::digest::{Fingerprint, parse_hex, write_hex};
use protocol::dosp::Reference;
use protocol::id::{CustomerId, Token};

/// Names a large object's bytes, before anybody knows the object's own name. Never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DataId(pub [u8; 16]);

impl fmt::Display for DataId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl DataId {
    /// Reads its 32 hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        parse_hex(text).map(Self)
    }
}

/// The names below a prefix.
#[derive(Clone, Debug)]
pub struct Keys {
    prefix: String,
}

/// What a name below `objects` stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// An object's record.
    Copy {
        /// Which object's.
        fingerprint: Fingerprint,
        /// Its number.
        number: u64,
    },
    /// A copy is to be counted on no more.
    Gone {
        /// Which object's.
        fingerprint: Fingerprint,
        /// The copy's number.
        number: u64,
        /// Since when, in seconds since the epoch.
        since: u64,
    },
    /// A reference.
    Held {
        /// Which.
        reference: Reference,
        /// When it was made or renewed, in seconds since the epoch.
        renewed: u64,
    },
}

/// What a name below `uploads` stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadMark {
    /// It began.
    Begun,
    /// It is about to become this object.
    For(Fingerprint),
    /// Nobody may finish it.
    Ended,
}

impl Keys {
    /// Below `prefix`, which neither begins nor ends with a slash; empty for the whole bucket.
    pub fn new(prefix: &str) -> Self {
        Self { prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}/") } }
    }

    fn path(&self, below: fmt::Arguments<'_>) -> Path {
        Path::from(format!("{}{below}", self.prefix))
    }

    /// The mark of the owner.
    pub fn format(&self) -> Path {
        self.path(format_args!("format"))
    }

    /// All objects.
    pub fn objects(&self) -> Path {
        self.path(format_args!("objects"))
    }

    fn object(&self, fingerprint: Fingerprint, below: fmt::Arguments<'_>) -> Path {
        self.path(format_args!("objects/{:02x}/{fingerprint}/{below}", fingerprint.0[0]))
    }

    /// The copies of an object, and which of them are to be counted on no more.
    pub fn copies(&self, fingerprint: Fingerprint) -> Path {
        self.object(fingerprint, format_args!("copy"))
    }

    /// The record of a copy.
    pub fn copy(&self, fingerprint: Fingerprint, number: u64) -> Path {
        self.object(fingerprint, format_args!("copy/{number}"))
    }

    /// The mark that a copy is to be counted on no more.
    pub fn gone(&self, fingerprint: Fingerprint, number: u64, since: u64) -> Path {
        self.object(fingerprint, format_args!("copy/{number}.gone.{since}"))
    }

    /// All references to an object.
    pub fn references(&self, fingerprint: Fingerprint) -> Path {
        self.object(fingerprint, format_args!("refs"))
    }

    /// Those of a customer.
    pub fn references_of(&self, fingerprint: Fingerprint, customer: CustomerId) -> Path {
        self.object(fingerprint, format_args!("refs/{:08x}", customer.0))
    }

    /// The names of one reference.
    pub fn reference(&self, reference: &Reference) -> Path {
        let Reference { fingerprint, customer, token } = reference;
        self.object(*fingerprint, format_args!("refs/{:08x}/{token}", customer.0))
    }

    /// One of them, unlike any other.
    pub fn reference_made(&self, reference: &Reference, renewed: u64, nonce: u64) -> Path {
        let Reference { fingerprint, customer, token } = reference;
        self.object(*fingerprint, format_args!("refs/{:08x}/{token}/{renewed}-{nonce:016x}", customer.0))
    }

    /// Behind all names of a reference, and before those of the next.
    pub fn behind(&self, reference: &Reference) -> Path {
        let Reference { fingerprint, customer, token } = reference;
        self.object(*fingerprint, format_args!("refs/{:08x}/{token}/z", customer.0))
    }

    /// The bytes of a large object.
    pub fn data(&self, id: DataId) -> Path {
        self.path(format_args!("data/{id}"))
    }

    /// All uploads of large objects that are not finished.
    pub fn uploads(&self) -> Path {
        self.path(format_args!("uploads"))
    }

    /// The marks of one of them.
    pub fn upload(&self, id: DataId) -> Path {
        self.path(format_args!("uploads/{id}"))
    }

    /// One mark.
    pub fn upload_mark(&self, id: DataId, mark: UploadMark) -> Path {
        match mark {
            UploadMark::Begun => self.path(format_args!("uploads/{id}/begun")),
            UploadMark::For(fingerprint) => self.path(format_args!("uploads/{id}/for.{fingerprint}")),
            UploadMark::Ended => self.path(format_args!("uploads/{id}/ended")),
        }
    }

    /// All objects to be looked at.
    pub fn all_unheld(&self) -> Path {
        self.path(format_args!("unheld"))
    }

    /// An object to be looked at from then on.
    pub fn unheld(&self, fingerprint: Fingerprint, due: u64) -> Path {
        self.path(format_args!("unheld/{due:012}/{fingerprint}"))
    }

    fn below<'path>(&self, path: &'path Path, folder: &str) -> Option<Vec<&'path str>> {
        let below = path.as_ref().strip_prefix(&self.prefix)?.strip_prefix(folder)?.strip_prefix('/')?;
        Some(below.split('/').collect())
    }

    /// What a name below [`Self::objects`] stands for; nothing if we did not make it.
    pub fn entry(&self, path: &Path) -> Option<Entry> {
        match self.below(path, "objects")?[..] {
            [_, fingerprint, "copy", copy] => {
                let fingerprint = Fingerprint::parse(fingerprint)?;
                match copy.split_once(".gone.") {
                    None => Some(Entry::Copy { fingerprint, number: copy.parse().ok()? }),
                    Some((number, since)) => {
                        let (number, since) = (number.parse().ok()?, since.parse().ok()?);
                        Some(Entry::Gone { fingerprint, number, since })
                    }
                }
            }
            [_, fingerprint, "refs", customer, token, made] => {
                let reference = Reference {
                    fingerprint: Fingerprint::parse(fingerprint)?,
                    customer: CustomerId(u32::from_str_radix(customer, 16).ok()?),
                    token: Token::parse(token)?,
                };
                Some(Entry::Held { reference, renewed: made.split_once('-')?.0.parse().ok()? })
            }
            _ => None,
        }
    }

    /// What a name below [`Self::uploads`] stands for.
    pub fn mark_of_upload(&self, path: &Path) -> Option<(DataId, UploadMark)> {
        let [id, mark] = self.below(path, "uploads")?[..] else { return None };
        let mark = match mark {
            "begun" => UploadMark::Begun,
            "ended" => UploadMark::Ended,
            mark => UploadMark::For(Fingerprint::parse(mark.strip_prefix("for.")?)?),
        };
        Some((DataId::parse(id)?, mark))
    }

    /// Which object is to be looked at, and from when on.
    pub fn due(&self, path: &Path) -> Option<(Fingerprint, u64)> {
        let [due, fingerprint] = self.below(path, "unheld")?[..] else { return None };
        Some((Fingerprint::parse(fingerprint)?, due.parse().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ISN-2: a name says all that it stands for.
    #[test]
    fn names_are_read_as_they_were_made() {
        let fingerprint = Fingerprint([0xab; 16]);
        let reference = Reference { fingerprint, customer: CustomerId(7), token: Token([0xcd; 16]) };
        for keys in [Keys::new(""), Keys::new("one/two")] {
            let copy = keys.copy(fingerprint, 12);
            assert_eq!(keys.entry(&copy), Some(Entry::Copy { fingerprint, number: 12 }));
            let gone = keys.gone(fingerprint, 12, 99);
            assert_eq!(keys.entry(&gone), Some(Entry::Gone { fingerprint, number: 12, since: 99 }));
            let made = keys.reference_made(&reference, 1_800_000_000, 3);
            assert_eq!(keys.entry(&made), Some(Entry::Held { reference, renewed: 1_800_000_000 }));
            assert!(made.prefix_matches(&keys.reference(&reference)));
            assert!(made < keys.behind(&reference), "a page goes on behind it");
            let id = DataId([1; 16]);
            for mark in [UploadMark::Begun, UploadMark::For(fingerprint), UploadMark::Ended] {
                assert_eq!(keys.mark_of_upload(&keys.upload_mark(id, mark)), Some((id, mark)));
            }
            assert_eq!(keys.due(&keys.unheld(fingerprint, 5)), Some((fingerprint, 5)));
            for stranger in ["objects/ab/x/copy/1", "objects/readme", "elsewhere"] {
                assert_eq!(keys.entry(&Path::from(stranger)), None);
            }
        }
    }
}
