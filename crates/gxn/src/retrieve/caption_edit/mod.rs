//! [`Query::edited`]: an image of which some words are other ones.
//!
//! The model generates a caption of the image, a person edits it, and the search is for v + w (t_edited − t_generated): what both
//! captions say cancels out, and what was changed counts. [`simulate_edits`] measures it beside plain sums, without a person.

mod simulation;

pub use simulation::{EditSimulation, EditedText, OtherImage, SimulatedMethod, SimulatedSearch, simulate_edits};

use super::query::{Content, Part, Query};

/// The parts of [`Query::edited`] beside the image: the edited caption's weight and the generated one's.
fn caption_weights(weight: f32) -> [f32; 2] {
    [weight, -weight]
}

impl Query {
    /// An image, of which a generated caption was edited: its score, plus `weight` times that of the edited caption, minus `weight`
    /// times that of the generated one. With an unchanged caption it is a search for the image alone.
    pub fn edited(image: Content, generated: &str, edited: &str, weight: f32) -> Self {
        let part = |content, weight| Part { content, weight, is_weight_written: false };
        let [with, without] = caption_weights(weight);
        let texts = [part(Content::Text(edited.to_owned()), with), part(Content::Text(generated.to_owned()), without)];
        Self { parts: std::iter::once(part(image, 1.0)).chain(texts).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edited_caption_is_added_and_the_generated_one_taken_away() {
        let query = Query::edited(Content::Item("a.jpg".into()), "a dog on grass", "a dog on snow", 2.0);
        let weights: Vec<f32> = query.parts.iter().map(|part| part.weight).collect();
        assert_eq!(weights, [1.0, 2.0, -2.0]);
        assert_eq!(query.texts().collect::<Vec<_>>(), ["a dog on snow", "a dog on grass"]);
    }
}
