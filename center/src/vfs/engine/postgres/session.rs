//! A session with the server.
//!
//! Statements that answer with no rows are sent and not waited for: they reach the server with the next question, in
//! order, and what went wrong with one of them is told by that question or by [`Database::settle`]. So a change costs
//! as many round trips as it asks questions.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures::future::{join, poll_immediate};
use futures::stream::{FuturesOrdered, StreamExt, TryStreamExt};
use protocol::id::CustomerId;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Row, Statement};

use super::super::{Columns, Database, EachRow, OwnedValue, Session, Value};
use super::Postgres;
use crate::vfs::failure::StoreError;

/// Longest wait for an answer: above what the server allows a statement, so that it is usually the server that says no.
const PATIENCE: Duration = Duration::from_secs(25);

/// Begins a transaction that sees, from its first statement on, one state of the database.
const BEGIN_READING: &str = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Takes the customers of a transaction for itself: in order of id, so that two of them never wait for each other.
const HOLD: &str = "SELECT id FROM customer WHERE id = ANY (?1) ORDER BY id FOR UPDATE";

type Sent = Pin<Box<dyn Future<Output = Result<u64, tokio_postgres::Error>> + Send>>;

/// A connection, driven by the thread that uses it.
pub struct PostgresSession {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    client: Arc<Client>,
    statements: RefCell<HashMap<Box<str>, Statement>>,
    /// Sent, and their answers not yet looked at.
    sent: RefCell<FuturesOrdered<Sent>>,
    state: Cell<State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    InTransaction,
    /// A statement failed: all that follow will, until a savepoint is gone back to.
    Failed,
    /// The server cannot be reached, or does not answer.
    Broken,
}

impl PostgresSession {
    /// Connects.
    ///
    /// # Errors
    /// [`StoreError::Database`] when no server takes writes.
    pub fn open(server: &Postgres) -> Result<Self, StoreError> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| StoreError::Database(format!("no runtime: {error}")))?;
        let client = runtime.block_on(async {
            let (client, connection) = server.connect().await?;
            // Ends with the client. What ends it before fails the statements, where it is told.
            tokio::spawn(connection);
            Ok::<_, tokio_postgres::Error>(client)
        });
        Ok(Self {
            client: Arc::new(client?),
            runtime: Some(runtime),
            statements: RefCell::default(),
            sent: RefCell::default(),
            state: Cell::new(State::Idle),
        })
    }

    /// Drives the connection until `work` is done.
    fn drive<T>(
        &self,
        work: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, StoreError> {
        let Some(runtime) = &self.runtime else { return Err(StoreError::Closed) };
        let done = runtime.block_on(async { timeout(PATIENCE, work).await });
        match done {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                // The server's own refusals leave the session as it is, but for those by which it ends it.
                let is_refusal = error.as_db_error().is_some() && !self.client.is_closed();
                self.state.set(if is_refusal { State::Failed } else { State::Broken });
                Err(error.into())
            }
            Err(_) => {
                self.state.set(State::Broken);
                Err(StoreError::Database("the database server does not answer".to_owned()))
            }
        }
    }

    fn prepared(&self, sql: &str) -> Result<Statement, StoreError> {
        if let Some(statement) = self.statements.borrow().get(sql) {
            return Ok(statement.clone());
        }
        let text = sql.replace('?', "$");
        let statement = self.drive(self.client.prepare(&text))?;
        self.statements.borrow_mut().insert(sql.into(), statement.clone());
        Ok(statement)
    }

    /// Begins a transaction, with the first statement of it. A session that the server has ended is found out before.
    fn start(&self, begin: &str) -> Result<(), StoreError> {
        self.look();
        if self.client.is_closed() {
            self.state.set(State::Broken);
            return Err(StoreError::Database("the database server ended the session".to_owned()));
        }
        self.execute(begin, &[])?;
        self.state.set(State::InTransaction);
        Ok(())
    }

    /// Waits until the customers are this transaction's.
    fn hold(&self, customers: &[CustomerId]) -> Result<(), StoreError> {
        if customers.is_empty() {
            return self.settle();
        }
        let statement = self.prepared(HOLD)?;
        let ids: Vec<i64> = customers.iter().map(|customer| customer.0.into()).collect();
        let held = self.drive(self.client.query(&statement, &[&ids]));
        // What went wrong with BEGIN comes first.
        self.settle().and(held).map(drop)
    }

    /// Lets the connection send what it has, and take what has come.
    fn look(&self) {
        if let Some(runtime) = &self.runtime {
            runtime.block_on(tokio::task::yield_now());
        }
    }

    /// Statements without parameters, waited for.
    pub(super) fn batch(&self, sql: &str) -> Result<(), StoreError> {
        self.drive(self.client.batch_execute(sql))
    }
}

impl Database for PostgresSession {
    fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<(), StoreError> {
        in_range(values)?;
        let statement = self.prepared(sql)?;
        let values: Vec<OwnedValue> = values.iter().map(OwnedValue::from).collect();
        let client = Arc::clone(&self.client);
        let mut sent: Sent = Box::pin(async move { client.execute_raw(&statement, &values).await });
        // The first look at it puts it into the connection's queue.
        let answered = match &self.runtime {
            Some(runtime) => runtime.block_on(poll_immediate(&mut sent)),
            None => return Err(StoreError::Closed),
        };
        match answered {
            None => self.sent.borrow_mut().push_back(sent),
            Some(answer) => drop(self.drive(async { answer })?),
        }
        if sql.starts_with("ROLLBACK TO") {
            self.settle()?;
            self.state.set(State::InTransaction);
        }
        Ok(())
    }

    fn query(&self, sql: &str, values: &[Value<'_>], each: &mut EachRow<'_>) -> Result<(), StoreError> {
        in_range(values)?;
        let statement = self.prepared(sql)?;
        let parameters: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as _).collect();
        let sent = std::mem::take(&mut *self.sent.borrow_mut());
        let rows = self.drive(async {
            let question = self.client.query(&statement, &parameters);
            tokio::pin!(question);
            // Sent before the answers to what was sent earlier are looked at.
            let early = poll_immediate(&mut question).await;
            let answers = sent.try_for_each(|_| async { Ok(()) });
            match early {
                Some(rows) => answers.await.and(rows),
                None => {
                    let (answers, rows) = join(answers, question).await;
                    answers.and(rows)
                }
            }
        })?;
        rows.iter().try_for_each(|row| each(row))
    }

    fn settle(&self) -> Result<(), StoreError> {
        let sent = std::mem::take(&mut *self.sent.borrow_mut());
        if sent.is_empty() {
            return Ok(());
        }
        let answers: Vec<Result<u64, tokio_postgres::Error>> =
            self.drive(async { Ok(sent.collect().await) })?;
        let answers: Result<Vec<u64>, tokio_postgres::Error> = answers.into_iter().collect();
        self.drive(async { answers }).map(drop)
    }

    fn is_in_transaction(&self) -> bool {
        matches!(self.state.get(), State::InTransaction | State::Failed)
    }

    fn last_id(&self, table: &str) -> Result<i64, StoreError> {
        let last =
            self.database().first(&format!("SELECT last_value FROM {table}_id_seq"), &[], |row| row.get(0));
        Ok(last?.unwrap_or(0))
    }

    fn set_last_id(&self, table: &str, id: i64) -> Result<(), StoreError> {
        let set = format!("SELECT setval('{table}_id_seq', ?1)");
        self.query(&set, &[id.max(1).into()], &mut |_| Ok(()))
    }

    fn unless_locked(&self) -> &'static str {
        "FOR UPDATE SKIP LOCKED"
    }
}

impl Session for PostgresSession {
    fn begin(&mut self, customers: &[CustomerId]) -> Result<(), StoreError> {
        self.start("BEGIN")?;
        let held = self.hold(customers);
        if held.is_err() {
            self.rollback();
        }
        held
    }

    fn begin_reading(&mut self) -> Result<(), StoreError> {
        self.start(BEGIN_READING)
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        let committed = match self.settle() {
            // The server would answer COMMIT by a rollback, and call that a success.
            Ok(()) if self.state.get() == State::Failed => {
                Err(StoreError::NotCommitted("a statement of the transaction failed".to_owned()))
            }
            Ok(()) => self.batch("COMMIT"),
            Err(error) => Err(error),
        };
        match committed {
            Ok(()) => self.state.set(State::Idle),
            Err(_) => self.rollback(),
        }
        committed
    }

    fn rollback(&mut self) {
        self.sent.borrow_mut().clear();
        if !self.is_in_transaction() {
            return;
        }
        // Not waited for: what comes next comes after it, and without it the session is of no use.
        match self.execute("ROLLBACK", &[]) {
            Ok(()) => self.state.set(State::Idle),
            Err(_) => self.state.set(State::Broken), // The server rolls it back when the session ends.
        }
        self.look();
    }

    fn is_broken(&self) -> bool {
        self.state.get() == State::Broken
    }

    fn database(&self) -> &dyn Database {
        self
    }
}

/// Refuses what no column holds before the server would, which fails the transaction by that.
fn in_range(values: &[Value<'_>]) -> Result<(), StoreError> {
    match values.contains(&Value::OutOfRange) {
        true => Err(StoreError::OutOfRange),
        false => Ok(()),
    }
}

impl Drop for PostgresSession {
    fn drop(&mut self) {
        // A runtime may not be waited for where tasks run.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Columns for Row {
    fn value(&self, column: usize) -> Result<Value<'_>, StoreError> {
        let unreadable = |_| StoreError::Unreadable { column };
        let kind = self.columns().get(column).ok_or(StoreError::Unreadable { column })?.type_();
        Ok(if *kind == Type::INT8 {
            Value::from(self.try_get::<_, Option<i64>>(column).map_err(unreadable)?)
        } else if *kind == Type::BYTEA {
            Value::from(self.try_get::<_, Option<&[u8]>>(column).map_err(unreadable)?)
        } else if *kind == Type::TEXT {
            Value::from(self.try_get::<_, Option<&str>>(column).map_err(unreadable)?)
        } else if *kind == Type::BOOL {
            Value::from(self.try_get::<_, Option<bool>>(column).map_err(unreadable)?.map(i64::from))
        } else {
            return Err(StoreError::Unreadable { column });
        })
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Value::Null => Ok(IsNull::Yes),
            Value::Integer(number) => number.to_sql(kind, out),
            Value::Bytes(bytes) => bytes.to_sql(kind, out),
            Value::Text(text) => text.to_sql(kind, out),
            Value::OutOfRange => Err("the number is out of range".into()),
        }
    }

    fn accepts(kind: &Type) -> bool {
        [Type::INT8, Type::BYTEA, Type::TEXT].contains(kind)
    }

    to_sql_checked!();
}

impl ToSql for OwnedValue {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        Value::from(self).to_sql(kind, out)
    }

    fn accepts(kind: &Type) -> bool {
        Value::accepts(kind)
    }

    to_sql_checked!();
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(refusal) if *refusal.code() == SqlState::UNIQUE_VIOLATION => {
                Self::Constraint(refusal.message().to_owned())
            }
            Some(refusal) => Self::Database(format!("{} ({})", refusal.message(), refusal.code().code())),
            // What it shows of itself is only the kind of failure.
            None => match error.source() {
                Some(source) => Self::Database(format!("{error}: {source}")),
                None => Self::Database(error.to_string()),
            },
        }
    }
}
