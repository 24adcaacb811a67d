//! Random rows near centres, as embeddings are; for tests and benchmarks of several crates.

/// A seeded sequence of numbers.
pub struct Random(pub u64);

impl Random {
    /// Near enough to a bell.
    fn next(&mut self) -> f32 {
        let mut uniform = || {
            self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (self.0 >> 40) as f32 / (1u64 << 24) as f32
        };
        uniform() + uniform() + uniform() - 1.5
    }

    /// Two levels of `level` values and length 1, near centre number `centre`; `spread` is 0 at the centre itself.
    pub fn near(&mut self, centre: u64, spread: f32, level: usize) -> Vec<f32> {
        let mut centre = Self(centre + 1);
        let mut row: Vec<f32> = (0..2 * level).map(|_| centre.next() + spread * self.next()).collect();
        for level in row.chunks_exact_mut(level) {
            let length = level.iter().map(|v| v * v).sum::<f32>().sqrt();
            level.iter_mut().for_each(|v| *v /= length);
        }
        row
    }
}
