//! Two storage centers that mirror each other, *north* and *south*: one cluster at two places with a WAN between them,
//! and if wanted a witness at a third. Multicast stays where it is; all else between the places is TLS with certificates
//! of one authority.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use protocol::digest::Fingerprint;
use protocol::vfs::Row;
use tempfile::TempDir;

use super::certificates::Authority;
use super::client::{Client, Library};
use super::files::File;
use super::member::{Common, Member, Part, dosp_at};
use super::network::{NORTH, Network, SOUTH, Subnet, WEST};
use super::status::Mirror;
use super::wan::Wan;
use super::{
    Cluster, DIRECTORIES_FROM, Ground, MANAGERS_FROM, Node, Settings, new_folder, new_key, start_node, status,
};
use crate::poll;

/// What is added to the numbers of south's processes; the counterparts of north's have the same last byte.
const SOUTH_FROM: u32 = 100;
/// The same for the witness.
const WEST_FROM: u32 = 200;
/// The same for who belongs to no center.
const STRANGERS_FROM: u32 = 300;
/// Last byte of the witness's address.
const WITNESS: u8 = 1;
/// Which packets the WAN loses.
const SEED: u64 = 0x0077_616e;

/// Two running storage centers. Fields are dropped in order: processes and their networks, then what joins these.
pub struct Centers {
    /// The center that changes the directory first.
    pub north: Cluster,
    /// The other.
    pub south: Cluster,
    _witness: Option<Witness>,
    authority: Authority,
    wan: Wan,
}

struct Witness {
    _member: Member,
    _network: Network,
}

/// A place of which others know in their configuration.
#[derive(Clone, Copy)]
struct Site {
    name: &'static str,
    subnet: Subnet,
    first_number: u32,
}

const NORTH_SITE: Site = Site { name: "north", subnet: NORTH, first_number: 0 };
const SOUTH_SITE: Site = Site { name: "south", subnet: SOUTH, first_number: SOUTH_FROM };
const WEST_SITE: Site = Site { name: "west", subnet: WEST, first_number: WEST_FROM };

impl Centers {
    /// Two running centers with these settings each, and customers, whose processes know each other.
    pub fn start(purpose: &str, settings: Settings) -> Self {
        Self::start_at(purpose, settings, false)
    }

    /// The same with a witness.
    pub fn start_with_witness(purpose: &str, settings: Settings) -> Self {
        Self::start_at(purpose, settings, true)
    }

    fn start_at(purpose: &str, settings: Settings, has_witness: bool) -> Self {
        let mut wan = Wan::new(purpose, SEED);
        let (north_dir, south_dir) = (new_folder(), new_folder());
        // What all share lies with north.
        let (shared, authority) = (north_dir.path().to_owned(), Authority::new(north_dir.path(), "centers"));
        let key_file = new_key(&shared);
        let witness = has_witness.then(|| dosp_at(WEST.address(WITNESS)));
        let plan = Plan { authority: &authority, managers: settings.managers, witness };
        let mut ground = |dir: TempDir, here: Site, other: Site| Ground {
            dir,
            network: wan.network(here.subnet),
            key_file: key_file.clone(),
            first_number: here.first_number,
            mirror: plan.table(here, &[other]),
            secrets: shared.clone(),
            nodes_elsewhere: usize::from(settings.nodes),
        };
        let north = ground(north_dir, NORTH_SITE, SOUTH_SITE);
        let south = ground(south_dir, SOUTH_SITE, NORTH_SITE);
        let witness = has_witness.then(|| {
            let network = wan.network(WEST);
            let common = Common {
                key_file: key_file.clone(),
                first_number: WEST_SITE.first_number,
                multicast: false,
                peers: Vec::new(),
                mirror: Plan { witness: None, ..plan }.table(WEST_SITE, &[NORTH_SITE, SOUTH_SITE]),
            };
            let (dir, host) = (shared.join("witness"), network.host(WITNESS));
            Witness { _member: Member::start(&dir, host, &Part::Witness, &common), _network: network }
        });
        let (north, south) = thread::scope(|scope| {
            let south = scope.spawn(|| Cluster::build(settings.clone(), south));
            (Cluster::build(settings.clone(), north), south.join().unwrap())
        });
        north.add_customers();
        let centers = Self { north, south, _witness: witness, authority, wan };
        centers.wait_assembled();
        centers
    }

    /// What is between them, to harm it.
    pub fn wan(&self) -> &Wan {
        &self.wan
    }

    /// Who signs the certificates of both.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// North and south.
    pub fn both(&self) -> [&Cluster; 2] {
        [&self.north, &self.south]
    }

    /// A storage node in the network of `home` that has the cluster's key and no certificate, and speaks to the
    /// processes of `asked` as if it were one of theirs; its host's address ends in `last`.
    pub fn stranger(&self, home: &Cluster, asked: &Cluster, last: u8) -> Node {
        let peers = asked.common.peers.clone();
        let (first_number, mirror) = (STRANGERS_FROM, String::new());
        let common = Common { first_number, multicast: false, peers, mirror, ..asked.common.clone() };
        start_node(home.path(), home.network().host(last), &home.settings, &common)
    }

    /// Waits until every process sees every storage node of both centers online.
    #[track_caller]
    pub fn wait_assembled(&self) {
        self.both().iter().for_each(|cluster| cluster.wait_assembled());
    }

    /// Waits until no center owes the other anything: each object has its copies where they belong and no more, and one
    /// directory follows the other and knows what it knows.
    #[track_caller]
    pub fn wait_no_debts(&self, patience: Duration) {
        let mut told = Instant::now();
        poll::until("no center owes anything", patience, || {
            let objects = status::of(&self.north.managers[0]);
            let mirrors = self.both().map(|cluster| status::mirror_of(&cluster.directory));
            let is_followed = |mirror: &Mirror| !mirror.alone && mirror.owed == [0];
            let has_role = |role: &str| mirrors.iter().flatten().find(|mirror| mirror.role == role);
            let are_even = objects.as_ref().is_some_and(|status| status.owed == 0 && status.spare == 0)
                && has_role("writer").is_some_and(is_followed)
                && has_role("follower").is_some();
            if !are_even && told.elapsed() > patience / 3 {
                told = Instant::now();
                eprintln!("{:?}, {mirrors:?}", objects.map(|status| (status.owed, status.spare)));
            }
            are_even.then_some(())
        });
    }

    /// Waits until each of these objects lies on one node of each center, and on no other.
    #[track_caller]
    pub fn wait_one_copy_in_each(&self, files: &[File], patience: Duration) {
        let mut left: Vec<Fingerprint> =
            files.iter().filter(|file| file.content.size > 0).map(File::fingerprint).collect();
        let mut told = Instant::now();
        poll::until("one copy of every object in each center", patience, || {
            let copies = |object| self.both().map(|cluster| cluster.copies(object));
            left.retain(|&object| copies(object) != [1, 1]);
            if let Some(&object) = left.first()
                && told.elapsed() > patience / 3
            {
                told = Instant::now();
                eprintln!("{} objects, such as {object} with {:?} copies", left.len(), copies(object));
            }
            left.is_empty().then_some(())
        });
    }

    /// Waits until the directories of both centers, each asked by itself, list the same in the customer's root; gives
    /// what they list.
    #[track_caller]
    pub fn wait_same_rows(&self, patience: Duration) -> Vec<Row> {
        let libraries = self.both().map(|cluster| cluster.library(1));
        poll::until("both directories list the same", patience, || {
            let [north, south] = libraries.each_ref().map(|library| library.entries(library.root()).unwrap());
            (north == south).then_some(north)
        })
    }
}

impl Cluster {
    /// A client here that knows the object managers of another center too; those here have the lower numbers.
    pub fn client_with(&self, other: &Self) -> Client {
        self.client().with_other_center(other.managers.iter().map(Member::http).collect())
    }

    /// The library calls of customer 1 from here, which try the managers here first, then those of another center.
    pub fn library_with(&self, other: &Self) -> Library {
        let managers = self.managers.iter().chain(&other.managers).map(Member::http).collect();
        self.library_by(1, vec![self.directory.http(), other.directory.http()], managers)
    }
}

/// What the configurations of all places have in common.
#[derive(Clone, Copy)]
struct Plan<'plan> {
    authority: &'plan Authority,
    /// Object managers of each center.
    managers: u8,
    witness: Option<SocketAddr>,
}

impl Plan<'_> {
    /// The table `[mirror]` of the processes at a place.
    fn table(&self, here: Site, others: &[Site]) -> String {
        let issued = self.authority.issue(here.name);
        let mut table = format!(
            r#"[mirror]
center = "{}"
networks = ["{}"]
certificate = {:?}
key = {:?}
authority = {:?}
first_writer = "{}"
"#,
            here.name,
            here.subnet,
            issued.certificate,
            issued.key,
            self.authority.certificate(),
            NORTH_SITE.name,
        );
        if let Some(witness) = self.witness {
            let center = WEST_SITE.name;
            table.push_str(&format!("witness = {{ center = {center:?}, listen = \"{witness}\" }}\n"));
        }
        for Site { name, subnet, .. } in others {
            let known = [DIRECTORIES_FROM].into_iter().chain(MANAGERS_FROM..MANAGERS_FROM + self.managers);
            let peers: Vec<String> = known.map(|last| dosp_at(subnet.address(last)).to_string()).collect();
            table.push_str(&format!(
                "[[mirror.other]]\ncenter = \"{name}\"\nnetworks = [\"{subnet}\"]\npeers = {peers:?}\n"
            ));
        }
        table
    }
}
