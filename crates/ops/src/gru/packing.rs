//! Sequences of different lengths as shrinking steps: padding costs nothing.

use super::Direction;

/// The order in which a batch of padded sequences is worked through.
///
/// Sequences are sorted by falling length, so that the sequences that still run in a step are the first ones.
/// *Packed rows* are the valid tokens, step by step; step `s` has one row for each sequence longer than `s`.
#[derive(Debug)]
pub(super) struct Packing {
    /// Padded length T.
    pub time: usize,
    direction: Direction,
    /// Sorted place -> (place in the batch, length).
    sequences: Vec<(usize, usize)>,
    /// Step -> its first packed row; one entry more than there are steps.
    starts: Vec<usize>,
}

impl Packing {
    /// The packing of sequences of `lengths`, each 1..=`time`.
    pub fn new(lengths: &[usize], time: usize, direction: Direction) -> Self {
        let mut sequences: Vec<_> = lengths.iter().copied().enumerate().collect();
        sequences.sort_by_key(|&(place, length)| (std::cmp::Reverse(length), place));
        let mut starts = vec![0];
        for step in 0..sequences.first().map_or(0, |&(_, length)| length) {
            starts.push(starts[step] + sequences.partition_point(|&(_, length)| length > step));
        }
        Self { time, direction, sequences, starts }
    }

    /// Number of sequences B.
    pub fn batch(&self) -> usize {
        self.sequences.len()
    }

    /// Number of steps: the length of the longest sequence.
    pub fn steps(&self) -> usize {
        self.starts.len() - 1
    }

    /// Number of packed rows: the sum of all lengths.
    pub fn rows(&self) -> usize {
        self.starts[self.steps()]
    }

    /// The packed rows of `step`.
    pub fn step(&self, step: usize) -> std::ops::Range<usize> {
        self.starts[step]..self.starts[step + 1]
    }

    /// Sorted place -> place in the batch.
    pub fn places(&self) -> impl Iterator<Item = usize> + '_ {
        self.sequences.iter().map(|&(place, _)| place)
    }

    /// For each packed row, its row in the padded `[B * T, ...]` matrix.
    pub fn padded_rows(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.steps()).flat_map(move |step| {
            self.sequences[..self.step(step).len()].iter().map(move |&(place, length)| {
                let token = match self.direction {
                    Direction::Forward => step,
                    Direction::Reverse => length - 1 - step,
                };
                place * self.time + token
            })
        })
    }

    /// The valid rows of `padded` `[B * T, width]`, copied in packed order.
    pub fn pack(&self, padded: &[f32], width: usize) -> Vec<f32> {
        let mut packed = Vec::with_capacity(self.rows() * width);
        for row in self.padded_rows() {
            packed.extend_from_slice(&padded[row * width..][..width]);
        }
        packed
    }

    /// The inverse of [`pack`](Self::pack); padded rows are zero.
    pub fn unpack(&self, packed: &[f32], width: usize) -> Vec<f32> {
        let mut padded = vec![0.0; self.batch() * self.time * width];
        for (row, values) in self.padded_rows().zip(packed.chunks_exact(width)) {
            padded[row * width..][..width].copy_from_slice(values);
        }
        padded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lengths 2, 3, 1: sorted places are sequences 1, 0, 2, and the steps have 3, 2, 1 rows.
    #[test]
    fn rows_of_three_sequences() {
        let packing = Packing::new(&[2, 3, 1], 4, Direction::Forward);
        assert_eq!((packing.batch(), packing.steps(), packing.rows()), (3, 3, 6));
        assert_eq!(packing.places().collect::<Vec<_>>(), [1, 0, 2]);
        assert_eq!((packing.step(0), packing.step(1), packing.step(2)), (0..3, 3..5, 5..6));
        assert_eq!(packing.padded_rows().collect::<Vec<_>>(), [4, 0, 8, 5, 1, 6]);
        let reverse = Packing::new(&[2, 3, 1], 4, Direction::Reverse);
        assert_eq!(reverse.padded_rows().collect::<Vec<_>>(), [6, 1, 8, 5, 0, 4]);
    }

    #[test]
    fn unpack_inverts_pack_and_zeroes_padding() {
        let packing = Packing::new(&[1, 2], 2, Direction::Reverse);
        let padded: Vec<f32> = (1..=8).map(|k| k as f32).collect();
        let packed = packing.pack(&padded, 2);
        assert_eq!(packed, [7.0, 8.0, 1.0, 2.0, 5.0, 6.0]);
        assert_eq!(packing.unpack(&packed, 2), [1.0, 2.0, 0.0, 0.0, 5.0, 6.0, 7.0, 8.0]);
    }
}
