//! What a stored row is made of.

use bytemuck::Pod;
use half::f16;

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for half::f16 {}
}

/// A stored number that the kernels can read: `f32` or [`f16`](struct@f16). The arithmetic is `f32` for both.
pub trait Element: Pod + Send + Sync + sealed::Sealed {
    /// True for 16-bit rows; lets one kernel body load both kinds.
    #[doc(hidden)]
    const HALF: bool;

    /// The value, exactly.
    fn to_f32(self) -> f32;
}

impl Element for f32 {
    const HALF: bool = false;

    fn to_f32(self) -> f32 {
        self
    }
}

impl Element for f16 {
    const HALF: bool = true;

    fn to_f32(self) -> f32 {
        // The const form: the other one checks the processor's features at every value.
        self.to_f32_const()
    }
}
