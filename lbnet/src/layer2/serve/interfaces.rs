//! The interfaces, as they change.

use std::io;
use std::time::Duration;

use super::Loop;
use crate::Interface;
use crate::interface::monitor::{Monitor, Told};
use crate::interface::table::Change;
use crate::layer2::Event;
use crate::layer2::ports::Followed;

/// How long to wait before the interfaces are followed again after the kernel closed the connection.
const NETLINK_RETRY: Duration = Duration::from_millis(200);

impl Loop {
    pub(super) async fn on_netlink(&mut self, told: io::Result<Told>) {
        let followed = match told {
            Ok(Told::Changed(change)) => return self.on_change(change),
            Ok(Told::Lost) => {
                self.close_all();
                self.monitor.reread().await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = followed {
            self.tell(Event::NetlinkLost(error));
            tokio::time::sleep(NETLINK_RETRY).await;
            match Monitor::open().await {
                Ok(monitor) => {
                    self.monitor = monitor;
                    self.close_all();
                }
                Err(error) => self.tell(Event::NetlinkLost(error)),
            }
        }
        self.follow_interfaces();
    }

    pub(super) fn on_change(&mut self, change: Change) {
        let index = match change {
            Change::Gone(index) => {
                self.close(index);
                self.groups.gone(index);
                index
            }
            Change::Link(index) => index,
            Change::Address(index, address) => {
                self.ask_kernel(address);
                index
            }
        };
        // Containers come and go with interfaces that are none of ours.
        let interface = self.monitor.table().interfaces().get(&index);
        let is_ours = interface.is_none_or(|it| self.settings.interfaces.usable(it).is_ok());
        if !is_ours && !self.ports.is_open(index) {
            return;
        }
        self.groups.retry(index);
        // It may be plugged in elsewhere by now.
        let apart = matches!(change, Change::Link(_)) && self.segments.forget(index);
        if !self.follow_interfaces() && apart {
            self.place_all();
        }
    }

    /// After changes were missed: an interface may have been replaced by another with the same index, unseen.
    pub(super) fn close_all(&mut self) {
        for index in self.ports.open_indexes() {
            self.close(index);
            self.groups.gone(index);
        }
    }

    pub(super) fn close(&mut self, index: u32) {
        if let Some(name) = self.ports.close(index) {
            self.tell(Event::Closed { interface: name });
        }
    }

    /// Opens and closes sockets so that they go with the interfaces, then places every address anew; whether that
    /// was needed.
    pub(super) fn follow_interfaces(&mut self) -> bool {
        let interfaces = self.monitor.table().interfaces();
        let usable: Vec<&Interface> =
            interfaces.values().filter(|it| self.settings.interfaces.usable(it).is_ok()).collect();
        let Followed { events, renewed } = self.ports.follow(usable.iter().copied());
        let now: Vec<Interface> =
            usable.into_iter().filter(|it| self.ports.is_open(it.index)).cloned().collect();
        for event in events {
            self.tell(event);
        }
        // An interface that does not answer may change without a look at every address.
        if renewed.is_empty() && now == self.answering {
            return false;
        }
        self.answering = now;
        // A link that came back, or one with a new hardware address, is told of everything again.
        for held in self.held.values_mut() {
            held.at.retain(|index| !renewed.contains(index));
        }
        self.place_all();
        true
    }
}
