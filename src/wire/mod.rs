//! Bytes to messages and back. Everything here is a pure function or a machine fed with bytes: the same result for every
//! split of the input, and a bound on everything a peer can make grow.

pub mod gzip;
pub mod http;
pub mod json;
pub mod jsonrpc;
pub mod sse;
pub mod strainer;
pub mod trace_context;
pub mod websocket;
