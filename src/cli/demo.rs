//! `lasso demo`.
pub fn run(_options: crate::cli::Options) -> i32 {
    eprintln!("lasso: demo is not built yet");
    1
}
