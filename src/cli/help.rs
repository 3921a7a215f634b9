//! `lasso help` and `lasso CMD --help`, from the flag table.

use crate::cli::flags::{self, COMMANDS, CommandInfo, Flag, Name};
use std::fmt::Write;

const WIDTH: usize = 24;

/// For one command, or for the program.
pub fn text(command: Option<Name>) -> String {
    match command.and_then(|name| COMMANDS.iter().find(|info| info.name == name)) {
        Some(info) => of_command(info),
        None => of_program(),
    }
}

pub fn version() -> String {
    format!("lasso {}\n", env!("CARGO_PKG_VERSION"))
}

fn of_program() -> String {
    let mut out = String::from("lasso: one binary between Ethereum applications and their JSON-RPC providers\n\n");
    out.push_str("Usage: lasso [COMMAND] [FLAGS]\n\nCommands:\n");
    for command in COMMANDS {
        row(&mut out, command.word, command.help);
    }
    out.push_str("\nFlags win over the environment, the environment over .env in the working directory.\n");
    for (index, first) in flags::all().enumerate() {
        let together = |flag: &&Flag| flag.commands == first.commands;
        if flags::all().position(|flag| together(&flag)) == Some(index) {
            let _ = write!(out, "\nFlags of {}:\n", flags::listed(first.commands));
            flags::all().filter(together).for_each(|flag| of_flag(&mut out, flag));
        }
    }
    out.push_str("\nFlags of all commands:\n");
    general(&mut out);
    out.push_str("\nExit codes: 0 ok, 1 failed, 2 wrong usage\n");
    out
}

/// `lasso explain METHOD [FLAGS]`
pub fn usage(command: &CommandInfo) -> String {
    let words = command.argument.map(|(name, _)| name).into_iter().chain(command.operand);
    let argument: String = words.map(|name| format!(" {name}")).collect();
    let flags = if flags::of(command.name).next().is_some() { " [FLAGS]" } else { "" };
    format!("lasso {}{argument}{flags}", command.word)
}

fn of_command(command: &CommandInfo) -> String {
    let mut out = format!("lasso {}: {}\n\nUsage: {}\n\n", command.word, command.help, usage(command));
    if let Some((name, words)) = command.argument {
        let _ = write!(out, "{name} is one of {}\n\n", words.join(", "));
    }
    out.push_str("Flags:\n");
    flags::of(command.name).for_each(|flag| of_flag(&mut out, flag));
    general(&mut out);
    out
}

fn general(out: &mut String) {
    row(out, "-h, --help", "print help");
    row(out, "-V, --version", "print the version");
}

fn of_flag(out: &mut String, flag: &Flag) {
    let head = if flag.value.is_empty() { format!("--{}", flag.name) } else { format!("--{} {}", flag.name, flag.value) };
    row(out, &head, flag.help);
    if let flags::Kind::Choice(words) = flag.kind {
        row(out, "", &format!("one of: {}", words.join(", ")));
    }
    if !flag.vars.is_empty() {
        row(out, "", &format!("variable: {}", flag.vars.join(", then ")));
    }
    row(out, "", &format!("default: {}", flag.default));
}

fn row(out: &mut String, left: &str, right: &str) {
    let _ = writeln!(out, "  {left:WIDTH$} {right}");
}
