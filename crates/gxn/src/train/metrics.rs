//! [`NamedMetrics`]: what updates and validation find, by name.

use std::borrow::Cow;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Ending of the names of times. They differ between runs, so that neither the log nor a saved state has them.
const SECONDS: &str = "_seconds";

/// Numbers by name, in the order in which they were first recorded. Names of an update's numbers begin with a group, as in
/// `caption.loss`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NamedMetrics(Vec<(Cow<'static, str>, f64)>);

impl NamedMetrics {
    /// Sets the number called `name`.
    pub fn record(&mut self, name: impl Into<Cow<'static, str>>, value: f64) {
        *self.entry(name.into()) = value;
    }

    /// The number called `name`, if it was recorded.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.iter().find(|(own, _)| *own == name).map(|(_, value)| value)
    }

    /// All names with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), *value))
    }

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Records all numbers of `other`.
    pub fn extend(&mut self, other: Self) {
        other.0.into_iter().for_each(|(name, value)| self.record(name, value));
    }

    /// Adds the numbers of `other` to those of the same names.
    pub fn add(&mut self, other: &Self) {
        other.0.iter().for_each(|(name, value)| *self.entry(name.clone()) += value);
    }

    /// The numbers of a sum over `steps` steps, divided by their count.
    pub fn over(mut self, steps: usize) -> Self {
        self.0.iter_mut().for_each(|(_, sum)| *sum /= steps.max(1) as f64);
        self
    }

    /// The numbers without times: equal for equal runs.
    pub fn without_times(&self) -> Self {
        Self(self.0.iter().filter(|(name, _)| !name.ends_with(SECONDS)).cloned().collect())
    }

    fn entry(&mut self, name: Cow<'static, str>) -> &mut f64 {
        let at = self.0.iter().position(|(own, _)| *own == name).unwrap_or_else(|| {
            self.0.push((name, 0.0));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }
}

impl<const N: usize> From<[(&'static str, f64); N]> for NamedMetrics {
    fn from(values: [(&'static str, f64); N]) -> Self {
        Self(values.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }
}

impl Serialize for NamedMetrics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        self.iter().try_for_each(|(name, value)| map.serialize_entry(name, &value))?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for NamedMetrics {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = NamedMetrics;

            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("numbers by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NamedMetrics, A::Error> {
                let mut metrics = NamedMetrics::default();
                while let Some((name, value)) = map.next_entry::<String, f64>()? {
                    metrics.record(name, value);
                }
                Ok(metrics)
            }
        }
        deserializer.deserialize_map(Names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (1 + 3) / 2 and 4 / 2: a name that only some steps record counts as 0 in the others.
    #[test]
    fn sums_become_means_and_survive_a_round_trip() {
        let mut sums = NamedMetrics::default();
        sums.add(&[("a.loss", 1.0)].into());
        sums.add(&[("a.loss", 3.0), ("b.loss", 4.0)].into());
        let text = serde_json::to_string(&sums).unwrap();
        assert_eq!(serde_json::from_str::<NamedMetrics>(&text).unwrap(), sums);
        assert_eq!(sums.over(2), [("a.loss", 2.0), ("b.loss", 2.0)].into());
    }

    #[test]
    fn the_last_number_of_a_name_counts_and_times_are_left_out() {
        let mut metrics = NamedMetrics::from([("a", 1.0), ("a_seconds", 9.0)]);
        metrics.record("a", 2.0);
        assert_eq!(metrics.without_times(), [("a", 2.0)].into());
        assert_eq!((metrics.get("a_seconds"), metrics.get("b")), (Some(9.0), None));
    }
}
