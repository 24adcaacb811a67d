//! `POST /v1/search`

use std::time::Instant;

use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gxn::retrieve::{Found, RERANK_WEIGHT, RankedHit, Ranking, Reranking, Retriever, ScoreParts};
use gxn_base::Modality;
use gxn_base::words::first_few;
use gxn_index::{Filter, SearchOptions};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::query::{Encoded, QueryPart, encode};
use crate::app::App;
use crate::extract::Upload;
use crate::form::{FormField, FormRequest, insert};
use crate::problem::{Answer, Problem};

/// From these probabilities on a hit is called likely, or possible.
const LIKELY: f32 = 0.5;
const POSSIBLE: f32 = 0.15;
/// Hits that are read at most to fill a page with groups of duplicates.
const MOST_READ: usize = 4096;
/// Largest place that a page may begin at.
const DEEPEST: usize = 1_000_000;

/// A search.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SearchRequest {
    /// What to search for; scores are added up.
    #[schema(min_items = 1, max_items = 16)]
    query: Vec<QueryPart>,
    /// What to find.
    #[serde(default)]
    target: Target,
    /// Hits of a page.
    #[serde(default = "twenty")]
    #[schema(default = 20, minimum = 1, maximum = 200)]
    top: usize,
    /// The `cursor` of the page before.
    cursor: Option<String>,
    /// Such as `folder=2024/** and width>=1000`.
    filter: Option<String>,
    /// Only hits that are relevant with at least this probability.
    #[schema(minimum = 0.0, maximum = 1.0)]
    min_relevance: Option<f32>,
    /// Images of one content are one hit.
    #[serde(default = "yes")]
    #[schema(default = true)]
    group_duplicates: bool,
    /// Weight of the abstract level instead of the model's.
    #[schema(minimum = 0.0, maximum = 1.0)]
    lambda: Option<f32>,
    /// Order hits by the score as it is. Otherwise a calibrated model takes off it what an item scores with most queries, where one text
    /// searches images or one image searches captions.
    #[serde(default)]
    keep_hubs: bool,
    /// The caption decoder orders this many of the best hits once more, by score + `rerank_weight` · ln p(text | image), of captions
    /// less ln p(text). For a query of one text that searches images, or of one image that searches captions and a calibrated model;
    /// of a model that generates captions.
    #[schema(minimum = 1, maximum = 200)]
    rerank: Option<usize>,
    /// What the decoder counts in `rerank`.
    #[serde(default = "rerank_weight")]
    #[schema(default = 0.008, minimum = 0.0)]
    rerank_weight: f32,
}

/// A search as a form. Each `text`, `image` and `id` is a part of the query, in the order of the form.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it describes a form, which is read as a SearchRequest")]
pub(crate) struct SearchForm {
    /// An image file.
    #[schema(value_type = Option<String>, format = Binary)]
    image: Option<Vec<u8>>,
    /// Words.
    text: Option<String>,
    /// The id of an image of the index.
    id: Option<String>,
    /// The weight of the part before it.
    weight: Option<f32>,
    target: Option<Target>,
    top: Option<usize>,
    cursor: Option<String>,
    filter: Option<String>,
    min_relevance: Option<f32>,
    group_duplicates: Option<bool>,
    lambda: Option<f32>,
    keep_hubs: Option<bool>,
    rerank: Option<usize>,
    rerank_weight: Option<f32>,
}

impl FormRequest for SearchRequest {
    const TEXTS: &'static [&'static str] = &["text", "image", "id", "target", "cursor", "filter"];

    fn arranged(fields: Vec<FormField>) -> Answer<Map<String, Value>> {
        let (mut map, mut parts) = (Map::new(), Vec::<Map<String, Value>>::new());
        for FormField { name, value, .. } in fields {
            match (name.as_str(), parts.last_mut()) {
                ("text" | "image" | "id", _) => parts.push(Map::from_iter([(name, value)])),
                ("weight", Some(part)) => insert(part, name, value)?,
                ("weight", None) => return Err(Problem::invalid("the form: found a weight without a part before it")),
                _ => insert(&mut map, name, value)?,
            }
        }
        insert(&mut map, "query".into(), json!(parts))?;
        Ok(map)
    }
}

/// Chosen on the val splits of Flickr8k, as that of the command line.
fn rerank_weight() -> f32 {
    RERANK_WEIGHT
}

fn twenty() -> usize {
    20
}

fn yes() -> bool {
    true
}

/// What to find.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    /// Images.
    #[default]
    Image,
    /// Captions.
    Text,
}

/// What a search found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SearchResponse {
    hits: Vec<SearchHit>,
    /// For the next page; none at the end.
    cursor: Option<String>,
    /// Items that were searched; none behind a filter.
    total: Option<usize>,
    took_ms: Took,
    /// What the user should know of the query.
    notes: Vec<String>,
    /// The best hit scores as low as that of one query in twenty that has a match: probably nothing matches.
    probably_none: bool,
}

/// A hit.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SearchHit {
    /// Its place among all hits, from 1.
    rank: usize,
    /// The image's id, or the caption's.
    id: String,
    /// The image's id.
    image_id: String,
    path: String,
    /// Larger is better.
    score: f32,
    /// The probability that it is relevant, where the model is calibrated and the query is of one part.
    relevance: Option<f32>,
    /// `likely`, `possible` or `unlikely`.
    relevance_word: Option<&'static str>,
    parts: Parts,
    /// The caption, where captions are searched.
    caption: Option<String>,
    /// Further images of the same content, or images with the same caption.
    duplicates: Vec<Duplicate>,
    width: u32,
    height: u32,
}

/// What each level contributes to the score, which is their sum less the hubness, unless hits were re-ranked.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Parts {
    #[serde(rename = "abstract")]
    abstract_level: f32,
    grounded: f32,
    /// What the item scores with most queries, where hubs are corrected.
    hubness: Option<f32>,
}

impl From<ScoreParts> for Parts {
    fn from(parts: ScoreParts) -> Self {
        Self { abstract_level: parts.abstract_level, grounded: parts.grounded_level, hubness: parts.hubness }
    }
}

/// A copy of a hit's image.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Duplicate {
    id: String,
    path: String,
}

/// Milliseconds.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Took {
    /// Reading the request.
    decode: f64,
    /// Waiting for the model and encoding.
    encode: f64,
    search: f64,
    /// Reading what the index knows of the hits.
    fetch: f64,
    total: f64,
}

/// Finds images or captions.
#[utoipa::path(post, path = "/v1/search", tag = "search", request_body(content(
    (SearchRequest = "application/json"), (SearchForm = "multipart/form-data"))), responses(
    (status = 200, body = SearchResponse),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such item", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "The model is not calibrated, or the index has no captions", body = Problem, content_type = "application/problem+json"),
    (status = 413, body = Problem, content_type = "application/problem+json"),
    (status = 415, body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "An image of too many pixels", body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn search(
    State(app): State<App>,
    Upload(request): Upload<SearchRequest>,
) -> Answer<Json<SearchResponse>> {
    let start = Instant::now();
    let library = app.library()?;
    let page = Page::of(&request, app.options().limits.top)?;
    let shows_paths = app.options().shows_paths();
    let mut took = Took { decode: ms(start), ..Took::default() };
    let encoding = Instant::now();
    let encoded = encode(&app, &library, request.query).await?;
    took.encode = ms(encoding);
    let retriever = library.retriever();
    let is_reranked = page.ranking.rerank.is_some();
    let answer = move || {
        let searching = Instant::now();
        let (mut found, groups, next) = page.find(&retriever, &encoded)?;
        took.search = ms(searching);
        let fetching = Instant::now();
        let hits = groups.into_iter().map(|group| hit(&retriever, group, shows_paths)).collect::<Answer<_>>()?;
        took.fetch = ms(fetching);
        took.total = ms(start);
        let total = page.filter.is_none().then(|| retriever.index().count(page.target));
        let probably_none = std::mem::take(&mut found.probably_none);
        let cursor = next.map(|place| URL_SAFE_NO_PAD.encode(format!("from {place}")));
        let notes = notes(&found, encoded.query.parts.len());
        Ok(Json(SearchResponse { hits, cursor, total, took_ms: took, notes, probably_none }))
    };
    // The decoder works on the model's own thread, behind its queue.
    match is_reranked {
        true => library.encoding.run(move |_| Ok(answer())).await?,
        false => App::blocking(answer).await,
    }
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// Which hits are wanted.
struct Page {
    target: Modality,
    top: usize,
    offset: usize,
    filter: Option<Filter>,
    lambda: Option<f32>,
    min_relevance: Option<f32>,
    groups: bool,
    ranking: Ranking,
}

impl Page {
    fn of(request: &SearchRequest, most: usize) -> Answer<Self> {
        if !(1..=most).contains(&request.top) {
            return Err(Problem::invalid(format!("top: found {}, expected 1 to {most}", request.top)));
        }
        if let Some(least) = request.min_relevance {
            // Refused before anything is encoded.
            Found::default().keep_relevant(least)?;
        }
        Ok(Self {
            ranking: ranking(request, most)?,
            target: match request.target {
                Target::Image => Modality::Image,
                Target::Text => Modality::Text,
            },
            top: request.top,
            offset: request.cursor.as_deref().map_or(Ok(0), offset_of)?,
            filter: request.filter.as_deref().filter(|text| !text.trim().is_empty()).map(Filter::parse).transpose()?,
            lambda: request.lambda,
            min_relevance: request.min_relevance,
            groups: request.group_duplicates,
        })
    }

    /// The hits in groups of one content each, and the place of the next page.
    fn find(&self, retriever: &Retriever, encoded: &Encoded) -> Answer<(Found, Vec<Vec<RankedHit>>, Option<usize>)> {
        // One more tells whether there is a next page.
        let mut read = self.top + 1;
        loop {
            let options = SearchOptions {
                offset: self.offset,
                filter: self.filter.as_ref(),
                lambda: self.lambda,
                ..SearchOptions::new(self.target, read)
            };
            let vector = |place: usize, part: &_| encoded.vector(retriever, place, part);
            let mut found = retriever.search_ranked_by(&encoded.query, &options, self.ranking, vector)?;
            let is_end = found.hits.len() < read;
            if let Some(least) = self.min_relevance {
                found.keep_relevant(least)?;
            }
            let is_cut = found.hits.len() < read && !is_end;
            let mut groups = grouped(std::mem::take(&mut found.hits), self.groups);
            if groups.len() <= self.top && !is_end && !is_cut && read < MOST_READ {
                read = (read * 2).min(MOST_READ);
                continue;
            }
            // A group with more hits than are read goes on with the next page.
            let is_more = groups.len() > self.top || !(is_end || is_cut);
            groups.truncate(self.top);
            let shown: usize = groups.iter().map(Vec::len).sum();
            return Ok((found, groups, is_more.then_some(self.offset + shown)));
        }
    }
}

/// What hits are ordered by.
fn ranking(request: &SearchRequest, most: usize) -> Answer<Ranking> {
    if let Some(found) = request.rerank.filter(|count| !(1..=most).contains(count)) {
        return Err(Problem::invalid(format!("rerank: found {found}, expected 1 to {most}")));
    }
    let rerank = request.rerank.map(|candidates| Reranking { candidates, weight: request.rerank_weight });
    Ok(Ranking { keep_hubs: request.keep_hubs, rerank })
}

/// Neighbours of one row, which have one content and one score, as one.
fn grouped(hits: Vec<RankedHit>, groups: bool) -> Vec<Vec<RankedHit>> {
    let mut grouped: Vec<Vec<RankedHit>> = Vec::new();
    for hit in hits {
        match grouped.last_mut() {
            Some(group) if groups && group[0].row == hit.row => group.push(hit),
            _ => grouped.push(vec![hit]),
        }
    }
    grouped
}

/// The place that a cursor stands for.
fn offset_of(cursor: &str) -> Answer<usize> {
    let text = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let place = text.as_deref().and_then(|text| text.strip_prefix("from ")).and_then(|place| place.parse().ok());
    place
        .filter(|&place| place <= DEEPEST)
        .ok_or_else(|| Problem::invalid("the cursor: found another text, expected the cursor of the page before"))
}

/// A path as a client sees it: from the index's folder, unless `shows_paths`, which is for clients of this machine.
pub(super) fn shown_path(retriever: &Retriever, path: String, shows_paths: bool) -> String {
    match retriever.root().filter(|_| !shows_paths) {
        Some(root) => path.strip_prefix(&format!("{}/", root.display())).map_or(path.clone(), str::to_owned),
        None => path,
    }
}

fn hit(retriever: &Retriever, group: Vec<RankedHit>, shows_paths: bool) -> Answer<SearchHit> {
    let shown = |path| shown_path(retriever, path, shows_paths);
    let mut hits = group.into_iter();
    let Some(first) = hits.next() else { return Err(Problem::internal("an empty group of hits")) };
    let image_id = first.image_id.unwrap_or_else(|| first.id.clone());
    let (width, height) = retriever.index().image_of_id(&image_id)?.map_or((0, 0), |item| (item.width, item.height));
    let duplicate = |hit: RankedHit| Duplicate { id: hit.image_id.unwrap_or(hit.id), path: shown(hit.path) };
    Ok(SearchHit {
        rank: first.rank,
        image_id,
        id: first.id,
        path: shown(first.path),
        score: first.score,
        relevance: first.relevance,
        relevance_word: first.relevance.map(|relevance| match relevance {
            LIKELY.. => "likely",
            POSSIBLE.. => "possible",
            _ => "unlikely",
        }),
        parts: first.parts.into(),
        caption: first.caption,
        duplicates: hits.map(duplicate).collect(),
        width,
        height,
    })
}

/// What the user should know.
fn notes(found: &Found, parts: usize) -> Vec<String> {
    let mut notes = Vec::new();
    if !found.unknown_words.is_empty() {
        notes.push(format!("the model has never seen: {}", first_few(&found.unknown_words)));
    }
    if !found.without_words.is_empty() {
        let what = if found.without_words.len() == parts { "there is no word in" } else { "left out, without a word" };
        notes.push(format!("{what}: {}", first_few(&found.without_words)));
    }
    if !found.unknown_fields.is_empty() {
        let unknown = first_few(&found.unknown_fields);
        notes.push(match found.columns.as_slice() {
            [] => format!("no image of the index has the field {unknown}"),
            columns => format!("no image of the index has the field {unknown}; its columns are {}", columns.join(", ")),
        });
    }
    if found.cancels_out {
        notes.push("the parts of the query cancel each other out".into());
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(row: usize, rank: usize) -> RankedHit {
        let parts = ScoreParts { abstract_level: 0.0, grounded_level: 0.0, hubness: None };
        let (id, path, score) = (rank.to_string(), String::new(), 0.0);
        RankedHit { rank, id, path, score, relevance: None, parts, row, caption: None, image_id: None, copies: None }
    }

    #[test]
    fn neighbours_of_one_row_are_one_hit() {
        let hits = || vec![hit(4, 1), hit(4, 2), hit(9, 3), hit(4, 4)];
        let sizes = |groups| grouped(hits(), groups).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!((sizes(true), sizes(false)), (vec![2, 1, 1], vec![1; 4]));
    }

    #[test]
    fn a_cursor_is_one_that_was_given() {
        let cursor = URL_SAFE_NO_PAD.encode("from 20");
        assert_eq!(offset_of(&cursor).unwrap(), 20);
        for bad in ["", "20", "ZnJvbSAtMQ", &URL_SAFE_NO_PAD.encode("from 99999999999")] {
            assert!(offset_of(bad).is_err(), "{bad}");
        }
    }
}
