//! What is carried forward in the log frees what is before it, and is the same file. The model's operations have it too (`model`).

use protocol::digest::Content;

use super::model::{Center, SEGMENT_BYTES, fixture, key, open};
use super::*;

/// PORT-12: a file that cannot be uploaded keeps no space but its own: it is carried forward, even where the journal is full,
/// and is the same, before and after a restart; what is left of the space frees the rest as ever.
#[test]
fn a_file_that_is_carried_forward_frees_what_is_before_it() {
    let (dir, runtime, journal, _, row) = fixture();
    let (stuck, size) = (key(100), 700);
    let before = runtime.block_on(async {
        journal.write(stuck, row, 500, Bytes::from(vec![2; 60]), Timestamp(1)).await.unwrap();
        journal.truncate(stuck, row, 540, Timestamp(2)).await.unwrap();
        journal.truncate(stuck, row, size, Timestamp(3)).await.unwrap();
        journal.set_times(stuck, Some(Timestamp(-5)), Timestamp(4)).await.unwrap();
        journal.begin_upload(stuck, Token([1; 16]), Timestamp(5)).await.unwrap().unwrap();
        let before = journal.view(stuck).unwrap();
        for other in 200..204 {
            let mut now = Timestamp(10);
            let full = loop {
                now.0 += 1;
                match journal.write(key(other), row, 0, Bytes::from(vec![3; 900]), now).await {
                    Ok(_) => {}
                    Err(error) => break error,
                }
            };
            assert!(matches!(full, JournalError::Full));
            journal.drop_file(key(other), now).await.unwrap();
            assert!(journal.usage().bytes_used > journal.usage().bytes_max - SEGMENT_BYTES, "held up");
            assert!(journal.holds_up_others(stuck).await);
            assert!(journal.carry_forward(stuck, Token([9; 16])).await.unwrap());
            assert!(journal.usage().bytes_used < 8 * SEGMENT_BYTES, "{:?}", journal.usage());
        }
        journal.sync_all().await.unwrap();
        before
    });
    let look = |journal: &Journal| {
        let (view, pieces) = journal.read(stuck, 0, u64::MAX).unwrap();
        let mut contents = Center::default();
        contents.0.insert(row.content.fingerprint, vec![1; 10_000]);
        (view, contents.bytes(&view.base, pieces))
    };
    let (view, bytes) = look(&journal);
    let expected = [vec![1; 500], vec![2; 40], vec![0; size as usize - 540]].concat();
    assert!(bytes == expected, "the contents are others");
    assert_eq!((view.base, view.size, view.modified), (row, size, Timestamp(-5)));
    assert_eq!((view.uploaded, view.is_uploading), (Lsn(0), false), "the center has none of it");
    assert!(view.changed > before.changed);
    drop(journal);
    let (journal, recovery) = open(dir.path());
    assert_eq!((recovery.files, recovery.damage), (1, Vec::new()));
    let (again, bytes) = look(&journal);
    assert!(bytes == expected, "the contents are others after a restart");
    assert_eq!((again.size, again.modified), (size, view.modified));
    assert!(again.changed >= view.changed, "{again:?} after {view:?}");
}

/// PORT-12: a file of a terabyte of which little is left takes no longer to carry forward than that little.
#[test]
fn what_was_cut_off_is_not_carried_forward() {
    let (_dir, runtime, journal, center, row) = fixture();
    let content = Content { size: 1 << 40, ..row.content };
    let stuck = key(100);
    runtime.block_on(async {
        let row = Base { content, ..row };
        journal.truncate(stuck, row, 10, Timestamp(1)).await.unwrap();
        let before = journal.usage().bytes_used;
        assert!(journal.carry_forward(stuck, Token([9; 16])).await.unwrap());
        assert!(journal.usage().bytes_used < before + 1_000);
    });
    assert_eq!(center.see(&journal)[&100].0, vec![1; 10]);
}

/// PORT-12: what is written while a file is carried forward is newer than what is carried.
#[test]
fn writes_while_a_file_is_carried_forward_stay() {
    let (_dir, runtime, journal, center, row) = fixture();
    let token = Token([9; 16]);
    runtime.block_on(async {
        let ask = async |request| journal.request(key(100), request, Timestamp(3)).await.unwrap();
        journal.write(key(100), row, 0, Bytes::from(vec![2; 3_000]), Timestamp(1)).await.unwrap();
        ask(Request::BeginCarry(token)).await.unwrap();
        for offset in (0..3_000).step_by(100) {
            let bytes = Bytes::from(vec![3; 10]);
            journal.write(key(100), row, offset, bytes, Timestamp(2)).await.unwrap();
        }
        journal.truncate(key(100), row, 2_500, Timestamp(2)).await.unwrap();
        assert!(ask(Request::EndCarry(token)).await.is_none(), "nothing is carried yet");
        let mut asked = 0;
        while ask(Request::Carry(token, 0, Bytes::from(vec![2; 3_000]))).await.is_some() {
            asked += 1;
        }
        assert_eq!(asked, 2, "25 parts, 16 of them by one request");
        ask(Request::EndCarry(token)).await.unwrap();
        let expected: Vec<_> = (0..2_500).map(|at| if at % 100 < 10 { 3 } else { 2 }).collect();
        assert!(center.see(&journal)[&100].0 == expected);
    });
}
