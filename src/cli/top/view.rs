//! What `lasso top` knows and shows, as a value: news and keys change it, frames are drawn of it.
//!
//! Nothing here touches a terminal, a socket or a clock, so every frame and every key is a test. What is selected is kept
//! by name, not by place: sorting, filtering and a node's restart do not move the cursor to somebody else.

use super::whose::{Together, Whose};
use crate::base::limits;
use crate::base::time::Instant;
use crate::cli::picture::{ChainState, MethodState, Picture, ProviderState};
use crate::observe::question::Order;
use std::cmp::Ordering;
use std::collections::VecDeque;

/// One provider of one profile's chain.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Target {
    pub profile: String,
    pub chain: String,
    pub provider: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Event {
    pub timestamp: String,
    pub name: String,
    pub level: String,
    pub message: String,
    /// The node where it happened, when that is another one.
    pub elsewhere: Option<String>,
    /// Whom it is about; empty for the node itself.
    pub about: Vec<Target>,
}

/// What a poll brought.
#[derive(Clone, Debug, Default)]
pub struct News {
    pub picture: Option<Picture>,
    /// Why there is no newer one.
    pub problem: Option<String>,
    /// Of the provider that was looked at.
    pub methods: Vec<MethodState>,
    pub methods_of: Option<Target>,
    /// When its figures were asked for; none where only words are newer.
    pub at: Option<Instant>,
    /// Whose figures the picture has.
    pub whose: Whose,
    /// What is known beside the picture, of several nodes.
    pub together: Option<Together>,
    /// Whose figures there are to choose from.
    pub choices: Vec<Whose>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Key {
    Char(char),
    Enter,
    Esc,
    Backspace,
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    /// Ctrl-C.
    Interrupt,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    None,
    Quit,
    Order { target: Target, order: Order },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Sort {
    #[default]
    Configured,
    Name,
    Status,
    Calls,
    Success,
    P50,
    P99,
    Lag,
}

impl Sort {
    const ALL: [Sort; 8] =
        [Sort::Configured, Sort::Name, Sort::Status, Sort::Calls, Sort::Success, Sort::P50, Sort::P99, Sort::Lag];

    pub fn word(self) -> &'static str {
        match self {
            Sort::Configured => "configured order",
            Sort::Name => "name",
            Sort::Status => "trouble",
            Sort::Calls => "calls",
            Sort::Success => "failures",
            Sort::P50 => "p50",
            Sort::P99 => "p99",
            Sort::Lag => "lag",
        }
    }

    fn next(self) -> Sort {
        let place = Sort::ALL.iter().position(|sort| *sort == self).unwrap_or(0);
        Sort::ALL.get(place + 1).copied().unwrap_or_default()
    }

    /// What deserves a look first.
    fn compare(self, a: &ProviderState, b: &ProviderState) -> Ordering {
        let falling = |of: &dyn Fn(&ProviderState) -> f64| of(b).total_cmp(&of(a));
        match self {
            Sort::Configured => Ordering::Equal,
            Sort::Name => a.id.cmp(&b.id),
            Sort::Status => (a.status == "healthy").cmp(&(b.status == "healthy")).then_with(|| a.status.cmp(&b.status)),
            Sort::Calls => b.minute.calls.cmp(&a.minute.calls),
            Sort::Success => falling(&|p| 1.0 - p.minute.success_rate.unwrap_or(1.0)),
            Sort::P50 => falling(&|p| p.minute.p50_ms.unwrap_or(-1.0)),
            Sort::P99 => falling(&|p| p.minute.p99_ms.unwrap_or(-1.0)),
            Sort::Lag => b.lag_blocks.cmp(&a.lag_blocks),
        }
    }
}

/// What is on the screen, over the list or instead of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    #[default]
    List,
    /// The filter is being typed.
    Filter,
    Detail(Target),
    Help,
    /// And what was there before.
    Confirm {
        target: Target,
        order: Order,
        behind: Box<Mode>,
    },
}

#[derive(Clone, Debug, Default)]
pub struct View {
    pub url: String,
    /// Where colours are not wanted, words and weight tell.
    pub colours: bool,
    pub picture: Option<Picture>,
    pub problem: Option<String>,
    pub calls_per_second: VecDeque<f64>,
    pub latency_ms: VecDeque<f64>,
    pub mode: Mode,
    pub sort: Sort,
    pub reversed: bool,
    pub filter: String,
    pub selected: Option<Target>,
    pub events: VecDeque<Event>,
    pub methods: Vec<MethodState>,
    pub methods_of: Option<Target>,
    /// What became of the last order.
    pub said: Option<String>,
    /// Whose figures are wanted, whose are shown, and whose there are.
    pub whose: Whose,
    pub shown: Whose,
    pub choices: Vec<Whose>,
    pub together: Option<Together>,
    counted: Option<(u64, Instant)>,
}

impl View {
    pub fn new(url: &str, colours: bool) -> View {
        View { url: url.to_owned(), colours, ..View::default() }
    }

    /// The provider whose methods should be asked for.
    pub fn looked_at(&self) -> Option<&Target> {
        match &self.mode {
            Mode::Detail(target) => Some(target),
            Mode::Confirm { behind, .. } => match behind.as_ref() {
                Mode::Detail(target) => Some(target),
                Mode::List | Mode::Filter | Mode::Help | Mode::Confirm { .. } => None,
            },
            Mode::List | Mode::Filter | Mode::Help => None,
        }
    }

    pub fn take(&mut self, news: News) {
        self.problem = news.problem;
        if !news.choices.is_empty() {
            self.choices = news.choices;
        }
        if news.whose != self.whose {
            // It was asked for before the last key.
            return;
        }
        if let Some(picture) = news.picture {
            if news.whose != self.shown {
                // One line must not be made of figures of different nodes.
                (self.calls_per_second, self.latency_ms, self.counted) = Default::default();
            }
            match (&news.together, news.at) {
                (Some(_), Some(at)) => self.note(&picture, at),
                (None, Some(at)) => self.count(&picture, at),
                (_, None) => {}
            }
            (self.picture, self.together, self.shown) = (Some(picture), news.together, news.whose);
            self.keep_selection();
        }
        (self.methods, self.methods_of) = (news.methods, news.methods_of);
    }

    /// Several nodes tell calls a second, as they counted them.
    fn note(&mut self, picture: &Picture, at: Instant) {
        if self.counted.is_none_or(|(_, then)| at > then) {
            self.counted = Some((0, at));
            remember(&mut self.calls_per_second, picture.chains.iter().map(|chain| chain.calls_per_second).sum());
            remember(&mut self.latency_ms, mean_p50(picture));
        }
    }

    /// The next choice of nodes, or the one before.
    fn turn(&mut self, back: bool) {
        let count = self.choices.len();
        if count < 2 {
            self.said = Some("this node knows no other node".to_owned());
            return;
        }
        let at = self.choices.iter().position(|whose| *whose == self.whose).unwrap_or(0);
        let to = if back { at + count - 1 } else { at + 1 } % count;
        self.whose = self.choices.get(to).cloned().unwrap_or_default();
    }

    /// Calls since the picture before, and how long the median call of the last minute took.
    fn count(&mut self, picture: &Picture, at: Instant) {
        let total = picture.total.calls;
        if let Some((before, then)) = self.counted
            && at > then
        {
            let calls = total.saturating_sub(before) as f64 / at.since(then).as_secs_f64();
            remember(&mut self.calls_per_second, calls);
            remember(&mut self.latency_ms, mean_p50(picture));
        }
        if self.counted.is_none_or(|(_, then)| at > then) {
            self.counted = Some((total, at));
        }
    }

    pub fn hear(&mut self, event: Event) {
        if self.events.len() >= limits::TOP_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// Chains with the providers that pass the filter, in the chosen order; chains without one are left out.
    pub fn listed(&self) -> Vec<(&ChainState, Vec<&ProviderState>)> {
        let chains = self.picture.iter().flat_map(|picture| &picture.chains);
        chains.map(|chain| (chain, self.shown_of(chain))).filter(|(_, shown)| !shown.is_empty()).collect()
    }

    fn shown_of<'a>(&self, chain: &'a ChainState) -> Vec<&'a ProviderState> {
        let mut shown: Vec<&ProviderState> = chain.providers.iter().filter(|provider| self.passes(chain, provider)).collect();
        shown.sort_by(|a, b| self.sort.compare(a, b));
        if self.reversed {
            shown.reverse();
        }
        shown
    }

    fn passes(&self, chain: &ChainState, provider: &ProviderState) -> bool {
        let wanted = self.filter.to_lowercase();
        let texts = [&provider.id, &provider.name, &provider.status, &chain.chain, &chain.profile];
        texts.iter().any(|text| text.to_lowercase().contains(&wanted))
    }

    fn targets(&self) -> Vec<Target> {
        let of_chain = |(chain, providers): (&ChainState, Vec<&ProviderState>)| -> Vec<Target> {
            providers.iter().map(|provider| target(chain, provider)).collect()
        };
        self.listed().into_iter().flat_map(of_chain).collect()
    }

    /// The provider of a target, while the node has it.
    pub fn found(&self, wanted: &Target) -> Option<(&ChainState, &ProviderState)> {
        let chains = self.picture.iter().flat_map(|picture| &picture.chains);
        let chain = chains.into_iter().find(|chain| chain.profile == wanted.profile && chain.chain == wanted.chain)?;
        Some((chain, chain.providers.iter().find(|provider| provider.id == wanted.provider)?))
    }

    fn keep_selection(&mut self) {
        let targets = self.targets();
        if !self.selected.as_ref().is_some_and(|selected| targets.contains(selected)) {
            self.selected = targets.into_iter().next();
        }
    }

    fn step(&mut self, by: isize) {
        let targets = self.targets();
        let at = targets.iter().position(|target| Some(target) == self.selected.as_ref()).unwrap_or(0);
        let to = at.saturating_add_signed(by).min(targets.len().saturating_sub(1));
        self.selected = targets.into_iter().nth(to);
    }
}

pub fn target(chain: &ChainState, provider: &ProviderState) -> Target {
    Target { profile: chain.profile.clone(), chain: chain.chain.clone(), provider: provider.id.clone() }
}

fn remember(history: &mut VecDeque<f64>, value: f64) {
    if history.len() >= limits::TOP_HISTORY {
        history.pop_front();
    }
    history.push_back(value);
}

/// Over all providers, each with the weight of its calls; 0 without calls.
fn mean_p50(picture: &Picture) -> f64 {
    let providers = picture.chains.iter().flat_map(|chain| &chain.providers);
    let (mut calls, mut sum) = (0.0, 0.0);
    for minute in providers.map(|provider| provider.minute) {
        if let Some(p50) = minute.p50_ms {
            calls += minute.calls as f64;
            sum += minute.calls as f64 * p50;
        }
    }
    if calls > 0.0 { sum / calls } else { 0.0 }
}

/// A screenful, for paging.
const PAGE: isize = 10;

pub fn on_key(view: &mut View, key: Key) -> Action {
    if key == Key::Interrupt {
        return Action::Quit;
    }
    match view.mode.clone() {
        Mode::List => in_list(view, key),
        Mode::Filter => in_filter(view, key),
        Mode::Detail(target) => in_detail(view, key, &target),
        Mode::Help => {
            view.mode = Mode::List;
            Action::None
        }
        Mode::Confirm { target, order, behind } => {
            view.mode = *behind;
            match key {
                Key::Char('y' | 'Y') => Action::Order { target, order },
                _ => Action::None,
            }
        }
    }
}

fn in_list(view: &mut View, key: Key) -> Action {
    view.said = None;
    match key {
        Key::Char('q') => return Action::Quit,
        Key::Char('?' | 'h') => view.mode = Mode::Help,
        Key::Char('/') => view.mode = Mode::Filter,
        Key::Char('s') => view.sort = view.sort.next(),
        Key::Char('r') => view.reversed = !view.reversed,
        Key::Char(letter @ ('n' | 'N')) => view.turn(letter == 'N'),
        Key::Esc => {
            view.filter.clear();
            view.keep_selection();
        }
        Key::Enter => view.mode = view.selected.clone().map_or(Mode::List, Mode::Detail),
        Key::Up | Key::Char('k') => view.step(-1),
        Key::Down | Key::Char('j') => view.step(1),
        Key::PageUp => view.step(-PAGE),
        Key::PageDown => view.step(PAGE),
        Key::Home | Key::Char('g') => view.step(isize::MIN),
        Key::End | Key::Char('G') => view.step(isize::MAX),
        Key::Char(letter) => {
            if let Some(target) = view.selected.clone() {
                confirm(view, letter, target);
            }
        }
        Key::Backspace | Key::Interrupt => {}
    }
    Action::None
}

fn in_filter(view: &mut View, key: Key) -> Action {
    match key {
        Key::Enter => view.mode = Mode::List,
        Key::Esc => {
            view.filter.clear();
            view.mode = Mode::List;
        }
        Key::Backspace => drop(view.filter.pop()),
        Key::Char(letter) if view.filter.len() < limits::NAME_BYTES => view.filter.push(letter),
        Key::Up => view.step(-1),
        Key::Down => view.step(1),
        Key::Char(_) | Key::PageUp | Key::PageDown | Key::Home | Key::End | Key::Interrupt => {}
    }
    view.keep_selection();
    Action::None
}

fn in_detail(view: &mut View, key: Key, target: &Target) -> Action {
    view.said = None;
    match key {
        Key::Char('q') => return Action::Quit,
        Key::Char('?' | 'h') => view.mode = Mode::Help,
        Key::Esc | Key::Enter | Key::Backspace => view.mode = Mode::List,
        Key::Up | Key::Down | Key::Char('k' | 'j') => {
            view.step(if matches!(key, Key::Up | Key::Char('k')) { -1 } else { 1 });
            view.mode = view.selected.clone().map_or(Mode::List, Mode::Detail);
        }
        Key::Char(letter @ ('n' | 'N')) => view.turn(letter == 'N'),
        Key::Char(letter) => confirm(view, letter, target.clone()),
        Key::PageUp | Key::PageDown | Key::Home | Key::End | Key::Interrupt => {}
    }
    Action::None
}

fn confirm(view: &mut View, letter: char, target: Target) {
    let order = match letter {
        'o' => Order::Open,
        'c' => Order::Close,
        'a' => Order::Auto,
        _ => return,
    };
    view.mode = Mode::Confirm { target, order, behind: Box::new(view.mode.clone()) };
}
