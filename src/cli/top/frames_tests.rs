//! Frames of recorded answers (`tests/cli/answers`) as golden files beside those of the other commands
//! (`UPDATE_GOLDEN=1` writes them anew), and what each key does.

use super::draw::{draw, offset};
use super::view::{Action, Event, Key, Mode, News, Sort, Target, View, on_key};
use super::whose::{self, Together, Whose};
use crate::base::time::Instant;
use crate::cli::picture::{self, ChainState, Minute, Picture, ProviderState};
use crate::observe::question::Order;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use serde_json::Value;
use std::path::{Path, PathBuf};

fn beside(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli").join(path)
}

fn answer(name: &str) -> Value {
    let text = std::fs::read_to_string(beside(&format!("answers/{name}.json"))).expect("a recorded answer");
    serde_json::from_str(&text).expect("JSON")
}

fn recorded() -> Picture {
    let mut picture = picture::of_status(&answer("status"));
    for chain in &mut picture.chains {
        let name = chain.chain.clone();
        picture::fill(chain, &answer(&format!("providers-{name}")), &answer(&format!("metrics-{name}")));
    }
    picture.count(&answer("shards"));
    picture
}

fn at(second: u64) -> Option<Instant> {
    Some(Instant::ZERO.plus_ms(second * 1000))
}

fn of(chain: &str, provider: &str) -> Target {
    Target { profile: "default".to_owned(), chain: chain.to_owned(), provider: provider.to_owned() }
}

/// A minute of polls, with calls that come and go.
fn view() -> View {
    let mut view = View::new("http://127.0.0.1:4000", false);
    for second in 0..60 {
        let mut picture = recorded();
        picture.total.calls = (0..=second).map(|n| 40 + (n % 12) * 10).sum();
        for (index, provider) in picture.chains.iter_mut().flat_map(|chain| &mut chain.providers).enumerate() {
            let p50_ms = provider.minute.p50_ms.map(|p50| p50 + (second % 7) as f64 * index as f64);
            provider.minute = Minute { p50_ms, ..provider.minute };
        }
        view.take(News { picture: Some(picture), at: at(second), ..News::default() });
    }
    let event = |time: &str, level: &str, message: &str, about: Vec<Target>| Event {
        timestamp: format!("2026-11-21T{time}.000Z"),
        name: "provider.circuit".to_owned(),
        level: level.to_owned(),
        message: message.to_owned(),
        elsewhere: None,
        about,
    };
    view.hear(event("22:33:58", "info", "ready", Vec::new()));
    view.hear(event("22:34:01", "info", "over ws: its connection for subscriptions is open", vec![of("arbitrum", "rubble")]));
    let opened = "over ws: circuit open: 3 failures in a row, the last one: network error; tried again in 30 s";
    view.hear(event("22:34:09", "warn", opened, vec![of("arbitrum", "rubble")]));
    view
}

/// What three nodes do on one chain, one of which fell silent and one of which was just met.
fn together(whose: Whose) -> News {
    let answer = answer("cluster-base");
    let (mut picture, mut together) = (recorded(), Together::default());
    picture.chains.retain(|chain| chain.chain == "base");
    for chain in &mut picture.chains {
        whose::fill(chain, &answer);
        together.take(chain, &answer);
    }
    News { picture: Some(picture), together: Some(together), whose, choices: whose::choices(&answer), ..News::default() }
}

/// Ten chains of thirty providers.
fn crowd() -> View {
    let provider = |n: usize| ProviderState {
        id: format!("provider-{n:02}"),
        status: ["healthy", "healthy", "lagging", "circuit_open"][n % 4].to_owned(),
        minute: Minute {
            calls: (n * n) as u64,
            success_rate: Some(1.0 - n as f64 / 100.0),
            p50_ms: Some(n as f64),
            ..Minute::default()
        },
        ..ProviderState::default()
    };
    let chain = |n: u64| ChainState {
        profile: "default".to_owned(),
        chain: format!("chain-{n}"),
        chain_id: n,
        providers: (0..30).map(provider).collect(),
        ..ChainState::default()
    };
    let mut view = View::new("http://127.0.0.1:4000", true);
    let picture = Picture { chains: (0..10).map(chain).collect(), ..recorded() };
    view.take(News { picture: Some(picture), ..News::default() });
    view
}

fn frame(view: &View, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal in memory");
    terminal.draw(|frame| draw(frame, view)).expect("drawn");
    let buffer = terminal.backend().buffer().clone();
    let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned() + "\n";
    (0..height).map(line).collect()
}

/// Both sizes of a view.
fn golden(name: &str, view: &View) {
    for (width, height) in [(80, 24), (200, 50)] {
        let got = frame(view, width, height).replace(env!("CARGO_PKG_VERSION"), "VERSION");
        let path = beside(&format!("golden/top-{name}-{width}x{height}.txt"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &got).expect("golden file written");
        }
        let want = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(got, want, "{} differs; UPDATE_GOLDEN=1 writes it anew", path.display());
    }
}

fn press(view: &mut View, keys: &str) -> Vec<Action> {
    let key = |letter| match letter {
        '\n' => Key::Enter,
        '\x1b' => Key::Esc,
        '\x08' => Key::Backspace,
        '↓' => Key::Down,
        '↑' => Key::Up,
        '⇓' => Key::PageDown,
        letter => Key::Char(letter),
    };
    keys.chars().map(|letter| on_key(view, key(letter))).filter(|action| *action != Action::None).collect()
}

#[test]
fn frames() {
    golden("start", &View::new("http://127.0.0.1:4000", false));
    golden("overview", &view());
    let mut filtered = view();
    press(&mut filtered, "ss/arb");
    golden("filter", &filtered);
    let mut detail = view();
    detail.selected = Some(of("arbitrum", "rubble"));
    press(&mut detail, "\n");
    golden("detail-asked", &detail);
    detail.methods_of = Some(of("arbitrum", "rubble"));
    detail.methods = picture::methods(&answer("metrics-arbitrum"), "rubble");
    golden("detail", &detail);
    press(&mut detail, "o");
    golden("confirm", &detail);
    let mut help = view();
    press(&mut help, "?");
    golden("help", &help);
    let mut gone = view();
    let problem = "no node at http://127.0.0.1:4000: is it running? use --url";
    gone.take(News { problem: Some(problem.to_owned()), at: at(61), ..News::default() });
    golden("gone", &gone);
    let mut asking = view();
    asking.take(News { choices: together(Whose::AllNodes).choices, ..News::default() });
    press(&mut asking, "n");
    golden("asking", &asking);
    asking.take(News { at: at(70), ..together(Whose::AllNodes) });
    asking.hear(Event {
        timestamp: "2026-11-21T22:34:10.000Z".to_owned(),
        level: "warn".to_owned(),
        message: "circuit open: 3 failures in a row".to_owned(),
        elsewhere: Some("us-1".to_owned()),
        about: vec![of("base", "harbor")],
        ..Event::default()
    });
    golden("together", &asking);
    press(&mut asking, "/harb\n\n");
    golden("together-detail", &asking);
    let mut crowd = crowd();
    press(&mut crowd, "⇓⇓⇓⇓⇓⇓⇓⇓⇓⇓⇓⇓⇓⇓");
    golden("crowd", &crowd);
}

#[test]
fn any_size_is_drawn() {
    let mut views = vec![View::default(), view(), crowd()];
    for keys in ["\n", "?", "o", "/x", "/nobody"] {
        let mut view = view();
        press(&mut view, keys);
        views.push(view);
    }
    for view in &views {
        for (width, height) in [(1, 1), (3, 2), (20, 5), (60, 10), (81, 18), (400, 100)] {
            frame(view, width, height);
        }
    }
}

#[test]
fn keys() {
    let check = |keys: &str, want: &[Action], is: &dyn Fn(&View) -> bool| {
        let mut view = view();
        assert_eq!(press(&mut view, keys), want, "{keys:?}");
        assert!(is(&view), "{keys:?}: {:?} {:?}", view.mode, view.selected);
    };
    let order = |order| vec![Action::Order { target: of("ethereum", "harbor"), order }];
    let selected = |chain, provider| move |view: &View| view.selected == Some(of(chain, provider));
    check("", &[], &selected("ethereum", "meridian"));
    check("jj", &[], &selected("ethereum", "homestead"));
    check("↓↓k", &[], &selected("ethereum", "harbor"));
    check("kkk", &[], &selected("ethereum", "meridian"));
    check("G", &[], &selected("arbitrum", "rubble"));
    check("Gg", &[], &selected("ethereum", "meridian"));
    check("⇓", &[], &selected("arbitrum", "commons"));
    check("q", &[Action::Quit], &|_| true);
    check("jo", &[], &|view| matches!(view.mode, Mode::Confirm { .. }));
    check("joy", &order(Order::Open), &|view| view.mode == Mode::List);
    check("jcy", &order(Order::Close), &|_| true);
    check("jaY", &order(Order::Auto), &|_| true);
    check("jon", &[], &|view| view.mode == Mode::List);
    check("jo\n", &[], &|view| view.mode == Mode::List);
    check("j\no", &[], &|view| view.looked_at() == Some(&of("ethereum", "harbor")));
    check("j\noy", &order(Order::Open), &|view| matches!(view.mode, Mode::Detail(_)));
    check("\nj\x1b", &[], &selected("ethereum", "harbor"));
    check("?q", &[], &|view| view.mode == Mode::List);
    check("/rub", &[], &selected("arbitrum", "rubble"));
    // Letters are text while a filter is typed.
    check("/q\x08lagging\n", &[], &selected("base", "yesterday"));
    check("/rub\x1b", &[], &|view| view.filter.is_empty() && view.selected == Some(of("arbitrum", "rubble")));
    check("/nobody\noj", &[], &|view| view.selected.is_none() && view.mode == Mode::List);
    check("sr", &[], &|view| view.sort == Sort::Name && view.reversed);
    check("ssssssss", &[], &|view| view.sort == Sort::Configured);
    let mut typing = view();
    press(&mut typing, "/x");
    assert_eq!(on_key(&mut typing, Key::Interrupt), Action::Quit);
}

#[test]
fn a_key_goes_through_the_nodes_and_late_figures_are_of_nobody_else() {
    let mut view = view();
    press(&mut view, "n");
    assert_eq!((&view.whose, view.said.as_deref()), (&Whose::ThisNode, Some("this node knows no other node")));
    let choices = together(Whose::AllNodes).choices;
    assert_eq!(choices.len(), 6);
    view.take(News { choices, ..News::default() });
    let mut seen = Vec::new();
    for key in ["n", "n", "n", "n", "n", "n", "N"] {
        press(&mut view, key);
        seen.push(view.whose.words());
    }
    assert_eq!(seen, ["all nodes", "region eu", "region us", "node eu-1", "node us-1", "this node", "node us-1"]);
    // What was asked for before the key is not shown as what was asked for since.
    let before = view.picture.clone();
    view.take(News { at: at(90), ..together(Whose::AllNodes) });
    assert_eq!((&view.shown, &view.picture), (&Whose::ThisNode, &before));
    view.take(News { at: at(91), ..together(Whose::Node("us-1".to_owned())) });
    assert_eq!(view.shown, Whose::Node("us-1".to_owned()));
    assert_eq!(view.calls_per_second, [10.0], "figures of other nodes are another line");
    // A word that brings no figures takes none away.
    view.take(News { whose: view.whose.clone(), problem: Some("gone".to_owned()), ..News::default() });
    assert!(view.together.is_some() && view.picture.is_some());
    press(&mut view, "no");
    assert!(frame(&view, 80, 24).contains("It is an order to the asked node alone"));
}

#[test]
fn sorting_keeps_the_selection_and_puts_trouble_first() {
    let mut view = crowd();
    view.selected = Some(of("chain-3", "provider-07"));
    let first = |view: &View| view.listed()[0].1[0].id.clone();
    let mut firsts = Vec::new();
    for _ in 0..8 {
        firsts.push((view.sort.word(), first(&view)));
        press(&mut view, "s");
    }
    let first_of = |word: &str| firsts.iter().find(|(of, _)| *of == word).map(|(_, id)| id.as_str());
    assert_eq!(first_of("configured order"), Some("provider-00"));
    assert_eq!([first_of("calls"), first_of("failures"), first_of("p50")], [Some("provider-29"); 3]);
    assert_eq!(first_of("trouble"), Some("provider-03"));
    assert_eq!(view.selected, Some(of("chain-3", "provider-07")));
}

#[test]
fn history_is_of_differences() {
    let mut view = View::default();
    let mut take = |calls: u64, second: u64| {
        let mut picture = recorded();
        picture.total.calls = calls;
        view.take(News { picture: Some(picture), at: at(second), ..News::default() });
        view.calls_per_second.back().copied()
    };
    let seen = [take(100, 1), take(150, 2), take(150, 2), take(250, 4), take(3, 5)];
    assert_eq!(seen, [None, Some(50.0), Some(50.0), Some(50.0), Some(0.0)], "a node that started again counts anew");
}

#[test]
fn the_selected_line_is_on_the_screen() {
    for lines in 0..60 {
        for room in 1..30 {
            for selected in 0..lines {
                let first = offset(lines, room, selected);
                assert!(first <= selected && selected < first + room, "{lines} {room} {selected}: {first}");
            }
        }
    }
}
