//! What the names on a disk say, whatever its index does: they are the truth, the index is a cache of them (ISN-2).

use std::io;

use protocol::digest::{BLOCK_BYTES, BlockDigests, Content, Fingerprint, ObjectHasher};

use super::files::{DiskFile, FileSystem};
use super::layout::{Layout, described, optional};

/// Bytes of one block's digest in the list beside an object.
const DIGEST_BYTES: u64 = 32;

/// A disk's files, by the layout's names.
#[derive(Clone, Debug)]
pub struct Names<F> {
    /// How they are reached.
    pub files: F,
    /// Where they lie.
    pub layout: Layout,
}

impl<F: FileSystem> Names<F> {
    /// Whether the object's file is here and, if it has more than one block, its digests, both in their full length.
    pub fn is_whole(&self, content: &Content) -> io::Result<bool> {
        let length = optional(self.files.length(&self.layout.object(content.fingerprint)))?;
        Ok(length == Some(content.size) && self.has_list(content)?)
    }

    fn has_list(&self, content: &Content) -> io::Result<bool> {
        if content.blocks() <= 1 {
            return Ok(true);
        }
        let length = optional(self.files.length(&self.layout.block_digests(content.fingerprint)))?;
        Ok(length == Some(content.blocks() * DIGEST_BYTES))
    }

    /// What the object file of this name contains: by its attribute, or else by reading it; then its block digests are
    /// made anew. `None` if there is no file or its bytes do not have that fingerprint.
    pub fn identify(&self, fingerprint: Fingerprint) -> io::Result<Option<Content>> {
        let path = self.layout.object(fingerprint);
        let Some(length) = optional(self.files.length(&path))? else { return Ok(None) };
        let Some(attribute) = optional(self.files.attribute(&path))? else { return Ok(None) };
        let told = attribute.and_then(|attribute| described(&attribute, fingerprint, length));
        if let Some(content) = told
            && self.has_list(&content)?
        {
            return Ok(Some(content));
        }
        let Some(file) = optional(self.files.open(&path))? else { return Ok(None) };
        let (content, blocks) = hash(&file)?;
        if content.fingerprint != fingerprint {
            return Ok(None);
        }
        self.write_list(&content, &blocks)?;
        Ok(Some(content))
    }

    /// Writes the digests of an object's blocks beside it, if it has more than one.
    pub fn write_list(&self, content: &Content, blocks: &BlockDigests) -> io::Result<()> {
        if content.blocks() <= 1 {
            return Ok(());
        }
        let draft = self.layout.temporary().join(format!("{}.B3", content.fingerprint));
        self.files.write_whole(&draft, &self.layout.block_digests(content.fingerprint), &blocks.as_bytes())
    }
}

/// Reads a file from its beginning to its end.
pub fn hash(file: &impl DiskFile) -> io::Result<(Content, BlockDigests)> {
    let length = file.length()?;
    let mut hasher = ObjectHasher::new();
    let mut buffer = vec![0; usize::try_from(length.min(BLOCK_BYTES)).unwrap_or(0)];
    let mut offset = 0;
    while offset < length {
        let step = usize::try_from((length - offset).min(BLOCK_BYTES)).unwrap_or(0);
        file.read_exact_at(&mut buffer[..step], offset)?;
        hasher.update(&buffer[..step]);
        offset += step as u64;
    }
    Ok(hasher.finish())
}
