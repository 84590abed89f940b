//! Whether a server answers its clients. Of two servers that share an address only one is on duty; the other has its
//! sockets open and waits.
//!
//! A server off duty answers what a probe asks: NULL of every program, and of NFS what its file system allows. When a
//! time of duty ends, the connections that saw it are closed without another byte: calls in progress get no answer.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// How long a call waits for a time of duty to begin, before the file system says that it has none. A client that was
/// faster than the handover is served by then; told to come again it would stay away for seconds.
const PATIENCE: Duration = Duration::from_millis(300);

/// The number of the time of duty, if there is one now. Whoever commands the server holds the sender; each time of duty
/// has another number.
pub type Term = Option<u64>;

/// A server's view of its duty. The default is to be always on it.
#[derive(Clone, Debug, Default)]
pub struct Duty(Option<watch::Receiver<Term>>);

impl Duty {
    /// Follows `terms`.
    pub const fn following(terms: watch::Receiver<Term>) -> Self {
        Self(Some(terms))
    }

    /// Whether clients are answered now.
    pub fn is_on(&self) -> bool {
        self.0.as_ref().is_none_or(|terms| terms.borrow().is_some())
    }

    /// The present time of duty; `None` too for a server that is always on duty.
    pub fn term(&self) -> Term {
        self.0.as_ref().and_then(|terms| *terms.borrow())
    }

    /// Whether it ever ends or begins.
    pub(crate) const fn changes(&self) -> bool {
        self.0.is_some()
    }

    /// Waits a little for a time of duty, if there is none.
    pub(crate) async fn awaited(&self) {
        if let Some(terms) = &self.0
            && terms.borrow().is_none()
        {
            // Without one the file system answers what is to be answered then.
            awaited(terms, PATIENCE).await;
        }
    }

    /// Waits for a time of duty: the watch on it. At once for a server that is always on duty.
    pub async fn begun(&self) -> Watch {
        let Some(terms) = &self.0 else { return Watch { terms: None, term: None } };
        let mut terms = terms.clone();
        match terms.wait_for(Option::is_some).await.map(|term| *term) {
            Ok(term) => Watch { terms: Some(terms), term },
            // Nobody is left to say that it begins.
            Err(_) => std::future::pending().await,
        }
    }

    /// What ends with the present time of duty, or with the next one to begin.
    pub(crate) fn watch(&self) -> Watch {
        Watch { terms: self.0.clone(), term: self.term() }
    }
}

/// Waits for what comes with a time of duty, for so long at most.
pub(crate) async fn awaited<T: Clone>(present: &watch::Receiver<Option<T>>, patience: Duration) -> Option<T> {
    let mut present = present.clone();
    let came = timeout(patience, present.wait_for(Option::is_some)).await;
    came.ok()?.ok()?.clone()
}

/// What ends with a time of duty.
#[derive(Debug)]
pub struct Watch {
    terms: Option<watch::Receiver<Term>>,
    term: Term,
}

impl Watch {
    /// Whether it has ended. Cheap where nothing has changed.
    pub fn is_over(&mut self) -> bool {
        let Some(terms) = &mut self.terms else { return false };
        if !terms.has_changed().unwrap_or(false) {
            return false;
        }
        let now = *terms.borrow_and_update();
        let seen = self.term;
        self.term = seen.or(now);
        seen.is_some() && now != seen
    }

    /// Waits until it has ended.
    pub async fn over(&mut self) {
        while !self.is_over() {
            let Some(terms) = &mut self.terms else { return std::future::pending().await };
            let mut next = terms.clone();
            if next.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    /// FO-2: a connection of one time of duty does not outlive it, one that was open before it belongs to it.
    #[tokio::test]
    async fn a_watch_ends_with_the_term_it_saw() {
        let terms = watch::Sender::new(None);
        let duty = Duty::following(terms.subscribe());
        let mut before = duty.watch();
        assert!(before.over().now_or_never().is_none(), "no duty, nothing to end");
        terms.send_replace(Some(1));
        let mut within = duty.watch();
        assert!(!before.is_over() && !within.is_over());
        terms.send_replace(None);
        before.over().await;
        within.over().await;
    }

    /// FO-2: a duty that ended and began again between two looks is another one.
    #[tokio::test]
    async fn the_next_term_is_another() {
        let terms = watch::Sender::new(Some(1));
        let mut watched = Duty::following(terms.subscribe()).watch();
        terms.send_replace(None);
        terms.send_replace(Some(2));
        watched.over().await;
    }

    #[tokio::test]
    async fn a_call_waits_for_duty_and_not_for_ever() {
        let terms = watch::Sender::new(None);
        let duty = Duty::following(terms.subscribe());
        duty.awaited().await;
        let mut waiting = std::pin::pin!(duty.awaited());
        assert!(waiting.as_mut().now_or_never().is_none());
        terms.send_replace(Some(1));
        waiting.await;
        Duty::default().awaited().await;
        let mut begun = duty.begun().await;
        assert!(!begun.is_over());
        terms.send_replace(None);
        assert!(begun.is_over());
        assert!(!Duty::default().begun().await.is_over());
    }
}
