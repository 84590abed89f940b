//! What names a thing that was revoked, in one size for all kinds (SRL-14).

use super::{ObjectName, SrlOperation};
use crate::digest::Fingerprint;
use crate::id::{ClientFile, ObjectId};

/// The mark of something an SRL may be, or may ask for: the first half of a BLAKE3 of its kind and name. Whoever holds
/// marks can refuse what they stand for, and learns nothing about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mark(pub [u8; 16]);

impl Mark {
    /// Of one SRL, by its encoded request.
    pub fn of_srl(encoded: &str) -> Self {
        Self::of(b's', encoded.as_bytes())
    }

    /// Of contents.
    pub fn of_contents(fingerprint: Fingerprint) -> Self {
        Self::of(b'c', &fingerprint.0)
    }

    /// Of a file that its customer calls by an id of its own.
    pub fn of_client_file(file: ClientFile) -> Self {
        Self::of(b'u', &file.0)
    }

    /// Of a folder into which may be stored.
    pub fn of_folder(folder: ObjectId) -> Self {
        Self::of(b'f', &folder.0.to_be_bytes())
    }

    /// Of what an operation asks for, where that can be revoked.
    pub fn of_operation(operation: &SrlOperation) -> Option<Self> {
        match operation {
            SrlOperation::Fetch { object } | SrlOperation::FetchAuth { object, .. } => match object {
                ObjectName::Content(fingerprint) => Some(Self::of_contents(*fingerprint)),
                ObjectName::ClientFile(file) => Some(Self::of_client_file(*file)),
            },
            SrlOperation::FetchDigests { fingerprint } => Some(Self::of_contents(*fingerprint)),
            SrlOperation::StoreClientFile { file, .. } => Some(Self::of_client_file(*file)),
            SrlOperation::Store { parent } => Some(Self::of_folder(*parent)),
            SrlOperation::NoOp | SrlOperation::Delete { .. } | SrlOperation::Control { .. } => None,
        }
    }

    fn of(kind: u8, name: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("storage center, what is revoked");
        hasher.update(&[kind]).update(name);
        let mut mark = [0; 16];
        hasher.finalize_xof().fill(&mut mark);
        Self(mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_different_kinds_are_different() {
        let bytes = [7; 16];
        let same_name = [
            Mark::of_contents(Fingerprint(bytes)),
            Mark::of_client_file(ClientFile(bytes)),
            Mark::of_srl(str::from_utf8(&bytes).unwrap()),
            Mark::of_folder(ObjectId(u64::from_be_bytes([7; 8]))),
        ];
        for (index, mark) in same_name.iter().enumerate() {
            assert!(!same_name[..index].contains(mark));
        }
    }

    /// What asks for one thing has its mark, whatever it does with it.
    #[test]
    fn operations_have_the_mark_of_what_they_ask_for() {
        let (fingerprint, file, folder) = (Fingerprint([1; 16]), ClientFile([2; 16]), ObjectId(3));
        let (content, own) = (ObjectName::Content(fingerprint), ObjectName::ClientFile(file));
        let callback = || "http://a/".to_owned();
        let of = |operation| Mark::of_operation(&operation);
        for operation in [
            SrlOperation::Fetch { object: content.clone() },
            SrlOperation::FetchAuth { object: content.clone(), callback: callback() },
            SrlOperation::FetchDigests { fingerprint },
        ] {
            assert_eq!(of(operation), Some(Mark::of_contents(fingerprint)));
        }
        for operation in [
            SrlOperation::Fetch { object: own.clone() },
            SrlOperation::FetchAuth { object: own, callback: callback() },
            SrlOperation::StoreClientFile { file, replace: true },
        ] {
            assert_eq!(of(operation), Some(Mark::of_client_file(file)));
        }
        assert_eq!(of(SrlOperation::Store { parent: folder }), Some(Mark::of_folder(folder)));
        assert_eq!(of(SrlOperation::Delete { object: content }), None);
    }
}
