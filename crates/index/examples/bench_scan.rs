//! Milliseconds a query of the exact scan over a mapped file, beside a plain read sum of the same mapping.
//!
//! ```text
//! cargo run --release -p gxn-index --example bench_scan -- [ROWS…]      (default: 10000 100000; 2048 values a row)
//! ```
//!
//! The file goes to the folder for temporary files (`TMPDIR`), 8 KiB a row. Best and median of 25 runs, warm page cache,
//! all threads. The read sum alternates with the scans, and the best times give the rate and the share of the ceiling,
//! so that neighbours on a shared machine disturb little. The last column is a query's share of 64 asked together.

use bytemuck::Pod;
use gxn_index::kernel::{Element, Kernel};
use gxn_index::{Metric, PartKind, Plan, QueryPart, Rows, Side, Space, f16};
use rayon::prelude::*;
use std::hint::black_box;
use std::io::Write;
use std::time::Instant;

const DIMS: usize = 2048;
const RUNS: usize = 25;
const TOGETHER: usize = 64;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut sizes: Vec<usize> = std::env::args().skip(1).map(|a| a.parse()).collect::<Result<_, _>>()?;
    if sizes.is_empty() {
        sizes = vec![10_000, 100_000];
    }
    println!("{DIMS} values a row, kernel {}, {} threads", Kernel::best().name(), rayon::current_num_threads());
    println!("    rows  type  score |     best   median   GB/s read sum  of ceiling | 64 together   (times in ms)");
    for rows in sizes {
        run::<f16>("f16", rows, f16::from_f32)?;
        run::<f32>("f32", rows, |v| v)?;
    }
    Ok(())
}

fn run<E: Element>(name: &str, rows: usize, convert: impl Fn(f32) -> E) -> std::io::Result<()> {
    let mut state = 7u64;
    let mut noise = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1u64 << 24) as f32 / 32.0
    };
    let mut file = tempfile::tempfile()?;
    for _ in 0..rows {
        let row: Vec<E> = (0..DIMS).map(|_| convert(noise())).collect();
        file.write_all(bytemuck::cast_slice(&row))?;
    }
    // SAFETY: the file has no name, nobody else can change it.
    let map = unsafe { memmap2::Mmap::map(&file)? };
    let values: &[E] = bytemuck::cast_slice(&map);
    let lengths = vec![1.0; rows];
    let stored = Rows::new(values, DIMS, &lengths);
    let queries: Vec<Vec<f32>> = (0..TOGETHER).map(|_| (0..DIMS).map(|_| noise()).collect()).collect();
    for (label, metric) in [("dot", Metric::Cosine), ("order", Metric::Order { image_minus_caption: true })] {
        let space = Space { metric, lambda: 0.5, dims_abstract: DIMS / 2, dims_grounded: DIMS / 2 };
        let part = |vector: &'static [f32]| QueryPart { vector, weight: 1.0, kind: PartKind::Cross };
        let plan = |query: &Vec<f32>| Plan::new(&space, Side::Image, &[part(query.clone().leak())]).expect("finite");
        let plans: Vec<Plan> = queries.iter().map(plan).collect();
        let (mut scans, mut sums) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            scans.push(milliseconds(|| drop(black_box(stored.top(&plans[..1], 10)))));
            sums.push(milliseconds(|| {
                black_box(read_sum(values));
            }));
        }
        let many: Vec<f64> = (0..3).map(|_| milliseconds(|| drop(black_box(stored.top(&plans, 10))))).collect();
        let ((best, median), (sum, _), (many, _)) = (summary(scans), summary(sums), summary(many));
        let (rate, of_ceiling) = (map.len() as f64 / best / 1e6, 100.0 * sum / best);
        let many = many / TOGETHER as f64;
        println!(
            "{rows:>8} {name:>5} {label:>6} | {best:>8.2} {median:>8.2} {rate:>6.1} {sum:>8.2} {of_ceiling:>10.0}% | {many:>11.3}"
        );
    }
    Ok(())
}

/// The ceiling: every byte is read once and added up, on all threads.
fn read_sum<E: Pod + Sync>(values: &[E]) -> u64 {
    let words: &[u64] = bytemuck::cast_slice(values);
    words.par_chunks(1 << 15).map(sum_words).sum()
}

fn sum_words(words: &[u64]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the feature was just found.
        return unsafe { sum_wide(words) };
    }
    words.iter().fold(0, |a, b| a.wrapping_add(*b))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn sum_wide(words: &[u64]) -> u64 {
    use std::arch::x86_64::*;
    let (chunks, rest) = words.as_chunks::<32>();
    let mut sums = [_mm512_setzero_si512(); 4];
    for chunk in chunks {
        for (sum, words) in sums.iter_mut().zip(chunk.as_chunks::<8>().0) {
            // SAFETY: eight words are 64 bytes; the load is an unaligned one.
            *sum = _mm512_add_epi64(*sum, unsafe { _mm512_loadu_si512(words.as_ptr().cast()) });
        }
    }
    let total = sums.into_iter().fold(_mm512_setzero_si512(), |a, b| _mm512_add_epi64(a, b));
    rest.iter().fold(_mm512_reduce_add_epi64(total) as u64, |a, b| a.wrapping_add(*b))
}

fn milliseconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64() * 1e3
}

/// Least and median.
fn summary(mut times: Vec<f64>) -> (f64, f64) {
    times.sort_by(f64::total_cmp);
    (times[0], times[times.len() / 2])
}
