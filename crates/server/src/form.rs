//! [`FormRequest`]: a form with files (`multipart/form-data`) as the JSON of the same request.
//!
//! A form says what the JSON says: its texts become strings, numbers or truth values, its files data URIs. So both have the same
//! checks and the same errors.

use axum::body::Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use multer::{Field, Multipart, parse_boundary};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::problem::{Answer, Problem};

/// A request that can be sent as a form.
pub(crate) trait FormRequest: DeserializeOwned {
    /// Fields whose values are texts, whatever they look like.
    const TEXTS: &'static [&'static str];

    /// The JSON that a form's fields stand for: each field is one key, unless the request says otherwise.
    ///
    /// # Errors
    /// When the fields do not belong together.
    fn arranged(fields: Vec<FormField>) -> Answer<Map<String, Value>> {
        let mut map = Map::new();
        fields.into_iter().try_for_each(|field| insert(&mut map, field.name, field.value))?;
        Ok(map)
    }
}

/// A field of a form.
#[derive(Debug)]
pub(crate) struct FormField {
    pub name: String,
    /// Of a file, its name on the sender's computer.
    pub file_name: Option<String>,
    pub value: Value,
}

/// Sets a key that is not there yet.
pub(crate) fn insert(map: &mut Map<String, Value>, name: String, value: Value) -> Answer<()> {
    if map.contains_key(&name) {
        return Err(Problem::invalid(format!("the form: found {name:?} more than once, expected it once")));
    }
    map.insert(name, value);
    Ok(())
}

/// Reads a form whose header `Content-Type` is `content_type`.
pub(crate) async fn read_form<T: FormRequest>(content_type: &str, body: Bytes) -> Answer<T> {
    let boundary = parse_boundary(content_type).map_err(invalid)?;
    let mut form = Multipart::new(tokio_stream::once(Ok::<_, std::io::Error>(body)), boundary);
    let mut fields = Vec::new();
    while let Some(field) = form.next_field().await.map_err(invalid)? {
        fields.push(read_field(field, T::TEXTS).await?);
    }
    let json = Value::Object(T::arranged(fields)?);
    serde_json::from_value(json).map_err(|error| Problem::invalid(format!("the form: {error}")))
}

async fn read_field(field: Field<'_>, texts: &[&str]) -> Answer<FormField> {
    let name = field.name().ok_or_else(|| Problem::invalid("the form: found a field without a name"))?.to_owned();
    let file_name = field.file_name().map(str::to_owned);
    let kind = field.content_type().map(|kind| kind.essence_str().to_ascii_lowercase());
    let is_file = file_name.is_some() || kind.as_ref().is_some_and(|kind| kind != "text/plain");
    if !is_file {
        let text = field.text().await.map_err(invalid)?;
        let value = if texts.contains(&name.as_str()) { text.into() } else { plain(text) };
        return Ok(FormField { name, file_name, value });
    }
    match kind {
        Some(kind) if !kind.starts_with("image/") && kind != "application/octet-stream" => {
            let found = format!("the content type of {name:?}: found {kind:?}, expected that of an image");
            return Err(Problem::media_type(found));
        }
        _ => {}
    }
    let bytes = field.bytes().await.map_err(invalid)?;
    // What it really is, its bytes say.
    let value = format!("data:image/file;base64,{}", STANDARD.encode(&bytes)).into();
    Ok(FormField { name, file_name, value })
}

/// A number or a truth value, where a text is one.
fn plain(text: String) -> Value {
    match serde_json::from_str(&text) {
        Ok(value @ (Value::Bool(_) | Value::Number(_))) => value,
        _ => text.into(),
    }
}

fn invalid(error: multer::Error) -> Problem {
    Problem::invalid(format!("the form: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_truth_values_are_no_texts() {
        let of = |text: &str| plain(text.to_owned());
        assert_eq!((of("5"), of("0.5"), of("true")), (5.into(), 0.5.into(), true.into()));
        assert_eq!((of("[1]"), of("red"), of("")), ("[1]".into(), "red".into(), "".into()));
    }

    #[test]
    fn a_key_comes_once() {
        let mut map = Map::new();
        insert(&mut map, "top".into(), 5.into()).unwrap();
        let detail = insert(&mut map, "top".into(), 6.into()).unwrap_err().detail;
        assert!(detail.contains("\"top\" more than once"), "{detail}");
    }
}
