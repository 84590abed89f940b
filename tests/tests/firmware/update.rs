//! Updates of a box, by a USB stick and its console: what is refused, and that what is good is tried, serves and stays.

use std::fs;
use std::path::Path;

use e2e::daemon::binary;
use e2e::pair::ground::Ground;
use e2e::qemu::appliance::{Appliance, Starter, stick};
use e2e::qemu::firmware::{Firmware, bundle, make_signer};
use e2e::tools::run;
use image::bundle::make_for;

/// PORT-19: an update that somebody else signed, that is cut short, that is for another board, or that is older
/// than what runs is refused in words and changes nothing; a newer one is written to the other slot, started, and stays once it has served.
#[test]
fn a_box_takes_good_updates_and_refuses_all_others() {
    let firmware = Firmware::of_this_commit();
    let ground = Ground::new("update");
    let dir = ground.site.path().to_owned();
    make_signer(&dir, "stranger");
    let (own, key) = (firmware.keyring(), firmware.key());
    let stranger = (dir.join("stranger.pem"), dir.join("stranger.key"));
    let wrong = bundle(&dir, "wrong", "3.0.0", &firmware.slot(), &stranger.0, &stranger.1);
    let older = bundle(&dir, "older", "1.9.9", &firmware.slot(), &own, &key);
    let board = dir.join("board.raucb");
    make_for("storage-port-riscv", "3.0.0", &firmware.slot(), &board, &own, &key).unwrap();
    // What a stranger signed becomes ours by our signature, if we say that we know the stranger.
    let good = dir.join("good.raucb");
    let sign = |known: &Path| {
        let words = ["sign", "--bundle", wrong.to_str().unwrap(), "--keyring", known.to_str().unwrap()];
        let signer = ["--cert", own.to_str().unwrap(), "--key", key.to_str().unwrap()];
        let all = [&words[..], &["--out", good.to_str().unwrap()], &signer].concat();
        run(binary("image").to_str().unwrap(), &all)
    };
    assert!(!sign(&own).status.success() && !good.exists(), "it is not known who signed it");
    let signed = sign(&stranger.0);
    assert!(signed.status.success(), "{signed:?}");
    let whole = fs::read(&good).unwrap();
    let short = dir.join("short.raucb");
    fs::write(&short, &whole[..whole.len() / 2]).unwrap();
    let path = dir.join("stick.img");
    let arguments = stick(&path);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Appliance::fill_stick(
        &path,
        &[
            ("1-wrong.raucb", &wrong),
            ("2-short.raucb", &short),
            ("3-older.raucb", &older),
            ("4-board.raucb", &board),
        ],
    );

    let mut port = Appliance::new(&ground, &firmware.disk(), 0, Starter::Bios, &arguments);
    port.provision(&ground, "");
    port.start_until_ready();
    port.say("update");
    for reason in [
        "signature verification failed",
        "Invalid bundle format",
        "is older than the running",
        "it is for storage-port-riscv, and this box is",
    ] {
        let said = port.wait(reason).1;
        assert!(said.contains("update refused: "), "{said}");
        println!("{said}");
    }
    port.say("slots");
    let before = port.wait("running=a").1;
    assert!(before.contains("order=AB") && before.contains("b_left=0"), "{before}");

    port.kill();
    Appliance::fill_stick(&path, &[("update.raucb", &good)]);
    // Of the slots' state one copy is enough: that slot b holds nothing is still known.
    port.put("boot/state-1", b"# GRUB Environment Block");
    port.start_until_ready();
    port.say("slots");
    let kept = port.wait("running=a").1;
    assert!(kept.contains("order=AB a_left=3 a_good=1 b_left=0"), "{kept}");
    port.say("update");
    let (took, said) = port.wait("installed version 3.0.0");
    println!("good, {:.1} s: {said}", took.as_secs_f64());
    port.say("restart");
    port.wait("starting slot b");
    port.wait("STORAGE-PORT READY");
    port.say("slots");
    let after = port.wait("running=b").1;
    assert!(after.contains("order=BA") && after.contains("b_left=3 b_good=1"), "{after}");
}

/// PORT-19: a new slot whose file system is not what was built costs its three tries, by itself; then the box serves from
/// the old slot again and has marked the new one bad.
#[test]
fn a_new_slot_that_does_not_start_is_left_after_three_tries() {
    let firmware = Firmware::of_this_commit();
    let ground = Ground::new("rollback");
    let dir = ground.site.path().to_owned();
    let mut slot = fs::read(firmware.slot()).unwrap();
    // The second squashfs is the root file system, on a boundary of a MiB; its first block is read in any case.
    let root =
        (1..slot.len() >> 20).map(|mib| mib << 20).find(|&at| slot[at..].starts_with(b"hsqs")).unwrap();
    slot[root + 100] ^= 1;
    let damaged = dir.join("damaged.img");
    fs::write(&damaged, slot).unwrap();
    let update = bundle(&dir, "damaged", "3.0.0", &damaged, &firmware.keyring(), &firmware.key());
    let path = dir.join("stick.img");
    let arguments = stick(&path);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Appliance::fill_stick(&path, &[("damaged.raucb", &update)]);

    let mut port = Appliance::new(&ground, &firmware.disk(), 0, Starter::Bios, &arguments);
    port.provision(&ground, "");
    port.start_until_ready();
    port.say("update");
    port.wait("installed version 3.0.0");
    port.say("restart");
    port.wait("starting slot b");
    let (took, _) = port.wait("STORAGE-PORT READY");
    println!("back in the old slot after {:.1} s", took.as_secs_f64());
    port.say("slots");
    let after = port.wait("running=a").1;
    assert!(after.contains("order=AB a_left=3 a_good=1 b_left=0 b_good=0"), "{after}");
}
