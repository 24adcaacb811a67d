//! [`Preprocess`]: from a decoded image to the network's input. It belongs to a set of weights.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;
use serde::{Deserialize, Serialize};

/// How an image becomes a square.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResizeRule {
    /// Both sides to `side_px`, aspect ratio given up.
    Stretch,
    /// Shorter side to `shorter_px`, then the central square of `side_px`.
    ShorterThenCentre {
        /// Length of the shorter side before the crop.
        shorter_px: u32,
    },
}

/// Interpolation kernels. All but the nearest pixel are antialiased when shrinking (as Pillow's are).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResizeFilter {
    /// Triangle.
    Bilinear,
    /// Catmull-Rom, a = −0.5.
    Bicubic,
    /// A sinc windowed to three pixels on each side.
    Lanczos,
    /// The nearest pixel.
    Nearest,
}

/// Everything between a decoded RGB image and the network's input. It belongs to the weights and travels with them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    /// Side of the square input.
    pub side_px: u32,
    /// How the square is made.
    pub resize: ResizeRule,
    /// Interpolation.
    pub filter: ResizeFilter,
    /// Subtracted from RGB values in 0..=255.
    pub mean: [f32; 3],
    /// Divides what is left.
    pub std: [f32; 3],
}

/// A part of an image, perhaps mirrored: the input of a training step or of a ten-crop average.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// `x0, y0, x1, y1` as shares of width and height, `0 ≤ x0 < x1 ≤ 1`. The part is cut out first and then treated
    /// by the resize rule as though it were the whole image; only the filter sees a little beyond its edges, as
    /// Pillow's `box` does.
    pub crop: [f32; 4],
    /// Left and right exchanged.
    pub flip: bool,
}

impl View {
    /// The whole image as it is.
    pub const FULL: Self = Self { crop: [0.0, 0.0, 1.0, 1.0], flip: false };
}

impl Default for View {
    fn default() -> Self {
        Self::FULL
    }
}

impl Preprocess {
    /// torchvision's evaluation transform of its ImageNet weights (VGG, ResNet v1): shorter side to 256, central 224,
    /// bilinear; mean 0.485/0.456/0.406 and s.d. 0.229/0.224/0.225 of values in 0..=1.
    pub fn imagenet_224() -> Self {
        Self {
            side_px: 224,
            resize: ResizeRule::ShorterThenCentre { shorter_px: 256 },
            filter: ResizeFilter::Bilinear,
            mean: [0.485 * 255.0, 0.456 * 255.0, 0.406 * 255.0],
            std: [0.229 * 255.0, 0.224 * 255.0, 0.225 * 255.0],
        }
    }

    /// EfficientNet-Lite: `(x − 127) / 128`, bicubic, the central square of `side_px` after the shorter side became
    /// `side_px + 32` (the published crop padding). Lite0 takes 224, Lite2 260.
    pub fn efficientnet_lite(side_px: u32) -> Self {
        Self {
            side_px,
            resize: ResizeRule::ShorterThenCentre { shorter_px: side_px + 32 },
            filter: ResizeFilter::Bicubic,
            mean: [127.0; 3],
            std: [128.0; 3],
        }
    }

    /// The same with another resize rule, such as [`ResizeRule::Stretch`] for photos that are stretched squares already.
    pub fn with_resize(mut self, resize: ResizeRule) -> Self {
        self.resize = resize;
        self
    }

    /// The same, `side_px` wide and high; a central crop keeps its share of the image.
    pub fn with_side(&self, side_px: u32) -> Self {
        let mut resize = self.resize;
        if let ResizeRule::ShorterThenCentre { shorter_px } = &mut resize {
            *shorter_px = *shorter_px * side_px / self.side_px;
        }
        Self { side_px, resize, ..self.clone() }
    }

    /// How the generator's side of the model sees images: by the same rule, `side_px` wide and high, with values in [−1, 1].
    pub fn small(&self, side_px: usize) -> Self {
        Self { filter: ResizeFilter::Bicubic, mean: [127.5; 3], std: [127.5; 3], ..self.with_side(side_px as u32) }
    }

    /// `[3, S, S]` in row-major order: red, green, blue planes, normalised.
    ///
    /// A crop outside `0..=1`, upside down or empty is brought back to the nearest box of at least one pixel.
    pub fn apply(&self, image: &RgbImage, view: View) -> Vec<f32> {
        let square = self.square(image, view);
        let side = self.side_px as usize;
        let mut planes = vec![0.0; 3 * side * side]; // [3, S, S]
        for channel in 0..3 {
            let (mean, scale) = (self.mean[channel], 1.0 / self.std[channel]);
            let plane = &mut planes[channel * side * side..][..side * side];
            for (row, to) in plane.chunks_exact_mut(side).enumerate() {
                let from = square[row * side * 3..][..side * 3].iter().skip(channel).step_by(3);
                let normal = from.map(|&value| (f32::from(value) - mean) * scale);
                if view.flip {
                    to.iter_mut().rev().zip(normal).for_each(|(to, value)| *to = value);
                } else {
                    to.iter_mut().zip(normal).for_each(|(to, value)| *to = value);
                }
            }
        }
        planes
    }

    /// The resized square before normalisation and mirroring, RGB interleaved, `3 S²` bytes.
    fn square(&self, image: &RgbImage, view: View) -> Vec<u8> {
        let mut region = Region::of(image, view.crop);
        let side = self.side_px;
        let shorter = match self.resize {
            ResizeRule::Stretch => return self.resized(image, region, side, side),
            ResizeRule::ShorterThenCentre { shorter_px } => shorter_px.max(side),
        };
        // A ribbon would become an image of gigabytes of which one square is kept: cut it to 4:1 first.
        region.cut_to_aspect(4.0);
        let (width, height) = (region.width.round().max(1.0) as u64, region.height.round().max(1.0) as u64);
        let long = |long: u64, short: u64| ((u64::from(shorter) * long) / short) as u32; // torchvision truncates
        let (to_width, to_height) =
            if width <= height { (shorter, long(height, width)) } else { (long(width, height), shorter) };
        let resized = self.resized(image, region, to_width, to_height);
        // torchvision's centre: round half to even.
        let left = (f64::from(to_width - side) / 2.0).round_ties_even() as usize;
        let top = (f64::from(to_height - side) / 2.0).round_ties_even() as usize;
        let (side, stride) = (side as usize, to_width as usize);
        (top..top + side).flat_map(|y| resized[(y * stride + left) * 3..][..side * 3].iter().copied()).collect()
    }

    fn resized(&self, image: &RgbImage, region: Region, width: u32, height: u32) -> Vec<u8> {
        let part = [region.left, region.top, region.width, region.height];
        resize(image, part, [width, height], self.filter)
    }
}

/// The part `left, top, width, height` of an image (in pixels, brought back inside it) at another width and height: RGB
/// interleaved, as Pillow's `resize` with `box` makes it, up to one level.
///
/// No part may be empty, no image may have a side of 0.
pub fn resize(image: &RgbImage, part: [f64; 4], [width, height]: [u32; 2], filter: ResizeFilter) -> Vec<u8> {
    // Typed images: the untyped call would compile every pixel type of the crate, a third of this library's build.
    let from = TypedImageRef::<U8x3>::from_buffer(image.width(), image.height(), image.as_raw())
        .expect("an RgbImage holds three bytes a pixel");
    let mut to = TypedImage::<U8x3>::new(width, height);
    let algorithm = match filter {
        ResizeFilter::Nearest => ResizeAlg::Nearest,
        ResizeFilter::Bilinear => ResizeAlg::Convolution(FilterType::Bilinear),
        ResizeFilter::Bicubic => ResizeAlg::Convolution(FilterType::CatmullRom),
        ResizeFilter::Lanczos => ResizeAlg::Convolution(FilterType::Lanczos3),
    };
    let [left, top] = [part[0].max(0.0), part[1].max(0.0)];
    let (wide, high) = (f64::from(image.width()) - left, f64::from(image.height()) - top);
    let options = ResizeOptions::new().resize_alg(algorithm).crop(left, top, part[2].min(wide), part[3].min(high));
    Resizer::new().resize_typed(&from, &mut to, &options).expect("the part lies inside the image");
    to.pixels().iter().flat_map(|pixel| pixel.0).collect()
}

/// A box in pixels, inside its image.
#[derive(Debug, Clone, Copy)]
struct Region {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

impl Region {
    fn of(image: &RgbImage, crop: [f32; 4]) -> Self {
        let span = |low: f32, high: f32, pixels: u32| {
            let pixels = f64::from(pixels);
            let clean = |share: f32, otherwise: f64| if share.is_nan() { otherwise } else { f64::from(share) };
            let low = (clean(low, 0.0).clamp(0.0, 1.0) * pixels).min(pixels - 1.0);
            let high = (clean(high, 1.0).clamp(0.0, 1.0) * pixels).max(low + 1.0).min(pixels);
            (low, high - low)
        };
        let (left, width) = span(crop[0], crop[2], image.width());
        let (top, height) = span(crop[1], crop[3], image.height());
        Self { left, top, width, height }
    }

    fn cut_to_aspect(&mut self, most: f64) {
        let width = self.width.min(self.height * most);
        let height = self.height.min(self.width * most);
        self.left += (self.width - width) / 2.0;
        self.top += (self.height - height) / 2.0;
        (self.width, self.height) = (width, height);
    }
}

#[cfg(test)]
#[path = "preprocess_tests.rs"]
mod tests;
