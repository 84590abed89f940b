//! The image builder: two builds are the same, what it made can be checked, and what it lacks it says.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};

use e2e::daemon::binary;
use e2e::data;
use e2e::qemu::firmware::{Firmware, VERSION, build, overlay};
use e2e::tools::{run, run_ok};

/// The most a slot of the fallback has, in bytes, with programs as the tests are built. Debian's kernel and RAUC's
/// libraries are most of it.
const SLOT_BYTES_MAX: u64 = 42_000_000;

/// PORT-19: the same commit gives the same bytes, wherever it is built; a slot has no more than it may; every block of what
/// was made is what its root hash says, and one changed byte is found.
#[test]
fn two_builds_are_the_same_and_a_changed_byte_is_found() {
    let firmware = Firmware::of_this_commit();
    let dir = tempfile::tempdir().unwrap();
    let other = dir.path().join("another/folder");
    build(&other, &firmware.keyring(), overlay(), VERSION);
    for file in ["slot.img", "disk.img", "files.tsv"] {
        let [one, two] =
            [firmware.folder(), &other].map(|folder| data::md5_hex(&fs::read(folder.join(file)).unwrap()));
        assert_eq!(one, two, "{file}");
    }
    let bytes = fs::metadata(firmware.slot()).unwrap().len();
    println!("slot: {bytes} bytes");
    assert!(bytes <= SLOT_BYTES_MAX, "{bytes} bytes");

    let image = binary("image");
    let inspect = |file: &str| run(image.to_str().unwrap(), &["inspect", other.join(file).to_str().unwrap()]);
    let told = String::from_utf8(inspect("disk.img").stdout).unwrap();
    assert!(told.contains(&format!("slot-a: version {VERSION}")) && told.contains("slot-b: empty"), "{told}");
    let slot = other.join("slot.img");
    let mut file = File::options().write(true).open(&slot).unwrap();
    file.seek(SeekFrom::Start(bytes / 2)).unwrap();
    file.write_all(b"another byte").unwrap();
    let told = inspect("slot.img");
    assert!(
        !told.status.success() && String::from_utf8_lossy(&told.stderr).contains("veritysetup"),
        "{told:?}"
    );
}

/// What is missing or wrong is told in a line that says what to do.
#[test]
fn what_an_image_cannot_be_made_of_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("not-a-kernel"), "text").unwrap();
    fs::write(path("not-an-archive"), "text".repeat(1_000)).unwrap();
    let image = binary("image").to_str().unwrap().to_owned();
    let told = |arguments: &[&str]| {
        let output = run(&image, &[&["build", "--time", "1", "--out", &path("out")], arguments].concat());
        assert!(!output.status.success(), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let unbuilt = told(&["--binaries", &path("nowhere")]);
    assert!(unbuilt.contains("build it first, or say with --binaries where it is"), "{unbuilt}");
    let archive = told(&["--rootfs", &path("not-an-archive"), "--kernel", &path("not-a-kernel")]);
    assert!(archive.contains("not a whole, uncompressed tar archive"), "{archive}");
    let version = told(&["--image-version", "a b"]);
    assert!(version.contains("must be 1 to 64 of"), "{version}");
    let unknown = run(&image, &["inspect", &path("not-an-archive")]);
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("neither a disk nor a slot"), "{unknown:?}");
    // An older result is not written over.
    let firmware = Firmware::of_this_commit();
    let arguments = ["bundle", "--from", firmware.folder().to_str().unwrap(), "--out", &path("not-a-kernel")];
    let signer = ["--cert", &path("signer.pem"), "--key", &path("signer.key")];
    let exists = run(&image, &[&arguments[..], &signer].concat());
    assert!(String::from_utf8_lossy(&exists.stderr).contains("exists already"), "{exists:?}");
    run_ok(&image, &["--help"]);
}
