//! A page for a browser that says how the storage center is, as one of its processes sees it. It shows what the control
//! socket answers, so that page and commands never say different things, and changes nothing.
//!
//! | file | what |
//! |---|---|
//! | `figures` | all that is shown |
//! | `health` | what is not well, in words (pure) |
//! | `history` | what is kept of the last hour (pure) |
//! | `view` | from figures to markup (pure) |
//! | [`page_server::page`] | the ring, charts, words, markup that no value can become: as any status page has them |
//! | `page.html` | what does not change |
//!
//! Whoever reaches the address reads it. Everything has a bound: [`page_server`] bounds connections and requests, figures
//! are gathered once in two seconds at most, the ring, the tables and the events have their lengths.

mod figures;
mod health;
mod history;
#[cfg(test)]
mod testing;
mod view;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use page_server::page::event_log::EventLog;
use page_server::page::shown::Shown;
use page_server::page::{self, history as ring};
use page_server::{Bounds, Method, Request, Response, Shelf, StatusCode, plain, response, wrong_method};
use tokio_rustls::TlsAcceptor;

use self::figures::{Figures, gather};
use self::history::{History, Sample};
use crate::control::Answering;
use crate::host;

/// A browser asks for a page's files side by side.
const BOUNDS: Bounds = Bounds { connections: 32, body_bytes: 0, time: Duration::from_secs(30) };
/// Figures are given to all who ask within so long: every process of the cluster is asked for them.
const FIGURES_LAST: Duration = Duration::from_secs(2);

/// Of these modules what is only worth knowing is kept as well: which processes come and go, who writes the directory, what
/// was mended.
const TELLING: [&str; 4] = ["center::cluster", "center::isn", "center::serve", "center::status_page"];

const PAGE: &str = include_str!("page.html");

/// The last events of the log, for the page: none yet.
pub fn event_log() -> EventLog {
    EventLog::new(&TELLING, || host::now().0)
}

/// See the module.
pub struct StatusPage {
    listen: SocketAddr,
    tls: Option<TlsAcceptor>,
    answering: Answering,
    events: EventLog,
    history: Mutex<History>,
    shelf: Shelf<Arc<Shown<Figures>>>,
}

impl StatusPage {
    /// Of what `answering` says and `events` keeps, to be served at `listen`.
    pub fn new(
        listen: SocketAddr,
        tls: Option<TlsAcceptor>,
        answering: Answering,
        events: EventLog,
    ) -> Arc<Self> {
        let (history, shelf) = (Mutex::default(), Shelf::new(FIGURES_LAST));
        Arc::new(Self { listen, tls, answering, events, history, shelf })
    }

    /// Serves it until the task is dropped.
    pub async fn run(self: Arc<Self>) {
        tokio::join!(self.remember(), Arc::clone(&self).serve());
    }

    /// Keeps the last hour.
    async fn remember(&self) {
        let mut ticks = tokio::time::interval(ring::EVERY);
        loop {
            ticks.tick().await;
            if let Ok(figures) = gather(&self.answering, &self.events, host::now()).await {
                let sample = Sample::of(&figures.status);
                self.history.lock().unwrap_or_else(PoisonError::into_inner).note(Instant::now(), sample);
            }
        }
    }

    async fn serve(self: Arc<Self>) {
        let listener = page_server::listen(self.listen, "the status page", "`listen` of [status_page]").await;
        let tls = self.tls.clone();
        let answer = move |_, request| {
            let page = Arc::clone(&self);
            async move { page::guarded(page.answer(&request).await) }
        };
        page_server::serve(listener, tls, BOUNDS, answer).await;
    }

    async fn answer(&self, request: &Request) -> Response {
        if *request.method() != Method::GET {
            return wrong_method("GET");
        }
        let path = request.uri().path();
        if let Some(file) = page::file(path) {
            return file;
        }
        let shown = match path {
            "/" | "/status.json" => self.shelf.get(self.show()).await,
            _ => return plain(StatusCode::NOT_FOUND, "there is no such page: see /\n"),
        };
        match shown {
            Ok(shown) if path == "/" => response(StatusCode::OK, page::HTML, shown.page(PAGE, &[])),
            Ok(shown) => shown.json(),
            Err(why) => plain(StatusCode::SERVICE_UNAVAILABLE, why + "\n"),
        }
    }

    async fn show(&self) -> Result<Arc<Shown<Figures>>, String> {
        let figures = gather(&self.answering, &self.events, host::now()).await?;
        let pieces = {
            let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
            view::pieces(&figures, &history, Instant::now())
        };
        Ok(Arc::new(Shown::new(figures.at, figures, pieces)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_has_its_place() {
        let pieces = view::pieces(&testing::figures(), &History::default(), Instant::now());
        for id in pieces.keys() {
            assert!(PAGE.contains(&format!("<!--{id}-->")), "{id}");
        }
        assert_eq!(PAGE.matches("<!--").count(), pieces.len() + 1);
    }

    /// The policy forbids scripts and styles that stand in the page itself.
    #[test]
    fn nothing_in_the_page_is_against_its_own_policy() {
        assert_eq!(PAGE.matches("<script").count(), 1);
        assert!(PAGE.contains("<script src=\"/script.js\" defer></script>"));
        for inline in ["<style", " style=", " onclick=", " onload=", "javascript:"] {
            assert!(!PAGE.contains(inline), "{inline}");
        }
    }
}
