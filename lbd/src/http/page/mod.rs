//! The page for people: what is wrong first, then everything else. It is whole without scripts; with them it goes on
//! by [`super::events`]. It can change nothing.

mod addresses;
mod html;
mod pools;
mod problems;

use std::hash::{BuildHasher, RandomState};

use lbk8s::controller::ControllerStatus;
use lbk8s::controller::view::Standing;
use lbk8s::speaker::SpeakerStatus;
use lbk8s::speaker::view::{AddressView, MoveView};

use self::html::{Escaped, add};
use super::Asked;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// All that the page is made of.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) speaker: Option<SpeakerFacts>,
    pub(super) controller: Option<(ControllerStatus, Vec<Standing>)>,
}

/// What a speaker tells.
#[derive(Debug)]
pub(super) struct SpeakerFacts {
    pub(super) status: SpeakerStatus,
    pub(super) addresses: Vec<AddressView>,
    pub(super) moves: Vec<MoveView>,
}

impl Facts {
    /// Nothing if somebody does not answer.
    pub(super) async fn ask(asked: &Asked) -> Option<Self> {
        let mut facts = Self::default();
        if let Some(speaker) = &asked.speaker {
            facts.speaker = Some(SpeakerFacts {
                status: speaker.status().await?,
                addresses: speaker.addresses().await?,
                moves: speaker.moves().await?,
            });
        }
        if let Some(controller) = &asked.controller {
            facts.controller = Some((controller.status().await, controller.services().await));
        }
        Some(facts)
    }

    fn title(&self) -> String {
        match (&self.speaker, &self.controller) {
            (Some(speaker), Some(_)) => format!("lbd on {}", speaker.status.node),
            (Some(speaker), None) => format!("lbd speaker on {}", speaker.status.node),
            (None, _) => "lbd controller".to_owned(),
        }
    }
}

/// The rows that are looked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Filter {
    words: String,
}

impl Filter {
    /// As the page's address says.
    pub(super) fn of(query: Option<&str>) -> Self {
        let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        let words = pairs.find(|(name, _)| name == "q").map(|(_, words)| words.into_owned());
        Self { words: words.unwrap_or_default().trim().to_owned() }
    }

    /// What a row has to contain, in lower case.
    fn needle(&self) -> String {
        self.words.to_lowercase()
    }
}

/// A part of the page that changes by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Section {
    /// Its name, for the page and for events.
    pub(super) id: &'static str,
    title: &'static str,
    pub(super) html: String,
}

/// The parts of the page, in order.
pub(super) fn sections(facts: &Facts, filter: &Filter) -> Vec<Section> {
    let words = filter.needle();
    let mut sections = Vec::new();
    let mut section = |id, title, html| sections.push(Section { id, title, html });
    section("problems", "What needs attention", problems::html(facts));
    if let Some((status, services)) = &facts.controller {
        section("pools", "Pools", pools::bars(&status.pools, &words));
        section("services", "Services", pools::services(services, &words));
    }
    if let Some(speaker) = &facts.speaker {
        section("addresses", "Addresses", addresses::table(&speaker.addresses, &speaker.status.node, &words));
        section("moves", "Moves", addresses::moves(&speaker.moves, &words));
        section("members", "Members", addresses::members(&speaker.status));
        section("interfaces", "Interfaces", addresses::interfaces(&speaker.status));
        section("conflicts", "Conflicts", addresses::conflicts(&speaker.status));
    }
    sections
}

/// The whole page, and what a browser may do with it.
pub(super) fn whole(facts: &Facts, filter: &Filter) -> (String, String) {
    // Nobody who writes a Service's name knows these numbers.
    let secret = || RandomState::new().hash_one("nonce");
    let nonce = format!("{:016x}{:016x}", secret(), secret());
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; img-src data:; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    let title = Escaped(facts.title());
    let words = Escaped(&filter.words);
    let sections = sections(facts, filter);
    let (mut index, mut parts) = (String::new(), String::new());
    for Section { id, title, html } in &sections {
        add(&mut index, format_args!("<a href=\"#{id}\">{title}</a> "));
        let part = format_args!("<h2 id=\"{id}\">{title}</h2><div data-live=\"{id}\">{html}</div>");
        add(&mut parts, format_args!("<section>{part}</section>\n"));
    }
    let version = env!("CARGO_PKG_VERSION");
    let html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\"><link rel=\"icon\" href=\"data:,\">\n\
         <style nonce=\"{nonce}\">\n{STYLE}</style></head>\n<body><header><h1>{title}</h1>\
         <p><span id=\"live\">As it was when this page was loaded.</span> Version {version}.</p>\
         <nav aria-label=\"Sections\">{index}</nav>\n\
         <form method=\"get\" role=\"search\"><label for=\"q\">Search</label> \
         <input id=\"q\" name=\"q\" type=\"search\" value=\"{words}\" placeholder=\"Service, address, node, pool\"> \
         <button>Show</button></form></header>\n<main>\n{parts}</main>\n\
         <script nonce=\"{nonce}\">\n{SCRIPT}</script></body></html>\n"
    );
    (policy, html)
}

#[cfg(test)]
mod tests {
    use lbk8s::controller::view::State;

    use super::*;

    fn facts(services: usize) -> Facts {
        let standing = |number: usize| Standing {
            service: format!("web/s{number}").parse().expect("a key"),
            state: State::Pending,
            held: Vec::new(),
            reason: Some("NoPools".into()),
            text: Some("<script>alert(1)</script>".to_owned()),
        };
        let status = ControllerStatus { leader: true, ready: true, ..ControllerStatus::default() };
        Facts { speaker: None, controller: Some((status, (0..services).map(standing).collect())) }
    }

    #[test]
    fn the_page_is_whole_without_scripts_and_has_none_but_its_own() {
        let (policy, html) = whole(&facts(3), &Filter::of(Some("q=%22%3E%3Cb%3E")));
        assert_eq!(html.matches("<script").count(), 1);
        assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{html}");
        assert!(html.contains("value=\"&quot;&gt;&lt;b&gt;\""), "{html}");
        let nonce = policy.split("'nonce-").nth(1).and_then(|rest| rest.split('\'').next()).expect("a nonce");
        assert!(html.contains(&format!("<script nonce=\"{nonce}\">")));
        assert!(policy.starts_with("default-src 'none';"), "{policy}");
        for elsewhere in ["http://", "https://", " src=", "style=", "onclick"] {
            assert!(!html.contains(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn of_ten_thousand_services_some_are_shown_and_the_others_are_found() {
        let facts = facts(10_000);
        let all = sections(&facts, &Filter::default());
        assert!(all.iter().map(|section| section.html.len()).sum::<usize>() < 200_000);
        assert!(all.iter().any(|section| section.html.contains("9800 more are not shown")));
        let found = sections(&facts, &Filter::of(Some("q=web/s9999")));
        assert!(found.iter().any(|section| section.id == "services" && section.html.contains("web/s9999")));
    }
}
