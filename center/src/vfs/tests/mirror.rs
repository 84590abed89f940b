//! Two centers that mirror each other, joined by calls in memory (VFS-21, VFS-22, GEO-4, GEO-5).

use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;
use protocol::dosp::ENTRY_BYTES_MAX;
use protocol::id::VersionId;
use protocol::pair::{Generation, LeaseAnswer, LeaseQuestion, Member, PairName};
use protocol::vfs::Versioned;
use tempfile::TempDir;

use super::*;
use crate::vfs::engine::OwnedValue;
use crate::vfs::mirror::{Keep, Mirror, Names, Permission};
use crate::vfs::store::Change;
use crate::vfs::tables::TABLES;
use crate::vfs::{StoreError, engine};

const CUSTOMER: CustomerId = CustomerId(3);

/// A center with a directory manager.
struct Center {
    name: &'static str,
    folder: TempDir,
    keep: Keep,
    store: MetaStore,
    clock: AtomicI64,
}

impl Center {
    async fn new(name: &'static str) -> Self {
        Self::keeping(name, Keep::default()).await
    }

    async fn keeping(name: &'static str, keep: Keep) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder, name, keep).await.unwrap();
        Self { name, folder, keep, store, clock: AtomicI64::new(1_000_000_000) }
    }

    /// North with a customer, and south with its directory.
    async fn pair() -> (Self, Self) {
        let (north, south) = (Self::new("north").await, Self::new("south").await);
        north.store.add_customer(new_customer(Some(CUSTOMER), "customer C"), Timestamp(1_000)).await.unwrap();
        south.follow(&north).await;
        (north, south)
    }

    fn mirror(&self) -> &Mirror {
        self.store.mirror().unwrap()
    }

    fn engine(&self) -> Engine {
        Engine::Sqlite(self.folder.path().join("vfs.sqlite"))
    }

    /// As after the death of its process: what was not committed is gone.
    async fn restart(&mut self) {
        self.store = open(&self.folder, self.name, self.keep).await.unwrap();
    }

    /// Takes all that the writer has; how many answers that took, and what was kept beside.
    async fn follow(&self, writer: &Self) -> (usize, Option<PathBuf>) {
        let mut kept = None;
        for answers in 1.. {
            let question = self.mirror().question().await.unwrap();
            let is_new = question.generation.number == 0;
            let out = writer.mirror().pull(question).await.unwrap();
            match out.start_over {
                None if out.entries.is_empty() && out.generations.is_empty() => return (answers, kept),
                None => self.mirror().take(out).await.unwrap(),
                Some(unknown) => {
                    let copy = writer.mirror().copy().await.unwrap();
                    let keep = unknown > 0 || is_new && self.mirror().has_customers().await.unwrap();
                    kept = self.mirror().restore(copy, keep).await.unwrap();
                }
            }
        }
        unreachable!()
    }

    async fn apply(&self, operations: Vec<Operation>) -> Vec<Reply> {
        let now = Timestamp(self.clock.fetch_add(1_000, Ordering::SeqCst));
        let change = |operation| Change { request: Request { key: None, operation }, verified: None };
        self.store.change(CUSTOMER.into(), operations.into_iter().map(change).map(Ok).collect(), now).await
    }

    async fn root(&self) -> ObjectId {
        self.store.customers().await.unwrap()[0].root
    }

    async fn mkdir(&self, text: &str) -> Result<ObjectId, VfsError> {
        let operation =
            Operation::CreateFolder { parent: self.root().await, name: name(text), metadata: Vec::new() };
        match self.apply(vec![operation]).await.pop().unwrap()?.answer {
            Answer::Changed(changed) => Ok(changed.row.unwrap().id),
            other => panic!("not a change: {other:?}"),
        }
    }

    /// Every row of every table, and the last id.
    async fn dump(&self) -> Vec<(&'static str, Vec<Vec<OwnedValue>>)> {
        let engine = self.engine();
        let reading = tokio::task::spawn_blocking(move || {
            let mut session = engine.open_reader().unwrap();
            session.begin_reading().unwrap();
            let db = session.database();
            let rows = |table: &crate::vfs::tables::Table| {
                let (name, columns) = (table.name, table.columns.join(", "));
                let key = table.columns[..table.keys].join(", ");
                let sql = format!("SELECT {columns} FROM {name} ORDER BY {key}");
                let read = |row: &dyn engine::Columns| {
                    (0..table.columns.len()).map(|column| Ok(OwnedValue::from(&row.value(column)?))).collect()
                };
                (name, db.list(&sql, &[], read).unwrap())
            };
            let mut all: Vec<_> = TABLES.iter().map(rows).collect();
            all.push(("last id", vec![vec![OwnedValue::Integer(db.last_id("entry").unwrap())]]));
            all
        });
        reading.await.unwrap()
    }
}

async fn open(folder: &TempDir, center: &str, keep: Keep) -> Result<MetaStore, StoreError> {
    let names = Names { center: center.to_owned(), first_writer: "north".to_owned(), others: 1 };
    let engine = Engine::Sqlite(folder.path().join("vfs.sqlite"));
    // What is deleted is kept, so that versions are among the rows.
    Ok(MetaStore::open_mirrored(engine, Some(names), keep).await?.keeping(Retention(3_600)))
}

fn rename(id: ObjectId, parent: ObjectId, to: &str) -> Operation {
    Operation::Move { target: Target::Id(id), kind: None, parent, name: name(to), replace: false }
}

fn delete(id: ObjectId) -> Operation {
    Operation::Delete { target: Target::Id(id), kind: Kind::Folder, recursive: true }
}

/// VFS-22, GEO-5: a follower begins with a copy and then has every row; also of a transaction in which names change
/// places, and ids that were given and taken back.
#[tokio::test]
async fn a_follower_has_every_row() {
    let (north, south) = Center::pair().await;
    assert_eq!(south.dump().await, north.dump().await);
    let (root, a, b) = (north.root().await, north.mkdir("a").await.unwrap(), north.mkdir("b").await.unwrap());
    let swap = vec![rename(a, root, "t"), rename(b, root, "a"), rename(a, root, "b")];
    assert!(north.apply(swap).await.iter().all(Result::is_ok));
    let fleeting = Operation::CreateFolder { parent: root, name: name("fleeting"), metadata: Vec::new() };
    let by_name = Target::Name(root, name("fleeting"));
    let gone = Operation::Delete { target: by_name, kind: Kind::Folder, recursive: false };
    assert!(north.apply(vec![fleeting, gone]).await.iter().all(Result::is_ok));
    north
        .store
        .rotate_secret(CUSTOMER, Secret::new(b"another secret of 16".to_vec()).unwrap())
        .await
        .unwrap();
    let (answers, kept) = south.follow(&north).await;
    assert_eq!((answers, kept), (2, None), "by the log");
    assert_eq!(south.dump().await, north.dump().await);
    assert_eq!(south.mirror().position(), north.mirror().position());
}

/// VFS-22: versions are rows like others: a follower has them, and what is restored is none any more.
#[tokio::test]
async fn a_follower_has_the_versions() {
    let (north, south) = Center::pair().await;
    let kept = async |center: &Center| {
        let dump = center.dump().await;
        let [versions] = &dump.iter().filter(|(table, _)| *table == "version").collect::<Vec<_>>()[..] else {
            panic!("one table of versions")
        };
        versions.1.len()
    };
    for text in ["a", "b"] {
        let id = north.mkdir(text).await.unwrap();
        assert!(north.apply(vec![delete(id)]).await.iter().all(Result::is_ok));
    }
    south.follow(&north).await;
    assert_eq!((south.dump().await, kept(&south).await), (north.dump().await, 2));
    let restore = Operation::Restore { version: VersionId(1), parent: None, name: None, replace: false };
    assert!(north.apply(vec![restore]).await.iter().all(Result::is_ok));
    south.follow(&north).await;
    assert_eq!((south.dump().await, kept(&south).await), (north.dump().await, 1));
    let begun = south.mirror().take_over(None).await.unwrap();
    assert_eq!(begun.number, 2);
    let last = south.mkdir("c").await.unwrap();
    assert!(south.apply(vec![delete(last)]).await.iter().all(Result::is_ok));
    let of = Versioned::Id(last);
    let query = crate::vfs::query::Query::Versions { of, after: None, limit: 1 };
    let Answer::Versions { versions, .. } = south.store.query(CUSTOMER, query).await.unwrap().answer else {
        panic!("no versions")
    };
    assert!(versions[0].id.0 > 1_000, "no number is given twice: {:?}", versions[0].id);
}

/// VFS-21: who follows changes nothing, neither in the service nor by commands; who would forget the mirror is refused.
#[tokio::test]
async fn only_the_writer_changes_the_directory() {
    let (north, south) = Center::pair().await;
    let refused = south.store.add_customer(new_customer(None, "another"), Timestamp(0)).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Elsewhere { writer } if writer == "north"), "{refused}");
    assert_eq!(south.mkdir("x").await.unwrap_err().code, VfsErrorCode::Unavailable);
    let forgotten = MetaStore::open(north.engine()).await.err().unwrap();
    assert!(matches!(forgotten, StoreError::Mirrored), "{forgotten}");
}

/// VFS-21: the writer hands over without loss; the next one writes at once, the last one follows by the log.
#[tokio::test]
async fn a_handover_loses_nothing() {
    let (north, south) = Center::pair().await;
    let last = north.mkdir("last").await.unwrap();
    let begun = north.mirror().hand_over("south".to_owned()).await.unwrap();
    assert_eq!((begun.number, begun.writer.as_str()), (2, "south"));
    assert!(north.mkdir("late").await.is_err());
    assert!(!south.mirror().is_writer(), "it has not heard of it");
    south.follow(&north).await;
    assert!(south.mirror().is_writer());
    assert_eq!(south.mkdir("next").await.unwrap(), ObjectId(last.0 + 1), "no id is lost");
    assert_eq!(north.follow(&south).await.1, None);
    assert_eq!(north.dump().await, south.dump().await);
    // It has heard of a generation before the one it asks has.
    let mut ahead = south.mirror().question().await.unwrap();
    (ahead.generation.number, ahead.generation.writer) = (3, "north".to_owned());
    assert!(matches!(south.mirror().pull(ahead).await, Err(StoreError::NotNow)));
    let again = north.mirror().hand_over("north".to_owned()).await.unwrap_err();
    assert!(matches!(again, StoreError::Elsewhere { .. }), "{again}");
}

/// VFS-21: after a takeover without the writer no id is given twice, what the writer alone had is kept beside, and
/// feeds begin anew.
#[tokio::test]
async fn a_takeover_gives_no_id_twice_and_keeps_what_was_lost() {
    let (north, mut south) = Center::pair().await;
    let shared = north.mkdir("shared").await.unwrap();
    south.follow(&north).await;
    let lost = north.mkdir("lost").await.unwrap();
    let begun = south.mirror().take_over(None).await.unwrap();
    assert_eq!(begun.number, 2);
    let next = south.mkdir("next").await.unwrap();
    assert!(next > lost, "{next:?} {lost:?}");
    south.restart().await;
    assert!(south.mirror().is_writer());
    let changes = south
        .store
        .query(CUSTOMER, crate::vfs::query::Query::Changes { since: protocol::id::FeedPosition(3) });
    assert!(matches!(changes.await.unwrap().answer, Answer::Changes { reset: true, .. }));

    let question = north.mirror().question().await.unwrap();
    let out = south.mirror().pull(question).await.unwrap();
    assert_eq!(out.start_over, Some(1), "one entry is unknown to the new writer");
    let kept = north.follow(&south).await.1.unwrap();
    assert!(kept.ends_with("vfs.sqlite.generation-1"), "{kept:?}");
    let kept = rusqlite::Connection::open(kept).unwrap();
    let count = |id: ObjectId| {
        kept.query_row("SELECT count(*) FROM entry WHERE id = ?1", [id.0], |row| row.get::<_, u32>(0))
            .unwrap()
    };
    assert_eq!((count(shared), count(lost), count(next)), (1, 1, 0));
    assert_eq!(north.dump().await, south.dump().await);
    assert_eq!(north.mirror().position(), south.mirror().position());
}

/// FO-11: a center that takes over without the writer grants no generation that the writer may have granted unseen, and
/// none before a lease has passed that the writer may have given.
#[tokio::test]
async fn a_takeover_grants_no_generation_twice() {
    let (north, south) = Center::pair().await;
    let pair = PairName::parse("site-1").unwrap();
    let ask = async |center: &Center, member, from, renewals| {
        let question = LeaseQuestion::Acquire { from: Generation(from), renewals, lease_ms: 300 };
        let answered = center.store.lease(CUSTOMER, pair.clone(), member, question).await.unwrap();
        let Answer::Lease(answer) = answered.answer else { panic!("no lease") };
        answer
    };
    let granted = |answer| match answer {
        LeaseAnswer::Granted { generation, .. } => generation.0,
        other => panic!("{other:?}"),
    };
    assert_eq!(granted(ask(&north, Member::A, 0, None).await), 1);
    south.follow(&north).await;
    north.store.release_pair(CUSTOMER, pair.clone()).await.unwrap();
    assert_eq!(granted(ask(&north, Member::B, 1, None).await), 2, "which south never hears of");
    south.mirror().take_over(None).await.unwrap();
    let LeaseAnswer::Superseded { generation: Generation(far) } = ask(&south, Member::A, 1, None).await
    else {
        panic!("granted again")
    };
    assert!(far > 2, "{far}");
    let LeaseAnswer::Held { renewals, .. } = ask(&south, Member::A, far, None).await else {
        panic!("granted before the lease has passed")
    };
    assert_eq!(granted(ask(&south, Member::A, far, Some(renewals)).await), far + 1);
}

/// VFS-22: the log is bounded by entries, to the edge: who is one further back begins with a copy.
#[tokio::test]
async fn who_is_further_back_than_the_log_begins_with_a_copy() {
    let keep = Keep { entries_max: 4, tail: 2, ..Keep::default() };
    let (north, south) = (Center::keeping("north", keep).await, Center::new("south").await);
    north.store.add_customer(new_customer(Some(CUSTOMER), "c"), Timestamp(1_000)).await.unwrap();
    south.follow(&north).await;
    let ask = || async {
        let question = south.mirror().question().await.unwrap();
        north.mirror().pull(question).await.unwrap().start_over
    };
    for number in 0..4 {
        north.mkdir(&format!("d{number}")).await.unwrap();
    }
    assert_eq!(ask().await, None);
    assert_eq!(north.mirror().log_size().await.unwrap().entries, 4);
    north.mkdir("d4").await.unwrap();
    assert_eq!(ask().await, Some(0));
    south.follow(&north).await;
    assert_eq!(south.dump().await, north.dump().await);
    ask().await;
    north.mkdir("d5").await.unwrap();
    assert_eq!(north.mirror().log_size().await.unwrap().entries, 2, "what all have goes but for the tail");
}

/// VFS-22: bytes bound the log as well.
#[tokio::test]
async fn the_log_is_bounded_by_bytes() {
    let keep = Keep { bytes_max: 20_000, ..Keep::default() };
    let north = Center::keeping("north", keep).await;
    north.store.add_customer(new_customer(Some(CUSTOMER), "c"), Timestamp(1_000)).await.unwrap();
    for number in 0..100 {
        north.mkdir(&format!("d{number}")).await.unwrap();
    }
    let size = north.mirror().log_size().await.unwrap();
    assert!(size.bytes <= 20_000 && size.entries > 10 && size.entries < 100, "{size:?}");
}

/// VFS-22: a transaction larger than an entry comes in parts, of which none is put in alone; a follower that dies
/// between two of them begins with the first again.
#[tokio::test]
async fn a_large_transaction_is_put_in_whole() {
    let (north, mut south) = Center::pair().await;
    let root = north.root().await;
    let large = |number: usize| Operation::CreateFolder {
        parent: root,
        name: name(&format!("large {number}")),
        metadata: vec![7; 64 << 10],
    };
    let count = 2 * ENTRY_BYTES_MAX / (64 << 10);
    assert!(north.apply((0..count).map(large).collect()).await.iter().all(Result::is_ok));
    let before = south.dump().await;
    let question = south.mirror().question().await.unwrap();
    let out = north.mirror().pull(question).await.unwrap();
    assert!(out.entries.len() == 1 && out.entries[0].more);
    south.mirror().take(out.clone()).await.unwrap();
    assert_eq!(south.dump().await, before);
    let question = south.mirror().question().await.unwrap();
    assert_eq!(question.after, question.durable + 1);
    assert!(matches!(south.mirror().take(out.clone()).await, Err(StoreError::Foreign)), "it was there");
    let question = south.mirror().question().await.unwrap();
    assert_eq!(question.after, question.durable, "from the first again");
    south.mirror().take(out).await.unwrap();
    south.restart().await;
    south.follow(&north).await;
    assert_eq!(south.dump().await, north.dump().await);
}

/// VFS-22, GEO-4: while a follower is in touch, what is answered is on its disk; cut off, the writer goes on alone
/// after its patience, and waits again when it has caught up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answered_change_is_on_two_disks() {
    let (north, south) = Center::pair().await;
    let mirror = north.mirror();
    mirror.with_debts(|debts| {
        debts.attend(false);
        debts.permit(Permission::Always);
    });
    let (north, south) = (Arc::new(north), Arc::new(south));
    let following = {
        let (north, south) = (Arc::clone(&north), Arc::clone(&south));
        tokio::spawn(async move {
            loop {
                south.follow(&north).await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
    };
    let started = std::time::Instant::now();
    let made = futures::future::join_all((0..50).map(|number| {
        let (north, south) = (Arc::clone(&north), Arc::clone(&south));
        async move {
            let id = north.mkdir(&format!("d{number}")).await.unwrap();
            let found = south.store.query(
                CUSTOMER,
                crate::vfs::query::Query::Open { target: Target::Id(id), srl_expires: None },
            );
            found.await.map(|_| ()).is_ok()
        }
    }));
    assert!(made.await.into_iter().all(|is_there| is_there));
    assert!(started.elapsed() < Duration::from_secs(2), "nothing waited for the patience to end");
    following.abort();
    let _ = following.await;
    let cut = std::time::Instant::now();
    north.mkdir("alone").await.unwrap();
    assert!(cut.elapsed() >= Duration::from_secs(2));
    let alone = std::time::Instant::now();
    north.mkdir("still alone").await.unwrap();
    assert!(alone.elapsed() < Duration::from_secs(1));
    south.follow(&north).await;
    assert_eq!(north.mirror().with_debts(|debts| debts.alone()), crate::vfs::mirror::Alone::No);
    let late = north.mkdir("not answered");
    assert!(tokio::time::timeout(Duration::from_millis(300), late).await.is_err(), "it waits again");
}

/// One step of a life with cuts and takeovers.
#[derive(Clone, Debug)]
enum Step {
    Make(u8),
    Rename(u8, u8),
    Swap(u8, u8),
    Delete(u8),
    Follow,
    Restart(bool),
    HandOver,
    TakeOver,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => any::<u8>().prop_map(Step::Make),
        2 => (any::<u8>(), any::<u8>()).prop_map(|(from, to)| Step::Rename(from, to)),
        2 => (any::<u8>(), any::<u8>()).prop_map(|(one, other)| Step::Swap(one, other)),
        2 => any::<u8>().prop_map(Step::Delete),
        3 => Just(Step::Follow),
        1 => any::<bool>().prop_map(Step::Restart),
        1 => Just(Step::HandOver),
        1 => Just(Step::TakeOver),
    ]
}

/// Who writes and who follows, what exists as far as clients know, and what of it both have.
struct Life {
    writer: Center,
    follower: Center,
    alive: Vec<ObjectId>,
    safe: Vec<ObjectId>,
    given: HashSet<ObjectId>,
}

impl Life {
    async fn step(&mut self, step: Step) {
        let root = self.writer.root().await;
        let pick =
            |alive: &[ObjectId], number: u8| alive.get(usize::from(number) % alive.len().max(1)).copied();
        match step {
            Step::Make(number) => {
                if let Ok(id) = self.writer.mkdir(&format!("n{}", number % 32)).await {
                    assert!(self.given.insert(id), "{id:?} was given twice");
                    self.alive.push(id);
                }
            }
            Step::Rename(from, to) => {
                if let Some(id) = pick(&self.alive, from) {
                    self.writer.apply(vec![rename(id, root, &format!("n{}", to % 32))]).await;
                }
            }
            Step::Swap(one, other) => {
                let (one, other) = (pick(&self.alive, one), pick(&self.alive, other));
                if let (Some(one), Some(other)) = (one, other) {
                    let unique = format!("s{}", self.writer.clock.load(Ordering::SeqCst));
                    let swap = [
                        (one, format!("{unique}t")),
                        (other, format!("{unique}a")),
                        (one, format!("{unique}b")),
                    ];
                    let swap = swap.map(|(id, to)| rename(id, root, &to));
                    self.writer.apply(swap.into()).await;
                }
            }
            Step::Delete(number) => {
                if let Some(id) = pick(&self.alive, number) {
                    self.writer.apply(vec![delete(id)]).await;
                    self.alive.retain(|alive| *alive != id);
                    self.safe.retain(|safe| *safe != id);
                }
            }
            Step::Follow => {
                self.join().await;
                assert!(!self.follower.mirror().is_writer());
            }
            Step::Restart(true) => self.writer.restart().await,
            Step::Restart(false) => self.follower.restart().await,
            Step::HandOver => {
                self.writer.mirror().hand_over(self.follower.name.to_owned()).await.unwrap();
                self.join().await;
                assert!(self.follower.mirror().is_writer());
                std::mem::swap(&mut self.writer, &mut self.follower);
            }
            // One that comes back after others took over from it believes to be the writer, and is told otherwise.
            Step::TakeOver if self.follower.mirror().is_writer() => {}
            Step::TakeOver => {
                self.follower.mirror().take_over(None).await.unwrap();
                std::mem::swap(&mut self.writer, &mut self.follower);
                // What was deleted and not shared is there again, what was made and not shared is gone.
                let rows: HashSet<i64> = ids(&self.writer).await;
                self.alive = self.given.iter().copied().filter(|id| rows.contains(&(id.0 as i64))).collect();
                self.alive.sort_unstable();
                for id in &self.safe {
                    assert!(rows.contains(&(id.0 as i64)), "{id:?} was answered and is lost");
                }
            }
        }
    }

    async fn join(&mut self) {
        self.follower.follow(&self.writer).await;
        self.safe = self.alive.clone();
        assert_eq!(self.follower.dump().await, self.writer.dump().await);
    }
}

async fn ids(center: &Center) -> HashSet<i64> {
    let tables = center.dump().await;
    let entries = &tables.iter().find(|(name, _)| *name == "entry").unwrap().1;
    let id = |row: &Vec<OwnedValue>| match row[0] {
        OwnedValue::Integer(id) => id,
        _ => panic!("an id is a number"),
    };
    entries.iter().map(id).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    /// VFS-21, VFS-22: after any life with cuts, restarts, handovers and takeovers both have the same rows once they
    /// are joined; nothing that both had is lost, and no id is given twice.
    #[test]
    fn joined_centers_have_the_same_directory(steps in proptest::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (writer, follower) = Center::pair().await;
            let (alive, safe, given) = (Vec::new(), Vec::new(), HashSet::new());
            let mut life = Life { writer, follower, alive, safe, given };
            for step in steps {
                life.step(step).await;
            }
            life.join().await;
        });
    }
}
