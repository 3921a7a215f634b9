//! Latency buckets: 16 linear ones of one microsecond, then 16 to every doubling, up to 67 seconds.
//!
//! One bucket is at most 6.25 % wide, so a percentile read from bucket counts is off by 3 % at most. The bounds are those of
//! hdrhistogram with one significant digit, so turning counts into a histogram loses nothing; a test holds both to it.
//! Rejected: hdrhistogram itself in the tallies (a row of the wanted range is several times larger, and each shard holds
//! thousands of rows), and linear buckets (either blind at 100 us or huge).

/// log2 of the buckets to a doubling.
const SUB_BITS: u32 = 4;
const SUB: usize = 1 << SUB_BITS;
/// The largest latency told apart from larger ones is just below 2^26 us.
const TOP_BITS: u32 = 26;
pub const BUCKETS: usize = SUB * (TOP_BITS - SUB_BITS + 1) as usize;
/// Longer latencies are told apart no more.
pub const TOP_US: u64 = 1 << TOP_BITS;

/// The bucket of a latency in microseconds; whatever is too long goes into the last.
#[inline]
pub fn bucket_of(us: u64) -> usize {
    if us < SUB as u64 {
        return us as usize;
    }
    let octave = 63 - us.leading_zeros();
    let above = octave - SUB_BITS;
    let sub = (us >> above) as usize & (SUB - 1);
    (SUB * (above as usize + 1) + sub).min(BUCKETS - 1)
}

/// The smallest latency of a bucket, in microseconds.
pub fn lowest_us(bucket: usize) -> u64 {
    match (bucket / SUB, bucket % SUB) {
        (0, sub) => sub as u64,
        (doubling, sub) => ((SUB + sub) as u64) << (doubling - 1),
    }
}

/// What every latency of a bucket is below, in microseconds; the last one also holds whatever is longer.
pub fn bound_us(bucket: usize) -> u64 {
    lowest_us(bucket + 1)
}

/// What stands for the latencies of a bucket, in microseconds.
pub fn middle_us(bucket: usize) -> u64 {
    let low = lowest_us(bucket);
    low + (bound_us(bucket) - low) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_contiguous_and_narrow() {
        assert_eq!(lowest_us(0), 0);
        for bucket in 0..BUCKETS {
            let (low, next) = (lowest_us(bucket), lowest_us(bucket + 1));
            assert!(low < next && bucket_of(low) == bucket && bucket_of(next - 1) == bucket, "{bucket}: {low}..{next}");
            assert!((next - low) * 16 <= low.max(16), "{bucket} is wider than a sixteenth");
            assert_eq!((bucket_of(middle_us(bucket)), bound_us(bucket)), (bucket, next));
        }
        assert_eq!(lowest_us(BUCKETS), 1 << TOP_BITS);
        assert_eq!(bucket_of(1 << TOP_BITS), BUCKETS - 1);
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }
}
