//! What is done to a cluster, drawn by its seed: deaths, starts, standstills, slowness, cuts both ways and one way, bad
//! weather, outages of the API, drains, Services that come, and speakers that are told to end.

use std::time::Duration;

use lblab::simulated::{Place, Weather};

use super::SECOND;
use super::laws::Watcher;
use super::speakers::Cluster;

/// A story: the cluster, who watches it, and how many Services it has by now.
pub(crate) struct Disturbed<'a> {
    pub(crate) cluster: &'a mut Cluster,
    pub(crate) watcher: &'a mut Watcher,
    pub(crate) services: usize,
}

impl Disturbed<'_> {
    fn draw(&mut self, below: u64) -> u64 {
        self.cluster.members.network.draw(below)
    }

    fn heads(&mut self) -> bool {
        self.draw(2) == 0
    }

    fn nodes(&self) -> usize {
        self.cluster.members.nodes.len()
    }

    fn draw_node(&mut self) -> Place {
        usize::try_from(self.draw(u64::try_from(self.nodes()).unwrap())).unwrap()
    }

    /// Time passes, and all of it is a disturbance.
    fn run_disturbed(&mut self, time: Duration) {
        let watcher = &mut *self.watcher;
        self.cluster.run(time, |members| {
            watcher.disturb(members.now);
            watcher.look(members);
        });
    }

    /// Something is done to the cluster.
    pub(crate) fn disturb(&mut self) {
        let node = self.draw_node();
        let runs = self.cluster.members.nodes[node].is_some();
        match self.draw(16) {
            0 | 1 if runs => self.cluster.members.kill(node),
            0..=3 if !runs => self.cluster.start(node),
            2 | 3 => {
                let time = Duration::from_millis(50 + self.draw(4000));
                self.cluster.members.stand_still(node, time);
                self.run_disturbed(time);
            }
            4 => {
                let side: Vec<Place> = (0..self.nodes()).filter(|_| self.heads()).collect();
                self.cluster.members.split(&side);
            }
            5 | 6 => self.cluster.members.network.heal(),
            7 => {
                let loss = f64::from(u32::try_from(self.draw(6)).unwrap()) / 100.0;
                self.cluster.members.network.set_weather(Weather::foul(loss));
            }
            8 => {
                let drained = self.heads();
                self.cluster.drain(node, drained);
            }
            9 => {
                self.cluster.add_service(self.services);
                self.services += 1;
                self.watcher.set_services(self.services);
            }
            10 => {
                let cut = self.heads();
                self.cluster.cut_off(node, cut);
            }
            11 => {
                let cut = self.heads();
                (0..self.nodes()).for_each(|node| self.cluster.cut_off(node, cut));
            }
            12 => self.cut_one_way(node),
            13 => {
                let slow = self.heads();
                self.cluster.set_slow(node, slow);
            }
            _ if runs => self.leave(node),
            _ => {}
        }
        self.watcher.disturb(self.cluster.members.now);
    }

    /// What a node sends to another one, or to any, is lost.
    fn cut_one_way(&mut self, from: Place) {
        let to = if self.heads() { Some(self.draw_node()) } else { None };
        for other in (0..self.nodes()).filter(|other| *other != from && to.is_none_or(|to| to == *other)) {
            self.cluster.members.network.set_cut(from, other, true);
        }
    }

    /// A speaker is told to end, and does when the others have what it had.
    fn leave(&mut self, node: Place) {
        self.cluster.leave(node);
        for _ in 0..100 {
            self.run_disturbed(SECOND / 50);
            if self.cluster.end_if_left(node) {
                return;
            }
        }
    }

    /// All is well again.
    pub(crate) fn mend(&mut self) {
        self.cluster.members.network.heal();
        self.cluster.members.network.set_weather(Weather::fair());
        for node in 0..self.nodes() {
            self.cluster.cut_off(node, false);
            self.cluster.set_slow(node, false);
            self.cluster.drain(node, false);
            if self.cluster.members.nodes[node].is_none() {
                self.cluster.start(node);
            }
        }
        self.watcher.disturb(self.cluster.members.now);
    }
}
