//! Which methods a provider has: each of a list is asked once, with parameters that are cheap to answer. What counts is only
//! whether it is offered. An error about the parameters is an answer of a method that is there.

use crate::bench::mix::{BenchCall, ChainFacts};
use crate::observe::category::Category;

/// One question for each method.
pub fn questions(facts: &ChainFacts) -> Vec<BenchCall> {
    let block = format!("{:#x}", facts.head.saturating_sub(crate::base::limits::BENCH_BELOW_HEAD));
    let nobody = "0x000000000000000000000000000000000000dead";
    let nothing = format!("0x{:064x}", 255);
    let transaction = facts.transactions.first().unwrap_or(&nothing);
    let asked = [
        ("eth_getBlockReceipts", format!(r#"["{block}"]"#)),
        ("eth_feeHistory", r#"["0x1","latest",[]]"#.to_owned()),
        ("eth_maxPriorityFeePerGas", "[]".to_owned()),
        ("eth_blobBaseFee", "[]".to_owned()),
        ("eth_getProof", format!(r#"["{nobody}",[],"latest"]"#)),
        ("eth_createAccessList", format!(r#"[{{"from":"{nobody}","to":"{nobody}"}},"latest"]"#)),
        ("eth_simulateV1", r#"[{"blockStateCalls":[]},"latest"]"#.to_owned()),
        ("txpool_status", "[]".to_owned()),
        ("debug_traceTransaction", format!(r#"["{transaction}",{{"tracer":"callTracer"}}]"#)),
        ("debug_traceCall", format!(r#"[{{"from":"{nobody}","to":"{nobody}"}},"latest",{{"tracer":"callTracer"}}]"#)),
        ("trace_transaction", format!(r#"["{transaction}"]"#)),
        ("trace_block", format!(r#"["{block}"]"#)),
        ("trace_call", format!(r#"[{{"from":"{nobody}","to":"{nobody}"}},["trace"],"latest"]"#)),
    ];
    asked.into_iter().map(|(method, params)| BenchCall::new(method, params)).collect()
}

/// Whether an error of this kind says that the method is not there, or not in this plan.
pub fn is_missing(category: Category) -> bool {
    matches!(category, Category::MethodNotFound | Category::MethodNotAllowed | Category::Forbidden)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits;

    #[test]
    fn every_question_is_json_and_all_of_them_are_planned() {
        let asked = questions(&ChainFacts::default());
        assert_eq!(asked.len() as u64, limits::BENCH_METHODS);
        for call in asked {
            let body: serde_json::Value = serde_json::from_slice(&call.body()).expect("JSON");
            assert!(body["params"].is_array());
        }
    }
}
