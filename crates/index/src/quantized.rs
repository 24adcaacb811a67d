//! 4-bit sketches of a row file's rows, in a [file beside it](crate::sidecar): a quarter of the rows' bytes is read to find
//! candidates. The crate turbovec makes and searches them, in memory.
//!
//! Its kind is `GXNSKCH\0` with 4 bits. Bytes 24..28 of the header are the measure, u32: 0 dot product, 1 row above
//! query, 2 query above row; bytes 48..56 the length of the [`Key`], u64, which follows as JSON. The rest is turbovec's.
//!
//! Sketches know inner products only. Of cosine they hold the rows themselves, of order similarity what a
//! [`Surrogate`] makes of them. The mean of all rows is subtracted first: it ranks nothing, and what is left
//! quantizes better. turbovec's own calibration does harm here: of 75,000 rows under order
//! similarity it left a quarter of the true hits among 200 candidates, where plain sketches have them all.

use crate::bitmap::Bitmap;
use crate::kernel::Measure;
use crate::query::Plan;
use crate::segment::Segment;
use crate::sidecar::{self, Body, Sidecar, SidecarKind};
use crate::space::Space;
use crate::surrogate::Surrogate;
use gxn_base::{Error, Result};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use turbovec::{MAX_DIM, TurboQuantIndex};

const BITS: usize = 4;
/// Rows sketched at once.
const BATCH: usize = 4096;
/// Rows that stand for all.
const SAMPLE: usize = 1000;
/// Queries of one call: with more, each takes longer.
const QUERIES: usize = 8;
/// Lengths of rows that differ by less count as equal.
const EQUAL_LENGTHS: f32 = 1.02;
/// Larger values turbovec refuses.
const LARGEST: f32 = 1e15;

/// The sketches of the first rows of a row file; [`Sketches::load`] reads them into memory.
#[derive(Debug)]
pub(crate) struct Sketches {
    file: Sidecar,
    path: PathBuf,
    measure: Measure,
    levels: [Range<usize>; 2],
    loaded: OnceLock<Option<Loaded>>,
}

/// Sketches in memory.
#[derive(Debug)]
pub(crate) struct Loaded {
    engine: TurboQuantIndex,
    key: Key,
    measure: Measure,
    levels: [Range<usize>; 2],
    /// The rows that live.
    live: OnceLock<Vec<bool>>,
}

/// What a query needs to know about the rows.
#[derive(Debug, Serialize, Deserialize)]
struct Key {
    /// Of h and of l; none for the dot product.
    surrogates: Vec<Surrogate>,
    /// Smallest and largest 1 / ‖row‖ of the rows that are not zero.
    inverse_lengths: [f32; 2],
}

impl Sketches {
    /// Opens the sketches at `path` if they are of `segment` and for its `measure`.
    pub(crate) fn open(path: &Path, segment: &Segment, measure: Measure) -> Result<Self> {
        let file = Sidecar::open(path, segment, kind(measure))?;
        let levels = levels(segment);
        Ok(Self { file, path: path.to_path_buf(), measure, levels, loaded: OnceLock::new() })
    }

    /// How many of the row file's rows have sketches.
    pub(crate) fn len(&self) -> usize {
        self.file.rows
    }

    /// True once they are in memory.
    pub(crate) fn is_loaded(&self) -> bool {
        matches!(self.loaded.get(), Some(Some(_)))
    }

    /// The sketches in memory; `None` if they are damaged; `verify` reports how.
    pub(crate) fn load(&self) -> Option<&Loaded> {
        self.loaded.get_or_init(|| self.read().ok()).as_ref()
    }

    /// Compares everything with its checksum, and reads it.
    pub(crate) fn verify(&self) -> Result<()> {
        self.read().map(drop)
    }

    fn read(&self) -> Result<Loaded> {
        self.file.verify(&self.path)?;
        let wrong = |found: String| {
            sidecar::damaged(format!("sketches {}", self.path.display()), found, "what this version writes")
        };
        let body = self.file.body();
        let length = usize::try_from(u64::from_le_bytes(self.file.own)).unwrap_or(usize::MAX);
        let (key, rest) = body.split_at_checked(length).ok_or_else(|| wrong(format!("{} bytes", body.len())))?;
        let key: Key = serde_json::from_slice(key).map_err(|e| wrong(e.to_string()))?;
        let engine = TurboQuantIndex::from_bytes(rest).map_err(|e| wrong(e.to_string()))?;
        let tables = if self.measure == Measure::Dot { 0 } else { 2 };
        let fits = key.surrogates.len() == tables && key.surrogates.iter().all(Surrogate::is_whole);
        let width = width(self.levels[1].end);
        if !fits || (engine.len(), engine.dim_opt(), engine.bit_width()) != (self.len(), Some(width), BITS) {
            return Err(wrong(format!("{} rows of {:?} values", engine.len(), engine.dim_opt())));
        }
        engine.prepare();
        let Self { measure, ref levels, .. } = *self;
        Ok(Loaded { engine, key, measure, levels: levels.clone(), live: OnceLock::new() })
    }
}

impl Loaded {
    /// The vector whose inner product with what is stored goes up and down with the plan's score. `None` if there is
    /// none: the plan contains the cosine of whole rows, and these are of different lengths or under order similarity;
    /// or all its weights are zero.
    pub(crate) fn query(&self, plan: &Plan) -> Option<Vec<f32>> {
        let mut query = vec![0.0f32; width(self.levels[1].end)];
        for term in plan.terms() {
            let columns = &mut query[term.columns.clone()];
            let of_row = match (term.measure, self.measure) {
                (Measure::Dot, Measure::Dot) => {
                    let [shortest, longest] = self.key.inverse_lengths;
                    let factor = match term.by_length {
                        false => term.factor,
                        true if longest <= shortest * EQUAL_LENGTHS => term.factor * (shortest + longest) / 2.0,
                        true => return None,
                    };
                    term.vector.iter().map(|value| factor * value).collect()
                }
                (wanted, stored) if wanted == stored => {
                    let level = self.levels.iter().position(|level| *level == term.columns)?;
                    self.key.surrogates[level].query(&term.vector, -term.factor)
                }
                _ => return None,
            };
            columns.iter_mut().zip(of_row).for_each(|(sum, value): (_, f32)| *sum += value);
        }
        let usable = query.iter().all(|value| value.abs() < LARGEST) && query.iter().any(|value| *value != 0.0);
        usable.then_some(query)
    }

    /// The `count` rows nearest to each of the vectors, of those in `allowed`.
    pub(crate) fn near(&self, queries: &[&[f32]], allowed: Option<&[bool]>, count: usize) -> Vec<Vec<usize>> {
        let mut near = Vec::with_capacity(queries.len());
        for queries in queries.chunks(QUERIES) {
            let found = self.engine.search_with_mask(&queries.concat(), count, allowed);
            near.extend((0..queries.len()).map(|query| {
                let rows = if found.k == 0 { &[][..] } else { found.indices_for_query(query) };
                rows.iter().map(|&row| row as usize).collect()
            }));
        }
        near
    }

    /// Which of the rows live, for [`Loaded::near`].
    pub(crate) fn live(&self, live: &Bitmap) -> &[bool] {
        self.live.get_or_init(|| live.flags(self.engine.len()))
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.engine.len()
    }
}

fn kind(measure: Measure) -> SidecarKind {
    let own = match measure {
        Measure::Dot => 0,
        Measure::RowAboveQuery => 1,
        Measure::QueryAboveRow => 2,
    };
    SidecarKind { magic: *b"GXNSKCH\0", what: "sketches", bits: BITS as u32, own }
}

/// The columns of h and of l.
fn levels(segment: &Segment) -> [Range<usize>; 2] {
    let (split, dims) = (segment.header().dims_abstract as usize, segment.header().dims());
    [0..split, split..dims]
}

/// Values of a sketch: zeros follow the row's.
fn width(dims: usize) -> usize {
    dims.next_multiple_of(8)
}

/// True if rows of this width can have sketches.
pub(crate) fn can_be_sketched(dims: usize) -> bool {
    width(dims) <= MAX_DIM
}

/// Writes the sketches of all rows of `segment`, an image or caption file of an index of `space`, to `path`, replacing
/// what is there. `others` are rows like those of the queries; without them the rows stand for them.
pub(crate) fn write(path: &Path, segment: &Segment, space: &Space, others: Option<&Segment>) -> Result<()> {
    let measure = Measure::of(space.similarity, segment.header().modality);
    let levels = levels(segment);
    let rows = sample(segment);
    let surrogates = match measure {
        Measure::Dot => Vec::new(),
        _ => {
            let queries = others.filter(|others| !others.is_empty()).map_or_else(|| rows.clone(), sample);
            let fit = |columns: &Range<usize>| {
                let values = |rows: &[Vec<f32>]| rows.iter().flat_map(|row| row[columns.clone()].to_vec()).collect();
                let (rows, queries): (Vec<f32>, Vec<f32>) = (values(&rows), values(&queries));
                // A level without columns, or a file without rows: any table will do.
                let [rows, queries] = [rows, queries].map(|v| if v.is_empty() { vec![0.0, 1.0] } else { v });
                Surrogate::fit(measure, &rows, &queries, 1)
            };
            levels.iter().map(fit).collect::<Result<Vec<_>>>()?
        }
    };
    let stored = |row: &[f32]| -> Vec<f32> {
        let mut stored = match &surrogates[..] {
            [] => row.to_vec(),
            _ => surrogates.iter().zip(&levels).flat_map(|(table, level)| table.row(&row[level.clone()])).collect(),
        };
        stored.resize(width(levels[1].end), 0.0);
        stored
    };
    let mut common = vec![0.0f32; width(levels[1].end)];
    for row in &rows {
        let share = 1.0 / rows.len() as f32;
        common.iter_mut().zip(stored(row)).for_each(|(sum, value)| *sum += share * value);
    }
    let wrong = |e: &dyn std::fmt::Display| Error::invalid("rows to sketch", e.to_string(), "rows of finite values");
    let mut engine = TurboQuantIndex::new(common.len(), BITS).map_err(|e| wrong(&e))?;
    for first in (0..segment.len()).step_by(BATCH) {
        let mut values = vec![0.0f32; (segment.len() - first).min(BATCH) * common.len()];
        values.par_chunks_mut(common.len()).zip(first..first + BATCH).for_each(|(out, row)| {
            let stored = stored(&values_of(segment, row));
            out.iter_mut().zip(stored).zip(&common).for_each(|((out, value), common)| *out = value - common);
        });
        engine.add_2d(&values, common.len()).map_err(|e| wrong(&e))?;
    }
    let key = Key { surrogates, inverse_lengths: inverse_lengths(segment) };
    let key = serde_json::to_vec(&key).expect("plain data is valid JSON");
    let fill = |body: &mut Body| {
        body.put(&key)?;
        body.put(&engine.to_bytes())?;
        Ok((key.len() as u64).to_le_bytes())
    };
    sidecar::write(path, segment, kind(measure), fill)
}

fn values_of(segment: &Segment, row: usize) -> Vec<f32> {
    segment.row(row).iter().map(|value| value.to_f32_const()).collect()
}

/// Some rows from all over the file.
fn sample(segment: &Segment) -> Vec<Vec<f32>> {
    let step = segment.len().div_ceil(SAMPLE).max(1);
    (0..segment.len()).step_by(step).map(|row| values_of(segment, row)).collect()
}

/// Smallest and largest of the rows that are not zero; equal if there are none.
fn inverse_lengths(segment: &Segment) -> [f32; 2] {
    let lengths = (0..segment.len()).map(|row| segment.inverse_length(row)).filter(|length| *length > 0.0);
    let found = lengths.fold(None, |found: Option<[f32; 2]>, length| {
        let [shortest, longest] = found.unwrap_or([length; 2]);
        Some([shortest.min(length), longest.max(length)])
    });
    found.unwrap_or([1.0; 2])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{PartKind, QueryPart};
    use crate::segment::Header;
    use crate::segment_writer::SegmentWriter;
    use gxn_base::{Modality, Similarity};
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};
    use std::fs;

    const ORDER: Similarity = Similarity::Order;

    fn space(similarity: Similarity) -> Space {
        Space { similarity, lambda: 0.25, dims_abstract: 2, dims_grounded: 1 }
    }

    fn segment(rows: &[[f32; 3]]) -> (tempfile::TempDir, PathBuf, Segment) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("images-7.f16");
        let header = Header { dims_abstract: 2, dims_grounded: 1, modality: Modality::Image, number: 7 };
        let mut file = SegmentWriter::create(path.clone(), header).unwrap();
        rows.iter().for_each(|row| file.push("a", row).unwrap());
        file.sync().unwrap();
        let segment = Segment::open(&path, rows.len() as u64).unwrap();
        (dir, path.with_extension("sketch"), segment)
    }

    fn loaded(similarity: Similarity, rows: &[[f32; 3]]) -> Loaded {
        let (_dir, path, rows) = segment(rows);
        write(&path, &rows, &space(similarity), None).unwrap();
        Sketches::open(&path, &rows, Measure::of(similarity, Modality::Image)).unwrap().read().unwrap()
    }

    fn plan(similarity: Similarity, vector: &[f32], weight: f32, kind: PartKind) -> Plan {
        Plan::new(&space(similarity), Modality::Image, &[QueryPart { vector, weight, kind }]).unwrap()
    }

    /// w = 2, λ = 0.25: [2 · 0.25 · 1, 2 · 0.25 · 2, 2 · 0.75 · 4] = [0.5, 1, 6], zeros behind.
    #[test]
    fn weights_are_the_querys() {
        let rows = loaded(Similarity::Cosine, &[[3.0, 0.0, 4.0], [0.0, 5.0, 0.0], [0.0; 3]]);
        let query = rows.query(&plan(Similarity::Cosine, &[1.0, 2.0, 4.0], 2.0, PartKind::Cross)).unwrap();
        assert_eq!(query, [0.5, 1.0, 6.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        // Both rows that are not zero have length 5: v / ‖v‖ / 5.
        let query = rows.query(&plan(Similarity::Cosine, &[0.0, 3.0, 4.0], 1.0, PartKind::Same)).unwrap();
        assert!((query[1] - 0.12).abs() < 1e-3 && (query[2] - 0.16).abs() < 1e-3, "{query:?}");
        assert_eq!(rows.query(&plan(Similarity::Cosine, &[0.0; 3], 1.0, PartKind::Cross)), None);
        assert_eq!(rows.query(&plan(Similarity::Cosine, &[1e30; 3], 1.0, PartKind::Cross)), None);
    }

    #[test]
    fn queries_without_an_inner_product_have_no_vector() {
        let same = |similarity| plan(similarity, &[1.0, 2.0, 3.0], 1.0, PartKind::Same);
        assert_eq!(loaded(Similarity::Cosine, &[[1.0; 3], [2.0; 3]]).query(&same(Similarity::Cosine)), None);
        let rows = loaded(ORDER, &[[1.0; 3], [1.0, 0.0, 2.0]]);
        assert_eq!(rows.query(&same(ORDER)), None);
        assert!(rows.query(&plan(ORDER, &[0.0, 0.5, 0.2], 1.0, PartKind::Cross)).is_some());
    }

    /// The nearest by the definition comes first, and what is not allowed does not come.
    #[test]
    fn the_nearest_allowed_come() {
        let rows = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.6, 0.8, 0.0]];
        for similarity in [Similarity::Cosine, ORDER] {
            let sketches = loaded(similarity, &rows);
            let query = sketches.query(&plan(similarity, &[0.0, 1.0, 0.0], 1.0, PartKind::Cross)).unwrap();
            let near = |allowed: Option<&[bool]>, count| sketches.near(&[&query, &query], allowed, count);
            assert_eq!(near(None, 1), [[1], [1]], "{similarity:?}");
            assert_eq!(near(Some(&[true, false, false, true]), 1), [[3], [3]]);
            assert_eq!(near(None, 9)[1].len(), 4);
            assert_eq!(near(Some(&[false; 4]), 9), [[0; 0], [0; 0]]);
            let live = Bitmap::full(4);
            assert_eq!(sketches.live(&live), [true; 4]);
        }
    }

    #[test]
    fn rows_may_be_none_or_zero_or_equal() {
        for similarity in [Similarity::Cosine, ORDER] {
            for rows in [&[][..], &[[0.0; 3]], &[[1.0, 2.0, 3.0]; 40]] {
                assert_eq!(loaded(similarity, rows).len(), rows.len());
            }
        }
    }

    #[test]
    fn damage_and_other_rows_are_noticed() {
        let (_dir, path, rows) = segment(&[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
        let open = |rows: &Segment| Sketches::open(&path, rows, Measure::Dot);
        write(&path, &rows, &space(Similarity::Cosine), None).unwrap();
        let good = fs::read(&path).unwrap();
        // Files that are mapped must not be cut, so each is a new one.
        let put = |bytes: &[u8]| {
            fs::remove_file(&path).unwrap();
            fs::write(&path, bytes).unwrap();
        };
        for at in (0..good.len()).step_by(if good.len() > 20_000 { 37 } else { 1 }) {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            put(&bad);
            let opened = open(&rows);
            assert!(opened.is_err() || opened.is_ok_and(|sketches| sketches.verify().is_err()), "byte {at}");
            put(&good[..at]);
            assert!(open(&rows).map_or(true, |sketches| sketches.load().is_none()), "cut at {at}");
        }
        put(&good);
        open(&rows).unwrap().verify().unwrap();
        Sketches::open(&path, &rows, Measure::RowAboveQuery).unwrap_err();
        for others in [&[[1.0, 2.0, 3.0]][..], &[[1.0, 2.0, 3.0], [4.0, 5.0, 7.0]]] {
            let (_dir, _, others) = segment(others);
            let error = open(&others).unwrap_err();
            assert!(error.to_string().contains("sketches of other rows"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_body_gives_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..300), own in any::<u64>(), cut in 0usize..2000) {
            let (_dir, path, rows) = segment(&[[1.0, 2.0, 3.0]]);
            write(&path, &rows, &space(ORDER), None).unwrap();
            let good = fs::read(&path).unwrap();
            // With all checks in order.
            let put = |own: u64, body: &[u8]| {
                let mut header: [u8; 128] = *good.first_chunk().unwrap();
                header[48..56].copy_from_slice(&own.to_le_bytes());
                header[64..96].copy_from_slice(&Sha256::digest(body));
                let check = Sha256::digest(&header[..96]);
                header[96..].copy_from_slice(&check);
                fs::remove_file(&path).unwrap();
                fs::write(&path, [&header[..], body].concat()).unwrap();
                Sketches::open(&path, &rows, Measure::RowAboveQuery).unwrap().load().is_some()
            };
            prop_assert!(!put(own, &bytes));
            prop_assert!(!put(bytes.len() as u64 / 2, &bytes));
            let length = u64::from_le_bytes(*good[48..].first_chunk().unwrap());
            let body = &good[128..];
            prop_assert!(put(length, body));
            prop_assert!(!put(length, &body[..body.len() - 1 - cut % (body.len() - 1)]));
        }
    }
}
