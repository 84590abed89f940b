//! What is shown at one moment: as a page for who comes, and as `/status.json` for its script and for programs. Pure.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;
use serde_json::json;

use super::html::Html;
use super::{filled, words};
use crate::{Response, StatusCode, response};

/// Pieces of markup by the ids of their places.
pub type Pieces = BTreeMap<&'static str, Html>;

/// See the module.
pub struct Shown<F> {
    figures: F,
    time: Html,
    pieces: Pieces,
    json: Bytes,
}

impl<F: Serialize> Shown<F> {
    /// These figures, of the moment `at` (nanoseconds since the epoch), and what was made of them.
    pub fn new(at: i64, figures: F, pieces: Pieces) -> Self {
        let time = words::when(at);
        let markup: BTreeMap<_, _> = pieces.iter().map(|(id, piece)| (id, piece.as_str())).collect();
        let json = json!({ "time": time, "figures": figures, "pieces": markup }).to_string().into();
        Self { figures, time: Html::new().text(&time), pieces, json }
    }

    /// What it was made of.
    pub fn figures(&self) -> &F {
        &self.figures
    }

    /// A page with the pieces at their places, the time at its own, and what is for this one alone.
    pub fn page(&self, page: &str, own: &[(&'static str, &Html)]) -> String {
        let pieces = self.pieces.iter().map(|(id, piece)| (*id, piece));
        let all = pieces.chain([("time", &self.time)]).chain(own.iter().copied());
        filled(page, all.map(|(id, piece)| (id, piece.as_str())))
    }

    /// The same for a program.
    pub fn json(&self) -> Response {
        response(StatusCode::OK, "application/json", self.json.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_at_its_place() {
        let pieces = Pieces::from([("health", Html::new().raw("<p>well</p>"))]);
        let shown = Shown::new(0, 7, pieces);
        let note = Html::new().text("<done>");
        let page = shown.page("<!--time-->|<!--health-->|<!--note-->|<!--nothing-->", &[("note", &note)]);
        let time = words::when(0);
        assert_eq!(page, format!("{time}|<p>well</p>|&lt;done&gt;|"));
        let told: serde_json::Value = serde_json::from_slice(&shown.json).unwrap();
        assert_eq!(told, json!({ "time": time, "figures": 7, "pieces": { "health": "<p>well</p>" } }));
        assert_eq!(*shown.figures(), 7);
    }
}
