//! Something that happens to the owner of an address, and is undone.

use nix::sys::signal::Signal;

use super::cluster::Cluster;
use crate::site::Result;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    Killed,
    Cut,
    Frozen,
    Stopped,
    Drained,
}

impl Event {
    pub(super) const ALL: [Self; 5] = [Self::Killed, Self::Cut, Self::Frozen, Self::Stopped, Self::Drained];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Killed => "speaker killed (SIGKILL)",
            Self::Cut => "link cut",
            Self::Frozen => "speaker frozen (SIGSTOP)",
            Self::Stopped => "speaker told to end (SIGTERM)",
            Self::Drained => "node drained",
        }
    }

    /// Whether nobody is to notice it.
    pub(super) fn is_planned(self) -> bool {
        matches!(self, Self::Stopped | Self::Drained)
    }
}

impl Cluster {
    /// It happens.
    pub(super) async fn happen(&mut self, event: Event, owner: usize) -> Result<()> {
        match event {
            Event::Killed => {
                if let Some(speaker) = &mut self.nodes[owner].speaker {
                    speaker.kill()?;
                }
                Ok(())
            }
            Event::Cut => self.cut(owner, true).await,
            Event::Frozen => self.signal(owner, Signal::SIGSTOP),
            Event::Stopped => self.signal(owner, Signal::SIGTERM),
            Event::Drained => self.drain(owner, true).await,
        }
    }

    /// All is as it was before.
    pub(super) async fn undo(&mut self, event: Event, owner: usize) -> Result<()> {
        match event {
            Event::Killed | Event::Stopped => {
                self.nodes[owner].speaker = None;
                self.start_speaker(owner).await
            }
            Event::Cut => self.cut(owner, false).await,
            Event::Frozen => self.signal(owner, Signal::SIGCONT),
            Event::Drained => self.drain(owner, false).await,
        }
    }
}
