//! [`Augmentation`]: how an image is changed for one training step.

use image::RgbImage;

use crate::seed::{mix, unit};
use gxn_data::{Preprocess, View};

/// Least share of an image's area that a crop keeps.
const LEAST_AREA: f64 = 0.5;
/// Largest ratio of a crop's shares of width and height, and of height and width.
const LARGEST_ASPECT: f64 = 4.0 / 3.0;
/// Brightness, contrast and saturation change by at most this share.
const COLOUR_CHANGE: f64 = 0.2;
/// Weights of red, green and blue in a pixel's grey value (ITU-R BT.601).
const GREY: [f32; 3] = [0.299, 0.587, 0.114];

/// A crop, perhaps mirrored, and a light change of colours; a pure function of a seed, so that a resumed run repeats it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Augmentation {
    view: View,
    /// Factors of brightness, contrast and saturation.
    colours: [f32; 3],
}

impl Augmentation {
    /// The one that belongs to `seed`.
    pub fn drawn(seed: u64) -> Self {
        let draw = |part: u64, [low, high]: [f64; 2]| low + (high - low) * unit(mix(seed, part));
        let area = draw(0, [LEAST_AREA, 1.0]);
        let aspect = draw(1, [-LARGEST_ASPECT.ln(), LARGEST_ASPECT.ln()]).exp();
        let [width, height] = [area * aspect, area / aspect].map(|square| square.sqrt().min(1.0));
        let [left, top] = [draw(2, [0.0, 1.0 - width]), draw(3, [0.0, 1.0 - height])];
        let view =
            View { crop: [left, top, left + width, top + height].map(|share| share as f32), flip: seed & 1 == 1 };
        Self { view, colours: [4, 5, 6].map(|part| draw(part, [1.0 - COLOUR_CHANGE, 1.0 + COLOUR_CHANGE]) as f32) }
    }

    /// The CNN's input.
    ///
    /// # Shapes
    /// `[3, S, S]`, row-major
    pub fn apply(&self, image: &RgbImage, preprocess: &Preprocess) -> Vec<f32> {
        let mut planes = preprocess.apply(image, self.view);
        self.recolour(&mut planes, preprocess);
        planes
    }

    fn recolour(&self, planes: &mut [f32], preprocess: &Preprocess) {
        let [brightness, contrast, saturation] = self.colours;
        let count = planes.len() / 3;
        let (red, rest) = planes.split_at_mut(count);
        let (green, blue) = rest.split_at_mut(count);
        let Preprocess { mean, std, .. } = preprocess;
        let value = |normal: f32, channel: usize| normal * std[channel] + mean[channel];
        let grey = |pixel: [f32; 3]| pixel.iter().zip(GREY).map(|(value, weight)| value * weight).sum::<f32>();
        let pixel = |r: f32, g: f32, b: f32| [value(r, 0), value(g, 1), value(b, 2)];
        let channels = red.iter().zip(&*green).zip(&*blue);
        let middle = channels.map(|((&r, &g), &b)| grey(pixel(r, g, b))).sum::<f32>() / count.max(1) as f32;
        for ((r, g), b) in red.iter_mut().zip(green).zip(blue) {
            let old = pixel(*r, *g, *b);
            let grey = grey(old);
            for ((to, old), channel) in [r, g, b].into_iter().zip(old).zip(0..) {
                let saturated = grey + saturation * (old - grey);
                let new = brightness * (middle + contrast * (saturated - middle));
                *to = (new.clamp(0.0, 255.0) - mean[channel]) / std[channel];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gxn_data::ResizeRule;

    fn preprocess() -> Preprocess {
        Preprocess::efficientnet_lite(4).with_resize(ResizeRule::Stretch)
    }

    #[test]
    fn crops_stay_inside_and_half_are_mirrored() {
        let drawn: Vec<Augmentation> = (0..2000).map(|seed| Augmentation::drawn(mix(seed, 1))).collect();
        assert_eq!(drawn[7], Augmentation::drawn(mix(7, 1)));
        for Augmentation { view: View { crop: [left, top, right, bottom], .. }, colours } in &drawn {
            assert!(0.0 <= *left && left < right && *right <= 1.0 + 1e-6, "{left} to {right}");
            assert!(0.0 <= *top && top < bottom && *bottom <= 1.0 + 1e-6, "{top} to {bottom}");
            assert!((right - left) * (bottom - top) > 0.45, "at least half of the area, less what a side cuts off");
            assert!(colours.iter().all(|factor| (0.8..=1.2).contains(factor)), "{colours:?}");
        }
        let mirrored = drawn.iter().filter(|one| one.view.flip).count();
        assert!((900..1100).contains(&mirrored), "{mirrored} of 2000");
    }

    /// Twice the saturation of (100, 150, 200), whose grey is 0.299 · 100 + 0.587 · 150 + 0.114 · 200 = 140.75; contrast acts
    /// around that grey, the only one; then brightness.
    #[test]
    fn colours_by_worked_numbers() {
        let image = RgbImage::from_pixel(8, 8, image::Rgb([100, 150, 200]));
        let first = |colours| {
            let planes = Augmentation { view: View::FULL, colours }.apply(&image, &preprocess());
            [0, 16, 32].map(|at| planes[at] * 128.0 + 127.0)
        };
        for (colours, expected) in [
            ([1.0, 1.0, 1.0], [100.0, 150.0, 200.0]),
            ([1.1, 1.0, 1.0], [110.0, 165.0, 220.0]),
            ([1.0, 1.0, 2.0], [59.25, 159.25, 255.0]),
            ([1.0, 0.5, 1.0], [120.375, 145.375, 170.375]),
        ] {
            let found = first(colours);
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 0.01), "{colours:?}: {found:?}");
        }
    }
}
