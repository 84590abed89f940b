//! Statuses for tests, as they come over the control sockets.

use failover::daemon::status::Status as JudgeStatus;
use serde_json::json;

use crate::status::Status;

/// A port of a pair that serves and is well.
pub fn status() -> Status {
    serde_json::from_value(json!({
        "version": "0.1.0", "pid": 7, "uptime_seconds": 3_700,
        "exports": [{
            "path": "/export", "tree": "files", "customer": 1, "folder": "/", "allowed": [], "read_only": false,
            "squash": "root"
        }],
        "customers": [{ "id": 1, "is_center_reachable": true, "contact_seconds": 60, "directory_entries": 5 }],
        "journal": { "files": 0, "bytes_used": 0, "bytes_max": 100 },
        "pair": {
            "name": "site-1", "is_serving": true, "generation": 7, "is_caught_up": false, "is_mirrored": true,
            "owed_bytes": 0
        }
    }))
    .unwrap()
}

/// Its judge.
pub fn judge_status(role: &str) -> JudgeStatus {
    let link = json!({ "interface": "lan", "carrier": true, "peer_heard_ms": 3 });
    serde_json::from_value(json!({
        "version": "0.1.0", "pid": 8, "pair": "site-1", "member": "a", "role": role, "generation": 7,
        "lease": { "giver": "peer", "remaining_ms": 180 }, "problems": [], "maintenance": false, "hold_down_ms": 0,
        "health": { "score": 0, "threshold": 100, "reasons": [], "lan": true, "wan": true },
        "links": { "heartbeat": link, "lan": link, "wan": link },
        "peer": null, "mirror": null, "takeovers": 0, "last_takeover": null
    }))
    .unwrap()
}
