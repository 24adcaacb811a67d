//! Evaluation of a trained model: encode a dataset, score its captions and generated images. Ranks, protocols and
//! reports are those of [`gxn_eval`].

pub mod agreement;
pub mod caption_page;
pub mod encode;
pub mod generated_captions;
pub mod generated_images;
mod lambda_sweep;
pub mod measure;
mod other_images;
mod permutation_test;

pub use agreement::agreement;
pub use caption_page::caption_page;
pub use encode::{DatasetFeatures, EncodeOptions, EncodedDataset, encode_dataset};
pub use generated_captions::GeneratedCaptionsEvaluation;
pub use generated_images::GeneratedImagesEvaluation;
pub use lambda_sweep::{LambdaSweep, lambda_sweep};
pub use measure::Measurement;
