//! `POST /v1/explain`

use axum::Json;
use axum::extract::State;
use gxn::encoder::Encoder;
use gxn::explain::{
    CaptionComparison, CellShares, Grid, WordShare, cell_shares, compare_caption, pair_parts, word_shares,
};
use gxn_base::Result;
use gxn_data::{ImageLimits, decode_image};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::generate::stored_bytes;
use super::query::check_text;
use super::search::Parts;
use crate::app::App;
use crate::extract::Body;
use crate::problem::{Answer, Problem};

/// Beams of the search for the caption.
const BEAM: usize = 3;

/// A sentence and an image of the index.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExplainRequest {
    /// Words.
    query: String,
    /// The image's id.
    id: String,
}

/// Why they have their score. Shares need not add up to it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Explanation {
    score: f32,
    parts: Parts,
    words: Vec<Word>,
    cells: Cells,
    /// Where the model generates captions.
    caption: Option<ComparedCaption>,
}

/// What the score loses without a word.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Word {
    word: String,
    contribution: f32,
}

/// What the score loses where a cell of the image is painted over, row by row.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Cells {
    rows: u32,
    columns: u32,
    contribution: Vec<f32>,
}

/// The generated caption, and the words that the sentence shares with it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ComparedCaption {
    text: String,
    /// Words of both.
    shared: Vec<String>,
    /// Words of the caption alone.
    extra: Vec<String>,
    /// Words of the sentence alone.
    missing: Vec<String>,
}

impl From<CaptionComparison> for ComparedCaption {
    fn from(CaptionComparison { text, shared, extra, missing }: CaptionComparison) -> Self {
        Self { text, shared, extra, missing }
    }
}

/// Explains the score of a sentence with an image of the index.
#[utoipa::path(post, path = "/v1/explain", tag = "search", request_body = ExplainRequest, responses(
    (status = 200, body = Explanation),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 413, body = Problem, content_type = "application/problem+json"),
    (status = 415, body = Problem, content_type = "application/problem+json"),
    (status = 422, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn explain(State(app): State<App>, Body(request): Body<ExplainRequest>) -> Answer<Json<Explanation>> {
    let library = app.library()?;
    check_text(&request.query, &app.options().limits)?;
    let bytes = stored_bytes(&app, request.id).await?;
    library.encoding.run(move |encoder| explained(encoder, &request.query, &bytes)).await.map(Json)
}

fn explained(encoder: &Encoder, query: &str, bytes: &[u8]) -> Result<Explanation> {
    let image = decode_image(bytes, "the image", &ImageLimits::default())?;
    let feature = encoder.image_feature(&image, &ImageLimits::default())?.feature;
    let embedding = encoder.encode_features(&feature).joined(0);
    // Refuses a text without words first.
    let words = word_shares(encoder, query, &embedding)?;
    let text = encoder.encode_text(query)?.joined(0);
    let parts = pair_parts(&encoder.space(), &text, &embedding)?;
    let grid = Grid::default();
    let grid = Grid { rows: grid.rows.min(image.height()), columns: grid.columns.min(image.width()) };
    let CellShares { rows, columns, contribution } = cell_shares(encoder, &text, &image, grid)?;
    let caption = match encoder.can_caption() {
        true => encoder.caption_features(&feature, BEAM)?.into_iter().flatten().next(),
        false => None,
    };
    let word = |WordShare { word, contribution }| Word { word, contribution };
    Ok(Explanation {
        score: parts.abstract_level + parts.grounded_level,
        parts: parts.into(),
        words: words.into_iter().map(word).collect(),
        cells: Cells { rows, columns, contribution },
        caption: caption.map(|found| compare_caption(query, &found.caption).into()),
    })
}
