//! A port that is set up from one file about its site: by hand, or in a conversation on a console.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use e2e::daemon::{binary, free_port};
use e2e::netns::NetworkNamespace;
use e2e::poll;
use e2e::site::Site;
use e2e::smbclient::{Smbclient, User, write_users};
use e2e::tmpfs::Tmpfs;
use e2e::tools::{run, run_ok};

/// How long a program may take to say something.
const PATIENCE: Duration = Duration::from_secs(60);
/// This port's own address on the LAN.
const LAN: &str = "192.0.2.11";

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A machine's NICs, as far as sysfs is looked at: `nic0`, `nic1`, `nic2`, all with a cable.
fn machine(dir: &Path) -> PathBuf {
    let class = dir.join("sys/class/net");
    for number in 0..3 {
        let nic = class.join(format!("nic{number}"));
        let device = dir.join(format!("sys/devices/pci0000:00/0000:00:0{number}.0"));
        fs::create_dir_all(&nic).unwrap();
        fs::create_dir_all(&device).unwrap();
        symlink(&device, nic.join("device")).unwrap();
        for (file, content) in
            [("address", format!("52:54:00:00:00:0{number}")), ("type", "1".into()), ("carrier", "1".into())]
        {
            fs::write(nic.join(file), content).unwrap();
        }
    }
    class
}

/// A folder with a site file for a port that stands alone, beside the secret of a customer of `site`.
fn provisioned(site: &Site, url: &str) -> PathBuf {
    let folder = site.path().join("esp");
    fs::create_dir_all(&folder).unwrap();
    fs::copy(site.secret_file(1), folder.join("customer-1.secret")).unwrap();
    let path = folder.join("site.toml");
    let content = format!(
        r#"schema = 1
[port]
name = "port-a"
[lan]
nic = "52:54:00:00:00:00"
address = "{LAN}/24"
[wan]
nic = "0000:00:01.0"
address = "198.51.100.7/24"
dns = ["198.51.100.53"]
[center]
url = ["{url}"]
customer = 1
secret_file = "customer-1.secret"
"#
    );
    fs::write(&path, content).unwrap();
    path
}

fn edit(path: &Path, from: &str, to: &str) {
    let content = fs::read_to_string(path).unwrap();
    assert!(content.contains(from), "{from} in {content}");
    fs::write(path, content.replacen(from, to, 1)).unwrap();
}

fn setup(arguments: &[&str]) -> Output {
    run(text(&binary("storage-port")), &[&["setup"], arguments].concat())
}

/// What `setup check` has against a site file.
#[track_caller]
fn faults(site: &Path, extra: &[&str]) -> Vec<String> {
    let output = setup(&[&["check", "--site", text(site)], extra].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(i32::from(!said.is_empty())), "{said}");
    said.lines().map(|line| line.strip_prefix("storage-port: ").unwrap_or(line).to_owned()).collect()
}

#[track_caller]
fn assert_one(faults: &[String], words: &[&str]) {
    assert_eq!(faults.len(), 1, "{faults:#?}");
    for word in words {
        assert!(faults[0].contains(word), "`{}` lacks `{word}`", faults[0]);
    }
}

/// PORT-18: from the site file to a port that serves; told to who started it, and found out as a client does.
#[test]
fn a_port_serves_by_what_its_site_file_renders() {
    let network = NetworkNamespace::new("setup");
    network.run_ok("ip", &["link", "add", "lan", "type", "bridge"]);
    network.run_ok("ip", &["address", "add", &format!("{LAN}/24"), "dev", "lan"]);
    network.run_ok("ip", &["link", "set", "lan", "up"]);
    let site = Site::start_at(Some(network.name()), "192.0.2.11:8080".parse().unwrap());
    let file = provisioned(&site, &site.center_url());
    let (data, out) = (site.path().join("data"), site.path().join("run"));
    let render = || setup(&["render", "--site", text(&file), "--out", text(&out), "--data", text(&data)]);
    let port_config = out.join("storage-port.toml");

    // Without disks there is a network, and nothing that would serve without a journal.
    fs::create_dir_all(data.join("journal")).unwrap();
    let output = render();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(
        said.contains("sp-journal")
            && said.contains("sp-cache0")
            && said.contains("storage-port-disk prepare")
    );
    assert!(out.join("network").exists() && !port_config.exists());

    let disks: Vec<_> = ["cache0", "cache3", "journal"]
        .iter()
        .map(|disk| Tmpfs::mount(&data.join(disk), "size=256m"))
        .collect();
    let output = render();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let facts = fs::read_to_string(out.join("network")).unwrap();
    assert!(facts.contains(&format!("role lan 52:54:00:00:00:00 {LAN}/24 -\n")), "{facts}");
    assert!(facts.contains("role wan 0000:00:01.0 198.51.100.7/24 -\n"), "{facts}");
    let config = fs::read_to_string(&port_config).unwrap();
    assert!(config.contains("cache3/cache/port") && config.contains("journal/state/port"), "{config}");
    let mode = |path: &str| fs::metadata(out.join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(
        [mode("port"), mode("port/customer.secret"), mode("storage-port.toml")],
        [0o700, 0o600, 0o644]
    );
    for line in facts.lines().filter_map(|line| line.strip_prefix("directory ")) {
        fs::create_dir_all(line.split(' ').nth(2).unwrap()).unwrap();
    }

    let probe = |extra: &[&str]| {
        let program = binary("storage-port");
        let command = [
            &["netns", "exec", network.name(), text(&program), "probe", "--config", text(&port_config)],
            extra,
        ];
        run("ip", &command.concat())
    };
    let silent = probe(&[]);
    let said = String::from_utf8(silent.stderr).unwrap();
    assert!(
        silent.status.code() == Some(1) && said.contains("not served: nobody answers at 192.0.2.11:2049"),
        "{said}"
    );

    let start = || started(&site, network.name(), &port_config);
    let mut port = start();
    let served = probe(&["--address", LAN]);
    let said = String::from_utf8_lossy(&served.stdout).into_owned();
    assert!(served.status.success(), "{}", String::from_utf8_lossy(&served.stderr));
    assert_eq!(said, "served: /export at 192.0.2.11:2049\n");
    // From elsewhere than the LAN nothing is mounted.
    let config = fs::read_to_string(&port_config).unwrap();
    assert!(config.contains("allowed = [\"192.0.2.0/24\"]"), "{config}");
    port.kill().unwrap();
    port.wait().unwrap();
    assert_eq!(probe(&[]).status.code(), Some(1));

    // Who may log on by CIFS has a line that is made once the port has its key.
    edit(&file, "[center]", "[cifs]\nusers_file = \"cifs-users\"\n[center]");
    assert_one(&faults(&file, &["--elsewhere"]), &["[cifs] users_file", "cifs-users", "no such file"]);
    let alice = User { name: "alice", id: 1000, password: "Secret 1" };
    write_users(&file.with_file_name("cifs-users"), &port_config, &[alice]);
    let output = render();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(fs::read_to_string(out.join("network")).unwrap().contains("\ncifs yes\n"));
    assert_eq!(mode("port/cifs-users"), 0o600);
    let mut port = start();
    let client = Smbclient::new("192.0.2.11:445".parse().unwrap(), alice.name, alice.password);
    let listed = network.entrance().inside(|| client.shares()).good().unwrap();
    assert!(listed.contains("Disk|export|") && listed.contains("Disk|SRL|"), "{listed}");
    port.kill().unwrap();
    port.wait().unwrap();
    drop(disks);
}

/// A port in a network namespace, once it serves. Who starts it waits on descriptor 3.
fn started(site: &Site, namespace: &str, config: &Path) -> Child {
    let (told, log) = (site.path().join("told"), site.path().join("port.log"));
    // What an earlier one has told.
    let _ = fs::remove_file(&told);
    let script = "exec 3>\"$0\"; exec \"$@\"";
    let mut port = Command::new("ip")
        .args(["netns", "exec", namespace, "sh", "-c", script, text(&told), text(&binary("storage-port"))])
        .args(["serve", "--ready-fd", "3", "--config", text(config)])
        .stdout(Stdio::null())
        .stderr(fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    poll::until("the port says that it serves", PATIENCE, || {
        assert!(port.try_wait().unwrap().is_none(), "{}", fs::read_to_string(&log).unwrap());
        fs::read(&told).is_ok_and(|told| told == b"\n").then_some(())
    });
    port
}

/// PORT-18: a supervisor's mistake is told, by both daemons.
#[test]
fn a_descriptor_that_is_not_open_is_told() {
    for (program, command) in [("storage-port", "serve"), ("port-failover", "run")] {
        let output = run(text(&binary(program)), &[command, "--config", "/no/such", "--ready-fd", "77"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains("--ready-fd 77"), "{said}");
    }
}

/// PORT-18: every fault is told at once, each in a line that says what to do, and nothing is written.
#[test]
fn all_that_is_wrong_is_told_at_once() {
    let site = Site::start();
    let file = provisioned(&site, &site.center_url());
    let sysfs = machine(site.path());
    let here = ["--sysfs", text(&sysfs)];
    assert_eq!(faults(&file, &here), [""; 0]);

    edit(&file, "52:54:00:00:00:00", "52:54:00:00:00:77");
    assert_one(&faults(&file, &here), &["[lan] nic", "nic0 52:54:00:00:00:00", "cable in"]);
    assert_eq!(faults(&file, &["--elsewhere"]), [""; 0], "a file for another machine");
    edit(&file, "52:54:00:00:00:77", "0000:00:01.0");
    assert_one(&faults(&file, &here), &["[wan] nic", "is that of [lan] as well"]);
    edit(&file, "0000:00:01.0", "52:54:00:00:00:00");

    edit(&file, "name = \"port-a\"", "name = \"Port A\"");
    edit(&file, "customer = 1", "customer = \"1\"");
    edit(&file, "dns = [", "dsn = [");
    edit(&file, "address = \"192.0.2.11/24\"", "address = \"192.0.2.11\"");
    let told = faults(&file, &here);
    for words in [
        "[port] name",
        "[center] customer",
        "[wan] dsn: there is no such key; did you mean `dns`",
        "[lan] address",
    ] {
        assert!(told.iter().any(|line| line.contains(words)), "{words} in {told:#?}");
    }
    assert_eq!(told.len(), 4, "{told:#?}");
    let out = site.path().join("run");
    let output = setup(&["render", "--site", text(&file), "--out", text(&out), "--data", "/data"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(!out.exists(), "nothing is written");

    // What only a daemon knows is told in its words.
    let file = provisioned(&site, &site.center_url());
    let before = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{before}\n[advanced.storage-port.upload]\nquiet_msec = 1\n")).unwrap();
    assert_one(&faults(&file, &here), &["[advanced.storage-port]", "quiet_msec", "quiet_ms"]);
    fs::write(&file, &before).unwrap();
    fs::write(file.with_file_name("customer-1.secret"), "short").unwrap();
    assert_one(&faults(&file, &here), &["[center] secret_file", "16 characters"]);
    fs::remove_file(file.with_file_name("customer-1.secret")).unwrap();
    assert_one(&faults(&file, &here), &["no such file"]);
    fs::write(&file, before.replace("schema = 1", "schema = 2")).unwrap();
    assert_one(&faults(&file, &here), &["schema 2", "newer firmware"]);
}

/// PORT-18: a pair's keys are this port's, the judge's own check is asked, and its configuration is rendered.
#[test]
fn a_pair_is_checked_with_its_keys() {
    let site = Site::start();
    let file = provisioned(&site, &site.center_url());
    let sysfs = machine(site.path());
    let here = ["--sysfs", text(&sysfs)];
    let keys = site.path().join("keys");
    run_ok(text(&binary("storage-port")), &["pair", "keys", "--name", "site-1", "--out", text(&keys)]);
    let alone = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{alone}{PAIR}")).unwrap();
    assert_one(
        &faults(&file, &here),
        &["[pair] keys", "no such folder", "storage-port pair keys --name site-1"],
    );
    let folder = file.with_file_name("pair");
    let put = |from: &Path| run_ok("cp", &["-rT", text(from), text(&folder)]);
    put(&keys);
    assert_one(&faults(&file, &here), &["keys of both ports", "keys = \"pair/a\""]);
    fs::remove_dir_all(&folder).unwrap();
    put(&keys.join("b"));
    assert_one(&faults(&file, &here), &["keys of the other port, b"]);
    fs::remove_dir_all(&folder).unwrap();
    put(&keys.join("a"));
    assert_eq!(faults(&file, &here), [""; 0]);
    edit(&file, "name = \"site-1\"", "name = \"site-2\"");
    assert_one(&faults(&file, &here), &["another pair than site-2"]);
    edit(&file, "name = \"site-2\"", "name = \"site-1\"");
    edit(&file, "peer_heartbeat = \"10.99.0.2\"", "peer_heartbeat = \"10.98.0.2\"");
    edit(&file, "addresses = [\"192.0.2.10/24\"]", "addresses = [\"192.0.3.10/24\"]");
    let told = faults(&file, &here);
    assert!(told.len() == 3 && told.iter().all(|line| line.starts_with("[pair]")), "{told:#?}");
    edit(&file, "10.98.0.2", "10.99.0.2");
    edit(&file, "192.0.3.10", "192.0.2.10");
    let good = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{good}[advanced.port-failover.timers]\nlease_ms = 20\n")).unwrap();
    assert_one(&faults(&file, &here), &["[advanced.port-failover]", "lease_ms"]);

    // Rendered, and back to a port that stands alone: nothing of the pair stays.
    let (data, out) = (site.path().join("data"), site.path().join("run"));
    let _disks: Vec<_> = ["cache0", "journal", "state"]
        .iter()
        .map(|disk| Tmpfs::mount(&data.join(disk), "size=128m"))
        .collect();
    let render = || {
        let output = setup(&["render", "--site", text(&file), "--out", text(&out), "--data", text(&data)]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    fs::write(&file, &good).unwrap();
    render();
    let judge = out.join("port-failover.toml");
    run_ok(text(&binary("port-failover")), &["config", "check", "--config", text(&judge)]);
    let judge_text = fs::read_to_string(&judge).unwrap();
    for words in ["interface = \"heartbeat\"", "state/state/port", "cache0/cache/judge", "192.0.2.11:7420"] {
        assert!(judge_text.contains(words), "{words} in {judge_text}");
    }
    assert_eq!(fs::metadata(out.join("judge/pair.key")).unwrap().permissions().mode() & 0o7777, 0o600);
    fs::write(&file, &alone).unwrap();
    render();
    assert!(!judge.exists() && !out.join("judge/pair.key").exists() && !out.join("port/pair.key").exists());
}

/// What a port of a pair, `a`, has in its site file beside the rest.
const PAIR: &str = r#"
[heartbeat]
nic = "52:54:00:00:00:02"
address = "10.99.0.1/30"
[pair]
name = "site-1"
member = "a"
addresses = ["192.0.2.10/24"]
peer_lan = "192.0.2.12"
peer_heartbeat = "10.99.0.2"
keys = "pair"
reference = ["192.0.2.1"]
"#;

/// A daemon as its own user with some capabilities, in a network; and the file on which it tells that it is ready.
fn daemon_as(
    network: &NetworkNamespace,
    dir: &Path,
    user: u32,
    capabilities: &str,
    command: &[&str],
) -> (Child, PathBuf) {
    let name = Path::new(command[0]).file_name().unwrap().to_str().unwrap();
    let (told, log) = (dir.join(format!("{name}.told")), dir.join(format!("{name}.log")));
    let (user, log) = (user.to_string(), fs::File::create(log).unwrap());
    let child = Command::new("ip")
        .args(["netns", "exec", network.name(), "sh", "-c", "exec 3>\"$0\"; exec \"$@\"", text(&told)])
        .args([
            "setpriv",
            "--reuid",
            &user,
            "--regid",
            &PORT_USER.to_string(),
            "--clear-groups",
            "--no-new-privs",
        ])
        .args(["--bounding-set", capabilities, "--inh-caps", capabilities, "--ambient-caps", capabilities])
        .args(command)
        .args(["--ready-fd", "3"])
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    (child, told)
}

/// Whom the daemons run as.
const PORT_USER: u32 = 810;
const JUDGE_USER: u32 = 811;

/// PORT-18, FO-1: by what is rendered a port of a pair serves at the floating address, judged by a judge that is another user
/// and has no more rights than it is given.
#[test]
fn a_pair_serves_by_what_is_rendered_without_root() {
    let (network, outside) = (NetworkNamespace::new("setup-pair"), NetworkNamespace::new("setup-outside"));
    let links = [
        ("lan", "192.0.2.11/24", "192.0.2.1/24"),
        ("wan", "198.51.100.7/24", "198.51.100.50/24"),
        ("heartbeat", "10.99.0.1/30", "10.99.0.2/30"),
    ];
    for (role, own, end) in links {
        let peer = ["peer", "name", role, "netns", outside.name()];
        network.run_ok("ip", &[&["link", "add", role, "type", "veth"][..], &peer].concat());
        for (network, address) in [(&network, own), (&outside, end)] {
            network.run_ok("ip", &["address", "add", address, "dev", role]);
            network.run_ok("ip", &["link", "set", role, "up"]);
        }
    }
    let site = Site::start_at(Some(outside.name()), "198.51.100.50:8080".parse().unwrap());
    let dir = site.path();
    fs::set_permissions(dir, fs::Permissions::from_mode(0o711)).unwrap();
    let file = provisioned(&site, &site.center_url());
    let keys = dir.join("keys");
    run_ok(text(&binary("storage-port")), &["pair", "keys", "--name", "site-1", "--out", text(&keys)]);
    run_ok("cp", &["-rT", text(&keys.join("a")), text(&file.with_file_name("pair"))]);
    fs::write(&file, fs::read_to_string(&file).unwrap() + PAIR).unwrap();
    let (data, out) = (dir.join("data"), dir.join("run"));
    let disks: Vec<_> = ["cache0", "journal", "state"]
        .iter()
        .map(|disk| Tmpfs::mount(&data.join(disk), "size=256m,mode=0755"))
        .collect();
    let output = setup(&["render", "--site", text(&file), "--out", text(&out), "--data", text(&data)]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // As the boot scripts do it.
    for line in fs::read_to_string(out.join("network")).unwrap().lines() {
        let words: Vec<&str> = line.split(' ').collect();
        if let ["directory", whose, mode, folder] = words[..] {
            let user = if whose == "port" { PORT_USER } else { JUDGE_USER };
            run_ok("mkdir", &["-p", folder]);
            run_ok("chown", &[&format!("{user}:{user}"), folder]);
            run_ok("chmod", &[mode, folder]);
        }
    }
    for (whose, user) in [("port", PORT_USER), ("judge", JUDGE_USER)] {
        run_ok("chown", &["-R", &format!("{user}:{user}"), text(&out.join(whose))]);
    }
    // A test must not arm the watchdog of the machine it runs on.
    let (port_config, judge_config) = (out.join("storage-port.toml"), out.join("port-failover.toml"));
    let judge =
        fs::read_to_string(&judge_config).unwrap().replace("[watchdog]\ndevice = \"/dev/watchdog\"\n", "");
    assert!(!judge.contains("watchdog"), "{judge}");
    fs::write(&judge_config, judge).unwrap();
    // Where the build folder lies, another user may not be let in.
    let programs = ["storage-port", "port-failover"].map(|program| {
        let copy = dir.join(program);
        fs::copy(binary(program), &copy).unwrap();
        copy
    });
    let command = [text(&programs[0]), "serve", "--config", text(&port_config)];
    let (mut port, port_told) =
        daemon_as(&network, dir, PORT_USER, "-all,+net_bind_service,+net_raw", &command);
    let command = [text(&programs[1]), "run", "--config", text(&judge_config)];
    let capabilities = "-all,+net_admin,+net_raw,+sys_nice,+ipc_lock";
    let (mut judge, judge_told) = daemon_as(&network, dir, JUDGE_USER, capabilities, &command);
    let logs = || {
        let log = |name: &str| fs::read_to_string(dir.join(name)).unwrap();
        format!("{}\n{}", log("storage-port.log"), log("port-failover.log"))
    };
    for (daemon, told) in [(&mut port, &port_told), (&mut judge, &judge_told)] {
        poll::until("both daemons are ready", PATIENCE, || {
            assert!(daemon.try_wait().unwrap().is_none(), "{}", logs());
            fs::read(told).is_ok_and(|told| told == b"\n").then_some(())
        });
    }
    let probe = |network: &NetworkNamespace, extra: &[&str]| {
        let command =
            ["netns", "exec", network.name(), text(&programs[0]), "probe", "--config", text(&port_config)];
        run("ip", &[&command[..], extra].concat())
    };
    // The other port is not there, so the center's lease makes this one active.
    let waited = poll::until("a client is served at the floating address", PATIENCE, || {
        assert!(port.try_wait().unwrap().is_none() && judge.try_wait().unwrap().is_none(), "{}", logs());
        let output = probe(&outside, &["--address", "192.0.2.10"]);
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    });
    assert_eq!(waited, "served: /export at 192.0.2.10:2049\n");
    assert!(probe(&network, &["--address", LAN]).status.success(), "{}", logs());
    let stopped = run("kill", &["-STOP", &port.id().to_string()]);
    assert!(stopped.status.success());
    let hung = probe(&network, &["--address", LAN, "--or-standby"]);
    assert_eq!(hung.status.code(), Some(1), "a port that hangs is not standing by");
    assert!(
        String::from_utf8_lossy(&hung.stderr).contains("no answer"),
        "{}",
        String::from_utf8_lossy(&hung.stderr)
    );
    for mut daemon in [judge, port] {
        daemon.kill().unwrap();
        daemon.wait().unwrap();
    }
    drop(disks);
}

/// PORT-18: what keeps a port from its storage center is told apart, from the name server to the secret.
#[test]
fn what_is_between_a_port_and_its_center_is_told_apart() {
    let mut site = Site::start();
    let sysfs = machine(site.path());
    let url = site.center_url();
    let file = provisioned(&site, &url);
    let deadline = "\n[advanced.storage-port.center]\ndeadline_seconds = 2\n";
    let given = fs::read_to_string(&file).unwrap() + deadline;
    let online = |content: &str| {
        fs::write(&file, content).unwrap();
        faults(&file, &["--sysfs", text(&sysfs), "--online"])
    };
    assert_eq!(online(&given), [""; 0]);
    assert_one(
        &online(&given.replace(&url, "http://no-such-host.invalid:80")),
        &["[center]", "cannot be looked up"],
    );
    let closed = format!("http://127.0.0.1:{}", free_port());
    assert_one(&online(&given.replace(&url, &closed)), &["nobody listens"]);
    assert_one(&online(&given.replace("http://", "https://")), &["does not speak TLS"]);
    let secret = file.with_file_name("customer-1.secret");
    let right = fs::read(&secret).unwrap();
    fs::write(&secret, "another secret of sixteen").unwrap();
    assert_one(&online(&given), &["customer 1", "secret"]);
    fs::write(&secret, right).unwrap();

    let serve = |site: &mut Site, until: i32| {
        let authority = site.serve_tls("127.0.0.1", until);
        fs::write(file.with_file_name("ca.pem"), authority).unwrap();
    };
    serve(&mut site, 2090);
    let secure = given.replace("http://", "https://");
    let trusted = secure.replace("customer = 1", "customer = 1\nca_file = \"ca.pem\"");
    assert_eq!(online(&trusted), [""; 0]);
    assert_one(&online(&secure), &["not signed by an authority that is trusted here", "`ca_file`"]);
    assert_one(&online(&trusted.replace("//127.0.0.1", "//localhost")), &["for another name"]);
    serve(&mut site, 2021);
    assert_one(&online(&trusted), &["has expired", "clock"]);
}

/// A conversation with the wizard.
struct Console {
    child: Child,
    output: Receiver<Vec<u8>>,
    seen: String,
}

impl Console {
    fn start(command: &mut Command) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let (sender, output) = channel();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = stdout.read(&mut bytes) {
                if sender.send(bytes[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { child, output, seen: String::new() }
    }

    /// Waits until it has said `words` after what was answered last, and answers.
    #[track_caller]
    fn answer(&mut self, words: &str, line: &str) {
        let mut said = String::new();
        while !said.contains(words) {
            match self.output.recv_timeout(PATIENCE) {
                Ok(bytes) => said.push_str(&String::from_utf8_lossy(&bytes)),
                Err(error) => panic!("`{words}` was not said ({error}), but: {said}\nbefore: {}", self.seen),
            }
        }
        self.seen.push_str(&said);
        let mut stdin = self.child.stdin.as_ref().unwrap();
        stdin.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Its exit status, and all that it said.
    fn end(mut self) -> (Option<i32>, String) {
        while let Ok(bytes) = self.output.recv_timeout(PATIENCE) {
            self.seen.push_str(&String::from_utf8_lossy(&bytes));
        }
        drop(self.child.stdin.take());
        (self.child.wait().unwrap().code(), self.seen)
    }
}

/// PORT-18: on a terminal, from the first question to a storage center that answers; the secret is seen nowhere.
#[test]
fn a_site_file_comes_of_a_conversation_on_a_terminal() {
    let site = Site::start();
    let sysfs = machine(site.path());
    let folder = site.path().join("esp");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("site.toml");
    let command =
        format!("{} setup --site {} --sysfs {}", text(&binary("storage-port")), text(&file), text(&sysfs));
    let mut console = Console::start(Command::new("script").args([
        "--quiet",
        "--return",
        "--command",
        &command,
        "/dev/null",
    ]));
    let secret = fs::read_to_string(site.secret_file(1)).unwrap().trim_end().to_owned();
    console.answer("Name of this machine", "Port A");
    console.answer("lower-case", "port-a");
    console.answer("nic2 52:54:00:00:00:02", "1");
    console.answer("own address on the LAN", "192.0.2.11/24");
    console.answer("Router to clients", "");
    console.answer("[52:54:00:00:00:01]", "");
    console.answer("address on the WAN", "198.51.100.7/24");
    console.answer("Router to the storage center", "203.0.113.1");
    console.answer("no host of 198.51.100.0/24", "198.51.100.1");
    console.answer("Name servers", "");
    console.answer("Time servers", "192.0.2.123");
    console.answer("Storage center", &site.center_url());
    console.answer("Number of the customer", "1");
    console.answer("secret:", "not the right secret");
    console.answer("one of two ports", "");
    console.answer("File of public keys", "");
    console.answer("What now", "online");
    console.answer("customer 1", "back");
    console.answer("File of public keys", "back");
    console.answer("one of two ports", "back");
    console.answer("secret:", &secret);
    console.answer("one of two ports", "");
    console.answer("File of public keys", "");
    console.answer("What now", "online");
    console.answer("takes the secret", "write");
    let (code, said) = console.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("Written."), "{said}");
    assert!(!said.contains(&secret) && !said.contains("not the right secret"), "the secret is seen: {said}");
    assert_eq!(faults(&file, &["--sysfs", text(&sysfs), "--online"]), [""; 0]);
    let kept = folder.join("customer-1.secret");
    assert_eq!(fs::read_to_string(&kept).unwrap().trim_end(), secret);
    assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o7777, 0o600);
    assert!(!fs::read_to_string(&file).unwrap().contains(&secret));
}

/// PORT-18: who leaves in the middle has changed nothing; a script may answer, too.
#[test]
fn a_conversation_that_ends_early_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let sysfs = machine(dir.path());
    let file = dir.path().join("site.toml");
    let wizard = |answers: &str| {
        let mut console = Console::start(Command::new(binary("storage-port")).args([
            "setup",
            "--site",
            text(&file),
            "--sysfs",
            text(&sysfs),
        ]));
        console.child.stdin.take().unwrap().write_all(answers.as_bytes()).unwrap();
        console.end()
    };
    for answers in ["", "port-a\n1\n", "port-a\n1\n192.0.2.11/24\nquit\n", &"x".repeat(100_000)] {
        let (code, said) = wizard(answers);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("Nothing was written.") && !file.exists(), "{said}");
    }
    let answers =
        "port-a\n1\n192.0.2.11/24\n\n2\ndhcp\n\n\nhttp://127.0.0.1:1\n1\n0123456789abcdef\n\n\nwrite\n";
    let (code, said) = wizard(answers);
    assert_eq!(code, Some(0), "{said}");
    let written = fs::read_to_string(&file).unwrap();
    // Asked again, with all answers there; an end before `write` changes nothing.
    let (code, _) = wizard("port-b\n");
    assert_eq!((code, fs::read_to_string(&file).unwrap()), (Some(1), written));
}
