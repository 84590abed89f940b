//! A browser shows a page of somebody's site, whose media and data it gets from the storage center by SRL (Figure 2).

#![allow(clippy::unwrap_used)]

use std::fs;
use std::time::Duration;

use e2e::chromium::{Chromium, Pages};
use e2e::data;
use e2e::poll;
use e2e::site::Site;
use e2e::tools::curl;
use protocol::digest::Fingerprint;
use protocol::id::{CustomerId, ObjectId};
use protocol::srl::{AccessMethod, ObjectName, SrlKind, SrlOperation, SrlRequest, SrlVersion};
use protocol::vfs::xml::decode_stored;

const PATIENCE: Duration = Duration::from_secs(60);
/// Of the sound: 16 bits, two channels.
const BYTES_PER_SECOND: u32 = 44_100 * 4;
const SECONDS: u32 = 180;

/// Noise in PCM, which every browser plays (WAVE, RIFF).
fn wav() -> Vec<u8> {
    let samples = data::bytes(1, (SECONDS * BYTES_PER_SECOND) as usize);
    let len = samples.len() as u32;
    let mut bytes = Vec::with_capacity(samples.len() + 44);
    bytes.extend(b"RIFF");
    bytes.extend((len + 36).to_le_bytes());
    bytes.extend(b"WAVEfmt ");
    bytes.extend(16u32.to_le_bytes());
    bytes.extend([1u16, 2].map(u16::to_le_bytes).concat());
    bytes.extend([44_100, BYTES_PER_SECOND].map(u32::to_le_bytes).concat());
    bytes.extend([4u16, 16].map(u16::to_le_bytes).concat());
    bytes.extend(b"data");
    bytes.extend(len.to_le_bytes());
    bytes.extend(samples);
    bytes
}

/// Plays the end of the sound, then reads a part of it and stores a text, as a page of any site may.
fn page(sound: &str, upload: &str) -> String {
    format!(
        "<!doctype html><title>x</title><audio id=sound preload=metadata src='{sound}'></audio>
<script>
const sound = document.getElementById('sound');
const report = text => fetch('/report', {{ method: 'POST', body: text }});
const fail = what => error => report(`${{what}} failed: ${{error}}`);
sound.onerror = () => report(`sound failed: ${{sound.error.code}} ${{sound.error.message}}`);
sound.onloadedmetadata = () => {{ sound.currentTime = sound.duration - 1; }};
sound.onseeked = () => {{
    report(`seeked to ${{sound.currentTime}} of ${{sound.duration}}`)
        .then(() => sound.play()).catch(fail('play'));
    sound.onseeked = null;
}};
sound.onended = async () => {{
    await report(`ended at ${{sound.currentTime}}`);
    const part = await fetch('{sound}', {{ headers: {{ Range: 'bytes=0-3' }} }});
    await report(`${{part.status}} ${{part.headers.get('content-range')}} ${{await part.text()}}`);
    const stored = await fetch('{upload}', {{ method: 'PUT', body: 'miaow' }});
    await report(`${{stored.status}} ${{await stored.text()}}`);
}};
addEventListener('unhandledrejection', event => report(`failed: ${{event.reason}}`));
</script>"
    )
}

/// SYS-12, CDN-2: a page's sound is played straight from the center, from wherever the listener wants, without the rest
/// of it; and the page's script reads and stores by SRL.
#[test]
fn a_browser_plays_from_the_center_what_a_page_embeds() {
    let mut site = Site::start();
    let log = site.path().join("usage.log");
    let config = fs::read_to_string(site.center_config()).unwrap();
    fs::write(site.center_config(), format!("{config}[dosm]\nusage_log = {log:?}\n")).unwrap();
    site.center.stop();
    site.center.restart();

    let (bytes, secret) = (wav(), site.secret(1));
    let url = |access, operation, name: &str| {
        let (kind, version, customer) = (SrlKind::Standard, SrlVersion::HmacSha256, CustomerId(1));
        let request = SrlRequest { kind, version, expires: 0, access, customer, operation };
        format!("{}{}", site.center_url(), request.sign(&secret).path(name.as_bytes()))
    };
    let file = site.path().join("sound");
    fs::write(&file, &bytes).unwrap();
    let store = url(AccessMethod::StoragePort, SrlOperation::Store { parent: ObjectId(0) }, "");
    let token = format!("X-Upload-Token: {}", "1".repeat(32));
    let (status, ..) = curl(&store, &["-T", file.to_str().unwrap(), "-H", &token, "-H", "Expect:"]);
    assert_eq!(status, 200);

    let fingerprint = Fingerprint::parse(&data::md5_hex(&bytes)).unwrap();
    let fetch = SrlOperation::Fetch { object: ObjectName::Content(fingerprint) };
    let sound = url(AccessMethod::EndUser, fetch, "sound.wav");
    let upload = url(AccessMethod::EndUser, SrlOperation::Store { parent: site.root(1) }, "miaow.txt");
    let pages = Pages::serve(page(&sound, &upload));
    let _browser = Chromium::open(site.path(), &format!("http://{}/", pages.address));

    assert_eq!(pages.next_report(PATIENCE), format!("seeked to {} of {SECONDS}", SECONDS - 1));
    assert_eq!(pages.next_report(PATIENCE), format!("ended at {SECONDS}"));
    assert_eq!(pages.next_report(PATIENCE), format!("206 bytes 0-3/{} RIFF", bytes.len()));
    let stored = pages.next_report(PATIENCE);
    let document = stored.strip_prefix("201 ").unwrap_or_else(|| panic!("{stored}"));
    let stored = decode_stored(document.as_bytes()).unwrap();
    assert!(stored.content.fingerprint.to_string() == data::md5_hex(b"miaow") && stored.file.is_some());

    // The browser asked for the end of the sound by its offset, and got that alone: 206, and fewer bytes than half of
    // it.
    poll::until("the usage log tells of it", PATIENCE, || {
        let log = fs::read_to_string(&log).unwrap();
        let parts = log.lines().map(|line| line.split('\t').collect::<Vec<_>>());
        let mut parts = parts.filter(|fields| fields[2] == "fetch" && fields[4] == "206");
        let is_tail =
            |bytes_sent: u64| (u64::from(BYTES_PER_SECOND)..bytes.len() as u64 / 2).contains(&bytes_sent);
        parts.any(|fields| is_tail(fields[5].parse().unwrap())).then_some(())
    });
    assert_eq!(site.center.stop().code(), Some(0));
}
