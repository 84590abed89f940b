//! Changes that come while others are on their way travel together, in the next document (natural batching).
//!
//! [`Batch`] is pure: what waits, how many documents are away, and what may leave now. The shell below it makes the
//! documents go. Nothing ever waits for a timer: the first change of an idle time leaves at once, and those that come
//! meanwhile leave when an answer returns. What a change gets is its own answer; when a document's fate says nothing
//! about one of its changes, that one is sent again alone.
//!
//! Questions, long polls and changes with contents, for which the center asks its disks, are not gathered: they wait
//! for nothing and hold nothing up.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::vfs::{OPERATIONS_MAX, Operation, REQUEST_BYTES_MAX, Reply, Request, VfsErrorCode};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
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
    away: usize,
    /// Of late, smoothed.
    turnaround: Duration,
}

impl<T> Default for Batch<T> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), away: 0, turnaround: Duration::ZERO }
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
    fn depart(&mut self) -> Option<Vec<T>> {
        if self.waiting.is_empty() || self.away >= self.away_max() {
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
        self.away += 1;
        Some(changes)
    }

    /// A document is back; `turnaround` if it was answered.
    fn returned(&mut self, turnaround: Option<Duration>) {
        self.away -= 1;
        if let Some(turnaround) = turnaround {
            self.turnaround = (3 * self.turnaround + turnaround) / 4;
        }
    }

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
#[derive(Default)]
pub(crate) struct Gathering(Mutex<Batch<Waiting>>);

/// A change that somebody waits for. Once he has gone it is not sent any more.
struct Waiting {
    request: Request,
    until: Instant,
    tell: oneshot::Sender<Outcome>,
}

impl Gathering {
    fn batch(&self) -> MutexGuard<'_, Batch<Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Center {
    /// Does a change until `until`, together with others if some are on their way; gives the request back if it has
    /// to be sent alone.
    pub(crate) async fn change_with_others(
        &self,
        request: Request,
        until: Instant,
    ) -> Result<Result<Reply, ClientError>, Request> {
        let Some(bytes) = gathered_bytes(&request.operation) else { return Err(request) };
        let (tell, told) = oneshot::channel();
        let document = {
            let mut batch = self.gathering().batch();
            batch.add(bytes, Waiting { request, until, tell }).map_err(|waiting| waiting.request)?;
            batch.depart()
        };
        if let Some(document) = document {
            self.send_off(document);
        }
        match timeout_at(until, told).await {
            Ok(Ok(Outcome::Answered(reply))) => Ok(Ok(reply)),
            Ok(Ok(Outcome::Failed(error))) => Ok(Err(error)),
            Ok(Ok(Outcome::Alone(request))) => Err(request),
            // Late; or the runtime that carried the document has stopped.
            Ok(Err(_)) | Err(_) => Ok(Err(self.late())),
        }
    }

    /// In a task of its own: whoever asked first may go, the others still want their answers.
    fn send_off(&self, document: Vec<Waiting>) {
        let away = Away { center: self.clone(), turnaround: None };
        // Without a runtime nobody waits any more: all is dropped.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(away.carry(document));
        }
    }
}

/// A document that is away. Dropping it, however that comes about, lets the next one leave.
struct Away {
    center: Center,
    turnaround: Option<Duration>,
}

impl Away {
    async fn carry(mut self, mut document: Vec<Waiting>) {
        document.retain(|waiting| !waiting.tell.is_closed());
        let Some(until) = document.iter().map(|waiting| waiting.until).max() else { return };
        let (requests, tell): (Vec<_>, Vec<_>) =
            document.into_iter().map(|waiting| (waiting.request, waiting.tell)).unzip();
        let began = Instant::now();
        let fate =
            self.center.with_deadline(until.saturating_duration_since(began)).converse(&requests).await;
        self.turnaround = fate.is_ok().then(|| began.elapsed());
        // The next document leaves before the answers are told.
        drop(self);
        for (tell, outcome) in tell.into_iter().zip(outcomes(requests, fate)) {
            // Who has gone needs no answer.
            let _ = tell.send(outcome);
        }
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        self.center.gathering().batch().returned(self.turnaround);
        loop {
            let document = self.center.gathering().batch().depart();
            let Some(document) = document else { return };
            self.center.send_off(document);
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::id::{FeedPosition, ObjectId};
    use protocol::vfs::{Answer, Answered, Changed, Kind, Target, VfsError};

    use super::*;

    fn departures(batch: &mut Batch<usize>) -> Vec<Vec<usize>> {
        std::iter::from_fn(|| batch.depart()).collect()
    }

    #[test]
    fn the_first_change_leaves_at_once_and_those_behind_it_together() {
        let mut batch = Batch::default();
        batch.add(10, 0).unwrap();
        assert_eq!(departures(&mut batch), [[0]]);
        (1..4).for_each(|change| batch.add(10, change).unwrap());
        assert!(departures(&mut batch).is_empty(), "one is away");
        batch.returned(Some(Duration::from_millis(1)));
        assert_eq!(departures(&mut batch), [[1, 2, 3]]);
        batch.returned(None);
        assert!(departures(&mut batch).is_empty(), "nothing waits");
    }

    #[test]
    fn a_document_is_bounded_in_operations_and_in_bytes() {
        let mut batch = Batch::default();
        let large = (REQUEST_BYTES_MAX - DOCUMENT_BYTES) / 2;
        (0..2).for_each(|change| batch.add(large, change).unwrap());
        batch.add(large, 2).unwrap();
        assert_eq!(departures(&mut batch), [[0, 1]]);
        batch.returned(None);
        assert_eq!(departures(&mut batch), [[2]]);
        (0..=OPERATIONS_MAX).for_each(|change| batch.add(1, change).unwrap());
        let full = departures(&mut batch);
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
        let mut batch = Batch::default();
        let mut away_at = |turnaround: u64| {
            batch.turnaround = Duration::from_millis(turnaround);
            let mut away = Vec::new();
            for change in 0..20 {
                batch.add(1, change).unwrap();
                away.extend(departures(&mut batch));
            }
            batch.waiting.clear();
            batch.away = 0;
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
