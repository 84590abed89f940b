//! Traffic between storage centers: a request is served where its client is nearest, and an overloaded center sends new
//! ones to the next closest (SYS-13, GEO-10; founding document, "Geographic Replication of Storage Centers").
//!
//! [`client`] finds out whose request it is, [`table`] which center it belongs to; both are pure. [`load`] counts what
//! this center is doing, [`poll`] asks the others how they are. The answer is a 307 to the same SRL at the other
//! center, with a [mark](MARK) in its query. A marked request is served by whoever gets it, so it is sent on once at
//! most: centers that see each other's loads late, or the distances differently, make no loop.
//!
//! Only end users' FETCH, FETCH_AUTH and STORE are sent elsewhere (`crate::dosm`): storage ports know their centers,
//! and the VFS's documents and DOSP have ways of their own.

mod client;
mod load;
mod poll;
mod table;

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderValue, Uri};
use ipnetwork::IpNetwork;

pub use load::{Counted, UnderWay};
pub use poll::{LOAD, watch};
pub use table::{Center, Table};

use self::load::{Loads, Own};
use crate::config::Traffic as Config;
use crate::dosm::Fields;

/// What a request that was sent on has in its query: not signed, the same for all, and the path stays what it was.
pub const MARK: &str = "diverted";
/// The mark where a target has no other query.
pub const MARK_ALONE: &str = "?diverted";

/// The table with the loads as they are. Clones share it.
#[derive(Clone, Debug)]
pub struct Traffic {
    table: Arc<Table>,
    loads: Arc<Loads>,
    own: Own,
    proxies: Arc<[IpNetwork]>,
}

impl Traffic {
    /// As configured. The other centers count as away until [`watch`] has heard of them.
    pub fn new(config: &Config) -> Self {
        // Checked when the configuration was read.
        let here = config.centers.iter().position(|center| center.name == config.here).unwrap_or(0);
        let table = Table::new(config.centers.clone(), here);
        let loads = Arc::new(Loads::new(table.centers().len()));
        let own = Own::new(config.divert_from);
        Self { table: Arc::new(table), loads, own, proxies: config.trusted_proxies.clone().into() }
    }

    /// Where a request should be served, if not here: the value of a `Location`. `fields` are the request's, `target`
    /// its path and query.
    pub fn elsewhere(&self, peer: IpAddr, fields: &impl Fields, target: &Uri) -> Option<HeaderValue> {
        if is_marked(target.query()) {
            return None;
        }
        let origin = self.choose(peer, fields)?.url.origin();
        let (path, query) = (target.path(), target.query());
        let query = query.map_or(String::new(), |query| format!("{query}&"));
        HeaderValue::try_from(format!("{origin}{path}?{query}{MARK}")).ok()
    }

    /// Whether a request that bears no mark should be served here.
    pub fn is_for_here(&self, peer: IpAddr, fields: &impl Fields) -> bool {
        self.choose(peer, fields).is_none()
    }

    fn choose(&self, peer: IpAddr, fields: &impl Fields) -> Option<&Center> {
        let client = client::of(peer, fields, &self.proxies);
        let own = self.own.percent();
        self.table.choose(
            client,
            |center| if center == self.table.here() { Some(own) } else { self.loads.of(center) },
        )
    }

    /// Counts a request as under way until what is given back is dropped.
    pub fn begin(&self) -> UnderWay {
        self.own.begin()
    }

    /// How busy this center is: 100 and more for "send me nothing new".
    pub fn percent(&self) -> u32 {
        self.own.percent()
    }
}

fn is_marked(query: Option<&str>) -> bool {
    query.is_some_and(|query| query.split('&').any(|part| part == MARK))
}
