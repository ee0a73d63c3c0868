//! Addresses with their owners, how they moved, and between whom.

use lbk8s::speaker::SpeakerStatus;
use lbk8s::speaker::view::{AddressView, MoveView};

use super::html::{Cell, Row, table as rows};

/// All addresses of Services, and who answers for each.
pub(super) fn table(addresses: &[AddressView], node: &str, words: &str) -> String {
    let row = |it: &AddressView| {
        let services: Vec<String> = it.services.iter().map(ToString::to_string).collect();
        let owner = match &it.owner {
            Some(owner) if owner == node => Cell::text(format!("{owner} (here)")),
            Some(owner) => Cell::text(owner),
            None => Cell::Mark("nobody", true),
        };
        let on = Some(it.interfaces.join(", ")).filter(|on| !on.is_empty());
        let why = it.nobody.as_ref().or(it.why.as_ref().map(|why| &why.text));
        let cells = vec![
            Cell::text(it.address),
            Cell::text(services.join(", ")),
            owner,
            Cell::or_dash(on),
            Cell::or_dash(it.pool.as_ref()),
            it.since.map_or_else(|| Cell::or_dash(None::<&str>), Cell::Time),
            Cell::or_dash(why),
        ];
        Row { wrong: it.owner.is_none(), cells }
    };
    let headings = ["Address", "Services", "Owner", "Interface", "Pool", "Since", "Why"];
    rows(&headings, addresses.iter().map(row), words, "No Service has an address.")
}

/// How addresses moved lately.
pub(super) fn moves(moves: &[MoveView], words: &str) -> String {
    let row = |it: &MoveView| {
        let cells = vec![
            Cell::Time(it.at),
            Cell::text(it.address),
            it.from.as_ref().map_or(Cell::Mark("nobody", false), Cell::text),
            it.to.as_ref().map_or(Cell::Mark("nobody", false), Cell::text),
            Cell::or_dash(it.why.as_ref().map(|why| &why.text)),
        ];
        Row::sound(cells)
    };
    let headings = ["When", "Address", "From", "To", "Why"];
    let none = "No address has had another owner since this speaker began.";
    rows(&headings, moves.iter().map(row), words, none)
}

/// The speakers of other nodes.
pub(super) fn members(status: &SpeakerStatus) -> String {
    let row = |it: &lbk8s::speaker::MemberView| {
        let state = if it.alive { "heard" } else { "silent" };
        let cells = vec![
            Cell::text(&it.node),
            Cell::Mark(state, !it.alive),
            Cell::or_dash(it.at.as_ref()),
            Cell::text(it.owned),
        ];
        Row { wrong: !it.alive, cells }
    };
    let headings = ["Node", "State", "Heard from", "Addresses"];
    rows(&headings, status.members.iter().map(row), "", "There is no other node.")
}

/// The interfaces that can answer.
pub(super) fn interfaces(status: &SpeakerStatus) -> String {
    let row = |it: &lbk8s::speaker::InterfaceView| {
        let state = if it.heard { "heard by others" } else { "not heard by others" };
        let cells = vec![
            Cell::text(&it.name),
            Cell::text(&it.mac),
            Cell::text(it.subnets.join(", ")),
            Cell::Mark(state, !it.heard),
        ];
        Row { wrong: !it.heard, cells }
    };
    let headings = ["Interface", "Hardware address", "Subnets", "State"];
    let none = "No interface of this node can answer.";
    rows(&headings, status.interfaces.iter().map(row), "", none)
}

/// Who else has addresses of this node.
pub(super) fn conflicts(status: &SpeakerStatus) -> String {
    let claimed = status.wire.conflicts.iter().map(|it| Row {
        wrong: true,
        cells: vec![
            Cell::text(it.address),
            Cell::text(&it.mac),
            Cell::text(&it.interface),
            Cell::Time(it.first),
            Cell::Time(it.last),
        ],
    });
    let headings = ["Address", "Claimed by", "Interface", "First heard", "Last heard"];
    rows(&headings, claimed, "", "Nobody else claims an address of this node.")
}
