//! A center that is well, for tests.

use page_server::page::health::Health;

use super::figures::Figures;
use crate::cluster::mirror::status::{FollowerStatus, MirrorStatus};
use crate::cluster::status::{ClusterStatus, Details, DiskDetails, ProcessStatus};

/// Two processes with a disk each.
pub fn status() -> ClusterStatus {
    ClusterStatus { seen_by: 1, copies_owed: 0, copies_spare: 0, processes: [1, 2].map(process).to_vec() }
}

fn process(node: u32) -> ProcessStatus {
    let disk = DiskDetails {
        path: format!("/data/{node}"),
        state: "online".into(),
        reason: String::new(),
        draining: false,
        bytes_free: 70,
        bytes_total: 100,
        objects: 9,
        quarantined: 0,
        scrub_read: 3,
        scrub_damaged: 0,
        scrub_ended: 0,
    };
    let details = Details {
        version: "1".into(),
        uptime_seconds: 3_700,
        ops_per_second: 5,
        outstanding: 0,
        lost_references: false,
        copies_owed: 0,
        copies_made: 0,
        copies_spare: 0,
        disks: vec![disk],
    };
    ProcessStatus {
        node,
        roles: vec!["isn".into()],
        address: format!("192.0.2.{node}:7400"),
        center: String::new(),
        condition: "live".into(),
        state: "online".into(),
        details: Some(details),
    }
}

/// Of the center that writes.
pub fn mirror() -> MirrorStatus {
    MirrorStatus {
        center: "south".into(),
        role: "writer".into(),
        generation: 3,
        writer: "south".into(),
        writer_reached: true,
        position: 100,
        writer_position: 100,
        witness_reached: Some(true),
        alone: false,
        log_entries: 7,
        log_bytes: 700,
        followers: vec![FollowerStatus { center: "north".into(), position: 98, owed: 2, silent_ms: 40 }],
    }
}

/// All of it.
pub fn figures() -> Figures {
    let health = Health::of(Vec::new());
    Figures { at: 0, status: status(), mirror: Some(mirror()), health, events: Vec::new() }
}
