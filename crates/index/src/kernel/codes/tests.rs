use super::*;
use proptest::prelude::*;

const MEASURES: [Measure; 3] = [Measure::Dot, Measure::RowAboveQuery, Measure::QueryAboveRow];

/// a = (1, 2, −1), b = (−128, 3, 127): dot −128 + 6 − 127; a above b 129²; b above a 1 + 128².
#[test]
fn worked_numbers() {
    for kernel in CodeKernel::available() {
        for (measure, expected) in MEASURES.into_iter().zip([-249, 16641, 16385]) {
            let mut out = [0];
            kernel.block(measure, &[1, 2, -1], 3, 0..3, &[-128, 3, 127], &mut out);
            assert_eq!(out, [expected], "{} {measure:?}", kernel.name());
        }
    }
}

/// The widest rows of the largest codes.
#[test]
fn nothing_overflows() {
    let (low, high) = (vec![i8::MIN; MOST_COLUMNS], vec![i8::MAX; MOST_COLUMNS]);
    for kernel in CodeKernel::available() {
        for (measure, row, query, expected) in [
            (Measure::Dot, &low, &low, 1 << 29),
            (Measure::Dot, &high, &high, (127 * 127) << 15),
            (Measure::Dot, &high, &low, -(127 << 22)),
            (Measure::RowAboveQuery, &high, &low, (255 * 255) << 15),
            (Measure::QueryAboveRow, &low, &high, (255 * 255) << 15),
            (Measure::QueryAboveRow, &high, &low, 0),
        ] {
            let mut out = [0];
            kernel.block(measure, row, MOST_COLUMNS, 0..MOST_COLUMNS, query, &mut out);
            assert_eq!(out, [expected], "{} {measure:?}", kernel.name());
        }
    }
}

proptest! {
    #[test]
    fn kernels_equal_the_plain_loops(
        (rows, before, after, len, queries) in (1usize..11, 0usize..9, 0usize..9, 1usize..300, 1usize..11),
        noise in prop::collection::vec(any::<i8>(), 400),
        turn in 0usize..400,
    ) {
        let stride = before + len + after;
        let take = |from: usize, count: usize| -> Vec<i8> { (0..count).map(|at| noise[(from + at * 7 + at / 57) % 400]).collect() };
        let (stored, query) = (take(0, rows * stride), take(turn, queries * len));
        for measure in MEASURES {
            let expected: Vec<i32> = query.chunks(len).flat_map(|query| {
                stored.chunks(stride).map(|row| scalar::pair(&row[before..before + len], query, measure)).collect::<Vec<_>>()
            }).collect();
            for kernel in CodeKernel::available() {
                let mut out = vec![i32::MIN; rows * queries];
                kernel.block(measure, &stored, stride, before..before + len, &query, &mut out);
                prop_assert_eq!(&out, &expected, "{} {:?}", kernel.name(), measure);
            }
        }
    }
}
