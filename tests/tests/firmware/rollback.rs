//! What a new slot of a box may be like, and that the box finds back by itself; and that nothing of the site is lost on the
//! way to a newer version and back.

use e2e::pair::ground::Ground;
use e2e::qemu::appliance::{Appliance, Starter, stick};
use e2e::qemu::firmware::{Firmware, HEALTH_GATE, SHELL_VERSION, TRIAL, VERSION, bundle};

/// What befalls slot b, in its first, second and third try: its kernel panics; its port does not serve, for its
/// configuration is none, and it has no time to; it does not serve, and the test stops all its programs for good.
const TROUBLE: &str = r#"[ "$(running_slot)" = b ] || return 0
try=$(($(cat /config/try 2>/dev/null || echo 0) + 1)); echo $try >/config/try; sync
case $try in
1) say trial 1: panic; echo c >/proc/sysrq-trigger ;;
2) say trial 2: no service; echo nothing >/run/storage-port/storage-port.toml
    echo 60 >/run/gate; mount --bind /run/gate HEALTH_GATE ;;
3) say trial 3: all stops; echo nothing >/run/storage-port/storage-port.toml ;;
esac"#;

/// Ends when the watchdog is fed: before that it does not bite.
const WATCHDOG: &str = "until ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q /dev/watchdog; do sleep 1; done";

/// Every file of the site's configuration by its digest.
const CONFIGURATION: &str = "cd /config/site && find . -type f -exec md5sum {} + | sort";

/// PORT-18, PORT-19: a new slot whose kernel panics, that does not serve in its time, and whose programs hang so that the
/// hardware watchdog bites, each costs the slot a try and nobody has to come; after the third the box serves from the old
/// slot and has marked the new one bad.
#[test]
fn a_box_finds_back_from_every_bad_slot() {
    let firmware = Firmware::with_shell();
    let ground = Ground::new("rollback");
    let dir = ground.site.path().to_owned();
    let same = bundle(&dir, "same", SHELL_VERSION, &firmware.slot(), &firmware.keyring(), &firmware.key());
    let path = dir.join("stick.img");
    Appliance::fill_stick(&path, &[("same.raucb", &same)]);
    let mut port = Appliance::new(&ground, &firmware.disk(), 0, Starter::Uefi, &stick(&path));
    port.provision(&ground, "");
    port.start_until_ready();
    let trouble = TROUBLE.replace("HEALTH_GATE", HEALTH_GATE);
    let encoded: String = trouble.bytes().map(|byte| format!("\\\\x{byte:02x}")).collect();
    port.shell(&format!("printf {encoded} >{TRIAL}; sync"));

    port.say("update");
    let (took, _) = port.wait("installed version");
    println!("update installed in {:.1} s", took.as_secs_f64());
    port.say("restart");
    for (trial, after) in [
        ("trial 1: panic", "starting slot b"),
        ("trial 2: no service", "this slot is new and has not served within"),
        ("trial 3: all stops", "starting slot a"),
    ] {
        port.wait(trial);
        if trial == "trial 3: all stops" {
            port.forget_said();
            port.wait("| factory-reset");
            port.say("update");
            let said = port.wait("has not served yet").1;
            assert!(said.contains("update refused: "), "{said}");
            port.shell(WATCHDOG);
            port.say("shell kill -STOP -1");
        }
        let (at, line) = port.wait(after);
        println!("{trial}: {line:?} after {:.1} s", at.as_secs_f64());
    }
    port.wait("slot b did not start or did not serve; it is marked bad");
    port.wait("STORAGE-PORT READY");
    port.say("slots");
    let after = port.wait("running=a").1;
    assert!(after.contains("order=AB a_left=3 a_good=1 b_left=0 b_good=0"), "{after}");
}

/// PORT-18: to a newer version and, if that is said, back to the older one; the site's configuration stays the same to the
/// byte.
#[test]
fn a_box_keeps_its_configuration_to_a_newer_version_and_back() {
    let (firmware, newer) = (Firmware::with_shell(), Firmware::of_this_commit());
    let ground = Ground::new("there-and-back");
    let dir = ground.site.path().to_owned();
    let (certificate, key) = (firmware.keyring(), firmware.key());
    let same = bundle(&dir, "same", SHELL_VERSION, &firmware.slot(), &certificate, &key);
    let newer = bundle(&dir, "newer", VERSION, &newer.slot(), &certificate, &key);
    let path = dir.join("stick.img");
    Appliance::fill_stick(&path, &[("newer.raucb", &newer)]);
    let mut port = Appliance::new(&ground, &firmware.disk(), 0, Starter::Uefi, &stick(&path));
    port.provision(&ground, "");
    port.start_until_ready();
    let before = port.shell(CONFIGURATION);
    assert!(before.contains("site.toml") && before.contains("customer-1.secret"), "{before}");
    port.say("update");
    port.wait(&format!("installed version {VERSION}"));
    port.say("restart");
    port.wait("starting slot b");
    port.wait("STORAGE-PORT READY");
    port.say("slots");
    let after = port.wait("running=b").1;
    assert!(after.contains("order=BA") && after.contains("b_left=3 b_good=1"), "{after}");
    port.kill();
    Appliance::fill_stick(&path, &[("same.raucb", &same)]);
    port.start_until_ready();
    port.say("update");
    port.wait(&format!("its version {SHELL_VERSION} is older than the running {VERSION}"));
    port.say("update force");
    port.wait(&format!("installed version {SHELL_VERSION}"));
    port.say("restart");
    port.wait("starting slot a");
    port.wait("STORAGE-PORT READY");
    assert_eq!(port.shell(CONFIGURATION), before, "there and back");
}
