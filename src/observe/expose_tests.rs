//! Both texts byte by byte, values, and what the bounds of a histogram tell of durations drawn at random.

use super::*;
use crate::observe::buckets::bucket_of;
use proptest::prelude::*;

#[test]
fn the_newer_text_is_for_whoever_asks_for_it() {
    let check = |accept: &str, want| assert_eq!(Format::of_accept(accept.as_bytes()), want, "{accept}");
    check("", Format::Plain);
    check("*/*", Format::Plain);
    check("text/html,application/xhtml+xml,*/*;q=0.8", Format::Plain);
    check("application/openmetrics-text", Format::OpenMetrics);
    check("Application/OpenMetrics-Text; version=1.0.0; charset=utf-8", Format::OpenMetrics);
    check("text/plain;version=0.0.4;q=0.9, application/openmetrics-text;version=1.0.0;q=0.5", Format::Plain);
    check("text/plain, application/openmetrics-text;q=0", Format::Plain);
    check("application/openmetrics-text;q=none", Format::OpenMetrics);
    // Prometheus 2.42.
    let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
         text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    check(prometheus, Format::OpenMetrics);
}

fn text(format: Format) -> String {
    let mut out = Exposition::new(format, 0);
    let none = Labels::default();
    out.family(&Family::counter("a_seconds", "A \"b\" \\ c\nd."));
    out.sample(&none, Value::Micros(1_050_000));
    out.family(&Family::gauge("b", "B."));
    out.sample_of(&none, "x", "\"\\\n", true);
    out.sample(&none.clone().with("x", "é").with("y", ""), 7u64);
    out.family(&Family::info("c", "C."));
    out.sample(&none.clone().with("v", "1"), 1u64);
    String::from_utf8(out.finish()).unwrap()
}

#[test]
fn the_two_texts() {
    let plain = "# TYPE a_seconds_total counter\n# HELP a_seconds_total A \"b\" \\\\ c\\nd.\na_seconds_total 1.05\n\
         # TYPE b gauge\n# HELP b B.\nb{x=\"\\\"\\\\\\n\"} 1\nb{x=\"é\",y=\"\"} 7\n\
         # TYPE c_info gauge\n# HELP c_info C.\nc_info{v=\"1\"} 1\n";
    assert_eq!(text(Format::Plain), plain);
    let newer = "# TYPE a_seconds counter\n# UNIT a_seconds seconds\n# HELP a_seconds A \\\"b\\\" \\\\ c\\nd.\na_seconds_total 1.05\n\
         # TYPE b gauge\n# HELP b B.\nb{x=\"\\\"\\\\\\n\"} 1\nb{x=\"é\",y=\"\"} 7\n\
         # TYPE c info\n# HELP c C.\nc_info{v=\"1\"} 1\n# EOF\n";
    assert_eq!(text(Format::OpenMetrics), newer);
}

#[test]
fn values_are_exact_decimals() {
    let check = |value: Value, want: &str| {
        let mut out = Vec::new();
        write_value(&mut out, value);
        assert_eq!(String::from_utf8(out).unwrap(), want);
    };
    check(0u64.into(), "0");
    check(u64::MAX.into(), "18446744073709551615");
    check(Value::Micros(0), "0");
    check(Value::Micros(1), "0.000001");
    check(Value::Micros(120_000), "0.12");
    check(Value::Micros(60_000_000), "60");
    check(Duration::from_micros(61_000_001).into(), "61.000001");
}

#[test]
fn bounds_ascend_and_say_what_they_are() {
    assert!(BOUNDS.is_sorted_by(|a, b| a.0 < b.0));
    for (us, le) in BOUNDS {
        assert_eq!((le.parse::<f64>().unwrap() * 1e6).round() as u64, us, "{le}");
        assert!(le.contains('.'), "{le}: OpenMetrics wants a point");
    }
}

/// What the lines of a spread say: cumulated counts, and the sum's line.
fn lines(spread: &Spread) -> (Vec<u64>, String) {
    let mut out = Exposition::new(Format::Plain, 0);
    out.family(&Family::histogram("h", "H."));
    out.spread(&Labels::default(), spread);
    let text = String::from_utf8(out.finish()).unwrap();
    let count = |line: &str| line.rsplit(' ').next().unwrap().parse().unwrap();
    let counts = text.lines().filter(|l| l.starts_with("h_bucket{") || l.starts_with("h_count")).map(count).collect();
    (counts, text.lines().find(|l| l.starts_with("h_sum")).unwrap().to_owned())
}

proptest! {
    #[test]
    fn what_a_bound_tells_is_never_more_than_there_was(all in proptest::collection::vec(0u64..80_000_000, 0..200), parts in 1usize..4) {
        let mut spread = Spread::default();
        for part in all.chunks(all.len().div_ceil(parts).max(1)) {
            let mut latencies = Latencies::default();
            part.iter().for_each(|us| latencies.add(bucket_of(*us), &[1u64]));
            spread.add(&latencies, part.iter().sum());
        }
        let (counts, sum) = lines(&spread);
        prop_assert_eq!(counts.len(), BOUNDS.len() + 2);
        prop_assert!(counts.is_sorted());
        prop_assert_eq!((counts[BOUNDS.len()], counts[BOUNDS.len() + 1]), (all.len() as u64, all.len() as u64));
        prop_assert_eq!(sum, format!("h_sum {}", all.iter().sum::<u64>() as f64 / 1e6));
        for ((bound_us, _), told) in BOUNDS.iter().zip(&counts) {
            let faster = |than: u64| all.iter().filter(|us| **us <= than).count() as u64;
            prop_assert!(*told <= faster(*bound_us), "{} at {}", told, bound_us);
            prop_assert!(*told >= faster(bound_us - bound_us / 15), "{} at {}", told, bound_us);
        }
    }
}
