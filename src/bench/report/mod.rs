//! What `lasso bench` says of its findings, each output a pure function of one value: the same findings, the same bytes.
//!
//! Reading order: `words` (numbers and names as text), `ranking` (sections best first), then the outputs: `table`,
//! `verdict`, `html`, `csv`, `json`, and what follows from the findings: `baseline` (worse than before?) and `suggest`
//! (which configuration they support). Everything from outside is made harmless where it is printed, not where it is kept.

pub mod baseline;
pub mod csv;
pub mod html;
pub mod json;
#[cfg(test)]
mod plausible;
mod ranking;
pub mod suggest;
pub mod table;
pub mod verdict;
mod words;

#[cfg(test)]
mod golden;
