//! What `lbd top` shows.

use std::collections::BTreeMap;

use lbk8s::controller::view::State;
use lbk8s::speaker::view::MoveView;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph, Row, Table};

use super::super::ago;
use super::super::report::{MemberReport, MemberState, Report};
use super::super::status::nobody_or;
use crate::attention::Weight;

/// Problems and moves that are shown at once.
const FEW: usize = 5;
/// A screen narrower than this has room for what matters most.
const NARROW: u16 = 70;

/// Everything on the screen.
#[derive(Debug, Default)]
pub(super) struct Screen {
    report: Option<Report>,
    moves: Vec<MoveView>,
    rates: BTreeMap<String, f64>,
    /// Why what is shown is old.
    failure: Option<String>,
    /// Rows of addresses that are above the first one shown.
    above: usize,
}

impl Screen {
    pub(super) fn set(&mut self, report: Report, moves: Vec<MoveView>, rates: BTreeMap<String, f64>) {
        (self.report, self.moves, self.rates, self.failure) = (Some(report), moves, rates, None);
    }

    pub(super) fn fail(&mut self, why: String) {
        self.failure = Some(why);
    }

    pub(super) fn scroll(&mut self, by: isize) {
        self.above = self.above.saturating_add_signed(by);
    }

    pub(super) fn draw(&mut self, frame: &mut Frame<'_>) {
        let Some(report) = &self.report else { return };
        let rows = addresses(report);
        let problems = u16::try_from(report.problems.len().min(FEW)).unwrap_or_default();
        let nodes = u16::try_from(report.members.len().min(FEW * 2)).unwrap_or_default();
        let [head, wrong, middle, below, moves] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(problems),
            Constraint::Min(4),
            Constraint::Length(nodes + 2),
            Constraint::Length(u16::try_from(FEW).unwrap_or_default() + 1),
        ])
        .areas(frame.area());
        frame.render_widget(self.head(report), head);
        frame.render_widget(Paragraph::new(wrongs(report)), wrong);
        let room = usize::from(middle.height.saturating_sub(2));
        self.above = self.above.min(rows.len().saturating_sub(room));
        let shown: Vec<Row<'_>> = rows.into_iter().skip(self.above).take(room).collect();
        frame.render_widget(table(shown, report, middle), middle);
        frame.render_widget(self.nodes(report), below);
        frame.render_widget(self.moves(report), moves);
    }

    fn head(&self, report: &Report) -> Paragraph<'_> {
        let addresses: usize = report.services.iter().map(|service| service.addresses.len()).sum();
        let ready = report.members.iter().filter(|it| it.state == MemberState::Ready).count();
        let mut words = vec![
            Span::from("lbd").bold(),
            Span::from(format!("  {ready} of {} speakers ready", report.members.len())),
            Span::from(format!("  {addresses} addresses")),
            Span::from(format!("  {}", report.at.strftime("%H:%M:%S UTC"))),
            Span::from("  q: quit").dim(),
        ];
        if let Some(why) = &self.failure {
            words.insert(1, Span::from(format!("  OLD: {why}")).fg(Color::Red).bold());
        }
        Paragraph::new(Line::from(words))
    }

    fn nodes(&self, report: &Report) -> Table<'_> {
        let row = |member: &MemberReport| {
            let rate =
                self.rates.get(&member.node).map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}"));
            let count = member.addresses.map_or_else(|| "-".to_owned(), |count| count.to_string());
            let style = match member.state {
                MemberState::Ready | MemberState::Heard => Style::new(),
                _ => Style::new().fg(Color::Red).bold(),
            };
            Row::new([member.node.clone(), member.state.word().to_owned(), count, rate]).style(style)
        };
        let header = Row::new(["NODE", "SPEAKER", "ADDRESSES", "FRAMES/S"]).bold();
        let widths =
            [Constraint::Fill(1), Constraint::Length(10), Constraint::Length(9), Constraint::Length(9)];
        // There is room for a few: those that something is wrong with come first.
        let mut members: Vec<&MemberReport> = report.members.iter().collect();
        members.sort_by_key(|it| matches!(it.state, MemberState::Ready | MemberState::Heard));
        Table::new(members.into_iter().map(row), widths)
            .header(header)
            .block(Block::new().borders(Borders::TOP))
    }

    fn moves(&self, report: &Report) -> Paragraph<'_> {
        let nobody = || "nobody".to_owned();
        let line = |it: &MoveView| {
            let (from, to) = (it.from.clone().unwrap_or_else(nobody), it.to.clone().unwrap_or_else(nobody));
            let why = it.why.as_ref().map(|why| format!(": {}", why.text)).unwrap_or_default();
            Line::from(format!("{} ago  {} {from} -> {to}{why}", ago(it.at, report.at), it.address))
        };
        let mut lines: Vec<Line<'_>> = self.moves.iter().take(FEW).map(line).collect();
        if lines.is_empty() {
            lines.push(Line::from("No address has moved lately.").dim());
        }
        Paragraph::new(lines).block(Block::new().borders(Borders::TOP))
    }
}

fn wrongs(report: &Report) -> Vec<Line<'_>> {
    let line = |problem: &crate::attention::Found| {
        let color = match problem.severity {
            Weight::Error => Color::Red,
            Weight::Warning => Color::Yellow,
            Weight::Note => Color::Cyan,
        };
        let word = Span::from(format!("{:<8} ", problem.severity.word())).fg(color).bold();
        Line::from(vec![word, Span::from(problem.text.clone())])
    };
    report.problems.iter().take(FEW).map(line).collect()
}

/// Each address of each Service; those that something is wrong with first.
fn addresses(report: &Report) -> Vec<Row<'static>> {
    let mut rows: Vec<(bool, Row<'static>)> = Vec::new();
    for service in &report.services {
        let name = || service.service.clone();
        if service.addresses.is_empty() {
            let state = if service.state == State::Unclear { "<unclear>" } else { "<pending>" };
            rows.push((true, Row::new([state.to_owned(), String::new(), name(), String::new()])));
        }
        for address in &service.addresses {
            let since = address.since.map(|since| ago(since, report.at)).unwrap_or_default();
            let node = nobody_or(address);
            rows.push((address.unanswered, Row::new([address.address.to_string(), node, name(), since])));
        }
    }
    rows.sort_by_key(|(wrong, _)| !wrong);
    let styled = |(wrong, row): (bool, Row<'static>)| {
        if wrong { row.style(Style::new().fg(Color::Red).bold()) } else { row }
    };
    rows.into_iter().map(styled).collect()
}

fn table<'a>(rows: Vec<Row<'a>>, report: &Report, area: Rect) -> Table<'a> {
    let header = Row::new(["ADDRESS", "NODE", "SERVICE", "SINCE"]).bold();
    let since = if area.width < NARROW { 0 } else { 6 };
    let all = || report.services.iter().flat_map(|service| &service.addresses);
    let length = |text: &str| u16::try_from(text.chars().count()).unwrap_or(u16::MAX);
    let address = all().map(|it| length(&it.address.to_string())).max().unwrap_or(0).max(9);
    let node = all().filter_map(|it| it.node.as_deref()).map(length).max().unwrap_or(0).clamp(8, 32);
    let widths = [
        Constraint::Length(address),
        Constraint::Length(node),
        Constraint::Fill(1),
        Constraint::Length(since),
    ];
    Table::new(rows, widths).header(header).block(Block::new().borders(Borders::TOP))
}
