//! A page for a browser that says how the port is (PORT-17), and, for who has its password, lets some of it be changed.
//!
//! It shows what the control sockets answer ([`figures`]), so that page and commands never say different things. Without
//! a script it is a page like any other; with the little one it has, it takes new pieces of itself every two seconds.
//!
//! | file | what |
//! |---|---|
//! | `figures` | all that is shown, asked of the port and its judge |
//! | `health` | what is not well, in words (pure) |
//! | `history` | what is kept of the last hour (pure) |
//! | `view` | from figures to markup (pure) |
//! | [`page_server::page`] | the ring, charts, words, markup that no value can become: as any status page has them |
//! | `page.html`, `login.html` | what does not change |
//! | `door` | who may change something |
//! | [`password`], `sessions`, `throttle`, `form` | its parts (pure) |
//! | `actions` | what may be changed |
//!
//! Whoever reaches the address reads it. Everything has a bound: [`page_server`] bounds connections and requests, figures
//! are gathered twice a second at most, the ring, the tables and the events have their lengths.

mod actions;
mod door;
mod figures;
mod form;
mod health;
mod history;
pub mod password;
mod sessions;
#[cfg(test)]
mod testing;
mod throttle;
mod view;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use control::Operations;
use page_server::header::{HeaderValue, LOCATION, RETRY_AFTER, SET_COOKIE};
use page_server::page::event_log::EventLog;
use page_server::page::html::Html;
use page_server::page::shown::Shown;
use page_server::page::{self, history as ring};
use page_server::{Bounds, Method, Request, Response, Shelf, StatusCode, plain, response, wrong_method};
use tokio_rustls::TlsAcceptor;

use self::actions::Action;
use self::door::{Door, Refused};
use self::figures::Figures;
use self::history::History;
use self::password::PasswordHash;
use self::sessions::Token;
use crate::host;

/// A browser asks for a page's files side by side.
const BOUNDS: Bounds = Bounds { connections: 32, body_bytes: 4 << 10, time: Duration::from_secs(30) };
/// Figures are given to all who ask within so long.
const FIGURES_LAST: Duration = Duration::from_millis(500);

/// Of these modules what is only worth knowing is kept as well: who serves, whether the other port and the center are
/// there, what an operator did.
const TELLING: [&str; 4] =
    ["appliance::pair", "appliance::mirror", "appliance::directory_cache::feed", "appliance::status_page"];

const PAGE: &str = include_str!("page.html");
const LOGIN: &str = include_str!("login.html");

/// The last events of the log, for the page: none yet.
pub fn event_log() -> EventLog {
    EventLog::new(&TELLING, || host::now().0)
}

/// What a page is made of.
pub struct Parts {
    /// Where it is served.
    pub listen: SocketAddr,
    /// With TLS, or in plain HTTP.
    pub tls: Option<TlsAcceptor>,
    /// The state directory of the pair's judge.
    pub judge: Option<PathBuf>,
    /// What the port's control socket answers.
    pub operations: Arc<Operations>,
    /// What is worth knowing of the log.
    pub events: EventLog,
    /// Of the password for what changes something; without it nothing is changed here.
    pub password: Option<PasswordHash>,
}

/// See the module.
pub struct StatusPage {
    parts: Parts,
    door: Option<Door>,
    history: Mutex<History>,
    shelf: Shelf<Arc<Shown<Figures>>>,
}

impl StatusPage {
    /// Of these parts.
    pub fn new(parts: Parts) -> Arc<Self> {
        let door = parts.password.clone().map(|hash| Door::new(hash, parts.tls.is_some()));
        Arc::new(Self { parts, door, history: Mutex::default(), shelf: Shelf::new(FIGURES_LAST) })
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
            if let Ok(sample) = figures::sample(&self.parts.operations).await {
                self.history.lock().unwrap_or_else(PoisonError::into_inner).note(Instant::now(), sample);
            }
        }
    }

    async fn serve(self: Arc<Self>) {
        let listener =
            page_server::listen(self.parts.listen, "the status page", "`listen` of [status_page]").await;
        let tls = self.parts.tls.clone();
        let answer = move |from, request| {
            let page = Arc::clone(&self);
            async move { page::guarded(page.answer(from, &request).await) }
        };
        page_server::serve(listener, tls, BOUNDS, answer).await;
    }

    async fn answer(&self, from: SocketAddr, request: &Request) -> Response {
        match *request.method() {
            Method::GET => self.look(request).await,
            Method::POST => self.change(from, request).await,
            _ => wrong_method("GET, POST"),
        }
    }

    async fn look(&self, request: &Request) -> Response {
        match request.uri().path() {
            "/" => self.page(request).await,
            "/status.json" => match self.shown().await {
                Ok(shown) => shown.json(),
                Err(refused) => refused,
            },
            "/login" if self.door.is_some() => login_page(StatusCode::OK, None),
            path => page::file(path)
                .unwrap_or_else(|| plain(StatusCode::NOT_FOUND, "there is no such page: see /\n")),
        }
    }

    async fn page(&self, request: &Request) -> Response {
        let shown = match self.shown().await {
            Ok(shown) => shown,
            Err(refused) => return refused,
        };
        let (actions, note) = self.of_session(request, shown.figures());
        let note = note.map(|note| notice(&note)).unwrap_or_default();
        response(StatusCode::OK, page::HTML, shown.page(PAGE, &[("actions", &actions), ("notice", &note)]))
    }

    /// What this one may do, and what he is to be told.
    fn of_session(&self, request: &Request, figures: &Figures) -> (Html, Option<String>) {
        let Some(door) = &self.door else {
            let nothing = "<p>Nothing can be changed here, for no password_hash_file is configured.</p>";
            return (Html::new().raw(nothing), None);
        };
        match door.session(request.headers()) {
            Some(token) => {
                let buttons = actions::buttons(figures.status.pair.is_some(), &figures.judge);
                (buttons, door.sessions().take_note(&token))
            }
            None => (Html::new().raw("<p><a href=\"/login\">Log in to change something</a></p>"), None),
        }
    }

    /// What a form asks for.
    async fn change(&self, from: SocketAddr, request: &Request) -> Response {
        let Some(door) = &self.door else {
            return forbidden("nothing is changed here: no password_hash_file is configured\n");
        };
        if !door.is_from_own_page(request.headers()) {
            return forbidden("asked by a page of another server, or of none\n");
        }
        let path = request.uri().path();
        if path == "/login" {
            return login(door, from, request.body()).await;
        }
        let Some(token) = door.session(request.headers()) else {
            return forbidden("log in first, at /login\n");
        };
        if path == "/logout" {
            door.sessions().close(&token);
            return home(&door.no_cookie());
        }
        match Action::ALL.into_iter().find(|action| action.path() == path) {
            Some(action) => {
                self.act(door, from, &token, action).await;
                see("/")
            }
            None => plain(StatusCode::NOT_FOUND, "there is no such action\n"),
        }
    }

    /// Does it, and leaves word of it.
    async fn act(&self, door: &Door, from: SocketAddr, token: &Token, action: Action) {
        let Parts { operations, judge, .. } = &self.parts;
        let (from, wanted) = (from.ip(), action.label());
        let note = match action.carry_out(operations, judge.as_deref()).await {
            Ok(done) => {
                tracing::info!(%from, "{wanted}, an operator said on the status page: {done}");
                format!("Done: {done}")
            }
            Err(why) => {
                tracing::warn!(%from, "{wanted}, an operator said on the status page, but: {why}");
                format!("Not done: {why}")
            }
        };
        door.sessions().leave(token, note);
    }

    /// What is shown now.
    async fn shown(&self) -> Result<Arc<Shown<Figures>>, Response> {
        let shown = self.shelf.get(self.show()).await;
        shown.map_err(|why| plain(StatusCode::SERVICE_UNAVAILABLE, why + "\n"))
    }

    async fn show(&self) -> Result<Arc<Shown<Figures>>, String> {
        let Parts { operations, judge, events, .. } = &self.parts;
        let figures = figures::gather(operations, judge.as_deref(), events, host::now()).await?;
        let pieces = {
            let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
            view::pieces(&figures, &history, Instant::now())
        };
        Ok(Arc::new(Shown::new(figures.at, figures, pieces)))
    }
}

/// Lets somebody in who knows the password.
async fn login(door: &Door, from: SocketAddr, body: &[u8]) -> Response {
    let from = from.ip();
    match door.enter(from, form::field(body, "password").unwrap_or_default()).await {
        Ok(token) => {
            tracing::info!(%from, "somebody has logged in");
            home(&door.cookie(&token))
        }
        Err(Refused::Wrong) => {
            tracing::warn!(%from, "somebody said a wrong password");
            login_page(StatusCode::FORBIDDEN, Some("That is not the password."))
        }
        Err(Refused::Wait(wait)) => {
            // Whole seconds, and none too few.
            let seconds = wait.as_secs() + 1;
            let why = format!(
                "Too many wrong passwords came from your address: try again in {}.",
                page::words::span(seconds)
            );
            let mut refused = login_page(StatusCode::TOO_MANY_REQUESTS, Some(&why));
            refused.headers_mut().insert(RETRY_AFTER, seconds.into());
            refused
        }
    }
}

fn login_page(status: StatusCode, why: Option<&str>) -> Response {
    let notice = why.map(notice).unwrap_or_default();
    response(status, page::HTML, page::filled(LOGIN, [("notice", notice.as_str())].into_iter()))
}

fn notice(text: &str) -> Html {
    Html::new().raw("<p role=\"status\" class=\"attention\">").text(text).raw("</p>")
}

fn forbidden(why: &'static str) -> Response {
    plain(StatusCode::FORBIDDEN, why)
}

/// Sends a browser elsewhere, so that nothing is asked for again when he loads the page again.
fn see(path: &'static str) -> Response {
    let mut response = plain(StatusCode::SEE_OTHER, "");
    response.headers_mut().insert(LOCATION, HeaderValue::from_static(path));
    response
}

/// The same, with a cookie.
fn home(cookie: &str) -> Response {
    let mut response = see("/");
    // Of letters and digits alone.
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_put_at_their_places() {
        let page = page::filled(PAGE, [("overview", "<p>well</p>"), ("nowhere", "lost")].into_iter());
        assert!(page.contains("aria-live=\"polite\"><p>well</p></section>"), "{page}");
        assert!(!page.contains("<!--") && !page.contains("lost"));
        assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    }

    /// The policy forbids scripts and styles that stand in the page itself.
    #[test]
    fn nothing_in_the_page_is_against_its_own_policy() {
        assert!(PAGE.contains("<script src=\"/script.js\" defer></script>"));
        assert_eq!(PAGE.matches("<script").count(), 1);
        assert!(!LOGIN.contains("<script"));
        for inline in ["<style", " style=", " onclick=", " onload=", "javascript:"] {
            assert!(!PAGE.contains(inline) && !LOGIN.contains(inline), "{inline}");
        }
    }
}
