//! FO-11: pairs of ports in the directory, in both databases: leases, and changes that come too late.

use protocol::id::{ObjectId, Token};
use protocol::pair::{Asker, Generation, LeaseAnswer, LeaseQuestion, Member, PAIRS_MAX, PairName, Stamp};
use protocol::vfs::{Answer, Operation, Request, VfsErrorCode};

use super::super::{Lease, MetaStore};
use super::{Fixture, name};

const LEASE_MS: u32 = 300;

fn pair() -> PairName {
    PairName::parse("site-1").unwrap()
}

fn stamp(generation: u64) -> Option<Stamp> {
    Some(Stamp { pair: pair(), generation: Generation(generation) })
}

fn acquire(from: u64, renewals: Option<u64>) -> LeaseQuestion {
    LeaseQuestion::Acquire { from: Generation(from), renewals, lease_ms: LEASE_MS }
}

fn renew(generation: u64) -> LeaseQuestion {
    LeaseQuestion::Renew { generation: Generation(generation), lease_ms: LEASE_MS }
}

fn release(generation: u64) -> LeaseQuestion {
    LeaseQuestion::Release { generation: Generation(generation), renewals: None }
}

fn granted(generation: u64, renewals: u64) -> LeaseAnswer {
    LeaseAnswer::Granted { generation: Generation(generation), lease_ms: LEASE_MS, renewals }
}

fn newer(generation: u64) -> LeaseAnswer {
    LeaseAnswer::Superseded { generation: Generation(generation) }
}

fn mkdir(parent: ObjectId, text: &str) -> Request {
    let operation = Operation::CreateFolder { parent, name: name(text), metadata: Vec::new() };
    Request { key: None, operation }
}

/// FO-11: the way of a takeover, as both databases have it; nothing of it is lost when the center is started again.
#[tokio::test]
async fn a_lease_is_waited_for_and_then_taken_over() {
    let vfs = Fixture::new().await;
    let ask = async |store: &MetaStore, member, question| {
        let answered = store.lease(vfs.customer, pair(), member, question).await.unwrap();
        let Answer::Lease(answer) = answered.answer else { panic!() };
        answer
    };
    use Member::{A, B};
    assert_eq!(ask(&vfs.store, A, acquire(0, None)).await, granted(1, 1));
    assert_eq!(ask(&vfs.store, A, acquire(0, None)).await, granted(1, 2), "its answer may have been lost");
    assert_eq!(ask(&vfs.store, B, acquire(0, None)).await, newer(1));
    let held = ask(&vfs.store, B, acquire(1, None)).await;
    let LeaseAnswer::Held { generation: Generation(1), renewals, lease_ms: LEASE_MS } = held else {
        panic!("{held:?}")
    };
    assert_eq!(ask(&vfs.store, A, renew(1)).await, granted(1, 3));
    let late = LeaseQuestion::Release { generation: Generation(1), renewals: Some(2) };
    assert_eq!(ask(&vfs.store, A, late).await, LeaseAnswer::Released, "of the lease before");
    let held = ask(&vfs.store, B, acquire(1, Some(renewals))).await;
    assert!(matches!(held, LeaseAnswer::Held { renewals: later, .. } if later > renewals), "{held:?}");

    let again = vfs.reopen().await;
    let LeaseAnswer::Held { renewals, .. } = held else { panic!() };
    assert_eq!(ask(&again, B, acquire(1, Some(renewals))).await, granted(2, 4));
    assert_eq!(ask(&again, A, renew(1)).await, newer(2));
    assert_eq!(ask(&again, A, release(1)).await, newer(2));
    assert!(matches!(ask(&again, A, acquire(2, None)).await, LeaseAnswer::Held { .. }), "B still has it");
    assert_eq!(ask(&again, B, release(2)).await, LeaseAnswer::Released);
    assert_eq!(ask(&again, A, acquire(2, None)).await, granted(3, 5));
    assert_eq!(again.access(vfs.customer).await.unwrap().pairs, Vec::from_iter(stamp(3)));
}

/// FO-11: a change that was asked for in an older generation is refused where it would be made, with the one in force.
#[tokio::test]
async fn changes_of_an_older_generation_are_refused() {
    let vfs = Fixture::new().await;
    let change = async |stamp: Option<Stamp>, text: &str| {
        let asker = Asker { customer: vfs.customer, stamp };
        let done = vfs.manager.perform(asker, mkdir(vfs.root, text), vfs.now()).await;
        done.map(drop).map_err(|error| error.code)
    };
    let superseded = |generation| Err(VfsErrorCode::Superseded(Generation(generation)));
    vfs.store.lease(vfs.customer, pair(), Member::A, acquire(0, None)).await.unwrap();
    assert_eq!(change(stamp(1), "a").await, Ok(()));
    vfs.store.lease(vfs.customer, pair(), Member::A, release(1)).await.unwrap();
    vfs.store.lease(vfs.customer, pair(), Member::B, acquire(1, None)).await.unwrap();
    assert_eq!(change(stamp(1), "b").await, superseded(2));
    assert_eq!(change(None, "b").await, Ok(()), "who is in no pair is asked for no generation");
    assert_eq!(change(stamp(2), "c").await, Ok(()));
    assert_eq!(change(stamp(5), "d").await, Ok(()), "one that is not known here is believed");
    let held = vfs.store.lease(vfs.customer, pair(), Member::A, acquire(5, None)).await.unwrap();
    assert!(matches!(held.answer, Answer::Lease(LeaseAnswer::Held { generation: Generation(5), .. })));
    assert_eq!(change(stamp(2), "e").await, superseded(5));
    let other = PairName::parse("site-2").unwrap();
    let other = Stamp { pair: other, generation: Generation(1) };
    assert_eq!(change(Some(other), "e").await, Ok(()), "another pair has generations of its own");

    let names: Vec<_> = vfs.list(vfs.root, 100).await.into_iter().filter_map(|row| row.name).collect();
    assert_eq!(names, ["a", "b", "c", "d", "e"].map(name));
}

/// FO-2, FO-11: what the active port alone may change of another pair, as the number of its mirror, a port that was replaced
/// may not; nor is it answered. Whose turn it is in their own, both may ask.
#[tokio::test]
async fn a_port_that_was_replaced_raises_no_number() {
    let vfs = Fixture::new().await;
    let number = PairName::parse("site-1-mirror").unwrap();
    let ask = async |stamp, pair, question| {
        let asker = Asker { customer: vfs.customer, stamp };
        let asked = vfs.store.lease(asker, pair, Member::A, question).await;
        asked.map(|answered| answered.answer).map_err(|failure| failure.into_vfs_error().code)
    };
    let known = || release(0);
    vfs.store.lease(vfs.customer, pair(), Member::A, acquire(0, None)).await.unwrap();
    assert_eq!(ask(stamp(1), number.clone(), known()).await, Ok(Answer::Lease(LeaseAnswer::Released)));
    assert_eq!(vfs.store.pairs().await.unwrap().len(), 1, "the question makes no pair");
    assert_eq!(ask(stamp(1), number.clone(), acquire(0, None)).await, Ok(Answer::Lease(granted(1, 1))));
    vfs.store.lease(vfs.customer, pair(), Member::A, release(1)).await.unwrap();
    vfs.store.lease(vfs.customer, pair(), Member::B, acquire(1, None)).await.unwrap();
    let superseded = Err(VfsErrorCode::Superseded(Generation(2)));
    for question in [acquire(1, None), known()] {
        assert_eq!(ask(stamp(1), number.clone(), question).await, superseded);
    }
    assert_eq!(ask(stamp(2), number, known()).await, Ok(Answer::Lease(newer(1))), "and was raised by nobody");
    assert_eq!(ask(stamp(1), pair(), renew(1)).await, Ok(Answer::Lease(newer(2))));
}

/// FO-12: a repeated change of the old active gets no answer of its first try; the new active, whose client repeats it,
/// does.
#[tokio::test]
async fn a_repeated_change_is_answered_to_the_new_active_alone() {
    let vfs = Fixture::new().await;
    let request = || Request { key: Some(Token([9; 16])), ..mkdir(vfs.root, "a") };
    let perform = |stamp| vfs.manager.perform(Asker { customer: vfs.customer, stamp }, request(), vfs.now());
    let first = perform(stamp(1)).await.unwrap();
    let Answer::Lease(LeaseAnswer::Held { renewals, .. }) =
        vfs.store.lease(vfs.customer, pair(), Member::B, acquire(1, None)).await.unwrap().answer
    else {
        panic!()
    };
    vfs.store.lease(vfs.customer, pair(), Member::B, acquire(1, Some(renewals))).await.unwrap();
    assert_eq!(perform(stamp(1)).await.unwrap_err().code, VfsErrorCode::Superseded(Generation(2)));
    assert_eq!(perform(stamp(2)).await.unwrap(), first);
}

/// FO-11: two ports that call themselves the same member are told so; leases and pairs have bounds.
#[tokio::test]
async fn what_cannot_be_is_refused() {
    let vfs = Fixture::new().await;
    let ask = async |pair: PairName, member, question| {
        let asked = vfs.store.lease(vfs.customer, pair, member, question).await;
        asked.map_err(|failure| failure.into_vfs_error().code).map(drop)
    };
    ask(pair(), Member::A, acquire(0, None)).await.unwrap();
    assert_eq!(ask(pair(), Member::B, renew(1)).await, Err(VfsErrorCode::Invalid));
    assert_eq!(ask(pair(), Member::B, release(1)).await, Err(VfsErrorCode::Invalid));
    let long = LeaseQuestion::Renew { generation: Generation(1), lease_ms: 60_001 };
    assert_eq!(ask(pair(), Member::A, long).await, Err(VfsErrorCode::Invalid));
    assert_eq!(ask(pair(), Member::A, acquire(u64::MAX, None)).await, Err(VfsErrorCode::Invalid));
    for number in 1..PAIRS_MAX {
        let name = PairName::parse(&format!("pair-{number}")).unwrap();
        ask(name, Member::A, acquire(0, None)).await.unwrap();
    }
    let one_more = PairName::parse("one-more").unwrap();
    assert_eq!(ask(one_more, Member::A, acquire(0, None)).await, Err(VfsErrorCode::Invalid));
}

/// FO-11: an operator who knows that a port is dead takes its lease back; what was in force stays so.
#[tokio::test]
async fn an_operator_releases_a_lease() {
    let vfs = Fixture::new().await;
    vfs.store.lease(vfs.customer, pair(), Member::A, acquire(0, None)).await.unwrap();
    let listed = vfs.store.pairs().await.unwrap();
    let before = Lease {
        generation: Generation(1),
        holder: Some(Member::A),
        held: true,
        renewals: 1,
        lease_ms: LEASE_MS,
    };
    assert_eq!((listed.len(), listed[0].lease), (1, before));
    let released = vfs.store.release_pair(vfs.customer, pair()).await.unwrap();
    assert_eq!(released.lease, Lease { held: false, ..before });
    let taken = vfs.store.lease(vfs.customer, pair(), Member::B, acquire(1, None)).await.unwrap();
    assert_eq!(taken.answer, Answer::Lease(granted(2, 2)));
    assert!(vfs.store.release_pair(vfs.customer, PairName::parse("other").unwrap()).await.is_err());
}
