//! [`Shard`]: one of several equal shares of a source.

use std::fmt;
use std::str::FromStr;

use gxn_base::{Error, Result};
use sha2::{Digest, Sha256};

/// One of several equal shares of a source, so that several machines can work on it. An image's shard follows from its id
/// alone: it stays when others come and go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Which, from 1.
    pub index: u64,
    /// Of how many.
    pub count: u64,
}

impl Shard {
    /// Whether an image belongs to it.
    pub fn has(self, id: &str) -> bool {
        let digest = Sha256::digest(id.as_bytes());
        let first: [u8; 8] = digest[..8].try_into().expect("a digest has 32 bytes");
        u64::from_be_bytes(first) % self.count == self.index - 1
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = Error;

    /// `i/n` with 1 ≤ i ≤ n.
    fn from_str(text: &str) -> Result<Self> {
        let numbers = text.split_once('/').and_then(|(i, n)| Some((i.trim().parse().ok()?, n.trim().parse().ok()?)));
        match numbers {
            Some((index, count)) if (1..=count).contains(&index) => Ok(Self { index, count }),
            _ => Err(Error::invalid("a shard", format!("{text:?}"), "i/n with i from 1 to n, such as 2/8")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_is_in_one_shard_and_shards_are_about_equal() {
        let shards: Vec<Shard> = ["1/3", "2/3", "3/3"].map(|text| text.parse().unwrap()).to_vec();
        let mut counts = [0; 3];
        for image in 0..3000 {
            let id = format!("{image}.jpg");
            let of: Vec<usize> = (0..3).filter(|&at| shards[at].has(&id)).collect();
            assert_eq!(of.len(), 1, "{id}");
            counts[of[0]] += 1;
        }
        assert!(counts.iter().all(|&count| (900..1100).contains(&count)), "{counts:?}");
        assert_eq!(shards[1].to_string(), "2/3");
        for wrong in ["0/3", "4/3", "1/0", "2", "a/b", ""] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }
}
