//! HAProxy as Debian ships it: a balancer before the object managers of a cluster, on the clients' host.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::cluster::http::{Http, Request};
use crate::poll;
use crate::tools::quiet;

/// Where it serves, on the clients' host.
const PORT: u16 = 8000;

/// A running balancer; ended when dropped.
pub struct Haproxy {
    child: Child,
    /// Where it serves.
    pub address: SocketAddr,
}

impl Haproxy {
    /// Before all object managers, as the README tells. It asks each for its health five times a second, and sends a
    /// request to another manager if the first takes no connection or closes it without a word.
    pub fn before(cluster: &Cluster, dir: &Path) -> Self {
        let host = cluster.client_host();
        let address = host.port(PORT);
        let servers: Vec<String> = (cluster.managers.iter())
            .map(|manager| format!("    server m{} {} check", manager.number(), manager.http()))
            .collect();
        let text = format!(
            "global
    maxconn 2000
defaults
    mode http
    timeout connect 1s
    timeout client 60s
    timeout server 60s
    retries 3
    option redispatch 1
    retry-on conn-failure empty-response
frontend center
    bind {address}
    default_backend managers
backend managers
    balance leastconn
    option httpchk GET /health
    http-check expect status 200
    default-server inter 200ms fall 1 rise 1
{}
",
            servers.join("\n")
        );
        let config = dir.join("haproxy.cfg");
        fs::write(&config, text).unwrap();
        let inside = ["netns", "exec", host.namespace().name(), "haproxy", "-db", "-f"];
        let child = quiet("ip", &[&inside[..], &[config.to_str().unwrap()]].concat());
        let balancer = Self { child, address };
        let http = Http::new(host.entrance());
        poll::until("the balancer has a manager", Duration::from_secs(20), || {
            let look = Request { method: "GET", path: "/health", headers: &[], body: &[] };
            http.exchange(address, look).ok().filter(|answer| answer.status == 200)
        });
        balancer
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
