//! A journal streamed into another one: wherever the stream breaks off and whichever side crashes, the mirror reads like
//! the journal did after some record, and at least after the last that it said is durable.

use std::fs;

use proptest::prelude::*;
use proptest::sample::Index;
use tempfile::TempDir;

use super::model::{Op, Player, SEGMENT_BYTES, copy, key, op, open, runtime, settings};
use super::replica::recover;
use super::*;

/// What is streamed now; `whole` is asked for once all that there was is there.
fn stream(tail: &mut Tail, mut take: impl FnMut(&[u8])) {
    while let Some(batch) = tail.read().unwrap() {
        take(&batch.bytes);
    }
}

/// A mirror that has everything of `journal`, in the place of older bytes of its own.
fn mirror_of(journal: &Journal, dir: &std::path::Path) -> (Journal, Tail) {
    let (mirror, _) = open(dir);
    let base = Base { content: protocol::digest::Content::EMPTY, version: 1 };
    let old = mirror.write(key(100), base, 0, Bytes::from_static(b"old"), Timestamp(1));
    runtime().block_on(old).unwrap();
    mirror.set_mirror(true);
    let (mut tail, mut incoming) = (journal.tail(), mirror.receive().unwrap());
    stream(&mut tail, |bytes| incoming.append(bytes, &mirror).unwrap());
    mirror.replace_with(incoming).unwrap();
    (mirror, tail)
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let lasting = op().prop_filter("a tail is of one run", |op| !matches!(op, Op::Restart));
    prop::collection::vec(lasting, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// FO-2: what the passive port has is what the active one had, at any time, and after a crash of either.
    #[test]
    fn a_mirror_reads_like_the_journal(before in ops(), after in ops(), cut in any::<Index>()) {
        let (dir, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let mut player = Player::new(dir.path());
        before.iter().for_each(|op| player.play(op));
        let (mirror, mut tail) = mirror_of(&player.journal, other.path());
        prop_assert_eq!(player.center.see(&mirror), player.center.see(&player.journal));

        // Everything but what a broken connection kept back.
        let cut = cut.index(after.len() + 1);
        for (number, op) in after.iter().enumerate() {
            player.play(op);
            if number < cut {
                stream(&mut tail, |bytes| _ = mirror.append_mirrored(bytes).unwrap());
                prop_assert_eq!(player.center.see(&mirror), player.center.see(&player.journal));
                player.runtime.block_on(mirror.reclaim()).unwrap();
            }
        }
        let (last, expected) = player.history[before.len() + cut].clone();
        prop_assert_eq!(player.center.see(&mirror), expected.clone());

        player.runtime.block_on(mirror.sync(mirror.last())).unwrap();
        let crashed = copy(other.path());
        let (found, recovery) = open(crashed.path());
        prop_assert_eq!(recovery.damage, Vec::<String>::new());
        prop_assert_eq!(player.center.see(&found), expected);
        prop_assert!(found.last() >= last.min(mirror.last()));
    }
}

/// FO-2: a crash before the new journal is whole leaves the old one, a crash after that the new one, never a mixture.
#[test]
fn a_crash_while_a_journal_is_exchanged_leaves_one_of_the_two() {
    let (dir, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (journal, _) = open(dir.path());
    let base = Base { content: protocol::digest::Content::EMPTY, version: 1 };
    let runtime = runtime();
    for at in 0..5 {
        let data = Bytes::from(vec![7; SEGMENT_BYTES as usize / 2]);
        runtime.block_on(journal.write(key(101), base, at * 2_000, data, Timestamp(1))).unwrap();
    }
    let (mirror, _) = open(other.path());
    runtime.block_on(mirror.write(key(100), base, 0, Bytes::from_static(b"old"), Timestamp(1))).unwrap();
    runtime.block_on(mirror.sync_all()).unwrap();
    let (mut tail, mut incoming) = (journal.tail(), mirror.receive().unwrap());
    stream(&mut tail, |bytes| incoming.append(bytes, &mirror).unwrap());
    let whole = copy_all(other.path());
    let staged = |dir: &std::path::Path| {
        let (found, recovery) = open(dir);
        assert_eq!(recovery.damage, Vec::<String>::new());
        [100, 101].map(|file| found.view(key(file)).is_some())
    };
    assert_eq!(staged(copy_all(whole.path()).path()), [true, false], "not complete yet");

    let first = fs::read_dir(whole.path().join("incoming")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = first.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    assert!(names.len() > 1, "several segments: {names:?}");
    let number: u64 = names[0].trim_start_matches("segment-").trim_end_matches(".log").parse().unwrap();
    fs::write(whole.path().join("incoming/complete"), number.to_string()).unwrap();
    for moved in 0..=names.len() {
        let crashed = copy_all(whole.path());
        if moved > 0 {
            fs::remove_file(&segment::list(crashed.path()).unwrap()[0].1).unwrap();
        }
        for name in &names[..moved] {
            fs::rename(crashed.path().join("incoming").join(name), crashed.path().join(name)).unwrap();
        }
        assert_eq!(staged(crashed.path()), [false, true], "after {moved} moves");
        recover(crashed.path()).unwrap();
        assert_eq!(staged(crashed.path()), [false, true], "nothing is left to do");
    }
}

/// FO-2: a port that is passive takes nothing of its own, one that is active nothing of the other's.
#[test]
fn a_journal_takes_the_records_of_one_port() {
    let (dir, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (journal, _) = open(dir.path());
    let base = Base { content: protocol::digest::Content::EMPTY, version: 1 };
    let (runtime, write) = (runtime(), |journal: &Journal| {
        let journal = journal.clone();
        async move { journal.write(key(101), base, 0, Bytes::from_static(b"new"), Timestamp(2)).await }
    });
    let (mirror, mut tail) = mirror_of(&journal, other.path());
    assert!(matches!(runtime.block_on(write(&mirror)), Err(JournalError::IsMirror)));
    runtime.block_on(write(&journal)).unwrap();
    mirror.set_mirror(false);
    stream(&mut tail, |bytes| {
        assert!(matches!(mirror.append_mirrored(bytes), Err(JournalError::NotAMirror)));
    });
    runtime.block_on(write(&mirror)).unwrap();
}

/// FO-2: a mirror with less room refuses what does not fit, and has said so before it is relied upon.
#[test]
fn a_full_mirror_says_so() {
    let (dir, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (journal, _) = open(dir.path());
    let base = Base { content: protocol::digest::Content::EMPTY, version: 1 };
    let runtime = runtime();
    let small = Settings { bytes_max: 4 * SEGMENT_BYTES, ..settings(other.path()) };
    let (mirror, _) = Journal::open(small).unwrap();
    mirror.set_mirror(true);
    let (mut tail, incoming) = (journal.tail(), mirror.receive().unwrap());
    mirror.replace_with(incoming).unwrap();
    let mut refused = None;
    for at in 0..8 {
        let data = Bytes::from(vec![7; SEGMENT_BYTES as usize / 2]);
        runtime.block_on(journal.write(key(101), base, at * 2_048, data, Timestamp(1))).unwrap();
        stream(&mut tail, |bytes| refused = refused.take().or(mirror.append_mirrored(bytes).err()));
    }
    assert!(matches!(refused, Some(JournalError::Full)), "{refused:?}");
}

/// A directory with its folders.
fn copy_all(from: &std::path::Path) -> TempDir {
    let to = TempDir::new().unwrap();
    let incoming = from.join("incoming");
    fs::create_dir(to.path().join("incoming")).unwrap();
    for (folder, into) in [(from, to.path().to_owned()), (&incoming, to.path().join("incoming"))] {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                fs::copy(&path, into.join(path.file_name().unwrap())).unwrap();
            }
        }
    }
    to
}
