//! What Ethereum's JSON-RPC means, as far as routing must know: the method table, quantities, and filter ids that name
//! their provider.

pub mod filter_id;
pub mod hex;
pub mod method;
