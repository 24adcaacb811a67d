//! The keys of preprocessor_config.json, with the defaults of transformers' image processors.

use gxn_base::{Error, Result};
use gxn_data::ResizeFilter;
use serde_json::Value;

use crate::Family;

/// The largest side of an encoder's images; far above any that is published.
const MAX_SIDE: u64 = 4096;

/// The size that an image is brought to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TargetSize {
    /// Height and width; the shape is given up.
    Both([usize; 2]),
    /// The shorter side; the shape is kept.
    Shorter(usize),
}

/// The settings of an image processor.
pub(crate) struct Settings<'a> {
    json: &'a Value,
    kind: Kind,
    file: &'a str,
}

/// Image processors with defaults of their own.
#[derive(PartialEq)]
enum Kind {
    /// CLIP's, and the one of DINOv2 (`BitImageProcessor`), which has the same defaults.
    Clip,
    Siglip,
    Vit,
}

impl<'a> Settings<'a> {
    /// Older files name a `feature_extractor_type`; where neither is named, the family decides.
    pub(crate) fn new(json: &'a Value, family: Family, file: &'a str) -> Self {
        let name = json["image_processor_type"].as_str().or(json["feature_extractor_type"].as_str());
        let kind = match (name, family) {
            (Some(name), _) if name.starts_with("Siglip") => Kind::Siglip,
            (Some(name), _) if name.starts_with("ViT") || name.starts_with("DeiT") => Kind::Vit,
            (None, Family::Siglip) => Kind::Siglip,
            _ => Kind::Clip,
        };
        Self { json, kind, file }
    }

    /// A switch.
    pub(crate) fn flag(&self, key: &str, usual: bool) -> Result<bool> {
        match &self.json[key] {
            Value::Null => Ok(usual),
            Value::Bool(flag) => Ok(*flag),
            other => Err(self.wrong(key, other, "true or false")),
        }
    }

    /// Whether images are cropped where the file does not say.
    pub(crate) fn crops(&self) -> bool {
        self.kind == Kind::Clip
    }

    /// What images are resized to.
    pub(crate) fn target(&self) -> Result<TargetSize> {
        match &self.json["size"] {
            Value::Null if self.kind == Kind::Clip => Ok(TargetSize::Shorter(224)),
            Value::Null => Ok(TargetSize::Both([224, 224])),
            Value::Object(size) if size.contains_key("longest_edge") || size.contains_key("max_height") => {
                Err(Error::unsupported(format!("{}, size", self.file), self.json["size"].to_string(), "one fixed size"))
            }
            Value::Object(size) if size.contains_key("shortest_edge") => {
                self.side("size", &size["shortest_edge"]).map(TargetSize::Shorter)
            }
            number @ Value::Number(_) if self.kind != Kind::Vit => self.side("size", number).map(TargetSize::Shorter),
            _ => self.both("size").map(TargetSize::Both),
        }
    }

    /// Height and width of the central part that is kept.
    pub(crate) fn crop(&self) -> Result<[usize; 2]> {
        if self.json["crop_size"].is_null() { Ok([224, 224]) } else { self.both("crop_size") }
    }

    /// Height and width: a number, a pair, or an object.
    fn both(&self, key: &str) -> Result<[usize; 2]> {
        let value = &self.json[key];
        let [height, width] = match value {
            Value::Object(_) => [&value["height"], &value["width"]],
            Value::Array(pair) if pair.len() == 2 => [&pair[0], &pair[1]],
            number => [number, number],
        };
        Ok([self.side(key, height)?, self.side(key, width)?])
    }

    fn side(&self, key: &str, value: &Value) -> Result<usize> {
        let side = value.as_u64().filter(|side| (1..=MAX_SIDE).contains(side));
        side.map(|side| side as usize).ok_or_else(|| {
            self.wrong(key, &self.json[key], &format!("pixels from 1 to {MAX_SIDE}, as one number or height and width"))
        })
    }

    /// The interpolation: numbers as Pillow has them.
    pub(crate) fn filter(&self) -> Result<ResizeFilter> {
        match &self.json["resample"] {
            Value::Null if self.kind == Kind::Vit => Ok(ResizeFilter::Bilinear),
            Value::Null => Ok(ResizeFilter::Bicubic),
            value => match value.as_u64() {
                Some(0) => Ok(ResizeFilter::Nearest),
                Some(1) => Ok(ResizeFilter::Lanczos),
                Some(2) => Ok(ResizeFilter::Bilinear),
                Some(3) => Ok(ResizeFilter::Bicubic),
                _ => Err(self.wrong("resample", value, "0 (nearest), 1 (Lanczos), 2 (bilinear) or 3 (bicubic)")),
            },
        }
    }

    /// The value of each level of each channel, `[3, 256]`: in single precision, step by step as transformers does.
    pub(crate) fn values(&self) -> Result<Vec<f32>> {
        let factor = if self.flag("do_rescale", true)? { self.rescale_factor()? } else { 1.0 };
        let normal = if self.flag("do_normalize", true)? {
            let (mean, std) = self.usual_statistics();
            Some((self.channels("image_mean", mean)?, self.channels("image_std", std)?))
        } else {
            None
        };
        let mut values = Vec::with_capacity(3 * 256);
        for channel in 0..3 {
            for level in 0..256 {
                let scaled = (f64::from(level) * factor) as f32;
                values.push(normal.map_or(scaled, |(mean, std)| (scaled - mean[channel]) / std[channel]));
            }
        }
        match values.iter().all(|value| value.is_finite()) {
            true => Ok(values),
            false => Err(self.wrong("image_std", &self.json["image_std"], "three numbers above 0")),
        }
    }

    fn rescale_factor(&self) -> Result<f64> {
        match &self.json["rescale_factor"] {
            Value::Null => Ok(1.0 / 255.0),
            value => value.as_f64().ok_or_else(|| self.wrong("rescale_factor", value, "a number")),
        }
    }

    /// Mean and standard deviation where the file has none: CLIP's, or a half.
    fn usual_statistics(&self) -> ([f32; 3], [f32; 3]) {
        match self.kind {
            Kind::Clip => ([0.481_454_66, 0.457_827_5, 0.408_210_73], [0.268_629_54, 0.261_302_6, 0.275_777_1]),
            Kind::Siglip | Kind::Vit => ([0.5; 3], [0.5; 3]),
        }
    }

    fn channels(&self, key: &str, usual: [f32; 3]) -> Result<[f32; 3]> {
        let value = &self.json[key];
        let numbers: Option<Vec<f32>> = match value {
            Value::Null => return Ok(usual),
            Value::Array(list) => list.iter().map(|number| number.as_f64().map(|number| number as f32)).collect(),
            number => number.as_f64().map(|number| vec![number as f32; 3]),
        };
        numbers
            .and_then(|numbers| <[f32; 3]>::try_from(numbers).ok())
            .ok_or_else(|| self.wrong(key, value, "three numbers"))
    }

    fn wrong(&self, key: &str, found: &Value, expected: &str) -> Error {
        Error::invalid(format!("{}, {key}", self.file), found.to_string(), expected)
    }
}
