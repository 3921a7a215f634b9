//! One provider in full, and the boxes that stand over a frame: the question before an order, and the keys.

use super::draw::{boxed, event_lines, line, style};
use super::view::{Event, Target, View};
use super::whose::{self, Together, Whose};
use crate::cli::picture::{ChannelState, ProviderState};
use crate::cli::stats::{METHOD_COLUMNS, column, of_method};
use crate::observe::question::Order;
use crate::observe::table::{Cell, Layout, Tone, ms, percent, whole};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

/// Lines that are left for events however many methods there are.
const EVENTS_MIN: usize = 5;

pub fn draw(frame: &mut Frame, view: &View, target: &Target, area: Rect) {
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    let Some((_, provider)) = view.found(target) else {
        let text = format!("The node has no {} on {} (profile {}) any more.", target.provider, target.chain, target.profile);
        return frame.render_widget(Paragraph::new(text), area);
    };
    let mut lines = head(view, target, provider);
    match &view.together {
        Some(told) => lines.extend(regions(view, told, target, width)),
        None => {
            lines.extend(channels(view, provider, width));
            let room = height.saturating_sub(lines.len() + 3 + EVENTS_MIN);
            lines.extend(methods(view, target, width, room));
        }
    }
    lines.push(heading("events, newest first"));
    let mine: Vec<&Event> = view.events.iter().filter(|event| event.about.contains(target)).collect();
    if mine.is_empty() {
        lines.push(Line::raw("none yet"));
    }
    let left = height.saturating_sub(lines.len());
    lines.extend(event_lines(view, &mine, left, false));
    frame.render_widget(Paragraph::new(lines), area);
}

fn heading(text: &str) -> Line<'static> {
    Line::styled(text.to_owned(), Style::new().add_modifier(Modifier::BOLD))
}

fn head(view: &View, target: &Target, provider: &ProviderState) -> Vec<Line<'static>> {
    let tone = Tone::of_status(&provider.status);
    let reason = match (&view.together, provider.reason.as_str()) {
        (Some(_), _) => "the worst of these nodes",
        (None, "") => "nothing speaks against it",
        (None, reason) => reason,
    };
    let name = if provider.name.is_empty() { String::new() } else { format!(": {}", provider.name) };
    let priority = if view.together.is_some() { String::new() } else { format!("priority {}, ", provider.priority) };
    vec![
        heading(&format!("{} on {}, profile {}{name}", target.provider, target.chain, target.profile)),
        Line::styled(format!("{}: {reason}", provider.status), style(view, tone)),
        Line::raw(format!("{priority}height {}, {} blocks behind", whole(provider.height), whole(provider.lag_blocks),)),
        Line::raw(format!(
            "last minute: {} calls, success {}, p50 {} ms, p95 {} ms, p99 {} ms",
            provider.minute.calls,
            percent(provider.minute.success_rate),
            ms(provider.minute.p50_ms),
            ms(provider.minute.p95_ms),
            ms(provider.minute.p99_ms),
        )),
        Line::default(),
    ]
}

fn channels(view: &View, provider: &ProviderState, width: usize) -> Vec<Line<'static>> {
    let columns = [
        column("over", false, 0),
        column("status", false, 0),
        column("circuit", false, 0),
        column("because", false, 3),
        column("since UTC", false, 4),
        column("retry in s", true, 1),
        column("failures in a row", true, 6),
        column("last failure", false, 2),
        column("calls/min", true, 0),
        column("p50 ms", true, 0),
        column("p99 ms", true, 0),
        column("probe ms", true, 5),
    ];
    let row = |channel: &ChannelState| -> Vec<Cell> {
        let by_hand = if channel.manual.is_some() { " by hand" } else { "" };
        vec![
            channel.transport.clone().into(),
            Cell::toned(channel.status.clone(), Tone::of_status(&channel.status)),
            format!("{}{by_hand}", channel.circuit).into(),
            channel.circuit_reason.clone().into(),
            channel.circuit_since.get(11..19).unwrap_or("-").to_owned().into(),
            whole(channel.retry_in_ms.map(|ms| ms.div_ceil(1000))).into(),
            channel.failures_in_a_row.to_string().into(),
            channel.last_failure.clone().unwrap_or_else(|| "-".to_owned()).into(),
            channel.minute.calls.to_string().into(),
            ms(channel.minute.p50_ms).into(),
            ms(channel.minute.p99_ms).into(),
            ms(channel.probe_latency_ms).into(),
        ]
    };
    let rows: Vec<Vec<Cell>> = provider.channels.iter().map(row).collect();
    let layout = Layout::new(&columns, &rows, Some(width));
    let mut lines = vec![line(view, &layout.titles(), false)];
    for (channel, row) in provider.channels.iter().zip(&rows) {
        lines.push(line(view, &layout.cells(row), false));
        if !channel.reason.is_empty() && channel.reason != provider.reason {
            lines.push(Line::styled(format!("  {}", channel.reason), style(view, Tone::of_status(&channel.status))));
        }
    }
    lines.push(Line::default());
    lines
}

/// Where it is well, and where it is not.
fn regions(view: &View, told: &Together, target: &Target, width: usize) -> Vec<Line<'static>> {
    let mut lines = vec![heading("by region, last minute")];
    let rows: Vec<Vec<Cell>> = told.regions_of(target).iter().map(whose::of_region).collect();
    if rows.is_empty() {
        lines.push(Line::raw("no node has told its figures yet"));
    } else {
        let layout = Layout::new(&whose::REGION_COLUMNS, &rows, Some(width));
        lines.push(line(view, &layout.titles(), false));
        lines.extend(rows.iter().map(|row| line(view, &layout.cells(row), false)));
    }
    lines.push(Line::default());
    lines
}

fn methods(view: &View, target: &Target, width: usize, room: usize) -> Vec<Line<'static>> {
    let mut lines = vec![heading("methods, last hour")];
    if view.methods_of.as_ref() != Some(target) {
        lines.push(Line::raw("asking"));
    } else if view.methods.is_empty() {
        lines.push(Line::raw("no call"));
    } else {
        let rows: Vec<Vec<Cell>> = view.methods.iter().map(of_method).collect();
        let layout = Layout::new(&METHOD_COLUMNS, &rows, Some(width));
        lines.push(line(view, &layout.titles(), false));
        lines.extend(rows.iter().take(room).map(|row| line(view, &layout.cells(row), false)));
        if rows.len() > room {
            lines.push(Line::raw(format!("and {} more", rows.len() - room)));
        }
    }
    lines.push(Line::default());
    lines
}

pub fn confirm(frame: &mut Frame, view: &View, target: &Target, order: Order, area: Rect) {
    let Target { profile, chain, provider } = target;
    let (what, effect) = match order {
        Order::Open => ("Hold open", "It gets no calls until you give it back with a."),
        Order::Close => ("Hold closed", "Failures do not open its circuits until you give it back with a."),
        Order::Auto => ("Leave to the rules", "Circuits held open are tried first, then closed."),
    };
    let mut lines = vec![
        heading(&format!("{what}: {provider} on {chain}, profile {profile}?")),
        Line::raw(effect),
        Line::raw("Profiles that share this provider share its circuits."),
    ];
    if view.shown != Whose::ThisNode {
        lines.push(Line::raw("It is an order to the asked node alone: lasso breaker --cluster gives it to all."));
    }
    lines.push(Line::default());
    lines.push(Line::styled("y does it, any other key does not", style(view, Tone::Warn)));
    boxed(frame, "circuit", lines, area);
}

pub fn help(frame: &mut Frame, view: &View, area: Rect) {
    let keys = [
        ("j k, arrows", "select a provider; PgUp PgDn Home End g G too"),
        ("Enter", "its circuits, methods and events; Esc goes back"),
        ("/", "show only what contains a text (name, chain, profile, status)"),
        ("Esc", "show all again"),
        ("s  r", "sort by the next column; reverse"),
        ("n  N", "figures of this node, all nodes, each region, each node; back"),
        ("o  c  a", "hold its circuits open, closed, or leave them to the rules"),
        ("?", "this"),
        ("q, Ctrl-C", "quit"),
    ];
    let mut lines: Vec<Line<'static>> = keys.iter().map(|(key, what)| Line::raw(format!("{key:12} {what}"))).collect();
    lines.push(Line::default());
    lines.push(Line::styled("Figures are of the last minute; shards count since the start.", style(view, Tone::Faint)));
    boxed(frame, "keys", lines, area);
}
