//! nginx as Debian ships it, in one process, with a configuration of its own in a directory of the caller's.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Child;

use crate::daemon::free_port;
use crate::tools::{quiet, run, wait_for};

/// A running nginx; ended when dropped.
pub struct Nginx {
    child: Child,
    /// Where it serves.
    pub address: SocketAddr,
}

impl Nginx {
    /// Serves the files of a folder by `sendfile`, and keeps them open.
    pub fn serving(dir: &Path, files: &Path) -> Self {
        let location = format!(
            "root {files};
            sendfile on;
            open_file_cache max=100000 inactive=1h;
            open_file_cache_valid 1h;",
            files = files.display(),
        );
        Self::start(dir, "serving", "", &location)
    }

    /// Asks another server for everything, over connections that are kept, and passes on what comes: the cheapest of
    /// several ways to set its buffers, a fifth or more below the default in processor time.
    pub fn passing(dir: &Path, to: SocketAddr) -> Self {
        let upstream = format!(
            "upstream behind {{
        server {to};
        keepalive 64;
        keepalive_requests 1000000000;
    }}"
        );
        let location = "proxy_pass http://behind;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_buffering off;
            proxy_buffer_size 256k;
            proxy_buffers 4 256k;
            proxy_busy_buffers_size 512k;";
        Self::start(dir, "passing", &upstream, location)
    }

    /// A CDN's cache before the center, as a CDN's customer would set it up: what is cached, and for how long, the center
    /// says. `X-Cache` tells whether it was a HIT.
    pub fn caching(dir: &Path, center: SocketAddr) -> Self {
        let cache = dir.join("cdn-cache");
        let zone = format!(
            "proxy_cache_path {} levels=2 keys_zone=cdn:1m inactive=1h use_temp_path=off;",
            cache.display()
        );
        let location = format!(
            "proxy_pass http://{center};
            proxy_http_version 1.1;
            proxy_cache cdn;
            proxy_cache_key $request_uri;
            proxy_cache_lock on;
            add_header X-Cache $upstream_cache_status always;"
        );
        Self::start(dir, "caching", &zone, &location)
    }

    /// Serves as these locations say.
    pub fn with_locations(dir: &Path, locations: &str) -> Self {
        Self::start(dir, "locations", "", locations)
    }

    fn start(dir: &Path, name: &str, upstream: &str, location: &str) -> Self {
        let dir = dir.join(format!("nginx-{name}"));
        fs::create_dir_all(&dir).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let log = dir.join("error.log");
        // Without a master process the one process can be watched and ended.
        let text = format!(
            "daemon off;
master_process off;
worker_processes 1;
pid {dir}/pid;
error_log {log} warn;
events {{
    worker_connections 1024;
}}
http {{
    access_log off;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    {upstream}
    server {{
        listen {address};
        location / {{
            {location}
        }}
    }}
}}
",
            dir = dir.display(),
            log = log.display(),
        );
        let config = dir.join("nginx.conf");
        fs::write(&config, text).unwrap();
        let child = quiet(
            "nginx",
            &["-c", config.to_str().unwrap(), "-e", log.to_str().unwrap(), "-p", dir.to_str().unwrap()],
        );
        wait_for(address, &log);
        Self { child, address }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `nginx` and its version.
    pub fn name() -> String {
        let told = String::from_utf8(run("nginx", &["-v"]).stderr).unwrap();
        format!("nginx {}", told.trim().rsplit('/').next().unwrap_or("?"))
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
