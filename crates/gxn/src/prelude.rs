//! What most programs need, of all crates: `use gxn::prelude::*;`.

pub use gxn_base::{Error, Kind, Modality, Progress, Remedy, Result, Similarity};
pub use gxn_data::{Dataset, ImageSource, SourceOptions, Split};
pub use gxn_eval::{
    About, CaptionEvaluation, CaptionResult, CaptionResults, Embeddings, ExternalEmbeddings, ImageId, LevelEmbeddings,
    Protocol, ReferenceCaptions, Report, Scoring,
};
pub use gxn_index::{Filter, Index, Method, SearchOptions};

pub use crate::checkpoint::Checkpoint;
pub use crate::config::{RunConfig, Stage};
pub use crate::encoder::{Encoder, ImageInput};
pub use crate::retrieve::{
    Calibration, Content, Found, IndexOptions, IndexReport, Query, RankedHit, Refresh, Retriever, refresh,
};
pub use crate::train::{Event, Outcome, TrainObserver, Trainer};
