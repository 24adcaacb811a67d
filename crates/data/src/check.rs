//! [`check`]: what is wrong with a dataset before hours are spent on it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::account::Dropped;
use super::check_report::{CaptionLengths, CheckReport, EqualCaptions, RepeatedCaption, SplitCount, WordlessCaption};
use super::dataset::{Dataset, Image};
use super::duplicates::Duplicates;
use super::image::{ImageLimits, decode_image, image_size, read_limited};
use super::image_source::ContentHash;
use super::split::Split;
use super::tokenizer::tokenize;
use super::verdict::Purpose;
use super::vocabulary::{UNKNOWN, Vocabulary};
use gxn_base::{Error, Progress, Result};

/// How thoroughly a dataset is checked.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckOptions {
    /// Decode every pixel, not only the headers: slower, and the only way to find every damaged file.
    pub decode_pixels: bool,
    /// Larger images are reported as unreadable.
    pub limits: ImageLimits,
    /// Captions with more words than this are counted as long: training reads them to here. 0 reads all.
    pub long_words: usize,
    /// Threshold of the training vocabulary against which unknown words are counted.
    pub min_count: usize,
    /// What the dataset is to be used for.
    pub purpose: Purpose,
    /// Whether each line of the account is fatal.
    pub strict: bool,
}

impl Default for CheckOptions {
    /// Headers only, the default limits, 60 words, words that occur at least twice, for training, not strict.
    fn default() -> Self {
        Self {
            decode_pixels: false,
            limits: ImageLimits::default(),
            long_words: 60,
            min_count: 2,
            purpose: Purpose::Train,
            strict: false,
        }
    }
}

/// Reads every image and caption on all cores.
///
/// # Errors
/// [`Kind::Interrupted`](gxn_base::Kind::Interrupted) when `progress` is cancelled; faults of the data are in the report.
pub fn check(data: &Dataset, options: &CheckOptions, progress: &dyn Progress) -> Result<CheckReport> {
    let done = AtomicUsize::new(0);
    let total = data.images.len();
    let examine = |image: &Image| {
        if progress.cancelled() {
            return Err(Error::interrupted());
        }
        let name = image.source.to_string();
        let outcome = read_limited(&image.source, &options.limits).and_then(|bytes| {
            let size = if options.decode_pixels {
                decode_image(&bytes, &name, &options.limits)?.dimensions()
            } else {
                image_size(&bytes, &name, &options.limits)?
            };
            Ok((ContentHash::of(&bytes), size))
        });
        progress.update("images", done.fetch_add(1, Ordering::Relaxed) + 1, total);
        Ok(outcome.map_err(|error| Dropped { what: image.id.clone(), reason: error.in_full() }))
    };
    let mut contents = Vec::with_capacity(total);
    let (mut sizes, mut unreadable) = (Vec::new(), Vec::new());
    let mut usable = data.split_sizes();
    for (at, outcome) in data.images.par_iter().map(examine).collect::<Result<Vec<_>>>()?.into_iter().enumerate() {
        match outcome {
            Ok((content, size)) => {
                contents.push(Some(content));
                sizes.push(size);
            }
            Err(reason) => {
                contents.push(None);
                usable[data.images[at].split as usize] -= 1;
                unreadable.push(reason);
            }
        }
    }
    sizes.sort_by_key(|&(width, height)| u64::from(width) * u64::from(height));
    let words: Vec<usize> = data.captions.par_iter().map(|caption| tokenize(&caption.text).len()).collect();
    let wordless = wordless(data, &words);
    let (lengths, captions_per_image) = caption_counts(data, words, options.long_words);
    let (vocabulary, splits) = split_counts(data, options.min_count);
    let mut report = CheckReport {
        name: data.name.clone(),
        format: data.format.clone(),
        data_sha: data.hash(),
        splits,
        captions_per_image,
        lengths,
        wordless,
        long_words: options.long_words,
        vocabulary,
        sizes: sizes.first().zip(sizes.last()).map(|(&least, &most)| [least, most]),
        decoded_pixels: options.decode_pixels,
        unreadable,
        duplicates: Duplicates::find(data, &contents),
        repeated_captions: repeated_captions(data),
        equal_within: equal_within(data),
        account: data.account.clone(),
        purpose: options.purpose,
        fatal: Vec::new(),
        warnings: Vec::new(),
    };
    report.judge(usable, options.strict);
    Ok(report)
}

/// Words in the training vocabulary, and what each split has.
fn split_counts(data: &Dataset, min_count: usize) -> (usize, Vec<SplitCount>) {
    let vocabulary = Vocabulary::from_train(data, min_count);
    let count = |split: Split| {
        let texts = data.captions_in(split).map(|at| data.captions[at].text.as_str());
        SplitCount {
            split,
            images: data.split_indices(split).len(),
            captions: data.captions_in(split).count(),
            unknown_words: vocabulary.unknown_words(texts),
        }
    };
    (vocabulary.len() - (UNKNOWN as usize + 1), Split::ALL.map(count).to_vec())
}

/// `words` has the number of words of each caption.
fn caption_counts(
    data: &Dataset,
    mut words: Vec<usize>,
    long_words: usize,
) -> (CaptionLengths, BTreeMap<usize, usize>) {
    words.sort_unstable();
    let mut per_image = BTreeMap::new();
    (0..data.images.len()).for_each(|at| *per_image.entry(data.captions_of(at).len()).or_default() += 1);
    if words.is_empty() {
        return (CaptionLengths::default(), per_image);
    }
    let share = |percent: usize| words[(words.len() * percent).div_ceil(100).clamp(1, words.len()) - 1];
    let lengths = CaptionLengths {
        least: words[0],
        median: share(50),
        p95: share(95),
        most: words[words.len() - 1],
        long: words.len() - words.partition_point(|&count| long_words == 0 || count <= long_words),
        wordless: words.partition_point(|&count| count == 0),
    };
    (lengths, per_image)
}

fn wordless(data: &Dataset, words: &[usize]) -> Vec<WordlessCaption> {
    let captions = data.captions.iter().zip(words).filter(|(_, words)| **words == 0);
    captions.map(|(caption, _)| WordlessCaption { id: caption.id.clone(), text: caption.text.clone() }).collect()
}

fn repeated_captions(data: &Dataset) -> Vec<RepeatedCaption> {
    let mut images: HashMap<&str, Vec<usize>> = HashMap::new();
    for caption in &data.captions {
        let under = images.entry(&caption.text).or_default();
        if under.last() != Some(&caption.image) {
            under.push(caption.image);
        }
    }
    let mut repeated: Vec<RepeatedCaption> = images
        .into_iter()
        .filter(|(_, under)| under.len() > 1)
        .map(|(text, under)| RepeatedCaption { text: text.to_owned(), images: under.len() })
        .collect();
    repeated.sort_by(|a, b| b.images.cmp(&a.images).then_with(|| a.text.cmp(&b.text)));
    repeated
}

/// Images under which a caption stands several times.
fn equal_within(data: &Dataset) -> EqualCaptions {
    let mut found = EqualCaptions::default();
    for image in 0..data.images.len() {
        let texts = || data.captions[data.captions_of(image)].iter().map(|caption| caption.text.as_str());
        let mut seen = HashSet::new();
        if let Some(text) = texts().find(|text| !seen.insert(*text)) {
            found.images += 1;
            found.example.get_or_insert_with(|| (data.images[image].id.clone(), text.to_owned()));
        }
    }
    found
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
