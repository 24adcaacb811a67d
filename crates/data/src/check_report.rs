//! [`CheckReport`]: what a check found, and whether the dataset is ready.

use gxn_base::words::{counted, first_few};
use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::account::{Account, Dropped};
use super::duplicates::Duplicates;
use super::split::Split;
use super::verdict::{Purpose, SplitSizes};
use super::vocabulary::UnknownWords;

/// Counts of one split.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SplitCount {
    /// The split.
    pub split: Split,
    /// Its images.
    pub images: usize,
    /// Their captions.
    pub captions: usize,
    /// Words of its captions that the training vocabulary lacks; for train those below the threshold.
    pub unknown_words: UnknownWords,
}

/// A caption that several images share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RepeatedCaption {
    /// The text.
    pub text: String,
    /// How many images have it.
    pub images: usize,
}

/// Images under which one caption stands several times.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct EqualCaptions {
    /// How many.
    pub images: usize,
    /// The first of them and its caption.
    pub example: Option<(String, String)>,
}

/// Words per caption.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct CaptionLengths {
    /// The shortest.
    pub least: usize,
    /// The median.
    pub median: usize,
    /// The 95th percentile.
    pub p95: usize,
    /// The longest.
    pub most: usize,
    /// Captions with more than [`long_words`](super::CheckOptions::long_words).
    pub long: usize,
    /// Captions without any word, such as "!".
    pub wordless: usize,
}

/// A caption without any word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WordlessCaption {
    /// Its id.
    pub id: String,
    /// Its text.
    pub text: String,
}

/// Everything that a check found. `Display` prints it for people.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckReport {
    /// The dataset's name.
    pub name: String,
    /// The format it was read as.
    pub format: String,
    /// [`Dataset::hash`](super::Dataset::hash).
    pub data_sha: String,
    /// Train, val, test.
    pub splits: Vec<SplitCount>,
    /// Number of captions → number of images that have as many.
    pub captions_per_image: BTreeMap<usize, usize>,
    /// Words per caption.
    pub lengths: CaptionLengths,
    /// The captions without any word.
    pub wordless: Vec<WordlessCaption>,
    /// The threshold used for `lengths.long`.
    pub long_words: usize,
    /// Words in the training vocabulary, without the specials.
    pub vocabulary: usize,
    /// Smallest and largest image by number of pixels, as width and height.
    pub sizes: Option<[(u32, u32); 2]>,
    /// Whether every pixel was decoded.
    pub decoded_pixels: bool,
    /// Images that cannot be used, with the reason.
    pub unreadable: Vec<Dropped>,
    /// Groups of byte-identical images.
    pub duplicates: Vec<Duplicates>,
    /// Texts under several images, most frequent first.
    pub repeated_captions: Vec<RepeatedCaption>,
    /// Images with equal captions.
    pub equal_within: EqualCaptions,
    /// What reading the source found and left out.
    pub account: Account,
    /// What the dataset is to be used for.
    #[serde(skip)]
    pub purpose: Purpose,
    /// What must be fixed before the dataset serves its purpose.
    pub fatal: Vec<String>,
    /// What is worth knowing.
    pub warnings: Vec<String>,
}

impl CheckReport {
    /// Groups of identical images of which some are in train and some are not, or some in val and some in test.
    pub fn leaks(&self) -> impl Iterator<Item = &Duplicates> {
        self.duplicates.iter().filter(|group| group.is_leak())
    }

    /// Decides what is fatal: a split that lacks images, of those that are `usable`; in strict mode also whatever is left out,
    /// cut or doubtful.
    pub(super) fn judge(&mut self, usable: SplitSizes, strict: bool) {
        let faults = self.faults();
        let lack = self.purpose.lack(usable);
        let empty =
            self.splits.iter().filter(|count| count.images == 0).map(|count| format!("no {} images", count.split));
        // What is fatal need not be a warning too.
        let empty =
            empty.filter(|text| !lack.as_ref().is_some_and(|lack| lack.starts_with(text.trim_end_matches('s'))));
        let mut warnings: Vec<String> = empty.collect();
        let mut fatal: Vec<String> = lack.clone().into_iter().collect();
        if strict {
            fatal.extend(faults)
        } else {
            warnings.extend(faults)
        }
        warnings.extend(self.advice());
        (self.fatal, self.warnings) = (fatal, warnings);
    }

    /// What is left out, cut or doubtful. Training, evaluation and indexing go on without it, unless they are strict.
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if !self.unreadable.is_empty() {
            let images = counted(self.unreadable.len(), "image");
            faults.push(format!("{images} cannot be read or are too large, and are left out"));
        }
        if !self.account.dropped.is_empty() {
            faults.push(format!("skipped: {} of the source", counted(self.account.dropped.len(), "entry")));
        }
        faults.extend(self.account.warnings.iter().cloned());
        faults.extend(Duplicates::leak_warning(&self.duplicates));
        if self.lengths.long > 0 {
            let (captions, words) = (counted(self.lengths.long, "caption"), self.long_words);
            faults.push(format!("longer than {words} words: {captions}, of which only these words are read"));
        }
        faults
    }

    /// What is worth knowing of what is used.
    fn advice(&self) -> Vec<String> {
        let mut advice = Vec::new();
        let inside = self.duplicates.len() - self.leaks().count();
        if inside > 0 {
            advice.push(format!("identical images within a split: {}", counted(inside, "group")));
        }
        if let Some((image, text)) = &self.equal_within.example {
            let images = counted(self.equal_within.images, "image");
            advice.push(format!("equal captions of one image: under {images}, such as {text:?} under {image}"));
        }
        if let Some(first) = self.repeated_captions.first() {
            let captions = counted(self.repeated_captions.len(), "caption");
            advice.push(format!("under several images: {captions}, such as {:?} under {}", first.text, first.images));
        }
        if !self.wordless.is_empty() {
            let named: Vec<String> = self.wordless.iter().map(|one| format!("{} {:?}", one.id, one.text)).collect();
            advice.push(format!("without any word: {}: {}", counted(named.len(), "caption"), first_few(&named)));
        }
        let train = self.splits[0].images > 0;
        for count in self.splits.iter().skip(1).filter(|count| train && count.unknown_words.rate() > 0.1) {
            let rate = 100.0 * count.unknown_words.rate();
            advice.push(format!("{rate:.1} % of {}'s words are unknown", count.split));
        }
        advice
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({})", self.name, self.format)?;
        writeln!(f, "  {:<6}{:>9}{:>10}{:>16}", "split", "images", "captions", "unknown words")?;
        for count in &self.splits {
            let unknown = match self.splits[0].images {
                0 => "-".to_owned(),
                _ => format!("{:.2} %", 100.0 * count.unknown_words.rate()),
            };
            let split = count.split.to_string();
            writeln!(f, "  {split:<6}{:>9}{:>10}{unknown:>16}", count.images, count.captions)?;
        }
        let per_image: Vec<String> = self
            .captions_per_image
            .iter()
            .map(|(captions, images)| format!("{captions} on {}", counted(*images, "image")))
            .collect();
        writeln!(f, "  captions per image: {}", per_image.join(", "))?;
        let CaptionLengths { least, median, p95, most, .. } = self.lengths;
        writeln!(f, "  words per caption: {least} to {most}, median {median}, 95 % at most {p95}")?;
        writeln!(f, "  training vocabulary: {} words", self.vocabulary)?;
        if let Some([least, most]) = self.sizes {
            writeln!(f, "  images: {} × {} to {} × {} pixels", least.0, least.1, most.0, most.1)?;
        }
        let depth = if self.decoded_pixels { "every pixel was decoded" } else { "headers were read, pixels were not" };
        writeln!(f, "  {depth}; data sha256 {}", &self.data_sha[..16])?;
        list(f, "unreadable", self.unreadable.iter().map(Dropped::sentence))?;
        list(
            f,
            "identical images",
            self.duplicates.iter().map(|group| {
                let splits: Vec<String> = group.splits.iter().map(Split::to_string).collect();
                format!("{} ({})", group.named(), splits.join(", "))
            }),
        )?;
        list(f, "skipped", self.account.left_out().iter().map(Dropped::sentence))?;
        self.warnings.iter().try_for_each(|text| writeln!(f, "  warning: {text}"))?;
        self.fatal.iter().try_for_each(|text| writeln!(f, "  fatal: {text}"))?;
        let ready = match self.purpose {
            Purpose::Train => "ready to train".to_owned(),
            Purpose::Evaluate(split) => format!("ready to evaluate on {split}"),
            Purpose::Index => "ready to index".to_owned(),
        };
        if self.fatal.is_empty() { write!(f, "  {ready}") } else { write!(f, "  not {ready}: see fatal above") }
    }
}

/// The first ten of a list, and how many more there are.
fn list(f: &mut fmt::Formatter<'_>, title: &str, lines: impl ExactSizeIterator<Item = String>) -> fmt::Result {
    let count = lines.len();
    if count > 0 {
        writeln!(f, "  {title}: {count}")?;
    }
    for line in lines.take(10) {
        writeln!(f, "    {line}")?;
    }
    if count > 10 { writeln!(f, "    … and {} more", count - 10) } else { Ok(()) }
}
