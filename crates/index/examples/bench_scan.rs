//! Milliseconds a query of the exact scan over a mapped file, beside a plain read sum of the same mapping.
//!
//! ```text
//! cargo run --release -p gxn-index --example bench_scan -- [ROWS…]      (default: 10000 100000; 2048 values a row)
//! ```
//!
//! Two files go to the folder for temporary files (`TMPDIR`), 12 KiB a row. Best and median of 25 runs, warm page cache,
//! all threads. Scans of f16 rows, of f32 rows and read sums of both take turns, and the best times give the rate, the share
//! of the ceiling and f16 against f32, so that neighbours on a shared machine disturb little. The last column is a query's share of 64 in one pass.

use gxn_index::kernel::{Element, Kernel};
use gxn_index::{Modality, PartKind, Plan, QueryPart, RowView, Similarity, Space, f16};
use rayon::prelude::*;
use std::hint::black_box;
use std::io::Write;
use std::marker::PhantomData;
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
        let (halves, floats) = (Stored::new(rows, f16::from_f32)?, Stored::new(rows, |v| v)?);
        for (label, similarity) in [("dot", Similarity::Cosine), ("order", Similarity::Order)] {
            let space = Space { similarity, lambda: 0.5, dims_abstract: DIMS / 2, dims_grounded: DIMS / 2 };
            let (mut half, mut float) = (Times::default(), Times::default());
            let plans = plans(&space);
            for _ in 0..RUNS {
                halves.scan(&plans[..1], &mut half);
                floats.scan(&plans[..1], &mut float);
            }
            let ratio = summary(&float.scans).0 / summary(&half.scans).0;
            halves.print("f16", label, &half, &plans);
            floats.print("f32", label, &float, &plans);
            println!("{rows:>8} {label}: one query over f16 is {ratio:.2} times as fast as over f32");
        }
    }
    Ok(())
}

/// A pseudo-random sequence of small values.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 40) as f32 / (1u64 << 24) as f32 / 32.0
    }
}

fn plans(space: &Space) -> Vec<Plan> {
    let mut noise = Noise(11);
    let part = |vector: &'static [f32]| QueryPart { vector, weight: 1.0, kind: PartKind::Cross };
    let queries = (0..TOGETHER).map(|_| (0..DIMS).map(|_| noise.next()).collect::<Vec<f32>>());
    queries.map(|query| Plan::new(space, Modality::Image, &[part(query.leak())]).expect("finite")).collect()
}

/// Rows of one type in a mapped file.
struct Stored<E> {
    map: memmap2::Mmap,
    lengths: Vec<f32>,
    kind: PhantomData<E>,
}

/// Milliseconds of scans and of read sums.
#[derive(Default)]
struct Times {
    scans: Vec<f64>,
    sums: Vec<f64>,
}

impl<E: Element> Stored<E> {
    fn new(rows: usize, convert: impl Fn(f32) -> E) -> std::io::Result<Self> {
        let (mut noise, mut file) = (Noise(7), tempfile::tempfile()?);
        for _ in 0..rows {
            let row: Vec<E> = (0..DIMS).map(|_| convert(noise.next())).collect();
            file.write_all(bytemuck::cast_slice(&row))?;
        }
        // SAFETY: the file has no name, nobody else can change it.
        let map = unsafe { memmap2::Mmap::map(&file)? };
        Ok(Self { map, lengths: vec![1.0; rows], kind: PhantomData })
    }

    fn rows(&self) -> RowView<'_, E> {
        RowView::new(bytemuck::cast_slice(&self.map), DIMS, &self.lengths)
    }

    fn scan(&self, plan: &[Plan], times: &mut Times) {
        times.scans.push(milliseconds(|| drop(black_box(self.rows().top(plan, 10)))));
        times.sums.push(milliseconds(|| {
            black_box(read_sum(&self.map));
        }));
    }

    fn print(&self, name: &str, label: &str, times: &Times, plans: &[Plan]) {
        let many: Vec<f64> = (0..3).map(|_| milliseconds(|| drop(black_box(self.rows().top(plans, 10))))).collect();
        let ((best, median), (sum, _), (many, _)) = (summary(&times.scans), summary(&times.sums), summary(&many));
        let (rate, of_ceiling) = (self.map.len() as f64 / best / 1e6, 100.0 * sum / best);
        let (rows, many) = (self.lengths.len(), many / TOGETHER as f64);
        println!(
            "{rows:>8} {name:>5} {label:>6} | {best:>8.2} {median:>8.2} {rate:>6.1} {sum:>8.2} {of_ceiling:>10.0}% | {many:>11.3}"
        );
    }
}

/// The ceiling: every byte is read once and added up, on all threads.
fn read_sum(bytes: &[u8]) -> u64 {
    let words: &[u64] = bytemuck::cast_slice(bytes);
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
fn summary(times: &[f64]) -> (f64, f64) {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    (times[0], times[times.len() / 2])
}
