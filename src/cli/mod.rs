//! The commands: what was typed to a `Command`, a `Command` to an exit code.
//!
//! `parse` is pure (arguments, environment and `.env` are given), so tests call it as the program does. lexopt splits the
//! arguments; which flags exist is `flags`' table alone. clap was rejected: it would hold a second table.

pub mod ask;
pub mod asking;
pub mod bench;
pub mod breaker;
pub mod check;
mod cluster;
pub mod completions;
pub mod demo;
pub mod descriptors;
pub mod env;
pub mod explain;
pub mod flags;
pub mod help;
pub mod log;
pub mod node_id;
pub mod nodes;
pub mod options;
pub mod picture;
pub mod profiles;
pub mod recording;
pub mod rehearse;
pub mod replay;
pub mod serve;
pub mod snapshots;
pub mod stats;
pub mod top;
#[cfg(test)]
mod tests;
pub mod traces;

pub use completions::Shell;
pub use env::Env;
pub use flags::Name;
pub use options::{Driver, LogFormat, Options, Scheme, Usage};

use crate::config::suggest;
use asking::Asking;
use flags::{CommandInfo, Flag, Kind};
use lexopt::Arg;
use options::Settings;
use std::ffi::OsString;
use std::io::Write;

#[derive(Debug)]
pub enum Command {
    Serve(Options),
    Demo(Options),
    Check {
        print: bool,
        options: Options,
    },
    Stats(stats::Options),
    Top(Asking),
    Explain(explain::Options),
    /// `explain --replay`.
    Rehearse(rehearse::Options),
    /// `bench --replay`.
    Replay(replay::Options),
    Breaker(breaker::Options),
    Bench(Box<bench::Options>),
    Completions(Shell),
    /// Of one command, or of the program.
    Help(Option<Name>),
    Version,
}

/// `args` without the program's name.
pub fn parse(args: Vec<OsString>, env: Env) -> Result<Command, Usage> {
    let mut typed = Typed::read(args)?;
    if typed.version {
        return Ok(Command::Version);
    }
    let command = typed.command.unwrap_or(Name::Serve);
    if typed.help {
        return Ok(Command::Help(typed.command));
    }
    for (flag, _) in &mut typed.flags {
        // One that was typed before its command.
        let is_own = |own: &&Flag| own.name == flag.name && own.kind == flag.kind && own.commands.contains(&command);
        if let Some(own) = flags::all().find(is_own) {
            *flag = own;
        }
        if !flag.commands.contains(&command) {
            let owners = flags::listed(flag.commands);
            return Err(Usage(format!("--{} is not a flag of {} (it belongs to {owners})", flag.name, info(command).word)));
        }
    }
    let settings = Settings::new(command, std::mem::take(&mut typed.flags), &env);
    Ok(match command {
        Name::Serve => Command::Serve(settings.options(env)?),
        Name::Demo => Command::Demo(settings.options(env)?),
        Name::Check => Command::Check { print: settings.switch("print")?, options: settings.options(env)? },
        Name::Stats => Command::Stats(stats::Options::read(&settings)?),
        Name::Top => Command::Top(Asking::read(&settings)?),
        Name::Explain => match settings.path("replay") {
            Some(file) => Command::Rehearse(rehearse::Options::read(&settings, &typed.words, file)?),
            None => Command::Explain(explain::Options::read(&settings, &typed.words)?),
        },
        Name::Breaker => Command::Breaker(breaker::Options::read(&settings, &typed.words)?),
        Name::Bench => match settings.path("replay") {
            Some(file) => Command::Replay(replay::Options::read(&settings, file)?),
            None => Command::Bench(Box::new(bench::Options::read(&settings, env)?)),
        },
        Name::Completions => Command::Completions(typed.shell()?),
        Name::Help => Command::Help(typed.words.first().map(|word| command_name(word)).transpose()?),
    })
}

fn info(command: Name) -> &'static CommandInfo {
    // The table has every name; its first entry stands for none.
    flags::COMMANDS.iter().find(|info| info.name == command).unwrap_or(&flags::COMMANDS[0])
}

/// The arguments as they stand, before they mean anything.
#[derive(Default)]
struct Typed {
    command: Option<Name>,
    /// What follows the command.
    words: Vec<String>,
    flags: Vec<(&'static Flag, String)>,
    help: bool,
    version: bool,
}

impl Typed {
    fn read(args: Vec<OsString>) -> Result<Typed, Usage> {
        let mut typed = Typed::default();
        let mut parser = lexopt::Parser::from_args(args);
        while let Some(arg) = parser.next().map_err(|error| Usage(error.to_string()))? {
            match arg {
                Arg::Short('h') | Arg::Long("help") => typed.help = true,
                Arg::Short('V') | Arg::Long("version") => typed.version = true,
                Arg::Short(letter) => return Err(Usage(format!("unknown flag -{letter} (see lasso help)"))),
                Arg::Long(name) => {
                    let flag = find_flag(name, typed.command)?;
                    let value = flag_value(flag, &mut parser)?;
                    typed.flags.push((flag, value));
                }
                Arg::Value(value) => typed.take_word(utf8(value)?)?,
            }
        }
        Ok(typed)
    }

    fn take_word(&mut self, value: String) -> Result<(), Usage> {
        match self.command {
            None => self.command = Some(command_name(&value)?),
            Some(command) if self.words.len() < info(command).most_words() => self.words.push(value),
            Some(command) => {
                let info = info(command);
                return Err(Usage(format!("unexpected \"{value}\" after {} (usage: {})", info.word, help::usage(info))));
            }
        }
        Ok(())
    }

    fn shell(&self) -> Result<Shell, Usage> {
        let Some(given) = self.words.first() else {
            return Err(Usage("completions needs a shell (bash, zsh or fish)".to_owned()));
        };
        Shell::from_word(given).ok_or_else(|| Usage(format!("unknown shell \"{given}\" (bash, zsh or fish)")))
    }
}

fn command_name(given: &str) -> Result<Name, Usage> {
    if let Some(info) = flags::command(given) {
        return Ok(info.name);
    }
    let words = || flags::COMMANDS.iter().map(|info| info.word);
    let hint = suggest::did_you_mean(given, words())
        .unwrap_or_else(|| format!("known: {}; try lasso help", words().collect::<Vec<_>>().join(", ")));
    Err(Usage(format!("unknown command \"{given}\" ({hint})")))
}

/// The flag of this name that belongs to `command`; before a command is typed, the first one.
fn find_flag(name: &str, command: Option<Name>) -> Result<&'static Flag, Usage> {
    let named = || flags::all().filter(|flag| flag.name == name);
    let own = named().find(|flag| command.is_some_and(|command| flag.commands.contains(&command)));
    if let Some(flag) = own.or(named().next()) {
        return Ok(flag);
    }
    let hint = suggest::did_you_mean(name, flags::all().map(|flag| flag.name))
        .map_or_else(|| "see lasso help".to_owned(), |near| near.replace("mean \"", "mean \"--"));
    Err(Usage(format!("unknown flag --{name} ({hint})")))
}

fn flag_value(flag: &Flag, parser: &mut lexopt::Parser) -> Result<String, Usage> {
    if flag.kind == Kind::Switch {
        return parser.optional_value().map_or(Ok("true".to_owned()), utf8);
    }
    if flag.kind == Kind::Optional {
        return optional_number(parser);
    }
    let missing = |_| Usage(format!("--{} needs a value: --{} {}", flag.name, flag.name, flag.value));
    utf8(parser.value().map_err(missing)?)
}

/// `--flag=N`, `--flag N`, or `--flag`, which is an empty text.
fn optional_number(parser: &mut lexopt::Parser) -> Result<String, Usage> {
    if let Some(value) = parser.optional_value() {
        return utf8(value);
    }
    let is_number = |text: &std::ffi::OsStr| text.as_encoded_bytes().first().is_some_and(u8::is_ascii_digit);
    match parser.try_raw_args() {
        Some(mut rest) if rest.peek().is_some_and(is_number) => rest.next().map_or(Ok(String::new()), utf8),
        _ => Ok(String::new()),
    }
}

fn utf8(value: OsString) -> Result<String, Usage> {
    value.into_string().map_err(|bad| Usage(format!("an argument is not UTF-8: {}", bad.to_string_lossy())))
}

/// The program: reads the process's arguments, environment and `.env`, runs the command, returns the exit code.
pub fn main() -> i32 {
    let dotenv = std::fs::read_to_string(".env").ok();
    let process = std::env::vars_os().filter_map(|(n, v)| Some((n.into_string().ok()?, v.into_string().ok()?)));
    let env = Env::new(process, dotenv.as_deref());
    match parse(std::env::args_os().skip(1).collect(), env) {
        Ok(command) => run(command),
        Err(Usage(text)) => {
            eprintln!("lasso: {text}");
            2
        }
    }
}

fn run(command: Command) -> i32 {
    match command {
        Command::Serve(options) => serve::run(options),
        Command::Demo(options) => demo::run(options),
        Command::Check { print, options } => {
            let report = check::run(print, &options);
            eprint!("{}", report.err);
            put(&report.out, report.code)
        }
        Command::Stats(options) => stats::run(&options),
        Command::Top(asking) => top::run(&asking),
        Command::Explain(options) => told(explain::run(&options)),
        Command::Rehearse(options) => rehearse::run(&options),
        Command::Replay(options) => replay::run(&options),
        Command::Breaker(options) => told(breaker::run(&options)),
        Command::Bench(options) => bench::run(&options),
        Command::Completions(shell) => put(&completions::script(shell), 0),
        Command::Help(command) => put(&help::text(command), 0),
        Command::Version => put(&help::version(), 0),
    }
}

/// What a node said, or why it did not.
fn told(said: Result<String, ask::Fault>) -> i32 {
    match said {
        Ok(text) => put(&text, 0),
        Err(fault) => {
            eprintln!("lasso: {fault}");
            1
        }
    }
}

/// A reader that went away (`lasso help | head`) is no failure.
fn put(text: &str, code: i32) -> i32 {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => code,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => code,
        Err(error) => {
            eprintln!("lasso: standard output: {error}");
            1
        }
    }
}
