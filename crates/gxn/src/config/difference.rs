//! [`Difference`]: what two configurations do not agree on.

use std::collections::{BTreeMap, BTreeSet};

use super::RunConfig;

/// A key that two configurations set differently; values as TOML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The key, such as `train.epochs`.
    pub key: String,
    /// Its value in the first.
    pub own: String,
    /// Its value in the second.
    pub other: String,
}

impl RunConfig {
    /// The keys with other values in `other`. Where a run begins (`train.init_from`, `train.merge_from`) and what computes
    /// (`train.device`) are matters of this machine and do not count.
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        let flat = |config: &Self| -> BTreeMap<String, String> {
            let table = config.clone().with_absolute_paths().to_toml().parse::<toml::Table>().expect("written as TOML");
            let mut values = BTreeMap::new();
            flatten("", &toml::Value::Table(table), &mut values);
            values.retain(|key, _| !matches!(key.as_str(), "train.init_from" | "train.merge_from" | "train.device"));
            values
        };
        let (own, other) = (flat(self), flat(other));
        let of = |values: &BTreeMap<String, String>, key: &str| values.get(key).map_or("unset".into(), String::clone);
        let keys: BTreeSet<&String> = own.keys().chain(other.keys()).collect();
        keys.into_iter()
            .map(|key| Difference { key: key.clone(), own: of(&own, key), other: of(&other, key) })
            .filter(|difference| difference.own != difference.other)
            .collect()
    }
}

/// The values below `value` by their dotted keys.
fn flatten(key: &str, value: &toml::Value, into: &mut BTreeMap<String, String>) {
    match value {
        toml::Value::Table(table) => {
            for (name, value) in table {
                let below = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                flatten(&below, value, into);
            }
        }
        _ => {
            into.insert(key.to_string(), value.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_named_and_places_do_not_count() {
        let own = RunConfig::default();
        let mut other = own.clone();
        other.train.init_from = Some("elsewhere".into());
        other.train.device = "cuda:1".parse().unwrap();
        assert_eq!(own.differences(&other), []);
        other.train.epochs += 1;
        other.data.options.images = Some("photos".into());
        let keys: Vec<(String, String)> = own.differences(&other).into_iter().map(|d| (d.key, d.own)).collect();
        let epochs = own.train.epochs.to_string();
        assert_eq!(keys, [("data.images".into(), "unset".into()), ("train.epochs".into(), epochs)]);
        let whole = other.clone().with_absolute_paths();
        assert_eq!((other.differences(&whole), whole != other), (vec![], true), "one path in two spellings");
    }
}
