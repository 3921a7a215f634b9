//! Profiles: YAML in, one immutable `Topology` out, or every problem at once with file, line and remedy.
//!
//! Reading order: `schema` (every key), `yaml` (text to a tree with places), `expand` (`${VAR}`), `read` (tree to typed
//! values), `profile` and `provider` (one file), `instance` and `resolve` (all of them), `load` (the whole).

mod capabilities;
pub mod cidr;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod resolved;
mod expand;
#[cfg(test)]
mod documented_limits;
mod headers;
mod instance;
mod load;
mod methods;
pub mod print;
mod problem;
mod profile;
mod provider;
mod read;
pub mod redact;
mod resolve;
pub mod schema;
pub mod suggest;
pub mod topology;
mod url;
mod yaml;

pub use capabilities::RULE_CATEGORIES;
pub use load::{Loaded, SourceFile, embedded, load, load_checked};
pub use problem::Problem;
