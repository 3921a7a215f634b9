//! `lasso serve`.
pub fn run(_options: crate::cli::Options) -> i32 {
    eprintln!("lasso: serve is not built yet");
    1
}
