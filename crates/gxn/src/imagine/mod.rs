//! IMAGINE: the generators, which teach the grounded features to hold details (paper §3.3 and §3.4, spec §7 and §8).
//!
//! | module | holds |
//! |---|---|
//! | [`caption_decoder`] | RNN_Dec: v_l → words |
//! | [`decoding`] | greedy and sampled captions |
//! | [`beam`] | the likeliest captions by beam search |
//! | [`caption_loss`] | Eq. 4, 5 and 7 |
//! | [`scheduled_sampling`] | input words that the model chose itself |
//! | [`conditioning`] | conditioning augmentation: t_l → a distribution |
//! | [`image_generator`] | CNN_Dec: t_l and noise → an image |
//! | [`small_image`] | generated images outside training: compared, written, on a sheet |
//! | [`discriminator`] | D_i |
//! | [`adversarial_loss`] | Eq. 8, 11 and 12 |
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
mod device_decoding;
pub mod discriminator;
pub mod image_generator;
#[cfg(test)]
mod image_tests;
pub mod scheduled_sampling;
pub mod small_image;
#[cfg(test)]
mod tests;

pub use caption_decoder::CaptionDecoder;
pub use decoding::{Choice, Generated};
pub use discriminator::Discriminator;
pub use image_generator::{ImageGenerator, Noise};
