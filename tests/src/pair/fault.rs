//! What happens to the member that has the address, and how it is mended.

use super::Pair;
use super::ground::Ground;
use super::member::Side;
use super::networks::Link;
use super::ours::CACHE_DISKS;

/// A failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The power fails: all links are silent at once, then the daemons are gone, and what the kernel knew. At the end
    /// the links are back before the daemons are.
    PowerOff,
    /// The same while the LAN's switch filters gratuitous ARP.
    PowerOffUnannounced,
    /// All links lose every frame, the carrier stays, the daemons run.
    LinksSilent,
    /// All daemons are held still, and go on later.
    Frozen,
    /// The LAN cable is drawn.
    LanUnplugged,
    /// The LAN loses every frame of it, the carrier stays.
    LanSilent,
    /// The WAN cable is drawn.
    WanCut,
    /// The cable between the two is drawn.
    HeartbeatCut,
    /// Neither hears the other on any way; clients and the center hear both.
    PathsCut,
    /// kill -9 of the daemon that serves.
    KillService,
    /// It is held still.
    HangService,
    /// kill -9 of the daemon that judges.
    KillJudge,
    /// kill -9 of both daemons.
    KillBoth,
    /// Both cache disks fail.
    DisksFail,
    /// An operator moves the address.
    PlannedMove,
}

/// Who has the address after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// The other member.
    Moves,
    /// The same: there is no reason to move.
    Stays,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::PowerOff,
        Self::PowerOffUnannounced,
        Self::LinksSilent,
        Self::Frozen,
        Self::LanUnplugged,
        Self::LanSilent,
        Self::WanCut,
        Self::HeartbeatCut,
        Self::PathsCut,
        Self::KillService,
        Self::HangService,
        Self::KillJudge,
        Self::KillBoth,
        Self::DisksFail,
        Self::PlannedMove,
    ];

    /// Its line of the table.
    pub fn title(self) -> &'static str {
        match self {
            Self::PowerOff => "power-off",
            Self::PowerOffUnannounced => "power-off, gratuitous ARP filtered",
            Self::LinksSilent => "all links silent",
            Self::Frozen => "all daemons frozen",
            Self::LanUnplugged => "client NIC unplugged",
            Self::LanSilent => "client LAN silent",
            Self::WanCut => "WAN cut",
            Self::HeartbeatCut => "heartbeat link cut",
            Self::PathsCut => "both paths between the ports cut",
            Self::KillService => "kill -9 of the port",
            Self::HangService => "port hung",
            Self::KillJudge => "kill -9 of the judge",
            Self::KillBoth => "kill -9 of both",
            Self::DisksFail => "both cache disks fail",
            Self::PlannedMove => "planned hand-over",
        }
    }

    /// Who shall have the address afterwards.
    pub fn holder(self) -> Holder {
        match self {
            Self::HeartbeatCut | Self::PathsCut => Holder::Stays,
            _ => Holder::Moves,
        }
    }

    /// Does it to the member that has the address.
    pub fn strike(self, ground: &Ground, pair: &mut Pair, victim: Side) {
        let networks = &ground.networks;
        if self == Self::PowerOffUnannounced {
            networks.filter_gratuitous(pair.address, true);
        }
        let (host, other) = (&pair.member(victim).host, &pair.member(victim.other()).host);
        match self {
            Self::PowerOff | Self::PowerOffUnannounced => {
                networks.silence(host, &Link::ALL);
                let member = pair.member_mut(victim);
                member.judge.kill_9();
                member.service.kill_9();
            }
            Self::LinksSilent => networks.silence(host, &Link::ALL),
            Self::Frozen => {
                pair.member(victim).judge.freeze();
                pair.member(victim).service.freeze();
            }
            Self::LanUnplugged => networks.unplug(host, Link::Lan),
            Self::LanSilent => networks.silence(host, &[Link::Lan]),
            Self::WanCut => networks.unplug(host, Link::Wan),
            Self::HeartbeatCut => networks.unplug(host, Link::Heartbeat),
            Self::PathsCut => networks.part(host, other, &[Link::Lan, Link::Heartbeat]),
            Self::KillService => pair.member_mut(victim).service.kill_9(),
            Self::HangService => pair.member(victim).service.freeze(),
            Self::KillJudge => pair.member_mut(victim).judge.kill_9(),
            Self::KillBoth => {
                let member = pair.member_mut(victim);
                member.judge.kill_9();
                member.service.kill_9();
            }
            Self::DisksFail => pair.member(victim).lose_disks(&CACHE_DISKS),
            Self::PlannedMove => pair.hand_to(victim.other()),
        }
    }

    /// Mends it; the pair is well some time later.
    pub fn mend(self, ground: &Ground, pair: &mut Pair, victim: Side) {
        let networks = &ground.networks;
        let addresses = pair.addresses();
        let (host, other) = (&pair.member(victim).host, &pair.member(victim.other()).host);
        match self {
            Self::PowerOff | Self::PowerOffUnannounced => {
                pair.member(victim).forget(&addresses);
                networks.unsilence(host, &Link::ALL);
                networks.filter_gratuitous(pair.address, false);
                let member = pair.member_mut(victim);
                member.service.restart();
                member.judge.restart();
            }
            Self::LinksSilent => networks.unsilence(host, &Link::ALL),
            Self::Frozen => {
                pair.member(victim).service.thaw();
                pair.member(victim).judge.thaw();
            }
            Self::LanUnplugged => networks.plug_in(host, Link::Lan),
            Self::LanSilent => networks.unsilence(host, &[Link::Lan]),
            Self::WanCut => networks.plug_in(host, Link::Wan),
            Self::HeartbeatCut => networks.plug_in(host, Link::Heartbeat),
            Self::PathsCut => networks.unpart(host, other, &[Link::Lan, Link::Heartbeat]),
            Self::KillService => pair.member_mut(victim).service.restart(),
            Self::HangService => pair.member(victim).service.thaw(),
            Self::KillJudge => pair.member_mut(victim).judge.restart(),
            Self::KillBoth => {
                let member = pair.member_mut(victim);
                member.service.restart();
                member.judge.restart();
            }
            Self::DisksFail => {
                pair.member(victim).return_disks(&CACHE_DISKS);
                // By itself it distrusts them for a minute more.
                let judge = &mut pair.member_mut(victim).judge;
                judge.stop();
                judge.restart();
            }
            // What an operator has stopped he starts again.
            Self::PlannedMove => {
                let judge = &mut pair.member_mut(victim).judge;
                if !judge.is_running() {
                    judge.restart();
                }
            }
        }
    }
}
