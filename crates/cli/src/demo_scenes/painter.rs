//! Draws a [`Scene`] with signed distances: negative inside, in pixels, so that edges are antialiased.

use image::{Rgb, RgbImage};
use rand::{Rng, RngExt};

use super::scene::{Arrangement, Colour, Ground, Group, Place, Relation, Scene, Shape, Size, Texture};

/// A shape in the image; lengths are shares of its side.
struct Figure {
    shape: Shape,
    colour: [f32; 3],
    centre: [f32; 2],
    radius: f32,
}

/// The image, `side_px` square. `random` gives what no sentence tells: exact places, sizes, tints and phases.
pub(super) fn paint(scene: &Scene, side_px: u32, random: &mut impl Rng) -> RgbImage {
    let figures = figures(scene, random);
    let base = tint(ground_colour(scene.ground), 10.0, random);
    let phase = [random.random_range(0.0..1.0f32), random.random_range(0.0..1.0f32)];
    let period = random.random_range(0.11..0.16f32);
    let upright = random.random_bool(0.5);
    RgbImage::from_fn(side_px, side_px, |x, y| {
        let at = [(x as f32 + 0.5) / side_px as f32, (y as f32 + 0.5) / side_px as f32];
        let shade = pattern(scene.texture, at, phase, period, upright, side_px as f32);
        let mut colour = base.map(|channel| channel - 58.0 * shade);
        for figure in &figures {
            let offset = [(at[0] - figure.centre[0]) / figure.radius, (at[1] - figure.centre[1]) / figure.radius];
            let pixels = distance(figure.shape, offset) * figure.radius * side_px as f32;
            // A thin dark rim keeps pale shapes apart from pale grounds.
            let (inside, rim) = ((0.5 - pixels).clamp(0.0, 1.0), (2.0 - pixels).clamp(0.0, 1.0));
            for (channel, own) in colour.iter_mut().zip(figure.colour) {
                let edge = *channel + (50.0 - *channel) * rim;
                *channel = edge + (own - edge) * inside;
            }
        }
        Rgb(colour.map(|channel| channel.round().clamp(0.0, 255.0) as u8))
    })
}

fn figures(scene: &Scene, random: &mut impl Rng) -> Vec<Figure> {
    let mut figures = Vec::new();
    match &scene.arrangement {
        Arrangement::Alone(place) => {
            let centre = match place {
                Place::Centre => [0.5, 0.5],
                Place::Left => [0.24, 0.5],
                Place::Right => [0.76, 0.5],
                Place::Top => [0.5, 0.24],
                Place::Bottom => [0.5, 0.76],
            };
            group(&scene.group, centre, 0.24, random, &mut figures);
        }
        Arrangement::Beside(Relation::Inside, other) => {
            let centre = [random.random_range(0.42..0.58), random.random_range(0.42..0.58)];
            figures.push(figure(other, centre, 0.38, random));
            figures.push(figure(&scene.group, centre, 0.13, random));
        }
        Arrangement::Beside(relation, other) => {
            let (first, second) = match relation {
                Relation::LeftOf => ([0.25, 0.5], [0.75, 0.5]),
                Relation::RightOf => ([0.75, 0.5], [0.25, 0.5]),
                Relation::Above => ([0.5, 0.25], [0.5, 0.75]),
                _ => ([0.5, 0.75], [0.5, 0.25]),
            };
            let slide = random.random_range(-0.12..0.12f32);
            let along = usize::from(matches!(relation, Relation::LeftOf | Relation::RightOf));
            let moved = |mut centre: [f32; 2], by: f32| {
                centre[along] += by;
                centre
            };
            group(&scene.group, moved(first, slide), 0.22, random, &mut figures);
            group(other, moved(second, -slide), 0.22, random, &mut figures);
        }
    }
    figures
}

/// The group's shapes within `reach` of `centre`.
fn group(group: &Group, centre: [f32; 2], reach: f32, random: &mut impl Rng, figures: &mut Vec<Figure>) {
    const PLACES: [&[[f32; 2]]; 4] = [
        &[[0.0, 0.0]],
        &[[-0.52, -0.2], [0.52, 0.2]],
        &[[-0.5, 0.45], [0.5, 0.45], [0.0, -0.5]],
        &[[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]],
    ];
    let radius = match (group.count, group.size) {
        (1, Size::Large) => 0.9 * reach,
        (1, Size::Small) => 0.45 * reach,
        (_, Size::Large) => 0.46 * reach,
        (_, Size::Small) => 0.27 * reach,
    };
    for place in PLACES[group.count.clamp(1, 4) - 1] {
        figures.push(figure(group, [centre[0] + place[0] * reach, centre[1] + place[1] * reach], radius, random));
    }
}

fn figure(group: &Group, centre: [f32; 2], radius: f32, random: &mut impl Rng) -> Figure {
    let mut wobble = || random.random_range(-0.015..0.015f32);
    let centre = [centre[0] + wobble(), centre[1] + wobble()];
    let radius = radius * (1.0 + 4.0 * wobble());
    Figure { shape: group.shape, colour: tint(shape_colour(group.colour), 16.0, random), centre, radius }
}

fn tint(colour: [f32; 3], by: f32, random: &mut impl Rng) -> [f32; 3] {
    colour.map(|channel| (channel + random.random_range(-by..by)).clamp(0.0, 255.0))
}

fn shape_colour(colour: Colour) -> [f32; 3] {
    match colour {
        Colour::Red => [214.0, 32.0, 36.0],
        Colour::Green => [28.0, 138.0, 48.0],
        Colour::Blue => [32.0, 64.0, 204.0],
        Colour::Yellow => [246.0, 218.0, 30.0],
        Colour::Purple => [134.0, 36.0, 158.0],
        Colour::Orange => [246.0, 132.0, 24.0],
        Colour::Black => [18.0, 18.0, 20.0],
        Colour::White => [250.0, 250.0, 250.0],
    }
}

fn ground_colour(ground: Ground) -> [f32; 3] {
    match ground {
        Ground::Grey => [196.0, 196.0, 198.0],
        Ground::Pink => [246.0, 192.0, 208.0],
        Ground::Sky => [176.0, 210.0, 246.0],
        Ground::Mint => [184.0, 234.0, 194.0],
        Ground::Sand => [236.0, 218.0, 178.0],
    }
}

/// How dark the ground is here, `0..=1`.
fn pattern(texture: Texture, at: [f32; 2], phase: [f32; 2], period: f32, upright: bool, side_px: f32) -> f32 {
    // −1..=1 along an axis, turned into an edge one pixel wide.
    let wave = |axis: usize| (std::f32::consts::PI * (at[axis] / period + phase[axis])).sin();
    let edge = |wave: f32| (wave * period * side_px / std::f32::consts::PI + 0.5).clamp(0.0, 1.0);
    match texture {
        Texture::Plain => 0.0,
        Texture::Gradient => 1.4 * at[usize::from(upright)] - 0.4 * (1.0 - at[usize::from(upright)]),
        Texture::Stripes => edge(wave(usize::from(upright))),
        Texture::Checker => edge(wave(0) * wave(1)),
        Texture::Dots => {
            let cell = |axis: usize| ((at[axis] / period + phase[axis]).fract() - 0.5) * period * side_px;
            (0.27 * period * side_px - cell(0).hypot(cell(1)) + 0.5).clamp(0.0, 1.0)
        }
    }
}

/// Signed distance of `p` to a shape of radius 1 around the origin; y points down.
fn distance(shape: Shape, [x, y]: [f32; 2]) -> f32 {
    let length = x.hypot(y);
    match shape {
        Shape::Circle => length - 1.0,
        Shape::Ring => (length - 0.76).abs() - 0.24,
        Shape::Square => x.abs().max(y.abs()) - 0.84,
        Shape::Diamond => (x.abs() * 1.35 + y.abs() - 1.0) / 1.68,
        Shape::Cross => {
            let arm = |a: f32, b: f32| (a.abs() - 1.0).max(b.abs() - 0.3);
            arm(x, y).min(arm(y, x))
        }
        // Three half-planes; the base lies low.
        Shape::Triangle => (y - 0.72).max(0.866 * x.abs() * 1.05 - 0.5 * y - 0.5),
        Shape::Star => star([x, y]),
        Shape::Heart => heart([x, y]),
    }
}

/// Five points of radius 1 and five notches of radius 0.42.
fn star([x, y]: [f32; 2]) -> f32 {
    let sector = std::f32::consts::PI / 5.0;
    let angle = x.atan2(-y).rem_euclid(2.0 * sector); // from the upper point, clockwise
    let angle = if angle > sector { 2.0 * sector - angle } else { angle };
    let length = x.hypot(y);
    let (px, py) = (length * angle.cos(), length * angle.sin());
    // The edge runs from the point (1, 0) to the notch.
    let notch = [0.42 * sector.cos(), 0.42 * sector.sin()];
    let (ex, ey) = (notch[0] - 1.0, notch[1]);
    ((px - 1.0) * ey - py * ex) / ex.hypot(ey)
}

/// Two discs on a wedge.
fn heart([x, y]: [f32; 2]) -> f32 {
    let x = x.abs();
    let disc = (x - 0.47).hypot(y + 0.35) - 0.53;
    // From the disc's side down to the tip at (0, 0.95).
    let wedge = ((x * 0.80 + (y - 0.95) * 0.60).max(-y - 0.35)).max(x - 0.99);
    disc.min(wedge)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Inside is negative at the middle (a ring has its hole there), outside positive at the corners, and the share of
    /// the square that each shape covers is plausible and its own.
    #[test]
    fn shapes_are_where_they_should_be() {
        for &shape in Shape::ALL {
            let middle = distance(shape, [0.0, 0.0]);
            assert_eq!(middle > 0.0, shape == Shape::Ring, "{shape:?}: {middle}");
            assert!(distance(shape, [1.3, 1.3]) > 0.0 && distance(shape, [-1.3, -1.3]) > 0.0, "{shape:?}");
            let grid = (0..120).flat_map(|i| (0..120).map(move |j| [i as f32 / 50.0 - 1.19, j as f32 / 50.0 - 1.19]));
            let (mut covered, mut mirrored) = (0, 0);
            for p in grid {
                covered += i32::from(distance(shape, p) < 0.0);
                mirrored += i32::from((distance(shape, p) < 0.0) != (distance(shape, [-p[0], p[1]]) < 0.0));
            }
            // One cell is 0.0004 of the square of side 2.
            let area = covered as f32 * 0.0004;
            let want = match shape {
                Shape::Circle => std::f32::consts::PI,
                Shape::Square => 2.82,
                Shape::Diamond => 1.48,
                Shape::Ring => 2.29,
                Shape::Cross => 2.04,
                // Ten triangles of ½ · 1 · 0.42 · sin 36°.
                Shape::Star => 1.234,
                Shape::Triangle => 1.63,
                Shape::Heart => 2.25,
            };
            assert!((area - want).abs() < 0.25, "{shape:?} covers {area}");
            assert!(mirrored < 40, "{shape:?} is not symmetric: {mirrored}");
        }
    }

    /// The colour in the middle of a lone large shape is the shape's, that of a corner is the ground's.
    #[test]
    fn colours_are_the_ones_told() {
        use rand::SeedableRng;
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(3);
        for &colour in Colour::ALL {
            for &ground in Ground::ALL {
                let group = Group { shape: Shape::Square, colour, size: Size::Large, count: 1 };
                let arrangement = Arrangement::Alone(Place::Centre);
                let image = paint(&Scene { group, arrangement, texture: Texture::Plain, ground }, 64, &mut random);
                let near = |x: u32, y: u32, want: [f32; 3]| {
                    (0..3).all(|channel| (f32::from(image.get_pixel(x, y)[channel]) - want[channel]).abs() <= 17.0)
                };
                assert!(near(32, 32, shape_colour(colour)), "{colour:?} on {ground:?}");
                assert!(near(2, 2, ground_colour(ground)), "{colour:?} on {ground:?}");
            }
        }
    }
}
