//! Where the elements of a convolution's two maps meet.

/// A square convolution between a large map `[B, C, H, W]` and a small one `[B, O, h, w]`:
/// `small[o, i, j]` sees `large[c, i·stride + y − padding, j·stride + x − padding]` through `weight[o, c, y, x]`.
///
/// A convolution goes from the large map to the small one; its gradient, and a convolution of an upsampled map, go
/// from the small map to the large one through the same weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    pub batch: usize,
    /// C.
    pub channels: usize,
    /// H and W.
    pub large: [usize; 2],
    /// O.
    pub filters: usize,
    /// h and w.
    pub small: [usize; 2],
    pub kernel: usize,
    pub stride: usize,
    pub padding: usize,
}

/// Zeros around a map: before and after along each axis.
pub(super) type Margin = [[usize; 2]; 2];

/// Along one axis, the elements `phase`, `phase + stride`, … of the large map: each is a sum over the same taps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Phase {
    pub phase: usize,
    /// How many such elements there are.
    pub count: usize,
    /// How many taps reach them.
    pub taps: usize,
    /// Where the first of them finds its first tap in the small map; the others follow.
    pub first: isize,
    /// The kernel element of the first tap; each next tap's lies `stride` before.
    pub kernel_first: usize,
}

impl Geometry {
    /// Shape of the large map.
    pub fn large_shape(&self) -> [usize; 4] {
        [self.batch, self.channels, self.large[0], self.large[1]]
    }

    /// Shape of the small map.
    pub fn small_shape(&self) -> [usize; 4] {
        [self.batch, self.filters, self.small[0], self.small[1]]
    }

    /// The phases of one axis.
    pub fn phases(&self, axis: usize) -> impl Iterator<Item = Phase> {
        let Self { kernel, stride, padding, .. } = *self;
        let size = self.large[axis];
        (0..stride.min(size)).map(move |phase| {
            let last = (phase + padding) % stride; // the kernel element of the last tap
            let taps = kernel.saturating_sub(last).div_ceil(stride);
            let first = ((phase + padding - last) / stride) as isize - taps as isize + 1;
            let kernel_first = last + stride * taps.saturating_sub(1);
            Phase { phase, count: (size - phase).div_ceil(stride), taps, first, kernel_first }
        })
    }

    /// The zeros that the large map needs around it.
    pub fn large_margin(&self) -> Margin {
        [0, 1].map(|axis| {
            let end = (self.small[axis] - 1) * self.stride + self.kernel;
            [self.padding, end.saturating_sub(self.large[axis] + self.padding)]
        })
    }

    /// The zeros that the small map needs around it.
    pub fn small_margin(&self) -> Margin {
        [0, 1].map(|axis| {
            let size = self.small[axis] as isize;
            let needed = self.phases(axis).filter(|phase| phase.taps > 0).map(|phase| {
                let end = phase.first + (phase.count + phase.taps - 1) as isize;
                [(-phase.first).max(0) as usize, (end - size).max(0) as usize]
            });
            needed.fold([0, 0], |a, b| [a[0].max(b[0]), a[1].max(b[1])])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn geometry(size: usize, kernel: usize, stride: usize, padding: usize) -> Geometry {
        let small = [(size + 2 * padding - kernel) / stride + 1; 2];
        Geometry { batch: 1, channels: 1, large: [size; 2], filters: 1, small, kernel, stride, padding }
    }

    /// Every pair (element, kernel element) of the definition is met exactly once by the phases, inside the margins.
    #[test]
    fn phases_meet_every_pair_once() {
        for size in 1..9 {
            for (kernel, stride, padding) in
                [(1, 1, 0), (3, 1, 1), (4, 2, 1), (3, 2, 1), (4, 4, 0), (2, 3, 1), (5, 2, 2)]
            {
                if size + 2 * padding < kernel {
                    continue;
                }
                let g = geometry(size, kernel, stride, padding);
                let [[before, after], _] = g.small_margin();
                let mut found = Vec::new();
                for phase in g.phases(0) {
                    for (k, t) in (0..phase.count).flat_map(|k| (0..phase.taps).map(move |t| (k, t))) {
                        let small = phase.first + (k + t) as isize;
                        assert!(small >= -(before as isize) && small < (g.small[0] + after) as isize);
                        if small >= 0 && small < g.small[0] as isize {
                            found.push((phase.phase + k * stride, small as usize, phase.kernel_first - t * stride));
                        }
                    }
                }
                found.sort_unstable();
                let mut expected: Vec<_> = (0..g.small[0])
                    .flat_map(|i| (0..kernel).map(move |y| (i * stride + y, i, y)))
                    .filter(|(at, ..)| (padding..size + padding).contains(at))
                    .map(|(at, i, y)| (at - padding, i, y))
                    .collect();
                expected.sort_unstable();
                assert_eq!(found, expected, "{g:?}");
            }
        }
    }
}
