//! What is said of a method by its name alone: whether it is forwarded at all, and what holds for one that is in no table.
//!
//! An unknown method may do anything, so it goes to one provider, unless its name says that it only reads: the part after
//! the first `_` begins with a reading verb, as every namespace that is known to us names its reads. How it fails: a method
//! that writes and is called `getSomething` would be sent again after a fault; none is known.

use super::{Category, Safety, Terms};
use crate::base::limits;

/// What happens to a method before routing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gate {
    Forward,
    /// `eth_chainId`: answered from the configuration, unless it has parameters or a pin.
    Local,
    /// Needs keys that no provider should hold for us, or operates a node: -32601, unless a provider's capabilities say
    /// that it takes this category.
    Guarded(Category),
    /// Subscriptions: the WebSocket's own business, -32601 over HTTP.
    SubscribeOnly,
}

/// Name or beginning of a name, each for the category that opens it.
const GUARDED_PREFIXES: &[(&[u8], Category)] = &[
    (b"eth_sign", Category::LocalOnly),
    (b"personal_", Category::LocalOnly),
    (b"wallet_", Category::LocalOnly),
    (b"admin_", Category::NodeAdmin),
    (b"miner_", Category::NodeAdmin),
    (b"engine_", Category::NodeAdmin),
    (b"clique_", Category::NodeAdmin),
    (b"debug_set", Category::NodeAdmin),
    (b"debug_start", Category::NodeAdmin),
    (b"debug_stop", Category::NodeAdmin),
    (b"debug_write", Category::NodeAdmin),
    (b"debug_chaindb", Category::NodeAdmin),
];
const GUARDED_NAMES: &[&[u8]] = &[b"eth_sendTransaction", b"eth_accounts"];

/// Names are compared without regard to case: no node is known to have a method that differs from a guarded one by case
/// only, and one that ignores case must not be reached that way.
#[inline]
pub fn gate(name: &[u8]) -> Gate {
    if name == b"eth_chainId" {
        return Gate::Local;
    }
    let starts = |prefix: &[u8]| name.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix));
    let is = |whole: &[u8]| name.eq_ignore_ascii_case(whole);
    if is(b"eth_subscribe") || is(b"eth_unsubscribe") {
        return Gate::SubscribeOnly;
    }
    if GUARDED_NAMES.iter().any(|guarded| is(guarded)) {
        return Gate::Guarded(Category::LocalOnly);
    }
    // Nearly every call is one of `eth_`, of which one prefix is guarded.
    let is_eth = name.get(..4).is_some_and(|head| head.eq_ignore_ascii_case(b"eth_"));
    let prefixes = if is_eth { GUARDED_PREFIXES.get(..1).unwrap_or(&[]) } else { GUARDED_PREFIXES };
    prefixes.iter().find(|(prefix, _)| starts(prefix)).map_or(Gate::Forward, |(_, category)| Gate::Guarded(*category))
}

const READING_VERBS: &[&[u8]] =
    &[b"get", b"is", b"has", b"list", b"call", b"estimate", b"simulate", b"trace", b"query", b"resolve", b"content"];
/// Names that read state by convention, in whatever namespace.
const READING_NAMES: &[&[u8]] = &[
    b"blockNumber",
    b"chainId",
    b"gasPrice",
    b"version",
    b"clientVersion",
    b"syncing",
    b"syncStatus",
    b"status",
    b"epochNumber",
    b"forks",
    b"nextNonce",
    b"modules",
];

/// What holds for a method that is in no table.
pub(super) fn terms_of(name: &[u8]) -> Terms {
    let begins = |prefix: &[u8]| name.starts_with(prefix);
    let timeout_ms = if begins(b"debug_") || begins(b"trace_") { limits::CALL_TRACE_MS } else { limits::CALL_CHEAP_MS };
    Terms { safety: if reads(name) { Safety::Repeatable } else { Safety::Once }, timeout_ms }
}

fn reads(name: &[u8]) -> bool {
    let Some(at) = name.iter().position(|byte| *byte == b'_') else { return false };
    let verb = name.get(at + 1..).unwrap_or(&[]);
    // `isMining` and `is`, but not `issueToken`.
    let is_word = |word: &[u8]| verb.strip_prefix(word).is_some_and(|rest| !rest.first().is_some_and(u8::is_ascii_lowercase));
    READING_VERBS.iter().any(|word| is_word(word)) || READING_NAMES.contains(&verb)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_lets_through_what_it_should() {
        let check = |gate_is: Gate, names: &[&str]| {
            for name in names {
                assert_eq!(gate(name.as_bytes()), gate_is, "{name}");
            }
        };
        let (local, admin) = (Gate::Guarded(Category::LocalOnly), Gate::Guarded(Category::NodeAdmin));
        check(Gate::Local, &["eth_chainId"]);
        check(Gate::SubscribeOnly, &["eth_subscribe", "eth_unsubscribe", "ETH_subscribe"]);
        check(local, &["eth_sendTransaction", "eth_accounts", "eth_sign", "eth_signTransaction", "eth_signTypedData_v4"]);
        check(local, &["personal_sign", "personal_", "personal_unlockAccount", "wallet_switchEthereumChain", "wallet_"]);
        check(local, &["ETH_SENDTRANSACTION", "Personal_Sign", "eth_Accounts"]);
        check(admin, &["admin_addPeer", "miner_start", "engine_newPayloadV4", "clique_propose", "Admin_Peers", "admin_"]);
        check(
            admin,
            &["debug_setHead", "DEBUG_sethead", "debug_startCPUProfile", "debug_stopGoTrace", "debug_writeBlockProfile"],
        );
        check(admin, &["debug_chaindbCompact", "debug_chaindbProperty", "debug_setGCPercent"]);
        check(
            Gate::Forward,
            &["eth_call", "eth_sendRawTransaction", "eth_sendTransactionX", "eth_accountsX", "eth_sig", "personal"],
        );
        check(Gate::Forward, &["", "wallet", "eth_chainID", "eth_coinbase", "txpool_content", "eth_sendRawTransactionSync"]);
        check(Gate::Forward, &["admin", "miner", "debug_traceCall", "debug_getRawBlock", "debug_se", "net_peerCount"]);
    }

    #[test]
    fn names_tell_what_reads() {
        let check = |name: &str, is_read: bool, timeout_ms: u64| {
            let want = Terms { safety: if is_read { Safety::Repeatable } else { Safety::Once }, timeout_ms };
            assert_eq!(terms_of(name.as_bytes()), want, "{name}");
        };
        for name in ["alchemy_getAssetTransfers", "x_get", "x_isThere", "x_hasCode", "x_listAccounts", "x_callMany", "x_get_it"] {
            check(name, true, 10_000);
        }
        for name in
            ["x_estimateFee", "x_simulateBundle", "x_traceIt", "x_queryAll", "x_resolveName", "x_contentFrom", "x_syncing"]
        {
            check(name, true, 10_000);
        }
        for name in
            ["x_issueToken", "x_hashrateOff", "x_setGet", "x_gettysburg", "evm_mine", "anvil_setBalance", "getSlot", "x_", ""]
        {
            check(name, false, 10_000);
        }
        check("debug_getBalanceDelta", true, 120_000);
        check("trace_everything", false, 120_000);
        check("tracer_getAll", true, 10_000);
    }
}
