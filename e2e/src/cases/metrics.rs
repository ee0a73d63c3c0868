//! Metrics of the controller and the speakers.

use crate::Result;
use crate::case::{Case, case};
use crate::cluster::Cluster;

pub(super) fn cases() -> Vec<Case> {
    const WHY: &str = "there are no metrics yet";
    vec![
        case("with_and_without_a_service_the_controller_tells_of_its_pools", none).not_yet(WHY),
        case("with_and_without_a_service_a_speaker_tells_what_it_announces", none).not_yet(WHY),
    ]
}

async fn none(_: &mut Cluster) -> Result {
    Err("there is nothing to ask yet".into())
}
