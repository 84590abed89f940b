//! What goes over the control socket: one line of JSON each way.
//!
//! ```text
//! {"version":1,"operation":"status"}
//! {"version":1,"result":{…}}     or     {"version":1,"error":"why not, in one line"}
//! ```

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version of these messages. A field may come in without a new one; a changed meaning needs it.
pub const VERSION: u32 = 1;

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Request {
    /// [`VERSION`].
    pub version: u32,
    /// Which.
    pub operation: String,
    /// What the operation takes, if anything.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub arguments: Value,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Reply {
    /// [`VERSION`].
    pub version: u32,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Done: the operation's own answer.
    Result(Value),
    /// Not done: one line.
    Error(String),
}

impl Request {
    /// A request of this version.
    pub fn new(operation: &str, arguments: Value) -> Self {
        Self { version: VERSION, operation: operation.to_owned(), arguments }
    }
}

impl Reply {
    /// Not done, and why.
    pub fn refused(why: String) -> Self {
        Self { version: VERSION, outcome: Outcome::Error(why) }
    }
}

impl From<Result<Value, String>> for Reply {
    fn from(result: Result<Value, String>) -> Self {
        match result {
            Ok(value) => Self { version: VERSION, outcome: Outcome::Result(value) },
            Err(why) => Self::refused(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_are_as_documented() {
        let request: Request = serde_json::from_str(r#"{"version":1,"operation":"status"}"#).unwrap();
        assert_eq!(request, Request::new("status", Value::Null));
        assert_eq!(serde_json::to_string(&request).unwrap(), r#"{"version":1,"operation":"status"}"#);
        let done = Reply::from(Ok(json!({"a": 1})));
        assert_eq!(serde_json::to_string(&done).unwrap(), r#"{"version":1,"result":{"a":1}}"#);
        let refused = Reply::refused("no".to_owned());
        assert_eq!(serde_json::to_string(&refused).unwrap(), r#"{"version":1,"error":"no"}"#);
        for reply in [done, refused] {
            let text = serde_json::to_string(&reply).unwrap();
            assert_eq!(serde_json::from_str::<Reply>(&text).unwrap(), reply);
        }
    }
}
