//! What may be changed by the page: what the commands of the same names change, by the same operations.

use std::path::Path;
use std::time::Duration;

use control::Operations;
use control::message::Request;
use control::socket;
use page_server::page::html::Html;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::figures::Judge;
use crate::inspection::CacheDropped;

/// A judge's order has ended after four seconds in one way or the other.
const ORDER_TIME: Duration = Duration::from_secs(10);

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `storage-port cache drop`.
    DropCache,
    /// `port-failover standby`.
    HandOver,
    /// `port-failover takeover`, which the judge refuses where writes would be lost.
    TakeOver,
}

impl Action {
    /// All.
    pub const ALL: [Self; 3] = [Self::DropCache, Self::HandOver, Self::TakeOver];

    /// Where it is asked for.
    pub const fn path(self) -> &'static str {
        match self {
            Self::DropCache => "/actions/cache-drop",
            Self::HandOver => "/actions/standby",
            Self::TakeOver => "/actions/takeover",
        }
    }

    /// On its button.
    pub const fn label(self) -> &'static str {
        match self {
            Self::DropCache => "Empty the data cache",
            Self::HandOver => "Hand over to the other port",
            Self::TakeOver => "Take over from the other port",
        }
    }

    /// Does it: what came of it, in words.
    ///
    /// # Errors
    /// Why not, in words.
    pub async fn carry_out(self, operations: &Operations, judge: Option<&Path>) -> Result<String, String> {
        match (self, judge) {
            (Self::DropCache, _) => {
                let answer = operations.ask("cache-drop", Value::Null).await?;
                let dropped: CacheDropped =
                    serde_json::from_value(answer).map_err(|error| error.to_string())?;
                Ok(dropped.to_string())
            }
            (Self::HandOver, Some(judge)) => order(judge, "standby", Value::Null).await,
            (Self::TakeOver, Some(judge)) => order(judge, "takeover", json!({ "force": false })).await,
            (_, None) => Err("the judge is not asked: see judge_state_dir of [status_page]".to_owned()),
        }
    }
}

async fn order(state_dir: &Path, operation: &str, arguments: Value) -> Result<String, String> {
    let request = Request::new(operation, arguments);
    match timeout(ORDER_TIME, socket::ask("port-failover", state_dir, &request)).await {
        Ok(Ok(said)) => Ok(said.as_str().unwrap_or("done").to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("port-failover gives no answer: it hangs".to_owned()),
    }
}

/// The buttons of those that can be asked for. `is_paired`: this is a port of a pair.
pub fn buttons(is_paired: bool, judge: &Judge) -> Html {
    let is_heard = judge.status().is_some();
    let offered = Action::ALL.into_iter().filter(|action| *action == Action::DropCache || is_heard);
    let forms = Html::all(offered.map(|action| button(action.path(), action.label())));
    let forms = forms.then(&button("/logout", "Log out"));
    match is_paired && !is_heard {
        true => forms.raw(
            "<p>Handing over and taking over are not offered here, for the judge is not heard: use <code>port-failover</code>.</p>",
        ),
        false => forms,
    }
}

fn button(path: &'static str, label: &'static str) -> Html {
    Html::new()
        .raw("<form method=\"post\" action=\"")
        .raw(path)
        .raw("\"><button>")
        .raw(label)
        .raw("</button></form>")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status_page::testing::judge_status;

    #[test]
    fn what_cannot_be_done_is_not_offered() {
        let offers = |is_paired, judge: Judge| {
            let buttons = buttons(is_paired, &judge);
            let paths = Action::ALL.map(|action| buttons.as_str().contains(action.path()));
            (paths, buttons.as_str().contains("port-failover"))
        };
        assert_eq!(offers(false, Judge::Unasked), ([true, false, false], false));
        assert_eq!(offers(true, Judge::Unasked), ([true, false, false], true));
        assert_eq!(offers(true, Judge::Silent(String::new())), ([true, false, false], true));
        let says = Judge::Says(Box::new(judge_status("passive")));
        assert_eq!(offers(true, says), ([true, true, true], false));
    }
}
