//! [`Metrics`] in JSON: a flat object of the twelve keys and the aliases of CLIP_benchmark and the mean recall, in percent like the rest.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{METRIC_KEYS, Metrics};

/// Names that CLIP_benchmark gives to some of [`Metrics::values`].
const ALIASES: [(&str, usize); 6] = [
    ("image_retrieval_recall@1", 5),
    ("image_retrieval_recall@5", 6),
    ("image_retrieval_recall@10", 7),
    ("text_retrieval_recall@1", 0),
    ("text_retrieval_recall@5", 1),
    ("text_retrieval_recall@10", 2),
];

impl Serialize for Metrics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let values = self.values();
        let mut map = serializer.serialize_map(Some(values.len() + ALIASES.len() + 1))?;
        for (key, value) in METRIC_KEYS.iter().zip(values) {
            map.serialize_entry(key, &value)?;
        }
        for (key, place) in ALIASES {
            map.serialize_entry(key, &values[place])?;
        }
        map.serialize_entry("mean_recall", &self.mean_recall())?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Metrics {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = BTreeMap::<String, f64>::deserialize(deserializer)?;
        let mut values = [0.0; 12];
        for (value, key) in values.iter_mut().zip(METRIC_KEYS) {
            *value = *map.get(key).ok_or_else(|| D::Error::custom(format!("metrics without `{key}`")))?;
        }
        Ok(Self::from_values(&values))
    }
}
