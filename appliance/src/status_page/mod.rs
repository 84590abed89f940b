//! A page for a browser that says how the port is (PORT-17), and, for who has its password, lets some of it be changed.
//!
//! It shows what the control sockets answer ([`figures`]), so that page and commands never say different things. Without
//! a script it is a page like any other; with the little one it has, it takes new pieces of itself every two seconds.
//!
//! | file | what |
//! |---|---|
//! | `figures` | all that is shown, asked of the port and its judge |
//! | [`health`] | what is not well, in words (pure) |
//! | `history` | the last hour in a ring (pure) |
//! | `chart`, `view`, `words` | from figures to markup (pure) |
//! | `html` | markup that no value can become (pure) |
//! | `page.html`, `style.css`, `script.js` | what does not change |
//!
//! Whoever reaches the address reads it. Everything has a bound: [`page_server`] bounds connections and requests, figures
//! are gathered twice a second at most, the ring, the tables and the events have their lengths.

mod chart;
mod figures;
pub mod health;
mod history;
mod html;
#[cfg(test)]
mod testing;
mod view;
mod words;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use control::Operations;
use page_server::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use page_server::{
    Bounds, Bytes, Method, Request, Response, Shelf, StatusCode, plain, response, wrong_method,
};
use serde_json::json;

use self::history::History;
use self::html::Html;
use self::view::Pieces;
use crate::event_log::EventLog;
use crate::host;

/// A browser asks for a page's files side by side.
const BOUNDS: Bounds = Bounds { connections: 32, body_bytes: 4 << 10, time: Duration::from_secs(30) };
/// Figures are given to all who ask within so long.
const FIGURES_LAST: Duration = Duration::from_millis(500);

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");
const ICON: &str = include_str!("icon.svg");
const HTML: &str = "text/html; charset=utf-8";

/// With every answer. A page of somebody else's neither embeds this one nor is told of it; nothing runs here that is not
/// a file of this server; nothing is kept by a browser. `same-origin`, for without a referrer a form has no origin.
const GUARDS: [(HeaderName, &str); 4] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
         frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "same-origin"),
    (CACHE_CONTROL, "no-store"),
];

/// What a page is made of.
pub struct Parts {
    /// Where it is served.
    pub listen: SocketAddr,
    /// The state directory of the pair's judge.
    pub judge: Option<PathBuf>,
    /// What the port's control socket answers.
    pub operations: Arc<Operations>,
    /// What is worth knowing of the log.
    pub events: EventLog,
}

/// See the module.
pub struct StatusPage {
    parts: Parts,
    history: Mutex<History>,
    shelf: Shelf<Arc<Shown>>,
}

/// The port at one moment, as it is shown.
struct Shown {
    time: String,
    pieces: Pieces,
    json: Bytes,
}

impl StatusPage {
    /// Of these parts.
    pub fn new(parts: Parts) -> Arc<Self> {
        Arc::new(Self { parts, history: Mutex::default(), shelf: Shelf::new(FIGURES_LAST) })
    }

    /// Serves it until the task is dropped.
    pub async fn run(self: Arc<Self>) {
        tokio::join!(self.remember(), Arc::clone(&self).serve());
    }

    /// Keeps the last hour.
    async fn remember(&self) {
        let mut ticks = tokio::time::interval(history::EVERY);
        loop {
            ticks.tick().await;
            if let Ok(sample) = figures::sample(&self.parts.operations).await {
                self.history.lock().unwrap_or_else(PoisonError::into_inner).note(Instant::now(), sample);
            }
        }
    }

    async fn serve(self: Arc<Self>) {
        let listener =
            page_server::listen(self.parts.listen, "the status page", "`listen` of [status_page]").await;
        let answer = move |from, request| {
            let page = Arc::clone(&self);
            async move { guarded(page.answer(from, &request).await) }
        };
        page_server::serve(listener, BOUNDS, answer).await;
    }

    async fn answer(&self, _from: SocketAddr, request: &Request) -> Response {
        match request.uri().path() {
            _ if request.method() != Method::GET => wrong_method("GET"),
            "/" => self.page().await,
            "/status.json" => match self.shown().await {
                Ok(shown) => response(StatusCode::OK, "application/json", shown.json.clone()),
                Err(refused) => refused,
            },
            "/style.css" => response(StatusCode::OK, "text/css; charset=utf-8", STYLE),
            "/script.js" => response(StatusCode::OK, "text/javascript; charset=utf-8", SCRIPT),
            "/icon.svg" => response(StatusCode::OK, "image/svg+xml", ICON),
            _ => plain(StatusCode::NOT_FOUND, "there is no such page: see /\n"),
        }
    }

    async fn page(&self) -> Response {
        match self.shown().await {
            Ok(shown) => {
                let time = Html::new().text(&shown.time);
                let pieces = shown.pieces.iter().map(|(id, piece)| (*id, piece.as_str()));
                response(StatusCode::OK, HTML, filled(pieces.chain([("time", time.as_str())])))
            }
            Err(refused) => refused,
        }
    }

    /// What is shown now.
    async fn shown(&self) -> Result<Arc<Shown>, Response> {
        let shown = self.shelf.get(self.show()).await;
        shown.map_err(|why| plain(StatusCode::SERVICE_UNAVAILABLE, why + "\n"))
    }

    async fn show(&self) -> Result<Arc<Shown>, String> {
        let Parts { operations, judge, events, .. } = &self.parts;
        let figures = figures::gather(operations, judge.as_deref(), events, host::now()).await?;
        let pieces = {
            let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
            view::pieces(&figures, &history, Instant::now())
        };
        let time = words::when(figures.at);
        let markup: BTreeMap<_, _> = pieces.iter().map(|(id, piece)| (id, piece.as_str())).collect();
        let json = json!({ "time": time, "figures": figures, "pieces": markup });
        Ok(Arc::new(Shown { time, json: json.to_string().into(), pieces }))
    }
}

/// The page with these pieces at their places, and nothing at others'. No piece has a place of its own: it is escaped.
fn filled<'a>(pieces: impl Iterator<Item = (&'static str, &'a str)>) -> String {
    let pieces: BTreeMap<_, _> = pieces.collect();
    let mut parts = PAGE.split("<!--");
    let mut page = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (place, rest) = part.split_once("-->").unwrap_or((part, ""));
        page.push_str(pieces.get(place).copied().unwrap_or_default());
        page.push_str(rest);
    }
    page
}

fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in GUARDS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_put_at_their_places() {
        let page = filled([("overview", "<p>well</p>"), ("nowhere", "lost")].into_iter());
        assert!(page.contains("aria-live=\"polite\"><p>well</p></section>"), "{page}");
        assert!(!page.contains("<!--") && !page.contains("lost"));
        assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    }

    /// The policy forbids scripts and styles that stand in the page itself.
    #[test]
    fn nothing_in_the_page_is_against_its_own_policy() {
        assert!(PAGE.contains("<script src=\"/script.js\" defer></script>"));
        assert_eq!(PAGE.matches("<script").count(), 1);
        for inline in ["<style", " style=", " onclick=", " onload=", "javascript:"] {
            assert!(!PAGE.contains(inline), "{inline}");
        }
    }
}
