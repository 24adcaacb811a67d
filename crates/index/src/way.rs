//! The way to the best rows: all are read, or their codes or sketches first.

use crate::bitmap::Bitmap;
use crate::codes::Codes;
use crate::index::Index;
use crate::query::Plan;
use crate::scan::{Piece, Rows, rescore, top_of};
use crate::search::{CANDIDATES, INSTANT_BYTES, LOADING_PAYS, Method};
use crate::sketch::{Loaded, Sketches};
use crate::top_k::{Scored, TopK};
use gxn_base::Modality;
use half::f16;
use rayon::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The rows of one file to look at.
pub(crate) type RowPiece<'a> = Piece<'a, Rows<'a, f16>>;
type CodedPieces<'a> = (Vec<Piece<'a, &'a Codes>>, Vec<RowPiece<'a>>);

/// Queries that sketches might have answered, of images and of captions.
#[derive(Debug, Default)]
pub(crate) struct Asked([AtomicUsize; 2]);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Exact,
    Codes,
    Sketches,
}

/// What a search is for.
pub(crate) struct Errand<'a> {
    pub(crate) side: Modality,
    pub(crate) pieces: &'a [RowPiece<'a>],
    /// Best rows wanted.
    pub(crate) keep: usize,
}

impl Index {
    /// How many rows of `side` have 8-bit codes, by which candidates are found ([`Method::Candidates`]).
    pub fn coded_rows(&self, side: Modality) -> usize {
        self.stretches(side).iter().filter_map(|stretch| stretch.codes.as_ref()).map(Codes::len).sum()
    }

    /// How many rows of `side` have 4-bit sketches ([`Method::Sketches`]).
    pub fn sketched_rows(&self, side: Modality) -> usize {
        self.stretches(side).iter().filter_map(|stretch| stretch.sketches.as_ref()).map(Sketches::len).sum()
    }

    /// Brings the sketches of `side` to memory, half a byte for each value of a row, and returns how many rows have
    /// usable ones. A program that answers many queries calls it at its start; without it [`Method::Auto`] does it after
    /// [`LOADING_PAYS`] queries. Damaged sketches are done without, [`Index::verify`] names them.
    pub fn load_sketches(&self, side: Modality) -> usize {
        self.loaded(side).iter().flatten().map(|sketches| sketches.len()).sum()
    }

    /// The best rows for each plan.
    pub(crate) fn best(&self, errand: &Errand<'_>, plans: &[Plan], method: Method) -> Vec<TopK> {
        let candidates = candidates(errand.keep);
        match self.way(errand, plans.len(), method, candidates) {
            Way::Exact => top_of(errand.pieces, plans, errand.keep),
            Way::Codes => self.by_codes(errand, plans, candidates, &vec![0; errand.pieces.len()]),
            Way::Sketches => self.by_sketches(errand, plans, candidates),
        }
    }

    fn way(&self, errand: &Errand<'_>, plans: usize, method: Method, candidates: usize) -> Way {
        let Errand { side, pieces, .. } = *errand;
        let rows = pieces.iter().map(|piece| piece.allowed.map_or(piece.range.len(), Bitmap::count)).sum::<usize>();
        let row_bytes = self.stretches(side).first().map_or(0, |stretch| stretch.segment.header().record_bytes());
        // Many candidates cost what the scan saves; rows that pass a narrow filter are few.
        let few = candidates > rows / 20;
        match method {
            Method::Exact => Way::Exact,
            Method::Candidates => Way::Codes,
            Method::Sketches if few => Way::Exact,
            Method::Sketches => Way::Sketches,
            Method::Auto if few || rows as u64 * row_bytes as u64 <= INSTANT_BYTES => Way::Exact,
            Method::Auto if self.sketches_pay(side, plans) => Way::Sketches,
            Method::Auto => Way::Codes,
        }
    }

    /// True if there are sketches in memory, or enough was asked to bring them there.
    fn sketches_pay(&self, side: Modality, plans: usize) -> bool {
        let mut sketches = self.stretches(side).iter().filter_map(|stretch| stretch.sketches.as_ref()).peekable();
        if sketches.peek().is_none() {
            return false;
        }
        let asked = self.asked().0[side as usize].fetch_add(plans, Ordering::Relaxed);
        // Only one of those who ask at the same time waits for them.
        asked < LOADING_PAYS && asked + plans >= LOADING_PAYS || sketches.any(Sketches::is_loaded)
    }

    /// The sketches of every row file of a side, read if they are not in memory.
    fn loaded(&self, side: Modality) -> Vec<Option<&Loaded>> {
        // In turn: reading takes twice the memory of what is read.
        self.stretches(side).iter().map(|stretch| stretch.sketches.as_ref().and_then(Sketches::load)).collect()
    }

    /// By the codes of all rows, but the first `done` of every file, which are not looked at, and those without codes,
    /// which are read.
    fn by_codes(&self, errand: &Errand<'_>, plans: &[Plan], candidates: usize, done: &[usize]) -> Vec<TopK> {
        let (coded, rest) = self.coded_pieces(errand, done);
        let mut tops = top_of(&rest, plans, errand.keep);
        if !coded.is_empty() {
            let near = top_of(&coded, plans, candidates);
            merge(&mut tops, rescore(errand.pieces, plans, near, errand.keep));
        }
        tops
    }

    /// The codes of the rows to look at, and the rows that have none. Of a file that is done in part no codes are used.
    fn coded_pieces<'a>(&'a self, errand: &Errand<'a>, done: &[usize]) -> CodedPieces<'a> {
        let (mut coded, mut rest) = (Vec::new(), Vec::new());
        for ((piece, stretch), &done) in errand.pieces.iter().zip(self.stretches(errand.side)).zip(done) {
            let Piece { rows, ref range, first_row, allowed } = *piece;
            let mut start = done;
            if let Some(codes) = stretch.codes.as_ref().filter(|_| done == 0) {
                coded.push(Piece { rows: codes, range: 0..codes.len(), first_row, allowed });
                start = codes.len();
            }
            rest.push(Piece { rows, range: start..range.end, first_row, allowed });
        }
        (coded, rest)
    }

    /// By the sketches of all rows; those without sketches and plans that sketches cannot answer go by codes.
    fn by_sketches(&self, errand: &Errand<'_>, plans: &[Plan], candidates: usize) -> Vec<TopK> {
        let loaded = self.loaded(errand.side);
        let sketches = || loaded.iter().enumerate().filter_map(|(at, loaded)| loaded.map(|loaded| (at, loaded)));
        // For each plan what every file is asked.
        let ask = |plan: &Plan| sketches().map(|(_, loaded)| loaded.asked(plan)).collect::<Option<Vec<_>>>();
        let asked: Vec<Option<Vec<Vec<f32>>>> = plans.par_iter().map(ask).collect();
        let (able, unable): (Vec<usize>, Vec<usize>) = (0..plans.len()).partition(|&plan| asked[plan].is_some());
        let of = |numbers: &[usize]| -> Vec<Plan> { numbers.iter().map(|&plan| plans[plan].clone()).collect() };
        let mut tops = vec![TopK::new(errand.keep); plans.len()];
        let mut put = |numbers: &[usize], found: Vec<TopK>| {
            numbers.iter().zip(found).for_each(|(&plan, top)| tops[plan] = top);
        };
        if !unable.is_empty() {
            put(&unable, self.by_codes(errand, &of(&unable), candidates, &vec![0; errand.pieces.len()]));
        }
        if !able.is_empty() {
            // Each file's nearest are scored: what sketches of different files tell may differ by a constant. Half as
            // many as of codes are enough, and turbovec's time grows with their number.
            let mut near = vec![TopK::new(usize::MAX); able.len()];
            let mut done = vec![0; errand.pieces.len()];
            for (number, (at, loaded)) in sketches().enumerate() {
                let Piece { first_row, allowed, .. } = errand.pieces[at];
                done[at] = loaded.len();
                let asked: Vec<&[f32]> =
                    able.iter().filter_map(|&plan| Some(&*asked[plan].as_ref()?[number])).collect();
                let flags;
                let allowed = match allowed {
                    Some(live)
                        if self.stretches(errand.side)[at].live.as_ref().is_some_and(|l| std::ptr::eq(l, live)) =>
                    {
                        Some(loaded.live(live))
                    }
                    Some(allowed) => {
                        flags = allowed.flags(loaded.len());
                        Some(&flags[..])
                    }
                    None => None,
                };
                for (near, rows) in near.iter_mut().zip(loaded.near(&asked, allowed, candidates / 2)) {
                    rows.into_iter().for_each(|row| near.push(Scored { score: 0.0, row: first_row + row }));
                }
            }
            let plans = of(&able);
            let mut found = rescore(errand.pieces, &plans, near, errand.keep);
            merge(&mut found, self.by_codes(errand, &plans, candidates, &done));
            put(&able, found);
        }
        tops
    }
}

/// How many candidates are looked for where so many hits are wanted, those before the page among them: at least four for
/// each. All pages within the first 50 hits ask for the same number, and so do those within 200, 800 and so on, so that
/// they are pages of one list.
pub(crate) fn candidates(keep: usize) -> usize {
    let mut candidates = CANDIDATES;
    while candidates < keep.saturating_mul(4) {
        candidates = candidates.saturating_mul(4);
    }
    candidates
}

fn merge(tops: &mut [TopK], others: Vec<TopK>) {
    tops.iter_mut().zip(others).for_each(|(top, other)| top.merge(other));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::ImageItem;
    use crate::space::Space;
    use crate::writer::{IndexSettings, IndexWriter};
    use gxn_base::Similarity;

    #[test]
    fn pages_near_each_other_have_the_same_candidates() {
        let of = |keeps: &[usize]| keeps.iter().map(|&keep| candidates(keep)).collect::<Vec<_>>();
        assert_eq!(of(&[0, 1, 50, 51, 60, 200, 201]), [200, 200, 200, 800, 800, 800, 3200]);
        assert_eq!(candidates(usize::MAX), usize::MAX);
    }

    /// An index that says it is large goes by codes, and by sketches once they are in memory or enough was asked.
    #[test]
    fn the_way_follows_size_and_use() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("index");
        let space = Space { similarity: Similarity::Cosine, lambda: 0.5, dims_abstract: 2, dims_grounded: 1 };
        let settings = IndexSettings { model: "m".into(), space, extra: Default::default() };
        let mut writer = IndexWriter::create(&dir, settings.clone()).unwrap();
        for number in 0..9u8 {
            let item = ImageItem { id: number.to_string(), ..Default::default() };
            writer.push_image(&item, &[1.0, f32::from(number), 2.0]).unwrap();
        }
        writer.make_codes(0).unwrap();
        drop(writer.finish().unwrap());
        let way = |index: &Index, rows: usize, plans: usize, method: Method| {
            let mut pieces = index.pieces(Modality::Image, None);
            pieces[0].range = 0..rows;
            index.way(&Errand { side: Modality::Image, pieces: &pieces, keep: 10 }, plans, method, CANDIDATES)
        };
        // Of 64 bytes each.
        let (small, large) = (4_000_000, 5_000_000);
        let coded = Index::open(&dir).unwrap();
        assert_eq!(way(&coded, small, 1, Method::Auto), Way::Exact);
        assert_eq!(way(&coded, large, 1000, Method::Auto), Way::Codes);
        let mut writer = IndexWriter::update(&dir, settings).unwrap();
        writer.make_sketches(0).unwrap();
        drop(writer.finish().unwrap());

        let index = Index::open(&dir).unwrap();
        assert_eq!(way(&index, large, LOADING_PAYS - 1, Method::Auto), Way::Codes);
        assert_eq!(way(&index, large, 1, Method::Auto), Way::Sketches, "this one brings them to memory");
        assert_eq!(way(&index, large, 1, Method::Auto), Way::Codes, "another one does not wait");
        assert_eq!(index.load_sketches(Modality::Image), 9);
        assert_eq!(way(&index, large, 1, Method::Auto), Way::Sketches);
        assert_eq!(way(&index, small, 1, Method::Auto), Way::Exact);
        assert_eq!(way(&index, 20 * CANDIDATES, 1, Method::Sketches), Way::Sketches);
        assert_eq!(way(&index, 20 * CANDIDATES - 1, 1, Method::Sketches), Way::Exact, "few are read");
        assert_eq!(way(&index, large, 1, Method::Candidates), Way::Codes);
        assert_eq!(way(&index, large, 1, Method::Exact), Way::Exact);
    }
}
