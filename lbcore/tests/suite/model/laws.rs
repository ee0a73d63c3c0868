//! What must hold in every world, and what must hold once it has come to rest.

use std::collections::HashSet;

use super::machines::Machines;
use super::node::{Did, Place, address, name};
use super::world::{Action, Left, Rules, World};

/// So many ticks after everything was heard a world is at rest: each node was waited for, and once more.
const REST: u32 = 12;

/// No world takes more steps than this to come to rest.
const MOST: usize = 1000;

/// What the step from one world to the next means for the laws that look back, and whether it breaks one.
pub(crate) fn follow(
    before: &World,
    after: &mut World,
    did: &[(Place, Did)],
    machines: &Machines,
    rules: &Rules,
) -> Result<(), String> {
    for number in 0..rules.addresses {
        let address = address(number);
        let claims = |world: &World, place| world.claims(machines, place, number).is_some();
        let gave_up =
            |place: &Place| after.nodes[*place].is_some() && claims(before, *place) && !claims(after, *place);
        after.doubt[number] |= before.places().any(|place| gave_up(&place));
        let claimants: Vec<Place> = after.places().filter(|place| claims(after, *place)).collect();
        for (place, did) in did {
            if did.announced.contains(&address) && claimants == [*place] {
                after.doubt[number] = false;
            }
            if rules.timely && did.taken.contains(&address) {
                let stays = |other: &Place| {
                    let process = before.running(*other).filter(|_| after.running(*other).is_some());
                    let leaving = process.is_some_and(|it| machines.said_by(it.state).leaving);
                    process.is_some() && !leaving && !before.drained[*other] && claims(before, *other)
                };
                if let Some(other) = before.places().find(|other| other != place && stays(other)) {
                    let (me, other) = (name(*place), name(other));
                    return Err(format!(
                        "{me} takes {address} from {other}, which lives, and has no reason to"
                    ));
                }
            }
        }
        after.had[number] |= !claimants.is_empty();
        if after.calm && after.had[number] && claimants.is_empty() {
            return Err(format!("nobody claims {address} any more, and nothing went wrong"));
        }
    }
    Ok(())
}

/// Two claim an address only while the newer claim has not come to the other one.
pub(crate) fn hold(world: &World, machines: &Machines, rules: &Rules) -> Result<(), String> {
    for number in 0..rules.addresses {
        // Whether the first has heard all that the second says.
        let has_heard = |one: Place, other: Place| {
            let seen = world.running(one).map(|process| machines.seen(process.state));
            let hears = seen.is_some_and(|seen| seen.joined && seen.alive[other]);
            hears && world.on_way[other][one].is_empty()
        };
        for one in world.places() {
            for other in world.places().filter(|other| *other != one) {
                let claims = [one, other].map(|place| world.claims(machines, place, number));
                let [Some(older), Some(newer)] = claims else { continue };
                if has_heard(one, other) && (older < newer || (older == newer && has_heard(other, one))) {
                    let (one, other) = (name(one), name(other));
                    return Err(format!("{one} and {other} claim {}, and have heard of it", address(number)));
                }
            }
        }
    }
    Ok(())
}

/// Lets everything be heard and time pass, and looks whether each address has its one owner then, of whom the LAN
/// knows. `rested` are worlds of which that is known.
pub(crate) fn come_to_rest(
    world: &World,
    machines: &mut Machines,
    rules: &Rules,
    rested: &mut HashSet<World>,
) -> Result<World, String> {
    let mut world = world.clone();
    world.left = Left::default();
    let mut way = Vec::new();
    let end = world.now + REST;
    loop {
        // The newest of what was said comes, whatever else is on its way.
        let paused = world.places().find(|place| world.nodes[*place].as_ref().is_some_and(|it| it.paused));
        let next = world.in_time(machines, rules).pop();
        let next = paused.map(Action::Resume).or(next).or_else(|| world.join_in_vain(machines));
        let next = match next {
            Some(next) => next,
            None if world.now == end => break,
            None => Action::Tick,
        };
        let (mut after, did) = world.after(next, machines, rules)?;
        follow(&world, &mut after, &did, machines, rules)?;
        hold(&after, machines, rules)?;
        way.push(world);
        world = after;
        if way.len() > MOST {
            return Err("it never comes to rest: one answer leads to the next".to_owned());
        }
        if rested.contains(&world) {
            rested.extend(way);
            return Ok(world);
        }
    }
    at_rest(&world, machines, rules)?;
    rested.extend(way);
    rested.insert(world.clone());
    Ok(world)
}

fn at_rest(world: &World, machines: &Machines, rules: &Rules) -> Result<(), String> {
    let all: Vec<Place> = world.places().filter(|place| world.running(*place).is_some()).collect();
    let is_whole = rules.in_order && world.cut.is_none() && !all.is_empty();
    let (apart, together): (Vec<Place>, Vec<Place>) = all.into_iter().partition(|it| world.cut == Some(*it));
    for side in [apart, together].iter().filter(|side| !side.is_empty()) {
        let is_willing = |place: &Place| !world.drained[*place];
        for number in 0..rules.addresses {
            let address = address(number);
            let claims = |place: &&Place| world.claims(machines, **place, number).is_some();
            let owners: Vec<Place> = side.iter().filter(claims).copied().collect();
            let [owner] = owners[..] else {
                return Err(format!("at rest {address} is claimed by {owners:?} of {side:?}"));
            };
            if !is_willing(&owner) && side.iter().any(is_willing) {
                return Err(format!("at rest {address} is still with {}, which is drained", name(owner)));
            }
            for place in side {
                let sees = world.running(*place).and_then(|it| machines.seen(it.state).owners[number]);
                if sees != Some(owner) {
                    return Err(format!(
                        "at rest {} takes {sees:?} for the owner of {address}",
                        name(*place)
                    ));
                }
            }
        }
    }
    if let Some(number) = world.doubt.iter().position(|doubt| *doubt).filter(|_| is_whole) {
        return Err(format!("the LAN was not told last by the one that owns {}", address(number)));
    }
    Ok(())
}
