//! Sixteen floats at a time: AVX-512, AVX2 or plain arrays behind one trait, chosen at run time.
//!
//! Tiles of convolutions keep 18 sums in registers. Written with the vectors of crate pulp 0.22 they take a fifth longer, since
//! its slices check their bounds at every step.

/// Sixteen `f32` values in registers.
///
/// # Safety
/// Every method may only be called where the instructions of the implementing type are available;
/// `load` and `store` touch sixteen floats at the pointer.
#[expect(clippy::missing_safety_doc, reason = "the trait's contract holds for every method")]
pub trait Lanes: Copy {
    /// Sixteen times `value`.
    unsafe fn splat(value: f32) -> Self;
    /// The sixteen floats at `from`, which need not be aligned.
    unsafe fn load(from: *const f32) -> Self;
    /// Writes the sixteen floats to `to`, which need not be aligned.
    unsafe fn store(self, to: *mut f32);
    /// `self · factor + term`.
    unsafe fn mul_add(self, factor: Self, term: Self) -> Self;
    /// `self + other`.
    unsafe fn add(self, other: Self) -> Self;
    /// The larger of each pair.
    unsafe fn max(self, other: Self) -> Self;
    /// The smaller of each pair.
    unsafe fn min(self, other: Self) -> Self;
    /// Itself where `low < place < high`, elsewhere zero.
    ///
    /// # Safety
    /// See the trait.
    unsafe fn only_inside(self, place: Self, low: Self, high: Self) -> Self;
}

/// Instruction sets with kernels of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instructions {
    /// AVX-512 F.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// AVX2 with FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// Whatever the target's baseline has.
    Portable,
}

impl Instructions {
    /// The fastest that this processor can run.
    pub fn best() -> Self {
        Self::available()[0]
    }

    /// Those that this processor can run, fastest first.
    pub fn available() -> Vec<Self> {
        let mut found = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                found.push(Self::Avx512);
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                found.push(Self::Avx2);
            }
        }
        found.push(Self::Portable);
        found
    }
}

/// The sizes of `ceil(count / most)` nearly equal pieces, with their starts.
#[inline(always)]
pub fn pieces(count: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let pieces = count.div_ceil(most);
    let (size, longer) = (count / pieces.max(1), count % pieces.max(1));
    (0..pieces).map(move |piece| {
        let start = piece * size + piece.min(longer);
        (start, size + usize::from(piece < longer))
    })
}

#[cfg(target_arch = "x86_64")]
pub use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::Lanes;

    /// One AVX-512 register.
    #[derive(Clone, Copy)]
    pub struct Avx512(__m512);

    impl Lanes for Avx512 {
        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            // SAFETY: the caller's, by the trait's contract.
            unsafe { Self(_mm512_set1_ps(value)) }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: the caller's, by the trait's contract.
            unsafe { Self(_mm512_loadu_ps(from)) }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: the caller's, by the trait's contract.
            unsafe { _mm512_storeu_ps(to, self.0) }
        }
        #[inline(always)]
        unsafe fn mul_add(self, factor: Self, term: Self) -> Self {
            // SAFETY: the caller's, by the trait's contract.
            unsafe { Self(_mm512_fmadd_ps(self.0, factor.0, term.0)) }
        }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            // SAFETY: the caller's, by the trait's contract.
            unsafe { Self(_mm512_add_ps(self.0, other.0)) }
        }
        #[inline(always)]
        unsafe fn max(self, other: Self) -> Self {
            // SAFETY: the caller's, by the trait's contract.
            unsafe { Self(_mm512_max_ps(self.0, other.0)) }
        }
        #[inline(always)]
        unsafe fn min(self, other: Self) -> Self {
            // SAFETY: the caller's, by the trait's contract.
            unsafe { Self(_mm512_min_ps(self.0, other.0)) }
        }
        #[inline(always)]
        unsafe fn only_inside(self, place: Self, low: Self, high: Self) -> Self {
            // SAFETY: the caller's, by the trait's contract.
            unsafe {
                let above = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(place.0, low.0);
                let inside = _mm512_mask_cmp_ps_mask::<_CMP_LT_OQ>(above, place.0, high.0);
                Self(_mm512_maskz_mov_ps(inside, self.0))
            }
        }
    }

    /// Two AVX registers.
    #[derive(Clone, Copy)]
    pub struct Avx2(__m256, __m256);

    impl Lanes for Avx2 {
        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            // SAFETY: the caller's, by the trait's contract.
            unsafe { Self(_mm256_set1_ps(value), _mm256_set1_ps(value)) }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: the caller's, by the trait's contract.
            unsafe { Self(_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))) }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: the caller's, by the trait's contract.
            unsafe {
                _mm256_storeu_ps(to, self.0);
                _mm256_storeu_ps(to.add(8), self.1);
            }
        }
        #[inline(always)]
        unsafe fn mul_add(self, factor: Self, term: Self) -> Self {
            // SAFETY: the caller's, by the trait's contract.
            unsafe { Self(_mm256_fmadd_ps(self.0, factor.0, term.0), _mm256_fmadd_ps(self.1, factor.1, term.1)) }
        }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            // SAFETY: the caller's, by the trait's contract.
            unsafe { Self(_mm256_add_ps(self.0, other.0), _mm256_add_ps(self.1, other.1)) }
        }
        #[inline(always)]
        unsafe fn max(self, other: Self) -> Self {
            // SAFETY: the caller's, by the trait's contract.
            unsafe { Self(_mm256_max_ps(self.0, other.0), _mm256_max_ps(self.1, other.1)) }
        }
        #[inline(always)]
        unsafe fn min(self, other: Self) -> Self {
            // SAFETY: the caller's, by the trait's contract.
            unsafe { Self(_mm256_min_ps(self.0, other.0), _mm256_min_ps(self.1, other.1)) }
        }
        #[inline(always)]
        unsafe fn only_inside(self, place: Self, low: Self, high: Self) -> Self {
            let half = |value, place, low, high| {
                // SAFETY: the caller's, by the trait's contract.
                unsafe {
                    let above = _mm256_cmp_ps::<_CMP_GT_OQ>(place, low);
                    let below = _mm256_cmp_ps::<_CMP_LT_OQ>(place, high);
                    _mm256_and_ps(value, _mm256_and_ps(above, below))
                }
            };
            Self(half(self.0, place.0, low.0, high.0), half(self.1, place.1, low.1, high.1))
        }
    }
}

/// Plain arrays; the compiler makes of them what the target's baseline allows.
#[derive(Clone, Copy)]
pub struct Portable([f32; 16]);

impl Portable {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|lane| f(self.0[lane], other.0[lane])))
    }
}

impl Lanes for Portable {
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; 16])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's, by the trait's contract.
        unsafe { Self(from.cast::<[f32; 16]>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's, by the trait's contract.
        unsafe { to.cast::<[f32; 16]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, term: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane] * factor.0[lane] + term.0[lane]))
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        self.zip(other, f32::max)
    }
    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        self.zip(other, f32::min)
    }
    #[inline(always)]
    unsafe fn only_inside(self, place: Self, low: Self, high: Self) -> Self {
        Self(std::array::from_fn(|lane| {
            let inside = low.0[lane] < place.0[lane] && place.0[lane] < high.0[lane];
            if inside { self.0[lane] } else { 0.0 }
        }))
    }
}
