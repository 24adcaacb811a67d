//! Adding, replacing and removing items in Milvus.

use crate::MilvusStore;
use crate::expression::quoted;
use crate::protocol::*;
use crate::schema::{Description, LONGEST_TEXT, VECTOR, numbers, texts};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gxn_base::{Error, Modality, Result};
use gxn_index::{CaptionItem, ImageItem};
use half::f16;
use half::slice::HalfFloatSliceExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::sync::atomic::Ordering;

/// Bytes of vectors sent at once; servers refuse messages of some 64 MiB.
const SENT_BYTES: usize = 4 << 20;
/// Ids in one expression.
pub(super) const IDS: usize = 500;

/// An item that Milvus can keep.
pub(super) trait Columns: Serialize + DeserializeOwned {
    /// Images or captions.
    const MODALITY: Modality;

    fn id(&self) -> &str;

    /// Key of the content: what is encoded. Empty if it is not known.
    fn content(&self) -> &str;

    /// The image that a caption belongs to.
    fn image_id(&self) -> Option<&str> {
        None
    }

    /// The value of a text field, if it is one of the item's own.
    fn text(&self, field: &str) -> Option<&str>;

    /// The value of a field that is a whole number; 0 if it is not known.
    fn number(&self, field: &str) -> i64;
}

impl Columns for ImageItem {
    const MODALITY: Modality = Modality::Image;

    fn id(&self) -> &str {
        &self.id
    }

    fn content(&self) -> &str {
        &self.sha256
    }

    fn text(&self, field: &str) -> Option<&str> {
        let (folder, name) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        Some(match field {
            "id" => &self.id,
            "path" => &self.path,
            "folder" => folder,
            "name" => name,
            "sha256" => &self.sha256,
            _ => return None,
        })
    }

    fn number(&self, field: &str) -> i64 {
        match field {
            "size" => i64::try_from(self.size).unwrap_or(i64::MAX),
            "mtime_ms" => self.mtime_unix_ms,
            "width" => self.width.into(),
            _ => self.height.into(),
        }
    }
}

impl Columns for CaptionItem {
    const MODALITY: Modality = Modality::Text;

    fn id(&self) -> &str {
        &self.id
    }

    fn content(&self) -> &str {
        &self.text
    }

    fn image_id(&self) -> Option<&str> {
        Some(&self.image_id)
    }

    fn text(&self, field: &str) -> Option<&str> {
        Some(match field {
            "id" => &self.id,
            "image_id" => &self.image_id,
            "text" => &self.text,
            _ => return None,
        })
    }

    fn number(&self, _: &str) -> i64 {
        0
    }
}

/// An item and its row as they are sent.
struct Entity<'a, T> {
    item: &'a T,
    json: String,
    row: String,
    vector: Vec<f32>,
}

impl<'a, T: Columns> Entity<'a, T> {
    fn new(description: &Description, item: &'a T, embedding: &[f32]) -> Result<Self> {
        let half = to_half(item.id(), embedding)?;
        let bytes: Vec<u8> = half.iter().flat_map(|v| v.to_le_bytes()).collect();
        let kept: Vec<f32> = half.iter().map(|v| v.to_f32()).collect();
        let entity = Self {
            item,
            json: serde_json::to_string(item).expect("items are plain data"),
            row: STANDARD.encode(bytes),
            vector: description.vector(&kept),
        };
        for field in texts(T::MODALITY) {
            let length = entity.text(field).len();
            if length > LONGEST_TEXT {
                let shown: String = item.id().chars().take(100).collect();
                let what = format!("field {field} of {shown}");
                let (found, expected) = (format!("{length} bytes"), format!("at most {LONGEST_TEXT} bytes"));
                return Err(Error::unsupported(what, found, format!("{expected}, the limit of Milvus"))
                    .with_hint("keep less with the item, or use an index in a folder"));
            }
        }
        Ok(entity)
    }

    fn text(&self, field: &str) -> &str {
        match field {
            "item" => &self.json,
            "row" => &self.row,
            own => self.item.text(own).unwrap_or(""),
        }
    }
}

impl MilvusStore {
    /// Adds or replaces items; `embeddings` is `[items, dims]`.
    pub(super) fn upsert<T: Columns>(&self, items: &[T], embeddings: &[f32]) -> Result<()> {
        let description = self.description(T::MODALITY);
        let dims = description.space.dims();
        // Of an id that is there twice the last counts; Milvus would keep either.
        let last: HashMap<&str, usize> = items.iter().enumerate().map(|(at, item)| (item.id(), at)).collect();
        let mut kept: Vec<usize> = last.into_values().collect();
        kept.sort_unstable();
        let entities =
            kept.into_iter().map(|at| Entity::new(description, &items[at], &embeddings[at * dims..][..dims]));
        // All are checked before the first is sent.
        let entities = entities.collect::<Result<Vec<_>>>()?;
        let at_once = (SENT_BYTES / (4 * description.width())).clamp(1, 1000);
        entities.chunks(at_once).try_for_each(|entities| self.send(description, entities))
    }

    fn send<T: Columns>(&self, description: &Description, entities: &[Entity<'_, T>]) -> Result<()> {
        let text = |name: &str| {
            let data = entities.iter().map(|entity| entity.text(name).to_string()).collect();
            let scalars = ScalarField { string_data: Some(StringArray { data }), ..Default::default() };
            FieldData { data_type: VAR_CHAR, field_name: name.into(), scalars: Some(scalars), vectors: None }
        };
        let number = |name: &str| {
            let data = entities.iter().map(|entity| entity.item.number(name)).collect();
            let scalars = ScalarField { long_data: Some(LongArray { data }), ..Default::default() };
            FieldData { data_type: INT64, field_name: name.into(), scalars: Some(scalars), vectors: None }
        };
        let data = entities.iter().flat_map(|entity| entity.vector.iter().copied()).collect();
        let vectors = VectorField { dim: description.width() as i64, float_vector: Some(FloatArray { data }) };
        let vector =
            FieldData { data_type: FLOAT_VECTOR, field_name: VECTOR.into(), scalars: None, vectors: Some(vectors) };
        let fields = texts(T::MODALITY).iter().map(|name| text(name));
        let fields = fields.chain(numbers(T::MODALITY).iter().map(|name| number(name))).chain([vector]);
        let request = UpsertRequest {
            collection_name: self.collection(T::MODALITY),
            fields_data: fields.collect(),
            num_rows: entities.len() as u32,
        };
        self.written(&self.client.ask(request)?);
        Ok(())
    }

    /// Later searches wait until the server finds what was written.
    fn written(&self, written: &MutationResult) {
        self.last_write.fetch_max(written.timestamp, Ordering::Relaxed);
    }

    /// Refuses captions whose image is not there.
    pub(super) fn require_images_of(&self, captions: &[CaptionItem]) -> Result<()> {
        let mut wanted: Vec<&str> = captions.iter().map(|caption| caption.image_id.as_str()).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let found = self.present(Modality::Image, &wanted)?;
        match wanted.iter().find(|id| found.binary_search_by(|found| found.as_str().cmp(id)).is_err()) {
            None => Ok(()),
            Some(id) => {
                Err(Error::not_found(format!("image {id} of a caption"), "no such image", "an image of the index")
                    .with_hint("add the image first, or leave its captions out"))
            }
        }
    }

    pub(super) fn delete(&self, modality: Modality, ids: &[&str]) -> Result<u64> {
        let mut wanted = ids.to_vec();
        wanted.sort_unstable();
        wanted.dedup();
        let mut removed = 0;
        for ids in wanted.chunks(IDS) {
            let found = self.present(modality, ids)?;
            if modality == Modality::Image {
                // The captions first: an image that is left without them can be removed again.
                loop {
                    let captions = self.ids(Modality::Text, &one_of("image_id", &found))?;
                    if captions.is_empty() {
                        break;
                    }
                    self.delete_ids(Modality::Text, &captions)?;
                }
            }
            self.delete_ids(modality, &found)?;
            removed += found.len() as u64;
        }
        Ok(removed)
    }

    fn delete_ids(&self, modality: Modality, ids: &[String]) -> Result<()> {
        for ids in ids.chunks(IDS) {
            let request = DeleteRequest { collection_name: self.collection(modality), expr: one_of("id", ids) };
            self.written(&self.ask_loaded(modality, request)?);
        }
        Ok(())
    }

    /// Those of `ids` that are there, sorted.
    fn present(&self, modality: Modality, ids: &[&str]) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for ids in ids.chunks(IDS) {
            found.extend(self.ids(modality, &one_of("id", ids))?);
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// Ids of items that pass an expression, some thousands at most.
    fn ids(&self, modality: Modality, expression: &str) -> Result<Vec<String>> {
        if expression.ends_with("[]") {
            return Ok(Vec::new());
        }
        let mut columns = self.query(modality, expression, &["id"])?;
        Ok(columns.remove(0))
    }
}

/// The expression for some values of a text field.
pub(super) fn one_of(field: &str, values: &[impl AsRef<str>]) -> String {
    let values: Vec<String> = values.iter().map(|value| quoted(value.as_ref())).collect();
    format!("{field} in [{}]", values.join(", "))
}

/// The row as f16 keeps it.
fn to_half(id: &str, embedding: &[f32]) -> Result<Vec<f16>> {
    let mut half = vec![f16::ZERO; embedding.len()];
    half.convert_from_f32_slice(embedding);
    match half.iter().position(|v| !v.is_finite()) {
        None => Ok(half),
        Some(at) => {
            let (found, expected) = (format!("{} at place {at}", embedding[at]), "a finite number within ±65504");
            Err(Error::invalid(format!("embedding of {id}"), found, format!("{expected}, the range of f16"))
                .with_hint("the encoder returned an unusable vector: check the model's weights and this item"))
        }
    }
}

/// A row as it was sent; `None` if it is damaged.
pub(super) fn from_base64(row: &str, dims: usize) -> Option<Vec<f16>> {
    let bytes = STANDARD.decode(row).ok().filter(|bytes| bytes.len() == 2 * dims)?;
    Some(bytes.chunks_exact(2).map(|pair| f16::from_le_bytes([pair[0], pair[1]])).collect())
}
