//! Frames of `lasso top`: a `View` to characters, the same for the same view.
//!
//! Columns and their order of importance are those of `lasso stats`; a frame too small for something leaves it out, the
//! list of providers last. Colour is never the only sign: every state is a word.

use super::detail;
use super::view::{Event, Mode, View, target};
use super::whose::{self, Together, Whose};
use crate::cli::picture::{ChainState, Picture};
use crate::cli::stats;
use crate::observe::table::{Cell, Layout, Tone, ms};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout as Split, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, Paragraph, Sparkline};
use std::collections::VecDeque;

/// From this many lines on, recent events are shown under the list.
const TALL: u16 = 40;
const EVENT_LINES: u16 = 8;
const SHARD_LINES: u16 = 6;

pub fn draw(frame: &mut Frame, view: &View) {
    let area = frame.area();
    let [title, banner, whose, body, foot] = Split::vertical([
        Constraint::Length(1),
        Constraint::Length(u16::from(view.problem.is_some())),
        Constraint::Length(u16::from(view.choices.len() > 1)),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(Paragraph::new(headline(view)).style(style(view, Tone::Plain).add_modifier(Modifier::BOLD)), title);
    if let Some(problem) = &view.problem {
        // A node that is there may still know nothing of the nodes that are wanted.
        let what = if view.whose == Whose::ThisNode { "NODE GONE" } else { "NO FIGURES" };
        let text = format!(" {what}, below is old  {problem} ");
        frame.render_widget(Paragraph::new(text).style(style(view, Tone::Bad).add_modifier(Modifier::REVERSED)), banner);
    }
    frame.render_widget(Paragraph::new(whose_line(view)), whose);
    match view.looked_at() {
        Some(target) => detail::draw(frame, view, target, body),
        None => overview(frame, view, body),
    }
    frame.render_widget(Paragraph::new(hints(view)), foot);
    match &view.mode {
        Mode::Help => detail::help(frame, view, area),
        Mode::Confirm { target, order, .. } => detail::confirm(frame, view, target, *order, area),
        Mode::List | Mode::Filter | Mode::Detail(_) => {}
    }
}

pub fn style(view: &View, tone: Tone) -> Style {
    let plain = Style::new();
    match (tone, view.colours) {
        (Tone::Plain, _) => plain,
        (Tone::Faint, _) => plain.add_modifier(Modifier::DIM),
        (Tone::Good, true) => plain.fg(Color::Green),
        (Tone::Warn, true) => plain.fg(Color::Yellow),
        (Tone::Bad, true) => plain.fg(Color::Red),
        (Tone::Good, false) => plain,
        (Tone::Warn | Tone::Bad, false) => plain.add_modifier(Modifier::BOLD),
    }
}

fn headline(view: &View) -> String {
    let Some(picture) = &view.picture else { return format!("lasso top  {}", view.url) };
    let node = &picture.node;
    let time = picture.timestamp.get(11..19).unwrap_or("");
    format!(
        "lasso {}  {time} UTC  {}, up {}  node {}  region {}  {}",
        node.version,
        node.status,
        stats::span(node.uptime_seconds),
        node.node_id,
        node.region,
        view.url,
    )
}

/// Whose figures these are, how complete and how old. A node alone has nothing to say here.
fn whose_line(view: &View) -> Line<'static> {
    let shown = view.shown.words();
    if view.whose != view.shown {
        let text = format!("asking for the figures of {}; below are those of {shown}", view.whose.words());
        return Line::styled(text, style(view, Tone::Warn));
    }
    match &view.together {
        None => Line::styled(format!("figures of {shown}; n goes through all nodes, regions, nodes"), style(view, Tone::Faint)),
        Some(told) => {
            let tone = if told.is_stale { Tone::Warn } else { Tone::Plain };
            Line::styled(format!("figures of {shown}: {}", told.words()), style(view, tone))
        }
    }
}

fn hints(view: &View) -> Line<'static> {
    let order = if view.reversed { ", reversed" } else { "" };
    let text = match (&view.mode, &view.said) {
        (Mode::Filter, _) => format!("filter: {}_   Enter keeps it, Esc clears it", view.filter),
        (_, Some(said)) => said.clone(),
        (Mode::Detail(_), _) => "Esc back  j/k next  o open  c close  a auto  n nodes  ? help  q quit".to_owned(),
        (Mode::List | Mode::Help | Mode::Confirm { .. }, _) => {
            let filter = if view.filter.is_empty() { String::new() } else { format!("  filter \"{}\"", view.filter) };
            let nodes = if view.choices.len() > 1 { "  n nodes" } else { "" };
            format!("? help  q quit  Enter detail  / filter{nodes}  s sort: {}{order}{filter}", view.sort.word())
        }
    };
    Line::styled(text, Style::new().add_modifier(Modifier::BOLD))
}

fn overview(frame: &mut Frame, view: &View, area: Rect) {
    let Some(picture) = &view.picture else {
        let text = if view.problem.is_some() { "Waiting for the node." } else { "Asking the node." };
        return frame.render_widget(Paragraph::new(text), area);
    };
    let lines = view.together.as_ref().map_or(picture.shards.len(), |told| told.nodes.len());
    let shards = (lines as u16 + 2).min(SHARD_LINES);
    let is_roomy = area.height >= 18;
    let [graphs, list, shard_area, events] = Split::vertical([
        Constraint::Length(if is_roomy { 3 } else { 0 }),
        Constraint::Min(3),
        Constraint::Length(if is_roomy { shards + 1 } else { 0 }),
        Constraint::Length(if area.height >= TALL { EVENT_LINES + 2 } else { 0 }),
    ])
    .areas(area);
    sparklines(frame, view, graphs);
    providers(frame, view, list);
    let (width, height) = (usize::from(shard_area.width), usize::from(shard_area.height));
    let lines = match &view.together {
        Some(told) => node_lines(view, told, width, height),
        None => shard_lines(view, picture, width, height),
    };
    frame.render_widget(Paragraph::new(lines), shard_area);
    recent(frame, view, events);
}

fn sparklines(frame: &mut Frame, view: &View, area: Rect) {
    let [left, _, right] = Split::horizontal([Constraint::Fill(1), Constraint::Length(2), Constraint::Fill(1)]).areas(area);
    sparkline(frame, view, left, "calls/s", &view.calls_per_second);
    sparkline(frame, view, right, "p50 ms", &view.latency_ms);
}

fn sparkline(frame: &mut Frame, view: &View, area: Rect, name: &str, history: &VecDeque<f64>) {
    let [label, graph] = Split::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
    let shown: Vec<f64> = history.iter().rev().take(usize::from(area.width)).rev().copied().collect();
    let most = shown.iter().copied().fold(0.0, f64::max);
    let text = format!("{name}: {}, most {}", ms(shown.last().copied()), ms(Some(most)));
    frame.render_widget(Paragraph::new(text).style(style(view, Tone::Faint)), label);
    let data: Vec<u64> = shown.iter().map(|value| (value * 1000.0) as u64).collect();
    // Newest to the right, also while there are few.
    let room = Rect { x: graph.right().saturating_sub(data.len() as u16), width: (data.len() as u16).min(graph.width), ..graph };
    frame.render_widget(Sparkline::default().data(&data).max((most * 1000.0) as u64).style(style(view, Tone::Good)), room);
}

/// One line of the list: a chain's head, or a provider and whether it is selected.
enum Row {
    Chain(String),
    Provider(Vec<Cell>, bool),
}

fn providers(frame: &mut Frame, view: &View, area: Rect) {
    let mut rows = Vec::new();
    for (chain, shown) in view.listed() {
        rows.push(Row::Chain(chain_line(chain, shown.len())));
        let row = |provider| Row::Provider(stats::of_provider(provider), Some(target(chain, provider)) == view.selected);
        rows.extend(shown.into_iter().map(row));
    }
    if rows.is_empty() {
        let text = format!("No provider matches \"{}\"; Esc shows all.", view.filter);
        return frame.render_widget(Paragraph::new(text), area);
    }
    let cells: Vec<Vec<Cell>> = rows
        .iter()
        .filter_map(|row| match row {
            Row::Provider(cells, _) => Some(cells.clone()),
            Row::Chain(_) => None,
        })
        .collect();
    let layout = Layout::new(&stats::PROVIDER_COLUMNS, &cells, Some(usize::from(area.width)));
    let room = usize::from(area.height).saturating_sub(1);
    let selected = rows.iter().position(|row| matches!(row, Row::Provider(_, true))).unwrap_or(0);
    let first = offset(rows.len(), room, selected);
    let mut lines = vec![line(view, &layout.titles(), false)];
    lines.extend(rows.iter().skip(first).take(room).map(|row| match row {
        Row::Chain(text) => Line::styled(text.clone(), Style::new().add_modifier(Modifier::BOLD)),
        Row::Provider(cells, is_selected) => line(view, &layout.cells(cells), *is_selected),
    }));
    // The head of the first line's chain stays when the list has moved on.
    let above = rows.iter().take(first + 1).rev().find_map(|row| match row {
        Row::Chain(text) => Some(text),
        Row::Provider(..) => None,
    });
    if let (Some(text), Some(second)) = (above.filter(|_| room > 2), lines.get_mut(1)) {
        *second = Line::styled(text.clone(), Style::new().add_modifier(Modifier::BOLD));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

/// The first line shown, so that the selected one is near the middle and no room is wasted.
pub fn offset(lines: usize, room: usize, selected: usize) -> usize {
    // Of an odd room the line in the middle, so never the first, where a chain's head may stand.
    selected.saturating_sub(room / 2).min(lines.saturating_sub(room))
}

fn chain_line(chain: &ChainState, shown: usize) -> String {
    let head = chain.head.map_or_else(|| "unknown".to_owned(), |head| head.to_string());
    let hidden = chain.providers.len() - shown.min(chain.providers.len());
    let hidden = if hidden == 0 { String::new() } else { format!(", {hidden} hidden") };
    format!(
        "{} ({}) {}: head {head}, {:.1} calls/s, failovers/min {}{hidden}",
        chain.chain, chain.chain_id, chain.profile, chain.calls_per_second, chain.failovers
    )
}

/// A table's line; a selected one is turned around as a whole.
pub fn line(view: &View, cells: &[Cell], is_selected: bool) -> Line<'static> {
    let mut spans: Vec<Span<'static>> = Vec::new();
    for (index, cell) in cells.iter().enumerate() {
        if index > 0 {
            spans.push("  ".into());
        }
        spans.push(Span::styled(cell.text.clone(), style(view, cell.tone)));
    }
    let turned = if is_selected { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() };
    Line::from(spans).style(turned)
}

fn shard_lines(view: &View, picture: &Picture, width: usize, height: usize) -> Vec<Line<'static>> {
    let rows: Vec<Vec<Cell>> = picture.shards.iter().chain([&picture.total]).map(stats::of_shard).collect();
    let layout = Layout::new(&stats::SHARD_COLUMNS, &rows, Some(width));
    let mut lines = vec![why(view), line(view, &layout.titles(), false)];
    // Where there is no room for each, the total is what counts.
    let room = height.saturating_sub(2);
    let skipped = rows.len().saturating_sub(room);
    let kept = rows
        .iter()
        .enumerate()
        .filter(|(index, _)| rows.len() <= room || index + 1 == rows.len() || *index + skipped < rows.len() - 1);
    lines.extend(kept.map(|(_, row)| line(view, &layout.cells(row), false)));
    lines
}

/// Who does not answer comes first: where there is no room for all, that is what counts.
fn node_lines(view: &View, told: &Together, width: usize, height: usize) -> Vec<Line<'static>> {
    let mut nodes: Vec<_> = told.nodes.iter().collect();
    nodes.sort_by_key(|node| !node.is_stale);
    let rows: Vec<Vec<Cell>> = nodes.into_iter().map(whose::of_node).collect();
    let layout = Layout::new(&whose::NODE_COLUMNS, &rows, Some(width));
    let room = height.saturating_sub(2);
    let mut lines = vec![why(view), line(view, &layout.titles(), false)];
    lines.extend(rows.iter().take(room).map(|row| line(view, &layout.cells(row), false)));
    if let (true, Some(last)) = (rows.len() > room, lines.last_mut()) {
        *last = Line::raw(format!("and {} more nodes", rows.len() + 1 - room));
    }
    lines
}

/// What is to be said of the selected provider.
fn why(view: &View) -> Line<'static> {
    let selected = view.selected.as_ref().and_then(|target| view.found(target));
    let reason = selected.filter(|(_, provider)| !provider.reason.is_empty());
    reason.map_or(Line::default(), |(_, provider)| {
        let text = format!("{}: {}", provider.id, provider.reason);
        Line::styled(text, style(view, Tone::of_status(&provider.status)))
    })
}

fn recent(frame: &mut Frame, view: &View, area: Rect) {
    if area.height < 3 {
        return;
    }
    let block = Block::new().borders(Borders::TOP).title("events");
    let events: Vec<&Event> = view.events.iter().collect();
    let lines = event_lines(view, &events, usize::from(area.height) - 1, true);
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

/// The newest, newest first.
pub fn event_lines(view: &View, events: &[&Event], room: usize, names: bool) -> Vec<Line<'static>> {
    let text = |event: &&Event| {
        let about = event
            .about
            .first()
            .filter(|_| names)
            .map_or(String::new(), |target| format!("{} on {} ", target.provider, target.chain));
        let tone = match event.level.as_str() {
            "error" => Tone::Bad,
            "warn" => Tone::Warn,
            _ => Tone::Plain,
        };
        let time = event.timestamp.get(11..19).unwrap_or("").to_owned();
        let at = event.elsewhere.as_ref().map_or(String::new(), |id| format!("at {id}: "));
        Line::styled(format!("{time}  {at}{about}{}", event.message), style(view, tone))
    };
    events.iter().rev().take(room).map(text).collect()
}

/// A box in the middle, over what is there.
pub fn boxed(frame: &mut Frame, title: &str, lines: Vec<Line<'static>>, area: Rect) {
    let wide = lines.iter().map(Line::width).max().unwrap_or(0).max(title.len()) as u16 + 4;
    let (width, height) = (wide.min(area.width), (lines.len() as u16 + 2).min(area.height));
    let place = Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    frame.render_widget(Clear, place);
    let block = Block::bordered().title(format!(" {title} "));
    frame.render_widget(Paragraph::new(lines).block(block), place);
}
