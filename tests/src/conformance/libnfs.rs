//! libnfs as a client: a small C program on its raw interface (`tests/clients/libnfs_driver.c`), spoken to in lines.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::call::{
    Attributes, Before, Call, Entry, Handle, How, List, Place, Reply, Set, SetTime, Time, status,
};
use super::client::Client;
use crate::rpc::Credential;
use crate::tools::run_ok;

/// Compiles the driver into `folder`.
pub fn build_driver(folder: &Path) -> PathBuf {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/libnfs_driver.c");
    let driver = folder.join("libnfs_driver");
    let output = driver.to_str().unwrap();
    run_ok("cc", &["-std=gnu11", "-O1", "-Wall", "-Werror", "-o", output, source, "-lnfs"]);
    driver
}

/// A running driver; ended when dropped.
pub struct Libnfs {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    who: Option<Credential>,
}

impl Libnfs {
    /// Starts the driver at `driver` and connects it.
    pub fn connect(driver: &Path, nfs: SocketAddr, mount: SocketAddr) -> Self {
        let mut child = Command::new(driver)
            .args([nfs.ip().to_string(), nfs.port().to_string(), mount.port().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, input, output: BufReader::new(output), who: None }
    }
}

impl Drop for Libnfs {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Client for Libnfs {
    fn call(&mut self, who: &Credential, call: &Call) -> Result<Reply, String> {
        let mut lines = String::new();
        if self.who.as_ref() != Some(who) {
            let groups: Vec<String> = who.groups.iter().map(u32::to_string).collect();
            let groups = if groups.is_empty() { "-".to_owned() } else { groups.join(",") };
            let _ = writeln!(lines, "AUTH {} {} {groups}", who.uid, who.gid);
            self.who = Some(who.clone());
        }
        let _ = writeln!(lines, "{}", line(call));
        self.input.write_all(lines.as_bytes()).map_err(|error| error.to_string())?;
        let mut answer = String::new();
        self.output.read_line(&mut answer).map_err(|error| error.to_string())?;
        parse(answer.trim_end_matches('\n'))
    }
}

fn hex(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "-".to_owned();
    }
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn place(place: &Place) -> String {
    format!("{} {}", hex(&place.dir), hex(&place.name))
}

fn number<T: ToString>(number: Option<T>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

fn time(Time { seconds, nanos }: Time) -> String {
    format!("{seconds}.{nanos}")
}

fn set(set: &Set) -> String {
    let point = |point| match point {
        SetTime::Keep => "-".to_owned(),
        SetTime::Now => "now".to_owned(),
        SetTime::To(to) => time(to),
    };
    let numbers = [number(set.mode), number(set.uid), number(set.gid), number(set.size)].join(" ");
    format!("{numbers} {} {}", point(set.accessed), point(set.modified))
}

fn list(list: &List) -> String {
    format!("{} {} {}", hex(&list.dir), list.cookie, hex(&list.verifier))
}

/// The driver's line of a call.
fn line(call: &Call) -> String {
    match call {
        Call::Null => "NULL".to_owned(),
        Call::Getattr(object) => format!("GETATTR {}", hex(object)),
        Call::Setattr(object, wanted, guard) => {
            format!("SETATTR {} {} {}", hex(object), set(wanted), number(guard.map(time)))
        }
        Call::Lookup(what) => format!("LOOKUP {}", place(what)),
        Call::Access(object, rights) => format!("ACCESS {} {rights}", hex(object)),
        Call::Readlink(link) => format!("READLINK {}", hex(link)),
        Call::Read(file, offset, count) => format!("READ {} {offset} {count}", hex(file)),
        Call::Write(file, offset, count, stable, data) => {
            format!("WRITE {} {offset} {count} {} {}", hex(file), *stable as u32, hex(data))
        }
        Call::Create(at, how) => match how {
            How::Unchecked(wanted) => format!("CREATE {} 0 {}", place(at), set(wanted)),
            How::Guarded(wanted) => format!("CREATE {} 1 {}", place(at), set(wanted)),
            How::Exclusive(verifier) => format!("CREATE {} 2 {}", place(at), hex(verifier)),
        },
        Call::Mkdir(at, wanted) => format!("MKDIR {} {}", place(at), set(wanted)),
        Call::Symlink(at, wanted, text) => format!("SYMLINK {} {} {}", place(at), set(wanted), hex(text)),
        Call::Mknod(at, kind) => format!("MKNOD {} {kind}", place(at)),
        Call::Remove(at) => format!("REMOVE {}", place(at)),
        Call::Rmdir(at) => format!("RMDIR {}", place(at)),
        Call::Rename(from, to) => format!("RENAME {} {}", place(from), place(to)),
        Call::Link(file, at) => format!("LINK {} {}", hex(file), place(at)),
        Call::Readdir(from) => format!("READDIR {} {}", list(from), from.count),
        Call::Readdirplus(from) => format!("READDIRPLUS {} {} {}", list(from), from.dircount, from.count),
        Call::Fsstat(object) => format!("FSSTAT {}", hex(object)),
        Call::Fsinfo(object) => format!("FSINFO {}", hex(object)),
        Call::Pathconf(object) => format!("PATHCONF {}", hex(object)),
        Call::Commit(file, offset, count) => format!("COMMIT {} {offset} {count}", hex(file)),
        Call::Mnt(path) => format!("MNT {}", hex(path)),
        Call::Dump => "DUMP".to_owned(),
        Call::Umnt(path) => format!("UMNT {}", hex(path)),
        Call::Umntall => "UMNTALL".to_owned(),
        Call::Export => "EXPORT".to_owned(),
    }
}

/// The reply in the driver's answer.
fn parse(answer: &str) -> Result<Reply, String> {
    if !answer.starts_with("status=") {
        return Err(format!("libnfs: {answer}"));
    }
    let mut reply = Reply::default();
    for word in answer.split(' ') {
        let (key, value) = word.split_once('=').ok_or_else(|| format!("libnfs: {word}"))?;
        match key {
            "status" => reply.status = status(value.parse().unwrap()),
            "handle" => reply.handle = Some(bytes(value)),
            "attributes" => reply.attributes = Some(attributes(value)),
            "dir" => reply.dir = Some(attributes(value)),
            "before" => reply.wcc.before = Some(before(value)),
            "after" => reply.wcc.after = Some(attributes(value)),
            "to_before" => reply.to.before = Some(before(value)),
            "to_after" => reply.to.after = Some(attributes(value)),
            "numbers" => reply.numbers = numbers(value),
            "data" => reply.data = bytes(value),
            "verifier" => reply.verifier = Some(bytes(value).try_into().unwrap()),
            "line" => reply.lines.push(value.to_owned()),
            "fileid" => {
                reply.entries.push(Entry { fileid: value.parse().unwrap(), ..Entry::default() });
            }
            _ => {
                let entry = reply.entries.last_mut().unwrap();
                match key {
                    "cookie" => entry.cookie = value.parse().unwrap(),
                    "name" => entry.name = bytes(value),
                    "entry_attributes" => entry.attributes = Some(attributes(value)),
                    "entry_handle" => entry.handle = Some(bytes(value)),
                    _ => return Err(format!("libnfs: {word}")),
                }
            }
        }
    }
    Ok(reply)
}

fn bytes(hex: &str) -> Handle {
    let digits = if hex == "-" { "" } else { hex };
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap() as u8;
    digits.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// Numbers between commas, and between points.
fn numbers(text: &str) -> Vec<u64> {
    text.split([',', '.']).map(|number| number.parse().unwrap()).collect()
}

fn point(numbers: &[u64]) -> Time {
    Time { seconds: numbers[0].try_into().unwrap(), nanos: numbers[1].try_into().unwrap() }
}

fn before(text: &str) -> Before {
    let all = numbers(text);
    Before { size: all[0], modified: point(&all[1..]), changed: point(&all[3..]) }
}

fn attributes(text: &str) -> Attributes {
    let all = numbers(text);
    let small = |index: usize| u32::try_from(all[index]).unwrap();
    Attributes {
        kind: small(0),
        mode: small(1),
        links: small(2),
        uid: small(3),
        gid: small(4),
        size: all[5],
        used: all[6],
        device: [small(7), small(8)],
        fsid: all[9],
        fileid: all[10],
        accessed: point(&all[11..]),
        modified: point(&all[13..]),
        changed: point(&all[15..]),
    }
}
