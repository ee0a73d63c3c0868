//! The states of nodes, each found once. What a node does depends on nothing but what it was told, so a state has a
//! number, and what becomes of it by an input is worked out once, however many worlds it stands in.

use std::collections::HashMap;

use super::node::{Did, Input, Node, Place, Said};

/// The number of a state.
pub(crate) type State = usize;

/// A state: how to come to it, and what can be seen of it.
pub(crate) struct Seen {
    place: Place,
    before: Option<(State, Input)>,
    /// What it tells the others.
    pub(crate) said: usize,
    pub(crate) alive: Vec<bool>,
    pub(crate) joined: bool,
    /// Who answers for each address or is to, as it sees it.
    pub(crate) owners: Vec<Option<Place>>,
}

/// All states that were found so far.
pub(crate) struct Machines {
    nodes: usize,
    addresses: usize,
    seen: Vec<Seen>,
    numbers: HashMap<String, State>,
    steps: HashMap<(State, Input), Result<(State, Did), String>>,
    said: Vec<Said>,
    said_numbers: HashMap<Said, usize>,
}

impl Machines {
    pub(crate) fn new(nodes: usize, addresses: usize) -> Self {
        Self {
            nodes,
            addresses,
            seen: Vec::new(),
            numbers: HashMap::new(),
            steps: HashMap::new(),
            said: Vec::new(),
            said_numbers: HashMap::new(),
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.seen.len()
    }

    pub(crate) fn seen(&self, state: State) -> &Seen {
        &self.seen[state]
    }

    pub(crate) fn said(&self, number: usize) -> &Said {
        &self.said[number]
    }

    /// What a node in this state tells the others.
    pub(crate) fn said_by(&self, state: State) -> &Said {
        self.said(self.seen[state].said)
    }

    /// A node that has just started.
    pub(crate) fn start(&mut self, place: Place) -> State {
        let node = Node::new(place, self.nodes, self.addresses);
        self.number(place, None, &node)
    }

    /// What becomes of a state, and what the node does.
    pub(crate) fn step(&mut self, state: State, input: &Input) -> Result<(State, Did), String> {
        let key = (state, input.clone());
        if let Some(known) = self.steps.get(&key) {
            return known.clone();
        }
        let mut node = self.build(state);
        let place = self.seen[state].place;
        let done = node.apply(input.clone()).map(|did| (self.number(place, Some(key.clone()), &node), did));
        self.steps.insert(key, done.clone());
        done
    }

    /// The node itself: claims cannot be copied, but be made again.
    fn build(&self, state: State) -> Node {
        let mut inputs = Vec::new();
        let mut at = state;
        while let Some((before, input)) = &self.seen[at].before {
            inputs.push(input);
            at = *before;
        }
        let mut node = Node::new(self.seen[state].place, self.nodes, self.addresses);
        for input in inputs.into_iter().rev() {
            node.apply(input.clone()).expect("it broke no law the first time");
        }
        node
    }

    fn number(&mut self, place: Place, before: Option<(State, Input)>, node: &Node) -> State {
        let text = format!("{node:?}");
        if let Some(known) = self.numbers.get(&text) {
            return *known;
        }
        let said = node.said();
        let next = self.said.len();
        let number = *self.said_numbers.entry(said.clone()).or_insert(next);
        if number == next {
            self.said.push(said);
        }
        let alive = (0..self.nodes).map(|other| node.alive.contains(&other)).collect();
        let owners = (0..self.addresses).map(|number| node.owner(number)).collect();
        self.seen.push(Seen { place, before, said: number, alive, joined: node.joined, owners });
        self.numbers.insert(text, self.seen.len() - 1);
        self.seen.len() - 1
    }
}
