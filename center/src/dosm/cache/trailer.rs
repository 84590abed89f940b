//! What stands behind an object's bytes in a file of the cache, so that the file explains itself after a restart.
//!
//! ```text
//! the object's bytes
//! its block digests, 32 bytes each; none for an object of at most one block
//! "SPCACHE1" | size u64, little-endian | BLAKE3, 32 bytes | MD5, 16 bytes
//! ```

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use protocol::digest::{BlockDigests, Content, Digest, Fingerprint};

const MAGIC: [u8; 8] = *b"SPCACHE1";
/// Bytes of the last line.
const TAIL_BYTES: usize = 8 + 8 + 32 + 16;
/// Longest list of digests believed: that of an object of 2 TiB.
const LIST_BYTES_MAX: u64 = 64 << 20;

/// Length of what stands behind an object's bytes.
pub fn len(content: &Content) -> u64 {
    list_len(content.size).saturating_add(TAIL_BYTES as u64)
}

/// What stands behind an object's bytes.
pub fn encode(content: &Content, digests: &BlockDigests) -> Vec<u8> {
    let mut bytes = digests.as_bytes();
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&content.size.to_le_bytes());
    bytes.extend_from_slice(&content.digest.0);
    bytes.extend_from_slice(&content.fingerprint.0);
    bytes
}

/// Which object a file says it holds; `None` if it makes no sense. The object's bytes are not looked at.
pub fn read(file: &File) -> io::Result<Option<(Content, BlockDigests)>> {
    let file_len = file.metadata()?.len();
    let Some(tail_at) = file_len.checked_sub(TAIL_BYTES as u64) else { return Ok(None) };
    let mut tail = [0; TAIL_BYTES];
    file.read_exact_at(&mut tail, tail_at)?;
    let Some(content) = decode_tail(&tail) else { return Ok(None) };
    let list_len = list_len(content.size);
    if list_len > LIST_BYTES_MAX || content.size.checked_add(list_len) != Some(tail_at) {
        return Ok(None);
    }
    let mut list = vec![0; usize::try_from(list_len).unwrap_or(0)];
    file.read_exact_at(&mut list, content.size)?;
    Ok(BlockDigests::from_bytes(&content, &list).ok().map(|digests| (content, digests)))
}

fn decode_tail(tail: &[u8; TAIL_BYTES]) -> Option<Content> {
    let (magic, rest) = tail.split_first_chunk::<8>()?;
    let (size, rest) = rest.split_first_chunk::<8>()?;
    let (digest, rest) = rest.split_first_chunk::<32>()?;
    let (fingerprint, _) = rest.split_first_chunk::<16>()?;
    (*magic == MAGIC).then_some(Content {
        fingerprint: Fingerprint(*fingerprint),
        size: u64::from_le_bytes(*size),
        digest: Digest(*digest),
    })
}

fn list_len(size: u64) -> u64 {
    let blocks = size.div_ceil(protocol::digest::BLOCK_BYTES);
    if blocks > 1 { blocks * 32 } else { 0 }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use protocol::digest::{BLOCK_BYTES, ObjectHasher};

    use super::*;

    fn file(parts: &[&[u8]]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        parts.iter().for_each(|part| file.write_all(part).unwrap());
        file
    }

    #[test]
    fn a_file_says_which_object_it_holds() {
        for len in [0, 1, BLOCK_BYTES as usize, BLOCK_BYTES as usize + 1, 3 * BLOCK_BYTES as usize] {
            let bytes = vec![7; len];
            let mut hasher = ObjectHasher::new();
            hasher.update(&bytes);
            let (content, digests) = hasher.finish();
            let trailer = encode(&content, &digests);
            assert_eq!(trailer.len() as u64, super::len(&content));
            let read = |parts: &[&[u8]]| super::read(&file(parts)).unwrap();
            assert_eq!(read(&[&bytes, &trailer]), Some((content, digests)));
            assert_eq!(read(&[&bytes, b"x", &trailer]), None);
            assert_eq!(read(&[&bytes, &trailer, b"x"]), None);
            assert_eq!(read(&[&bytes]), None);
            for at in (0..trailer.len()).filter(|at| *at != trailer.len() - 1) {
                let mut wrong = trailer.clone();
                wrong[at] ^= 0x40;
                let found = read(&[&bytes, &wrong]);
                // A one-block object's digest proves itself on the first read of its bytes.
                assert!(found.is_none_or(|(found, _)| found != content), "{at}");
            }
        }
    }

    #[test]
    fn what_a_file_claims_is_not_believed_before_its_length_fits() {
        let tail = |size: u64| [&MAGIC[..], &size.to_le_bytes(), &[0; 48]].concat();
        for size in [1, BLOCK_BYTES + 1, u64::MAX, u64::MAX - 63, 1 << 60] {
            assert_eq!(super::read(&file(&[&tail(size)])).unwrap(), None, "{size}");
        }
    }
}
