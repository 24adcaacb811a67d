//! The options of a search, and its hits.

use crate::filter::Filter;
use crate::item::CaptionItem;
use crate::query::LevelScores;
use gxn_base::Modality;
use serde::Serialize;

/// Rows of up to this many bytes are always scanned exactly by [`Method::Auto`]: it takes a few milliseconds.
pub const INSTANT_BYTES: u64 = 256 << 20;
/// Fewest candidates of a query by sketches, in each row file.
pub const CANDIDATES: usize = 100;
/// After this many queries of a modality [`Method::Auto`] reads its sketches into memory, which the time they save has then
/// paid for.
pub const LOADING_PAYS: usize = 64;

/// How the best rows are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// [`Method::Exact`] for up to [`INSTANT_BYTES`] of rows; else [`Method::Sketches`] once they are in memory
    /// ([`Index::load_sketches`](crate::Index::load_sketches), or after [`LOADING_PAYS`] queries).
    #[default]
    Auto,
    /// Every row is read.
    Exact,
    /// 4-bit sketches of all rows give candidates, [`CANDIDATES`] of each row file for up to half as many hits (those
    /// before the page counted), else four, sixteen, … times as many; these are scored exactly. A hit may be missed;
    /// scores and their order are exact. Sketches are read into memory first; a query of a million rows then takes a
    /// sixth of the time. Where more rows have one score than there are candidates, any of them may be found, the same
    /// ones each time. Rows without sketches are read; so is every row for queries with a
    /// [`PartKind::Same`](crate::PartKind::Same) part where rows are of different lengths or under order similarity, and
    /// where few rows pass a filter.
    Sketches,
}

/// What is wanted of a search.
#[derive(Clone, Copy, Debug)]
pub struct SearchOptions<'a> {
    /// Images or captions.
    pub target: Modality,
    /// Most hits.
    pub top: usize,
    /// Hits to leave out at the start. Pages of one query are pages of one list, none twice and none left out, always under
    /// [`Method::Exact`], else while `offset + top` stays within the same bound, 50, 200, 800 or the next: beyond it there
    /// are more candidates, and a hit that was missed before may push others back. [`Method::Auto`] may change its
    /// method at these bounds, and once sketches are in memory.
    pub offset: usize,
    /// Only items that pass it.
    pub filter: Option<&'a Filter>,
    /// Weight of the abstract level, 0 to 1, instead of the index's λ.
    pub lambda: Option<f32>,
    /// How the best are found.
    pub method: Method,
    /// Of equal captions of one image one is a hit, the one whose id comes first; [`Hit::copies`] counts them.
    pub fold_captions: bool,
}

impl SearchOptions<'_> {
    /// The best `top` items of a modality.
    pub fn new(target: Modality, top: usize) -> Self {
        Self { target, top, offset: 0, filter: None, lambda: None, method: Method::Auto, fold_captions: false }
    }
}

/// One found item.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hit {
    /// Its row among the images or the captions; items of equal content have the same.
    pub row: usize,
    /// Its id: the image's, or the caption's.
    pub id: String,
    /// Path of the image; of a caption, that of its image.
    pub path: String,
    /// The caption, if captions were searched.
    pub caption: Option<CaptionItem>,
    /// Equal captions of its image that it stands for, itself included; 1 unless they are folded.
    pub copies: usize,
    /// Σ wᵢ · scoreᵢ; larger is better.
    pub score: f32,
    /// What each level contributes to the score.
    pub parts: LevelScores,
}

/// How many candidates are scored where `keep` hits are wanted, those before the page among them: at least two for each.
/// All pages within the first 50 hits ask for the same number, and so do those within 200, 800 and so on, so that they
/// are pages of one list.
#[doc(hidden)]
pub fn candidates(keep: usize) -> usize {
    let mut candidates = CANDIDATES;
    while candidates < keep.saturating_mul(2) {
        candidates = candidates.saturating_mul(4);
    }
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_near_each_other_have_the_same_candidates() {
        let of = |keeps: &[usize]| keeps.iter().map(|&keep| candidates(keep)).collect::<Vec<_>>();
        assert_eq!(of(&[0, 1, 50, 51, 60, 200, 201]), [100, 100, 100, 400, 400, 400, 1600]);
        assert_eq!(candidates(usize::MAX), usize::MAX);
    }
}
