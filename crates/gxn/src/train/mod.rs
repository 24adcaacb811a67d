//! TRAIN: the loop, written out once, and what it needs.
//!
//! | module | holds |
//! |---|---|
//! | [`sampler`] | which pairs a step sees |
//! | [`schedule`] | the learning rate of a step |
//! | [`feed`] | where a step's image features come from |
//! | [`preparation`] | data, vocabulary, features and a first network |
//! | [`start`] | runs that begin with another one's weights |
//! | [`steps`] | one function per step of the paper |
//! | [`picture_steps`] | the steps of discriminator and generator |
//! | [`pictures`], [`pixels`] | what the picture losses need beside the network |
//! | [`optimisers`] | one Adam for each loss |
//! | [`captions`] | what the caption losses need beside the network |
//! | [`validation`] | recall, spread and captions on the validation split |
//! | [`alarms`] | what goes wrong in training, recognised, with its cause |
//! | [`state`] | what resuming needs |
//! | [`trainer`] | the loop |

pub mod alarms;
pub mod captions;
pub mod event;
pub mod feed;
pub mod log;
pub mod optimisers;
pub mod picture_steps;
pub mod pictures;
pub mod pixels;
pub mod preparation;
pub mod sampler;
pub mod schedule;
pub mod start;
pub mod state;
pub mod steps;
pub mod trainer;
mod updates;
pub mod validation;

pub use alarms::Alarm;
pub use event::Event;
pub use start::configuration;
pub use trainer::{Outcome, Trainer};
