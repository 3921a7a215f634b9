//! `lasso top`: a running node over the whole terminal, live.
//!
//! Three parts: `view` is what is known and shown, `draw` makes frames of it, `feed` brings news from threads. Here is the
//! rest: the terminal, which gets its old face back however this ends (panics by ratatui's hook, signals by a flag), and
//! the loop, which draws when something changed and otherwise waits for keys.

mod detail;
mod draw;
mod feed;
#[cfg(test)]
mod frames_tests;
mod view;
mod whose;

use crate::base::time::Duration;
use crate::cli::asking::Asking;
use crate::cli::stats;
use crate::runtime::background::pause;
use crate::runtime::desk::Ticket;
use crate::runtime::flag::Flag;
use crate::runtime::signals;
use feed::Feed;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use std::io::{self, IsTerminal};
use std::sync::Arc;
use view::{Action, Key, View, on_key};

/// How long a change may wait to be drawn.
const LOOK: Duration = Duration::from_millis(100);

/// How long after a signal the loop may take to see it.
const LAST_LOOK: Duration = Duration::from_millis(500);

pub fn run(asking: &Asking) -> i32 {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        eprintln!("lasso: top needs a terminal: use lasso stats --watch");
        return 1;
    }
    match live(asking) {
        Ok(()) => 0,
        Err(why) => {
            eprintln!("lasso: the terminal: {why}");
            1
        }
    }
}

fn live(asking: &Asking) -> io::Result<()> {
    let ended = Arc::new(Flag::default());
    let told = ended.clone();
    signals::watch(move |_| {
        told.raise();
        // A terminal that was closed is readable for ever, and who waits for its keys comes back no more.
        pause(LAST_LOOK);
        ratatui::restore();
        std::process::exit(1);
    })?;
    let view = View::new(asking.node.shown(), stats::paper().colours);
    let feed = Feed::start(asking)?;
    let mut terminal = ratatui::try_init()?;
    let done = until_quit(&mut terminal, view, feed, &ended);
    ratatui::restore();
    done
}

fn until_quit(terminal: &mut DefaultTerminal, mut view: View, mut feed: Feed, ended: &Flag) -> io::Result<()> {
    let mut orders: Vec<Ticket<Result<String, String>>> = Vec::new();
    let mut is_stale = true;
    while !ended.is_raised() {
        is_stale |= hear(&mut view, &mut feed, &mut orders);
        if std::mem::take(&mut is_stale) {
            terminal.draw(|frame| draw::draw(frame, &view))?;
        }
        if !event::poll(LOOK)? {
            continue;
        }
        is_stale = true;
        let Event::Key(pressed) = event::read()? else { continue };
        match key(&pressed).map_or(Action::None, |key| on_key(&mut view, key)) {
            Action::None => {}
            Action::Quit => return Ok(()),
            Action::Order { target, order } => match feed.give(target, order) {
                Some(ticket) => orders.push(ticket),
                None => view.said = Some("orders before this one still wait for the node".to_owned()),
            },
        }
        feed.look_at(view.looked_at(), &view.whose);
    }
    Ok(())
}

/// Says whether something changed.
fn hear(view: &mut View, feed: &mut Feed, orders: &mut Vec<Ticket<Result<String, String>>>) -> bool {
    let mut changed = false;
    if let Some(news) = feed.newest() {
        view.take(news);
        changed = true;
    }
    while let Some(event) = feed.event() {
        view.hear(event);
        changed = true;
    }
    orders.retain(|ticket| match ticket.take() {
        None => true,
        Some(said) => {
            view.said = Some(said.unwrap_or_else(|why| format!("not done: {why}")));
            changed = true;
            false
        }
    });
    changed
}

fn key(pressed: &KeyEvent) -> Option<Key> {
    if pressed.kind == KeyEventKind::Release {
        return None;
    }
    let control = pressed.modifiers.contains(KeyModifiers::CONTROL);
    Some(match pressed.code {
        KeyCode::Char('c') if control => Key::Interrupt,
        KeyCode::Char(letter) if !control => Key::Char(letter),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Esc,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        _ => return None,
    })
}
