//! The journal against a plain model: after any operations, a crash at any byte and a replay, the files read as the
//! model said after some prefix of the operations that holds all that was synced.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;
use protocol::digest::Content;
use tempfile::TempDir;

use super::model::{Center, FILES, Player, SEGMENT_BYTES, copy, fixture, key, op, open, runtime, settings};
use super::*;

const READY: Ready = Ready { quiet: Duration::ZERO, age_max: Duration::ZERO, limit: 100 };

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// PORT-12, PORT-21: kill -9 or a power cut at any byte loses nothing that was synced, and shows no half state.
    #[test]
    fn a_crash_leaves_a_prefix_that_holds_all_that_was_synced(
        ops in prop::collection::vec(op(), 1..60),
        tear in any::<Index>(),
        flip in prop::option::of(1u8..),
    ) {
        let dir = TempDir::new().unwrap();
        let mut player = Player::new(dir.path());
        for op in &ops {
            player.play(op);
        }
        let (log_end, active) = {
            let log = locked(&player.journal.inner.log);
            (log.active_end(), log.active_segment())
        };
        // Tear the last segment behind what is durable: the kernel wrote some pages and not others.
        let durable = player.journal.inner.syncer.durable();
        let crashed = copy(dir.path());
        let path = segment::list(crashed.path()).unwrap().pop().unwrap().1;
        let mut bytes = std::fs::read(&path).unwrap();
        let start = end_of(&bytes, active, durable);
        let at = start + tear.index((log_end as usize - start).max(1));
        match flip {
            Some(flip) => bytes[at..].iter_mut().take(1).for_each(|byte| *byte ^= flip),
            None => bytes[at..].fill(0),
        }
        std::fs::write(&path, &bytes).unwrap();

        let (journal, recovery) = open(crashed.path());
        prop_assert_eq!(recovery.damage, Vec::<String>::new());
        let last = locked(&journal.inner.log).last();
        prop_assert!(last >= durable);
        let seen = player.center.see(&journal);
        let states = player.history.iter().filter(|(lsn, _)| *lsn <= last);
        let newest = states.max_by_key(|(lsn, _)| *lsn).map(|(lsn, _)| *lsn).unwrap();
        let possible = player.history.iter().filter(|(lsn, _)| *lsn == newest);
        let possible: Vec<_> = possible.map(|(_, seen)| seen).collect();
        prop_assert!(possible.contains(&&seen), "not the state after record {newest:?}");

        // And again, from what the replay made of it: the torn end is gone for good.
        let (before, files) = (player.center.see(&journal), recovery.files);
        drop(journal);
        let (journal, recovery) = open(crashed.path());
        prop_assert_eq!((recovery.torn_bytes, recovery.files), (0, files));
        prop_assert_eq!(player.center.see(&journal), before);
    }
}

/// Where the records up to `lsn` end in a segment.
fn end_of(bytes: &[u8], segment: u64, lsn: Lsn) -> usize {
    let previous = segment::previous_lsn(bytes, segment).unwrap();
    let mut end = segment::SEGMENT_HEADER_BYTES;
    let mut last = previous;
    while let Some((record, length)) = record::decode(&bytes[end..]) {
        if record.lsn > lsn || record.lsn <= last {
            break;
        }
        last = record.lsn;
        end += length;
    }
    end
}

/// PORT-12: what is staged is bounded; a full journal takes uploads' ends and is empty again.
#[test]
fn a_full_journal_refuses_writes_but_not_what_frees_it() {
    let (_dir, runtime, journal, mut center, row) = fixture();
    runtime.block_on(async {
        let mut now = Timestamp(1);
        let full = loop {
            now.0 += 1;
            match journal.write(key(100), row, 0, Bytes::from(vec![3; 900]), now).await {
                Ok(_) => assert!(journal.usage().bytes_used <= journal.usage().bytes_max),
                Err(error) => break error,
            }
        };
        assert!(matches!(full, JournalError::Full));
        assert!(journal.usage().bytes_used > journal.usage().bytes_max - SEGMENT_BYTES);
        assert_eq!(journal.candidates(now, READY, |_| true), [key(100)]);
        let snapshot = journal.begin_upload(key(100), Token([1; 16]), now).await.unwrap().unwrap();
        let row = center.store(center.bytes(&row, snapshot.pieces(0, u64::MAX)), 6);
        journal.finish_upload(key(100), snapshot.token, row, now).await.unwrap();
        assert!(journal.usage().bytes_used <= SEGMENT_BYTES);
        assert_eq!(journal.usage().files, 0);
        journal.write(key(100), row, 0, Bytes::from(vec![4; 900]), now).await.unwrap();
    });
}

/// PORT-12: clients cannot fill the room kept for uploads' ends by setting times.
#[test]
fn times_do_not_fill_the_last_segment() {
    let (_dir, runtime, journal, _, row) = fixture();
    let now = Timestamp(1);
    runtime.block_on(async {
        journal.write(key(100), row, 0, Bytes::from_static(b"x"), now).await.unwrap();
        let full = loop {
            if let Err(error) = journal.set_times(key(100), Some(now), now).await {
                break error;
            }
        };
        assert!(matches!(full, JournalError::Full));
        let snapshot = journal.begin_upload(key(100), Token([1; 16]), now).await.unwrap().unwrap();
        journal.finish_upload(key(100), snapshot.token, row, now).await.unwrap();
        assert!(journal.usage().bytes_used <= SEGMENT_BYTES);
    });
}

/// PORT-21: a segment that cannot be removed keeps its place, and the newer ones theirs, until it can.
#[test]
fn segments_go_in_order_even_if_one_cannot_be_removed() {
    let (dir, runtime, journal, _, row) = fixture();
    let now = Timestamp(1);
    let fill = async |file| {
        for part in 0..20 {
            journal.write(key(file), row, part, Bytes::from(vec![7; 900]), now).await.unwrap();
        }
    };
    runtime.block_on(async {
        fill(100).await;
        let segments = segment::list(dir.path()).unwrap();
        assert!(segments.len() > 2);
        let (oldest, aside) = (&segments[0].1, dir.path().join("aside"));
        std::fs::rename(oldest, &aside).unwrap();
        std::fs::create_dir(oldest).unwrap();
        journal.drop_file(key(100), now).await.unwrap();
        fill(101).await;
        journal.drop_file(key(101), now).await.unwrap();
        let left = segment::list(dir.path()).unwrap();
        assert_eq!(left[..segments.len()], segments);
        assert!(journal.usage().bytes_used > (left.len() as u64 - 1) * SEGMENT_BYTES);

        std::fs::remove_dir(oldest).unwrap();
        std::fs::rename(&aside, oldest).unwrap();
        fill(102).await;
        journal.drop_file(key(102), now).await.unwrap();
        assert_eq!(segment::list(dir.path()).unwrap().len(), 1);
    });
}

/// PORT-12: a full disk refuses writes, loses nothing, and takes writes again when uploads made room.
#[test]
fn a_full_disk_refuses_writes_and_recovers() {
    let disk = small_disk::SmallDisk::new(64 * SEGMENT_BYTES);
    let large = Settings { bytes_max: 1 << 30, ..settings(&disk.path().join("journal")) };
    let journal = Journal::open(large).unwrap().0;
    let (mut center, runtime, now) = (Center::default(), runtime(), Timestamp(1));
    let row = center.store(Vec::new(), 1);
    runtime.block_on(async {
        let mut written = 0;
        let full = loop {
            let bytes = Bytes::from(vec![7; 1_000]);
            match journal.write(key(100), row, written * 1_000, bytes, now).await {
                Ok(lsn) => journal.sync(lsn).await.unwrap(),
                Err(error) => break error,
            }
            written += 1;
        };
        assert!(matches!(full, JournalError::NoSpace(_)), "{full}");
        assert_eq!(center.see(&journal)[&100].0, vec![7; 1_000 * written as usize]);

        journal.drop_file(key(100), now).await.unwrap();
        assert_eq!(journal.usage().files, 0);
        journal.write(key(101), row, 0, Bytes::from(vec![7; 1_000]), now).await.unwrap();
    });
}

#[test]
fn a_row_older_than_the_last_upload_is_refused_as_base() {
    let (_dir, runtime, journal, mut center, row) = fixture();
    let now = Timestamp(1);
    runtime.block_on(async {
        journal.write(key(100), row, 0, Bytes::from_static(b"x"), now).await.unwrap();
        let snapshot = journal.begin_upload(key(100), Token([1; 16]), now).await.unwrap().unwrap();
        let newer = center.store(center.bytes(&row, snapshot.pieces(0, u64::MAX)), 6);
        journal.finish_upload(key(100), snapshot.token, newer, now).await.unwrap();
        let stale = journal.write(key(100), row, 1, Bytes::from_static(b"y"), now).await;
        assert!(matches!(stale, Err(JournalError::StaleBase)));
        journal.write(key(100), newer, 1, Bytes::from_static(b"y"), now).await.unwrap();
        journal.drop_file(key(100), now).await.unwrap();
        let gone = journal.truncate(key(100), newer, 1, now).await;
        assert!(matches!(gone, Err(JournalError::StaleBase)));
    });
}

/// PORT-12: a reader that comes late with an old row does not undo what an upload has put into the newer one.
#[test]
fn a_row_older_than_the_last_upload_does_not_become_the_base_again() {
    let (_dir, runtime, journal, mut center, row) = fixture();
    let now = Timestamp(1);
    runtime.block_on(async {
        journal.write(key(100), row, 0, Bytes::from_static(b"x"), now).await.unwrap();
        let snapshot = journal.begin_upload(key(100), Token([1; 16]), now).await.unwrap().unwrap();
        journal.write(key(100), row, 1, Bytes::from_static(b"y"), now).await.unwrap();
        let newer = center.store(center.bytes(&row, snapshot.pieces(0, u64::MAX)), 6);
        journal.finish_upload(key(100), snapshot.token, newer, now).await.unwrap();
        journal.rebase(key(100), row, now).await.unwrap();
        assert_eq!(journal.view(key(100)).unwrap().base, newer);
        assert_eq!(center.see(&journal)[&100].0[..3], *b"xy\x01");
    });
}

/// PORT-12: a new mode does not take back the time of a write that came meanwhile, before or after a restart.
#[test]
fn without_a_new_time_that_of_the_last_write_stays() {
    let (dir, runtime, journal, _, row) = fixture();
    runtime.block_on(async {
        journal.write(key(100), row, 0, Bytes::from_static(b"x"), Timestamp(5)).await.unwrap();
        journal.set_times(key(100), None, Timestamp(8)).await.unwrap();
    });
    let before = journal.view(key(100)).unwrap();
    assert_eq!((before.modified, before.changed), (Timestamp(5), Timestamp(8)));
    drop(journal);
    assert_eq!(open(dir.path()).0.view(key(100)), Some(before));
}

#[test]
fn only_quiet_or_old_files_are_candidates() {
    let (_dir, runtime, journal, _, row) = fixture();
    let second = 1_000_000_000;
    runtime.block_on(async {
        let write = |file, at| journal.write(key(file), row, 0, Bytes::from_static(b"x"), Timestamp(at));
        write(100, 0).await.unwrap();
        write(101, 0).await.unwrap();
        let ready =
            Ready { quiet: Duration::from_secs(5), age_max: Duration::from_secs(10), limit: usize::MAX };
        assert_eq!(journal.candidates(Timestamp(second), ready, |_| true), []);
        write(101, 9 * second).await.unwrap();
        write(102, 9 * second).await.unwrap();
        assert_eq!(journal.candidates(Timestamp(9 * second), ready, |_| true), [key(100)]);
        assert_eq!(journal.candidates(Timestamp(10 * second), ready, |_| true), [key(100), key(101)]);
        let one = Ready { limit: 1, ..ready };
        assert_eq!(journal.candidates(Timestamp(10 * second), one, |_| true), [key(100)]);
        let newer = journal.candidates(Timestamp(10 * second), one, |waiting| waiting.file != key(100));
        assert_eq!(newer, [key(101)], "what is not wanted does not count");
    });
}

#[test]
fn a_journal_is_open_in_one_place_only() {
    let (dir, _runtime, _journal, _, _) = fixture();
    assert!(matches!(Journal::open(settings(dir.path())), Err(JournalError::InUse(_))));
}

/// PORT-21: damage in the middle costs the records it hit, is told, and leaves the others.
#[test]
fn damage_inside_the_log_is_told_and_costs_only_what_it_hit() {
    let (dir, runtime, journal, center, row) = fixture();
    runtime.block_on(async {
        for file in FILES {
            for part in 0..4 {
                let bytes = Bytes::from(vec![7; 1_000]);
                let written = journal.write(key(file), row, part * 1_000, bytes, Timestamp(1)).await;
                journal.sync(written.unwrap()).await.unwrap();
            }
        }
    });
    drop(journal);
    let path = &segment::list(dir.path()).unwrap()[0].1;
    let mut bytes = std::fs::read(path).unwrap();
    // Inside the second write of the first file.
    bytes[segment::SEGMENT_HEADER_BYTES + 120 + 1_056 + 500] ^= 1;
    std::fs::write(path, bytes).unwrap();

    let (journal, recovery) = open(dir.path());
    assert_eq!(recovery.damage.len(), 1, "{:?}", recovery.damage);
    assert!(recovery.damage[0].contains(".damaged"));
    let seen = center.see(&journal);
    assert_eq!(seen[&100].0[..4_000], [[7; 1_000], [1; 1_000], [7; 1_000], [7; 1_000]].concat());
    assert_eq!(seen[&102].0[..4_000], [7; 4_000]);

    runtime.block_on(async {
        for file in FILES {
            journal.drop_file(key(file), Timestamp(2)).await.unwrap();
        }
    });
    assert!(path.with_extension("damaged").exists(), "kept for the operator");
}

/// PORT-21: a lost segment gives up the files that began in it rather than show wrong bytes.
#[test]
fn a_file_whose_beginning_is_lost_is_given_up_and_told() {
    let (dir, runtime, journal, center, row) = fixture();
    runtime.block_on(async {
        for (file, part) in [(100, 0), (100, 1), (100, 2), (101, 0), (100, 3), (101, 1)] {
            let bytes = Bytes::from(vec![7; 1_000]);
            journal.write(key(file), row, part * 1_000, bytes, Timestamp(1)).await.unwrap();
        }
    });
    drop(journal);
    let path = &segment::list(dir.path()).unwrap()[0].1;
    std::fs::write(path, [0xff; 100]).unwrap();
    let (journal, recovery) = open(dir.path());
    assert_eq!(recovery.damage.len(), 2, "{:?}", recovery.damage);
    assert!(recovery.damage[1].contains("file 100 of customer 7"));
    assert_eq!(center.see(&journal).keys().collect::<Vec<_>>(), [&101]);
}

/// An upload of what damage has lost is no upload: it would hold up its segment, and all behind it, for ever.
#[test]
fn a_seal_whose_writes_are_lost_is_forgotten() {
    let (dir, _runtime, journal, _center, row) = fixture();
    drop(journal);
    std::fs::remove_file(&segment::list(dir.path()).unwrap()[0].1).unwrap();
    let record = |lsn, change| {
        super::fuzz::encode(&record::Record { lsn: Lsn(lsn), file: key(100), time: Timestamp(1), change })
    };
    let token = Token([7; 16]);
    // Between the two was a write.
    let damaged =
        [record(1, record::Change::Begin(row)), vec![0xff; 64], record(3, record::Change::Seal(token))];
    for (number, records) in [(1, damaged.concat()), (2, Vec::new())] {
        let header = segment::encode_header(number, Lsn(3 * (number - 1)));
        std::fs::write(dir.path().join(segment::file_name(number)), [&header[..], &records].concat())
            .unwrap();
    }
    let (journal, recovery) = open(dir.path());
    assert_eq!((recovery.files, recovery.records, recovery.damage.len()), (0, 2, 1), "{recovery:?}");
    assert_eq!(journal.usage().files, 0);
}

/// PORT-21: a crash may leave the end of the file inside the padding of the last record, which is whole all the same.
#[test]
fn a_last_record_is_kept_without_its_padding() {
    let record = |lsn, change| {
        super::fuzz::encode(&record::Record { lsn: Lsn(lsn), file: key(100), time: Timestamp(1), change })
    };
    for cut in 0..=7 {
        let (dir, runtime, journal, center, row) = fixture();
        drop(journal);
        let path = segment::list(dir.path()).unwrap().remove(0).1;
        let write = record::Change::Write { offset: 10_000, data: &[2] };
        let bytes = [segment::encode_header(1, Lsn(0)).to_vec(), record(1, record::Change::Begin(row))];
        let bytes = [bytes.concat(), record(2, write)].concat();
        std::fs::write(path, &bytes[..bytes.len() - cut]).unwrap();
        let (journal, recovery) = open(dir.path());
        let found = (recovery.files, recovery.records, recovery.torn_bytes, recovery.damage);
        assert_eq!(found, (1, 2, 0, Vec::new()), "without {cut} bytes");
        let next = journal.write(key(100), row, 10_001, Bytes::from_static(&[3]), Timestamp(2));
        runtime.block_on(next).unwrap();
        drop(journal);
        let (journal, recovery) = open(dir.path());
        assert_eq!(
            (recovery.records, recovery.damage),
            (3, Vec::new()),
            "what is written behind it is found"
        );
        assert_eq!(center.see(&journal)[&100].0[9_999..], [1, 2, 3]);
    }
}

/// PORT-12: writers and an uploader at once: no write is lost between the journal and the center.
#[test]
fn concurrent_writes_and_uploads_lose_nothing() {
    const WRITES: u64 = 200;
    const LEN: u64 = 24_000;
    let dir = TempDir::new().unwrap();
    let bounds = Settings { segment_bytes: 1 << 20, bytes_max: 16 << 20, ..settings(dir.path()) };
    let journal = Journal::open(bounds.clone()).unwrap().0;
    let center = Mutex::new(Center::default());
    let empty = locked(&center).store(Vec::new(), 1);
    let rows = Mutex::new(FILES.map(|file| (file, empty)).collect::<BTreeMap<_, _>>());

    // One writer per file: the NFS client that reads the row, writes, and asks again where it must.
    let write = async |file: u64, number: u64| {
        let data = Bytes::from(vec![number as u8 + 1; LEN as usize]);
        loop {
            let row = locked(&rows)[&file];
            let now = Timestamp(number as i64);
            match journal.write(key(file), row, number * LEN, data.clone(), now).await {
                Ok(lsn) if number.is_multiple_of(50) => return journal.sync(lsn).await.unwrap(),
                Ok(_) => return,
                Err(JournalError::Full | JournalError::StaleBase) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    let upload = async |file: FileKey, token: u64| {
        let token = Token(u128::from(token).to_le_bytes());
        let Some(snapshot) = journal.begin_upload(file, token, Timestamp(0)).await.unwrap() else { return };
        let row = {
            let mut center = locked(&center);
            let bytes = center.bytes(&snapshot.base, snapshot.pieces(0, u64::MAX));
            center.store(bytes, snapshot.base.version + 1)
        };
        tokio::task::yield_now().await;
        locked(&rows).insert(file.file.0, row);
        journal.finish_upload(file, snapshot.token, row, Timestamp(0)).await.unwrap();
    };
    let written = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for file in FILES {
            let (write, written) = (&write, &written);
            scope.spawn(move || {
                runtime().block_on(async {
                    for number in 0..WRITES {
                        write(file, number).await;
                    }
                });
                written.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            });
        }
        scope.spawn(|| {
            let everything = async {
                let mut token = 0;
                while written.load(std::sync::atomic::Ordering::SeqCst) < 3 || journal.usage().files > 0 {
                    for file in journal.candidates(Timestamp(i64::MAX), READY, |_| true) {
                        token += 1;
                        upload(file, token).await;
                    }
                }
            };
            runtime().block_on(everything);
        });
    });
    let expected: Vec<u8> = (0..WRITES).flat_map(|number| vec![number as u8 + 1; LEN as usize]).collect();
    for row in locked(&rows).values() {
        assert!(locked(&center).0[&row.content.fingerprint] == expected);
    }
    runtime().block_on(journal.sync_all()).unwrap();
    drop(journal);
    let (journal, recovery) = Journal::open(bounds).unwrap();
    assert_eq!((recovery.files, recovery.damage), (0, Vec::new()));
    assert_eq!(journal.usage().extents, 0);
}

/// While a full segment is made durable its lock is held for as long as the disk takes: a thread that serves clients
/// must go on meanwhile.
#[test]
fn nothing_blocks_the_runtime_while_the_log_waits_for_its_disk() {
    let patience = Duration::from_secs(10);
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let base = Center::default().store(Vec::new(), 1);
    let write = || journal.write(key(100), base, 0, Bytes::from_static(b"bytes"), Timestamp(1));
    runtime.block_on(write()).unwrap();
    let (held, is_held) = std::sync::mpsc::channel();
    let (release, is_released) = std::sync::mpsc::channel::<()>();
    let inner = Arc::clone(&journal.inner);
    let disk = std::thread::spawn(move || {
        let _log = locked(&inner.log);
        held.send(()).unwrap();
        is_released.recv_timeout(patience)
    });
    is_held.recv().unwrap();
    runtime.block_on(async {
        assert_eq!(journal.usage().files, 1);
        assert_eq!(journal.view(key(100)).map(|view| view.size), Some(5));
        let waiting = async { tokio::join!(write(), journal.reclaim(), journal.sync_all()) };
        let mut waiting = std::pin::pin!(waiting);
        // The timer of this one thread fires: so nothing blocks it.
        tokio::time::timeout(Duration::from_millis(20), &mut waiting).await.unwrap_err();
        release.send(()).expect("the disk still waits: nothing waited for it");
        let (written, reclaimed, synced) = waiting.await;
        written.unwrap();
        reclaimed.unwrap();
        synced.unwrap();
    });
    disk.join().unwrap().unwrap();
}

/// PORT-12: what is owed is what was written since the last upload, and since when.
#[test]
fn what_is_owed_grows_with_writes_and_goes_with_uploads() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    let base = Base { content: Content::EMPTY, version: 1 };
    runtime().block_on(async {
        assert_eq!(journal.owed(), Owed::default());
        let write = |file, offset, len: usize, at| {
            journal.write(key(file), base, offset, vec![7; len].into(), Timestamp(at))
        };
        write(1, 0, 1000, 50).await.unwrap();
        write(1, 500, 1000, 60).await.unwrap();
        write(2, 0, 10, 40).await.unwrap();
        let owed = Owed { files: 2, uploading: 0, bytes: 1510, oldest: Some(Timestamp(40)) };
        assert_eq!(journal.owed(), owed, "what was written over is not owed");
        let snapshot = journal.begin_upload(key(2), Token([1; 16]), Timestamp(70)).await.unwrap().unwrap();
        assert_eq!(journal.owed(), Owed { uploading: 1, ..owed });
        let stored = Base { version: 2, ..base };
        journal.finish_upload(key(2), snapshot.token, stored, Timestamp(80)).await.unwrap();
        assert_eq!(journal.owed(), Owed { files: 1, bytes: 1500, oldest: Some(Timestamp(50)), ..owed });
    });
}
