//! What a request asks for: parts with weights, images as data URIs.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use gxn::retrieve::{Content, Part, Query, Retriever};
use gxn_data::has_word;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::library::Library;
use crate::options::Limits;
use crate::problem::{Answer, Problem};

/// One part of a query: a text, an image or an item, with a weight.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct QueryPart {
    /// Words.
    #[schema(example = "two dogs on a beach")]
    pub text: Option<String>,
    /// An image as a data URI.
    pub image: Option<String>,
    /// The id of an image of the index.
    pub id: Option<String>,
    /// Below zero it counts against an item.
    #[serde(default = "one")]
    #[schema(default = 1.0, minimum = -1000.0, maximum = 1000.0)]
    pub weight: f32,
}

fn one() -> f32 {
    1.0
}

/// Largest weight.
const MOST_WEIGHT: f32 = 1000.0;

/// A query, and the embedding of each part that needed the model.
pub(crate) struct Encoded {
    pub query: Query,
    pub vectors: Vec<Option<Vec<f32>>>,
}

impl Encoded {
    /// The embedding of a part: of an item that the index has it, of all else what was encoded.
    pub fn vector(&self, retriever: &Retriever, place: usize, part: &Part) -> gxn_base::Result<Vec<f32>> {
        match self.vectors.get(place).and_then(Option::as_ref) {
            Some(vector) => Ok(vector.clone()),
            None => retriever.embedding(&part.content),
        }
    }
}

/// Checks a text's length.
pub(crate) fn check_text(text: &str, limits: &Limits) -> Answer<()> {
    // Bytes are never fewer than characters.
    if text.len() <= limits.text_chars || text.chars().count() <= limits.text_chars {
        return Ok(());
    }
    let (found, most) = (text.chars().count(), limits.text_chars);
    Err(Problem::too_large(format!("a text: found {found} characters, expected at most {most}")))
}

/// The bytes of a data URI.
pub(crate) fn image_bytes(uri: &str) -> Answer<Vec<u8>> {
    const EXPECTED: &str = "a data URI such as data:image/jpeg;base64,…";
    let scheme = uri.get(..5).unwrap_or_default();
    if !scheme.eq_ignore_ascii_case("data:") {
        let found = match uri.split_once(':') {
            Some((scheme @ ("http" | "https" | "file" | "ftp"), _)) => format!("an address ({scheme})"),
            _ => "no data URI".to_owned(),
        };
        return Err(Problem::invalid(format!("an image: found {found}, expected {EXPECTED}"))
            .with_remedy("send the image itself: nothing is fetched from elsewhere"));
    }
    let (head, data) = uri[5..]
        .split_once(',')
        .ok_or_else(|| Problem::invalid(format!("an image: found a data URI without data, expected {EXPECTED}")))?;
    let (kind, encoding) = head.rsplit_once(';').unwrap_or((head, ""));
    if !kind.to_ascii_lowercase().starts_with("image/") || !encoding.eq_ignore_ascii_case("base64") {
        return Err(Problem::invalid(format!("an image: found {head:?}, expected {EXPECTED}")));
    }
    base64_bytes(data)
}

/// The bytes behind base64, with or without padding.
pub(crate) fn base64_bytes(data: &str) -> Answer<Vec<u8>> {
    let data = data.trim();
    let decoded = STANDARD.decode(data).or_else(|_| STANDARD_NO_PAD.decode(data));
    decoded.map_err(|error| Problem::invalid(format!("an image: found base64 that cannot be decoded ({error})")))
}

/// Reads the parts and encodes them.
pub(crate) async fn encode(app: &App, library: &Library, parts: Vec<QueryPart>) -> Answer<Encoded> {
    let limits = &app.options().limits;
    if parts.is_empty() {
        return Err(Problem::invalid("the query: found no part, expected at least one"));
    }
    if parts.len() > limits.parts {
        let (found, most) = (parts.len(), limits.parts);
        return Err(Problem::too_large(format!("the query: found {found} parts, expected at most {most}")));
    }
    let (mut query, mut texts, mut images) = (Query::default(), Vec::new(), Vec::new());
    for (place, part) in parts.into_iter().enumerate() {
        let weight = part.weight;
        if !(weight.is_finite() && weight.abs() <= MOST_WEIGHT) {
            return Err(Problem::invalid(format!(
                "a weight: found {weight}, expected -{MOST_WEIGHT} to {MOST_WEIGHT}"
            )));
        }
        let content = match (part.text, part.image, part.id) {
            (Some(text), None, None) => {
                check_text(&text, limits)?;
                if has_word(&text) {
                    texts.push((place, text.clone()));
                }
                Content::Text(text)
            }
            (None, Some(uri), None) => {
                images.push((place, image_bytes(&uri)?));
                // The bytes are encoded below and needed no more.
                Content::Bytes(Vec::new())
            }
            (None, None, Some(id)) => Content::Item(id),
            _ => {
                return Err(Problem::invalid("a part of the query: expected exactly one of `text`, `image` and `id`"));
            }
        };
        query.parts.push(Part { content, weight, is_weight_written: false });
    }
    let mut vectors = vec![None; query.parts.len()];
    let (places, texts): (Vec<usize>, Vec<String>) = texts.into_iter().unzip();
    for (place, vector) in places.into_iter().zip(library.encoding.texts(texts).await?) {
        vectors[place] = Some(vector);
    }
    let (places, images): (Vec<usize>, Vec<Vec<u8>>) = images.into_iter().unzip();
    for (place, encoded) in places.into_iter().zip(library.encoding.images(images).await?) {
        vectors[place] = Some(encoded.embedding);
    }
    Ok(Encoded { query, vectors })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_data_uris_of_images_are_read() {
        assert_eq!(image_bytes("data:image/png;base64,aGk=").unwrap(), b"hi");
        assert_eq!(image_bytes("DATA:image/PNG;charset=x;BASE64,aGk").unwrap(), b"hi");
        for bad in [
            "",
            "http://x/y.png",
            "file:///etc/passwd",
            "data:",
            "data:image/png,hi",
            "data:text/html;base64,aGk=",
            "data:image/png;base64,%%",
            "dätä:",
        ] {
            assert_eq!(image_bytes(bad).unwrap_err().status.as_u16(), 400, "{bad}");
        }
        assert!(image_bytes("https://a/b.jpg").unwrap_err().remedy.unwrap().contains("nothing is fetched"));
    }
}
