//! A page in a browser that a test looks into: scripts, screenshots, screens of other sizes (the Chrome DevTools Protocol,
//! over a pipe: one JSON text after the other, each ended by a zero byte).

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::ChildStdin;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::chromium::Chromium;
use crate::poll;

/// How long the browser may take for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// One page of a browser of its own.
pub struct Tab {
    to: ChildStdin,
    from: Receiver<Value>,
    session: Value,
    asked: u64,
    _browser: Chromium,
}

impl Tab {
    /// A browser with an empty page; its files lie in `dir`, and it runs in a network namespace if one is named.
    pub fn open(dir: &Path, netns: Option<&str>) -> Self {
        let (browser, to, from) = Chromium::told(dir, netns);
        let (sender, receiver) = channel();
        thread::spawn(move || {
            for message in BufReader::new(from).split(0).map_while(Result::ok) {
                let _ = sender.send(serde_json::from_slice(&message).unwrap());
            }
        });
        let mut tab = Self { to, from: receiver, session: Value::Null, asked: 0, _browser: browser };
        let target = tab.tell("Target.createTarget", json!({ "url": "about:blank" }));
        let attached = json!({ "targetId": target["targetId"], "flatten": true });
        tab.session = tab.tell("Target.attachToTarget", attached)["sessionId"].clone();
        tab
    }

    /// Gives a command of the protocol and waits for its result.
    #[track_caller]
    pub fn tell(&mut self, method: &str, parameters: Value) -> Value {
        self.ask(method, parameters).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    fn ask(&mut self, method: &str, parameters: Value) -> Result<Value, Value> {
        self.asked += 1;
        let mut message = json!({ "id": self.asked, "method": method, "params": parameters });
        if !self.session.is_null() {
            message["sessionId"] = self.session.clone();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).unwrap();
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let mut answer = self.from.recv_timeout(left).expect("the browser answers");
            if answer["id"] == self.asked {
                let error = answer["error"].take();
                return if error.is_null() { Ok(answer["result"].take()) } else { Err(error) };
            }
        }
    }

    /// Opens a page and waits until all of it is there.
    #[track_caller]
    pub fn visit(&mut self, url: &str) {
        let gone = self.tell("Page.navigate", json!({ "url": url }));
        assert!(gone["errorText"].is_null(), "{url}: {}", gone["errorText"]);
        self.wait_loaded();
    }

    /// Waits until a page is there after a click.
    #[track_caller]
    pub fn wait_loaded(&mut self) {
        self.until(
            "the page is loaded",
            "document.readyState === 'complete' && location.href !== 'about:blank'",
        );
    }

    /// What an expression of JavaScript has as its value, or a promise when it is kept.
    #[track_caller]
    pub fn evaluate(&mut self, expression: &str) -> Value {
        self.try_evaluate(expression).unwrap_or_else(|error| panic!("{expression}: {error:#}"))
    }

    fn try_evaluate(&mut self, expression: &str) -> Result<Value, Value> {
        let what = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut said = self.ask("Runtime.evaluate", what)?;
        let thrown = said["exceptionDetails"].take();
        if thrown.is_null() { Ok(said["result"]["value"].take()) } else { Err(thrown) }
    }

    /// The text that is seen at a place.
    #[track_caller]
    pub fn text(&mut self, selector: &str) -> String {
        let said = self.evaluate(&format!("document.querySelector({selector:?})?.innerText"));
        said.as_str().unwrap_or_else(|| panic!("nothing at {selector}")).to_owned()
    }

    /// Waits until an expression is true, on whatever page is there by then; how long it took.
    #[track_caller]
    pub fn until(&mut self, what: &str, expression: &str) -> Duration {
        let start = Instant::now();
        poll::until(what, PATIENCE, || (self.try_evaluate(expression) == Ok(true.into())).then_some(()));
        start.elapsed()
    }

    /// Gives the page a screen of this size in CSS pixels; a narrow one is a phone's.
    pub fn resize(&mut self, width: u32, height: u32) {
        let is_phone = width < 600;
        let screen = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone });
        self.tell("Emulation.setDeviceMetricsOverride", screen);
    }

    /// What is seen, all of the page, as PNG.
    pub fn screenshot(&mut self) -> Vec<u8> {
        let shot = self.tell("Page.captureScreenshot", json!({ "captureBeyondViewport": true }));
        STANDARD.decode(shot["data"].as_str().unwrap()).unwrap()
    }
}
