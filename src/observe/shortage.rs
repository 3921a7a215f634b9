//! What this node or its machine ran out of. It is nobody else's failure: a provider that was not asked for want of one of
//! these has shown nothing, and a client that was turned away has done nothing wrong. So each has a count, a line in the log
//! that says what to raise, and an alert, because the operator is the only one who can mend it.

/// Something of ours that was not there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shortage {
    /// Descriptors of the process or the machine.
    OpenFiles,
    /// Memory of the kernel, or its buffers.
    Memory,
    /// Local ports for connections to one address.
    Ports,
    /// A way to any address: an interface or a route.
    Network,
    /// The name server's answer.
    Names,
    /// One of our own connections to a provider, in time.
    Connections,
    /// A place for one more client.
    Clients,
}

use Shortage as S;

/// One number for each.
pub type Shortages = [u64; Shortage::ALL.len()];

impl Shortage {
    pub const ALL: [Shortage; 7] = [S::OpenFiles, S::Memory, S::Ports, S::Network, S::Names, S::Connections, S::Clients];

    /// Its place in `Shortages`.
    pub fn index(self) -> usize {
        self as usize
    }

    /// For metrics and logs.
    pub fn word(self) -> &'static str {
        match self {
            S::OpenFiles => "open_files",
            S::Memory => "memory",
            S::Ports => "local_ports",
            S::Network => "network",
            S::Names => "names",
            S::Connections => "upstream_connections",
            S::Clients => "client_connections",
        }
    }

    /// What is missing, and what to do.
    pub fn remedy(self) -> &'static str {
        match self {
            S::OpenFiles => {
                "no descriptor was left: raise the limit of open files (ulimit -n, LimitNOFILE=), or lower --client-connections"
            }
            S::Memory => "the kernel had no memory for a connection: give the machine memory, or raise net.ipv4.tcp_mem",
            S::Ports => "no local port was left for a connection: widen net.ipv4.ip_local_port_range, or lower max_connections",
            S::Network => "this machine has no way to the provider's addresses: check its interfaces and routes",
            S::Names => "a provider's host name has no address: check the name, or this machine's resolver",
            S::Connections => "calls waited in vain for one of our connections to a provider: raise its max_connections",
            S::Clients => {
                "clients were turned away with 503: raise --client-connections, or the limit of open files that bounds it"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_place_a_word_and_a_remedy_of_its_own() {
        for (index, shortage) in Shortage::ALL.into_iter().enumerate() {
            assert_eq!(shortage.index(), index);
            let others = Shortage::ALL.into_iter().filter(|other| *other != shortage);
            assert!(others.clone().all(|other| other.word() != shortage.word()), "{shortage:?}");
            assert!(shortage.remedy().contains(": "), "{shortage:?}: what is missing, then what to do");
        }
    }
}
