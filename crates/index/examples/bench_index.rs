//! An index from its making to its compaction: seconds, milliseconds, bytes, and how many true hits sketches find.
//!
//! ```text
//! cargo run --release -p gxn-index --example bench_index -- [--rows N] [--level N] [--order] [--folder DIR] [--keep]
//! cargo run --release -p gxn-index --example bench_index -- --vectors FILE --queries FILE [--level N] [--order] …
//! cargo run --release -p gxn-index --example bench_index -- --index DIR
//! ```
//!
//! The first makes an index of N images (10,000) of two levels of N values each (1,024), near 1,000 centres, in a new
//! folder in DIR (`TMPDIR`): 4.2 KiB a row, and a quarter for the sketches. The second takes
//! rows and queries from files of little-endian f32. The third only searches, in an existing index, with its
//! captions as queries; sketches are made if they are missing. All times are of a warm page cache but the one
//! marked otherwise; `RAYON_NUM_THREADS` sets the number of threads.

#[path = "../tests/clustered_rows.rs"]
mod clustered_rows;

use clustered_rows::Random;
use gxn_index::{
    Filter, Hit, ImageItem, Index, IndexSettings, IndexWriter, Method, Modality, PartKind, QueryPart, SearchOptions,
    Similarity, Space,
};
use rayon::prelude::*;
use std::path::{Path, PathBuf};
use std::time::Instant;

const CENTRES: usize = 1000;
const QUERIES: usize = 200;
const TOP: usize = 10;

type Done<T> = Result<T, Box<dyn std::error::Error>>;

struct Arguments {
    rows: usize,
    level: usize,
    similarity: Similarity,
    folder: PathBuf,
    keep: bool,
    vectors: Option<PathBuf>,
    queries: Option<PathBuf>,
    index: Option<PathBuf>,
}

fn main() -> Done<()> {
    let arguments = arguments()?;
    println!("{} threads", rayon::current_num_threads());
    match &arguments.index {
        Some(dir) => searched(dir),
        None => made(&arguments),
    }
}

fn arguments() -> Done<Arguments> {
    let mut found = Arguments {
        rows: 10_000,
        level: 1024,
        similarity: Similarity::Cosine,
        folder: std::env::temp_dir(),
        keep: false,
        vectors: None,
        queries: None,
        index: None,
    };
    let mut rest = std::env::args().skip(1);
    while let Some(name) = rest.next() {
        let mut value = || rest.next().ok_or(format!("{name} needs a value"));
        match name.as_str() {
            "--rows" => found.rows = value()?.parse()?,
            "--level" => found.level = value()?.parse()?,
            "--folder" => found.folder = value()?.into(),
            "--vectors" => found.vectors = Some(value()?.into()),
            "--queries" => found.queries = Some(value()?.into()),
            "--index" => found.index = Some(value()?.into()),
            "--order" => found.similarity = Similarity::Order,
            "--keep" => found.keep = true,
            other => return Err(format!("{other} is not known").into()),
        }
    }
    Ok(found)
}

/// From nothing to a compacted index.
fn made(arguments: &Arguments) -> Done<()> {
    let folder = tempfile::Builder::new().prefix("gxn-bench").tempdir_in(&arguments.folder)?;
    let dir = folder.path().join("index");
    let level = arguments.level;
    let space = Space { similarity: arguments.similarity, lambda: 0.5, dims_abstract: level, dims_grounded: level };
    let settings = IndexSettings { model: "synthetic".into(), space, extra: Default::default() };
    let given = arguments.vectors.as_deref().map(Values::open).transpose()?;
    let count = given.as_ref().map_or(arguments.rows, |given| given.values().len() / (2 * level));
    let vector = |number: usize| match &given {
        Some(given) if number < count => given.values()[number * 2 * level..][..2 * level].to_vec(),
        _ => embedding(number as u64, level),
    };
    println!("{count} rows of {level} + {level} values, {:?}", arguments.similarity);

    let start = Instant::now();
    let mut writer = IndexWriter::create(&dir, settings.clone())?;
    let mut making = 0.0;
    for first in (0..count).step_by(4096) {
        let numbers = first..count.min(first + 4096);
        let begun = Instant::now();
        let rows: Vec<Vec<f32>> = numbers.clone().into_par_iter().map(vector).collect();
        making += begun.elapsed().as_secs_f64();
        for (number, row) in numbers.zip(&rows) {
            writer.put_image(&image(number), row)?;
        }
    }
    writer.commit()?;
    println!("rows written            {:>10.2} s", start.elapsed().as_secs_f64() - making);
    let begun = Instant::now();
    writer.make_sketches(0)?;
    println!("sketches made           {:>10.2} s", begun.elapsed().as_secs_f64());
    drop(writer.finish()?);
    println!("on disk                 {:>10.1} MB", bytes_of(&dir, "")? as f64 / 1e6);
    for kind in ["f16", "sketch"] {
        println!("  {kind:<22}{:>10.1} MB", bytes_of(&dir, kind)? as f64 / 1e6);
    }
    if forget(&dir)? {
        let begun = Instant::now();
        drop(Index::open(&dir)?);
        println!("open, nothing cached    {:>10.2} ms", milliseconds(begun));
    }
    let opened = Instant::now();
    let index = Index::open(&dir)?;
    println!("open                    {:>10.2} ms", milliseconds(opened));

    let queries: Vec<Vec<f32>> = match &arguments.queries {
        Some(path) => Values::open(path)?.values().chunks_exact(2 * level).map(<[f32]>::to_vec).collect(),
        None => (0..QUERIES).map(|n| embedding(1 << 40 | (n * 7) as u64, level)).collect(),
    };
    report(&index, &queries)?;
    drop(index);

    let opened = Instant::now();
    let mut writer = IndexWriter::update(&dir, settings.clone())?;
    println!("open for writing        {:>10.2} ms", milliseconds(opened));
    let mut times = Vec::new();
    for number in 0..20 {
        let (item, row) = (image(count + number), vector(count + number));
        let begun = Instant::now();
        writer.put_image(&item, &row)?;
        writer.commit()?;
        times.push(milliseconds(begun));
    }
    println!("add one and commit      {:>10.2} ms (median of 20)", percentile(&mut times, 0.5));
    let begun = Instant::now();
    for number in (0..count).filter(|n| n % 4 == 0) {
        writer.remove(Modality::Image, &image(number).id)?;
    }
    writer.commit()?;
    println!("remove a quarter        {:>10.2} s", begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    let compacted = writer.compact(gxn_index::DEAD_SHARE)?;
    println!("compact {:>3} files       {:>10.2} s", compacted.files, begun.elapsed().as_secs_f64());
    drop(writer);
    let begun = Instant::now();
    Index::open(&dir)?.verify()?;
    println!("verify                  {:>10.2} s", begun.elapsed().as_secs_f64());
    if let Some(peak) = peak_memory() {
        println!("peak memory, mapped rows and all {peak:>6} MB");
    }
    if arguments.keep {
        println!("kept {}", folder.keep().display());
    }
    Ok(())
}

/// A file of little-endian f32.
struct Values(memmap2::Mmap);

impl Values {
    fn open(path: &Path) -> std::io::Result<Self> {
        // SAFETY: nobody writes the file of a benchmark while it runs.
        Ok(Self(unsafe { memmap2::Mmap::map(&std::fs::File::open(path)?)? }))
    }

    fn values(&self) -> &[f32] {
        bytemuck::cast_slice(&self.0)
    }
}

/// Only searches, with what is there.
fn searched(dir: &Path) -> Done<()> {
    let index = Index::open(dir)?;
    let meta = index.meta().clone();
    println!("{} images, {} captions of {}", index.count(Modality::Image), index.count(Modality::Text), meta.model);
    let settings = IndexSettings { model: meta.model, space: meta.space, extra: meta.extra };
    let mut writer = IndexWriter::update(dir, settings)?;
    writer.make_sketches(0)?;
    drop(writer);
    let index = Index::open(dir)?;
    let step = (index.rows(Modality::Text).count() / 1000).max(1);
    let queries: Vec<Vec<f32>> =
        index.rows(Modality::Text).step_by(step).map(|row| index.row(Modality::Text, row)).collect::<Result<_, _>>()?;
    if queries.is_empty() {
        return Err("the index has no captions to search with".into());
    }
    report(&index, &queries)
}

/// Times of single queries and of many, and recall.
fn report(index: &Index, queries: &[Vec<f32>]) -> Done<()> {
    let parts: Vec<[QueryPart<'_>; 1]> =
        queries.iter().map(|vector| [QueryPart { vector, weight: 1.0, kind: PartKind::Cross }]).collect();
    let queries: Vec<&[QueryPart<'_>]> = parts.iter().map(|parts| parts.as_slice()).collect();
    let filters = [Filter::parse("folder=part-3/**")?, Filter::parse("width>=4000")?];
    let find = |queries: &[&[QueryPart<'_>]], method, filter: Option<&Filter>| {
        index.search_with(queries, &SearchOptions { method, filter, ..SearchOptions::new(Modality::Image, TOP) })
    };
    let begun = Instant::now();
    let sketched = index.load_sketches(Modality::Image);
    println!("sketches read           {:>10.2} ms ({sketched} rows)", milliseconds(begun));
    let mut exact: Vec<Vec<Hit>> = Vec::new();
    for (name, method) in [("exact", Method::Exact), ("sketches", Method::Sketches)] {
        find(&queries[..1], method, None)?;
        let mut times = Vec::new();
        let mut found = Vec::new();
        for query in &queries {
            let begun = Instant::now();
            found.extend(find(&[query], method, None)?);
            times.push(milliseconds(begun));
        }
        let mut together = f64::INFINITY;
        for _ in 0..3 {
            let begun = Instant::now();
            find(&queries, method, None)?;
            together = together.min(begun.elapsed().as_secs_f64() / queries.len() as f64);
        }
        let (best, p50, p95) = (percentile(&mut times, 0.0), percentile(&mut times, 0.5), percentile(&mut times, 0.95));
        if method == Method::Exact {
            exact.clone_from(&found);
        }
        let hits = exact.iter().zip(&found).flat_map(|(exact, near)| exact.iter().map(move |hit| (hit, near)));
        let (all, same) = hits.fold((0, 0), |(all, same), (hit, near)| {
            (all + 1, same + usize::from(near.iter().any(|other| other.id == hit.id)))
        });
        println!(
            "{name:<9} one query   {p50:>8.2} ms p50 {p95:>8.2} ms p95 {best:>8.2} ms best; {:>7.1} queries/s together; \
             recall@{TOP} {:.4}",
            1.0 / together,
            same as f64 / all as f64
        );
    }
    for filter in &filters {
        let text = filter.to_string();
        let begun = Instant::now();
        find(&queries[..1], Method::Auto, Some(filter))?;
        let first = milliseconds(begun);
        let begun = Instant::now();
        find(&queries[..1], Method::Auto, Some(filter))?;
        println!("filter {text:<17}{first:>10.2} ms the first time, {:.2} ms again", milliseconds(begun));
    }
    Ok(())
}

/// Two levels of length 1 near one of the centres.
fn embedding(number: u64, level: usize) -> Vec<f32> {
    Random(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).near(number % CENTRES as u64, 1.0, level)
}

fn image(number: usize) -> ImageItem {
    let id = format!("part-{}/{:03}/{number:08}.jpg", number % 7, number / 1000);
    let (size, mtime_unix_ms) = (1_000_000 + number as u64, 1_600_000_000_000 + number as i64 * 60_000);
    let width = [1024, 2048, 4000, 6000][number % 4];
    let sha256 = format!("{:064x}", number + 1);
    ImageItem { path: id.clone(), id, sha256, size, mtime_unix_ms, width, height: 1000, ..Default::default() }
}

/// Of the files whose names end with `kind`.
fn bytes_of(dir: &Path, kind: &str) -> std::io::Result<u64> {
    let all = files_of(dir)?;
    all.iter().filter(|path| path.to_string_lossy().ends_with(kind)).map(|path| Ok(path.metadata()?.len())).sum()
}

fn files_of(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files.extend(files_of(&entry.path())?);
        } else {
            files.push(entry.path());
        }
    }
    Ok(files)
}

/// Takes the files out of the page cache; false where the system knows no way.
#[cfg(target_os = "linux")]
fn forget(dir: &Path) -> std::io::Result<bool> {
    use std::os::fd::AsRawFd;
    for path in files_of(dir)? {
        let file = std::fs::File::open(path)?;
        file.sync_all()?;
        // SAFETY: it is advice about an open file.
        if unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) } != 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(not(target_os = "linux"))]
fn forget(_: &Path) -> std::io::Result<bool> {
    Ok(false)
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

fn percentile(times: &mut [f64], share: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    times[((times.len() - 1) as f64 * share).round() as usize]
}

/// In MB, where the system reports it.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? / 1000)
}
