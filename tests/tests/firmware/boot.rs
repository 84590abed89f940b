//! The firmware image in QEMU: from power-on to a mount by Linux's own client, under both kinds of firmware.

use std::collections::BTreeSet;

use e2e::pair::ground::Ground;
use e2e::pair::networks::Link;
use e2e::qemu::appliance::{Appliance, Starter};
use e2e::qemu::firmware::Firmware;
use e2e::tools::run;

/// Root of the guest writes as root.
const EXPORTS: &str = "[[export]]\npath = \"/export\"\ntree = \"files\"\nsquash = \"none\"\n\
                       [[export]]\npath = \"/SRL\"\ntree = \"srl\"\nsquash = \"none\"\n";

/// TCP ports that somebody answers at, of all there are, seen from a namespace.
fn open_ports(namespace: &str, address: &str) -> BTreeSet<u16> {
    let scan = "-n -Pn -sS -p- --min-rate 3000 --max-retries 2 --open -oG -";
    let fixed = ["netns", "exec", namespace, "nmap"];
    let arguments: Vec<&str> = fixed.into_iter().chain(scan.split(' ')).chain([address]).collect();
    let output = run("ip", &arguments);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("Nmap done"), "{text}");
    let ports =
        text.lines().filter_map(|line| line.split_once("Ports: ")).flat_map(|(_, ports)| ports.split(", "));
    ports.filter_map(|port| port.split('/').next()?.trim().parse().ok()).collect()
}

/// PORT-18: under BIOS the box serves its site as the site file on its ESP says; a client with Linux's own NFS client and
/// default options copies a tree both ways, takes and gives locks, and reads SRLs; nothing is open on LAN and WAN but what
/// the documents tell.
#[test]
fn a_box_started_by_bios_serves_linux_and_opens_nothing_else() {
    let firmware = Firmware::of_this_commit();
    let ground = Ground::new("bios");
    let mut port = Appliance::new(&ground, &firmware.disk(), 0, Starter::Bios, &[]);
    port.provision(&ground, EXPORTS);
    let ready = port.start_until_ready();
    println!("BIOS: READY after {:.1} s", ready.as_secs_f64());

    let mut guest = ground.boot(1);
    let address = port.address(Link::Lan).to_string();
    guest.ok(&format!(
        "rpcbind; mount -t nfs -o vers=3,tcp {address}:/export /mnt; mount -t nfs -o vers=3,tcp {address}:/SRL /srl"
    ));
    guest.ok("mkdir -p /tmp/tree/a/b /tmp/tree/empty; cd /tmp/tree
        for file in 1:0 2:1 3:4097 a/4:1048577 a/b/5:3000000; do
            head -c ${file#*:} /dev/urandom > ${file%:*}
        done; ln -s a/4 link
        find . -type f -exec md5sum {} + | sort -k 2 > /tmp/sums
        cp -a /tmp/tree /mnt/there; sync; umount /mnt
        mount -t nfs -o vers=3,tcp ADDRESS:/export /mnt
        cp -a /mnt/there /tmp/back; cd /tmp/back; md5sum -c /tmp/sums > /dev/null
        [ $(readlink link) = a/4 ]; [ -d empty ]; [ $(find . | wc -l) = $(find /tmp/tree | wc -l) ]"
        .replace("ADDRESS", &address)
        .as_str());
    guest.ok("grep -q ^http:// /srl/there/1; grep -q ^http:// /srl/there/a/b/5");
    guest.ok("touch /mnt/locked; nfs-guest hold /mnt/locked write 0 10 /tmp/held /tmp/release & holder=$!
        while [ ! -e /tmp/held ]; do sleep 0.1; done
        ! nfs-guest lock /mnt/locked write 5 1
        touch /tmp/release; wait $holder; nfs-guest lock /mnt/locked write 5 1");
    guest.ok("umount /mnt /srl");

    let (client, center) = (ground.client.namespace().name(), ground.center.namespace().name());
    assert_eq!(open_ports(client, &address), BTreeSet::from([111, 2_049]), "LAN");
    assert_eq!(open_ports(center, &port.address(Link::Wan).to_string()), BTreeSet::new(), "WAN");
    // The site file has secrets, which are the box's own now.
    let left = port.esp_folder("storage-port");
    assert!(!left.contains("site.toml") && !left.contains("secret"), "{left}");
}

/// PORT-18: the same disk starts under UEFI, and again with what it has learned, even if the slots' state is damaged in
/// both its copies.
#[test]
fn a_box_started_by_uefi_serves_and_does_so_again_without_the_state_of_its_slots() {
    let firmware = Firmware::of_this_commit();
    let ground = Ground::new("uefi");
    let mut port = Appliance::new(&ground, &firmware.disk(), 0, Starter::Uefi, &[]);
    port.provision(&ground, "");
    let first = port.start_until_ready();
    port.kill();
    for name in ["boot/state-1", "boot/state-2"] {
        port.put(name, &[0xff; 1024]);
    }
    port.start();
    port.wait("neither copy of the slots' state is whole");
    let (second, _) = port.wait("STORAGE-PORT READY");
    println!("UEFI: READY after {:.1} and {:.1} s", first.as_secs_f64(), second.as_secs_f64());
    port.say("slots");
    let slots = port.wait("running=a").1;
    assert!(slots.contains("order=AB a_left=3 a_good=1"), "{slots}");
}
