//! [`Duplicates`]: images with the same bytes.

use std::collections::HashMap;

use serde::Serialize;

use super::dataset::Dataset;
use super::image_source::ContentHash;
use super::split::Split;
use gxn_base::words::counted;

/// Images with the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Duplicates {
    /// Their ids.
    pub images: Vec<String>,
    /// The splits they are in, each once.
    pub splits: Vec<Split>,
}

impl Duplicates {
    /// The groups of a dataset whose images have these `contents`, `None` where one is not known.
    pub fn find(data: &Dataset, contents: &[Option<ContentHash>]) -> Vec<Self> {
        let mut by_content: HashMap<ContentHash, Vec<usize>> = HashMap::new();
        for (at, content) in contents.iter().enumerate() {
            if let Some(content) = content {
                by_content.entry(*content).or_default().push(at);
            }
        }
        let mut groups: Vec<Vec<usize>> = by_content.into_values().filter(|group| group.len() > 1).collect();
        groups.sort();
        let describe = |group: Vec<usize>| Self {
            images: group.iter().map(|&at| data.images[at].id.clone()).collect(),
            splits: Split::ALL.into_iter().filter(|&s| group.iter().any(|&at| data.images[at].split == s)).collect(),
        };
        groups.into_iter().map(describe).collect()
    }

    /// Whether they lie in more than one split.
    pub fn is_leak(&self) -> bool {
        self.splits.len() > 1
    }

    /// The first few of its images.
    pub fn named(&self) -> String {
        const NAMED: usize = 5;
        let named = self.images.iter().take(NAMED).cloned().collect::<Vec<_>>().join(" = ");
        match self.images.len().saturating_sub(NAMED) {
            0 => named,
            more => format!("{named} and {more} more"),
        }
    }

    /// What to say of the `groups` that lie in more than one split, if there are any.
    pub fn leak_warning(groups: &[Self]) -> Option<String> {
        let leaks: Vec<String> = groups.iter().filter(|group| group.is_leak()).map(Self::named).collect();
        let named = leaks.iter().take(3).cloned().collect::<Vec<_>>().join("; ");
        let groups = counted(leaks.len(), "group");
        let text =
            format!("identical images lie in more than one split, which makes scores too good: {groups}, {named}");
        (!leaks.is_empty()).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_group_is_not_printed_whole() {
        let images: Vec<String> = (0..7).map(|at| at.to_string()).collect();
        let group = |count: usize| Duplicates { images: images[..count].to_vec(), splits: vec![Split::Train] };
        assert_eq!(group(2).named(), "0 = 1");
        assert_eq!(group(7).named(), "0 = 1 = 2 = 3 = 4 and 2 more");
    }
}
