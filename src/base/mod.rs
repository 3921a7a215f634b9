//! The ground: time without a clock, ids that cannot be mixed up, every bound of the program, and small seeded randomness.

pub mod ids;
pub mod limits;
pub mod rng;
pub mod span;
pub mod time;
