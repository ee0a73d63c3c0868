//! The interfaces, as they change.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use super::Loop;
use crate::interface::Unusable;
use crate::interface::monitor::{Monitor, Told};
use crate::interface::table::Change;
use crate::layer2::Event;
use crate::layer2::ports::Followed;
use crate::socket::OpenError;

/// How long to wait before the interfaces are followed again after the kernel closed the connection.
const NETLINK_RETRY: Duration = Duration::from_millis(200);

/// How long to wait before an interface is opened again that could not be.
const OPEN_RETRY: Duration = Duration::from_secs(5);

impl Loop {
    pub(super) async fn on_netlink(&mut self, told: io::Result<Told>) {
        let followed = match told {
            Ok(Told::Changed(change)) => return self.on_change(change),
            // What is open goes on answering until it is known what there is.
            Ok(Told::Lost) => self.monitor.reread().await,
            Err(error) => Err(error),
        };
        if let Err(error) = followed {
            self.tell(Event::NetlinkLost(error));
            tokio::time::sleep(NETLINK_RETRY).await;
            match Monitor::open().await {
                Ok(monitor) => self.monitor = monitor,
                Err(error) => return self.tell(Event::NetlinkLost(error)),
            }
        }
        self.close_all();
        self.follow_interfaces();
    }

    pub(super) fn on_change(&mut self, change: Change) {
        let index = match change {
            Change::Gone(index) => {
                self.gone(index);
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
            self.gone(index);
        }
    }

    fn gone(&mut self, index: u32) {
        self.groups.gone(index);
        self.segments.forget(index);
        self.failed.remove(&index);
        if let Some(name) = self.ports.close(index) {
            self.tell(Event::Closed { interface: name });
        }
    }

    /// Opens and closes sockets so that they go with the interfaces, then places every address anew; whether that
    /// was needed.
    pub(super) fn follow_interfaces(&mut self) -> bool {
        let (mut usable, mut down) = (Vec::new(), Vec::new());
        for interface in self.monitor.table().interfaces().values() {
            match self.settings.interfaces.usable(interface) {
                Ok(()) => usable.push(interface.for_placing()),
                Err(Unusable::Down | Unusable::NoCarrier) => down.push(interface.for_placing()),
                Err(_) => {}
            }
        }
        let Followed { events, renewed, failed } = self.ports.follow(usable.iter());
        usable.retain(|it| self.ports.is_open(it.index));
        for event in events {
            self.tell(event);
        }
        self.on_failed(failed);
        // An interface that does not answer may change without a look at every address.
        if renewed.is_empty() && usable == self.answering && down == self.down {
            return false;
        }
        if usable != self.answering {
            self.tell(Event::Interfaces(usable.clone()));
        }
        (self.answering, self.down) = (usable, down);
        // A link that came back, or one with a new hardware address, is told of everything again.
        for held in self.held.values_mut() {
            held.at.retain(|index| !renewed.contains(index));
        }
        self.place_all();
        true
    }

    /// Tells of interfaces that could not be opened, each once, and tries them again after a while.
    fn on_failed(&mut self, failed: BTreeMap<u32, (String, OpenError)>) {
        self.failed.retain(|index| failed.contains_key(index));
        self.retry_at = (!failed.is_empty()).then(|| Instant::now() + OPEN_RETRY);
        for (index, (interface, error)) in failed {
            if self.failed.insert(index) {
                self.tell(Event::Failed { interface, error });
            }
        }
    }
}
