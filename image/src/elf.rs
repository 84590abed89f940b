//! What a program or a shared library says it needs. Pure.

use object::elf::FileHeader64;
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::{Endianness, elf};

/// The dynamic section and the interpreter of an ELF file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Names of shared libraries (DT_NEEDED).
    pub libraries: Vec<String>,
    /// Folders to look in first (DT_RUNPATH, or DT_RPATH).
    pub folders: Vec<String>,
    /// The program that loads it (PT_INTERP).
    pub interpreter: Option<String>,
}

/// A file that begins as ELF does, and is damaged or of another kind of machine.
#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    /// A table of it is wrong.
    #[error("not a whole ELF file for 64 bits: {0}")]
    Damaged(#[from] object::read::Error),
    /// Its names lie outside of it.
    #[error("not a whole ELF file for 64 bits: its table of names is nowhere")]
    NoNames,
}

/// What the file needs; `None` if it is not ELF.
///
/// # Errors
/// See [`ElfError`].
pub fn needs(file: &[u8]) -> Result<Option<Needs>, ElfError> {
    if !file.starts_with(&elf::ELFMAG) {
        return Ok(None);
    }
    let header = FileHeader64::<Endianness>::parse(file)?;
    let endian = header.endian()?;
    let segments = header.program_headers(endian, file)?;
    let mut needs = Needs::default();
    let mut dynamic: &[elf::Dyn64<Endianness>] = &[];
    for segment in segments {
        if let Some(path) = segment.interpreter(endian, file)? {
            needs.interpreter = Some(String::from_utf8_lossy(path).into_owned());
        }
        if let Some(entries) = segment.dynamic(endian, file)? {
            dynamic = entries;
        }
    }
    let value = |tag: u32| dynamic.iter().find(|entry| entry.tag32(endian) == Some(tag));
    let (Some(start), Some(size)) = (value(elf::DT_STRTAB), value(elf::DT_STRSZ)) else {
        return Ok(Some(needs));
    };
    let (start, size) = (start.d_val(endian), size.d_val(endian));
    let strings = segments
        .iter()
        .find_map(|segment| segment.data_range(endian, file, start, size).ok().flatten())
        .ok_or(ElfError::NoNames)?;
    let strings = object::StringTable::new(strings, 0, strings.len() as u64);
    for entry in dynamic {
        let text = || -> Result<String, object::read::Error> {
            Ok(String::from_utf8_lossy(entry.string(endian, strings)?).into_owned())
        };
        match entry.tag32(endian) {
            Some(elf::DT_NEEDED) => needs.libraries.push(text()?),
            Some(elf::DT_RUNPATH | elf::DT_RPATH) => {
                needs.folders.extend(text()?.split(':').map(str::to_owned));
            }
            _ => {}
        }
    }
    Ok(Some(needs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_program_needs_the_c_library() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let needs = needs(&own).unwrap().unwrap();
        assert!(needs.libraries.contains(&"libc.so.6".to_owned()), "{needs:?}");
        assert_eq!(needs.interpreter.as_deref(), Some("/lib64/ld-linux-x86-64.so.2"));
    }

    #[test]
    fn what_is_not_elf_needs_nothing_and_what_is_damaged_is_told() {
        assert_eq!(needs(b"#!/bin/sh\n").unwrap(), None);
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        for length in [4, 20, 63, 100, 200] {
            let _ = needs(&own[..length]);
        }
        assert!(needs(&own[..20]).is_err());
    }

    proptest::proptest! {
        /// Whatever stands in a file, it is read or refused.
        #[test]
        fn no_file_brings_it_down(at in 0_usize..4_096, byte: u8) {
            static OWN: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
            let own = OWN.get_or_init(|| std::fs::read(std::env::current_exe().unwrap()).unwrap());
            let mut file = own[..own.len().min(1 << 20)].to_vec();
            file[at] = byte;
            let _ = needs(&file);
        }
    }
}
