//! What can be said of a BR2_EXTERNAL tree without Buildroot: each check gives its faults, one line each.
//!
//! - [`kconfig`] – the configuration, by kconfiglib over stand-ins for Buildroot's symbols.
//! - [`scripts`] – shellcheck.
//! - [`hashes`] – whatever Buildroot would download has a hash.
//! - [`package`] – what the package installs, by GNU make over stand-ins for Buildroot's macros.
//! - [`users`] – the package and the board number users alike.
//! - [`kernel`] – the kernel's configuration has what the appliance needs, and no misspelled name.
//! - [`units`] – systemd's own check.
//!
//! All of it together shows that the tree agrees with itself, not that Buildroot takes it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::tools::{run, run_ok};

/// Where the stand-ins are.
const STUBS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/buildroot");
/// How the tree calls itself in its files.
const TREE: &str = "$(BR2_EXTERNAL_STORAGE_PORT_PATH)";

/// A BR2_EXTERNAL tree.
pub struct Tree {
    root: PathBuf,
}

/// What a service of the image must be able to do, and the symbols of Linux that it takes.
const KERNEL_NEEDS: &[(&str, &[&str])] = &[
    (
        "the judge's fence",
        &[
            "NF_TABLES",
            "NF_TABLES_NETDEV",
            "NETFILTER_INGRESS",
            "NETFILTER_EGRESS",
            "NFT_SOCKET",
            "NF_SOCKET_IPV4",
            "NF_SOCKET_IPV6",
        ],
    ),
    ("the packet filter", &["NF_TABLES_INET", "NF_CONNTRACK", "NFT_CT", "NFT_LIMIT", "NFT_REJECT"]),
    ("ending connections", &["INET_DIAG", "INET_TCP_DIAG", "INET_DIAG_DESTROY"]),
    ("ARP of the judge", &["PACKET"]),
    ("the daemons' filter of system calls", &["SECCOMP", "SECCOMP_FILTER"]),
    (
        "the verified root",
        &["BLK_DEV_DM", "DM_VERITY", "SQUASHFS", "BLK_DEV_LOOP", "BLK_DEV_INITRD", "CRYPTO_SHA256"],
    ),
    (
        "configuration, data and ESP",
        &["EXT4_FS", "VFAT_FS", "EFI_PARTITION", "NLS_CODEPAGE_437", "NLS_ISO8859_1"],
    ),
    (
        "disks",
        &[
            "SATA_AHCI",
            "BLK_DEV_NVME",
            "MEGARAID_SAS",
            "SCSI_MPT3SAS",
            "VIRTIO_BLK",
            "BLK_DEV_SD",
            "USB_STORAGE",
        ],
    ),
    (
        "NICs",
        &[
            "IGB",
            "IXGBE",
            "I40E",
            "ICE",
            "E1000E",
            "TIGON3",
            "BNXT",
            "MLX5_CORE",
            "MLX5_CORE_EN",
            "VIRTIO_NET",
        ],
    ),
    (
        "watchdogs",
        &["WATCHDOG_NOWAYOUT", "ITCO_WDT", "I6300ESB_WDT", "SP5100_TCO", "IPMI_WATCHDOG", "SOFT_WATCHDOG"],
    ),
    ("consoles", &["SERIAL_8250_CONSOLE", "VT_CONSOLE", "FRAMEBUFFER_CONSOLE"]),
    ("booting", &["EFI_STUB", "DEVTMPFS", "DEVTMPFS_MOUNT", "TMPFS"]),
    ("the daemons' sandbox", &["SECCOMP_FILTER"]),
];

impl Tree {
    /// The repository's own.
    pub fn of_the_repository() -> Self {
        Self::at(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("buildroot"))
    }

    /// One that lies there.
    pub fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// A copy of it, to be spoiled.
    pub fn copy(&self, to: &Path) -> Self {
        let (from, to) = (self.root.join("."), to.join("tree"));
        fs::create_dir(&to).unwrap();
        run_ok("cp", &["-a", "--", from.to_str().unwrap(), to.to_str().unwrap()]);
        Self::at(to)
    }

    /// A file of it.
    pub fn path(&self, file: &str) -> PathBuf {
        self.root.join(file)
    }

    /// The text of a file of it.
    pub fn text(&self, file: &str) -> String {
        fs::read_to_string(self.path(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
    }

    /// The defconfig's text.
    pub fn defconfig(&self) -> String {
        self.text(DEFCONFIG)
    }

    /// The value of a symbol in the defconfig.
    pub fn choice(&self, symbol: &str) -> Option<String> {
        let start = format!("{symbol}=");
        let config = self.defconfig();
        let value = config.lines().find_map(|line| line.strip_prefix(&start))?;
        Some(value.trim_matches('"').to_owned())
    }

    /// All files but what release-source makes, relative to the tree.
    fn files(&self) -> Vec<String> {
        let listed = run_ok(
            "find",
            &[self.root.to_str().unwrap(), "-name", "dl", "-prune", "-o", "-type", "f", "-print"],
        );
        let start = format!("{}/", self.root.display());
        let text = String::from_utf8(listed).unwrap();
        text.lines().map(|line| line.strip_prefix(&start).unwrap().to_owned()).collect()
    }

    fn make(&self, out: &Path, arguments: &[&str]) -> Output {
        let stub = format!("{STUBS}/stub.mk");
        let tree = format!("BR2_EXTERNAL_STORAGE_PORT_PATH={}", self.root.display());
        let out = format!("OUT={}", out.display());
        let mut all = vec!["--silent", "--no-print-directory", "-f", &stub, &tree, &out];
        all.extend(arguments);
        run("make", &all)
    }

    /// What a variable of the package comes to.
    fn variable(&self, name: &str, settings: &[&str]) -> String {
        let mut arguments = settings.to_vec();
        let print = format!("print-{name}");
        arguments.push(&print);
        String::from_utf8(self.make(Path::new("/nonexistent"), &arguments).stdout).unwrap()
    }
}

const DEFCONFIG: &str = "configs/storage_port_x86_64_defconfig";

/// Kconfig files and configuration: sources resolve, no name is unknown, every choice takes effect and none says what
/// is the default anyway; files named in it exist; each package has its three files and its symbol.
pub fn kconfig(tree: &Tree) -> Vec<String> {
    let python = python();
    let script = format!("{STUBS}/kconfig.py");
    let stub = format!("{STUBS}/buildroot.kconfig");
    let root = fs::canonicalize(&tree.root).unwrap();
    let defconfig = root.join(DEFCONFIG);
    let told =
        run(python.to_str().unwrap(), &[&script, root.to_str().unwrap(), defconfig.to_str().unwrap(), &stub]);
    let mut faults: Vec<String> = lines(&told.stdout).chain(lines(&told.stderr)).collect();
    if !told.status.success() && faults.is_empty() {
        faults.push(format!("kconfig.py ends with {}", told.status));
    }
    let config = tree.defconfig();
    for word in config.split([' ', '"', '\n']).filter_map(|word| word.strip_prefix(TREE)) {
        let path = tree.root.join(word.trim_start_matches('/'));
        if !path.exists() {
            faults.push(format!("defconfig: {TREE}{word} does not exist"));
        } else if word.ends_with(".sh") && !is_executable(&path) {
            faults.push(format!("defconfig: {TREE}{word} is not executable"));
        }
    }
    for must in [
        "BR2_DOWNLOAD_FORCE_CHECK_HASHES=y",
        "BR2_REPRODUCIBLE=y",
        "# BR2_TARGET_ENABLE_ROOT_LOGIN is not set",
    ] {
        if !config.lines().any(|line| line == must) {
            faults.push(format!("defconfig: {must} is missing"));
        }
    }
    for entry in fs::read_dir(tree.path("package")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        for file in ["Config.in".to_owned(), format!("{name}.mk"), format!("{name}.hash")] {
            if !tree.path("package").join(&name).join(&file).is_file() {
                faults.push(format!("package/{name}: {file} is missing"));
            }
        }
        let symbol = format!("config BR2_PACKAGE_{}", name.to_uppercase().replace('-', "_"));
        let config =
            fs::read_to_string(tree.path("package").join(&name).join("Config.in")).unwrap_or_default();
        if !config.lines().any(|line| line == symbol) {
            faults.push(format!("package/{name}/Config.in: has no `{symbol}`"));
        }
    }
    faults
}

/// Every script: those with a shell in the first line, and those that are executable.
pub fn scripts(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    let mut scripts = Vec::new();
    for file in tree.files() {
        let path = tree.path(&file);
        let text = fs::read(&path).unwrap();
        let first = String::from_utf8_lossy(text.split(|byte| *byte == b'\n').next().unwrap_or_default())
            .into_owned();
        let shell = first.starts_with("#!") && (first.ends_with("/sh") || first.ends_with("bash"));
        if shell {
            if !is_executable(&path) {
                faults.push(format!("{file}: a script that is not executable"));
            }
            scripts.push(path.to_str().unwrap().to_owned());
        } else if is_executable(&path) && !first.starts_with("#!") {
            faults.push(format!("{file}: executable, and no script"));
        }
    }
    assert!(scripts.len() >= 4, "only {scripts:?}: where are the others?");
    // The overlay's scripts name each other as on the target.
    let overlay = format!("--source-path={}", tree.path("board/storage-port/rootfs-overlay").display());
    let mut arguments = vec!["--format=gcc", "--external-sources", &overlay];
    arguments.extend(scripts.iter().map(String::as_str));
    let told = run("shellcheck", &arguments);
    faults.extend(lines(&told.stdout).chain(lines(&told.stderr)));
    faults
}

/// The package's archive, its licences and the kernel.
pub fn hashes(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    let package = "package/storage-port/storage-port.hash";
    let known = parse_hashes(tree, package, &mut faults);
    let commit = tree.variable("STORAGE_PORT_VERSION", &[]).trim().to_owned();
    if commit.len() != 40 || !commit.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        faults.push(format!("storage-port.mk: the version {commit:?} is no commit"));
    }
    let archive = tree.variable("STORAGE_PORT_SOURCE", &[]).trim().to_owned();
    if !known.contains_key(&archive) {
        faults.push(format!("{package}: no hash of {archive}: run buildroot/release-source"));
    }
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let licences = tree.variable("STORAGE_PORT_LICENSE_FILES", &[]);
    for licence in licences.split_whitespace() {
        let told = run_ok("sha256sum", &[repository.join(licence).to_str().unwrap()]);
        let is = String::from_utf8(told).unwrap().split(' ').next().unwrap().to_owned();
        if known.get(licence) != Some(&is) {
            faults.push(format!("{package}: the hash of {licence} is missing or another"));
        }
    }
    let kernel =
        format!("linux-{}.tar.xz", tree.choice("BR2_LINUX_KERNEL_CUSTOM_VERSION_VALUE").unwrap_or_default());
    for file in ["patches/linux/linux.hash", "patches/linux-headers/linux-headers.hash"] {
        if !parse_hashes(tree, file, &mut faults).contains_key(&kernel) {
            faults.push(format!("{file}: no hash of {kernel}"));
        }
    }
    faults
}

/// What the package builds and installs, with the judge and without.
pub fn package(tree: &Tree, out: &Path) -> Vec<String> {
    let mut faults = Vec::new();
    for (setting, programs) in [("y", &["storage-port", "port-failover"][..]), ("", &["storage-port"][..])] {
        let failover = format!("BR2_PACKAGE_STORAGE_PORT_FAILOVER={setting}");
        let out = out.join(format!("failover-{setting}"));
        let built = out.join("build/storage-port/target/x86_64-unknown-linux-gnu/release");
        fs::create_dir_all(&built).unwrap();
        for program in programs {
            fs::write(built.join(program), program).unwrap();
        }
        let host = out.join("build/storage-port/target/release");
        fs::create_dir_all(&host).unwrap();
        fs::write(host.join("image"), "image").unwrap();

        let options = tree.variable("STORAGE_PORT_CARGO_BUILD_OPTS", &[&failover]);
        let crates: Vec<_> =
            options.split_whitespace().filter(|word| word.starts_with("--package=")).collect();
        let binaries: Vec<_> =
            options.split_whitespace().filter_map(|word| word.strip_prefix("--bin=")).collect();
        if binaries != programs || crates.len() != programs.len() {
            faults.push(format!("storage-port.mk: cargo is told to build {options:?}"));
        }

        let told = tree.make(&out, &[&failover, "install", "install-systemd", "install-host"]);
        if !told.status.success() {
            let said = String::from_utf8_lossy(&told.stderr).into_owned();
            faults.push(format!("storage-port.mk: the steps of installation fail: {}", said.trim()));
            continue;
        }
        let mut expected = vec!["host/bin/storage-port-image".to_owned()];
        for program in programs {
            expected.push(format!("target/usr/bin/{program}"));
            expected.push(format!("target/usr/lib/systemd/system/{program}.service"));
            let service = format!("board/storage-port/rootfs-overlay/etc/s6/{program}");
            for file in Tree::at(tree.path(&service)).files() {
                let installed = format!("target/etc/s6/{program}/{file}");
                let (from, to) = (tree.path(&service).join(&file), out.join(&installed));
                if fs::read(&from).ok() != fs::read(&to).ok() || is_executable(&from) != is_executable(&to) {
                    faults.push(format!("storage-port.mk: {installed} is not the overlay's"));
                }
                expected.push(installed);
            }
        }
        expected.sort();
        let mut installed: Vec<_> = Tree::at(out.clone())
            .files()
            .into_iter()
            .filter(|file| file.starts_with("target/") || file.starts_with("host/"))
            .collect();
        installed.sort();
        if installed != expected {
            faults.push(format!("storage-port.mk: installs {installed:?} in place of {expected:?}"));
        }
        for program in installed.iter().filter(|file| file.contains("/bin/")) {
            if !is_executable(&out.join(program)) {
                faults.push(format!("storage-port.mk: {program} is not executable"));
            }
        }
    }
    let wanted = String::from_utf8(tree.make(out, &["kernel"]).stdout).unwrap();
    let config = tree.text("board/storage-port/linux.config");
    for symbol in wanted.split_whitespace() {
        if !config.lines().any(|line| line == format!("{symbol}=y")) {
            faults.push(format!("storage-port.mk asks for {symbol}, which linux.config does not have"));
        }
    }
    faults
}

/// Name and numbers of each user of the package are those of the board's table; nobody has a password or a shell.
pub fn users(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    let board = tree.text("board/storage-port/users.txt");
    let parse = |text: &str| -> BTreeMap<String, Vec<String>> {
        text.lines()
            .map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
            .filter(|fields| !fields.is_empty() && !fields[0].starts_with('#'))
            .map(|fields| (fields[0].clone(), fields))
            .collect()
    };
    let (board, package) = (parse(&board), parse(&tree.variable("STORAGE_PORT_USERS", &[])));
    if package.len() != 2 {
        faults.push(format!("storage-port.mk: makes the users {:?}", package.keys()));
    }
    for (name, fields) in &package {
        // Name, uid, group and gid.
        match board.get(name) {
            Some(other) if other.get(..4) == fields.get(..4) => {}
            Some(other) => {
                faults.push(format!("users.txt has {:?} and storage-port.mk {:?}", &other[..4], &fields[..4]))
            }
            None => faults.push(format!("users.txt: {name} of storage-port.mk is missing")),
        }
    }
    for fields in board.values().chain(package.values()) {
        if fields.len() < 8 {
            faults.push(format!("users: too few fields in {fields:?}"));
        } else if fields[4] != "*" {
            faults.push(format!("users: {} has the password field {:?}, not `*`", fields[0], fields[4]));
        }
    }
    faults
}

/// The kernel's configuration: lines that are one, none twice, what is needed, and names that Linux has.
pub fn kernel(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    let mut symbols: BTreeMap<String, String> = BTreeMap::new();
    for line in tree.text("board/storage-port/linux.config").lines() {
        let choice = match line.strip_prefix("# ").and_then(|line| line.strip_suffix(" is not set")) {
            Some(name) => (name, "n"),
            None if line.is_empty() || line.starts_with('#') => continue,
            None => line.split_once('=').unwrap_or((line, "")),
        };
        let Some(name) = choice.0.strip_prefix("CONFIG_").filter(|_| is_kernel_value(choice.1)) else {
            faults.push(format!("linux.config: {line:?} is no choice"));
            continue;
        };
        if symbols.insert(name.to_owned(), choice.1.to_owned()).is_some() {
            faults.push(format!("linux.config: CONFIG_{name} stands in it twice"));
        }
    }
    for (what, needed) in KERNEL_NEEDS {
        for symbol in *needed {
            if !matches!(symbols.get(*symbol).map(String::as_str), Some("y" | "m")) {
                faults.push(format!("linux.config: {what} needs CONFIG_{symbol}"));
            }
        }
    }
    // A module key is made anew for each build; see BR2_REPRODUCIBLE.
    if symbols.get("MODULE_SIG").map(String::as_str) != Some("n") {
        faults.push("linux.config: CONFIG_MODULE_SIG must be off, or no two builds are the same".to_owned());
    }
    let known = kernel_names();
    for name in symbols.keys() {
        if !known.contains(name) && !ABSENT_FROM_DEBIAN.contains(&name.as_str()) {
            faults.push(format!("linux.config: Debian's kernel knows no CONFIG_{name}: misspelled?"));
        }
    }
    faults
}

/// Symbols that Debian's kernel 6.1 does not name in its configuration, for they came later or hang from a choice
/// that it has not made.
const ABSENT_FROM_DEBIAN: &[&str] = &["DM_INIT", "IKCONFIG_PROC", "SQUASHFS_COMPILE_DECOMP_MULTI_PERCPU"];

/// The units, with programs in place of those of the image.
pub fn units(tree: &Tree, out: &Path) -> Vec<String> {
    let mut copies = Vec::new();
    for file in tree.files().into_iter().filter(|file| file.ends_with(".service")) {
        let text: String = tree
            .text(&file)
            .lines()
            .map(|line| match line.split_once("=/usr/bin/") {
                Some((key, rest)) => {
                    format!(
                        "{key}=/bin/true {}\n",
                        rest.split_once(' ').map_or("", |(_, arguments)| arguments)
                    )
                }
                None => format!("{line}\n"),
            })
            .collect();
        let copy = out.join(Path::new(&file).file_name().unwrap());
        fs::write(&copy, text).unwrap();
        copies.push(copy.to_str().unwrap().to_owned());
    }
    assert_eq!(copies.len(), 2, "{copies:?}");
    let mut arguments = vec!["verify", "--man=no"];
    arguments.extend(copies.iter().map(String::as_str));
    let told = run("systemd-analyze", &arguments);
    lines(&told.stdout).chain(lines(&told.stderr)).filter(|line| line.contains(".service")).collect()
}

/// Python with the packages that `./test` installs below the target folder.
pub fn python() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let path = own.ancestors().nth(3).unwrap().join("checkers/bin/python");
    assert!(path.exists(), "{} is missing: ./test installs it", path.display());
    path
}

fn lines(output: &[u8]) -> impl Iterator<Item = String> {
    let text = String::from_utf8_lossy(output).into_owned();
    text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect::<Vec<_>>().into_iter()
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o111 != 0)
}

/// `sha256  <64 hex>  <file>` lines.
fn parse_hashes(tree: &Tree, file: &str, faults: &mut Vec<String>) -> BTreeMap<String, String> {
    let mut known = BTreeMap::new();
    let text = fs::read_to_string(tree.path(file)).unwrap_or_default();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.split("  ").collect::<Vec<_>>()[..] {
            ["sha256", hash, name]
                if hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) =>
            {
                known.insert(name.to_owned(), hash.to_owned());
            }
            _ => faults.push(format!("{file}: {line:?} is no hash")),
        }
    }
    known
}

fn is_kernel_value(value: &str) -> bool {
    matches!(value, "y" | "m" | "n")
        || (!value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()))
        || (value.len() >= 2 && value.starts_with('"') && value.ends_with('"'))
}

/// Every symbol that the configuration of an installed Debian kernel names, also as not set.
fn kernel_names() -> Vec<String> {
    let config = fs::read_dir("/boot")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("config-"))
        .max()
        .expect("the configuration of Debian's kernel: ./test installs linux-image-amd64");
    let text = fs::read_to_string(config).unwrap();
    text.lines()
        .filter_map(|line| line.strip_prefix("# ").unwrap_or(line).strip_prefix("CONFIG_"))
        .map(|line| line.split(['=', ' ']).next().unwrap().to_owned())
        .collect()
}
