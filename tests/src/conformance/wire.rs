//! What RFC 5531 says of calls that cannot be carried out, and of calls that come twice: bytes on a socket, no client.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::target::Target;
use crate::case;

/// Longest wait for a reply.
const PATIENCE: Duration = Duration::from_secs(20);

const NFS: u32 = 100_003;
const MOUNT: u32 = 100_005;
const AUTH_NONE: u32 = 0;
const AUTH_SYS: u32 = 1;
const AUTH_SHORT: u32 = 2;
const AUTH_GSS: u32 = 6;

/// What a repeated call gets: in progress, done, and over a new connection.
const FIRST: &str = "the first answer";

/// One line of the table.
pub struct WireCase {
    /// What is sent.
    pub condition: &'static str,
    /// What comes back.
    pub answer: &'static str,
    /// The test's name.
    pub name: &'static str,
    run: fn(&mut Wire<'_>) -> String,
    /// Whether only a storage port does so: the file system in memory remembers no answers.
    pub needs_port: bool,
}

impl WireCase {
    const fn new(
        condition: &'static str,
        answer: &'static str,
        test: (&'static str, fn(&mut Wire<'_>) -> String),
    ) -> Self {
        Self { condition, answer, name: test.0, run: test.1, needs_port: false }
    }

    const fn port(mut self) -> Self {
        self.needs_port = true;
        self
    }

    /// Plays it.
    ///
    /// # Panics
    /// The server answers otherwise.
    pub fn play(&self, target: &Target) {
        let mut wire = Wire { target, stream: connect(target.nfs) };
        let answer = (self.run)(&mut wire);
        assert_eq!(answer, self.answer, "{}", self.condition);
    }
}

/// All lines.
pub const CASES: &[WireCase] = &[
    WireCase::new("a program not served", "PROG_UNAVAIL", case!(wire_of_another_program)),
    WireCase::new("NFS version 2", "PROG_MISMATCH, 3 to 3", case!(wire_of_nfs_version_2)),
    WireCase::new("NFS version 4", "PROG_MISMATCH, 3 to 3", case!(wire_of_nfs_version_4)),
    WireCase::new("MOUNT version 4", "PROG_MISMATCH, 1 to 3", case!(wire_of_mount_version_4)),
    WireCase::new("MNT of MOUNT version 1", "PROC_UNAVAIL", case!(wire_of_mnt_version_1)),
    WireCase::new("procedure 22 of NFS", "PROC_UNAVAIL", case!(wire_of_nfs_procedure_22)),
    WireCase::new("procedure 6 of MOUNT", "PROC_UNAVAIL", case!(wire_of_mount_procedure_6)),
    WireCase::new("RPC version 3", "RPC_MISMATCH, 2 to 2", case!(wire_of_rpc_version_3)),
    WireCase::new("RPCSEC_GSS", "AUTH_ERROR, AUTH_BADCRED", case!(wire_of_gss)),
    WireCase::new("AUTH_SHORT", "AUTH_ERROR, AUTH_REJECTEDCRED", case!(wire_of_auth_short)),
    WireCase::new("AUTH_SYS with 17 groups", "AUTH_ERROR, AUTH_BADCRED", case!(wire_of_17_groups)),
    WireCase::new("AUTH_SYS cut short", "AUTH_ERROR, AUTH_BADCRED", case!(wire_of_a_short_credential)),
    WireCase::new("a verifier of 401 bytes", "AUTH_ERROR, AUTH_BADVERF", case!(wire_of_a_long_verifier)),
    WireCase::new("AUTH_NONE", "SUCCESS", case!(wire_of_auth_none)),
    WireCase::new("NULL with arguments", "SUCCESS", case!(wire_of_null_with_arguments)),
    WireCase::new("no arguments", "GARBAGE_ARGS", case!(wire_without_arguments)),
    WireCase::new("arguments with bytes behind them", "GARBAGE_ARGS", case!(wire_with_too_many_arguments)),
    WireCase::new("a handle of 65 bytes", "GARBAGE_ARGS", case!(wire_of_a_handle_of_65_bytes)),
    WireCase::new("a length of 4 GiB", "GARBAGE_ARGS", case!(wire_of_a_lying_length)),
    WireCase::new("an unknown createmode", "GARBAGE_ARGS", case!(wire_of_an_unknown_enum)),
    WireCase::new("a path of 1,025 bytes to MNT", "GARBAGE_ARGS", case!(wire_of_a_long_path)),
    WireCase::new("a call in fragments, one of them empty", "SUCCESS", case!(wire_in_fragments)),
    WireCase::new("a reply instead of a call", "no answer", case!(wire_of_a_reply)),
    WireCase::new("MKDIR again, under the same transaction id", FIRST, case!(repeated_mkdir)).port(),
    WireCase::new("CREATE GUARDED again, under the same transaction id", FIRST, case!(repeated_create))
        .port(),
    WireCase::new("SYMLINK again, under the same transaction id", FIRST, case!(repeated_symlink)).port(),
    WireCase::new("RENAME again, under the same transaction id", FIRST, case!(repeated_rename)).port(),
    WireCase::new("REMOVE again, under the same transaction id", FIRST, case!(repeated_remove)).port(),
    WireCase::new("RMDIR again, under the same transaction id", FIRST, case!(repeated_rmdir)).port(),
    WireCase::new(
        "SETATTR with a guard again, under the same transaction id",
        FIRST,
        case!(repeated_setattr),
    )
    .port(),
    WireCase::new("MKDIR again, under another transaction id", "EXIST", case!(another_mkdir)).port(),
];

/// A connection to the server.
pub struct Wire<'a> {
    target: &'a Target,
    stream: TcpStream,
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// A call under xid 9 by AUTH_NONE.
fn call(program: u32, version: u32, procedure: u32, arguments: &[u8]) -> Vec<u8> {
    with_credential(program, version, procedure, &bytes(&[AUTH_NONE, 0]), arguments)
}

/// A call under xid 9; the credential with its flavour and length.
fn with_credential(
    program: u32,
    version: u32,
    procedure: u32,
    credential: &[u8],
    arguments: &[u8],
) -> Vec<u8> {
    let head = bytes(&[9, 0, 2, program, version, procedure]);
    [&head, credential, &bytes(&[AUTH_NONE, 0]), arguments].concat()
}

fn opaque(data: &[u8]) -> Vec<u8> {
    let mut out = bytes(&[data.len() as u32]);
    out.extend_from_slice(data);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

impl Wire<'_> {
    /// Sends a record and says what came back, in the words of RFC 5531.
    fn ask(&mut self, record: &[u8]) -> String {
        self.send_fragment(record, true);
        self.answer()
    }

    fn send_fragment(&mut self, fragment: &[u8], last: bool) {
        let mark = u32::from(last) << 31 | fragment.len() as u32;
        self.stream.write_all(&[&mark.to_be_bytes()[..], fragment].concat()).unwrap();
    }

    fn answer(&mut self) -> String {
        self.receive().map_or_else(|| "no answer".to_owned(), |words| describe(&words))
    }

    /// The next reply from its `reply_stat` on; `None` if none comes.
    fn receive(&mut self) -> Option<Vec<u32>> {
        let mut mark = [0; 4];
        self.stream.read_exact(&mut mark).ok()?;
        let mut reply = vec![0; (u32::from_be_bytes(mark) & 0x7fff_ffff) as usize];
        self.stream.read_exact(&mut reply).unwrap();
        let words: Vec<u32> =
            reply.chunks_exact(4).map(|word| u32::from_be_bytes(word.try_into().unwrap())).collect();
        assert_eq!(words[1], 1, "a reply");
        Some(words[2..].to_vec())
    }

    /// Results of an NFS call of root that is made once.
    fn once(&mut self, xid: u32, procedure: u32, arguments: &[u8]) -> Vec<u32> {
        self.send_fragment(&root_call(xid, procedure, arguments), true);
        results(&self.receive().unwrap())
    }

    /// Sends a call twice at once and then over a new connection. Whether all get the answer of the first, as far as
    /// its first `words` words go: attributes may have changed meanwhile.
    fn repeat(&mut self, xid: u32, procedure: u32, arguments: &[u8], words: usize) -> String {
        let record = root_call(xid, procedure, arguments);
        self.send_fragment(&record, true);
        self.send_fragment(&record, true);
        let first = results(&self.receive().unwrap());
        let second = results(&self.receive().unwrap());
        self.stream = connect(self.target.nfs);
        self.send_fragment(&record, true);
        let third = results(&self.receive().unwrap());
        assert_eq!(first[0], 0, "the call goes well");
        match first[..words] == second[..words] && first[..words] == third[..words] {
            true => FIRST.to_owned(),
            false => format!("{first:?}, then {second:?} and {third:?}"),
        }
    }

    /// The root of `/export`.
    fn root(&mut self) -> Vec<u8> {
        let mut mount = Wire { target: self.target, stream: connect(self.target.mount) };
        mount.send_fragment(&call(MOUNT, 3, 1, &opaque(b"/export")), true);
        let words = results(&mount.receive().unwrap());
        bytes(&words[2..2 + words[1] as usize / 4])
    }
}

/// Status and handle of a call that makes something: as many words do not change when it is repeated.
const MADE_WORDS: usize = 1 + 1 + 1 + 8;

/// A call of NFS by root.
fn root_call(xid: u32, procedure: u32, arguments: &[u8]) -> Vec<u8> {
    let mut record = with_credential(NFS, 3, procedure, &auth_sys(0), arguments);
    record[..4].copy_from_slice(&xid.to_be_bytes());
    record
}

/// What stands behind the header of a reply of success.
fn results(words: &[u32]) -> Vec<u32> {
    assert_eq!(words[..4], [0; 4], "carried out");
    words[4..].to_vec()
}

/// A reply from its `reply_stat` on.
fn describe(words: &[u32]) -> String {
    match words {
        [0, 0, 0, 0, ..] => "SUCCESS".to_owned(),
        [0, 0, 0, 1] => "PROG_UNAVAIL".to_owned(),
        [0, 0, 0, 2, low, high] => format!("PROG_MISMATCH, {low} to {high}"),
        [0, 0, 0, 3] => "PROC_UNAVAIL".to_owned(),
        [0, 0, 0, 4] => "GARBAGE_ARGS".to_owned(),
        [1, 0, low, high] => format!("RPC_MISMATCH, {low} to {high}"),
        [1, 1, 1] => "AUTH_ERROR, AUTH_BADCRED".to_owned(),
        [1, 1, 2] => "AUTH_ERROR, AUTH_REJECTEDCRED".to_owned(),
        [1, 1, 3] => "AUTH_ERROR, AUTH_BADVERF".to_owned(),
        other => format!("{other:?}"),
    }
}

fn wire_of_another_program(w: &mut Wire<'_>) -> String {
    w.ask(&call(200_000, 1, 0, &[]))
}

fn wire_of_nfs_version_2(w: &mut Wire<'_>) -> String {
    w.ask(&call(NFS, 2, 0, &[]))
}

fn wire_of_nfs_version_4(w: &mut Wire<'_>) -> String {
    w.ask(&call(NFS, 4, 0, &[]))
}

fn wire_of_mount_version_4(w: &mut Wire<'_>) -> String {
    w.stream = connect(w.target.mount);
    w.ask(&call(MOUNT, 4, 0, &[]))
}

fn wire_of_mnt_version_1(w: &mut Wire<'_>) -> String {
    w.stream = connect(w.target.mount);
    w.ask(&call(MOUNT, 1, 1, &opaque(b"/export")))
}

fn wire_of_nfs_procedure_22(w: &mut Wire<'_>) -> String {
    w.ask(&call(NFS, 3, 22, &[]))
}

fn wire_of_mount_procedure_6(w: &mut Wire<'_>) -> String {
    w.stream = connect(w.target.mount);
    w.ask(&call(MOUNT, 3, 6, &[]))
}

fn wire_of_rpc_version_3(w: &mut Wire<'_>) -> String {
    w.ask(&bytes(&[9, 0, 3, NFS, 3, 0, AUTH_NONE, 0, AUTH_NONE, 0]))
}

fn wire_of_gss(w: &mut Wire<'_>) -> String {
    let credential = [bytes(&[AUTH_GSS]), opaque(&bytes(&[1, 1, 0, 1, 0]))].concat();
    let answer = w.ask(&with_credential(NFS, 3, 0, &credential, &[]));
    assert_eq!(w.ask(&call(NFS, 3, 0, &[])), "SUCCESS", "the connection lives");
    answer
}

fn wire_of_auth_short(w: &mut Wire<'_>) -> String {
    let credential = [bytes(&[AUTH_SHORT]), opaque(b"short")].concat();
    w.ask(&with_credential(NFS, 3, 0, &credential, &[]))
}

/// An AUTH_SYS credential of root with so many groups.
fn auth_sys(groups: u32) -> Vec<u8> {
    let all: Vec<u32> = [5, 0, 0, 0, groups].into_iter().chain(0..groups).collect();
    [bytes(&[AUTH_SYS]), opaque(&bytes(&all))].concat()
}

fn wire_of_17_groups(w: &mut Wire<'_>) -> String {
    assert_eq!(w.ask(&with_credential(NFS, 3, 0, &auth_sys(16), &[])), "SUCCESS");
    w.ask(&with_credential(NFS, 3, 0, &auth_sys(17), &[]))
}

fn wire_of_a_short_credential(w: &mut Wire<'_>) -> String {
    let credential = [bytes(&[AUTH_SYS]), opaque(&bytes(&[5, 0, 0]))].concat();
    w.ask(&with_credential(NFS, 3, 0, &credential, &[]))
}

fn wire_of_a_long_verifier(w: &mut Wire<'_>) -> String {
    let head = bytes(&[9, 0, 2, NFS, 3, 0, AUTH_NONE, 0, AUTH_NONE]);
    w.ask(&[head, opaque(&[0; 401])].concat())
}

fn wire_of_auth_none(w: &mut Wire<'_>) -> String {
    w.ask(&call(NFS, 3, 0, &[]))
}

fn wire_of_null_with_arguments(w: &mut Wire<'_>) -> String {
    w.ask(&call(NFS, 3, 0, &[1, 2, 3, 4]))
}

fn wire_without_arguments(w: &mut Wire<'_>) -> String {
    for procedure in 1..21 {
        assert_eq!(w.ask(&call(NFS, 3, procedure, &[])), "GARBAGE_ARGS", "procedure {procedure}");
    }
    w.ask(&call(NFS, 3, 21, &[]))
}

fn wire_with_too_many_arguments(w: &mut Wire<'_>) -> String {
    w.ask(&call(NFS, 3, 1, &[opaque(&[1; 32]), bytes(&[0])].concat()))
}

fn wire_of_a_handle_of_65_bytes(w: &mut Wire<'_>) -> String {
    w.ask(&call(NFS, 3, 1, &opaque(&[1; 65])))
}

fn wire_of_a_lying_length(w: &mut Wire<'_>) -> String {
    w.ask(&call(NFS, 3, 1, &bytes(&[u32::MAX, 0, 0])))
}

fn wire_of_an_unknown_enum(w: &mut Wire<'_>) -> String {
    w.ask(&call(NFS, 3, 8, &[opaque(&[1; 32]), opaque(b"name"), bytes(&[3, 0, 0])].concat()))
}

fn wire_of_a_long_path(w: &mut Wire<'_>) -> String {
    w.stream = connect(w.target.mount);
    w.ask(&call(MOUNT, 3, 1, &opaque(&[b'/'; 1025])))
}

fn wire_in_fragments(w: &mut Wire<'_>) -> String {
    let record = call(NFS, 3, 0, &[]);
    let (before, last) = record.split_last_chunk::<8>().unwrap();
    for part in before.chunks(7) {
        w.send_fragment(part, false);
    }
    w.send_fragment(&[], false);
    w.send_fragment(last, true);
    w.answer()
}

fn wire_of_a_reply(w: &mut Wire<'_>) -> String {
    w.stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    w.ask(&bytes(&[9, 1, 0, 0, 0, 0]))
}

/// Attributes to set: none.
const NOTHING: [u32; 6] = [0; 6];

/// Folder and name.
fn place(dir: &[u8], name: &str) -> Vec<u8> {
    [opaque(dir), opaque(name.as_bytes())].concat()
}

fn mkdir(dir: &[u8], name: &str) -> Vec<u8> {
    [place(dir, name), bytes(&NOTHING)].concat()
}

fn repeated_mkdir(w: &mut Wire<'_>) -> String {
    let root = w.root();
    w.repeat(101, 9, &mkdir(&root, "repeated mkdir"), MADE_WORDS)
}

fn repeated_create(w: &mut Wire<'_>) -> String {
    let guarded = [place(&w.root(), "repeated create"), bytes(&[1]), bytes(&NOTHING)].concat();
    w.repeat(102, 8, &guarded, MADE_WORDS)
}

fn repeated_symlink(w: &mut Wire<'_>) -> String {
    let symlink = [place(&w.root(), "repeated symlink"), bytes(&NOTHING), opaque(b"text")].concat();
    w.repeat(103, 10, &symlink, MADE_WORDS)
}

fn repeated_rename(w: &mut Wire<'_>) -> String {
    let root = w.root();
    w.once(104, 9, &mkdir(&root, "to be renamed"));
    w.repeat(105, 14, &[place(&root, "to be renamed"), place(&root, "renamed")].concat(), 1)
}

fn repeated_remove(w: &mut Wire<'_>) -> String {
    let root = w.root();
    w.once(106, 8, &[place(&root, "to be removed"), bytes(&[1]), bytes(&NOTHING)].concat());
    w.repeat(107, 12, &place(&root, "to be removed"), 1)
}

fn repeated_rmdir(w: &mut Wire<'_>) -> String {
    let root = w.root();
    w.once(108, 9, &mkdir(&root, "folder to be removed"));
    w.repeat(109, 13, &place(&root, "folder to be removed"), 1)
}

fn repeated_setattr(w: &mut Wire<'_>) -> String {
    let root = w.root();
    let made = w.once(110, 9, &mkdir(&root, "folder to be changed"));
    let (folder, attributes) = (bytes(&made[3..11]), &made[12..33]);
    let mode_and_guard = [&[1, 0o700, 0, 0, 0, 0, 0][..], &[1], &attributes[19..21]].concat();
    w.repeat(111, 2, &[opaque(&folder), bytes(&mode_and_guard)].concat(), 1)
}

fn another_mkdir(w: &mut Wire<'_>) -> String {
    let root = w.root();
    assert_eq!(w.once(112, 9, &mkdir(&root, "another mkdir"))[0], 0);
    match w.once(113, 9, &mkdir(&root, "another mkdir"))[0] {
        17 => "EXIST".to_owned(),
        other => other.to_string(),
    }
}
