//! Bounds of what `lasso bench` says of its findings, and of what it reads of earlier ones.

/// A file of findings: forty providers, fifty methods and both transports, each with its distribution.
pub const REPORT_FILE_BYTES: usize = 64 << 20;
/// A text from outside (a name, a reason, a version) as it is printed.
pub const REPORT_TEXT_CHARS: usize = 160;
/// The parameters and answers of a disagreement.
pub const REPORT_ANSWER_CHARS: usize = 80;
/// Points of one drawn distribution.
pub const REPORT_CURVE_POINTS: usize = 160;
/// Curves that are told apart by colour in one drawing; more get a drawing each.
pub const REPORT_CURVES: usize = 6;
/// Disagreements that are told one by one; the rest is counted.
pub const REPORT_DISAGREEMENTS: usize = 5;
/// Providers that one sentence names by their differences; the rest is summed up.
pub const REPORT_FOLLOWERS: usize = 3;
/// The last moment that is printed as a date: 9999-12-31.
pub const REPORT_LATEST_MS: u64 = 253_402_300_799_000;
/// How often two runs of the same providers may be said to differ, in a thousand comparisons of whole runs.
pub const REPORT_FALSE_ALARMS_PER_MILLE: u32 = 30;
