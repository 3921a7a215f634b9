//! The real binary on real sockets: hostile requests, hostile providers, recorded answers, limits, drain, real clients.
//!
//! Nothing here links the node's code into the process under test: each test starts `lasso serve` and talks to it.

mod actor;
mod api;
mod autobahn;
mod behaviour;
mod clients;
mod failover;
mod feed;
mod harness;
mod hostile;
mod http;
mod lessons;
mod life;
mod limits;
mod links;
mod llhttp;
mod load;
mod malformed;
mod memory;
mod multiplex;
mod provider;
mod recovery;
mod scenario;
mod vectors;
mod watchers;
mod websocket;
mod ws_provider;
