//! What is looked at of a port that shares its exports by CIFS, with smbclient, whatever serves them.

use std::fs;
use std::thread;
use std::time::Instant;

use crate::data;
use crate::mount::mode;
use crate::shared::{Checked, Shared, expect};
use crate::smbclient::Smbclient;
use crate::tools::run;

/// Bytes of the file that goes there and back.
const LARGE_BYTES: usize = 64 << 20;

/// Its name, and what is done.
type Check = (&'static str, fn(&Shared) -> Checked);

/// What is looked at. Each leaves nothing that another one minds.
const CHECKS: &[Check] = &[
    ("shares are listed", |shared| {
        let text = shared.alice().shares().good()?;
        expect(text.contains("Disk|export|") && text.contains("Disk|SRL|"), &text)
    }),
    ("shares of others are not listed", |shared| {
        let text = shared.alice().shares().good()?;
        expect(!text.contains("export-bob"), &text)
    }),
    ("64 MiB there and back", |shared| {
        shared.there_and_back(&shared.alice(), "large", &data::bytes(1, LARGE_BYTES))
    }),
    ("an empty file", |shared| shared.there_and_back(&shared.alice(), "empty", b"")),
    ("a file of one byte", |shared| shared.there_and_back(&shared.alice(), "one", b"1")),
    ("a file that is overwritten by a shorter one", |shared| {
        shared.put("shorter", &data::bytes(2, 100_000))?;
        shared.there_and_back(&shared.alice(), "shorter", b"short")
    }),
    ("a name in many scripts", |shared| shared.there_and_back(&shared.alice(), "äß Ω дё 日本 한글", b"x")),
    ("a name of emoji", |shared| shared.there_and_back(&shared.alice(), "🦀📦🚀", b"x")),
    ("a name of 255 characters", |shared| shared.there_and_back(&shared.alice(), &"n".repeat(255), b"x")),
    ("a name of 256 characters is refused", |shared| {
        let from = shared.local("put", b"x");
        shared.export(&format!("put {from} {}", "n".repeat(256))).refused("NT_STATUS_")
    }),
    ("a name with a colon is refused", |shared| {
        let from = shared.local("put", b"x");
        shared.export(&format!("put {from} \"a<b\"")).refused("NT_STATUS_OBJECT_NAME_INVALID")
    }),
    ("a path of 20 folders", |shared| {
        let folders: Vec<String> = (1..=20).map(|depth| vec!["deep"; depth].join("/")).collect();
        let make: Vec<String> = folders.iter().map(|folder| format!("mkdir {folder}")).collect();
        shared.export(&make.join("; ")).good()?;
        shared.there_and_back(&shared.alice(), &format!("{}/file", folders[19]), b"deep")
    }),
    ("1000 entries of a folder", |shared| {
        let mut mount = shared.port.mount("/export");
        let root = mount.root();
        let folder = mount.mkdir(&root, b"thousand").map_err(|error| format!("{error:?}"))?;
        for number in 0..1_000 {
            mount
                .create_file(&folder, format!("entry-{number}").as_bytes())
                .map_err(|error| format!("{error:?}"))?;
        }
        let text = shared.export("cd thousand; ls").good()?;
        let found = (0..1_000).filter(|number| text.contains(&format!(" entry-{number} "))).count();
        expect(found == 1_000, &format!("{found} of 1000"))
    }),
    ("eight clients at once", |shared| {
        let put = |client: usize| {
            let bytes = data::bytes(client as u64, 1 << 20);
            let from = shared.local(&format!("of-{client}"), &bytes);
            let back = shared.site.path().join(format!("back-{client}"));
            shared.export(&format!("put {from} c{client}; get c{client} {}", back.display())).good()?;
            expect(fs::read(back).is_ok_and(|read| read == bytes), "other bytes came back")
        };
        thread::scope(|scope| {
            let clients: Vec<_> = (0..8).map(|client| scope.spawn(move || put(client))).collect();
            clients.into_iter().try_for_each(|client| client.join().unwrap())
        })
    }),
    ("SMB 2.1", |shared| dialect(shared, "SMB2_10")),
    ("SMB 3.0", |shared| dialect(shared, "SMB3_00")),
    ("SMB 3.0.2", |shared| dialect(shared, "SMB3_02")),
    ("SMB 3.1.1", |shared| dialect(shared, "SMB3_11")),
    ("SMB 1 is refused", |shared| shared.alice().in_dialect("NT1").run("export", "ls").refused("NT_STATUS_")),
    ("signed", |shared| {
        let client = shared.alice().with("--client-protection=sign");
        shared.there_and_back(&client, "signed", &data::bytes(3, 300_000))
    }),
    ("encrypted", |shared| {
        let client = shared.alice().with("--client-protection=encrypt");
        shared.there_and_back(&client, "sealed", &data::bytes(4, 300_000))
    }),
    ("encrypted with SMB 3.0", |shared| {
        let client = shared.alice().with("--client-protection=encrypt").in_dialect("SMB3_00");
        shared.there_and_back(&client, "sealed-ccm", &data::bytes(4, 300_000))
    }),
    ("a wrong password is refused", |shared| {
        Smbclient::new(shared.server, "alice", "secret 1")
            .run("export", "ls")
            .refused("NT_STATUS_LOGON_FAILURE")
    }),
    ("an unknown user is refused", |shared| {
        Smbclient::new(shared.server, "mallory", "x").run("export", "ls").refused("NT_STATUS_LOGON_FAILURE")
    }),
    ("a guest is refused", |shared| {
        Smbclient::new(shared.server, "guest", "").run("export", "ls").refused("NT_STATUS_")
    }),
    ("nobody in particular is refused", |shared| {
        Smbclient::anonymous(shared.server).run("export", "ls").refused("NT_STATUS_")
    }),
    ("a share that is not there is refused", |shared| {
        shared.alice().run("nowhere", "ls").refused("NT_STATUS_BAD_NETWORK_NAME")
    }),
    ("the share of another user is refused", |shared| {
        shared.alice().run("export-bob", "ls").refused("NT_STATUS_ACCESS_DENIED")
    }),
    ("a read-only share is read", |shared| {
        shared.put("page", b"page")?;
        let to = shared.site.path().join("url");
        shared.alice().run("SRL", &format!("get page {}", to.display())).good()?;
        let url = fs::read_to_string(to).map_err(|error| error.to_string())?;
        expect(url.starts_with("http://") && url.trim_end().ends_with("/page"), &url)
    }),
    ("a read-only share refuses to be written", |shared| {
        let from = shared.local("put", b"x");
        shared.alice().run("SRL", &format!("put {from} new")).refused("NT_STATUS_ACCESS_DENIED")
    }),
    ("a file gets another name", |shared| {
        shared.put("old", b"moved")?;
        shared.export("rename old new; mkdir away; rename new away/newer").good()?;
        expect(shared.get("away/newer")? == b"moved", "other bytes")
    }),
    ("a folder gets another name", |shared| {
        shared.export("mkdir box").good()?;
        shared.put("box/inside", b"in it")?;
        shared.export("rename box crate").good()?;
        expect(shared.get("crate/inside")? == b"in it", "other bytes")
    }),
    ("a name that is taken is not given", |shared| {
        shared.put("first", b"first")?;
        shared.put("second", b"second")?;
        shared.export("rename first second").refused("NT_STATUS_OBJECT_NAME_COLLISION")?;
        expect(shared.get("second")? == b"second", "it was replaced")
    }),
    ("a file is replaced by another when that is wanted", |shared| {
        shared.put("winner", b"winner")?;
        shared.put("loser", b"loser")?;
        shared.export("rename winner loser -f").good()?;
        expect(shared.get("loser")? == b"winner", "it was not replaced")
    }),
    ("a name changes its case", |shared| {
        shared.put("shout", b"x")?;
        shared.export("rename shout SHOUT").good()?;
        let text = shared.export("ls shout").good()?;
        expect(text.contains("SHOUT"), &text)
    }),
    ("names are found in another case", |shared| {
        shared.export("mkdir \"Käse\"").good()?;
        shared.put("Käse/Brie.TXT", b"soft")?;
        expect(shared.get("KÄSE/brie.txt")? == b"soft", "other bytes")
    }),
    ("a name in another case is no second file", |shared| {
        shared.put("Once", b"1")?;
        shared.put("ONCE", b"2")?;
        let text = shared.export("ls once").good()?;
        expect(text.contains(" Once ") && !text.contains(" ONCE ") && shared.get("Once")? == b"2", &text)
    }),
    ("wildcards find names", |shared| {
        shared.export("mkdir wild; cd wild; mkdir a1.dat; mkdir a2.dat; mkdir b1.dat").good()?;
        let text = shared.export("cd wild; ls a?.d*").good()?;
        expect(text.contains("a1.dat") && text.contains("a2.dat") && !text.contains("b1.dat"), &text)
    }),
    ("a file is deleted", |shared| {
        shared.put("doomed", b"x")?;
        shared.export("del doomed").good()?;
        shared.export("get doomed /dev/null").refused("NT_STATUS_OBJECT_NAME_NOT_FOUND")
    }),
    ("what is not there is not deleted", |shared| {
        shared.export("del never-there").refused("NT_STATUS_NO_SUCH_FILE")
    }),
    ("a way that is not there is told from a name", |shared| {
        shared.export("get no/such/file /dev/null").refused("NT_STATUS_OBJECT_PATH_NOT_FOUND")
    }),
    ("a folder is made once", |shared| {
        shared.export("mkdir twice").good()?;
        shared.export("mkdir twice").refused("NT_STATUS_OBJECT_NAME_COLLISION")
    }),
    ("an empty folder is removed", |shared| {
        shared.export("mkdir hollow; rmdir hollow").good()?;
        shared.export("cd hollow").refused("NT_STATUS_OBJECT_NAME_NOT_FOUND")
    }),
    ("a folder with something in it is not removed", |shared| {
        shared.export("mkdir full; mkdir full/inner").good()?;
        shared.export("rmdir full").refused("NT_STATUS_DIRECTORY_NOT_EMPTY")?;
        shared.export("cd full/inner").good().map(drop)
    }),
    ("a folder with something in it that CIFS does not show is not removed", |shared| {
        let mut mount = shared.port.mount("/export");
        let root = mount.root();
        let folder = mount.mkdir(&root, b"odd").map_err(|error| format!("{error:?}"))?;
        mount.create_file(&folder, b"a:b").map_err(|error| format!("{error:?}"))?;
        let text = shared.export("cd odd; ls").good()?;
        expect(!text.contains("a:b"), &text)?;
        shared.export("rmdir odd").refused("NT_STATUS_DIRECTORY_NOT_EMPTY")
    }),
    ("a transfer is taken up where it ended", |shared| {
        let bytes = data::bytes(5, 3_000_000);
        shared.put("whole", &bytes)?;
        let to = shared.local("resumed", &bytes[..765_432]);
        shared.export(&format!("reget whole {to}")).good()?;
        expect(fs::read(to).is_ok_and(|read| read == bytes), "other bytes came back")
    }),
    ("a file is cut and extended", |shared| {
        shared.put("size", b"0123456789")?;
        let mut mount = shared.port.mount("/export");
        let file = mount.walk("size").map_err(|error| format!("{error:?}"))?;
        mount.truncate(&file, 4).map_err(|error| format!("{error:?}"))?;
        expect(shared.get("size")? == b"0123", "it was not cut")?;
        mount.truncate(&file, 6).map_err(|error| format!("{error:?}"))?;
        expect(shared.get("size")? == b"0123\0\0", "it was not extended")
    }),
    ("times are set and kept", |shared| {
        shared.put("dated", b"x")?;
        shared.export("utimes dated -1 2001:02:03-04:05:06 2002:03:04-05:06:07 -1").good()?;
        shared.export("ls dated").says("Mon Mar  4 05:06:07 2002")?;
        let mut mount = shared.port.mount("/export");
        let file = mount.walk("dated").map_err(|error| format!("{error:?}"))?;
        let by_nfs = mount.getattr(&file).map_err(|error| format!("{error:?}"))?;
        expect(
            (by_nfs.atime.seconds, by_nfs.mtime.seconds) == (981_173_106, 1_015_218_367),
            &format!("{by_nfs:?}"),
        )
    }),
    ("free space is told", |shared| {
        let text = shared.export("du").good()?;
        expect(text.contains("blocks of size") && !text.contains(" 0 blocks available"), &text)
    }),
    ("what is read-only stays as it is", |shared| {
        shared.put("firm", b"firm")?;
        shared.export("setmode firm +r").good()?;
        let from = shared.local("put", b"soft");
        shared.export(&format!("put {from} firm")).refused("NT_STATUS_ACCESS_DENIED")?;
        shared.export("del firm").refused("NT_STATUS_CANNOT_DELETE")?;
        expect(shared.get("firm")? == b"firm", "it was written")?;
        shared.export("setmode firm -r; del firm").good().map(drop)
    }),
    ("a tree is copied there and back", |shared| {
        let tree = shared.site.path().join("tree");
        fs::create_dir_all(tree.join("a/b")).map_err(|error| error.to_string())?;
        for (name, seed) in [("1", 1), ("a/2", 2), ("a/b/3", 3)] {
            fs::write(tree.join(name), data::bytes(seed, 70_000)).map_err(|error| error.to_string())?;
        }
        let back = shared.site.path().join("tree-back");
        fs::create_dir_all(&back).map_err(|error| error.to_string())?;
        let (from, to) = (tree.display(), back.display());
        shared
            .export(&format!("mkdir t; cd t; recurse; prompt; lcd {from}; mput *; lcd {to}; mget *"))
            .good()?;
        expect(run("diff", &["-r", &from.to_string(), &to.to_string()]).status.success(), "the trees differ")
    }),
    ("permissions hold", |shared| {
        let mut mount = shared.port.mount("/export");
        let root = mount.root();
        let file = mount.put(&root, b"roots-own", b"secret").map_err(|error| format!("{error:?}"))?;
        mount.setattr(&file, mode(0o600)).map_err(|error| format!("{error:?}"))?;
        shared.export("get roots-own /dev/null").refused("NT_STATUS_ACCESS_DENIED")?;
        let from = shared.local("put", b"x");
        shared.export(&format!("put {from} roots-own")).refused("NT_STATUS_ACCESS_DENIED")?;
        let folder = mount.mkdir(&root, b"roots-folder").map_err(|error| format!("{error:?}"))?;
        mount.put(&folder, b"stays", b"x").map_err(|error| format!("{error:?}"))?;
        mount.setattr(&folder, mode(0o755)).map_err(|error| format!("{error:?}"))?;
        shared.export("del roots-folder\\stays").refused("NT_STATUS_ACCESS_DENIED")?;
        shared.export("get roots-folder\\stays /dev/null").good().map(drop)
    }),
    ("another user has files of his own", |shared| {
        let from = shared.local("put", b"bob's");
        let bob = Smbclient::new(shared.server, "bob", "Zürich");
        bob.run(shared.share_of_bob(), &format!("put {from} bobs")).good()?;
        let mut mount = shared.port.mount("/export");
        let file = mount.walk("bobs").map_err(|error| format!("{error:?}"))?;
        let attributes = mount.getattr(&file).map_err(|error| format!("{error:?}"))?;
        expect((attributes.uid, attributes.gid) == (1001, 1001), &format!("{attributes:?}"))?;
        shared.export(&format!("put {from} bobs")).refused("NT_STATUS_ACCESS_DENIED")
    }),
    ("hidden is kept", |shared| {
        shared.put("shy", b"x")?;
        let text = shared.export("setmode shy +h; setmode shy +s; ls shy").good()?;
        expect(text.contains(" AHS ") || text.contains(" HSA "), &text)
    }),
    ("a second stream of a file", |shared| {
        let from = shared.local("put", b"x");
        shared.put("streams", b"x")?;
        shared.export(&format!("put {from} streams:second")).good().map(drop)
    }),
    ("the server copies a file", |shared| {
        shared.put("original", b"x")?;
        shared.export("scopy original copy").good().map(drop)
    }),
    ("a short name", |shared| {
        shared.put("a-long-name.text", b"x")?;
        shared.export("altname a-long-name.text").good().map(drop)
    }),
];

fn dialect(shared: &Shared, dialect: &str) -> Checked {
    shared.there_and_back(&shared.alice().in_dialect(dialect), dialect, &data::bytes(6, 2_000_000))
}

/// Does all of it: those alone fail that are `not_done`, and at least `least` pass.
///
/// # Panics
/// Others fail, or what is `not_done` is done by now.
pub fn pass(shared: &Shared, not_done: &[&str], least: usize) {
    let failed = failed(shared);
    let unknown: Vec<_> = failed.iter().filter(|(name, _)| !not_done.contains(name)).collect();
    assert!(unknown.is_empty(), "{unknown:#?}\n{}", shared.port.daemon.log_tail());
    let has_failed = |name: &str| failed.iter().any(|(failed, _)| *failed == name);
    let done: Vec<_> = not_done.iter().filter(|name| !has_failed(name)).collect();
    assert!(done.is_empty(), "these are done now: take them out of NOT_DONE: {done:?}");
    assert!(CHECKS.len() - failed.len() >= least, "{} of {} failed", failed.len(), CHECKS.len());
    assert!(!shared.log().contains("panicked"), "{}", shared.log());
}

/// Which failed, and how.
fn failed(shared: &Shared) -> Vec<(&'static str, String)> {
    let mut failed = Vec::new();
    for (name, check) in CHECKS {
        let begun = Instant::now();
        let result = check(shared);
        println!("{:6} {name} ({:.1?})", if result.is_ok() { "ok" } else { "FAILED" }, begun.elapsed());
        if let Err(text) = result {
            failed.push((*name, text));
        }
    }
    failed
}
