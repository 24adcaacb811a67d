//! [`simulate_edits`]: does a search by an edited caption find what was meant?
//!
//! Image A is the query, another image B is what is meant, and a caption of B is the edit. Each method ranks all images but A, and B
//! should stand first. The weight of a method is chosen on one half of the images and its figures are those of the other half.
//! Where B is the nearest image, the image alone finds it by construction; that case shows what a caption costs.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Serialize;

use gxn::encoder::Encoder;
use gxn::evaluate::EncodedDataset;
use gxn::seed::mix;
use gxn_base::{Error, Modality, Remedy, Result};
use gxn_data::Dataset;
use gxn_index::{PartKind, Plan, QueryPart, Space, inverse_length};

/// Weights that are tried.
const WEIGHTS: [f32; 9] = [0.125, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0, 8.0];
/// Neighbours among which the other image is drawn.
const NEIGHBOURS: usize = 10;
/// How much of the generated caption a soft edit takes away.
const SOFT: f32 = 0.25;
/// Draws of the bootstrap over images.
const DRAWS: usize = 2000;

/// Which image is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OtherImage {
    /// The nearest to A under the model.
    Nearest,
    /// One of the ten nearest, drawn at random.
    Near,
    /// Any, drawn at random.
    Any,
}

/// What a person makes of the generated caption of A.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EditedText {
    /// The first caption that people wrote of B.
    Written,
    /// The caption that is generated of B: only the words that differ were changed.
    Generated,
}

/// How a query is made. t_B is the edited text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SimulatedSearch {
    /// The image A alone.
    Image,
    /// The caption of B alone.
    Text,
    /// v_A + w t_B
    Sum,
    /// v_A + w (t_B − t_generated(A))
    Edit,
    /// v_A + w (t_B − ¼ t_generated(A))
    SoftEdit,
    /// v_A + w (t_B − t_A), with a caption that people wrote of A: what a perfect caption decoder could reach.
    EditOfOwn,
}

/// What a method reached, over the images on which its weight was not chosen.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SimulatedMethod {
    /// How the query is made.
    pub search: SimulatedSearch,
    /// The weight w that has the highest mean of R@1, R@5 and R@10 on the other half; 1 where there is none to choose.
    pub weight: f32,
    /// R@1, R@5, R@10, percent.
    pub recall: [f64; 3],
    /// Mean rank of B, from 1.
    pub mean_rank: f64,
    /// Mean recall under each weight that was tried, over all images.
    pub by_weight: Vec<(f32, f64)>,
    /// Mean recall of [`SimulatedSearch::Edit`] less this one's: the difference and its 95 % interval from a bootstrap over images.
    pub edit_is_better_by: [f64; 3],
    /// The same of [`SimulatedSearch::Sum`].
    pub sum_is_better_by: [f64; 3],
}

/// A simulation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EditSimulation {
    /// Which images were meant.
    pub other: OtherImage,
    /// What the edits were.
    pub text: EditedText,
    /// Images that were ranked, and half of which were queries that count.
    pub images: usize,
    /// The methods.
    pub methods: Vec<SimulatedMethod>,
}

/// Scores of all images, `[N, N]`, by what asks for them: row A is that of image A, of its captions, or of its edit.
struct Scores {
    image: Vec<Vec<f32>>,
    own: Vec<Vec<f32>>,
    generated: Vec<Vec<f32>>,
}

/// Ranks of B from 0, by weight and image.
type Ranks = Vec<Vec<usize>>;

/// Simulates edits of the generated captions of a split that was encoded with them; scores are those of the
/// [`Retriever`](gxn::retrieve::Retriever).
///
/// # Errors
/// When captions were not generated, there are fewer than four images, or one has no caption.
pub fn simulate_edits(
    encoder: &Encoder,
    encoded: &EncodedDataset,
    dataset: &Dataset,
    (other, text): (OtherImage, EditedText),
    seed: u64,
) -> Result<EditSimulation> {
    let count = encoded.images.count;
    if encoded.generated.len() != count {
        return Err(Error::unsupported("the split", "no generated captions", "one of each image")
            .with_remedy(Remedy::TrainCaptions));
    }
    if count < 4 {
        return Err(Error::invalid("the split", format!("{count} images"), "at least four"));
    }
    let scores = Scores::of(encoder, encoded, dataset)?;
    let meant: Vec<usize> = (0..count).map(|image| meant(&scores.image[image], image, other, seed)).collect();
    let methods = methods(&scores, &meant, text, seed);
    Ok(EditSimulation { other, text, images: count, methods })
}

impl Scores {
    fn of(encoder: &Encoder, encoded: &EncodedDataset, dataset: &Dataset) -> Result<Self> {
        let (space, count) = (encoder.space(), encoded.images.count);
        let rows: Vec<Vec<f32>> = (0..count).map(|row| encoded.images.joined(row)).collect();
        let texts = encoded.caption_texts(dataset);
        // The first caption of each image.
        let mut first = vec![None; count];
        for (caption, &image) in encoded.caption_image.iter().enumerate() {
            first[image].get_or_insert(texts[caption]);
        }
        let first: Option<Vec<&str>> = first.into_iter().collect();
        let first = first.ok_or_else(|| Error::invalid("an image", "no caption", "at least one"))?;
        let generated: Vec<&str> = encoded.generated.iter().map(|generated| generated.caption.as_str()).collect();
        let vectors = |texts: &[&str]| -> Result<Vec<Vec<f32>>> {
            let found = encoder.encode_texts(texts)?;
            Ok((0..texts.len()).map(|row| found.joined(row)).collect())
        };
        Ok(Self {
            own: against(&space, PartKind::Cross, &vectors(&first)?, &rows)?,
            generated: against(&space, PartKind::Cross, &vectors(&generated)?, &rows)?,
            image: against(&space, PartKind::Same, &rows, &rows)?,
        })
    }
}

/// The scores of every query with every image.
fn against(space: &Space, kind: PartKind, queries: &[Vec<f32>], rows: &[Vec<f32>]) -> Result<Vec<Vec<f32>>> {
    let lengths: Vec<f32> = rows.iter().map(|row| inverse_length(row)).collect();
    let scores = |vector: &Vec<f32>| {
        let plan = Plan::new(space, Modality::Image, &[QueryPart { vector, weight: 1.0, kind }])?;
        let score = |(row, &length): (&Vec<f32>, &f32)| {
            let levels = plan.level_scores(row, length);
            levels.abstract_level + levels.grounded_level
        };
        Ok(rows.iter().zip(&lengths).map(score).collect())
    };
    queries.par_iter().map(scores).collect()
}

/// The image that is meant by the one at `image`, whose scores with all are given.
fn meant(scores: &[f32], image: usize, other: OtherImage, seed: u64) -> usize {
    let mut random = ChaCha8Rng::seed_from_u64(mix(seed, image as u64));
    let mut others: Vec<usize> = (0..scores.len()).filter(|&at| at != image).collect();
    others.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let near = match other {
        OtherImage::Nearest => &others[..1],
        OtherImage::Near => &others[..NEIGHBOURS.min(others.len())],
        OtherImage::Any => &others[..],
    };
    near[random.random_range(0..near.len())]
}

fn methods(scores: &Scores, meant: &[usize], text: EditedText, seed: u64) -> Vec<SimulatedMethod> {
    use SimulatedSearch::{Edit, EditOfOwn, Image, SoftEdit, Sum, Text};
    let all: Vec<(SimulatedSearch, Ranks)> = [Image, Text, Sum, Edit, SoftEdit, EditOfOwn]
        .into_iter()
        .map(|search| (search, WEIGHTS.iter().map(|&weight| ranks(scores, meant, text, search, weight)).collect()))
        .collect();
    let half =
        |of| all.iter().find(|(search, _)| *search == of).map(|(_, ranks)| counted_half(ranks)).unwrap_or_default();
    let rivals = [half(Edit), half(Sum)];
    all.iter().map(|(search, ranks)| described(*search, ranks, &rivals, seed)).collect()
}

/// The rank of what is meant, for every image as query.
fn ranks(scores: &Scores, meant: &[usize], text: EditedText, search: SimulatedSearch, weight: f32) -> Vec<usize> {
    let (with, without) = (weight, -weight);
    let rank = |image: usize| {
        let wanted = meant[image];
        let score = |at: usize| {
            let v = scores.image[image][at];
            let t_b = match text {
                EditedText::Written => scores.own[wanted][at],
                EditedText::Generated => scores.generated[wanted][at],
            };
            match search {
                SimulatedSearch::Image => v,
                SimulatedSearch::Text => t_b,
                SimulatedSearch::Sum => v + with * t_b,
                SimulatedSearch::Edit => v + with * t_b + without * scores.generated[image][at],
                SimulatedSearch::SoftEdit => v + with * t_b + SOFT * without * scores.generated[image][at],
                SimulatedSearch::EditOfOwn => v + with * t_b + without * scores.own[image][at],
            }
        };
        let best = score(wanted);
        (0..meant.len()).filter(|&at| at != image && at != wanted && score(at) >= best).count()
    };
    (0..meant.len()).into_par_iter().map(rank).collect()
}

/// Mean of R@1, R@5 and R@10 of one query, percent.
fn mean_recall(rank: usize) -> f64 {
    100.0 * [1, 5, 10].iter().filter(|&&k| rank < k).count() as f64 / 3.0
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0usize), |(sum, count), value| (sum + value, count + 1));
    sum / count.max(1) as f64
}

/// The weight that is best on the even images, the least of equals.
fn chosen(ranks: &Ranks) -> usize {
    let figure = |at: usize| mean(ranks[at].iter().step_by(2).map(|&rank| mean_recall(rank)));
    (0..ranks.len()).reduce(|best, at| if figure(at) > figure(best) { at } else { best }).unwrap_or(0)
}

/// The ranks of the odd images, which choose nothing.
fn counted_half(ranks: &Ranks) -> Vec<usize> {
    ranks[chosen(ranks)].iter().skip(1).step_by(2).copied().collect()
}

fn described(search: SimulatedSearch, ranks: &Ranks, rivals: &[Vec<usize>; 2], seed: u64) -> SimulatedMethod {
    let own = counted_half(ranks);
    let has_weight = !matches!(search, SimulatedSearch::Image | SimulatedSearch::Text);
    let recall = |k: usize| 100.0 * own.iter().filter(|&&rank| rank < k).count() as f64 / own.len().max(1) as f64;
    let by_weight =
        WEIGHTS.iter().zip(ranks).map(|(&weight, ranks)| (weight, mean(ranks.iter().map(|&r| mean_recall(r)))));
    let better = |rival: &Vec<usize>| {
        let differences = rival.iter().zip(&own).map(|(&a, &b)| mean_recall(a) - mean_recall(b));
        with_interval(&differences.collect::<Vec<_>>(), seed)
    };
    let [edit_is_better_by, sum_is_better_by] = rivals.each_ref().map(better);
    SimulatedMethod {
        search,
        weight: if has_weight { WEIGHTS[chosen(ranks)] } else { 1.0 },
        recall: [1, 5, 10].map(recall),
        mean_rank: 1.0 + mean(own.iter().map(|&rank| rank as f64)),
        by_weight: by_weight.take(if has_weight { WEIGHTS.len() } else { 1 }).collect(),
        edit_is_better_by,
        sum_is_better_by,
    }
}

/// The mean of differences and its 95 % interval.
fn with_interval(differences: &[f64], seed: u64) -> [f64; 3] {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let count = differences.len();
    let draw = |_| mean((0..count).map(|_| differences[random.random_range(0..count)]));
    let mut means: Vec<f64> = (0..DRAWS).map(draw).collect();
    means.sort_by(f64::total_cmp);
    let at = |share: f64| means[(share * (DRAWS - 1) as f64).round() as usize];
    [mean(differences.iter().copied()), at(0.025), at(0.975)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three images and a fourth far away. A is like B and C; its caption says what A and C have in common, so that the edit finds B
    /// where the sum finds C.
    fn scores() -> Scores {
        let image = vec![vec![1.0, 0.5, 0.6, 0.0]; 4];
        let mut own = vec![vec![0.0, 0.0, 0.0, 0.0]; 4];
        own[1] = vec![0.4, 0.5, 0.6, 0.0];
        let generated = vec![vec![0.4, 0.0, 0.5, 0.0]; 4];
        Scores { image, own, generated }
    }

    #[test]
    fn what_both_captions_say_cancels_out() {
        let meant = [1, 0, 0, 0];
        let rank = |search| ranks(&scores(), &meant, EditedText::Written, search, 1.0)[0];
        // Image: C before B. Sum: 1.2 against 1.0. Edit: 0.7 against 1.0.
        assert_eq!((rank(SimulatedSearch::Image), rank(SimulatedSearch::Text)), (1, 1));
        assert_eq!((rank(SimulatedSearch::Sum), rank(SimulatedSearch::Edit)), (1, 0));
        // B 0.5 + 0.5, C 0.6 + 0.6 − 0.125: a quarter is too little here.
        assert_eq!(rank(SimulatedSearch::SoftEdit), 1);
        // A generated caption of B finds what its row says.
        let generated = ranks(&scores(), &meant, EditedText::Generated, SimulatedSearch::Text, 1.0)[0];
        assert_eq!(generated, 2);
    }

    #[test]
    fn neighbours_are_those_of_the_model_and_never_the_image() {
        let scores = [0.9, 0.1, 0.8, 0.7];
        assert_eq!(meant(&scores, 0, OtherImage::Nearest, 1), 2);
        assert_eq!(meant(&scores, 2, OtherImage::Nearest, 1), 0);
        let drawn: Vec<usize> = (0..50).map(|seed| meant(&scores, 1, OtherImage::Any, seed)).collect();
        assert!(drawn.iter().all(|&at| at != 1) && [0, 2, 3].iter().all(|at| drawn.contains(at)));
    }

    #[test]
    fn the_weight_is_chosen_on_the_other_half() {
        // Even images are found under the second weight, odd ones under the first.
        let ranks = vec![vec![20, 0, 20, 0], vec![0, 7, 0, 7]];
        assert_eq!((chosen(&ranks), counted_half(&ranks)), (1, vec![7, 7]));
        assert_eq!((mean_recall(0), mean_recall(4), mean_recall(10)), (100.0, 200.0 / 3.0, 0.0));
        let [mean, low, high] = with_interval(&[1.0, 3.0], 1);
        assert!((mean, low, high) == (2.0, 1.0, 3.0), "{mean} {low} {high}");
    }
}
