//! The live view.
use crate::cli::asking::Asking;
use std::io::IsTerminal;
pub fn run(_: &Asking) -> i32 {
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        eprintln!("lasso: top needs a terminal: use lasso stats --watch");
        return 1;
    }
    1
}
