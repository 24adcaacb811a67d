//! The collections of an index, and the description that each holds.

use crate::protocol::{
    CollectionSchema, DescribeCollectionResponse, FLOAT_VECTOR, FieldSchema, INT64, KeyValuePair, VAR_CHAR,
};
use crate::{MilvusOptions, Samples};
use gxn_base::{Error, Kind, Modality, Result, Similarity};
use gxn_index::kernel::Measure;
use gxn_index::surrogate::Surrogate;
use gxn_index::{Collection, IndexMeta, IndexSettings, Space};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Version of the collections that this build reads and writes.
const VERSION: u64 = 1;
const FORMAT: &str = "gxn-index";
/// The property of a collection that holds its [`Description`].
const PROPERTY: &str = "gxn.index";
/// Most bytes of a text field.
pub(super) const LONGEST_TEXT: usize = 65_535;
/// Most values of a vector field.
const WIDEST: usize = 32_768;
/// The field of the vectors.
pub(super) const VECTOR: &str = "vector";

/// What is kept with each collection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Description {
    format: String,
    version: u64,
    pub(super) model: String,
    pub(super) space: Space,
    pub(super) index_kind: String,
    pub(super) search_params: Map<String, Value>,
    /// Order similarity as inner products, of rows of this modality.
    pub(super) surrogate: Option<Surrogate>,
    pub(super) extra: Map<String, Value>,
}

impl Description {
    pub(super) fn new(
        modality: Modality,
        settings: &IndexSettings,
        options: &MilvusOptions,
        samples: Option<Samples<'_>>,
    ) -> Result<Self> {
        let space = settings.space;
        space.check()?;
        let surrogate = match (space.similarity, samples) {
            (Similarity::Cosine, _) => None,
            (Similarity::Order | Similarity::OrderReversed, None) => {
                let what = "samples for order similarity";
                return Err(Error::invalid(what, "none", "embeddings of images and captions").with_hint(
                    "give some hundred embeddings of each modality: what Milvus compares is fitted to them",
                ));
            }
            (similarity, Some(Samples { images, captions })) => {
                let (rows, queries) = if modality == Modality::Image { (images, captions) } else { (captions, images) };
                Some(Surrogate::fit(Measure::of(similarity, modality), rows, queries, options.surrogate_terms)?)
            }
        };
        let description = Self {
            format: FORMAT.into(),
            version: VERSION,
            model: settings.model.clone(),
            space,
            index_kind: options.index_kind.clone(),
            search_params: options.search_params.clone(),
            surrogate,
            extra: settings.extra.clone(),
        };
        if description.width() > WIDEST {
            let found = format!("{} values", description.width());
            return Err(Error::unsupported("width of a vector in Milvus", found, format!("at most {WIDEST} values"))
                .with_hint("fewer terms of the surrogate make it narrower"));
        }
        Ok(description)
    }

    /// Reads the description of the collection `name`.
    pub(super) fn of(name: &str, answer: &DescribeCollectionResponse) -> Result<Self> {
        let unfit = |kind: Kind, found: String| {
            Error::new(kind, format!("collection {name}"), found, format!("one of version {VERSION} of this program"))
                .with_hint("name another collection, or drop this one and index the images again")
        };
        let malformed = |found: String| unfit(Kind::Damaged, found);
        let property = answer.properties.iter().find(|property| property.key == PROPERTY);
        let text = &property.ok_or_else(|| unfit(Kind::Conflict, "one of another program".into()))?.value;
        let value: Value = serde_json::from_str(text).map_err(|e| malformed(e.to_string()))?;
        if value["format"] != FORMAT || value["version"] != VERSION {
            return Err(unfit(Kind::Unsupported, format!("{} {}", value["format"], value["version"])));
        }
        let description: Self = serde_json::from_value(value).map_err(|e| malformed(e.to_string()))?;
        description.space.check()?;
        if description.surrogate.is_some() == (description.space.similarity == Similarity::Cosine) {
            return Err(malformed("a surrogate that does not belong to the similarity".into()));
        }
        Ok(description)
    }

    /// What the index is made for, without its counts.
    pub(super) fn meta(&self) -> IndexMeta {
        empty_meta(&self.model, self.space, &self.extra)
    }

    pub(super) fn property(&self) -> KeyValuePair {
        pair(PROPERTY, serde_json::to_string(self).expect("a description is plain data"))
    }

    /// Values of a vector: the row `[h ; l]` and, for order similarity, b of it.
    pub(super) fn width(&self) -> usize {
        let dims = self.space.dims();
        dims + self.surrogate.as_ref().map_or(0, |surrogate| surrogate.width(dims))
    }

    /// The vector for a row.
    pub(super) fn vector(&self, row: &[f32]) -> Vec<f32> {
        let mut vector = row.to_vec();
        vector.extend(self.surrogate.iter().flat_map(|surrogate| surrogate.row(row)));
        vector
    }

    /// True if both are collections of one index.
    pub(super) fn belongs_to(&self, other: &Self) -> bool {
        self.model == other.model && self.space == other.space
    }

    pub(super) fn schema(&self, name: &str, modality: Modality) -> CollectionSchema {
        let text = |name: &str| FieldSchema {
            name: name.into(),
            is_primary_key: name == "id",
            data_type: VAR_CHAR,
            type_params: vec![pair("max_length", LONGEST_TEXT.to_string())],
        };
        let number = |name: &str| FieldSchema { name: name.into(), data_type: INT64, ..Default::default() };
        let vector = FieldSchema {
            name: VECTOR.into(),
            data_type: FLOAT_VECTOR,
            type_params: vec![pair("dim", self.width().to_string())],
            ..Default::default()
        };
        let texts = texts(modality).iter().map(|name| text(name));
        let numbers = numbers(modality).iter().map(|name| number(name));
        CollectionSchema { name: name.into(), fields: texts.chain(numbers).chain([vector]).collect() }
    }
}

/// What an index without items is made for.
pub(super) fn empty_meta(model: &str, space: Space, extra: &Map<String, Value>) -> IndexMeta {
    let (images, captions) = (Collection::default(), None);
    IndexMeta { generation: 0, model: model.into(), space, created_unix_s: 0, images, captions, extra: extra.clone() }
}

/// The text fields of a modality: what filters ask for, the item as JSON, and its row, f16 in base64.
pub(super) fn texts(modality: Modality) -> &'static [&'static str] {
    match modality {
        Modality::Image => &["id", "path", "folder", "name", "sha256", "item", "row"],
        Modality::Text => &["id", "image_id", "text", "item", "row"],
    }
}

/// The fields of a modality that are whole numbers.
pub(super) fn numbers(modality: Modality) -> &'static [&'static str] {
    match modality {
        Modality::Image => &["size", "mtime_ms", "width", "height"],
        Modality::Text => &[],
    }
}

pub(super) fn pair(key: &str, value: impl Into<String>) -> KeyValuePair {
    KeyValuePair { key: key.into(), value: value.into() }
}
