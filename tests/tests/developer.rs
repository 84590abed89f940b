//! docs/developer.md: its code makes the SRLs that our own does, and the storage center takes them.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use e2e::data;
use e2e::site::Site;
use e2e::tools::curl;
use protocol::srl::{Secret, SignedSrl};
use tempfile::TempDir;

/// A language of the page: how its blocks begin, what runs them, and what is put behind a block so that it signs the lines
/// of its input (a secret and a payload) and makes the SRL that its arguments are for.
struct Language {
    block: &'static str,
    program: &'static str,
    driver: &'static str,
}

const LANGUAGES: [Language; 3] = [
    Language {
        block: "python",
        program: "python3",
        driver: "
import sys
for line in sys.stdin:
    secret, payload = line.rstrip('\\n').split('\\t')
    print(sign(secret.encode(), payload))
if len(sys.argv) > 1:
    center, customer, secret, request, seconds, name = sys.argv[1:]
    print(srl(center, int(customer), secret.encode(), request, int(seconds), name))
",
    },
    Language {
        block: "js",
        program: "node",
        driver: "
for (const line of require('node:fs').readFileSync(0, 'utf8').split('\\n').filter(Boolean)) {
  const [secret, payload] = line.split('\\t');
  console.log(sign(secret, payload));
}
if (process.argv.length > 2) {
  const [center, customer, secret, request, seconds, name] = process.argv.slice(2);
  console.log(srl(center, Number(customer), secret, request, Number(seconds), name));
}
",
    },
    Language {
        block: "php",
        program: "php",
        driver: "
while (($line = fgets(STDIN)) !== false) {
    [$secret, $payload] = explode(\"\\t\", rtrim($line, \"\\n\"));
    echo sign($secret, $payload), \"\\n\";
}
if ($argc > 1) {
    [, $center, $customer, $secret, $request, $seconds, $name] = $argv;
    echo srl($center, (int) $customer, $secret, $request, (int) $seconds, $name), \"\\n\";
}
",
    },
];

/// A program of the page.
struct Signer {
    dir: TempDir,
    program: &'static str,
}

impl Signer {
    fn new(language: &Language) -> Self {
        let page = fs::read_to_string(root().join("docs/developer.md")).unwrap();
        let (_, block) = page.split_once(&format!("```{}\n", language.block)).unwrap();
        let (code, _) = block.split_once("```").unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("srl"), format!("{code}{}", language.driver)).unwrap();
        Self { dir, program: language.program }
    }

    /// What it prints, a line each.
    fn says(&self, input: &str, arguments: &[&str]) -> Vec<String> {
        let mut child = Command::new(self.program)
            .arg(self.dir.path().join("srl"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{} ({error}): ./test installs it", self.program));
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", self.program);
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The published vectors of version 2, which the page's code makes: secret, payload, and what comes of them.
fn vectors() -> Vec<[String; 3]> {
    let text = fs::read_to_string(root().join("protocol/vectors/srl.txt")).unwrap();
    let vectors = text.split("\n\n").filter(|vector| vector.starts_with("secret"));
    let vectors = vectors.map(|vector| {
        let field = |name: &str| {
            let line = vector.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.unwrap().trim().to_owned()
        };
        let signed = format!("{}/{}", field("encoded"), field("certificate"));
        [field("secret"), field("payload"), signed]
    });
    vectors.filter(|[_, payload, _]| payload.split('/').nth(1) == Some("2")).collect()
}

/// SRL-13, SRL-16: in each language the page's code makes what is published, and what our own code takes, for payloads of
/// every length and with bytes that base64 writes with `-` and `_`.
#[test]
fn the_code_of_the_page_signs_as_we_do() {
    let mut wanted = vectors();
    assert!(wanted.len() >= 2, "{wanted:?}");
    let secret = "not to be guessed, 30 bytes";
    for padding in 0..40 {
        let url = "~".repeat(padding);
        wanted.push([secret.into(), format!("1/2/0/1/7/33/{}/{url}ÿþ", "6f".repeat(16)), String::new()]);
    }
    let input: String = wanted.iter().map(|[secret, payload, _]| format!("{secret}\t{payload}\n")).collect();
    for language in &LANGUAGES {
        let said = Signer::new(language).says(&input, &[]);
        assert_eq!(said.len(), wanted.len(), "{}", language.program);
        for (said, [secret, payload, signed]) in said.iter().zip(&wanted) {
            assert!(signed.is_empty() || said == signed, "{}: {payload}", language.program);
            let (srl, _) = SignedSrl::parse(&format!("/{said}/")).unwrap();
            let secret = Secret::new(secret.clone().into_bytes()).unwrap();
            srl.authenticate(&[secret], 0).unwrap_or_else(|error| panic!("{payload}: {error}"));
        }
    }
}

/// SRL-1, SRL-4: the center gives what such an SRL names, under the name that was wanted, until it expires, and nothing to
/// one that was changed.
#[test]
fn the_center_takes_what_the_code_of_the_page_signs() {
    let site = Site::start();
    let port = site.port("port");
    let mut mount = port.mount("/export");
    let (bytes, root) = (data::bytes(5, 100_000), mount.root());
    mount.put(&root, b"cat.jpg", &bytes).unwrap();
    let md5 = data::md5_hex(&bytes);
    port.wait_nothing_owed();
    let secret = fs::read_to_string(site.secret_file(1)).unwrap();
    let (center, request) = (site.center_url(), format!("32/{md5}"));
    thread::scope(|scope| {
        for language in &LANGUAGES {
            let (center, request, secret, bytes) = (center.as_str(), request.as_str(), secret.trim(), &bytes);
            scope.spawn(move || {
                let signer = Signer::new(language);
                let srl = |seconds: &str| {
                    let said = signer.says("", &[center, "1", secret, request, seconds, "a cät.jpg"]);
                    said.into_iter().next().unwrap()
                };
                let good = srl("60");
                let (status, head, body) = curl(&good, &[]);
                assert_eq!(status, 200, "{good}: {head}");
                assert!(body == *bytes && head.contains("image/jpeg"), "{head}");
                let (status, _, body) = curl(&srl("-60"), &[]);
                let said = String::from_utf8(body).unwrap();
                assert!(status == 403 && said.contains("\"expired\""), "{status} {said}");
                // The last digit of the certificate.
                let (certified, name) = good.rsplit_once('/').unwrap();
                let (start, last) = certified.split_at(certified.len() - 1);
                let other = if last == "0" { "1" } else { "0" };
                let (status, _, body) = curl(&format!("{start}{other}/{name}"), &[]);
                let said = String::from_utf8(body).unwrap();
                assert!(status == 403 && said.contains("\"not-authentic\""), "{status} {said}");
            });
        }
    });
}
