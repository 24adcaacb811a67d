//! Scores of a tile of images against a tile of captions, with the same bits on every processor.
//!
//! Each pair has its own accumulator and adds its terms in the order of the dimensions with fused multiply-add, so a score
//! depends on nothing but its two rows: not on the tile, the chunk, the thread or the width of the vector unit. Ties stay
//! ties and the plain loop [`pair`] gives the very same number, which is what makes the ranks exact.

/// Images in a tile.
pub(super) const MR: usize = 8;
/// Captions in a tile.
pub(super) const NR: usize = 32;

/// Accumulated terms of a tile, image by image.
pub(super) type Tile = [[f32; NR]; MR];

/// What is summed over the dimensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Term {
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kernel {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl Kernel {
    /// The fastest kernel of this processor.
    pub(super) fn detect() -> Self {
        Self::available()[0]
    }

    /// All kernels that run on this processor, fastest first.
    pub(super) fn available() -> Vec<Self> {
        let mut kernels = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("fma") {
                kernels.push(Self::Avx512);
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                kernels.push(Self::Avx2);
            }
        }
        kernels.push(Self::Portable);
        kernels
    }

    /// Sums the terms of `MR` images (packed `[D, MR]`) against `NR` captions (packed `[D, NR]`) into `out`.
    pub(super) fn tile(self, term: Term, images: &[f32], captions: &[f32], out: &mut Tile) {
        match term {
            Term::Product => self.tile_of::<PRODUCT>(images, captions, out),
            Term::ImageMinusCaption => self.tile_of::<IMAGE_MINUS_CAPTION>(images, captions, out),
            Term::CaptionMinusImage => self.tile_of::<CAPTION_MINUS_IMAGE>(images, captions, out),
        }
    }

    fn tile_of<const TERM: u8>(self, images: &[f32], captions: &[f32], out: &mut Tile) {
        match self {
            // SAFETY: these values exist only where `available` has found the instructions.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { x86::tile_avx512::<TERM>(images, captions, out) },
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { x86::tile_avx2::<TERM>(images, captions, out) },
            Self::Portable => tile_portable::<TERM>(images, captions, out),
        }
    }

    /// The sum of one pair of rows, each element times its row's scale: what [`Kernel::tile`] gives for the pair.
    pub(super) fn pair(self, term: Term, image: (&[f32], f32), caption: (&[f32], f32)) -> f32 {
        match self {
            // SAFETY: both kernels were found together with `fma`.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 | Self::Avx2 => unsafe { x86::pair_fma(term, image, caption) },
            Self::Portable => pair(term, image, caption),
        }
    }
}

/// One term added to `sum`.
#[inline(always)]
fn add<const TERM: u8>(v: f32, t: f32, sum: f32) -> f32 {
    let violation = match TERM {
        PRODUCT => return v.mul_add(t, sum),
        IMAGE_MINUS_CAPTION => v - t,
        _ => t - v,
    };
    let violation = if violation > 0.0 { violation } else { 0.0 };
    violation.mul_add(violation, sum)
}

/// The sum of one pair, dimension by dimension.
#[inline(always)]
fn pair(term: Term, image: (&[f32], f32), caption: (&[f32], f32)) -> f32 {
    let rows = image.0.iter().zip(caption.0).map(|(&v, &t)| (v * image.1, t * caption.1));
    match term {
        Term::Product => rows.fold(0.0, |sum, (v, t)| add::<PRODUCT>(v, t, sum)),
        Term::ImageMinusCaption => rows.fold(0.0, |sum, (v, t)| add::<IMAGE_MINUS_CAPTION>(v, t, sum)),
        Term::CaptionMinusImage => rows.fold(0.0, |sum, (v, t)| add::<CAPTION_MINUS_IMAGE>(v, t, sum)),
    }
}

fn tile_portable<const TERM: u8>(images: &[f32], captions: &[f32], out: &mut Tile) {
    for (row, sums) in out.iter_mut().enumerate() {
        *sums = [0.0; NR];
        for (image, caption) in images.chunks_exact(MR).zip(captions.chunks_exact(NR)) {
            for (sum, &t) in sums.iter_mut().zip(caption) {
                *sum = add::<TERM>(image[row], t, *sum);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{IMAGE_MINUS_CAPTION, MR, NR, PRODUCT, Term, Tile};
    use std::arch::x86_64::*;

    #[target_feature(enable = "fma")]
    pub(super) fn pair_fma(term: Term, image: (&[f32], f32), caption: (&[f32], f32)) -> f32 {
        super::pair(term, image, caption)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn add_avx512<const TERM: u8>(v: __m512, t: __m512, sum: __m512) -> __m512 {
        let violation = match TERM {
            PRODUCT => return _mm512_fmadd_ps(v, t, sum),
            IMAGE_MINUS_CAPTION => _mm512_sub_ps(v, t),
            _ => _mm512_sub_ps(t, v),
        };
        let violation = _mm512_max_ps(violation, _mm512_setzero_ps());
        _mm512_fmadd_ps(violation, violation, sum)
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn tile_avx512<const TERM: u8>(images: &[f32], captions: &[f32], out: &mut Tile) {
        let mut sums = [[_mm512_setzero_ps(); 2]; MR];
        for (image, caption) in images.chunks_exact(MR).zip(captions.chunks_exact(NR)) {
            // SAFETY: a chunk of captions has NR = 2 × 16 values.
            let (left, right) =
                unsafe { (_mm512_loadu_ps(caption.as_ptr()), _mm512_loadu_ps(caption.as_ptr().add(16))) };
            for (sum, &v) in sums.iter_mut().zip(image) {
                let v = _mm512_set1_ps(v);
                sum[0] = add_avx512::<TERM>(v, left, sum[0]);
                sum[1] = add_avx512::<TERM>(v, right, sum[1]);
            }
        }
        for (row, sum) in out.iter_mut().zip(sums) {
            // SAFETY: a row of the tile has NR = 2 × 16 values.
            unsafe {
                _mm512_storeu_ps(row.as_mut_ptr(), sum[0]);
                _mm512_storeu_ps(row.as_mut_ptr().add(16), sum[1]);
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn add_avx2<const TERM: u8>(v: __m256, t: __m256, sum: __m256) -> __m256 {
        let violation = match TERM {
            PRODUCT => return _mm256_fmadd_ps(v, t, sum),
            IMAGE_MINUS_CAPTION => _mm256_sub_ps(v, t),
            _ => _mm256_sub_ps(t, v),
        };
        let violation = _mm256_max_ps(violation, _mm256_setzero_ps());
        _mm256_fmadd_ps(violation, violation, sum)
    }

    /// Four images by sixteen captions at a time: eight sums, which is what sixteen registers hold with the operands.
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn tile_avx2<const TERM: u8>(images: &[f32], captions: &[f32], out: &mut Tile) {
        for first_row in (0..MR).step_by(4) {
            for first_column in (0..NR).step_by(16) {
                let mut sums = [[_mm256_setzero_ps(); 2]; 4];
                for (image, caption) in images.chunks_exact(MR).zip(captions.chunks_exact(NR)) {
                    let caption = &caption[first_column..first_column + 16];
                    // SAFETY: the slice has 2 × 8 values.
                    let (left, right) =
                        unsafe { (_mm256_loadu_ps(caption.as_ptr()), _mm256_loadu_ps(caption.as_ptr().add(8))) };
                    for (sum, &v) in sums.iter_mut().zip(&image[first_row..first_row + 4]) {
                        let v = _mm256_set1_ps(v);
                        sum[0] = add_avx2::<TERM>(v, left, sum[0]);
                        sum[1] = add_avx2::<TERM>(v, right, sum[1]);
                    }
                }
                for (row, sum) in out[first_row..first_row + 4].iter_mut().zip(sums) {
                    let row = &mut row[first_column..first_column + 16];
                    // SAFETY: the slice has 2 × 8 values.
                    unsafe {
                        _mm256_storeu_ps(row.as_mut_ptr(), sum[0]);
                        _mm256_storeu_ps(row.as_mut_ptr().add(8), sum[1]);
                    }
                }
            }
        }
    }
}

/// Lays rows `[R, D]` out as panels of `W` rows, each `[D, W]` and scaled; the last panel is filled up with zeros.
pub(super) fn pack<const W: usize>(rows: &[f32], dim: usize, scales: &[f32], packed: &mut [f32]) {
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
