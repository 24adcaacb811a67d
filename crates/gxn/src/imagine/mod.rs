//! IMAGINE: what the grounded features have to be good for (paper §3.3 and §3.4, spec §7 and §8).
//!
//! | module | holds |
//! |---|---|
//! | [`caption_decoder`] | RNN_Dec: v_l → words |
//! | [`decoding`] | greedy and sampled captions |
//! | [`beam`] | the likeliest captions by beam search |
//! | [`caption_loss`] | Eq. 4, 5 and 7 |
//! | [`scheduled_sampling`] | input words that are the model's own |
//! | [`conditioning`] | conditioning augmentation: t_l → a distribution |
//! | [`image_generator`] | CNN_Dec: t_l and noise → a picture |
//! | [`picture`] | imagined pictures outside training: measured, written, on a sheet |
//! | [`discriminator`] | D_i |
//! | [`adversarial_loss`] | Eq. 11 and 12 |
//! | [`batch_norm`] | normalisation with PyTorch's running statistics |
//!
//! Generation shapes the features; nothing that is generated enters the score of a match.

pub mod adversarial_loss;
pub mod batch_norm;
pub mod beam;
pub mod caption_decoder;
pub mod caption_loss;
pub mod conditioning;
pub mod decoding;
pub mod discriminator;
pub mod image_generator;
pub mod picture;
#[cfg(test)]
mod picture_tests;
pub mod scheduled_sampling;
#[cfg(test)]
mod tests;

pub use caption_decoder::CaptionDecoder;
pub use decoding::{Choice, Generated};
pub use discriminator::Discriminator;
pub use image_generator::{ImageGenerator, Noise};
