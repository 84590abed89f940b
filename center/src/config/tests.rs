//! What a configuration may be, and what is said of one that makes no sense.

use super::*;

fn load(text: &str) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("center.toml");
    fs::create_dir(folder.path().join("disk")).unwrap();
    fs::write(&path, text.replace("DIR", folder.path().to_str().unwrap())).unwrap();
    Config::load(&path).map_err(|error| error.to_string())
}

const GOOD: &str =
    "[http]\nlisten = \"127.0.0.1:0\"\n[vfs]\ndatabase = \"DIR/vfs.sqlite\"\n[isn]\ndisks = [\"DIR/disk\"]\n";

#[test]
fn the_least_configuration_is_enough() {
    let config = load(GOOD).unwrap();
    let isn = config.isn.as_ref().unwrap();
    assert_eq!(isn.unlink_grace_seconds, 600, "REF-2");
    assert_eq!(isn.orphan_grace_seconds, 86_400, "REF-4");
    assert!(config.control_socket().ends_with("vfs.control"));
}

/// The example names every key, so that none goes undocumented.
#[test]
fn the_example_is_a_configuration() {
    let example = include_str!("../../storage-center.example.toml");
    for key in [
        "roles",
        "log",
        "control",
        "listen",
        "certificate",
        "key",
        "connections_max",
        "drain_seconds",
        "database",
        "postgres",
        "password_file",
        "keep_seconds",
        "cluster",
        "node",
        "disks",
        "endpoint",
        "region",
        "bucket",
        "prefix",
        "credentials_file",
        "reserve_bytes",
        "unlink_grace_seconds",
        "orphan_grace_seconds",
        "replicate_after_seconds",
        "scrub_days",
        "lookup_entries",
        "order",
        "cache_dir",
        "cache_bytes",
        "usage_log",
        "callback_networks",
        "here",
        "divert_from",
        "trusted_proxies",
        "url",
        "networks",
        "health",
        "name",
        "key_file",
        "multicast",
        "peers",
        "copies",
        "center",
        "authority",
        "first_writer",
        "witness",
        "overrides",
        "state",
    ] {
        assert!(example.contains(&format!("{key} = ")), "{key}");
    }
    let uncommented = example.replace("#= ", "");
    let config: Config = toml::from_str(&uncommented).unwrap();
    assert_eq!(config.http.unwrap().listen.len(), 1);
}

#[test]
fn errors_say_what_and_how_to_mend_it() {
    let wrong = |from: &str, to: &str| load(&GOOD.replacen(from, to, 1)).unwrap_err();
    let said = wrong("database", "databse");
    assert!(said.contains("line 4") && said.contains("`databse`; did you mean `database`?"), "{said}");
    assert!(wrong("[http]", "[htpp]").contains("`http`"));
    assert!(wrong("127.0.0.1:0", "nowhere:80").contains("listen"));
    assert!(wrong("DIR/disk", "DIR/dusk").contains("is no directory; make it"));
    assert!(wrong("[http]", "roles = [\"isnt\"]\n[http]").contains("isnt"));
    assert!(wrong("[http]", "roles = [\"isn\"]\n[http]").contains("[cluster]"));
    assert!(wrong("[http]", "roles = []\n[http]").contains("one at least"));
    assert!(wrong("[vfs]\ndatabase = \"DIR/vfs.sqlite\"", "").contains("[vfs] is missing"));
    assert!(wrong("[vfs]", "[vfs]\npostgres = \"host=a\"").contains("either"));
    assert!(wrong("database = \"DIR/vfs.sqlite\"", "").contains("either"));
    assert!(wrong("[isn]", "password_file = \"x\"\n[isn]").contains("password_file"));
    let server = |text: &str| wrong("database = \"DIR/vfs.sqlite\"", &format!("postgres = \"{text}\""));
    assert!(server("host=a password=b").contains("a file of its own"));
    assert!(server("hots=a").contains("connection string"));
    assert!(wrong("[vfs]", "certificate = \"x\"\n[vfs]").contains("both"));
    assert!(wrong("[http]", "[dosm]\ncallback_networks = [\"10.3.0.0/33\"]\n[http]").contains("line 2"));
    for said in [wrong("database", "databse"), wrong("\"DIR/vfs.sqlite\"", "7"), wrong("[http]", "[http")] {
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

/// SYS-13: what the table of centers must have.
#[test]
fn the_table_of_centers_makes_sense() {
    let center = |name: &str, url: &str| format!("[[traffic.center]]\nname = {name:?}\nurl = {url:?}\n");
    let traffic = |here: &str, centers: &[String]| {
        load(&format!("{GOOD}[traffic]\nhere = {here:?}\n{}", centers.concat()))
    };
    let (eu, us) = (center("eu", "https://eu.example"), center("us", "http://us.example:8080/"));
    assert!(traffic("us", &[eu.clone(), us.clone()]).is_ok());
    assert!(traffic("asia", &[eu.clone(), us.clone()]).unwrap_err().contains("none of the names"));
    assert!(traffic("eu", &[eu.clone(), us, eu.clone()]).unwrap_err().contains("twice"));
    let error = traffic("eu", &[eu, center("us", "http://us.example/x")]).unwrap_err();
    assert!(error.contains("give it as \"http://us.example\""), "{error}");
    let error = traffic("eu", &[center("eu", "eu.example")]).unwrap_err();
    assert!(error.contains("neither http nor https"), "{error}");
}

/// ISN-13: a bucket takes the place of disks, of all of them, in a process that plays all parts.
#[test]
fn a_bucket_takes_the_place_of_disks() {
    let with =
        |isn: &str, more: &str| load(&format!("{}{more}", GOOD.replacen("disks = [\"DIR/disk\"]", isn, 1)));
    let s3 = |endpoint: &str, bucket: &str, prefix: &str| {
        format!(
            "s3 = {{ endpoint = \"{endpoint}\", bucket = \"{bucket}\", prefix = \"{prefix}\", credentials_file = \"c\" }}"
        )
    };
    let good = s3("http://127.0.0.1:8333", "objects", "one/two");
    let config = with(&good, "").unwrap().isn.unwrap().s3.unwrap();
    assert_eq!(config.to_string(), "http://127.0.0.1:8333/objects/one/two");
    assert_eq!(config.region, "us-east-1");
    let said = with(&format!("disks = [\"DIR/disk\"]\n{good}"), "").unwrap_err();
    assert!(said.contains("either `disks` or `s3`"), "{said}");
    let cluster = "[cluster]\nkey_file = \"k\"\nlisten = \"127.0.0.1:7400\"\n";
    let said = with(&good, cluster).unwrap_err();
    assert!(said.contains("isn.s3") && said.contains("isn.disks"), "{said}");
    assert!(with("", "").unwrap_err().contains("or isn.s3"));
    for (endpoint, bucket, prefix, key) in [
        ("127.0.0.1:8333", "objects", "", "endpoint"),
        ("https://key:secret@s3.example.com", "objects", "", "endpoint"),
        ("https://s3.example.com", "", "", "bucket"),
        ("https://s3.example.com", "a/b", "", "bucket"),
        ("https://s3.example.com", "objects", "/one", "prefix"),
        ("https://s3.example.com", "objects", "one/../two", "prefix"),
    ] {
        let said = with(&s3(endpoint, bucket, prefix), "").unwrap_err();
        assert!(said.contains(&format!("isn.s3.{key}")) && !said.contains("secret"), "{said}");
    }
}

/// SYS-5: a process may play one part, if it knows where the others are.
#[test]
fn a_part_alone_needs_a_cluster() {
    let part = |roles: &str, tables: &str| {
        load(&format!(
            "roles = [{roles}]\n{tables}[cluster]\nnode = 1\nkey_file = \"k\"\nlisten = \"127.0.0.1:7400\"\n"
        ))
    };
    let http = "[http]\nlisten = \"127.0.0.1:0\"\n";
    assert!(part("\"dosm\"", http).is_ok());
    assert!(part("\"dosm\"", "").unwrap_err().contains("[http] is missing"));
    assert!(part("\"isn\"", "[isn]\ndisks = [\"DIR/disk\"]\n").is_ok());
    let other = part("\"isn\"", "[isn]\nnode = 2\ndisks = [\"DIR/disk\"]\n").unwrap_err();
    assert!(other.contains("the same number"), "{other}");
    let ddm = format!("{http}[vfs]\ndatabase = \"DIR/vfs.sqlite\"\n");
    assert!(part("\"ddm\"", &ddm).is_ok());
    let nowhere =
        load(&format!("roles = [\"dosm\"]\n{http}[cluster]\nkey_file = \"k\"\nlisten = \"0.0.0.0:7400\"\n"));
    assert!(nowhere.unwrap_err().contains("cluster.node"));
}

/// GEO-2: what the table of mirrors must have.
#[test]
fn the_mirror_makes_sense() {
    const MIRROR: &str = r#"
            [cluster]
            node = 1
            key_file = "k"
            listen = "10.3.100.1:7400"
            [mirror]
            center = "north"
            networks = ["10.3.100.0/24"]
            certificate = "c"
            key = "k"
            authority = "a"
            first_writer = "north"
            [[mirror.other]]
            center = "south"
            networks = ["10.10.100.0/24"]
            peers = ["10.10.100.1:7400"]
            overrides = { "10.3.100.7" = "10.10.100.70" }
        "#;
    let with = |from: &str, to: &str| load(&format!("{GOOD}{}", MIRROR.replacen(from, to, 1)));
    with("", "").unwrap();
    for (from, to, said) in [
        ("listen = \"10.3.100.1", "listen = \"10.4.100.1", "in none of them"),
        ("\"south\"", "\"north\"", "twice"),
        ("first_writer = \"north\"", "first_writer = \"east\"", "no center"),
        ("[\"10.10.100.0/24\"]", "[\"10.10.0.0/16\"]", "as long as"),
        ("[\"10.10.100.0/24\"]", "[]", "as many networks"),
        ("[\"10.10.100.0/24\"]", "[\"10.3.100.0/24\"]", "another center's"),
        ("[\"10.10.100.1:7400\"]", "[]", "`peers`"),
        ("[\"10.10.100.1:7400\"]", "[\"10.3.100.1:7400\"]", "`peers`"),
        ("10.10.100.70", "10.3.100.70", "override"),
        (
            "first_writer",
            "witness = { center = \"south\", listen = \"10.20.100.1:7400\" }\nfirst_writer",
            "of its own",
        ),
    ] {
        let error = with(from, to).unwrap_err();
        assert!(error.contains(said), "{from} to {to}: {error}");
    }
    let alone = MIRROR.split("[mirror]").nth(1).unwrap();
    assert!(load(&format!("{GOOD}[mirror]{alone}")).unwrap_err().contains("needs [cluster]"));
}

#[test]
fn distances_are_counted_in_letters() {
    assert_eq!(distance("reserved_bytes", "reserve_bytes"), 1);
    assert_eq!(distance("htpp", "http"), 1);
    assert_eq!(distance("", "abc"), 3);
}
