//! What people may ask of the thread that judges providers: everything that only it knows is told by it.

use crate::base::ids::{ChainId, EntryId, ProfileId};
use crate::base::time::WallTime;

/// A question, and when it was asked: the thread that answers has no clock for people.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asked {
    pub what: Question,
    pub wall: WallTime,
}

/// An HTTP status and a JSON body.
pub type Answer = (u16, Vec<u8>);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Question {
    /// `/api/providers/:chain`: the state of every provider of one profile's chain.
    Providers { profile: ProfileId, chain: ChainId },
    /// `/api/metrics/:chain`.
    Metrics { profile: ProfileId, chain: ChainId },
    /// `/api/shards`.
    Shards,
    /// `/api/status`.
    Status,
    /// `/api/region`.
    Region,
    /// `POST /api/breakers/...`: what an operator wants of a provider's circuit.
    Breaker { entry: EntryId, order: Order },
}

/// Held open or closed by hand, or left to the rules.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    Open,
    Close,
    Auto,
}

impl Order {
    pub fn from_word(word: &str) -> Option<Order> {
        Some(match word {
            "open" => Order::Open,
            "close" => Order::Close,
            "auto" => Order::Auto,
            _ => return None,
        })
    }
}
