//! The world of the model: nodes, what is on its way between them, and all that may happen next.

use super::machines::{Machines, State};
use super::node::{Did, Input, Place, address};

/// So many ticks a node that starts, or stood still, waits for the others.
const JOIN: u32 = 2;

/// A process on a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    pub(crate) state: State,
    /// Since when it waits for the others, if it does.
    since: u32,
    pub(crate) paused: bool,
}

/// How often what may happen, besides messages that come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Left {
    pub(crate) ticks: u8,
    pub(crate) crashes: u8,
    pub(crate) starts: u8,
    pub(crate) cuts: u8,
    pub(crate) drains: u8,
    pub(crate) leaves: u8,
    pub(crate) pauses: u8,
    /// Deaths that are believed of a node which lives.
    pub(crate) slanders: u8,
}

/// What is the same in all worlds of one search.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    pub(crate) nodes: usize,
    pub(crate) addresses: usize,
    /// Everything arrives and is noticed before the next tick.
    pub(crate) timely: bool,
    /// No table is passed over because a newer one came first. Then the owner knows of all that answered too, and the
    /// LAN is told by it last: of a claim that was given up before it was heard of nobody knows.
    pub(crate) in_order: bool,
    /// A fault on purpose: who starts claims at once.
    pub(crate) claims_at_start: bool,
}

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Tick,
    /// The first hears that the second is there.
    Up(Place, Place),
    /// The first does not hear the second any more.
    Down(Place, Place),
    /// The first hears what the second said; of what is on its way it is that one.
    Hear(Place, Place, usize),
    /// The API tells a node that another one is drained, or is not.
    Api(Place),
    Join(Place),
    Start(Place),
    Crash(Place),
    /// A node is cut off from all others.
    Cut(Place),
    Heal,
    Drain(Place, bool),
    Leave(Place),
    /// One that was told to end does.
    End(Place),
    Pause(Place),
    Resume(Place),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) now: u32,
    pub(crate) nodes: Vec<Option<Process>>,
    /// What each told each other one, and that one has not heard: by sender, then by receiver, the newest last.
    pub(crate) on_way: Vec<Vec<Vec<usize>>>,
    /// What the API has still to tell each node.
    api: Vec<Vec<(Place, bool)>>,
    pub(crate) drained: Vec<bool>,
    pub(crate) cut: Option<Place>,
    pub(crate) left: Left,
    /// No node was lost, cut off, or slandered so far.
    pub(crate) calm: bool,
    /// Whether each address was ever claimed.
    pub(crate) had: Vec<bool>,
    /// Whether the LAN may believe that another node than the owner has the address.
    pub(crate) doubt: Vec<bool>,
}

impl World {
    pub(crate) fn new(rules: &Rules, left: Left) -> Self {
        let (nodes, addresses) = (rules.nodes, rules.addresses);
        Self {
            now: 0,
            nodes: vec![None; nodes],
            on_way: vec![vec![vec![]; nodes]; nodes],
            api: vec![vec![]; nodes],
            drained: vec![false; nodes],
            cut: None,
            left,
            calm: true,
            had: vec![false; addresses],
            doubt: vec![false; addresses],
        }
    }

    /// The same world, in which so much is left to go wrong.
    pub(crate) fn with(self, left: Left) -> Self {
        Self { left, ..self }
    }

    pub(crate) fn places(&self) -> std::ops::Range<Place> {
        0..self.nodes.len()
    }

    /// The process of a node, if it runs and does not stand still.
    pub(crate) fn running(&self, place: Place) -> Option<&Process> {
        self.nodes[place].as_ref().filter(|process| !process.paused)
    }

    pub(crate) fn connected(&self, one: Place, other: Place) -> bool {
        self.cut != Some(one) && self.cut != Some(other)
    }

    pub(crate) fn claims(&self, machines: &Machines, place: Place, number: usize) -> Option<u64> {
        let process = self.nodes[place].as_ref()?;
        machines.said_by(process.state).claims.get(&address(number)).copied()
    }

    /// What happens by itself, sooner or later: messages come, and what is so is noticed.
    pub(crate) fn in_time(&self, machines: &Machines, rules: &Rules) -> Vec<Action> {
        let mut actions = Vec::new();
        for one in self.places() {
            let Some(process) = self.running(one) else { continue };
            let seen = machines.seen(process.state);
            for other in self.places().filter(|other| *other != one) {
                let runs = self.running(other).is_some();
                let reachable = self.connected(one, other);
                if !seen.alive[other] {
                    actions.extend((runs && reachable).then_some(Action::Up(one, other)));
                    continue;
                }
                actions.extend((!runs || !reachable).then_some(Action::Down(one, other)));
                // What a node said before it died may still come.
                let most = if rules.in_order { 1 } else { usize::MAX };
                let waiting = if reachable { self.on_way[other][one].len().min(most) } else { 0 };
                actions.extend((0..waiting).map(|which| Action::Hear(one, other, which)));
            }
            actions.extend((!self.api[one].is_empty()).then_some(Action::Api(one)));
            let said = machines.said_by(process.state);
            actions.extend((!seen.joined && self.has_heard_all(machines, one)).then_some(Action::Join(one)));
            actions.extend((said.leaving && said.claims.is_empty()).then_some(Action::End(one)));
        }
        actions
    }

    /// Who has waited for others long enough.
    pub(crate) fn join_in_vain(&self, machines: &Machines) -> Option<Action> {
        let waited = |place: &Place| {
            let process = self.running(*place);
            process.is_some_and(|it| !machines.seen(it.state).joined && self.now >= it.since + JOIN)
        };
        self.places().find(waited).map(Action::Join)
    }

    fn has_heard_all(&self, machines: &Machines, one: Place) -> bool {
        let Some(process) = self.running(one) else { return false };
        let alive = &machines.seen(process.state).alive;
        self.places().all(|other| other == one || (alive[other] && self.on_way[other][one].is_empty()))
    }

    /// All that may happen next.
    pub(crate) fn actions(&self, machines: &Machines, rules: &Rules) -> Vec<Action> {
        let mut actions = self.in_time(machines, rules);
        let left = &self.left;
        if left.ticks > 0 && (actions.is_empty() || !rules.timely) {
            actions.push(Action::Tick);
        }
        for place in self.places() {
            let Some(process) = &self.nodes[place] else {
                actions.extend((left.starts > 0).then_some(Action::Start(place)));
                continue;
            };
            actions.extend((left.crashes > 0).then_some(Action::Crash(place)));
            actions.extend((left.cuts > 0 && self.cut.is_none()).then_some(Action::Cut(place)));
            actions.extend((left.drains > 0).then_some(Action::Drain(place, !self.drained[place])));
            if process.paused {
                actions.push(Action::Resume(place));
                continue;
            }
            let (seen, said) = (machines.seen(process.state), machines.said_by(process.state));
            let waited = !seen.joined && self.now >= process.since + JOIN;
            actions.extend((waited && !self.has_heard_all(machines, place)).then_some(Action::Join(place)));
            actions.extend((left.leaves > 0 && seen.joined && !said.leaving).then_some(Action::Leave(place)));
            actions.extend((left.pauses > 0).then_some(Action::Pause(place)));
            let slander = |other: &Place| seen.alive[*other] && self.running(*other).is_some();
            if left.slanders > 0 {
                actions.extend(self.places().filter(slander).map(|other| Action::Down(place, other)));
            }
        }
        actions.extend(self.cut.map(|_| Action::Heal));
        actions
    }

    /// The world after something has happened, and what the node did that it happened to.
    ///
    /// # Errors
    /// That node broke a law.
    pub(crate) fn after(
        &self,
        action: Action,
        machines: &mut Machines,
        rules: &Rules,
    ) -> Result<(Self, Vec<(Place, Did)>), String> {
        let mut world = self.clone();
        let mut did = Vec::new();
        let mut tell = |world: &mut Self, machines: &mut Machines, place: Place, input: Input| {
            world.tell(machines, place, &input).map(|it| did.push((place, it)))
        };
        match action {
            Action::Tick => {
                world.now += 1;
                world.left.ticks = world.left.ticks.saturating_sub(1);
                for place in world.places().filter(|place| self.running(*place).is_some()) {
                    tell(&mut world, machines, place, Input::Time(self.now + 1))?;
                }
            }
            Action::Up(one, other) => tell(&mut world, machines, one, Input::Up(other))?,
            Action::Down(one, other) => {
                if self.running(other).is_some() && self.connected(one, other) {
                    (world.left.slanders, world.calm) = (self.left.slanders - 1, false);
                }
                if self.nodes[other].is_none() {
                    world.on_way[other][one].clear();
                }
                tell(&mut world, machines, one, Input::Down(other))?;
            }
            Action::Hear(one, other, which) => {
                let said = machines.said(self.on_way[other][one][which]).clone();
                world.on_way[other][one].drain(..=which);
                tell(&mut world, machines, one, Input::Hear(other, said))?;
            }
            Action::Api(one) => {
                let (other, drained) = world.api[one].remove(0);
                tell(&mut world, machines, one, Input::Drained(other, drained))?;
            }
            Action::Join(one) => tell(&mut world, machines, one, Input::Joined)?,
            Action::Start(one) => {
                world.left.starts = self.left.starts.saturating_sub(1);
                let state = machines.start(one);
                let said = machines.seen(state).said;
                world.nodes[one] = Some(Process { state, since: self.now, paused: false });
                for other in world.places().filter(|other| *other != one) {
                    let theirs = self.nodes[other].as_ref().map(|it| machines.seen(it.state).said);
                    world.on_way[one][other] = theirs.map(|_| said).into_iter().collect();
                    world.on_way[other][one] = theirs.into_iter().collect();
                }
                world.api[one].clear();
                tell(&mut world, machines, one, Input::Time(self.now))?;
                for other in world.places().filter(|other| self.drained[*other]) {
                    tell(&mut world, machines, one, Input::Drained(other, true))?;
                }
                if rules.claims_at_start {
                    tell(&mut world, machines, one, Input::Joined)?;
                }
            }
            Action::Crash(one) => {
                (world.left.crashes, world.calm) = (self.left.crashes - 1, false);
                world.end(machines, one);
            }
            Action::End(one) => world.end(machines, one),
            Action::Cut(one) => {
                (world.left.cuts, world.calm, world.cut) = (self.left.cuts - 1, false, Some(one));
            }
            Action::Heal => world.cut = None,
            Action::Drain(one, drained) => {
                world.left.drains -= 1;
                world.drained[one] = drained;
                for other in world.places().filter(|other| self.nodes[*other].is_some()) {
                    world.api[other].push((one, drained));
                }
            }
            Action::Leave(one) => {
                world.left.leaves -= 1;
                tell(&mut world, machines, one, Input::Leave)?;
            }
            Action::Pause(one) => {
                (world.left.pauses, world.calm) = (self.left.pauses - 1, false);
                world.nodes[one].as_mut().unwrap().paused = true;
            }
            Action::Resume(one) => {
                let process = world.nodes[one].as_mut().unwrap();
                (process.paused, process.since) = (false, self.now);
                tell(&mut world, machines, one, Input::Time(self.now))?;
                tell(&mut world, machines, one, Input::StoodStill)?;
            }
        }
        Ok((world, did))
    }

    /// Tells a node something. What it says from now on is on its way to all others.
    fn tell(&mut self, machines: &mut Machines, place: Place, input: &Input) -> Result<Did, String> {
        let process = self.nodes[place].as_mut().unwrap();
        let said = machines.seen(process.state).said;
        let (state, did) = machines.step(process.state, input)?;
        process.state = state;
        let new = machines.seen(state).said;
        if new != said {
            for (other, on_way) in self.on_way[place].iter_mut().enumerate() {
                if other != place && self.nodes[other].is_some() {
                    on_way.push(new);
                }
            }
        }
        Ok(did)
    }

    fn end(&mut self, machines: &Machines, one: Place) {
        let process = self.nodes[one].take();
        let said = process.map(|process| machines.said_by(process.state).clone()).unwrap_or_default();
        for (number, doubt) in self.doubt.iter_mut().enumerate() {
            // Where it is cut off, nobody of the others' LAN had asked it.
            *doubt |= said.claims.contains_key(&address(number)) && self.cut != Some(one);
        }
        for (other, on_way) in self.on_way.iter_mut().enumerate() {
            on_way[one].clear();
            if self.nodes[other].is_none() && other != one {
                on_way.iter_mut().for_each(Vec::clear);
            }
        }
        self.api[one].clear();
    }
}
