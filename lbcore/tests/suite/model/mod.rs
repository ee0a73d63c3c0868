//! Every way in which a few nodes can hear, miss and overtake each other: all worlds that the claims can come to, up to
//! a bound on what goes wrong and on the time that passes.
//!
//! Tables come late, overtake each other or are never seen because a newer one came first; nodes die, start with
//! nothing, stand still, are cut off, drained and ended. A law that breaks is shown with the shortest way there.

mod laws;
mod machines;
mod node;
mod world;

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::time::Instant;

use self::machines::Machines;
use self::world::{Action, Left, Rules, World};

/// A search through all worlds.
struct Search {
    rules: Rules,
    machines: Machines,
    /// How each world was come to: from which, and by what.
    ways: Vec<Option<(usize, Action)>>,
    /// Worlds that were seen, by hash: to keep all of them would take too much memory.
    seen: HashSet<u64>,
    rested: HashSet<World>,
    edge: VecDeque<(usize, World)>,
}

impl Search {
    fn new(rules: Rules) -> Self {
        let machines = Machines::new(rules.nodes, rules.addresses);
        Self {
            rules,
            machines,
            ways: Vec::new(),
            seen: HashSet::new(),
            rested: HashSet::new(),
            edge: VecDeque::new(),
        }
    }

    /// All worlds that `first` can become.
    fn run(&mut self, first: World) -> Result<(), String> {
        self.add(first, None);
        while let Some((number, world)) = self.edge.pop_front() {
            for action in world.actions(&self.machines, &self.rules) {
                self.follow(number, &world, action).map_err(|why| self.story(number, action, &why))?;
            }
        }
        Ok(())
    }

    fn follow(&mut self, number: usize, world: &World, action: Action) -> Result<(), String> {
        let (mut after, did) = world.after(action, &mut self.machines, &self.rules)?;
        laws::follow(world, &mut after, &did, &self.machines, &self.rules)?;
        if self.add(after.clone(), Some((number, action))) {
            laws::hold(&after, &self.machines, &self.rules)?;
            laws::come_to_rest(&after, &mut self.machines, &self.rules, &mut self.rested)
                .map_err(|why| format!("{why}, after all was heard"))?;
        }
        Ok(())
    }

    fn add(&mut self, world: World, way: Option<(usize, Action)>) -> bool {
        let mut hasher = DefaultHasher::new();
        world.hash(&mut hasher);
        let is_new = self.seen.insert(hasher.finish());
        if is_new {
            self.edge.push_back((self.ways.len(), world));
            self.ways.push(way);
        }
        is_new
    }

    /// How it came to that.
    fn story(&self, mut number: usize, last: Action, why: &str) -> String {
        let mut actions = vec![last];
        while let Some((before, action)) = self.ways[number] {
            actions.push(action);
            number = before;
        }
        let steps = actions.iter().rev().map(|action| format!("  {action:?}\n"));
        format!("{why}:\n{}", steps.collect::<String>())
    }
}

/// All nodes run, and everything is at rest: what the search begins with.
fn settled(search: &mut Search, left: Left) -> World {
    let mut world = World::new(&search.rules, Left::default());
    for place in world.places() {
        (world, _) = world.after(Action::Start(place), &mut search.machines, &search.rules).unwrap();
    }
    let (machines, rested) = (&mut search.machines, &mut HashSet::new());
    let world = laws::come_to_rest(&world, machines, &search.rules, rested).unwrap();
    world.with(left)
}

fn note(text: &str) {
    // A closed stderr is no reason to fail.
    let _ = writeln!(std::io::stderr(), "     {text}");
}

/// Looks through all worlds; how many there are. `MODEL_TICKS` lets so much more time pass.
fn search(what: &str, rules: Rules, left: Left, is_settled: bool) -> Result<usize, String> {
    let more = std::env::var("MODEL_TICKS").ok().and_then(|more| more.parse::<u8>().ok()).unwrap_or_default();
    let left = Left { ticks: left.ticks + more, ..left };
    let begun = Instant::now();
    let mut search = Search::new(rules);
    let first = if is_settled { settled(&mut search, left) } else { World::new(&search.rules, left) };
    let found = search.run(first);
    let (worlds, nodes, time) = (search.ways.len(), search.machines.count(), begun.elapsed());
    note(&format!("{what}: {worlds} worlds, {nodes} states of a node, {:.1} s", time.as_secs_f64()));
    found.map(|()| worlds)
}

fn rules(nodes: usize, addresses: usize) -> Rules {
    Rules { nodes, addresses, ..Rules::default() }
}

/// No law breaks, and at least so many worlds were looked at: a search that ends early would find nothing either.
fn holds(what: &str, rules: Rules, left: Left, is_settled: bool, least: usize) {
    match search(what, rules, left, is_settled) {
        Ok(worlds) => assert!(worlds >= least, "{worlds} worlds are not all"),
        Err(story) => panic!("{story}"),
    }
}

#[test]
fn two_nodes_that_start_in_any_order_and_one_dies() {
    let left = Left { ticks: 4, starts: 3, crashes: 1, ..Left::default() };
    holds("two start", rules(2, 2), left, false, 5_000);
}

#[test]
fn of_two_nodes_one_dies_and_comes_back_and_the_other_one_too() {
    let left = Left { ticks: 5, crashes: 2, starts: 2, ..Left::default() };
    holds("two die", rules(2, 2), left, true, 20_000);
}

#[test]
fn of_three_nodes_one_dies_and_comes_back() {
    let left = Left { ticks: 2, crashes: 1, starts: 1, ..Left::default() };
    holds("one of three dies", rules(3, 1), left, true, 10_000);
}

#[test]
fn a_network_splits_and_heals_and_a_node_dies_meanwhile() {
    holds("split", rules(3, 1), Left { ticks: 4, cuts: 1, ..Left::default() }, true, 4_000);
    let left = Left { ticks: 3, cuts: 2, crashes: 1, starts: 1, ..Left::default() };
    holds("split of two", rules(2, 1), left, true, 2_000);
}

#[test]
fn nodes_are_drained_and_not_any_more() {
    holds("drain", rules(3, 1), Left { ticks: 3, drains: 1, ..Left::default() }, true, 5_000);
    holds("drain of two", rules(2, 2), Left { ticks: 4, drains: 3, ..Left::default() }, true, 2_000);
}

#[test]
fn a_node_is_told_to_end_and_comes_back() {
    let left = Left { ticks: 1, leaves: 1, starts: 1, ..Left::default() };
    holds("end", rules(3, 1), left, true, 4_500);
}

#[test]
fn a_node_stands_still_or_is_taken_to_be_dead_and_lives() {
    holds("standstill", rules(3, 1), Left { ticks: 3, pauses: 1, ..Left::default() }, true, 3_000);
    holds("slander", rules(3, 1), Left { ticks: 3, slanders: 2, ..Left::default() }, true, 5_000);
}

#[test]
fn if_nothing_is_lost_the_lan_is_told_last_by_the_owner() {
    let rules = Rules { in_order: true, ..rules(3, 1) };
    for (what, left, least) in [
        ("drain in order", Left { ticks: 2, drains: 1, ..Left::default() }, 1_000),
        ("end in order", Left { ticks: 2, leaves: 1, ..Left::default() }, 500),
        ("standstill in order", Left { ticks: 3, pauses: 1, ..Left::default() }, 3_000),
    ] {
        holds(what, rules.clone(), left, true, least);
    }
}

#[test]
fn who_comes_back_takes_nothing_if_all_is_heard_in_time() {
    let left = Left { ticks: 4, crashes: 1, starts: 1, ..Left::default() };
    let rules = Rules { timely: true, ..rules(3, 1) };
    holds("in time", rules.clone(), left, true, 2_000);
    let faulty = search("claims at start", Rules { claims_at_start: true, ..rules }, left, true);
    let story = faulty.expect_err("who claims at once takes it from another one");
    assert!(story.contains("has no reason to"), "{story}");
}
