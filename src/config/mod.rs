//! Profiles: YAML in, one immutable `Topology` out, or every problem at once with file, line and remedy.

pub mod topology;
