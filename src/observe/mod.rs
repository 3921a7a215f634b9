//! What is seen of providers: what an answer means, how long it took, and how that travels from the shards to the one
//! thread that judges it.

pub mod backlog;
pub mod buckets;
pub mod category;
pub mod decision;
pub mod expose;
pub mod figures;
pub mod happening;
pub mod kept;
pub mod question;
pub mod report;
pub mod sampled;
pub mod shortage;
pub mod shown;
pub mod spans;
pub mod table;
pub mod tally;
pub mod unreached;
