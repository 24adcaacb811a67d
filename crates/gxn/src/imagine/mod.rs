//! IMAGINE: what the grounded features have to be good for (paper §3.3, spec §7).
//!
//! | module | holds |
//! |---|---|
//! | [`caption_decoder`] | RNN_Dec: v_l → words |
//! | [`decoding`] | greedy and sampled captions |
//! | [`beam`] | the likeliest captions by beam search |
//! | [`caption_loss`] | Eq. 4, 5 and 7 |
//! | [`scheduled_sampling`] | input words that are the model's own |
//!
//! Generation shapes the features; nothing that is generated enters the score of a match.

pub mod beam;
pub mod caption_decoder;
pub mod caption_loss;
pub mod decoding;
pub mod scheduled_sampling;
#[cfg(test)]
mod tests;

pub use caption_decoder::CaptionDecoder;
pub use decoding::{Choice, Generated};
