//! Evaluation of a trained model: encode a dataset, score its captions and generated images. Ranks, protocols and
//! reports are those of [`gxn_eval`].

pub mod caption_page;
pub mod encode;
pub mod imagined;
pub mod imagined_pictures;

pub use caption_page::caption_page;
pub use imagined::ImaginedEvaluation;
pub use imagined_pictures::PictureEvaluation;
