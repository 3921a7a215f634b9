//! What Ethereum's JSON-RPC means, as far as routing must know: the method table, quantities, filter ids that name
//! their provider, and what a call asks of history.

pub mod bloom;
pub mod filter_id;
pub mod hex;
pub mod method;
pub mod method_key;
pub mod params;
