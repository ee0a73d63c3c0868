//! A network in virtual time: datagrams that are lost, delayed, reordered and doubled by a seed, and ways that are cut.
//!
//! It knows nothing of what it carries. The same seed gives the same story, on every machine.

#[cfg(feature = "members")]
pub mod members;

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::ops::Range;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// How bad the network is.
#[derive(Debug, Clone, PartialEq)]
pub struct Weather {
    /// The share of datagrams that are lost, from 0 to 1.
    pub loss: f64,
    /// The share that come twice.
    pub doubled: f64,
    /// How long one takes: each draws its own time, so that they overtake each other.
    pub delay: Range<Duration>,
    /// The share that take a hundred times as long.
    pub late: f64,
}

impl Weather {
    /// A quiet LAN.
    #[must_use]
    pub fn fair() -> Self {
        Self {
            loss: 0.0,
            doubled: 0.0,
            delay: Duration::from_micros(50)..Duration::from_micros(300),
            late: 0.0,
        }
    }

    /// A LAN that loses this share, doubles some, and delays some.
    #[must_use]
    pub fn foul(loss: f64) -> Self {
        Self { loss, doubled: 0.02, delay: Duration::from_micros(50)..Duration::from_millis(3), late: 0.005 }
    }
}

/// A place at which datagrams come and go.
pub type Place = usize;

#[derive(Debug)]
struct OnItsWay<T> {
    at: Duration,
    /// What was sent first comes first, if both come at the same time.
    number: u64,
    from: Place,
    to: Place,
    what: T,
}

impl<T> PartialEq for OnItsWay<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for OnItsWay<T> {}

impl<T> PartialOrd for OnItsWay<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for OnItsWay<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// The network.
#[derive(Debug)]
pub struct Simulated<T> {
    weather: Weather,
    odds: StdRng,
    number: u64,
    under_way: BinaryHeap<Reverse<OnItsWay<T>>>,
    cut: BTreeSet<(Place, Place)>,
    cut_changes: u64,
}

impl<T: Clone> Simulated<T> {
    /// A network in which everybody can reach everybody.
    #[must_use]
    pub fn new(weather: Weather, seed: u64) -> Self {
        Self {
            weather,
            odds: StdRng::seed_from_u64(seed),
            number: 0,
            under_way: BinaryHeap::new(),
            cut: BTreeSet::new(),
            cut_changes: 0,
        }
    }

    /// The weather changes.
    pub fn set_weather(&mut self, weather: Weather) {
        self.weather = weather;
    }

    /// What goes from one place to another is lost from now on, or no more. One way only.
    pub fn set_cut(&mut self, from: Place, to: Place, cut: bool) {
        self.cut_changes += 1;
        if cut {
            self.cut.insert((from, to));
        } else {
            self.cut.remove(&(from, to));
        }
    }

    /// Everybody can reach everybody again.
    pub fn heal(&mut self) {
        self.cut_changes += 1;
        self.cut.clear();
    }

    /// How often [`Self::set_cut`] and [`Self::heal`] were called: equal values mean that the same ways are open.
    #[must_use]
    pub fn cut_changes(&self) -> u64 {
        self.cut_changes
    }

    /// Whether what goes from one place to another is lost.
    #[must_use]
    pub fn is_cut(&self, from: Place, to: Place) -> bool {
        self.cut.contains(&(from, to))
    }

    /// Sends something.
    pub fn send(&mut self, now: Duration, from: Place, to: Place, what: T) {
        if self.is_cut(from, to) || self.odds.random_bool(self.weather.loss) {
            return;
        }
        let times = 1 + usize::from(self.odds.random_bool(self.weather.doubled));
        for _ in 0..times {
            let mut delay = self.odds.random_range(self.weather.delay.clone());
            if self.odds.random_bool(self.weather.late) {
                delay *= 100;
            }
            self.number += 1;
            let datagram = OnItsWay { at: now + delay, number: self.number, from, to, what: what.clone() };
            self.under_way.push(Reverse(datagram));
        }
    }

    /// When the next datagram arrives.
    #[must_use]
    pub fn next(&self) -> Option<Duration> {
        self.under_way.peek().map(|Reverse(datagram)| datagram.at)
    }

    /// The next datagram that has arrived by now: where from, where to, and what. Those whose way was cut meanwhile are
    /// lost.
    pub fn arrived(&mut self, now: Duration) -> Option<(Place, Place, T)> {
        while self.next().is_some_and(|at| at <= now) {
            let Reverse(datagram) = self.under_way.pop()?;
            if !self.is_cut(datagram.from, datagram.to) {
                return Some((datagram.from, datagram.to, datagram.what));
            }
        }
        None
    }

    /// A number below `below`, by the seed of this network: for whoever decides what happens in it.
    pub fn draw(&mut self, below: u64) -> u64 {
        self.odds.random_range(0..below.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn story(seed: u64) -> Vec<(Duration, u32)> {
        let mut network = Simulated::new(Weather::foul(0.2), seed);
        for number in 0..200 {
            network.send(Duration::from_millis(u64::from(number)), 0, 1, number);
        }
        let mut story = Vec::new();
        while let Some(at) = network.next() {
            story.extend(network.arrived(at).map(|(_, _, what)| (at, what)));
        }
        story
    }

    #[test]
    fn one_seed_is_one_story_with_losses_doubles_and_overtaking() {
        let told = story(1);
        assert_eq!(told, story(1));
        assert_ne!(told, story(2));
        let numbers: BTreeSet<u32> = told.iter().map(|(_, number)| *number).collect();
        assert!((120..190).contains(&numbers.len()) && told.len() > numbers.len());
        assert!(told.windows(2).all(|pair| pair[0].0 <= pair[1].0));
        assert!(told.windows(2).any(|pair| pair[0].1 > pair[1].1));
    }

    #[test]
    fn what_is_under_way_is_lost_when_its_way_is_cut() {
        let mut network = Simulated::new(Weather::fair(), 1);
        network.send(Duration::ZERO, 0, 1, ());
        network.set_cut(0, 1, true);
        network.send(Duration::ZERO, 1, 0, ());
        assert_eq!(network.arrived(Duration::from_secs(1)), Some((1, 0, ())));
        assert_eq!(network.arrived(Duration::from_secs(1)), None);
        network.heal();
        network.send(Duration::ZERO, 0, 1, ());
        assert!(network.arrived(Duration::from_secs(1)).is_some());
    }
}
