//! Scores of a tile of images against a tile of captions, with the same bits on every processor.
//!
//! Each pair has its own accumulator and adds its terms in the order of the dimensions with fused multiply-add, so a score
//! depends on nothing but its two rows: not on the tile, the chunk, the thread or the width of the vector unit. Ties stay
//! ties and the plain loop [`pair`] gives the very same number, which is what makes the ranks exact.

use pulp::{Arch, Simd, WithSimd};

/// Images in a tile.
pub(crate) const MR: usize = 8;
/// Captions in a tile.
pub(crate) const NR: usize = 32;

/// Accumulated terms of a tile, image by image.
pub(crate) type Tile = [[f32; NR]; MR];

/// What is summed over the dimensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Term {
    /// v·t
    Product,
    /// max(0, v − t)²
    ImageMinusCaption,
    /// max(0, t − v)²
    CaptionMinusImage,
}

const PRODUCT: u8 = 0;
const IMAGE_MINUS_CAPTION: u8 = 1;
const CAPTION_MINUS_IMAGE: u8 = 2;

/// The vector instructions in use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kernel(Arch);

impl Kernel {
    /// The fastest kernel of this processor.
    pub(crate) fn detect() -> Self {
        Self(Arch::new())
    }

    /// Every instruction set of this processor, for tests.
    #[cfg(test)]
    pub(crate) fn available() -> Vec<Self> {
        let mut kernels = vec![Self::detect(), Self(Arch::Scalar)];
        #[cfg(target_arch = "x86_64")]
        kernels.extend(pulp::x86::V3::try_new().map(|simd| Self(Arch::V3(simd))));
        kernels
    }

    /// Sums the terms of `MR` images (packed `[D, MR]`) against `NR` captions (packed `[D, NR]`) into `out`.
    pub(crate) fn tile(self, term: Term, images: &[f32], captions: &[f32], out: &mut Tile) {
        match term {
            Term::Product => self.0.dispatch(TileJob::<PRODUCT> { images, captions, out }),
            Term::ImageMinusCaption => self.0.dispatch(TileJob::<IMAGE_MINUS_CAPTION> { images, captions, out }),
            Term::CaptionMinusImage => self.0.dispatch(TileJob::<CAPTION_MINUS_IMAGE> { images, captions, out }),
        }
    }

    /// The sum of one pair of rows, each element times its row's scale: what [`Kernel::tile`] gives for the pair.
    pub(crate) fn pair(self, term: Term, image: (&[f32], f32), caption: (&[f32], f32)) -> f32 {
        self.0.dispatch(PairJob { term, image, caption })
    }
}

struct TileJob<'a, const TERM: u8> {
    images: &'a [f32],
    captions: &'a [f32],
    out: &'a mut Tile,
}

impl<const TERM: u8> WithSimd for TileJob<'_, TERM> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if S::REGISTER_COUNT >= 32 { self.run::<S, 8>(simd) } else { self.run::<S, 4>(simd) }
    }
}

impl<const TERM: u8> TileJob<'_, TERM> {
    #[inline(always)]
    fn run<S: Simd, const ROWS: usize>(self, simd: S) {
        let columns = 2 * S::F32_LANES;
        for first_row in (0..MR).step_by(ROWS) {
            for first_column in (0..NR).step_by(columns) {
                let mut sums = [[simd.splat_f32s(0.0); 2]; ROWS];
                for (image, caption) in self.images.as_chunks::<MR>().0.iter().zip(self.captions.as_chunks::<NR>().0) {
                    let (vectors, _) = S::as_simd_f32s(&caption[first_column..first_column + columns]);
                    let (left, right) = (vectors[0], vectors[1]);
                    for (sum, &v) in sums.iter_mut().zip(&image[first_row..first_row + ROWS]) {
                        let v = simd.splat_f32s(v);
                        sum[0] = add::<S, TERM>(simd, v, left, sum[0]);
                        sum[1] = add::<S, TERM>(simd, v, right, sum[1]);
                    }
                }
                for (row, sum) in self.out[first_row..first_row + ROWS].iter_mut().zip(sums) {
                    let (vectors, _) = S::as_mut_simd_f32s(&mut row[first_column..first_column + columns]);
                    vectors.copy_from_slice(&sum);
                }
            }
        }
    }
}

/// One term added to each lane of `sum`.
#[inline(always)]
fn add<S: Simd, const TERM: u8>(simd: S, v: S::f32s, t: S::f32s, sum: S::f32s) -> S::f32s {
    let violation = match TERM {
        PRODUCT => return simd.mul_add_f32s(v, t, sum),
        IMAGE_MINUS_CAPTION => simd.sub_f32s(v, t),
        _ => simd.sub_f32s(t, v),
    };
    let violation = simd.max_f32s(violation, simd.splat_f32s(0.0));
    simd.mul_add_f32s(violation, violation, sum)
}

struct PairJob<'a> {
    term: Term,
    image: (&'a [f32], f32),
    caption: (&'a [f32], f32),
}

impl WithSimd for PairJob<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f32 {
        pair(self.term, self.image, self.caption)
    }
}

/// The sum of one pair, dimension by dimension.
#[inline(always)]
fn pair(term: Term, image: (&[f32], f32), caption: (&[f32], f32)) -> f32 {
    let rows = image.0.iter().zip(caption.0).map(|(&v, &t)| (v * image.1, t * caption.1));
    let squared = |sum: f32, violation: f32| violation.max(0.0).mul_add(violation.max(0.0), sum);
    match term {
        Term::Product => rows.fold(0.0, |sum, (v, t)| v.mul_add(t, sum)),
        Term::ImageMinusCaption => rows.fold(0.0, |sum, (v, t)| squared(sum, v - t)),
        Term::CaptionMinusImage => rows.fold(0.0, |sum, (v, t)| squared(sum, t - v)),
    }
}

/// Lays rows `[R, D]` out as panels of `W` rows, each `[D, W]` and scaled; the last panel is filled up with zeros.
pub(crate) fn pack<const W: usize>(rows: &[f32], dim: usize, scales: &[f32], packed: &mut [f32]) {
    packed.fill(0.0);
    for (panel, (rows, scales)) in packed.chunks_exact_mut(dim * W).zip(rows.chunks(dim * W).zip(scales.chunks(W))) {
        for (column, (row, &scale)) in rows.chunks_exact(dim).zip(scales).enumerate() {
            for (value, place) in row.iter().zip(panel.chunks_exact_mut(W)) {
                place[column] = value * scale;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: usize, dim: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.3
        };
        std::iter::repeat_with(next).take(count * dim).collect()
    }

    /// v = (1, 0), t = (0.5, 2): v·t = 0.5, max(0, v−t)² = 0.25, max(0, t−v)² = 4.
    #[test]
    fn worked_pair() {
        for kernel in Kernel::available() {
            let sum = |term| kernel.pair(term, (&[1.0, 0.0], 1.0), (&[0.5, 2.0], 1.0));
            assert_eq!(sum(Term::Product), 0.5);
            assert_eq!(sum(Term::ImageMinusCaption), 0.25);
            assert_eq!(sum(Term::CaptionMinusImage), 4.0);
        }
    }

    /// Every kernel gives every pair the bits of the plain loop, whatever the place in the tile.
    #[test]
    fn tiles_equal_pairs_bit_for_bit() {
        for dim in [1, 7, 300] {
            let (images, captions) = (rows(MR, dim, 1), rows(NR, dim, 2));
            let (image_scales, caption_scales) = (rows(MR, 1, 3), rows(NR, 1, 4));
            let (mut v, mut t) = (vec![0.0; MR * dim], vec![0.0; NR * dim]);
            pack::<MR>(&images, dim, &image_scales, &mut v);
            pack::<NR>(&captions, dim, &caption_scales, &mut t);
            for term in [Term::Product, Term::ImageMinusCaption, Term::CaptionMinusImage] {
                for kernel in Kernel::available() {
                    let mut tile = [[0.0; NR]; MR];
                    kernel.tile(term, &v, &t, &mut tile);
                    for (i, row) in tile.iter().enumerate() {
                        for (j, &sum) in row.iter().enumerate() {
                            let image = (&images[i * dim..(i + 1) * dim], image_scales[i]);
                            let caption = (&captions[j * dim..(j + 1) * dim], caption_scales[j]);
                            assert_eq!(sum.to_bits(), pair(term, image, caption).to_bits(), "{kernel:?} {term:?}");
                            assert_eq!(sum.to_bits(), kernel.pair(term, image, caption).to_bits());
                        }
                    }
                }
            }
        }
    }
}
