//! What a node's part in the cluster is started with.

use super::advice::AdvicePolicy;
use super::discovery::ClusterQuery;
use super::secret::ClusterSecrets;
use std::net::SocketAddr;

#[derive(Clone, Debug)]
pub struct ClusterSettings {
    pub query: ClusterQuery,
    /// Where this node takes datagrams; the port is also where others are looked for whose records name none.
    pub listen: SocketAddr,
    pub secrets: ClusterSecrets,
    pub advice: AdvicePolicy,
    /// Who is asked for services; others' addresses are the system's resolver's business.
    pub name_servers: Vec<SocketAddr>,
}
