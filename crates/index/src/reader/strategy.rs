//! The search strategy: an exact scan, or candidates from sketches that are scored exactly.

use super::Index;
use super::options::{INSTANT_BYTES, LOADING_PAYS, Method, candidates};
use crate::bitmap::Bitmap;
use crate::quantized::{Loaded, Sketches};
use crate::query::Plan;
use crate::scan::{Piece, rescore, top_of};
use crate::top_k::{Scored, TopK};
use gxn_base::Modality;
use half::f16;
use rayon::prelude::*;

/// The rows of one file to score.
pub(super) type RowPiece<'a> = Piece<'a, f16>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strategy {
    Exact,
    Sketches,
}

/// Which rows to score, and how many of the best to keep.
pub(super) struct ScanRequest<'a> {
    pub(super) modality: Modality,
    pub(super) pieces: &'a [RowPiece<'a>],
    pub(super) keep: usize,
}

impl Index {
    /// How many rows of `modality` have 4-bit sketches ([`Method::Sketches`]).
    pub fn sketched_rows(&self, modality: Modality) -> usize {
        self.sketches(modality).map(Sketches::len).sum()
    }

    /// Reads the sketches of `modality` into memory, half a byte for each value of a row, and returns how many rows have
    /// usable ones. A program that answers many queries calls it at its start; without it [`Method::Auto`] does it after
    /// [`LOADING_PAYS`] queries. Search does without damaged sketches; [`Index::verify`] names them.
    pub fn load_sketches(&self, modality: Modality) -> usize {
        // One file at a time: reading takes twice the memory of what is read.
        self.sketches(modality).filter_map(Sketches::load).map(Loaded::len).sum()
    }

    fn sketches(&self, modality: Modality) -> impl Iterator<Item = &Sketches> {
        self.segments(modality).iter().filter_map(|segment| segment.sketches.as_ref())
    }

    /// The best rows for each plan.
    pub(super) fn best(&self, request: &ScanRequest<'_>, plans: &[Plan], method: Method) -> Vec<TopK> {
        match self.strategy(request, plans.len(), method) {
            Strategy::Exact => top_of(request.pieces, plans, request.keep),
            Strategy::Sketches => self.by_sketches(request, plans),
        }
    }

    fn strategy(&self, request: &ScanRequest<'_>, plans: usize, method: Method) -> Strategy {
        let ScanRequest { modality, pieces, keep } = *request;
        let rows = pieces.iter().map(|piece| piece.allowed.map_or(piece.range.len(), Bitmap::count)).sum::<usize>();
        let row_bytes = self.segments(modality).first().map_or(0, |segment| segment.rows.header().record_bytes());
        // Many candidates cost what the scan saves; rows that pass a narrow filter are few.
        let few = candidates(keep) > rows / 40;
        match method {
            Method::Exact => Strategy::Exact,
            Method::Sketches | Method::Auto if few => Strategy::Exact,
            Method::Sketches => Strategy::Sketches,
            Method::Auto if rows as u64 * row_bytes as u64 <= INSTANT_BYTES => Strategy::Exact,
            Method::Auto if self.sketches_pay(modality, plans) => Strategy::Sketches,
            Method::Auto => Strategy::Exact,
        }
    }

    /// True if there are sketches in memory, or there were enough queries to read them.
    fn sketches_pay(&self, modality: Modality, plans: usize) -> bool {
        if self.sketches(modality).next().is_none() {
            return false;
        }
        let before = self.queries.add(modality, plans);
        // Only one of the queries at the same time waits for them.
        before < LOADING_PAYS && before + plans >= LOADING_PAYS || self.sketches(modality).any(Sketches::is_loaded)
    }

    /// By the sketches of all rows; rows without sketches are read, all of them for plans that sketches cannot answer.
    fn by_sketches(&self, request: &ScanRequest<'_>, plans: &[Plan]) -> Vec<TopK> {
        let loaded: Vec<Option<&Loaded>> =
            self.segments(request.modality).iter().map(|segment| segment.sketches.as_ref()?.load()).collect();
        // For each plan a vector for every file with sketches.
        let vectors_of = |plan: &Plan| loaded.iter().flatten().map(|loaded| loaded.query(plan)).collect();
        let vectors: Vec<Option<Vec<Vec<f32>>>> = plans.par_iter().map(vectors_of).collect();
        let (able, unable): (Vec<usize>, Vec<usize>) = (0..plans.len()).partition(|&plan| vectors[plan].is_some());
        let of = |numbers: &[usize]| -> Vec<Plan> { numbers.iter().map(|&plan| plans[plan].clone()).collect() };
        let mut tops = vec![TopK::new(request.keep); plans.len()];
        let mut put = |numbers: &[usize], found: Vec<TopK>| {
            numbers.iter().zip(found).for_each(|(&plan, top)| tops[plan] = top);
        };
        if !unable.is_empty() {
            put(&unable, top_of(request.pieces, &of(&unable), request.keep));
        }
        if !able.is_empty() {
            let vectors: Vec<&[Vec<f32>]> = vectors.iter().flatten().map(Vec::as_slice).collect();
            let plans = of(&able);
            let near = self.near(request, &loaded, &vectors);
            let mut found = rescore(request.pieces, &plans, near, request.keep);
            let rest = without_sketches(request.pieces, &loaded);
            found.iter_mut().zip(top_of(&rest, &plans, request.keep)).for_each(|(top, other)| top.merge(other));
            put(&able, found);
        }
        tops
    }

    /// The candidates of each query: the nearest of each file, since scores of sketches of different files may differ by
    /// a constant.
    fn near(&self, request: &ScanRequest<'_>, loaded: &[Option<&Loaded>], queries: &[&[Vec<f32>]]) -> Vec<TopK> {
        let mut near = vec![TopK::new(usize::MAX); queries.len()];
        let files = request.pieces.iter().zip(self.segments(request.modality)).zip(loaded);
        let files = files.filter_map(|(file, loaded)| loaded.map(|loaded| (file, loaded)));
        for (number, ((piece, segment), loaded)) in files.enumerate() {
            let vectors: Vec<&[f32]> = queries.iter().map(|query| query[number].as_slice()).collect();
            let flags;
            let allowed = match (piece.allowed, &segment.live) {
                (None, _) => None,
                (Some(allowed), Some(live)) if std::ptr::eq(allowed, live) => Some(loaded.live(live)),
                (Some(allowed), _) => {
                    flags = allowed.flags(loaded.len());
                    Some(&flags[..])
                }
            };
            for (near, rows) in near.iter_mut().zip(loaded.near(&vectors, allowed, candidates(request.keep))) {
                rows.into_iter().for_each(|row| near.push(Scored { score: 0.0, row: piece.first_row + row }));
            }
        }
        near
    }
}

/// The rows that have no sketches.
fn without_sketches<'a>(pieces: &[RowPiece<'a>], loaded: &[Option<&Loaded>]) -> Vec<RowPiece<'a>> {
    let rest = pieces.iter().zip(loaded).map(|(piece, loaded)| {
        let first = loaded.map_or(0, Loaded::len);
        Piece { range: first..piece.range.end, ..*piece }
    });
    rest.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CANDIDATES;
    use crate::item::ImageItem;
    use crate::space::Space;
    use crate::writer::{IndexSettings, IndexWriter};
    use gxn_base::Similarity;

    /// A large index is searched by sketches once they are in memory, or after enough queries.
    #[test]
    fn the_strategy_follows_size_and_use() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("index");
        let space = Space { similarity: Similarity::Cosine, lambda: 0.5, dims_abstract: 2, dims_grounded: 1 };
        let settings = IndexSettings { model: "m".into(), space, extra: Default::default() };
        let mut writer = IndexWriter::create(&dir, settings.clone()).unwrap();
        for number in 0..9u8 {
            let item = ImageItem { id: number.to_string(), ..Default::default() };
            writer.put_image(&item, &[1.0, f32::from(number), 2.0]).unwrap();
        }
        drop(writer.finish().unwrap());
        let strategy = |index: &Index, rows: usize, plans: usize, method: Method| {
            let mut pieces = index.pieces(Modality::Image, None);
            pieces[0].range = 0..rows;
            index.strategy(&ScanRequest { modality: Modality::Image, pieces: &pieces, keep: 10 }, plans, method)
        };
        // Of 64 bytes each.
        let (small, large) = (4_000_000, 5_000_000);
        let plain = Index::open(&dir).unwrap();
        assert_eq!(strategy(&plain, large, 1000, Method::Auto), Strategy::Exact);
        let mut writer = IndexWriter::update(&dir, settings).unwrap();
        writer.make_sketches(0).unwrap();
        drop(writer.finish().unwrap());

        let index = Index::open(&dir).unwrap();
        assert_eq!(strategy(&index, large, LOADING_PAYS - 1, Method::Auto), Strategy::Exact);
        assert_eq!(strategy(&index, large, 1, Method::Auto), Strategy::Sketches, "this one reads them");
        assert_eq!(strategy(&index, large, 1, Method::Auto), Strategy::Exact, "another one does not wait");
        assert_eq!(index.load_sketches(Modality::Image), 9);
        assert_eq!(strategy(&index, large, 1, Method::Auto), Strategy::Sketches);
        assert_eq!(strategy(&index, small, 1, Method::Auto), Strategy::Exact);
        assert_eq!(strategy(&index, 40 * CANDIDATES, 1, Method::Sketches), Strategy::Sketches);
        assert_eq!(strategy(&index, 40 * CANDIDATES - 1, 1, Method::Sketches), Strategy::Exact, "few are read");
        assert_eq!(strategy(&index, large, 1, Method::Exact), Strategy::Exact);
    }
}
