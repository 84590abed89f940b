//! What a disk says of itself, asked through smartmontools if they are installed. A shell.

use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use super::sample::DiskSample;

/// What smartctl prints of one disk's health takes some hundred bytes.
const OUTPUT_BYTES_MAX: u64 = 64 << 10;

/// Asks the disk whose directory in sysfs this is; `None` if it does not say.
///
/// # Errors
/// `NotFound` if smartctl is not there.
pub(super) fn ask(device: &Path) -> io::Result<Option<DiskSample>> {
    let Some(name) = device.file_name() else { return Ok(None) };
    let mut child = Command::new("smartctl")
        .args(["--health", "--json"])
        .arg(Path::new("/dev").join(name))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut output = Vec::new();
    if let Some(pipe) = child.stdout.take() {
        pipe.take(OUTPUT_BYTES_MAX).read_to_end(&mut output)?;
    }
    child.wait()?;
    // Its exit status is a set of bits with many meanings; what counts is in the text.
    Ok(passed(&output).map(|passed| DiskSample::Smart { passed }))
}

fn passed(output: &[u8]) -> Option<bool> {
    let document: serde_json::Value = serde_json::from_slice(output).ok()?;
    document.get("smart_status")?.get("passed")?.as_bool()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As smartctl 7.3 writes it.
    #[test]
    fn the_verdict_is_read_out_of_smartctls_json() {
        let said = |status: &str| passed(format!(r#"{{"json_format_version":[1,0]{status}}}"#).as_bytes());
        assert_eq!(said(r#","smart_status":{"passed":true}"#), Some(true));
        assert_eq!(said(r#","smart_status":{"passed":false,"nvme":{"value":4}}"#), Some(false));
        assert_eq!(said(r#","device":{"name":"/dev/vda"}"#), None);
        assert_eq!(passed(b"smartctl: command line"), None);
    }
}
