//! A storage center of one process, and its clients over HTTP.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use protocol::id::{CustomerId, ObjectId, Token};
use protocol::name::Name;
use protocol::srl::{AccessMethod, Secret, SrlKind, SrlOperation, SrlRequest, SrlVersion, control_ticket};
use protocol::vfs::xml::{decode_replies, encode_requests};
use protocol::vfs::{Answer, Existing, Operation, Request, Target};

use super::Run;
use super::bare::clients_of;
use crate::bench::center::http::Connection;
use crate::daemon::{Daemon, binary, cpu_seconds, free_port};
use crate::tools::run_ok;

/// Where rows are kept.
pub enum Engine {
    /// A file.
    Sqlite,
    /// A server, by its connection string.
    Postgres(String),
}

/// A running storage center with one customer.
pub struct Center {
    daemon: Daemon,
    address: SocketAddr,
    secret: Secret,
    root: ObjectId,
    /// So that no name is used twice.
    runs: AtomicU64,
}

impl Center {
    /// Starts it in a folder of `scratch`.
    pub fn start(scratch: &Path, name: &str, engine: &Engine) -> Self {
        let dir = scratch.join(format!("center-{name}"));
        fs::create_dir_all(dir.join("disk")).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let vfs = match engine {
            Engine::Sqlite => format!("database = \"{}/vfs.sqlite\"", dir.display()),
            Engine::Postgres(server) => format!("postgres = \"{server}\""),
        };
        let text = format!(
            "control = \"{dir}/control\"\n[http]\nlisten = \"{address}\"\n[vfs]\n{vfs}\n[isn]\ndisks = [\"{dir}/disk\"]\n",
            dir = dir.display()
        );
        let (config, secret) = (dir.join("center.toml"), dir.join("secret"));
        fs::write(&config, text).unwrap();
        let config = config.to_str().unwrap();
        let add = ["customer", "add", "--config", config, "--name", "one", "--id", "1", "--secret-out"];
        let program = binary("storage-center");
        run_ok(program.to_str().unwrap(), &[&add[..], &[secret.to_str().unwrap()]].concat());
        let daemon = Daemon::start("storage-center", &["serve", "--config", config], &dir.join("log"));
        let secret = Secret::from_file_content(&fs::read(secret).unwrap()).unwrap();
        let mut center = Self { daemon, address, secret, root: ObjectId(0), runs: AtomicU64::new(0) };
        let answer = center.exchange(&mut center.connect(), None, Operation::OpenRoot);
        let Answer::Row(root) = answer else { panic!("{answer:?}") };
        center.root = root.id;
        center
    }

    /// Makes so many files in a folder that is listed and looked into; the root stays for those that are made meanwhile.
    pub fn fill(&self, entries: usize) {
        let mut connection = self.connect();
        let folder =
            Operation::CreateFolder { parent: self.root, name: name("listed"), metadata: vec![0; 64] };
        let folder = self.changed(&mut connection, folder);
        for number in 0..entries {
            self.changed(&mut connection, create(folder, &format!("entry-{number}")));
        }
    }

    /// Durable creates, each of a file with a key of its own.
    pub fn create(&self, clients: usize, duration: Duration) -> Run {
        let run = self.runs.fetch_add(1, Ordering::SeqCst);
        self.measured(clients, duration, |client, number| {
            create(self.root, &format!("{run}-{client}-{number}"))
        })
    }

    /// Looks for one of the names.
    pub fn look_up(&self, clients: usize, duration: Duration, entries: usize) -> Run {
        let folder = self.listed();
        self.measured(clients, duration, |client, number| {
            let entry = (client * 37 + number as usize * 101) % entries;
            let target = Target::Name(folder, name(&format!("entry-{entry}")));
            Operation::Open { target, srl_expires: None }
        })
    }

    /// Lists the folder so many times, one after the other.
    pub fn list(&self, listings: usize) -> Run {
        let (folder, mut connection) = (self.listed(), self.connect());
        let (before, start) = (self.cpu(), Instant::now());
        let mut latencies = Vec::new();
        for _ in 0..listings {
            let began = Instant::now();
            let operation = Operation::OpenFolder { folder, after: None, limit: 1_000, srl_expires: None };
            let answer = self.exchange(&mut connection, None, operation);
            let Answer::Folder { entries, .. } = answer else { panic!("{answer:?}") };
            assert_eq!(entries.len(), super::ENTRIES);
            latencies.push(began.elapsed().as_secs_f64());
        }
        let rate = listings as f64 / start.elapsed().as_secs_f64();
        Run { rate, latencies, cost: (self.cpu() - before) / listings as f64 }
    }

    fn measured(
        &self,
        clients: usize,
        duration: Duration,
        operation: impl Fn(usize, u64) -> Operation + Sync,
    ) -> Run {
        let before = self.cpu();
        let run = clients_of(clients, duration, |client| {
            let (mut connection, operation) = (self.connect(), &operation);
            move |number| {
                let operation = operation(client, number);
                let key = operation.is_change().then(client::new_token);
                self.exchange(&mut connection, key, operation);
            }
        });
        let cost = (self.cpu() - before) / run.latencies.len() as f64;
        Run { cost, ..run }
    }

    fn connect(&self) -> Connection {
        Connection::open(self.address).unwrap()
    }

    fn cpu(&self) -> f64 {
        cpu_seconds(self.daemon.pid().as_raw_nonzero().get().unsigned_abs())
    }

    fn listed(&self) -> ObjectId {
        let open = Operation::Open { target: Target::Name(self.root, name("listed")), srl_expires: None };
        let answer = self.exchange(&mut self.connect(), None, open);
        let Answer::Row(row) = answer else { panic!("{answer:?}") };
        row.id
    }

    fn changed(&self, connection: &mut Connection, operation: Operation) -> ObjectId {
        let answer = self.exchange(connection, Some(client::new_token()), operation);
        let Answer::Changed(changed) = answer else { panic!("{answer:?}") };
        changed.row.unwrap().id
    }

    fn exchange(&self, connection: &mut Connection, key: Option<Token>, operation: Operation) -> Answer {
        let document = encode_requests(&[Request { key, operation }], None);
        let request = SrlRequest {
            kind: SrlKind::Standard,
            version: SrlVersion::HmacSha256,
            expires: 0,
            access: AccessMethod::StoragePort,
            customer: CustomerId(1),
            operation: SrlOperation::Control {
                ticket: control_ticket(SrlVersion::HmacSha256, &self.secret, &document),
            },
        };
        let path = request.sign(&self.secret).path(b"");
        let (length, path) = (document.len(), path.trim_end_matches('/'));
        let mut message = format!(
            "POST /vfs/v1{path} HTTP/1.1\r\nHost: center\r\nContent-Type: application/xml\r\nContent-Length: {length}\r\n\r\n"
        )
        .into_bytes();
        // In one piece, as clients send it.
        message.extend(document);
        let body = connection.exchange(&message, |_| Ok(())).unwrap();
        let reply = decode_replies(&body).unwrap().pop().unwrap();
        reply.unwrap().answer
    }
}

fn create(parent: ObjectId, text: &str) -> Operation {
    let (name, existing) = (name(text), Existing::Refuse);
    Operation::CreateFile { parent, name, metadata: vec![0; 64], upload: None, existing }
}

fn name(text: &str) -> Name {
    Name::new(text.as_bytes()).unwrap()
}
