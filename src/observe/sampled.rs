//! Calls as a shard writes them down for a record: plain values without text of ours, for a thread that has time to name
//! things (`cli/recording`).
//!
//! A record must not become a store of secrets, so what is written of parameters is decided here: of a call that may be
//! sent again and carries nothing signed, and only where the operator asks for parameters. Of every other call there is
//! its shape: how old the block is that it names, how wide its range of logs is, how many bytes it has. That is enough to
//! choose for it again, and to make up a call like it. Rejected: hashes of parameters, which can be guessed back (there are
//! few tokens and few functions).

use crate::base::ids::{ChainId, ChannelId, EntryId, MethodId, ProfileId, ProviderId, Transport};
use crate::base::limits;
use crate::base::time::{Duration, Instant};
use crate::chain::method::Safety;
use crate::config::topology::Strategy;
use crate::observe::decision::Ended;
use arrayvec::ArrayVec;

/// One client's call.
#[derive(Clone, Debug)]
pub struct SampledCall {
    pub began: Instant,
    pub ended: Instant,
    pub profile: ProfileId,
    pub chain: ChainId,
    pub method: MethodId,
    /// The client's own word for a method that is in no table, as far as it fits.
    pub other_method: ArrayVec<u8, { limits::METHOD_NAME_SHOWN_BYTES }>,
    pub strategy: Strategy,
    /// The client's.
    pub transport: Transport,
    pub pin: Option<ProviderId>,
    pub allow_failover: bool,
    pub shape: CallShape,
    pub end: Ended,
    pub attempts: ArrayVec<SampledAttempt, { limits::RECORD_ATTEMPTS }>,
    /// Raw JSON; empty: not recorded.
    pub params: Box<[u8]>,
}

/// What is known of a call's parameters without them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CallShape {
    /// The size of the call as it went to a provider.
    pub bytes: u32,
    /// How far behind the head the oldest block is that is asked for.
    pub depth: Option<u64>,
    /// Width of the range of logs.
    pub range: Option<u64>,
    /// A block is named by its hash.
    pub by_hash: bool,
    /// Old state is asked for.
    pub archival: bool,
    /// It goes around WebSockets that other calls share.
    pub is_bulk: bool,
    /// It belongs to one provider: it uses a filter.
    pub is_bound: bool,
}

/// One dispatch to a provider.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct SampledAttempt {
    pub entry: EntryId,
    pub transport: Transport,
    pub took: Duration,
    /// What went wrong, by its category's word; `None`: a result.
    pub fault: Option<&'static str>,
    /// It was the client's answer, or would have been: an error that is the call's own counts too.
    pub is_answer: bool,
}

/// One of our own probes: what is known of a provider that no call goes to.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct SampledProbe {
    pub ended: Instant,
    pub channel: ChannelId,
    /// It was behind the others, on another fork or on another chain: asked after all others.
    pub is_behind: bool,
    /// `Err`: by its category's word.
    pub outcome: Result<Duration, &'static str>,
}

#[derive(Clone, Debug)]
pub enum Sample {
    Call(Box<SampledCall>),
    Probe(SampledProbe),
}

impl Sample {
    /// What it weighs beyond its own size.
    pub fn params_bytes(&self) -> u64 {
        match self {
            Sample::Call(call) => call.params.len() as u64,
            Sample::Probe(_) => 0,
        }
    }
}

/// Whether a call's parameters may be written to a file at all. A signed transaction is worth money to whoever reads it,
/// also where it is only simulated (`eth_callBundle`), and what belongs to one provider's state means nothing elsewhere.
pub fn may_keep_params(name: &[u8], safety: Safety) -> bool {
    let speaks_of = |part: &[u8]| name.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part));
    let is_lookup = name.ends_with(b"ByHash") || name.ends_with(b"Receipt") || speaks_of(b"_getraw");
    let is_signed =
        [&b"bundle"[..], b"useroperation", b"rawtransaction", b"private", b"_send"].iter().any(|part| speaks_of(part));
    safety == Safety::Repeatable && (is_lookup || !is_signed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::method;

    #[test]
    fn nothing_signed_is_kept() {
        let check = |name: &str, want: bool| {
            let terms = method::terms(method::lookup(name.as_bytes()), name.as_bytes());
            assert_eq!(may_keep_params(name.as_bytes(), terms.safety), want, "{name}");
        };
        check("eth_call", true);
        check("eth_getLogs", true);
        check("eth_getRawTransactionByHash", true);
        check("eth_getUserOperationByHash", true);
        check("eth_sendRawTransaction", false);
        check("eth_sendPrivateTransaction", false);
        check("trace_rawTransaction", false);
        check("eth_callBundle", false);
        check("mev_simBundle", false);
        check("eth_sendUserOperation", false);
        check("eth_estimateUserOperationGas", false);
        check("eth_newFilter", false);
        check("eth_getFilterChanges", false);
        check("foo_doThings", false);
    }

    /// Every method of the table that may be repeated and whose name speaks of sending is left out.
    #[test]
    fn the_table_has_no_other_one_that_sends() {
        for (_, info) in method::all().filter(|(_, info)| may_keep_params(info.name.as_bytes(), info.safety)) {
            let is_fine = !info.name.contains("_send") && !info.name.contains("Bundle") && !info.name.contains("_raw");
            assert!(is_fine, "{}", info.name);
        }
    }
}
