//! Bytes of files.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::thread;

use rustix::fs::OFlags;
use rustix::mm::{MapFlags, MsyncFlags, ProtFlags};

use super::forget;
use crate::pattern;

fn create(path: &Path) -> File {
    File::options().read(true).write(true).create_new(true).open(path).unwrap()
}

pub fn read_back(folder: &Path) {
    for len in [0, 8, 4_096, 65_544, 1 << 20, (3 << 20) + 8] {
        let path = folder.join(format!("file-{len}"));
        fs::write(&path, pattern::bytes(len as u64, len)).unwrap();
        for _ in 0..2 {
            let read = fs::read(&path).unwrap();
            assert_eq!(read.len(), len);
            pattern::check(len as u64, &read);
            forget();
        }
    }
}

pub fn overwrites(folder: &Path) {
    let path = folder.join("file");
    let file = create(&path);
    let mut expected = pattern::bytes(1, 1 << 20);
    file.write_all_at(&expected, 0).unwrap();
    file.sync_all().unwrap();
    // Unaligned pieces of odd lengths, some before and some after the rest is at the server.
    for (number, at) in [(2_u64, 1_usize), (3, 4_095), (4, 65_530), (5, 300_001), (6, (1 << 20) - 8)] {
        let piece = pattern::bytes(number, 8 * number as usize - 8);
        let piece = &piece[..piece.len().min(expected.len() - at)];
        file.write_all_at(piece, at as u64).unwrap();
        expected[at..at + piece.len()].copy_from_slice(piece);
        if number % 2 == 0 {
            file.sync_all().unwrap();
        }
    }
    assert!(fs::read(&path).unwrap() == expected);
    drop(file);
    forget();
    assert!(fs::read(&path).unwrap() == expected);
}

pub fn holes(folder: &Path) {
    let path = folder.join("file");
    let file = create(&path);
    file.write_all_at(b"middle", 3_000_000).unwrap();
    file.write_all_at(b"start", 0).unwrap();
    drop(file);
    forget();
    let read = fs::read(&path).unwrap();
    assert_eq!((read.len(), &read[..5], &read[3_000_000..]), (3_000_006, &b"start"[..], &b"middle"[..]));
    assert!(read[5..3_000_000].iter().all(|&byte| byte == 0));
}

pub fn appends(folder: &Path) {
    let path = folder.join("file");
    let open = || File::options().append(true).create(true).open(&path).unwrap();
    let (mut one, mut two) = (open(), open());
    for number in 0..40 {
        let file = if number % 2 == 0 { &mut one } else { &mut two };
        file.write_all(format!("{number:09}\n").as_bytes()).unwrap();
    }
    drop((one, two));
    forget();
    let expected: String = (0..40).map(|number| format!("{number:09}\n")).collect();
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);
}

pub fn truncation(folder: &Path) {
    let path = folder.join("file");
    let file = create(&path);
    file.write_all_at(&[b'x'; 100_000], 0).unwrap();
    file.set_len(10).unwrap();
    file.set_len(200_000).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 200_000);
    drop(file);
    forget();
    let read = fs::read(&path).unwrap();
    assert_eq!((read.len(), &read[..10]), (200_000, &[b'x'; 10][..]));
    assert!(read[10..].iter().all(|&byte| byte == 0), "what was cut off came back");
    fs::write(&path, "shorter").unwrap();
    forget();
    assert_eq!(fs::read(&path).unwrap(), b"shorter");
    drop(File::create(&path).unwrap());
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
}

pub fn mapping(folder: &Path) {
    const LEN: usize = 1 << 20;
    let path = folder.join("file");
    let file = create(&path);
    file.set_len(LEN as u64).unwrap();
    write_mapped(&file, &pattern::bytes(7, LEN));
    pattern::check(7, &fs::read(&path).unwrap());
    drop(file);
    forget();
    pattern::check(7, &fs::read(&path).unwrap());
}

/// Puts bytes at the start of a file through a shared mapping.
#[allow(unsafe_code, reason = "there is no other way to a mapping; nobody else changes the file meanwhile")]
fn write_mapped(file: &File, bytes: &[u8]) {
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: the mapping is as long as `bytes`, lives until `munmap` below, and nobody else knows its address.
    unsafe {
        let start =
            rustix::mm::mmap(std::ptr::null_mut(), bytes.len(), protection, MapFlags::SHARED, file, 0)
                .unwrap();
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), start.cast(), bytes.len());
        rustix::mm::msync(start, bytes.len(), MsyncFlags::SYNC).unwrap();
        rustix::mm::munmap(start, bytes.len()).unwrap();
    }
}

pub fn write_through(folder: &Path) {
    for (name, flag) in [("direct", OFlags::DIRECT), ("sync", OFlags::SYNC), ("dsync", OFlags::DSYNC)] {
        let path = folder.join(name);
        let mut options = File::options();
        let file = options.read(true).write(true).create_new(true).custom_flags(flag.bits().cast_signed());
        let file = file.open(&path).unwrap();
        let contents = pattern::bytes(9, 256 << 10);
        let mut buffer = vec![0; contents.len() + 4096];
        // O_DIRECT wants aligned memory.
        let start = buffer.as_ptr().align_offset(4096);
        let aligned = &mut buffer[start..start + contents.len()];
        aligned.copy_from_slice(&contents);
        file.write_all_at(aligned, 0).unwrap();
        aligned.fill(0);
        file.read_exact_at(aligned, 0).unwrap();
        pattern::check(9, aligned);
        pattern::check(9, &fs::read(&path).unwrap());
    }
}

/// Around 4 GiB and at the end of what a signed offset of 32 bits reaches. The file goes before it is uploaded whole.
pub fn large_offsets(folder: &Path) {
    let path = folder.join("file");
    let file = create(&path);
    let places = [(1_u64 << 31) - 4_096, (1 << 32) - 4_096, (1 << 32) + 12_345];
    for (seed, &place) in places.iter().enumerate() {
        file.write_all_at(&pattern::bytes(seed as u64, 8_192), place).unwrap();
    }
    drop(file);
    assert_eq!(fs::metadata(&path).unwrap().len(), places[2] + 8_192);
    forget();
    let mut file = File::open(&path).unwrap();
    let mut piece = vec![0; 8_192];
    for (seed, &place) in places.iter().enumerate() {
        file.read_exact_at(&mut piece, place).unwrap();
        pattern::check(seed as u64, &piece);
    }
    file.read_exact(&mut piece).unwrap();
    assert!(piece.iter().all(|&byte| byte == 0));
    drop(file);
    fs::remove_file(&path).unwrap();
}

pub fn at_once(folder: &Path) {
    thread::scope(|scope| {
        for seed in 0..8 {
            let path = folder.join(format!("file-{seed}"));
            scope.spawn(move || {
                let file = create(&path);
                for piece in 0..8 {
                    let bytes = pattern::bytes(seed * 8 + piece, 128 << 10);
                    file.write_all_at(&bytes, piece * (128 << 10)).unwrap();
                }
                file.sync_all().unwrap();
            });
        }
    });
    forget();
    for seed in 0..8 {
        let read = fs::read(folder.join(format!("file-{seed}"))).unwrap();
        for (piece, bytes) in read.chunks(128 << 10).enumerate() {
            pattern::check(seed * 8 + piece as u64, bytes);
        }
    }
}
