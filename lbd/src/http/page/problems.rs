//! What needs attention, the worst first.

use super::Facts;
use super::html::{Escaped, add};
use crate::attention::{self, Found};

/// Problems that are shown at once.
const SHOWN: usize = 50;

/// All of them; a good word if there are none.
pub(super) fn html(facts: &Facts) -> String {
    let mut found: Vec<Found> = Vec::new();
    if let Some(speaker) = &facts.speaker {
        attention::of_speaker(&speaker.status, &mut found);
        attention::of_addresses(&speaker.addresses, &mut found);
    }
    if let Some((status, services)) = &facts.controller {
        attention::of_controller(status, services, &mut found);
    }
    let found = attention::in_order(found);
    if found.is_empty() {
        return "<p class=\"good\">Nothing. All is well, as far as this process knows.</p>".to_owned();
    }
    let item = |found: &Found| {
        let word = found.severity.word();
        format!("<li class=\"{word}\"><b>{word}</b> {}</li>", Escaped(&found.text))
    };
    let items = found.iter().take(SHOWN).map(item).collect::<Vec<_>>().concat();
    let mut html = format!("<ul class=\"problems\">{items}</ul>");
    if found.len() > SHOWN {
        add(&mut html, format_args!("<p class=\"more\">{} more are not shown.</p>", found.len() - SHOWN));
    }
    html
}
