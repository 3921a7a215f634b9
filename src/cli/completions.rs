//! Completion scripts for bash, zsh and fish, from the flag table.

use crate::cli::flags::{self, COMMANDS, Flag, Kind, Name};
use std::fmt::Write;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Shell {
    pub fn from_word(word: &str) -> Option<Shell> {
        Some(match word {
            "bash" => Shell::Bash,
            "zsh" => Shell::Zsh,
            "fish" => Shell::Fish,
            _ => return None,
        })
    }
}

pub fn script(shell: Shell) -> String {
    match shell {
        Shell::Bash => bash(),
        Shell::Zsh => zsh(),
        Shell::Fish => fish(),
    }
}

fn command_words() -> String {
    COMMANDS.iter().map(|command| command.word).collect::<Vec<_>>().join(" ")
}

fn bash() -> String {
    let mut out = String::from(
        "# bash completion for lasso: source <(lasso completions bash)\n\
         _lasso() {\n\
         \x20   local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} cmd=serve word\n\
         \x20   for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n\
         \x20       case $word in\n",
    );
    let _ = writeln!(out, "            {}) cmd=$word; break ;;", command_words().replace(' ', "|"));
    out.push_str("        esac\n    done\n    case $prev in\n");
    // A name that means different things to different commands is told by what it means first.
    let is_first = |at: usize, flag: &Flag| flags::all().position(|other| other.name == flag.name) == Some(at);
    for (_, flag) in flags::all().enumerate().filter(|(at, flag)| is_first(*at, flag)) {
        match flag.kind {
            Kind::Choice(words) => {
                let _ = writeln!(
                    out,
                    "        --{}) COMPREPLY=($(compgen -W '{}' -- \"$cur\")); return ;;",
                    flag.name,
                    words.join(" ")
                );
            }
            Kind::Directory => {
                let _ = writeln!(out, "        --{}) COMPREPLY=($(compgen -d -- \"$cur\")); return ;;", flag.name);
            }
            Kind::File => {
                let _ = writeln!(out, "        --{}) COMPREPLY=($(compgen -f -- \"$cur\")); return ;;", flag.name);
            }
            Kind::Text => {
                let _ = writeln!(out, "        --{}) COMPREPLY=(); return ;;", flag.name);
            }
            Kind::Switch | Kind::Optional => {}
        }
    }
    out.push_str("    esac\n    local words\n    case $cmd in\n");
    for command in COMMANDS {
        let mut words: Vec<String> =
            command.argument.map_or(&[][..], |(_, words)| words).iter().map(|w| (*w).to_owned()).collect();
        words.extend(flags::of(command.name).map(|flag| format!("--{}", flag.name)));
        words.push("--help".to_owned());
        let _ = writeln!(out, "        {}) words='{}' ;;", command.word, words.join(" "));
    }
    let _ = writeln!(out, "    esac\n    [[ $COMP_CWORD -eq 1 ]] && words=\"{} $words --version\"", command_words());
    out.push_str("    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n}\ncomplete -F _lasso lasso\n");
    out
}

/// Safe inside single quotes of zsh's `_arguments` specifications.
fn zsh_text(text: &str) -> String {
    text.replace('\'', "'\\''").replace('[', "\\[").replace(']', "\\]").replace(':', "\\:")
}

fn zsh_flag(flag: &Flag) -> String {
    let help = zsh_text(flag.help);
    match flag.kind {
        Kind::Switch => format!("'--{}[{help}]'", flag.name),
        Kind::Optional => format!("'--{}=-[{help}]::{}: '", flag.name, zsh_text(flag.value)),
        Kind::Choice(words) => format!("'--{}[{help}]:{}:({})'", flag.name, flag.value, words.join(" ")),
        Kind::Directory => format!("'--{}[{help}]:{}:_files -/'", flag.name, flag.value),
        Kind::File => format!("'--{}[{help}]:{}:_files'", flag.name, flag.value),
        Kind::Text => format!("'--{}[{help}]:{}: '", flag.name, flag.value),
    }
}

fn zsh() -> String {
    let mut out =
        String::from("#compdef lasso\n# zsh completion for lasso: source <(lasso completions zsh)\n_lasso_commands() {\n");
    out.push_str("    local -a commands\n    commands=(\n");
    for command in COMMANDS {
        let _ = writeln!(out, "        '{}:{}'", command.word, zsh_text(command.help));
    }
    out.push_str("    )\n    _describe command commands\n}\n_lasso() {\n    local cmd=serve word\n");
    out.push_str("    for word in ${words[2,CURRENT-1]}; do\n        case $word in\n");
    let _ = writeln!(out, "            {}) cmd=$word; break ;;", command_words().replace(' ', "|"));
    out.push_str("        esac\n    done\n    case $cmd in\n");
    for command in COMMANDS {
        let mut specs = vec!["'1:command:_lasso_commands'".to_owned()];
        if let Some((name, words)) = command.argument {
            specs.push(format!("'2:{name}:({})'", words.join(" ")));
        }
        if let Some(name) = command.operand {
            specs.push(format!("'{}:{name}: '", 1 + command.most_words()));
        }
        specs.extend(flags::of(command.name).map(zsh_flag));
        specs.push("'--help[print help]'".to_owned());
        let _ = writeln!(out, "        {}) _arguments \\\n            {} ;;", command.word, specs.join(" \\\n            "));
    }
    out.push_str("    esac\n}\nif [[ $funcstack[1] == _lasso ]]; then _lasso \"$@\"; else compdef _lasso lasso; fi\n");
    out
}

fn fish_text(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "\\'")
}

fn fish() -> String {
    let mut out = String::from("# fish completion for lasso: lasso completions fish | source\ncomplete -c lasso -f\n");
    for command in COMMANDS {
        let _ = writeln!(out, "complete -c lasso -n __fish_use_subcommand -a {} -d '{}'", command.word, fish_text(command.help));
    }
    for command in COMMANDS {
        let seen = match command.name {
            // Plain `lasso` is serve.
            Name::Serve => {
                let others = COMMANDS.iter().filter(|other| other.name != Name::Serve).map(|other| other.word);
                format!("'not __fish_seen_subcommand_from {}'", others.collect::<Vec<_>>().join(" "))
            }
            _ => format!("'__fish_seen_subcommand_from {}'", command.word),
        };
        if let Some((_, words)) = command.argument {
            let _ = writeln!(out, "complete -c lasso -n {seen} -a '{}'", words.join(" "));
        }
        for flag in flags::of(command.name) {
            let value = match flag.kind {
                Kind::Switch | Kind::Optional => String::new(),
                Kind::Choice(words) => format!(" -x -a '{}'", words.join(" ")),
                Kind::Directory => " -x -a '(__fish_complete_directories)'".to_owned(),
                Kind::File => " -r -F".to_owned(),
                Kind::Text => " -x".to_owned(),
            };
            let _ = writeln!(out, "complete -c lasso -n {seen} -l {}{value} -d '{}'", flag.name, fish_text(flag.help));
        }
    }
    out.push_str("complete -c lasso -s h -l help -d 'print help'\ncomplete -c lasso -s V -l version -d 'print the version'\n");
    out
}
