//! The configuration file and its reconciliation with the command line.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use client::{Bearer, Center, Settings};
use protocol::id::CustomerId;
use protocol::srl::Secret;
use serde::Deserialize;

use crate::arguments::CenterArguments;

/// Most bytes of any file read here.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// How long a URL is tried, unless the file says otherwise.
const DEADLINE: Duration = Duration::from_secs(10);

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    ddm: Vec<String>,
    dosm: Vec<String>,
    customer: Option<u32>,
    secret_file: Option<PathBuf>,
    ca_certificate: Option<PathBuf>,
    deadline_seconds: Option<u64>,
}

/// The center that both name, on behalf of the customer.
pub(crate) fn center(arguments: &CenterArguments) -> Result<Center, String> {
    Center::new(settings(arguments)?).map_err(|error| error.to_string())
}

/// Whoever uses URLs that others signed: with the file's deadline and authorities, if there is a file.
pub(crate) fn bearer(arguments: &CenterArguments) -> Result<Bearer, String> {
    let file = file(arguments)?;
    let authorities = file.ca_certificate.as_deref().map(read).transpose()?;
    let deadline = file.deadline_seconds.map_or(DEADLINE, deadline);
    Bearer::new(deadline, authorities.as_deref()).map_err(|error| error.to_string())
}

fn file(arguments: &CenterArguments) -> Result<File, String> {
    arguments.config.as_deref().map_or_else(|| Ok(File::default()), load)
}

fn deadline(seconds: u64) -> Duration {
    Duration::from_secs(seconds.clamp(1, 3_600))
}

/// Settings from both. File names in the file are relative to its folder.
fn settings(arguments: &CenterArguments) -> Result<Settings, String> {
    let file = file(arguments)?;
    let either =
        |argument: &[String], file: Vec<String>| if argument.is_empty() { file } else { argument.to_vec() };
    let customer = arguments.customer.or(file.customer);
    let customer = customer.ok_or("no customer: give --customer NUMBER, or `customer` in --config FILE")?;
    let secret_file = arguments.secret_file.clone().or(file.secret_file);
    let secret_file = secret_file
        .ok_or("no secret: give --secret-file FILE, CENTER_SECRET_FILE, or `secret_file` in --config FILE")?;
    let secret = Secret::from_file_content(&read(&secret_file)?)
        .map_err(|error| format!("{}: {error}", secret_file.display()))?;
    let ddm = either(&arguments.ddm, file.ddm);
    // One process may be both: who names one, means both.
    let dosm = either(&arguments.dosm, file.dosm);
    let dosm = if dosm.is_empty() { ddm.clone() } else { dosm };

    let mut settings = Settings::new(ddm, dosm, CustomerId(customer), secret);
    if let Some(seconds) = file.deadline_seconds {
        settings.deadline = deadline(seconds);
    }
    if let Some(path) = file.ca_certificate {
        settings.ca_certificates = Some(read(&path)?);
    }
    Ok(settings)
}

fn load(path: &Path) -> Result<File, String> {
    let text = String::from_utf8(read(path)?).map_err(|_| format!("{}: not a text file", path.display()))?;
    let mut file: File = toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
        format!("{}: line {line}: {}", path.display(), error.message())
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    for name in [&mut file.secret_file, &mut file.ca_certificate].into_iter().flatten() {
        *name = folder.join(&*name);
    }
    Ok(file)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let told = |error| format!("cannot read {}: {error}", path.display());
    if fs::metadata(path).map_err(told)?.len() > FILE_BYTES_MAX {
        return Err(format!("{} is too long to be meant", path.display()));
    }
    fs::read(path).map_err(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(config: PathBuf) -> CenterArguments {
        CenterArguments { config: Some(config), ddm: vec![], dosm: vec![], customer: None, secret_file: None }
    }

    #[test]
    fn a_file_is_enough_and_the_command_line_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("secret"), "0123456789abcdef\n").unwrap();
        let config = folder.path().join("center.toml");
        fs::write(&config, "ddm = ['http://a:1']\ncustomer = 7\nsecret_file = 'secret'\n").unwrap();
        let mut arguments = arguments(config);
        let found = settings(&arguments).unwrap();
        assert_eq!(
            (found.customer, found.ddm, found.dosm),
            (CustomerId(7), vec!["http://a:1".into()], vec!["http://a:1".to_owned()])
        );
        arguments.customer = Some(8);
        arguments.dosm = vec!["http://b:1".into()];
        let found = settings(&arguments).unwrap();
        assert_eq!((found.customer, found.dosm), (CustomerId(8), vec!["http://b:1".to_owned()]));
    }

    #[test]
    fn mistakes_are_told_in_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("center.toml");
        let told = |text: &str| {
            fs::write(&config, text).unwrap();
            settings(&arguments(config.clone())).unwrap_err()
        };
        assert!(told("customer = 7\ndosn = []").contains("line 2: unknown field `dosn`"));
        assert!(told("").starts_with("no customer"));
        assert!(told("customer = 7").starts_with("no secret"));
        assert!(told("customer = 7\nsecret_file = 'none'").contains("cannot read"));
        fs::write(folder.path().join("short"), "0123456789\n").unwrap();
        assert!(
            told("customer = 7\nsecret_file = 'short'").ends_with("short: a secret has at least 16 bytes")
        );
    }
}
