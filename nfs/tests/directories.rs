//! READDIR and READDIRPLUS of large and of changing directories.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use support::{Args, Client, post_op, serve};

const TOOSMALL: u32 = 10005;
const BAD_COOKIE: u32 = 10003;

struct Page {
    /// Name and cookie of each entry.
    entries: Vec<(Vec<u8>, u64)>,
    verifier: [u8; 8],
    end: bool,
    bytes: usize,
}

struct Listing<'a> {
    dir: &'a [u8],
    plus: bool,
    /// `count`, or `dircount` and `maxcount`.
    counts: (u32, u32),
}

impl Listing<'_> {
    fn reply(&self, client: &mut Client, cookie: u64, verifier: [u8; 8]) -> support::Reply {
        let args = Args::new().opaque(self.dir).u64(cookie).raw(&verifier).u32(self.counts.0);
        if self.plus { client.nfs(17, args.u32(self.counts.1)) } else { client.nfs(16, args) }
    }

    fn page(&self, client: &mut Client, cookie: u64, verifier: [u8; 8]) -> Page {
        let reply = self.reply(client, cookie, verifier);
        let mut results = reply.ok();
        let bytes = results.rest().len();
        assert!(post_op(&mut results).is_some());
        let verifier = results.array().unwrap();
        let mut entries = Vec::new();
        while results.bool().unwrap() {
            let fileid = results.u64().unwrap();
            let name = results.opaque(255).unwrap().to_vec();
            let cookie = results.u64().unwrap();
            if self.plus {
                assert_eq!(post_op(&mut results).map(|seen| seen.fileid), Some(fileid));
                let handle = results.optional(|results| results.opaque(64)).unwrap();
                assert!(handle.is_some());
            }
            entries.push((name, cookie));
        }
        let end = results.bool().unwrap();
        results.end().unwrap();
        Page { entries, verifier, end, bytes }
    }

    /// All names in order, from page to page; `between` runs after each page.
    fn names(&self, client: &mut Client, mut between: impl FnMut(&mut Client, usize)) -> Vec<Vec<u8>> {
        let (mut names, mut cookie, mut verifier) = (Vec::new(), 0, [0; 8]);
        for page_number in 0.. {
            let page = self.page(client, cookie, verifier);
            assert!(page.end || !page.entries.is_empty(), "a page without progress");
            cookie = page.entries.last().map_or(cookie, |(_, cookie)| *cookie);
            verifier = page.verifier;
            names.extend(page.entries.into_iter().map(|(name, _)| name));
            if page.end {
                break;
            }
            between(client, page_number);
        }
        names
    }
}

fn name(index: usize) -> Vec<u8> {
    format!("file-{index:05}").into_bytes()
}

/// Trap: a cookie that is ignored, so that a directory larger than one reply never ends.
#[test]
fn ten_thousand_entries_come_complete_and_once_each() {
    let server = serve();
    let (mut client, root) = server.mounted();
    for index in 0..10_000 {
        client.create(&root, &name(index));
    }
    let mut expected: BTreeSet<_> = (0..10_000).map(name).collect();
    expected.extend([b".".to_vec(), b"..".to_vec()]);
    for (plus, counts) in
        [(false, (4096, 0)), (false, (65_536, 0)), (true, (8192, 32_768)), (true, (512, 1 << 20))]
    {
        let names = Listing { dir: &root, plus, counts }.names(&mut client, |_, _| {});
        assert_eq!(names.len(), expected.len(), "each once");
        assert_eq!(names.iter().cloned().collect::<BTreeSet<_>>(), expected);
        assert_eq!(names[..2], [b".".to_vec(), b"..".to_vec()]);
    }
}

/// Trap: cookies that a change of the directory makes worthless.
#[test]
fn entries_that_stay_come_once_whatever_comes_and_goes_meanwhile() {
    let server = serve();
    let (mut client, root) = server.mounted();
    for index in 0..1000 {
        client.create(&root, &name(index));
    }
    let listing = Listing { dir: &root, plus: false, counts: (1024, 0) };
    let names = listing.names(&mut client, |client, page| {
        let remove = |client: &mut Client, index| {
            client.nfs(12, Args::new().opaque(&root).opaque(&name(index))).ok().end()
        };
        remove(client, page).unwrap_or(());
        remove(client, 999 - page).unwrap_or(());
        client.create(&root, format!("new-{page}").as_bytes());
    });
    let mut seen = BTreeMap::new();
    for name in &names {
        *seen.entry(name.clone()).or_insert(0) += 1;
    }
    for index in 200..800 {
        assert_eq!(seen.get(&name(index)), Some(&1), "entry {index} was there all the time");
    }
    assert!(seen.values().all(|times| *times == 1), "nothing comes twice");
}

#[test]
fn replies_keep_within_the_counts() {
    let server = serve();
    let (mut client, root) = server.mounted();
    for index in 0..200 {
        client.create(&root, &vec![b'a' + (index % 26) as u8; 1 + index]);
    }
    for count in [150, 600, 1000, 4000, 9999] {
        let page = Listing { dir: &root, plus: false, counts: (count, 0) }.page(&mut client, 0, [0; 8]);
        assert!(page.bytes <= count as usize, "{} bytes for a count of {count}", page.bytes);
    }
    for maxcount in [600, 1000, 4000, 9999] {
        let listing = Listing { dir: &root, plus: true, counts: (maxcount, maxcount) };
        let page = listing.page(&mut client, 0, [0; 8]);
        assert!(page.bytes <= maxcount as usize, "{} bytes for a maxcount of {maxcount}", page.bytes);
    }
    let page = Listing { dir: &root, plus: true, counts: (64, 1 << 20) }.page(&mut client, 0, [0; 8]);
    assert_eq!(page.entries.len(), 2, "dircount bounds names and cookies");
}

#[test]
fn a_count_without_room_for_one_entry_is_too_small() {
    let server = serve();
    let (mut client, root) = server.mounted();
    for (plus, counts) in [(false, (0, 0)), (false, (110, 0)), (true, (0, 0)), (true, (4096, 110))] {
        let reply = Listing { dir: &root, plus, counts }.reply(&mut client, 0, [0; 8]);
        let (status, mut results) = reply.status();
        assert_eq!(status, TOOSMALL);
        assert!(post_op(&mut results).is_some());
        results.end().unwrap();
    }
}

/// Trap: a cookie verifier that nobody looks at.
#[test]
fn a_cookie_with_a_foreign_verifier_is_refused() {
    let server = serve();
    let (mut client, root) = server.mounted();
    let listing = Listing { dir: &root, plus: false, counts: (4096, 0) };
    assert_eq!(listing.reply(&mut client, 2, *b"foreign!").status().0, BAD_COOKIE);
}
