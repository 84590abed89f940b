//! Linux's own CIFS client against the gateway: Debian's kernel in a guest of the test.

use e2e::qemu::lan::{Lan, SERVER};
use e2e::shared::{settings, write_users};
use e2e::site::{PortSettings, Site};

/// PORT-1: the kernel mounts a share, signed and encrypted, with its default options; a tree goes there and back; what one
/// protocol writes the other reads.
#[test]
fn linux_mounts_a_share_and_shares_it_with_nfs() {
    let lan = Lan::new("cifs");
    let site = Site::start_in(Some(lan.namespace().name()));
    let settings = PortSettings {
        rpcbind: "serve",
        address: Some(SERVER.into()),
        ..settings(&site, (SERVER, 445).into(), "")
    };
    let (dir, config) = site.write_port_config("port", &settings);
    write_users(&site, &config);
    let _port = site.start_port(dir, &config);

    let mut guest = lan.boot(1);
    guest.ok("mkdir /cifs /tmp/tree /tmp/tree/folder
        for number in 1 2 3 4 5 6 7 8; do head -c ${number}0001 /dev/urandom > /tmp/tree/folder/$number; done
        head -c 8000000 /dev/urandom > /tmp/tree/large
        cd /tmp/tree; md5sum large folder/* > /tmp/sums");
    guest.ok("mount -t nfs -o vers=3,nolock server:/export /mnt; chmod 777 /mnt");
    for (name, options) in [("signed", "sign"), ("encrypted", "seal")] {
        guest.ok(&format!(
            "mount -t cifs -o 'ip={SERVER},username=alice,password=Secret 1,uid=0,{options}' //{SERVER}/export /cifs
            grep -q 'Dialect 0x311' /proc/fs/cifs/DebugData; grep -q -i '{name}' /proc/fs/cifs/DebugData
            cp -r /tmp/tree /cifs/{name}; cd /cifs/{name}; mv large larger; mkdir empty; rmdir empty
            cd /; umount /cifs
            cd /mnt/{name}; mv larger large; md5sum -c /tmp/sums; rm folder/8"
        ));
        // Written by NFS, read by CIFS, and what is gone is gone.
        guest.ok(&format!(
            "mount -t cifs -o 'ip={SERVER},username=alice,password=Secret 1,uid=0,{options}' //{SERVER}/export /cifs
            cd /cifs/{name}; head -n 8 /tmp/sums | md5sum -c; ! ls folder/8
            cp -r /cifs/{name} /tmp/back; cd /tmp/back; head -n 8 /tmp/sums | md5sum -c; rm -r /tmp/back
            cd /; rm -r /cifs/{name}; umount /cifs; ! ls /mnt/{name}"
        ));
    }
    guest.ok("! dmesg | grep -i -e 'cifs.*error' -e 'BUG:'");
    let refused = guest
        .run(&format!("mount -t cifs -o ip={SERVER},username=alice,password=wrong //{SERVER}/export /cifs"));
    assert_ne!(refused.status, 0);
}
