//! What an answer means (docs/behaviour/answers.md#classes): for the client (give it, or ask another provider) and for the
//! provider (a mark, a rest, nothing).
//!
//! Designed from the unknown case: what nobody has described is tried elsewhere if the call may be repeated, and counted under
//! its own word. Evidence is asked in this order: the profile's own `error_rules`; revert data; phrases that are certain;
//! the HTTP statuses 401-403 and 429; plain and broad phrases; other statuses; the code. Codes come last because real
//! providers use them for anything (docs/behaviour/answers.md#evidence-of-an-error). A text that the caller can influence never
//! earns the provider a mark: codes 3 and -32602 with words about limits or health are tried elsewhere and held against nobody.
//!
//! A `Classifier` is built once and passed in; it holds one Aho-Corasick automaton over all phrases of `words`. A global was
//! rejected because its first use would build it inside a client's call.

mod code;
mod retry;
mod show;
#[cfg(test)]
mod tests;
mod words;

pub use crate::observe::category::{Category, Class, Outcome, Verdict};
pub use show::may_show;

use crate::base::ids::MethodId;
use crate::base::limits::{ERROR_TEXT_BYTES, HIDDEN_ERROR_BYTES};
use crate::base::time::WallTime;
use crate::chain::method;
use crate::config::topology::ErrorRule;
use crate::wire::jsonrpc::AnswerFault;
use aho_corasick::automaton::Automaton;
use aho_corasick::dfa::DFA;
use aho_corasick::{Anchored, StartKind};
use memchr::memmem;
use std::borrow::Cow;
use std::sync::Arc;
use words::{GROUPS, Group, Strength};

use Category as C;

/// Around the answer: what classification needs besides the error itself.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// HTTP status; 200 for an upstream WebSocket.
    pub status: u16,
    /// Value of `Retry-After`; empty when absent.
    pub retry_after: &'a [u8],
    /// For a `Retry-After` that is a date.
    pub wall: WallTime,
    pub method: MethodId,
    /// Of the provider that answered.
    pub rules: &'a [ErrorRule],
}

/// Reads errors. Cheap to clone; the automaton is shared.
#[derive(Clone)]
pub struct Classifier {
    /// `None` only if the builder refused our constants, which a test rules out; statuses and codes would still decide.
    phrases: Option<Arc<DFA>>,
    /// Group of each phrase.
    group_of: Arc<[u8]>,
}

impl Default for Classifier {
    fn default() -> Self {
        Classifier::new()
    }
}

impl Classifier {
    /// Builds the automaton: about 10 ms and 2 MB, once per process.
    pub fn new() -> Classifier {
        let phrases = DFA::builder()
            .ascii_case_insensitive(true)
            .start_kind(StartKind::Unanchored)
            .build(GROUPS.iter().flat_map(|g| g.phrases));
        let group_of = GROUPS.iter().zip(0u8..).flat_map(|(g, index)| g.phrases.iter().map(move |_| index)).collect();
        Classifier { phrases: phrases.ok().map(Arc::new), group_of }
    }

    /// A well-formed JSON-RPC error. `message`: raw JSON between its quotes; `data`: raw value, empty when absent.
    pub fn error(&self, context: &Context, code: i64, message: &[u8], data: &[u8]) -> Outcome {
        if let Some(category) = by_rule(context.rules, code, message) {
            return finish(Finding::new(category, Strength::Certain), context, message, data);
        }
        let finding = if has_revert_data(data) {
            Finding::new(C::ExecutionRevert, Strength::Certain)
        } else {
            decide(context, code, message, self.read(message, data))
        };
        finish(finding, context, message, data)
    }

    /// An answer that is no JSON-RPC at all: `body` is its beginning, whatever it is. Never given to the client.
    pub fn status(&self, context: &Context, body: &[u8]) -> Outcome {
        let html = body.trim_ascii_start().starts_with(b"<");
        let found = self.find(body).filter(|g| g.strength != Strength::Loose && g.category.class() != Class::Deterministic);
        let said = found.map(|g| g.category).filter(|c| !html || c.class() == Class::Quota);
        let status = code::of_status(context.status);
        let category = match (status, said) {
            (Some(C::RateLimit), Some(C::Quota)) => C::Quota,
            (Some(C::RateLimit), Some(size)) if size.class() == Class::Capability => size,
            (Some(C::RateLimit), _) => C::RateLimit,
            // Which method that is, the call says better than the text.
            (Some(C::Forbidden), Some(C::MethodNotAllowed)) => C::Forbidden,
            (_, Some(said)) if matches!(said.class(), Class::Quota | Class::Capability) => said,
            (Some(C::MalformedResponse | C::RequestRejected) | None, Some(said)) => said,
            (Some(status), _) => status,
            (None, None) => C::MalformedResponse,
        };
        finish(Finding::new(category, Strength::Plain), context, body, &[])
    }

    /// A 2xx answer that is none. Gateways send a bare text, or an object of their own, with 200: what it says is read. Of
    /// what began as an answer nothing is read, since its words may be the caller's.
    pub fn no_answer(&self, context: &Context, fault: AnswerFault, body: &[u8]) -> Outcome {
        let is_own_text = match fault {
            AnswerFault::NotJson => !matches!(body.trim_ascii_start().first(), Some(b'{' | b'[') | None),
            AnswerFault::NotObject | AnswerFault::Neither => true,
            _ => false,
        };
        if is_own_text { self.status(context, body) } else { self.fault(fault) }
    }

    /// A 2xx answer whose envelope is broken. A size or depth of ours is no fault of the provider's.
    pub fn fault(&self, fault: AnswerFault) -> Outcome {
        match fault {
            AnswerFault::TooDeep => Outcome::of(C::ResultTooLarge),
            _ => Outcome::malformed(),
        }
    }

    /// A failure that a provider put inside `result` (`{"code":429,"message":".."}`). Only what is certainly no result: a small
    /// object with an integer code and a message that says limit, plan, credentials or health.
    pub fn result(&self, result: &[u8]) -> Option<Outcome> {
        if result.first() != Some(&b'{') || result.len() > HIDDEN_ERROR_BYTES {
            return None;
        }
        let start = result.get(1..)?.trim_ascii_start();
        if !(start.starts_with(b"\"code\"") || start.starts_with(b"\"message\"") || start.starts_with(b"\"error\"")) {
            return None;
        }
        let hidden: HiddenError = serde_json::from_slice(result).ok()?;
        let context = Context { status: 200, retry_after: &[], wall: WallTime(0), method: method::UNKNOWN, rules: &[] };
        let outcome = self.error(&context, hidden.code, hidden.message.as_bytes(), &[]);
        let failure = matches!(outcome.category.class(), Class::Quota | Class::ProviderFailure)
            || matches!(outcome.category, C::MethodNotAllowed | C::Forbidden);
        (failure && outcome.category != C::Unknown).then_some(outcome)
    }

    /// The first group of `GROUPS` of which a phrase occurs in the message; the data is asked when the message says
    /// nothing definite, since gateways nest the node's own error there.
    fn read(&self, message: &[u8], data: &[u8]) -> Option<&'static Group> {
        let said = self.find(message);
        if data.is_empty() || said.is_some_and(|g| g.strength != Strength::Loose) {
            return said;
        }
        self.find(data).filter(|g| g.strength != Strength::Loose).or(said)
    }

    /// Walks the automaton by hand: its own iterator of overlapping matches costs more than the walk.
    fn find(&self, text: &[u8]) -> Option<&'static Group> {
        let text = text.get(..ERROR_TEXT_BYTES).unwrap_or(text);
        let dfa = self.phrases.as_deref()?;
        let mut state = dfa.start_state(Anchored::No).ok()?;
        let mut best = usize::MAX;
        for byte in text {
            state = dfa.next_state(Anchored::No, state, *byte);
            if dfa.is_special(state) && dfa.is_match(state) {
                for nth in 0..dfa.match_len(state) {
                    let group = self.group_of.get(dfa.match_pattern(state, nth).as_usize());
                    best = best.min(group.map_or(usize::MAX, |g| usize::from(*g)));
                }
            }
        }
        GROUPS.get(best)
    }
}

#[derive(serde::Deserialize)]
struct HiddenError<'a> {
    code: i64,
    #[serde(borrow)]
    message: Cow<'a, str>,
}

/// The meaning that was found, and how sure it is.
#[derive(Clone, Copy)]
struct Finding {
    category: Category,
    strength: Strength,
    /// The text may be the caller's own: try elsewhere, blame nobody.
    doubtful: bool,
}

impl Finding {
    fn new(category: Category, strength: Strength) -> Finding {
        Finding { category, strength, doubtful: false }
    }
}

fn decide(context: &Context, code: i64, message: &[u8], said: Option<&'static Group>) -> Finding {
    let certain = |category| Finding::new(category, Strength::Certain);
    if message.trim_ascii().eq_ignore_ascii_case(b"rejected") {
        return certain(C::TxRejected);
    }
    if is_switched_off(context, code, message) {
        return certain(C::MethodNotAllowed);
    }
    let Some(group) = said else { return by_number(context.status, code) };
    let finding = Finding::new(group.category, group.strength);
    let loose = group.strength == Strength::Loose;
    match (context.status, group.category) {
        _ if group.strength == Strength::Certain => finding,
        (429, C::Quota) => finding,
        (429, _) => certain(C::RateLimit),
        (401, C::Quota | C::RateLimit) => finding,
        (401, _) => certain(C::Auth),
        // The status says who turns it down, whatever a gateway's form letter says of failures.
        (402 | 403, category) if loose || category == C::Auth || category.class() == Class::ProviderFailure => {
            certain(C::Forbidden)
        }
        // A plan without the method: as certain as the bare status, and so a lesson.
        (402 | 403, C::MethodNotAllowed) => certain(C::Forbidden),
        _ if matches!(code, 3 | -32602) && matches!(group.category.class(), Class::Quota | Class::ProviderFailure) => {
            Finding { doubtful: true, ..certain(code::of_code(code)) }
        }
        (_, C::RateLimit) if loose && code::of_code(code) != C::RateLimit => Finding::new(C::MethodNotAllowed, Strength::Loose),
        _ => finding,
    }
}

/// Public BSC nodes say "limit exceeded" to every `eth_getLogs`: it is off there, and resting the provider would help nobody.
fn is_switched_off(context: &Context, code: i64, message: &[u8]) -> bool {
    let bare = message.trim_ascii().eq_ignore_ascii_case(b"limit exceeded");
    bare && code == -32005 && context.status == 200 && method::info(context.method).name == "eth_getLogs"
}

/// Nothing in the text: status, then code. A status of 400 says less than a code that names something.
fn by_number(status: u16, code: i64) -> Finding {
    let by_code = code::of_code(code);
    let category = match code::of_status(status) {
        Some(C::RateLimit) => C::RateLimit,
        Some(refused @ (C::Auth | C::Forbidden)) => refused,
        Some(other) if other != C::MalformedResponse && !code::is_specific(code) => other,
        _ => by_code,
    };
    Finding::new(category, Strength::Plain)
}

fn finish(finding: Finding, context: &Context, text: &[u8], data: &[u8]) -> Outcome {
    let mut outcome = Outcome::of(finding.category);
    if finding.doubtful {
        outcome.verdict = Verdict::NextProvider;
        outcome.penalty = false;
    }
    outcome.before_pool &= finding.strength != Strength::Loose;
    if matches!(finding.category, C::RateLimit | C::Quota | C::Unavailable | C::ServerError) {
        outcome.retry_after_ms = retry::hint(context.retry_after, context.wall, data, text);
    }
    outcome
}

/// The profile's own classification: first match wins, both conditions must hold when both are given
/// (docs/behaviour/answers.md#error-rules).
fn by_rule(rules: &[ErrorRule], code: i64, message: &[u8]) -> Option<Category> {
    let matches = |rule: &&ErrorRule| {
        let code_fits = rule.code.is_none_or(|c| c == code);
        let text_fits =
            rule.message_contains.is_empty() || rule.message_contains.iter().any(|p| contains_ignoring_case(message, p));
        code_fits && text_fits
    };
    rules.iter().find(matches).and_then(|rule| Category::from_rule(&rule.category))
}

/// Solidity's `Error(string)` and `Panic(uint256)` selectors, as the value, nested, or behind Parity's `Reverted `.
fn has_revert_data(data: &[u8]) -> bool {
    let data = data.get(..ERROR_TEXT_BYTES).unwrap_or(data);
    !data.is_empty()
        && [&b"\"0x08c379a0"[..], b"\"0x4e487b71", b"\"Reverted 0x"].iter().any(|mark| memmem::find(data, mark).is_some())
}

fn contains_ignoring_case(text: &[u8], phrase: &str) -> bool {
    find_ignoring_case(text, phrase.as_bytes()).is_some()
}

/// Position of `phrase` (any case) in `text`.
fn find_ignoring_case(text: &[u8], phrase: &[u8]) -> Option<usize> {
    let Some(first) = phrase.first() else { return Some(0) };
    let mut starts = memchr::memchr2_iter(first.to_ascii_lowercase(), first.to_ascii_uppercase(), text);
    starts.find(|at| text.get(*at..at + phrase.len()).is_some_and(|part| part.eq_ignore_ascii_case(phrase)))
}
