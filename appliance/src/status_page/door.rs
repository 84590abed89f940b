//! Who may change something: who has said the password lately, and says so by a page of this server.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use page_server::HeaderMap;
use page_server::header::{COOKIE, HOST, ORIGIN};

use super::password::PasswordHash;
use super::sessions::{LIFE, Sessions, Token};
use super::throttle::Throttle;
use crate::host;

/// The cookie's name. Cookies know no ports, so it is not one that others have.
const COOKIE_NAME: &str = "storage_port_session";

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is not the password.
    Wrong,
    /// After too many wrong ones: not before so long.
    Wait(Duration),
}

/// See the module.
pub struct Door {
    hash: PasswordHash,
    /// The page is served with TLS.
    is_secure: bool,
    sessions: Mutex<Sessions>,
    throttle: Mutex<Throttle>,
    /// Hashing takes memory and a processor: one at a time, whoever asks.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Door {
    /// For who knows the password of this hash.
    pub fn new(hash: PasswordHash, is_secure: bool) -> Self {
        Self { hash, is_secure, sessions: Mutex::default(), throttle: Mutex::default(), turn: Arc::default() }
    }

    /// Opens a session for who says the right password.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn enter(&self, from: IpAddr, password: Vec<u8>) -> Result<Token, Refused> {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        let now = Instant::now();
        {
            let mut throttle = self.throttle();
            throttle.check(now, from).map_err(Refused::Wait)?;
            // Until it is known to be right: who hangs up meanwhile has tried all the same.
            throttle.failed(now, from);
        }
        let hash = self.hash.clone();
        let check = move || {
            let is_right = hash.is_of(&password);
            drop(turn);
            is_right
        };
        if !tokio::task::spawn_blocking(check).await.unwrap_or(false) {
            return Err(Refused::Wrong);
        }
        self.throttle().succeeded(from);
        let token = Token(host::random());
        self.sessions().open(Instant::now(), token);
        Ok(token)
    }

    /// The open session that a request shows.
    pub fn session(&self, headers: &HeaderMap) -> Option<Token> {
        let cookies = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
        let mut values = cookies.flat_map(|line| line.split(';')).filter_map(|cookie| {
            let (name, value) = cookie.trim().split_once('=')?;
            if name == COOKIE_NAME { Token::parse(value) } else { None }
        });
        values.find(|token| self.sessions().is_open(Instant::now(), token))
    }

    /// The line that gives a session to a browser: no script reads it, and no other site's page has it sent.
    pub fn cookie(&self, token: &Token) -> String {
        self.line(&token.to_string(), LIFE)
    }

    /// The line that takes it away.
    pub fn no_cookie(&self) -> String {
        self.line("", Duration::ZERO)
    }

    fn line(&self, value: &str, life: Duration) -> String {
        let secure = if self.is_secure { "; Secure" } else { "" };
        format!(
            "{COOKIE_NAME}={value}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict{secure}",
            life.as_secs()
        )
    }

    /// Whether a request comes from a page of this server, as every browser says of what changes something.
    pub fn is_from_own_page(&self, headers: &HeaderMap) -> bool {
        let scheme = if self.is_secure { "https://" } else { "http://" };
        match (headers.get(ORIGIN), headers.get(HOST)) {
            (Some(origin), Some(host)) => {
                origin.as_bytes().strip_prefix(scheme.as_bytes()) == Some(host.as_bytes())
            }
            _ => false,
        }
    }

    /// The sessions.
    pub fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn throttle(&self) -> MutexGuard<'_, Throttle> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use page_server::header::HeaderName;

    use super::*;

    const PASSWORD: &[u8] = b"correct horse";

    fn headers(lines: &[(HeaderName, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    fn door(is_secure: bool) -> Door {
        Door::new(PasswordHash::of(PASSWORD, [7; 16]).unwrap(), is_secure)
    }

    #[tokio::test]
    async fn a_session_is_known_by_its_cookie() {
        let door = door(false);
        let from = IpAddr::from([192, 0, 2, 1]);
        assert!(matches!(door.enter(from, b"wrong horse".to_vec()).await, Err(Refused::Wrong)));
        let token = door.enter(from, PASSWORD.to_vec()).await.ok().unwrap();
        let line = door.cookie(&token);
        let (pair, attributes) = line.split_once("; ").unwrap();
        assert_eq!(attributes, "Path=/; Max-Age=1800; HttpOnly; SameSite=Strict");
        let shown = |line: &str| door.session(&headers(&[(COOKIE, line)]));
        assert!(shown(pair).is_some() && shown(&format!("a=b; {pair}; c=d")).is_some());
        let other = format!("{COOKIE_NAME}={}", Token([0; 32]));
        for line in
            ["", "storage_port_session", "storage_port_session=1", &other, &pair.replace("session", "x")]
        {
            assert!(shown(line).is_none(), "{line}");
        }
        door.sessions().close(&token);
        assert!(shown(pair).is_none());
    }

    /// Who tries many has to wait, with the right password as well.
    #[tokio::test]
    async fn guesses_are_slowed_down_by_address() {
        let door = door(false);
        let [guesser, other] = [[192, 0, 2, 1], [192, 0, 2, 2]].map(IpAddr::from);
        for _ in 0..5 {
            assert!(matches!(door.enter(guesser, b"x".to_vec()).await, Err(Refused::Wrong)));
        }
        assert!(matches!(door.enter(guesser, PASSWORD.to_vec()).await, Err(Refused::Wait(_))));
        assert!(door.enter(other, PASSWORD.to_vec()).await.is_ok());
    }

    #[test]
    fn only_a_page_of_this_server_may_ask_for_changes() {
        let (plain, secure) = (door(false), door(true));
        let asks = |lines: &[_]| plain.is_from_own_page(&headers(lines));
        let host = (HOST, "192.0.2.1:9820");
        assert!(asks(&[host.clone(), (ORIGIN, "http://192.0.2.1:9820")]));
        for origin in
            ["null", "http://192.0.2.1", "http://evil.example", "192.0.2.1:9820", "file://192.0.2.1:9820"]
        {
            assert!(!asks(&[host.clone(), (ORIGIN, origin)]), "{origin}");
        }
        let by_tls = headers(&[host.clone(), (ORIGIN, "https://192.0.2.1:9820")]);
        assert!(secure.is_from_own_page(&by_tls) && !plain.is_from_own_page(&by_tls));
        assert!(secure.cookie(&Token([0; 32])).ends_with("; SameSite=Strict; Secure"));
        assert!(!asks(&[host]) && !asks(&[(ORIGIN, "http://192.0.2.1:9820")]) && !asks(&[]));
    }
}
