//! `lbd crds` and `lbd manifests`: what a cluster has to have.

use std::io::{self, Write};

use crate::cli::ManifestsArguments;
use crate::exit::Outcome;

const MANIFESTS: [&str; 4] = [
    include_str!("../../deploy/namespace.yaml"),
    include_str!("../../deploy/crds.yaml"),
    include_str!("../../deploy/controller.yaml"),
    include_str!("../../deploy/speaker.yaml"),
];

/// The image that the manifests name.
const IMAGE: &str = concat!("image: lbd:", env!("CARGO_PKG_VERSION"));

/// Prints the definitions of the kinds.
pub(crate) fn crds() -> Outcome {
    let mut out = io::stdout().lock();
    for (index, definition) in lbk8s::crds::all().iter().enumerate() {
        let text = serde_saphyr::to_string(definition).map_err(io::Error::other)?;
        let separator = if index > 0 { "---\n" } else { "" };
        writeln!(out, "{separator}{}", text.trim_end())?;
    }
    Ok(())
}

/// Prints everything that a cluster has to have.
pub(crate) fn manifests(arguments: &ManifestsArguments) -> Outcome {
    let mut out = io::stdout().lock();
    for (index, text) in MANIFESTS.iter().enumerate() {
        let text = arguments
            .image
            .as_ref()
            .map_or_else(|| (*text).to_owned(), |image| text.replace(IMAGE, &format!("image: {image}")));
        let separator = if index > 0 { "---\n" } else { "" };
        writeln!(out, "{separator}{}", text.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_workloads_name_the_image_of_this_version() {
        assert_eq!(MANIFESTS.iter().map(|text| text.matches(IMAGE).count()).sum::<usize>(), 2);
    }
}
