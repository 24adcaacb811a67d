//! clip-retrieval's routes, in the shapes that its client (`ClipClient`) sends and reads.

use axum::Json;
use axum::extract::State;
use gxn::retrieve::{Content, Part, Query, RankedHit, Retriever};
use gxn_base::Modality;
use gxn_index::{Index, PartKind, QueryPart, SearchOptions};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::percent_encoded;
use super::query::{Encoded, base64_bytes, check_text, image_bytes};
use super::search::shown_path;
use crate::app::App;
use crate::extract::UntypedBody;
use crate::problem::{Answer, Problem};

/// Ids whose metadata are asked for at once.
const MOST_IDS: usize = 1000;

/// A query of clip-retrieval; fields of features that are not here are read and left alone.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub(crate) struct KnnRequest {
    text: Option<String>,
    /// Base64 of an image file.
    image: Option<String>,
    /// Refused: nothing is fetched.
    image_url: Option<String>,
    /// `[√λ h ; √(1−λ) l]` of a text, as `/v1/embeddings` gives it.
    embedding_input: Option<Vec<f32>>,
    /// `image` or `text`: what to find.
    modality: Option<String>,
    num_images: Option<usize>,
    num_result_ids: Option<usize>,
    indice_name: Option<String>,
}

/// A hit of clip-retrieval.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KnnHit {
    /// The image's row.
    id: usize,
    similarity: f32,
    caption: String,
    /// Where the image is on this server.
    url: String,
    image_path: String,
}

/// Finds images or captions.
#[utoipa::path(post, path = "/knn-service", tag = "clip-retrieval", request_body = KnnRequest, responses(
    (status = 200, body = Vec<KnnHit>),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such index", body = Problem, content_type = "application/problem+json"),
    (status = 409, body = Problem, content_type = "application/problem+json"),
    (status = 413, body = Problem, content_type = "application/problem+json"),
    (status = 415, body = Problem, content_type = "application/problem+json"),
    (status = 422, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn knn_service(
    State(app): State<App>,
    UntypedBody(request): UntypedBody<KnnRequest>,
) -> Answer<Json<Vec<KnnHit>>> {
    let library = app.library()?;
    let limits = &app.options().limits;
    check_name(request.indice_name.as_deref(), &library.model.name)?;
    let target = match request.modality.as_deref() {
        None | Some("image") => Modality::Image,
        Some("text") => Modality::Text,
        Some(other) => return Err(Problem::invalid(format!("modality: found {other:?}, expected image or text"))),
    };
    let top = request.num_images.or(request.num_result_ids).unwrap_or(20).clamp(1, limits.top);
    if request.image_url.is_some() {
        return Err(Problem::invalid("image_url: found an address, expected an image in `image`")
            .with_remedy("send the image itself: nothing is fetched from elsewhere"));
    }
    let retriever = library.retriever();
    let shows_paths = app.options().shows_paths();
    // Refused before anything is encoded.
    folder(&retriever)?;
    if let Some(vector) = request.embedding_input {
        let space = retriever.encoder().space();
        return App::blocking(move || {
            let vector = unscaled(vector, &space)?;
            let kind = if target == Modality::Image { PartKind::Cross } else { PartKind::Same };
            let part = QueryPart { vector: &vector, weight: 1.0, kind };
            let hits = retriever.index().search(&[part], &SearchOptions::new(target, top))?;
            let hit = |hit: gxn_index::Hit| {
                let (caption, image) = hit.caption.map_or((String::new(), hit.id), |c| (c.text, c.image_id));
                let path = image_path(&retriever, &hit.path, shows_paths);
                knn_hit(&retriever, hit.score, caption, &image, path)
            };
            hits.into_iter().map(hit).collect::<Answer<_>>().map(Json)
        })
        .await;
    }
    let (content, vector) = match (request.text, request.image) {
        (Some(text), None) => {
            check_text(&text, limits)?;
            let vector = library.encoding.texts(vec![text.clone()]).await?.remove(0);
            (Content::Text(text), vector)
        }
        (None, Some(image)) => {
            let is_uri = image.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("data:"));
            let bytes = if is_uri { image_bytes(&image)? } else { base64_bytes(&image)? };
            (Content::Bytes(Vec::new()), library.encoding.images(vec![bytes]).await?.remove(0).embedding)
        }
        _ => return Err(Problem::invalid("the query: expected one of `text`, `image` and `embedding_input`")),
    };
    let query = Query { parts: vec![Part { content, weight: 1.0, is_weight_written: false }] };
    let encoded = Encoded { query, vectors: vec![Some(vector)] };
    App::blocking(move || {
        let vector = |place: usize, part: &_| encoded.vector(&retriever, place, part);
        let found = retriever.search_by(&encoded.query, &SearchOptions::new(target, top), vector)?;
        let hit = |hit: RankedHit| {
            let image = hit.image_id.unwrap_or(hit.id);
            let path = shown_path(&retriever, hit.path, shows_paths);
            knn_hit(&retriever, hit.score, hit.caption.unwrap_or_default(), &image, path)
        };
        found.hits.into_iter().map(hit).collect::<Answer<_>>().map(Json)
    })
    .await
}

/// The index, which must lie in a folder.
fn folder(retriever: &Retriever) -> Answer<&Index> {
    retriever.index().folder().ok_or_else(|| {
        Problem::conflict("the index: found one in Milvus, whose rows have no numbers, expected one in a folder")
            .with_remedy("use /v1/search")
    })
}

/// A hit under its image's row, by which its metadata are asked for.
fn knn_hit(retriever: &Retriever, similarity: f32, caption: String, image: &str, image_path: String) -> Answer<KnnHit> {
    let row = folder(retriever)?.row_of(Modality::Image, image)?;
    let id = row.ok_or_else(|| Problem::internal("a hit without an image"))?;
    let url = format!("/v1/items/{}/original", percent_encoded(image));
    Ok(KnnHit { id, similarity, caption, url, image_path })
}

/// The path of an item of the index: the whole of it for clients of this machine, else from the index's folder.
fn image_path(retriever: &Retriever, path: &str, shows_paths: bool) -> String {
    match retriever.root().filter(|_| shows_paths) {
        Some(root) => root.join(path).display().to_string(),
        None => path.to_owned(),
    }
}

/// `[h ; l]` of what `/v1/embeddings` gave.
fn unscaled(mut vector: Vec<f32>, space: &gxn_index::Space) -> Answer<Vec<f32>> {
    if vector.len() != space.dims() {
        let (found, expected) = (vector.len(), space.dims());
        return Err(Problem::invalid(format!("embedding_input: found {found} values, expected {expected}")));
    }
    if vector.iter().any(|value| !value.is_finite()) {
        return Err(Problem::invalid("embedding_input: found a value that is no number"));
    }
    if space.similarity == gxn_base::Similarity::Cosine {
        let (low, high) = vector.split_at_mut(space.dims_abstract);
        let scale = |values: &mut [f32], weight: f32| {
            if weight > 0.0 {
                values.iter_mut().for_each(|value| *value /= weight.sqrt());
            }
        };
        scale(low, space.lambda);
        scale(high, 1.0 - space.lambda);
    }
    Ok(vector)
}

fn check_name(asked: Option<&str>, name: &str) -> Answer<()> {
    match asked {
        Some(asked) if asked != name => {
            Err(Problem::not_found(format!("indice_name: found {asked:?}, expected {name:?}"))
                .with_remedy("GET /indices-list names it"))
        }
        _ => Ok(()),
    }
}

/// Rows whose metadata are asked for.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct MetadataRequest {
    ids: Vec<usize>,
    indice_name: Option<String>,
}

/// What is known of a row.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MetadataEntry {
    id: usize,
    #[schema(value_type = Object)]
    metadata: Map<String, Value>,
}

/// What is known of images, by their rows.
#[utoipa::path(post, path = "/metadata", tag = "clip-retrieval", request_body = MetadataRequest, responses(
    (status = 200, body = Vec<MetadataEntry>),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 404, body = Problem, content_type = "application/problem+json"),
    (status = 413, body = Problem, content_type = "application/problem+json"),
    (status = 415, body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn metadata(
    State(app): State<App>,
    UntypedBody(request): UntypedBody<MetadataRequest>,
) -> Answer<Json<Vec<MetadataEntry>>> {
    let library = app.library()?;
    check_name(request.indice_name.as_deref(), &library.model.name)?;
    if request.ids.len() > MOST_IDS {
        return Err(Problem::too_large(format!("ids: found {}, expected at most {MOST_IDS}", request.ids.len())));
    }
    let retriever = library.retriever();
    let shows_paths = app.options().shows_paths();
    App::blocking(move || {
        let index = folder(&retriever)?;
        let entry = |id: usize| {
            let item = index.image(id)?;
            let captions = index.captions_of_image(&item.id)?;
            let mut metadata = item.meta;
            metadata.insert("url".into(), format!("/v1/items/{}/original", percent_encoded(&item.id)).into());
            metadata.insert("image_path".into(), image_path(&retriever, &item.path, shows_paths).into());
            if let Some(caption) = captions.into_iter().next() {
                metadata.insert("caption".into(), caption.text.into());
            }
            Ok(MetadataEntry { id, metadata })
        };
        request.ids.into_iter().map(entry).collect::<Answer<_>>().map(Json)
    })
    .await
}

/// The names of the indexes; there is one, called as the model.
#[utoipa::path(get, path = "/indices-list", tag = "clip-retrieval", responses((status = 200, body = Vec<String>)))]
pub(crate) async fn indices_list(State(app): State<App>) -> Answer<Json<Vec<String>>> {
    Ok(Json(vec![app.library()?.model.name.clone()]))
}
