//! What people may ask of the thread that judges providers: everything that only it knows is told by it.

use crate::base::ids::{ChainId, EntryId, ProfileId};
use crate::base::time::WallTime;
use crate::observe::expose::Format;

/// A question, and when it was asked: the thread that answers has no clock for people.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asked {
    pub what: Question,
    pub wall: WallTime,
}

/// What is answered over HTTP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    pub status: u16,
    /// The content type.
    pub kind: &'static str,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(status: u16, body: impl Into<Vec<u8>>) -> Answer {
        Answer { status, kind: "application/json", body: body.into() }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Question {
    /// `/api/providers/:chain`: the state of every provider of one profile's chain.
    Providers { profile: ProfileId, chain: ChainId },
    /// `/api/metrics/:chain`; `histograms`: with the last hour's latency distributions.
    Metrics { profile: ProfileId, chain: ChainId, histograms: bool },
    /// `/api/shards`.
    Shards,
    /// `/api/status`.
    Status,
    /// `/api/region`.
    Region,
    /// What a snapshot file keeps of one profile's chain.
    Snapshot { profile: ProfileId, chain: ChainId },
    /// `/metrics`.
    Prometheus { format: Format },
    /// `POST /api/breakers/...`: what an operator wants of a provider's circuit, here or on every node.
    Breaker { entry: EntryId, order: Order, is_for_all: bool },
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

    pub fn word(self) -> &'static str {
        match self {
            Order::Open => "open",
            Order::Close => "close",
            Order::Auto => "auto",
        }
    }
}
