//! Two storage ports of a [`Site`] that mirror each other's journal, without judges: the test says who is active.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use std::{fs, path::Path};

use client::{Center, Settings};
use protocol::id::CustomerId;
use protocol::pair::{Generation, LeaseAnswer, LeaseQuestion, Member, PairName};
use serde_json::{Value, json};

use crate::cluster::certificates::Authority;
use crate::daemon::free_port;
use crate::poll;
use crate::site::{Port, PortSettings, Site};

/// What changes may take that need no more than some messages.
const SOON: Duration = Duration::from_secs(20);

/// What both ports have in common.
pub struct Pair<'a> {
    site: &'a Site,
    authority: Authority,
    addresses: [SocketAddr; 2],
    settings: PortSettings,
    more: String,
}

impl<'a> Pair<'a> {
    /// A pair of the name `pair`; `more` are further keys of `[pair]`. Its ports are started one by one.
    pub fn new(site: &'a Site, settings: &PortSettings, more: &str) -> Self {
        let key = site.path().join("pair.key");
        fs::write(&key, "0123456789abcdef0123456789abcdef").unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        Self {
            site,
            authority: Authority::new(site.path(), "pair-authority"),
            addresses: [(); 2].map(|()| SocketAddr::from(([127, 0, 0, 1], free_port()))),
            settings: settings.clone(),
            more: more.to_owned(),
        }
    }

    /// Starts one of the two, passive.
    pub fn start(&self, member: Member) -> Port {
        let certificate = self.authority.issue(&format!("{member}.pair"));
        let [a, b] = self.addresses;
        let (listen, peer) = match member {
            Member::A => (a, b),
            Member::B => (b, a),
        };
        let table = format!(
            r#"
[pair]
name = "pair"
member = "{member}"
key_file = "{key}"
listen = "{listen}"
peer = "{peer}"
certificate_file = "{certificate}"
certificate_key_file = "{certificate_key}"
ca_file = "{authority}"
{more}
"#,
            key = self.site.path().join("pair.key").display(),
            certificate = certificate.certificate.display(),
            certificate_key = certificate.key.display(),
            authority = self.authority.certificate().display(),
            more = self.more,
        );
        let settings = PortSettings { more: table, ..self.settings.clone() };
        self.site.port_with(&format!("port-{member}"), &settings)
    }

    /// Has the storage center grant `member` the generation after `from`, and `port` serve in it.
    pub fn activate(&self, port: &Port, member: Member, from: u64) -> u64 {
        let urls = vec![self.site.center_url()];
        let settings = Settings::new(urls.clone(), urls, CustomerId(1), self.site.secret(1));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let name = PairName::parse("pair").unwrap();
        let question = LeaseQuestion::Acquire { from: Generation(from), renewals: None, lease_ms: 0 };
        let answer = runtime
            .block_on(async { Center::new(settings).unwrap().port_lease(&name, member, question).await });
        let LeaseAnswer::Granted { generation, .. } = answer.unwrap() else { panic!("not granted") };
        let role = ask(port.path(), "pair", json!({ "role": "active", "generation": generation.0 }));
        assert_eq!(role, Ok(json!({ "role": "active", "generation": generation.0 })));
        generation.0
    }
}

/// Has a port serve nobody.
pub fn deactivate(port: &Port) {
    assert_eq!(ask(port.path(), "pair", json!({ "role": "passive" })), Ok(json!({ "role": "passive" })));
}

/// How a port stands: the first line of its watch.
pub fn standing(port: &Port) -> Value {
    let mut lines = BufReader::new(request(port.path(), "watch", Value::Null)).lines();
    serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap()
}

/// Waits until a port mirrors its journal to the other one.
pub fn wait_mirrored(port: &Port) {
    poll::until("the journal is mirrored", SOON, || (standing(port)["mirrored"] == true).then_some(()));
}

/// Asks a port's control socket: its answer, or why not.
pub fn ask(port: &Path, operation: &str, arguments: Value) -> Result<Value, String> {
    let mut line = String::new();
    BufReader::new(request(port, operation, arguments)).read_line(&mut line).unwrap();
    let reply: Value = serde_json::from_str(&line).unwrap();
    match reply.get("error") {
        Some(why) => Err(why.as_str().unwrap().to_owned()),
        None => Ok(reply["result"].clone()),
    }
}

fn request(port: &Path, operation: &str, arguments: Value) -> UnixStream {
    let mut stream = UnixStream::connect(port.join("state/control")).unwrap();
    let request = json!({ "version": 1, "operation": operation, "arguments": arguments });
    writeln!(stream, "{request}").unwrap();
    stream
}
