//! A private file manager (founding document, Figures 27 and 28): a web site that keeps its own table of files and lets
//! browsers store and fetch them at a storage center, by SRLs that it signs itself.
//!
//! ```sh
//! storage-center customer upload-page --config FILE --id 1 --url http://127.0.0.1:8081/done
//! cargo run --package client --example private_file_manager -- --listen 127.0.0.1:8081 \
//!     --center http://127.0.0.1:8080 --customer 1 --secret-file customer-1.secret --table files.txt
//! ```
//!
//! The storage center knows a file by its number in the table and by nothing else; no folder and no row of its
//! directory is asked for. Bytes go between browser and center, never through here. Copy it, and put your site's login
//! in front: whoever sees a page may use the SRLs on it until they expire.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::error::Error;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use clap::Parser;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use percent_encoding::percent_decode_str;
use protocol::id::{ClientFile, CustomerId};
use protocol::srl::{AccessMethod, ObjectName, Secret, SrlKind, SrlOperation, SrlRequest, SrlVersion};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::timeout;

/// How long the SRLs of a page are good: long enough to choose a file, or to begin a download.
const SRL_SECONDS: u64 = 600;
const FILES_MAX: usize = 10_000;
const NAME_BYTES_MAX: usize = 255;
const FORM_BYTES_MAX: usize = 4 << 10;
const CONNECTIONS_MAX: usize = 256;
/// Longest time for a request's head, and for a form.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Parser)]
struct Arguments {
    /// Where browsers reach this site
    #[arg(long)]
    listen: SocketAddr,
    /// Where browsers reach the storage center, such as http://center.example:8080
    #[arg(long)]
    center: String,
    /// Customer number
    #[arg(long)]
    customer: u32,
    /// File with the customer's secret, for its owner alone to read
    #[arg(long)]
    secret_file: PathBuf,
    /// The site's own table of files
    #[arg(long)]
    table: PathBuf,
}

/// All that a site needs to let browsers use a storage center: its address, the customer's number and secret.
struct Signer {
    center: String,
    customer: CustomerId,
    secret: Secret,
}

impl Signer {
    /// Where a browser stores file `id`: in the place of what is there, or only if nothing is.
    fn upload_url(&self, id: u64, replace: bool) -> String {
        self.url(SrlOperation::StoreClientFile { file: self.file(id), replace }, "")
    }

    /// Where a browser fetches file `id`. The end of `name` tells the center its type.
    fn download_url(&self, id: u64, name: &str) -> String {
        self.url(SrlOperation::Fetch { object: ObjectName::ClientFile(self.file(id)) }, name)
    }

    fn file(&self, id: u64) -> ClientFile {
        ClientFile::named(self.customer, id.to_string().as_bytes())
    }

    fn url(&self, operation: SrlOperation, name: &str) -> String {
        let request = SrlRequest {
            kind: SrlKind::Standard,
            version: SrlVersion::HmacSha256,
            expires: now() + SRL_SECONDS,
            access: AccessMethod::EndUser,
            customer: self.customer,
            operation,
        };
        format!("{}{}", self.center, request.sign(&self.secret).path(name.as_bytes()))
    }
}

/// The site's own files: a line `id TAB name` for each.
struct Table {
    path: PathBuf,
    names: BTreeMap<u64, String>,
}

impl Table {
    fn open(path: PathBuf) -> Result<Self, Box<dyn Error>> {
        let text = if path.exists() { fs::read_to_string(&path)? } else { String::new() };
        let mut names = BTreeMap::new();
        for line in text.lines() {
            let (id, name) = line.split_once('\t').ok_or("the table has a line that is none of its own")?;
            names.insert(id.parse()?, name.to_owned());
        }
        Ok(Self { path, names })
    }

    /// Adds a file under the next id. The table on the disk is the old one or the new one, whatever happens.
    fn add(&mut self, name: &str) -> io::Result<u64> {
        let id = self.names.last_key_value().map_or(1, |(last, _)| last + 1);
        let mut names = self.names.clone();
        names.insert(id, name.to_owned());
        let text: String = names.iter().map(|(id, name)| format!("{id}\t{name}\n")).collect();
        let new = self.path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        self.names = names;
        Ok(id)
    }
}

struct Site {
    signer: Signer,
    table: Mutex<Table>,
}

impl Site {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        match (method, path.as_str()) {
            (Method::GET, "/") => page(StatusCode::OK, &self.list().await),
            // Where the storage center sends browsers after an upload, if it was told to.
            (Method::GET, "/done") => see_other("/"),
            (Method::POST, "/files") => match self.add(request).await {
                Ok(id) => see_other(&format!("/files/{id}")),
                Err(why) => page(StatusCode::BAD_REQUEST, &escaped(&why)),
            },
            (Method::GET, path) => match self.show(path).await {
                Some(html) => page(StatusCode::OK, &html),
                None => page(StatusCode::NOT_FOUND, "There is no such page."),
            },
            _ => page(StatusCode::METHOD_NOT_ALLOWED, "This page only shows something."),
        }
    }

    /// All files, and a form for the name of a new one.
    async fn list(&self) -> String {
        let mut html = String::from("<h1>Files</h1>\n<ul>\n");
        for (id, name) in &self.table.lock().await.names {
            // Writing to memory does not fail.
            let _ = writeln!(html, "<li><a href=\"/files/{id}\">{}</a></li>", escaped(name));
        }
        html.push_str("</ul>\n<form method=\"post\" action=\"/files\">");
        html.push_str("<input name=\"name\" required> <button>New file</button></form>\n");
        html
    }

    /// One file: its link, and forms for its bytes. Link and forms lead to the storage center.
    async fn show(&self, path: &str) -> Option<String> {
        let id: u64 = path.strip_prefix("/files/")?.parse().ok()?;
        let name = self.table.lock().await.names.get(&id)?.clone();
        let link = escaped(&self.signer.download_url(id, &name));
        let mut html = format!("<h1>{}</h1>\n<p><a href=\"{link}\">Download</a></p>\n", escaped(&name));
        for (label, replace) in [("Store", false), ("Replace", true)] {
            let action = escaped(&self.signer.upload_url(id, replace));
            let _ = writeln!(
                html,
                "<form method=\"post\" enctype=\"multipart/form-data\" action=\"{action}\">\
                 <input type=\"file\" name=\"file\" required> <button>{label}</button></form>"
            );
        }
        html.push_str("<p><a href=\"/\">All files</a></p>\n");
        Some(html)
    }

    /// Takes a new file's name from a form.
    async fn add(&self, request: Request<Incoming>) -> Result<u64, String> {
        let form = timeout(PATIENCE, Limited::new(request.into_body(), FORM_BYTES_MAX).collect()).await;
        let form = form.map_err(|_| "The form came too slowly.")?.map_err(|_| "That form is too large.")?;
        let form = form.to_bytes();
        let mut fields = form.split(|byte| *byte == b'&');
        let name = fields.find_map(|field| field.strip_prefix(b"name=")).ok_or("The form has no name.")?;
        let name = String::from_utf8_lossy(name).replace('+', " ");
        let name = percent_decode_str(&name).decode_utf8().map_err(|_| "The name is no text.")?;
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains(char::is_control) {
            return Err(format!("A name has 1 to {NAME_BYTES_MAX} bytes and no control characters."));
        }
        let mut table = self.table.lock().await;
        if table.names.len() >= FILES_MAX {
            return Err("The table is full.".to_owned());
        }
        table.add(&name).map_err(|error| format!("The table cannot be written: {error}"))
    }
}

fn page(status: StatusCode, html: &str) -> Response<Full<Bytes>> {
    let html = format!("<!doctype html>\n<meta charset=\"utf-8\">\n<title>Files</title>\n{html}");
    let mut response = Response::new(Full::new(html.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    // Its SRLs expire, and are for whoever it was made for.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn see_other(path: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SEE_OTHER;
    response.headers_mut().extend(HeaderValue::try_from(path).map(|path| (header::LOCATION, path)).ok());
    response
}

/// Text as it may stand in HTML, also between quotation marks.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[allow(clippy::disallowed_methods, reason = "an SRL expires by the wall clock")]
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { listen, center, customer, secret_file, table } = Arguments::parse();
    if fs::metadata(&secret_file)?.permissions().mode() & 0o077 != 0 {
        return Err(format!("{}: others may read the secret; chmod 0600", secret_file.display()).into());
    }
    let secret = Secret::from_file_content(&fs::read(&secret_file)?)?;
    let center = center.trim_end_matches('/').to_owned();
    let signer = Signer { center, customer: CustomerId(customer), secret };
    let site = Arc::new(Site { signer, table: Mutex::new(Table::open(table)?) });

    let listener = TcpListener::bind(listen).await?;
    println!("ready http={}", listener.local_addr()?);
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let permit = Arc::clone(&connections).acquire_owned().await?;
        // A connection that was given up before it was taken is nobody's matter.
        let Ok((stream, _)) = listener.accept().await else { continue };
        let site = Arc::clone(&site);
        tokio::spawn(async move {
            let answer = service_fn(|request| async { Ok::<_, Infallible>(site.answer(request).await) });
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
            // Nor is a browser that went away.
            let _ = server.serve_connection(TokioIo::new(stream), answer).await;
            drop(permit);
        });
    }
}
