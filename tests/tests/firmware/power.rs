//! A box loses its power again and again: while it is written to, while an update is installed, while a new slot is tried.

use std::net::SocketAddr;
use std::time::Duration;

use e2e::acknowledged::{under_load, verify_all};
use e2e::data;
use e2e::mount::Mount;
use e2e::pair::ground::Ground;
use e2e::pair::networks::Link;
use e2e::poll;
use e2e::qemu::appliance::{Appliance, BOOT_PATIENCE, Starter, stick};
use e2e::qemu::firmware::{Firmware, VERSION, bundle};
use e2e::rpc::Credential;
use rand::Rng;

/// Times the power is cut; `IMAGE_CUTS` says otherwise.
const CUTS: usize = 20;
/// Clients that write meanwhile.
const WRITERS: u64 = 2;
/// The writers' calls between a start and what comes then.
const HEADWAY: u64 = 5;
const EXPORT: &str = "[[export]]\npath = \"/export\"\ntree = \"files\"\nsquash = \"none\"\n";

/// What the box is at when its power is cut.
#[derive(Clone, Copy, Debug)]
enum Doing {
    /// Its disks are written to, and nothing else happens.
    Writing,
    /// RAUC writes the other slot.
    Installing,
    /// The other slot has been written, and is started the first time.
    Trying,
}

/// PORT-18, PORT-19: whenever its power is cut, a box starts by itself and serves, from one slot or the other; no byte or
/// name that was acknowledged is lost, and it takes updates as before.
#[test]
fn a_box_whose_power_is_cut_at_any_moment_starts_again_and_loses_nothing() {
    let cuts = data::figure("IMAGE_CUTS", CUTS);
    let firmware = Firmware::of_this_commit();
    let ground = Ground::new("power");
    let dir = ground.site.path().to_owned();
    let update = bundle(&dir, "same", VERSION, &firmware.slot(), &firmware.keyring(), &firmware.key());
    let path = dir.join("stick.img");
    Appliance::fill_stick(&path, &[("same.raucb", &update)]);
    let mut port = Appliance::new(&ground, &firmware.disk(), 0, Starter::Bios, &stick(&path));
    port.provision(&ground, EXPORT);
    port.start_until_ready();
    // A whole installation is the measure for the moments within one.
    port.say("update");
    let (installing, _) = port.wait("installed version");
    println!("an update takes {:.1} s", installing.as_secs_f64());
    println!("| cut | while | after, s | READY after, s | then |\n|---|---|---|---|---|");

    let server = SocketAddr::from((port.address(Link::Lan), 2049));
    let client = ground.client.namespace().entrance();
    let mut rng = data::rng(0x0070_6f77_6572);
    let mount = || Mount::new(server, "/export", Credential::root()).unwrap();
    let writers = (0..WRITERS).map(|_| {
        let (client, mount) = (client.clone(), &mount);
        move || {
            client.move_in();
            mount().with_patience(BOOT_PATIENCE)
        }
    });
    let files = under_load(writers, |load| {
        for cut in 0..cuts {
            let doing = [Doing::Installing, Doing::Writing, Doing::Trying][cut % 3];
            if !load.makes_headway(HEADWAY, BOOT_PATIENCE, &format!("cut {cut}")) {
                break;
            }
            let within = match doing {
                Doing::Writing => Duration::from_secs(3),
                Doing::Installing => {
                    port.say("update");
                    installing
                }
                Doing::Trying => {
                    port.say("update");
                    port.wait("installed version");
                    port.say("restart");
                    port.wait("starting slot");
                    Duration::from_secs(30)
                }
            };
            let after = within.mul_f64(rng.random());
            poll::pause(after);
            port.kill();
            let ready = port.start_until_ready();
            port.say("slots");
            let slots = port.wait("running=").1;
            let (after, ready) = (after.as_secs_f64(), ready.as_secs_f64());
            println!("| {cut} | {doing:?} | {after:.1} | {ready:.1} | {slots} |");
            let running = &slots[slots.find("running=").unwrap() + 8..][..1];
            assert!(slots.contains(&format!("{running}_left=3 {running}_good=1")), "{slots}");
        }
    });
    client.inside(|| verify_all(&files, mount));
}
