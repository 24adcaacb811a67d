//! [`Section`]: typed reading of one object of a `config.json`.

use gxn_base::{Error, Result};
use serde_json::Value;

use crate::kernel::Activation;

/// One object of a `config.json`. A key that is missing or `null` has the default that the caller names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Section<'a> {
    value: &'a Value,
    /// What messages call the object, such as `config.json, text_config`.
    place: &'a str,
}

impl<'a> Section<'a> {
    /// The object `value`, called `place` in messages.
    pub(crate) fn new(value: &'a Value, place: &'a str) -> Self {
        Self { value, place }
    }

    fn get(&self, key: &str) -> Option<&'a Value> {
        self.value.get(key).filter(|value| !value.is_null())
    }

    fn wrong(&self, key: &str, found: &Value, expected: &str) -> Error {
        Error::invalid(format!("{}, {key}", self.place), found.to_string(), expected)
    }

    /// A count of at least one.
    pub(crate) fn size(&self, key: &str, default: usize) -> Result<usize> {
        let Some(found) = self.get(key) else { return Ok(default) };
        let size = found.as_u64().and_then(|size| usize::try_from(size).ok()).filter(|&size| size > 0);
        size.ok_or_else(|| self.wrong(key, found, "a whole number above 0"))
    }

    /// A side of a square: a count, or a list of two equal ones.
    pub(crate) fn side(&self, key: &str, default: usize) -> Result<usize> {
        let Some(Value::Array(sides)) = self.get(key) else { return self.size(key, default) };
        let side = sides.first().and_then(Value::as_u64).and_then(|side| usize::try_from(side).ok());
        let square = sides.len() == 2 && sides[0] == sides[1];
        side.filter(|&side| square && side > 0)
            .ok_or_else(|| self.wrong(key, &Value::Array(sides.clone()), "the side of a square, in pixels"))
    }

    /// A positive real number.
    pub(crate) fn positive(&self, key: &str, default: f64) -> Result<f64> {
        let Some(found) = self.get(key) else { return Ok(default) };
        found.as_f64().filter(|&x| x > 0.0).ok_or_else(|| self.wrong(key, found, "a number above 0"))
    }

    /// True or false.
    pub(crate) fn flag(&self, key: &str, default: bool) -> Result<bool> {
        let Some(found) = self.get(key) else { return Ok(default) };
        found.as_bool().ok_or_else(|| self.wrong(key, found, "true or false"))
    }

    /// The number of a token.
    pub(crate) fn token(&self, key: &str, default: u32) -> Result<u32> {
        let Some(found) = self.get(key) else { return Ok(default) };
        let token = found.as_u64().and_then(|token| u32::try_from(token).ok());
        token.ok_or_else(|| self.wrong(key, found, "the number of one token"))
    }

    /// An activation by its name in transformers.
    pub(crate) fn activation(&self, key: &str, default: Activation) -> Result<Activation> {
        let Some(found) = self.get(key) else { return Ok(default) };
        match found.as_str() {
            Some("gelu") => Ok(Activation::Gelu),
            Some("quick_gelu") => Ok(Activation::QuickGelu),
            Some("gelu_pytorch_tanh" | "gelu_new" | "gelu_fast") => Ok(Activation::TanhGelu),
            Some("relu") => Ok(Activation::Relu),
            _ => Err(Error::unsupported(
                format!("{}, {key}", self.place),
                found.to_string(),
                "gelu, quick_gelu, gelu_pytorch_tanh, gelu_new, gelu_fast or relu",
            )),
        }
    }

    /// An error where `key` asks for something else than `readable`, which is also what its absence means.
    pub(crate) fn only(&self, key: &str, readable: &Value) -> Result<()> {
        match self.get(key) {
            Some(found) if found != readable => {
                Err(Error::unsupported(format!("{}, {key}", self.place), found.to_string(), readable.to_string()))
            }
            _ => Ok(()),
        }
    }
}
