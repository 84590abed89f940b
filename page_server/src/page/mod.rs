//! What status pages are made of. Who has figures renders them into pieces of markup, each with the id of its place on a
//! page; [`filled`] puts them there, and the script takes new ones from `/status.json` every two seconds.
//!
//! | file | what |
//! |---|---|
//! | [`html`] | markup that no value can become (pure) |
//! | [`parts`], [`chart`], [`words`] | facts, tables, curves, times for people (pure) |
//! | [`history`] | the last hour in a ring (pure) |
//! | [`shown`] | what is shown at one moment, as a page and for its script (pure) |
//! | [`health`] | whether all is well, the worst first (pure) |
//! | [`event_log`] | the last events of the log |
//! | `style.css`, `script.js`, `icon.svg` | what does not change |

pub mod chart;
pub mod event_log;
pub mod health;
pub mod history;
pub mod html;
pub mod parts;
pub mod shown;
pub mod words;

use std::collections::BTreeMap;

use crate::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use crate::{Response, StatusCode, response};

/// The media type of a page.
pub const HTML: &str = "text/html; charset=utf-8";

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");
const ICON: &str = include_str!("icon.svg");

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

/// What every page has beside it, if it is at this path.
pub fn file(path: &str) -> Option<Response> {
    let (media_type, text) = match path {
        "/style.css" => ("text/css; charset=utf-8", STYLE),
        "/script.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "/icon.svg" => ("image/svg+xml", ICON),
        _ => return None,
    };
    Some(response(StatusCode::OK, media_type, text))
}

/// A page with these pieces at their places, and nothing at others'. No piece has a place of its own: it is escaped.
pub fn filled<'a>(page: &str, pieces: impl Iterator<Item = (&'static str, &'a str)>) -> String {
    let pieces: BTreeMap<_, _> = pieces.collect();
    let mut parts = page.split("<!--");
    let mut page = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (place, rest) = part.split_once("-->").unwrap_or((part, ""));
        page.push_str(pieces.get(place).copied().unwrap_or_default());
        page.push_str(rest);
    }
    page
}

/// An answer with the lines that keep others from it.
pub fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in GUARDS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
