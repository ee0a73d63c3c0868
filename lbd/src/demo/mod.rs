//! `lbd demo`: the whole story on a LAN of namespaces, verified from the client's side.
//!
//! ```text
//!   this process: bridge br0, embedded store, and for each node a stand-in for kube-proxy and its pods
//!        ├── lbd controller                  (a process)
//!        ├── n1: lbd speaker                 (a process in a namespace of its own)
//!        ├── n2: lbd speaker
//!        ├── n3: lbd speaker
//!        └── c: the client, outside the cluster
//! ```

mod client;
mod failover;
mod lan;
mod screen;
mod stand_in;
mod steps;
mod world;

use std::time::Instant;

use tokio::task::LocalSet;

use self::lan::DemoLan;
use self::screen::Screen;
use crate::cli::DemoArguments;
use crate::exit::{Failure, Outcome};
use crate::shutdown;

pub(crate) fn main(arguments: &DemoArguments) -> Outcome {
    let mut screen = Screen::new(arguments.json);
    let started = Instant::now();
    if let Err(error) = lblab::sandbox::enter() {
        screen.done(false, started.elapsed())?;
        return Err(error.into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = LocalSet::new().block_on(&runtime, async {
        tokio::select! {
            outcome = story(&mut screen) => outcome,
            stop = shutdown::requested(false) => stop.map_err(Failure::from).and(Err(Failure::Interrupted)),
        }
    });
    // Namespaces and children went with the story, also when it was interrupted.
    screen.done(outcome.is_ok(), started.elapsed())?;
    outcome
}

async fn story(screen: &mut Screen) -> Outcome {
    screen.intro()?;
    let lan = screen.waiting("building the LAN", DemoLan::build()).await?;
    screen.about_lan(&lan)?;
    steps::tell(screen, &lan).await
}
