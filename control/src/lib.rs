//! The control socket of a daemon: how this machine's administrator, and its other daemon, ask the running one.
//!
//! A Unix socket in the daemon's state directory, for the daemon's own user and root, and for the directory's group if that
//! was given the bit set-group-id. One request is one line of JSON, and so is its answer ([`message`]), but for a watch, which
//! is answered by a line whenever there is news, and a task, which is done while its caller listens and tells how far it is;
//! [`socket`] carries them, [`Operations`] knows who answers what, [`watching`] listens to lines. Nobody on a network
//! reaches it.

pub mod message;
pub mod readiness;
pub mod socket;
pub mod watching;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use futures::stream::BoxStream;
use serde_json::Value;

use self::message::{Outcome, Reply, Request, VERSION};

type Answer = Pin<Box<dyn Future<Output = Result<Value, String>> + Send>>;

/// Lines of JSON, as long as somebody listens.
pub type Lines = BoxStream<'static, Value>;

enum Operation {
    Question(Box<dyn Fn(Value) -> Answer + Send + Sync>),
    Watch(Box<dyn Fn() -> Lines + Send + Sync>),
    Task(Box<dyn Fn(Value) -> Result<Lines, String> + Send + Sync>),
}

/// What becomes of a request.
pub(crate) enum Response {
    /// One line.
    Reply(Reply),
    /// A line whenever there is news.
    Watch(Lines),
    /// Lines of something that is done while they are taken.
    Task(Lines),
}

/// What can be asked, by name.
#[derive(Default)]
pub struct Operations(BTreeMap<&'static str, Operation>);

impl Operations {
    /// Lets `operation` be asked: it is given the request's arguments, and answers with a value or one line that says
    /// why not.
    pub fn add<A>(&mut self, name: &'static str, operation: impl Fn(Value) -> A + Send + Sync + 'static)
    where
        A: Future<Output = Result<Value, String>> + Send + 'static,
    {
        self.0.insert(name, Operation::Question(Box::new(move |arguments| Box::pin(operation(arguments)))));
    }

    /// Lets `watch` be followed: who asks for it is sent its lines until he, or the port, ends.
    pub fn add_watch(&mut self, name: &'static str, watch: impl Fn() -> Lines + Send + Sync + 'static) {
        self.0.insert(name, Operation::Watch(Box::new(watch)));
    }

    /// Lets `task` be done: it is given the request's arguments, and answers with lines that say how far it is, the last of
    /// which says what came of it, or with one line that says why it is not begun. Who hangs up ends it: dropping the lines
    /// must.
    pub fn add_task(
        &mut self,
        name: &'static str,
        task: impl Fn(Value) -> Result<Lines, String> + Send + Sync + 'static,
    ) {
        self.0.insert(name, Operation::Task(Box::new(task)));
    }

    /// Asks as a caller at the socket does, from within the daemon.
    ///
    /// # Errors
    /// What he would be told.
    pub async fn ask(&self, operation: &str, arguments: Value) -> Result<Value, String> {
        match self.answer(Request::new(operation, arguments)).await {
            Response::Reply(Reply { outcome: Outcome::Result(value), .. }) => Ok(value),
            Response::Reply(Reply { outcome: Outcome::Error(why), .. }) => Err(why),
            Response::Watch(_) | Response::Task(_) => Err(format!("`{operation}` is followed, not asked")),
        }
    }

    /// Answers one request.
    async fn answer(&self, request: Request) -> Response {
        if request.version != VERSION {
            return Response::Reply(Reply::refused(format!(
                "this daemon speaks version {VERSION} of the control protocol, not {}: use the command it came with",
                request.version
            )));
        }
        match self.0.get(request.operation.as_str()) {
            Some(Operation::Question(operation)) => {
                Response::Reply(operation(request.arguments).await.into())
            }
            Some(Operation::Watch(watch)) => Response::Watch(watch()),
            Some(Operation::Task(task)) => match task(request.arguments) {
                Ok(lines) => Response::Task(lines),
                Err(why) => Response::Reply(Reply::refused(why)),
            },
            None => {
                let known: Vec<_> = self.0.keys().copied().collect();
                let known = known.join(", ");
                let why = format!("no operation `{}`; there are: {known}", request.operation);
                Response::Reply(Reply::refused(why))
            }
        }
    }
}
