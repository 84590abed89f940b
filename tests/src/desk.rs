//! The command `center` before a storage center.

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use protocol::srl::{AccessMethod, SignedSrl, SrlOperation, SrlVersion};

use crate::daemon::binary;
use crate::site::Site;
use crate::tools::run;

/// A storage center, and the command's configuration for customer 1.
pub struct Desk {
    /// The storage center.
    pub site: Site,
    /// The command's configuration.
    pub config: PathBuf,
}

impl Desk {
    /// Everything running.
    pub fn start() -> Self {
        let site = Site::start();
        let config = site.path().join("command.toml");
        let secret = site.secret_file(1);
        let text = format!("ddm = [{:?}]\ncustomer = 1\nsecret_file = {secret:?}\n", site.center_url());
        fs::write(&config, text).unwrap();
        Self { site, config }
    }

    /// Runs the command.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let config = ["--config", self.config.to_str().unwrap()];
        run(binary("center").to_str().unwrap(), &[&config, arguments].concat())
    }

    /// What it prints when it succeeds.
    #[track_caller]
    pub fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), error.as_str()), (Some(0), ""), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The line it says when it does not.
    #[track_caller]
    pub fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
        assert!(error.starts_with("center: ") && error.lines().count() == 1, "{error}");
        error
    }

    /// A local file of these bytes.
    pub fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.local(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// The path of a local file.
    pub fn local(&self, name: &str) -> String {
        self.site.path().join(name).to_str().unwrap().to_owned()
    }

    /// The bytes of a local file.
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.local(name)).unwrap()
    }

    /// What a URL that the command printed permits.
    pub fn operation(&self, url: &str) -> (SrlOperation, u64, SrlVersion) {
        let path = url.trim().strip_prefix(&self.site.center_url()).unwrap();
        let (srl, _) = SignedSrl::parse(path).unwrap();
        let request = srl.authenticate(&[self.site.secret(1)], 0).unwrap();
        assert_eq!(request.access, AccessMethod::EndUser);
        (request.operation, request.expires, request.version)
    }
}
