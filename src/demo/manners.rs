//! Kinds of provider as they are met in the wild: percentiles, error rates and limits from published measurements of
//! public endpoints, paid plans and own nodes. Rounded; plans change, the kinds do not.

use super::knobs::{Fault, Knobs, Latency, Rate, TooMany};

/// Delays of methods relative to a small read.
const FACTORS: &[(&str, f64)] =
    &[("eth_blockNumber", 0.7), ("eth_chainId", 0.7), ("eth_call", 1.2), ("eth_getBlockReceipts", 2.5), ("eth_getLogs", 3.0)];

fn kind(p50_ms: f64, p95_ms: f64) -> Knobs {
    Knobs { latency: Latency { p50_ms, p95_ms }, method_factors: FACTORS.to_vec(), kib_us: 10, ..Knobs::default() }
}

fn rate(per_second: u32, burst: u32, refusal: TooMany) -> Option<Rate> {
    Some(Rate { per_second, burst, refusal })
}

/// A paid plan in the same data centre.
pub fn near_paid() -> Knobs {
    Knobs {
        rate: rate(500, 1_000, TooMany::Status { retry_after_s: Some(1) }),
        faults: vec![(200, Fault::Page(502))],
        ..kind(5.0, 12.0)
    }
}

/// A paid plan on the same continent; over its units it says so with HTTP 200.
pub fn region_paid() -> Knobs {
    Knobs {
        rate: rate(120, 600, TooMany::Code(429)),
        faults: vec![(700, Fault::Error(-32603, "internal error")), (300, Fault::Page(503))],
        late_blocks: 20_000,
        ..kind(60.0, 140.0)
    }
}

/// A free public endpoint at its best: no old state, a low limit for each address.
pub fn free_good() -> Knobs {
    Knobs {
        rate: rate(30, 60, TooMany::Status { retry_after_s: Some(10) }),
        faults: vec![(3_000, Fault::Page(502)), (1_000, Fault::Error(-32000, "request timeout")), (1_000, Fault::Reset)],
        late_blocks: 60_000,
        archive_depth: Some(96),
        ..kind(280.0, 450.0)
    }
}

/// A free endpoint with a long tail, which stalls without closing.
pub fn free_tail() -> Knobs {
    Knobs {
        rate: rate(25, 50, TooMany::StatusAndError),
        faults: vec![(10_000, Fault::Silence), (3_000, Fault::StallAt(200))],
        late_blocks: 80_000,
        ..kind(270.0, 2_300.0)
    }
}

/// A free endpoint that takes small batches and short log ranges only, and is often a block behind.
pub fn free_batchless() -> Knobs {
    Knobs {
        faults: vec![(5_000, Fault::StatusAndError(500))],
        late_blocks: 230_000,
        batch_items: 3,
        log_range: 100,
        ..kind(300.0, 500.0)
    }
}

/// Answers everything well, from a chain of eleven minutes ago.
pub fn stale() -> Knobs {
    Knobs { faults: vec![(40_000, Fault::Page(502))], lag_blocks: 330, ..kind(250.0, 600.0) }
}

/// Fails two times in five, each time differently.
pub fn broken() -> Knobs {
    Knobs {
        faults: vec![
            (150_000, Fault::Page(502)),
            (80_000, Fault::Page(503)),
            (60_000, Fault::EmptyBody),
            (70_000, Fault::Reset),
            (20_000, Fault::CutBody),
            (20_000, Fault::WrongId),
        ],
        close_after: Some(20),
        ..kind(400.0, 3_000.0)
    }
}

/// A node of one's own: fast, strict about log ranges, chunked answers.
pub fn own_node() -> Knobs {
    Knobs { faults: vec![(300_000, Fault::Chunked)], log_range: 2_000, ..kind(4.0, 12.0) }
}

/// The same provider with all delays times `factor`.
pub fn scaled(knobs: Knobs, factor: f64) -> Knobs {
    let Latency { p50_ms, p95_ms } = knobs.latency;
    Knobs { latency: Latency { p50_ms: p50_ms * factor, p95_ms: p95_ms * factor }, ..knobs }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_differ_and_scale() {
        let rate_of =
            |knobs: &Knobs| knobs.faults.iter().filter(|(_, fault)| !fault.is_harmless()).map(|(rate, _)| rate).sum::<u32>();
        let kinds = [near_paid(), region_paid(), free_good(), free_tail(), free_batchless(), stale(), broken(), own_node()];
        assert_eq!(kinds.each_ref().map(rate_of), [200, 1_000, 5_000, 13_000, 5_000, 40_000, 400_000, 0]);
        assert!(kinds.iter().all(|knobs| knobs.latency.p95_ms > knobs.latency.p50_ms));
        assert_eq!(scaled(stale(), 0.5).latency, Latency { p50_ms: 125.0, p95_ms: 300.0 });
    }
}
