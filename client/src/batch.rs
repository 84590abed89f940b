//! Changes that come while others are on their way travel together, in the next document (natural batching).
//!
//! [`Batch`] is pure: what waits, how many documents are away, and what may leave now. The shell below it makes the
//! documents go. The first change of an idle time leaves at once, and those that come meanwhile leave when an answer
//! returns; they wait for no timer but one: a document that is overdue, perhaps in a connection that died in silence,
//! holds up the others no longer. What a change gets is its own answer; when a document's fate says nothing about one
//! of its changes, that one is sent again alone, and few of them at one time: the center may be in trouble.
//!
//! Questions, long polls and changes with contents, for which the center asks its disks, are not gathered: they wait
//! for nothing and hold nothing up.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::pair::Stamp;
use protocol::vfs::{OPERATIONS_MAX, Operation, REQUEST_BYTES_MAX, Reply, Request, VfsErrorCode};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::center::Center;
use crate::error::ClientError;

/// Documents away at one time when the center is near: the fewer there are, the more changes share a document and a
/// COMMIT.
const AWAY_MIN: usize = 1;
/// Most documents away at one time.
const AWAY_MAX: usize = 8;
/// One more document may be away for each of these in the center's turnaround, so that over a long line changes wait
/// for milliseconds and not for a round trip.
const TURNAROUND_STEP: Duration = Duration::from_millis(4);
/// A document is overdue that is away for so many usual turnarounds, and for [`OVERDUE_MIN`].
const OVERDUE_TURNAROUNDS: u32 = 8;
/// More than a disk's slow moment.
const OVERDUE_MIN: Duration = Duration::from_millis(100);
/// Changes on their way alone at one time, of those that could have gone with others.
const ALONE_MAX: usize = 8;
/// Changes that wait. One more is sent alone.
const WAITING_MAX: usize = 4_096;
/// What an operation has besides metadata: two names of which each byte may be written as six, ids, key, words.
const OPERATION_BYTES: usize = 2 * 6 * 255 + 1_024;
/// What a document has besides operations.
const DOCUMENT_BYTES: usize = 1_024;

/// Changes that wait, and documents that are away.
struct Batch<T> {
    /// Each with the most bytes it takes in a document.
    waiting: VecDeque<(usize, T)>,
    /// At most [`AWAY_MAX`].
    away: Vec<Departure>,
    /// Of late, smoothed.
    turnaround: Duration,
}

/// When a document left, and how long it may be away before others leave in spite of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Departure {
    at: Instant,
    patience: Duration,
}

impl Departure {
    fn overdue(&self) -> Instant {
        self.at + self.patience
    }
}

impl<T> Default for Batch<T> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), away: Vec::new(), turnaround: Duration::ZERO }
    }
}

impl<T> Batch<T> {
    /// Takes a change of at most so many bytes, or gives it back: there is no room.
    fn add(&mut self, bytes: usize, change: T) -> Result<(), T> {
        if self.waiting.len() == WAITING_MAX || bytes > REQUEST_BYTES_MAX - DOCUMENT_BYTES {
            return Err(change);
        }
        self.waiting.push_back((bytes, change));
        Ok(())
    }

    /// The changes of the document that may leave now, in the order they came; it is away until
    /// [`returned`](Self::returned).
    fn depart(&mut self, now: Instant) -> Option<(Departure, Vec<T>)> {
        let on_time = self.away.iter().filter(|departure| now < departure.overdue()).count();
        if self.waiting.is_empty() || on_time >= self.away_max() || self.away.len() >= AWAY_MAX {
            return None;
        }
        let mut room = REQUEST_BYTES_MAX - DOCUMENT_BYTES;
        let mut changes = Vec::new();
        while changes.len() < OPERATIONS_MAX
            && self.waiting.front().is_some_and(|(bytes, _)| *bytes <= room)
            && let Some((bytes, change)) = self.waiting.pop_front()
        {
            room -= bytes;
            changes.push(change);
        }
        let departure =
            Departure { at: now, patience: OVERDUE_MIN.max(OVERDUE_TURNAROUNDS * self.turnaround) };
        self.away.push(departure);
        Some((departure, changes))
    }

    /// A document is back, and was answered or not.
    fn returned(&mut self, departure: Departure, now: Instant, is_answered: bool) {
        if let Some(place) = self.away.iter().position(|away| *away == departure) {
            self.away.swap_remove(place);
        }
        if is_answered {
            // One that was lost for seconds says little of what is usual.
            let turnaround = now.saturating_duration_since(departure.at).min(departure.patience);
            self.turnaround = (3 * self.turnaround + turnaround) / 4;
        }
    }

    /// Most documents that may be away and not overdue.
    fn away_max(&self) -> usize {
        // Full documents gain nothing by waiting.
        if self.waiting.len() >= OPERATIONS_MAX {
            return AWAY_MAX;
        }
        let steps = self.turnaround.as_micros() / TURNAROUND_STEP.as_micros();
        usize::try_from(steps).unwrap_or(AWAY_MAX).clamp(AWAY_MIN, AWAY_MAX)
    }
}

/// What became of a gathered change.
#[derive(Debug)]
enum Outcome {
    /// Its answer.
    Answered(Reply),
    /// The center could not be reached until the deadline.
    Failed(ClientError),
    /// Nothing is known of it yet: send it alone.
    Alone(Request),
}

/// What a document's fate means to each of its changes.
fn outcomes(requests: Vec<Request>, fate: Result<Vec<Reply>, ClientError>) -> Vec<Outcome> {
    let is_single = requests.len() == 1;
    match fate {
        Ok(replies) => requests.into_iter().zip(replies).map(outcome).collect(),
        Err(ClientError::Unavailable { endpoint, why }) => requests
            .iter()
            .map(|_| ClientError::Unavailable { endpoint: endpoint.clone(), why: why.clone() })
            .map(Outcome::Failed)
            .collect(),
        Err(error) if is_single => vec![Outcome::Failed(error)],
        // Refused as a whole, perhaps for the sake of one.
        Err(_) => requests.into_iter().map(Outcome::Alone).collect(),
    }
}

fn outcome(answered: (Request, Reply)) -> Outcome {
    match answered {
        // "Not now" is said of this one alone, and alone it is tried again.
        (request, Err(error)) if error.code == VfsErrorCode::Unavailable => Outcome::Alone(request),
        (_, reply) => Outcome::Answered(reply),
    }
}

/// Most bytes of an operation in a document; `None` if it is not to be gathered.
fn gathered_bytes(operation: &Operation) -> Option<usize> {
    let metadata = match operation {
        Operation::CreateFolder { metadata, .. } | Operation::CreateFile { metadata, upload: None, .. } => {
            metadata.len()
        }
        Operation::Update { metadata, upload: None, .. } => metadata.as_ref().map_or(0, Vec::len),
        Operation::Move { .. } | Operation::Delete { .. } => 0,
        _ => return None,
    };
    Some(OPERATION_BYTES + metadata.div_ceil(3) * 4)
}

/// The changes of a [`Center`]'s customer that wait.
pub(crate) struct Gathering {
    batch: Mutex<Batch<Waiting>>,
    alone: Semaphore,
}

impl Default for Gathering {
    fn default() -> Self {
        Self { batch: Mutex::default(), alone: Semaphore::new(ALONE_MAX) }
    }
}

/// A change or question to be sent alone, with its key, while this is held.
pub(crate) struct Alone<'a> {
    pub(crate) request: Request,
    /// Of a change that could have gone with others.
    _turn: Option<SemaphorePermit<'a>>,
}

/// A change that somebody waits for. Once he has gone it is not sent any more.
struct Waiting {
    request: Request,
    until: Instant,
    tell: oneshot::Sender<Outcome>,
}

impl Gathering {
    fn batch(&self) -> MutexGuard<'_, Batch<Waiting>> {
        self.batch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn depart(&self) -> Option<(Departure, Vec<Waiting>)> {
        self.batch().depart(Instant::now())
    }

    /// Has nothing leave that waits now; whoever waits for it hears that it was not answered.
    pub(crate) fn forget_waiting(&self) {
        self.batch().waiting.clear();
    }
}

impl Center {
    /// Does a change until `until`, together with others if some are on their way; gives the request back if it has
    /// to be sent alone.
    pub(crate) async fn change_with_others(
        &self,
        request: Request,
        until: Instant,
    ) -> Result<Result<Reply, ClientError>, Alone<'_>> {
        let Some(bytes) = gathered_bytes(&request.operation) else {
            return Err(Alone { request, _turn: None });
        };
        let (tell, told) = oneshot::channel();
        let added = self.gathering().batch().add(bytes, Waiting { request, until, tell });
        if let Err(waiting) = added {
            return self.turn_alone(waiting.request, until).await;
        }
        self.send_waiting();
        match timeout_at(until, told).await {
            Ok(Ok(Outcome::Answered(reply))) => Ok(Ok(reply)),
            Ok(Ok(Outcome::Failed(error))) => Ok(Err(error)),
            Ok(Ok(Outcome::Alone(request))) => self.turn_alone(request, until).await,
            // Late; or the runtime that carried the document has stopped.
            Ok(Err(_)) | Err(_) => Ok(Err(self.late())),
        }
    }

    /// Waits for a change's turn to be sent alone.
    async fn turn_alone(
        &self,
        request: Request,
        until: Instant,
    ) -> Result<Result<Reply, ClientError>, Alone<'_>> {
        match timeout_at(until, self.gathering().alone.acquire()).await {
            Ok(Ok(turn)) => Err(Alone { request, _turn: Some(turn) }),
            Ok(Err(_)) | Err(_) => Ok(Err(self.late())),
        }
    }

    /// Sends the documents that may leave now, each in a task of its own: whoever asked first may go, the others still
    /// want their answers.
    fn send_waiting(&self) {
        loop {
            // Before the departure, so that nothing leaves with the stamp of a later generation than it was asked for in.
            let stamp = self.stamp_now();
            let Some((departure, document)) = self.gathering().depart() else { return };
            let away = Away { center: self.clone(), stamp, departure, is_answered: false };
            // Without a runtime nobody waits any more: all is dropped.
            if let Ok(runtime) = Handle::try_current() {
                runtime.spawn(away.carry(document));
            }
        }
    }
}

/// A document that is away. Dropping it, however that comes about, lets the next one leave.
struct Away {
    center: Center,
    stamp: Option<Stamp>,
    departure: Departure,
    is_answered: bool,
}

impl Away {
    async fn carry(mut self, mut document: Vec<Waiting>) {
        document.retain(|waiting| !waiting.tell.is_closed());
        let Some(until) = document.iter().map(|waiting| waiting.until).max() else { return };
        let (requests, tell): (Vec<_>, Vec<_>) =
            document.into_iter().map(|waiting| (waiting.request, waiting.tell)).unzip();
        let fate = self.converse(&requests, until).await;
        self.is_answered = fate.is_ok();
        // The next document leaves before the answers are told.
        drop(self);
        for (tell, outcome) in tell.into_iter().zip(outcomes(requests, fate)) {
            // Who has gone needs no answer.
            let _ = tell.send(outcome);
        }
    }

    /// Has the document answered; once it is overdue, others leave meanwhile.
    async fn converse(&self, requests: &[Request], until: Instant) -> Result<Vec<Reply>, ClientError> {
        let center = self.center.with_deadline(until.saturating_duration_since(Instant::now()));
        let mut conversation = pin!(center.converse(requests, self.stamp.clone()));
        match timeout_at(self.departure.overdue(), &mut conversation).await {
            Ok(fate) => fate,
            Err(_) => {
                self.center.send_waiting();
                conversation.await
            }
        }
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        self.center.gathering().batch().returned(self.departure, Instant::now(), self.is_answered);
        self.center.send_waiting();
    }
}

#[cfg(test)]
mod tests {
    use protocol::id::{FeedPosition, ObjectId};
    use protocol::vfs::{Answer, Answered, Changed, Kind, Target, VfsError};

    use super::*;

    fn departures(batch: &mut Batch<usize>, now: Instant) -> Vec<Vec<usize>> {
        std::iter::from_fn(|| batch.depart(now)).map(|(_, changes)| changes).collect()
    }

    /// The document that left first is back at `now`.
    fn first_returns(batch: &mut Batch<usize>, now: Instant, is_answered: bool) {
        let departure = batch.away[0];
        batch.returned(departure, now, is_answered);
    }

    #[test]
    fn the_first_change_leaves_at_once_and_those_behind_it_together() {
        let (mut batch, now) = (Batch::default(), Instant::now());
        batch.add(10, 0).unwrap();
        assert_eq!(departures(&mut batch, now), [[0]]);
        (1..4).for_each(|change| batch.add(10, change).unwrap());
        assert!(departures(&mut batch, now).is_empty(), "one is away");
        let now = now + Duration::from_millis(1);
        first_returns(&mut batch, now, true);
        assert_eq!(departures(&mut batch, now), [[1, 2, 3]]);
        first_returns(&mut batch, now, false);
        assert!(departures(&mut batch, now).is_empty(), "nothing waits");
    }

    /// A document lost in silence holds up others only for as long as answers usually take, and some; no more than
    /// [`AWAY_MAX`] are ever away.
    #[test]
    fn an_overdue_document_holds_up_no_other() {
        let (mut batch, mut now) = (Batch::default(), Instant::now());
        for change in 0..=AWAY_MAX {
            batch.add(10, change).unwrap();
            let left = departures(&mut batch, now);
            if change == AWAY_MAX {
                assert!(left.is_empty(), "enough are lost");
                break;
            }
            assert_eq!(left, [[change]]);
            batch.add(10, 100).unwrap();
            now += OVERDUE_MIN - Duration::from_millis(1);
            assert!(departures(&mut batch, now).is_empty(), "{change} is not overdue yet");
            batch.waiting.clear();
            now += Duration::from_millis(1);
        }
        first_returns(&mut batch, now, true);
        assert_eq!(departures(&mut batch, now), [[AWAY_MAX]]);
        assert_eq!(batch.turnaround, OVERDUE_MIN / 4, "the lost one counts as an overdue one");
        assert_eq!(batch.away.last().unwrap().patience, 8 * OVERDUE_MIN / 4);
    }

    #[test]
    fn a_document_is_bounded_in_operations_and_in_bytes() {
        let (mut batch, now) = (Batch::default(), Instant::now());
        let large = (REQUEST_BYTES_MAX - DOCUMENT_BYTES) / 2;
        (0..2).for_each(|change| batch.add(large, change).unwrap());
        batch.add(large, 2).unwrap();
        assert_eq!(departures(&mut batch, now), [[0, 1]]);
        first_returns(&mut batch, now, false);
        assert_eq!(departures(&mut batch, now), [[2]]);
        (0..=OPERATIONS_MAX).for_each(|change| batch.add(1, change).unwrap());
        let full = departures(&mut batch, now);
        assert_eq!(
            full,
            [(0..OPERATIONS_MAX).collect::<Vec<_>>()],
            "a full document does not wait, the rest does"
        );
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut batch = Batch::default();
        assert_eq!(batch.add(REQUEST_BYTES_MAX, 7), Err(7), "too large for any document");
        (0..WAITING_MAX).for_each(|change| batch.add(1, change).unwrap());
        assert_eq!(batch.add(1, 7), Err(7));
    }

    /// Over a long line a change waits for milliseconds, not for a round trip; but never are all connections taken.
    #[test]
    fn a_slow_center_gets_more_documents_at_a_time() {
        let (mut batch, now) = (Batch::default(), Instant::now());
        let mut away_at = |turnaround: u64| {
            batch.turnaround = Duration::from_millis(turnaround);
            let mut away = Vec::new();
            for change in 0..20 {
                batch.add(1, change).unwrap();
                away.extend(departures(&mut batch, now));
            }
            batch.waiting.clear();
            batch.away.clear();
            away.len()
        };
        assert_eq!([0, 1, 40, 10_000].map(&mut away_at), [1, 1, AWAY_MAX, AWAY_MAX]);
        assert_eq!(away_at(12), 3);
    }

    fn request(number: u64) -> Request {
        let target = Target::Id(ObjectId(number));
        Request { key: None, operation: Operation::Delete { target, kind: Kind::File, recursive: false } }
    }

    fn done() -> Reply {
        let changed = Changed { row: None, before: None, created: false, removed: None, folders: Vec::new() };
        Ok(Answered { position: FeedPosition(1), answer: Answer::Changed(changed) })
    }

    fn refused(code: VfsErrorCode) -> Reply {
        Err(VfsError { code, message: String::new() })
    }

    #[test]
    fn each_change_has_its_own_outcome() {
        let replies = vec![done(), refused(VfsErrorCode::Exists), refused(VfsErrorCode::Unavailable)];
        let outcomes = outcomes((1..=3).map(request).collect(), Ok(replies));
        let [Outcome::Answered(Ok(_)), Outcome::Answered(Err(exists)), Outcome::Alone(alone)] = &outcomes[..]
        else {
            panic!("{outcomes:?}")
        };
        assert_eq!((exists.code, alone), (VfsErrorCode::Exists, &request(3)));
    }

    #[test]
    fn a_document_refused_as_a_whole_condemns_none_of_several() {
        let refused = || Err(ClientError::Invalid("too long".to_owned()));
        let of_two = outcomes(vec![request(1), request(2)], refused());
        assert!(of_two.iter().all(|outcome| matches!(outcome, Outcome::Alone(_))), "{of_two:?}");
        let of_one = outcomes(vec![request(1)], refused());
        assert!(matches!(of_one[..], [Outcome::Failed(ClientError::Invalid(_))]));
        let away = ClientError::Unavailable { endpoint: "e".to_owned(), why: "w".to_owned() };
        let of_two = outcomes(vec![request(1), request(2)], Err(away));
        assert!(
            of_two.iter().all(|outcome| matches!(outcome, Outcome::Failed(error) if error.is_unavailable()))
        );
    }
}
