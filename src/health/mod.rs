//! What follows from what was seen: machines that take events and the time, and say how a provider stands.

pub mod advised;
pub mod breaker;
pub mod cooldown;
pub mod ending;
pub mod evidence;
pub mod heads;
pub mod learnt;
pub mod probe;
pub mod reconnect;
pub mod sightings;
pub mod suspicion;
pub mod trouble;
