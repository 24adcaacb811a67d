//! [`Split`], and [`SplitBy`]: splits for data that come without.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::image_source::ContentHash;
use gxn_base::{Error, Result};

/// Which part of the data an image belongs to. Captions follow their image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Used for gradient steps and for the vocabulary.
    Train,
    /// Used for choosing hyper-parameters and the best epoch.
    Val,
    /// Used once, for the final result.
    Test,
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
        })
    }
}

impl Split {
    /// All three, in order.
    pub const ALL: [Self; 3] = [Self::Train, Self::Val, Self::Test];
}

impl FromStr for Split {
    type Err = Error;

    /// `train`, `val` (also `valid`, `validation`, `dev`) or `test`, in any case.
    fn from_str(text: &str) -> Result<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "train" | "training" => Ok(Self::Train),
            "val" | "valid" | "validation" | "dev" => Ok(Self::Val),
            "test" => Ok(Self::Test),
            _ => Err(Error::invalid("a split", format!("{text:?}"), "train, val or test")),
        }
    }
}

/// How images get their split.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum SplitBy {
    /// By the hash of the image's bytes, so that copies of an image fall on the same side, in whatever order and
    /// beside whatever other images they come. The shares sum to 1.
    Hash {
        /// Share of train.
        train: f64,
        /// Share of val.
        val: f64,
        /// Share of test.
        test: f64,
    },
    /// All images belong to one split, such as with one source for training and another for testing.
    All(Split),
}

impl SplitBy {
    /// `hash:0.9/0.05/0.05`, used where a source gives no splits.
    pub const DEFAULT: Self = Self::Hash { train: 0.9, val: 0.05, test: 0.05 };

    /// The split of the image with this content. [`SplitBy::All`] ignores it.
    pub fn split(&self, content: &ContentHash) -> Split {
        match *self {
            Self::All(split) => split,
            Self::Hash { train, val, .. } => {
                let unit = content.unit();
                if unit < train {
                    Split::Train
                } else if unit < train + val {
                    Split::Val
                } else {
                    Split::Test
                }
            }
        }
    }
}

impl fmt::Display for SplitBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hash { train, val, test } => write!(f, "hash:{train}/{val}/{test}"),
            Self::All(split) => write!(f, "{split}"),
        }
    }
}

impl FromStr for SplitBy {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::invalid("the splits", format!("{text:?}"), "hash:TRAIN/VAL/TEST or one of train, val, test")
                .with_hint("for example hash:0.9/0.05/0.05; the three shares sum to 1")
        };
        if let Ok(split) = text.parse() {
            return Ok(Self::All(split));
        }
        let shares: Vec<f64> = text
            .strip_prefix("hash:")
            .ok_or_else(wrong)?
            .split('/')
            .map(|share| share.trim().parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share)))
            .collect::<Option<_>>()
            .ok_or_else(wrong)?;
        match shares[..] {
            [train, val, test] if (train + val + test - 1.0).abs() < 1e-6 => Ok(Self::Hash { train, val, test }),
            _ => Err(wrong()),
        }
    }
}

impl From<SplitBy> for String {
    fn from(split_by: SplitBy) -> Self {
        split_by.to_string()
    }
}

impl TryFrom<String> for SplitBy {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_forms() {
        assert_eq!("hash:0.9/0.05/0.05".parse::<SplitBy>().unwrap(), SplitBy::DEFAULT);
        assert_eq!(SplitBy::DEFAULT.to_string(), "hash:0.9/0.05/0.05");
        assert_eq!("test".parse::<SplitBy>().unwrap(), SplitBy::All(Split::Test));
        for wrong in ["hash:0.9/0.2/0.05", "hash:1/0", "hash:-0.1/0.1/1", "random", "hash:a/b/c", "hash:NaN/0/1"] {
            assert!(wrong.parse::<SplitBy>().is_err(), "{wrong}");
        }
    }

    /// SHA-256("abc") begins ba78 16bf: 0xba78… / 2⁶⁴ = 0.7284.
    #[test]
    fn worked_example() {
        let hash = ContentHash::of(b"abc");
        assert!((hash.unit() - 0.728_395).abs() < 1e-5, "{}", hash.unit());
        assert_eq!("hash:0.73/0/0.27".parse::<SplitBy>().unwrap().split(&hash), Split::Train);
        assert_eq!("hash:0.72/0.02/0.26".parse::<SplitBy>().unwrap().split(&hash), Split::Val);
        assert_eq!("hash:0.5/0.22/0.28".parse::<SplitBy>().unwrap().split(&hash), Split::Test);
    }

    #[test]
    fn shares_come_out() {
        let count = |split| {
            let hashes = (0..4000u32).map(|i| ContentHash::of(&i.to_le_bytes()));
            hashes.filter(|hash| SplitBy::DEFAULT.split(hash) == split).count()
        };
        // Binomial: 3600 ± 19 and 200 ± 14; five deviations.
        assert!(count(Split::Train).abs_diff(3600) < 95, "{}", count(Split::Train));
        assert!(count(Split::Val).abs_diff(200) < 70, "{}", count(Split::Val));
    }

    proptest! {
        /// With a larger training share nothing leaves train.
        #[test]
        fn growing_train_keeps_it(bytes in any::<[u8; 8]>(), small in 0.0..0.5f64, more in 0.0..0.4f64) {
            let hash = ContentHash::of(&bytes);
            let by = |train: f64| SplitBy::Hash { train, val: 0.1, test: 0.9 - train };
            if by(small).split(&hash) == Split::Train {
                prop_assert_eq!(by(small + more).split(&hash), Split::Train);
            }
        }
    }
}
