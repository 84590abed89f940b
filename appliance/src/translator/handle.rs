//! File handles: what a client holds to name an object.
//!
//! A handle is made of the center's ids alone, so it stays valid across restarts, rewrites of the file and a takeover
//! by the other port of the pair (PORT-5, FO-8). A keyed tag keeps clients from making up handles of objects that no
//! export gave them.
//!
//! 32 bytes, of a kept version 40; numbers big-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 0 | version, 2 |
//! | 1 | view: 0 files, 1 SRLs, 2 a folder of what is kept, 3 a kept version |
//! | 2..4 | reserved, 0 |
//! | 4..8 | export id |
//! | 8..12 | customer id |
//! | 12..20 | object id |
//! | 20..28 | of a kept version alone: its number |
//! | the last 12 | first 12 bytes of SipHash-2-4-128 of the bytes before |
//!
//! The tag is made once for each entry of a listing and looked at once in each call. SipHash is made for such short
//! messages, at a third of BLAKE3's time. Whoever guesses a tag is right once in 2^96 times, and learns nothing by being
//! wrong but NFS3ERR_BADHANDLE.

use nfs::filesystem::Handle;
use protocol::id::{CustomerId, ObjectId, VersionId};
use siphasher::sip128::SipHasher24;

/// Length of a handle in bytes.
pub const HANDLE_BYTES: usize = 32;
/// Length of a handle of a kept version in bytes.
pub const VERSION_HANDLE_BYTES: usize = HANDLE_BYTES + 8;
const VERSION: u8 = 2;
const TAG_BYTES: usize = 12;
/// Numbers of what is kept as clients see them, beside those of folders and files: no id of the center's, which counts
/// them one by one, comes to these bits. None is the uppermost, for some clients take such numbers as signed.
const KEPT_FILEID: u64 = 1 << 62;
pub(super) const VERSION_FILEID: u64 = 1 << 61;

/// Which of the two trees over the same folders an export shows (PORT-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tree {
    /// The files themselves.
    Files,
    /// The same names, each file holding its SRL.
    Srl,
}

/// As what a handle shows its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum View {
    /// A folder or file as it is.
    Files,
    /// The same in the tree of SRLs.
    Srl,
    /// A folder, there or deleted, as the place of what is kept of what was in it.
    Kept,
    /// A file as it was: the version of this number.
    Version(VersionId),
}

impl View {
    /// In exports of which tree there is such a thing.
    pub fn tree(self) -> Tree {
        match self {
            Self::Files | Self::Kept | Self::Version(_) => Tree::Files,
            Self::Srl => Tree::Srl,
        }
    }
}

impl From<Tree> for View {
    fn from(tree: Tree) -> Self {
        match tree {
            Tree::Files => Self::Files,
            Tree::Srl => Self::Srl,
        }
    }
}

/// Names an export in handles: derived from its path and folder, so both ports of a pair agree without talking. With
/// the folder in it, an export that comes to show another folder leaves no handle good of what is outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExportId(pub u32);

impl ExportId {
    /// First four bytes of BLAKE3 of the export's path and of its folder, name by name from the root.
    pub fn of(path: &str, folder: &[Vec<u8>]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(path.as_bytes());
        for name in folder {
            // Ends what comes before: in no path and no name there is such a byte.
            hasher.update(&[0]);
            hasher.update(name);
        }
        let [a, b, c, d, ..] = *hasher.finalize().as_bytes();
        Self(u32::from_be_bytes([a, b, c, d]))
    }
}

/// What a handle names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// As what.
    pub view: View,
    /// The export it was reached through; its options hold on every call.
    pub export: ExportId,
    /// Whose object.
    pub customer: CustomerId,
    /// Which object; of a kept version, of which file.
    pub object: ObjectId,
}

impl Place {
    /// The number by which clients know it in its file system; of what is shown as it is, the object's id.
    pub fn fileid(&self) -> u64 {
        match self.view {
            View::Files | View::Srl => self.object.0,
            View::Kept => KEPT_FILEID | self.object.0,
            View::Version(VersionId(number)) => VERSION_FILEID | number,
        }
    }
}

/// The key of the handles' tags; the same on both ports of a pair.
#[derive(Clone)]
pub struct HandleKey {
    secret: [u8; 32],
    tagger: SipHasher24,
}

impl HandleKey {
    /// The key that both ports make of their pair's key, whatever that is.
    pub fn of_pair(key: &[u8]) -> Self {
        Self::new(blake3::derive_key("storage port: file handles of a pair", key))
    }

    /// A key of 32 random bytes.
    pub fn new(secret: [u8; 32]) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(&secret);
        hasher.update(b"handles");
        let mut tag_key = [0; 16];
        hasher.finalize_xof().fill(&mut tag_key);
        Self { secret, tagger: SipHasher24::new_with_key(&tag_key) }
    }

    /// The handle of a place.
    pub fn seal(&self, place: &Place) -> Handle {
        let mut bytes = [0; VERSION_HANDLE_BYTES];
        bytes[0] = VERSION;
        let (view, len) = match place.view {
            View::Files => (0, HANDLE_BYTES),
            View::Srl => (1, HANDLE_BYTES),
            View::Kept => (2, HANDLE_BYTES),
            View::Version(VersionId(number)) => {
                bytes[20..28].copy_from_slice(&number.to_be_bytes());
                (3, VERSION_HANDLE_BYTES)
            }
        };
        bytes[1] = view;
        bytes[4..8].copy_from_slice(&place.export.0.to_be_bytes());
        bytes[8..12].copy_from_slice(&place.customer.0.to_be_bytes());
        bytes[12..20].copy_from_slice(&place.object.0.to_be_bytes());
        let (named, tag) = bytes[..len].split_at_mut(len - TAG_BYTES);
        tag.copy_from_slice(&self.tag(named));
        Handle::new(&bytes[..len]).unwrap_or_else(|| unreachable!("40 bytes are a handle"))
    }

    /// The place of a handle; `None` for bytes that this key did not seal.
    pub fn open(&self, handle: &Handle) -> Option<Place> {
        let bytes = handle.as_bytes();
        if !matches!(bytes.len(), HANDLE_BYTES | VERSION_HANDLE_BYTES) {
            return None;
        }
        let (named, tag) = bytes.split_at(bytes.len() - TAG_BYTES);
        if !equal_in_constant_time(tag, &self.tag(named)) || named[0] != VERSION {
            return None;
        }
        let word = |at: usize| u32::from_be_bytes([named[at], named[at + 1], named[at + 2], named[at + 3]]);
        let long = |at: usize| u64::from(word(at)) << 32 | u64::from(word(at + 4));
        let view = match (named[1], bytes.len()) {
            (0, HANDLE_BYTES) => View::Files,
            (1, HANDLE_BYTES) => View::Srl,
            (2, HANDLE_BYTES) => View::Kept,
            (3, VERSION_HANDLE_BYTES) => View::Version(VersionId(long(20))),
            _ => return None,
        };
        let (export, customer) = (ExportId(word(4)), CustomerId(word(8)));
        Some(Place { view, export, customer, object: ObjectId(long(12)) })
    }

    /// A listing's cookie verifier: it says that a cookie was given for this very folder.
    pub fn cookie_verifier(&self, place: &Place) -> [u8; 8] {
        let mut hasher = blake3::Hasher::new_keyed(&self.secret);
        hasher.update(b"cookies");
        hasher.update(&place.customer.0.to_be_bytes());
        hasher.update(&place.object.0.to_be_bytes());
        if place.view == View::Kept {
            hasher.update(b"kept");
        }
        let mut verifier = [0; 8];
        hasher.finalize_xof().fill(&mut verifier);
        verifier
    }

    /// The write verifier of one run of the port, and in a pair of one time of duty: `boot` is random at each start. Two
    /// ports of a pair never have the same one, nor has one port in two generations.
    pub fn write_verifier(&self, boot: &[u8; 16], generation: Option<u64>) -> [u8; 8] {
        let mut hasher = blake3::Hasher::new_keyed(&self.secret);
        hasher.update(b"writes");
        hasher.update(boot);
        hasher.update(&generation.unwrap_or_default().to_be_bytes());
        let mut verifier = [0; 8];
        hasher.finalize_xof().fill(&mut verifier);
        verifier
    }

    fn tag(&self, named: &[u8]) -> [u8; TAG_BYTES] {
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(&self.tagger.hash(named).as_bytes()[..TAG_BYTES]);
        tag
    }
}

impl std::fmt::Debug for HandleKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HandleKey(..)")
    }
}

/// Takes the same time wherever two tags differ, so that a tag cannot be found byte by byte.
fn equal_in_constant_time(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len() && left.iter().zip(right).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PORT-5: of the whole tree it is the path's alone.
    #[test]
    fn an_export_that_shows_another_folder_is_another() {
        let id = |path: &str, folder: &[&str]| {
            let folder: Vec<_> = folder.iter().map(|name| name.as_bytes().to_vec()).collect();
            ExportId::of(path, &folder)
        };
        let ids = [
            id("/e", &[]),
            id("/e", &["a"]),
            id("/e", &["a", "b"]),
            id("/e", &["ab"]),
            id("/e/a", &[]),
            id("/e/a", &["b"]),
        ];
        assert_eq!(ids.iter().collect::<std::collections::HashSet<_>>().len(), ids.len());
        let hash = blake3::hash(b"/e");
        assert_eq!(id("/e", &[]).0.to_be_bytes(), hash.as_bytes()[..4]);
    }

    const PLACE: Place = Place {
        view: View::Srl,
        export: ExportId(0xdead_beef),
        customer: CustomerId(7),
        object: ObjectId(0x0102_0304_0506_0708),
    };

    fn key() -> HandleKey {
        HandleKey::new([3; 32])
    }

    const VIEWS: [View; 4] = [View::Files, View::Srl, View::Kept, View::Version(VersionId(u64::MAX - 1))];

    #[test]
    fn a_handle_opens_to_its_place() {
        for view in VIEWS {
            let place = Place { view, ..PLACE };
            assert_eq!(key().open(&key().seal(&place)), Some(place));
        }
    }

    #[test]
    fn clients_never_take_two_places_for_one() {
        let place = |view| Place { view, object: ObjectId(9), ..PLACE };
        let all = [View::Files, View::Kept, View::Version(VersionId(9))].map(place);
        let fileids: std::collections::HashSet<_> = all.iter().map(Place::fileid).collect();
        assert_eq!(fileids.len(), all.len());
        assert!(fileids.iter().all(|fileid| i64::try_from(*fileid).is_ok()), "{fileids:?}");
        assert_ne!(key().cookie_verifier(&all[0]), key().cookie_verifier(&all[1]));
    }

    /// PORT-5: ids only, at most 64 bytes, the same from either port and after a restart.
    #[test]
    fn a_handle_depends_on_ids_and_key_alone() {
        assert_eq!(key().seal(&PLACE), key().seal(&PLACE));
        assert_eq!(key().seal(&PLACE).as_bytes().len(), HANDLE_BYTES);
        assert_ne!(key().seal(&PLACE), HandleKey::new([4; 32]).seal(&PLACE));
    }

    /// Both ports of a pair, and every later version of this one that says so in its first byte, agree on this.
    #[test]
    fn a_handle_is_the_same_from_build_to_build() {
        let hex: String = key().seal(&PLACE).as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "02010000deadbeef000000070102030405060708cf90e2129b355ac5f626bed0");
    }

    /// FO-8: clients see by it that what they did not commit may be gone.
    #[test]
    fn a_write_verifier_is_of_one_run_and_one_generation() {
        let verifiers =
            [([1; 16], None), ([2; 16], None), ([1; 16], Some(1)), ([1; 16], Some(2)), ([2; 16], Some(2))];
        let all: std::collections::HashSet<_> =
            verifiers.iter().map(|(boot, generation)| key().write_verifier(boot, *generation)).collect();
        assert_eq!(all.len(), verifiers.len());
    }

    #[test]
    fn every_changed_bit_makes_a_handle_bad() {
        for view in VIEWS {
            let handle = key().seal(&Place { view, ..PLACE });
            for bit in 0..8 * handle.as_bytes().len() {
                let mut bytes = handle.as_bytes().to_vec();
                bytes[bit / 8] ^= 1 << (bit % 8);
                let forged = Handle::new(&bytes).unwrap();
                assert_eq!(key().open(&forged), None, "bit {bit} of {view:?}");
            }
        }
    }

    #[test]
    fn a_handle_of_another_length_is_bad() {
        for len in [1, 31, 33, 40, 64] {
            assert_eq!(key().open(&Handle::new(&vec![1; len]).unwrap()), None);
        }
    }
}
