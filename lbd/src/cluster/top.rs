//! `lbd top`: addresses, owners, moves and frames a second, live, on the whole screen.

mod screen;

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use lbk8s::speaker::SpeakerStatus;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::{DefaultTerminal, crossterm};
use tokio::sync::mpsc;

use self::screen::Screen;
use super::found::{Found, Source};
use super::report::Report;
use super::{pause, run};
use crate::cli::TopArguments;
use crate::exit::{Failure, Outcome};

/// A second look comes so long after the one before.
const EVERY: Duration = Duration::from_secs(1);

pub(crate) fn main(arguments: &TopArguments) -> Outcome {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err(Failure::NoTerminal);
    }
    run(async {
        // What is wrong with the arguments is said before the screen is taken.
        let source = Source::of(&arguments.ask).await?;
        let first = source.ask().await?;
        let mut terminal = ratatui::try_init()?;
        let ended = show(&mut terminal, &source, first).await;
        ratatui::restore();
        ended
    })
}

async fn show(terminal: &mut DefaultTerminal, source: &Source, first: Found) -> Outcome {
    let mut keys = keys();
    let mut rates = Rates::default();
    let mut screen = Screen::default();
    screen.take(&first, rates.take(&first));
    let mut next = tokio::time::Instant::now() + EVERY;
    loop {
        terminal.draw(|frame| screen.draw(frame))?;
        let at = next;
        let looked = async move {
            tokio::time::sleep_until(at).await;
            let began = Instant::now();
            (source.ask().await, began.elapsed())
        };
        tokio::pin!(looked);
        let (found, took) = loop {
            tokio::select! {
                found = &mut looked => break found,
                key = keys.recv() => match key {
                    None | Some(Key::Quit) => return Ok(()),
                    Some(Key::Scroll(by)) => screen.scroll(by),
                    Some(Key::Redraw) => {}
                },
            }
            terminal.draw(|frame| screen.draw(frame))?;
        };
        match found {
            Ok(found) => screen.take(&found, rates.take(&found)),
            // What was seen last stays, with a word that it is old.
            Err(failure) => screen.fail(failure.to_string()),
        }
        next = tokio::time::Instant::now() + pause(took);
    }
}

/// What is done at the keyboard.
enum Key {
    Quit,
    Scroll(isize),
    Redraw,
}

/// Reading keys blocks, so that it has a thread of its own, which ends with the process.
fn keys() -> mpsc::Receiver<Key> {
    let (tell, told) = mpsc::channel(16);
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            let Some(key) = key(&event) else { continue };
            if tell.blocking_send(key).is_err() {
                return;
            }
        }
    });
    told
}

fn key(event: &crossterm::event::Event) -> Option<Key> {
    match event {
        Event::Resize(..) => Some(Key::Redraw),
        Event::Key(key) if key.kind != KeyEventKind::Release => match key.code {
            KeyCode::Char('q') | KeyCode::Esc => Some(Key::Quit),
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Some(Key::Quit),
            KeyCode::Down | KeyCode::Char('j') => Some(Key::Scroll(1)),
            KeyCode::Up | KeyCode::Char('k') => Some(Key::Scroll(-1)),
            KeyCode::PageDown | KeyCode::Char(' ') => Some(Key::Scroll(20)),
            KeyCode::PageUp => Some(Key::Scroll(-20)),
            KeyCode::Home => Some(Key::Scroll(isize::MIN)),
            _ => None,
        },
        _ => None,
    }
}

/// Frames a second, by node.
#[derive(Debug, Default)]
struct Rates {
    counted: BTreeMap<String, (u64, Instant)>,
}

impl Rates {
    fn take(&mut self, found: &Found) -> BTreeMap<String, f64> {
        let mut rates = BTreeMap::new();
        for speaker in found.speakers.iter().filter_map(|asked| asked.said.as_ref().ok()) {
            let (node, now) = (&speaker.status.node, Instant::now());
            let count = frames(&speaker.status);
            if let Some((before, then)) = self.counted.insert(node.clone(), (count, now)) {
                let passed = now.saturating_duration_since(then).as_secs_f64();
                // One that was started anew counts from nothing.
                let more = u32::try_from(count.checked_sub(before).unwrap_or(count)).unwrap_or(u32::MAX);
                rates.insert(node.clone(), if passed > 0.0 { f64::from(more) / passed } else { 0.0 });
            }
        }
        rates
    }
}

/// Questions answered, and frames sent without being asked.
fn frames(status: &SpeakerStatus) -> u64 {
    let answered: u64 = status
        .wire
        .interfaces
        .values()
        .fold(0_u64, |sum, it| sum.saturating_add(it.arp).saturating_add(it.ndp).saturating_add(it.echo));
    answered.saturating_add(status.wire.announced)
}

impl Screen {
    fn take(&mut self, found: &Found, rates: BTreeMap<String, f64>) {
        self.set(Report::of(found), found.moves.clone(), rates);
    }
}
