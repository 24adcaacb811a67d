//! [`Purpose`]: what a dataset is opened for, and whether it has the images for it.

use super::dataset::Dataset;
use super::split::Split;
use gxn_base::words::counted;
use gxn_base::{Error, Remedy, Result};

/// What a dataset is to be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purpose {
    /// Training: images to learn from, and others to choose the best epoch by.
    #[default]
    Train,
    /// Evaluation on a split.
    Evaluate(Split),
    /// An index of all images.
    Index,
}

/// Images of train, val and test that can be used.
pub type SplitSizes = [usize; 3];

impl Purpose {
    /// Refuses a dataset that lacks images. The one place that decides it: for a check, training and evaluation alike.
    ///
    /// # Errors
    /// Names the split, the number found and the least number.
    pub fn require(self, name: &str, sizes: SplitSizes) -> Result<()> {
        let Some((split, found, least)) = self.shortage(sizes) else { return Ok(()) };
        let (what, remedy) = match split {
            Some(split) => (format!("the {split} split of {name}"), Remedy::GiveSplits),
            None => (format!("the dataset {name}"), Remedy::CheckData),
        };
        Err(Error::invalid(what, images(found), format!("at least {least}")).with_remedy(remedy))
    }

    /// What is lacking, in one sentence.
    pub(super) fn lack(self, sizes: SplitSizes) -> Option<String> {
        let (split, found, least) = self.shortage(sizes)?;
        let place = split.map_or(String::new(), |split| format!("{split} "));
        let purpose = match self {
            Self::Train => "training",
            Self::Evaluate(_) => "evaluation",
            Self::Index => "an index",
        };
        let found = images(found).replacen("image", &format!("{place}image"), 1);
        Some(format!("{found}: {purpose} needs at least {least}"))
    }

    /// The first split with too few images, how many it has, and how many it needs.
    fn shortage(self, [train, val, test]: SplitSizes) -> Option<(Option<Split>, usize, usize)> {
        let needs = match self {
            // A batch is its own negatives: one image has none.
            Self::Train => vec![(Some(Split::Train), train, 2), (Some(Split::Val), val, 1)],
            Self::Evaluate(split) => {
                let found = [train, val, test][split as usize];
                vec![(Some(split), found, 1)]
            }
            Self::Index => vec![(None, train + val + test, 1)],
        };
        needs.into_iter().find(|&(_, found, least)| found < least)
    }
}

impl Dataset {
    /// Images of train, val and test.
    pub fn split_sizes(&self) -> SplitSizes {
        Split::ALL.map(|split| self.images.iter().filter(|image| image.split == split).count())
    }

    /// Refuses the dataset where it lacks images that `purpose` needs.
    ///
    /// # Errors
    /// As [`Purpose::require`].
    pub fn require(&self, purpose: Purpose) -> Result<()> {
        purpose.require(&self.name, self.split_sizes())
    }
}

fn images(count: usize) -> String {
    if count == 0 { "no image".to_owned() } else { counted(count, "image") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_purpose_needs_its_own_images() {
        let refused = |purpose: Purpose, sizes| purpose.require("x", sizes).err().map(|error| error.to_string());
        assert_eq!(refused(Purpose::Train, [2, 1, 0]), None);
        let error = refused(Purpose::Train, [1, 1, 0]).unwrap();
        assert_eq!(error, "the train split of x: found 1 image, expected at least 2");
        let error = refused(Purpose::Train, [2, 0, 5]).unwrap();
        assert_eq!(error, "the val split of x: found no image, expected at least 1");
        assert_eq!(refused(Purpose::Evaluate(Split::Test), [0, 0, 1]), None);
        assert!(refused(Purpose::Evaluate(Split::Val), [9, 0, 1]).is_some());
        assert_eq!((refused(Purpose::Index, [0, 1, 0]), refused(Purpose::Index, [0; 3]).is_some()), (None, true));
        assert_eq!(Purpose::Train.lack([2, 0, 0]).unwrap(), "no val image: training needs at least 1");
        assert_eq!(Purpose::Train.lack([1, 0, 0]).unwrap(), "1 train image: training needs at least 2");
    }
}
