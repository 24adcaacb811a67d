//! [`check`]: what is wrong with a data set before hours are spent on it.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::Serialize;

use super::dataset::{Dataset, Dropped, Split};
use super::image::{ContentHash, ImageLimits, decode_image, image_size, read_limited};
use super::tokenizer::tokenize;
use super::vocabulary::{UnknownWords, Vocabulary};

/// How closely to look.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckOptions {
    /// Decode every pixel, not only the headers: slower, and the only way to find every damaged file.
    pub decode_pixels: bool,
    /// Larger pictures are reported as unreadable.
    pub limits: ImageLimits,
    /// Captions with more words than this are counted as long.
    pub long_words: usize,
    /// Threshold of the training vocabulary against which unknown words are counted.
    pub min_count: usize,
}

impl Default for CheckOptions {
    /// Headers only, the default limits, 50 words, words that occur at least twice.
    fn default() -> Self {
        Self { decode_pixels: false, limits: ImageLimits::default(), long_words: 50, min_count: 2 }
    }
}

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

/// Images with the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Duplicates {
    /// Their ids.
    pub images: Vec<String>,
    /// The splits they are in, each once.
    pub splits: Vec<Split>,
}

/// A text that stands under several images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RepeatedCaption {
    /// The text.
    pub text: String,
    /// Under how many images.
    pub images: usize,
}

/// Words a caption.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct CaptionLengths {
    /// The shortest.
    pub least: usize,
    /// Half have at most so many.
    pub median: usize,
    /// 95 % have at most so many.
    pub p95: usize,
    /// The longest.
    pub most: usize,
    /// Captions with more than [`CheckOptions::long_words`].
    pub long: usize,
    /// Captions without any word, such as "!".
    pub wordless: usize,
}

/// Everything found. Its `Display` is for people.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DoctorReport {
    /// The data set's name.
    pub name: String,
    /// The format it was read as.
    pub format: String,
    /// [`Dataset::hash`].
    pub data_sha: String,
    /// Train, val, test.
    pub splits: Vec<SplitCount>,
    /// Number of captions → images with so many.
    pub captions_per_image: BTreeMap<usize, usize>,
    /// Words a caption.
    pub lengths: CaptionLengths,
    /// The threshold used for `lengths.long`.
    pub long_words: usize,
    /// Words in the training vocabulary, without the specials.
    pub vocabulary: usize,
    /// Smallest and largest picture by number of pixels, as width and height.
    pub sizes: Option<[(u32, u32); 2]>,
    /// Whether every pixel was decoded.
    pub decoded_pixels: bool,
    /// Pictures that cannot be used, with the reason.
    pub unreadable: Vec<Dropped>,
    /// Groups of byte-identical pictures.
    pub duplicates: Vec<Duplicates>,
    /// Texts under several images, most frequent first.
    pub repeated_captions: Vec<RepeatedCaption>,
    /// What reading the source left out.
    pub dropped: Vec<Dropped>,
    /// What has to be repaired before training: the program exits with 1.
    pub fatal: Vec<String>,
    /// What one should know.
    pub warnings: Vec<String>,
}

impl DoctorReport {
    /// Groups of identical pictures of which some are in train and some are not, or some in val and some in test.
    pub fn leaks(&self) -> impl Iterator<Item = &Duplicates> {
        self.duplicates.iter().filter(|group| group.splits.len() > 1)
    }
}

/// Looks at every picture and caption on all cores; `progress` is told how many of how many pictures are done.
pub fn check(data: &Dataset, options: &CheckOptions, progress: &(dyn Fn(usize, usize) + Sync)) -> DoctorReport {
    let done = AtomicUsize::new(0);
    let total = data.images.len();
    let look = |image: &super::dataset::Image| {
        let name = image.source.to_string();
        let outcome = read_limited(&image.source, &options.limits).and_then(|bytes| {
            let size = if options.decode_pixels {
                decode_image(&bytes, &name, &options.limits)?.dimensions()
            } else {
                image_size(&bytes, &name, &options.limits)?
            };
            Ok((ContentHash::of(&bytes), size))
        });
        progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
        outcome.map_err(|error| Dropped { what: image.id.clone(), reason: error.to_string() })
    };
    let mut contents: HashMap<ContentHash, Vec<usize>> = HashMap::new();
    let (mut sizes, mut unreadable) = (Vec::new(), Vec::new());
    for (at, outcome) in data.images.par_iter().map(look).collect::<Vec<_>>().into_iter().enumerate() {
        match outcome {
            Ok((content, size)) => {
                contents.entry(content).or_default().push(at);
                sizes.push(size);
            }
            Err(reason) => unreadable.push(reason),
        }
    }
    sizes.sort_by_key(|&(width, height)| u64::from(width) * u64::from(height));
    let (lengths, captions_per_image) = caption_counts(data, options.long_words);
    let vocabulary = Vocabulary::from_train(data, options.min_count);
    let count = |split: Split| {
        let texts = data.captions_in(split).map(|at| data.captions[at].text.as_str());
        SplitCount {
            split,
            images: data.split_indices(split).len(),
            captions: data.captions_in(split).count(),
            unknown_words: vocabulary.unknown_words(texts),
        }
    };
    let mut report = DoctorReport {
        name: data.name.clone(),
        format: data.format.clone(),
        data_sha: data.hash(),
        splits: Split::ALL.map(count).to_vec(),
        captions_per_image,
        lengths,
        long_words: options.long_words,
        vocabulary: vocabulary.len() - (super::vocabulary::UNKNOWN as usize + 1),
        sizes: sizes.first().zip(sizes.last()).map(|(&least, &most)| [least, most]),
        decoded_pixels: options.decode_pixels,
        unreadable,
        duplicates: duplicates(data, contents),
        repeated_captions: repeated_captions(data),
        dropped: data.dropped.clone(),
        fatal: Vec::new(),
        warnings: Vec::new(),
    };
    judge(&mut report);
    report
}

fn caption_counts(data: &Dataset, long_words: usize) -> (CaptionLengths, BTreeMap<usize, usize>) {
    let mut words: Vec<usize> = data.captions.par_iter().map(|caption| tokenize(&caption.text).len()).collect();
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
        long: words.len() - words.partition_point(|&count| count <= long_words),
        wordless: words.partition_point(|&count| count == 0),
    };
    (lengths, per_image)
}

fn duplicates(data: &Dataset, contents: HashMap<ContentHash, Vec<usize>>) -> Vec<Duplicates> {
    let mut groups: Vec<Vec<usize>> = contents.into_values().filter(|group| group.len() > 1).collect();
    groups.sort();
    let describe = |group: Vec<usize>| Duplicates {
        images: group.iter().map(|&at| data.images[at].id.clone()).collect(),
        splits: Split::ALL.into_iter().filter(|&s| group.iter().any(|&at| data.images[at].split == s)).collect(),
    };
    groups.into_iter().map(describe).collect()
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

/// Decides what is fatal: pictures that will stop a run, and scores that would be wrong.
fn judge(report: &mut DoctorReport) {
    let leaks: Vec<String> = report.leaks().map(|group| group.images.join(" = ")).collect();
    let (mut fatal, mut warnings) = (Vec::new(), Vec::new());
    if !report.unreadable.is_empty() {
        fatal.push(format!("{} images cannot be read or are too large", report.unreadable.len()));
    }
    if !leaks.is_empty() {
        let named = leaks.iter().take(3).cloned().collect::<Vec<_>>().join("; ");
        fatal.push(format!("{} groups of identical pictures lie in more than one split: {named}", leaks.len()));
    }
    for count in report.splits.iter().filter(|count| count.images == 0) {
        warnings.push(format!("no {} images", count.split));
    }
    if !report.dropped.is_empty() {
        warnings.push(format!("{} entries of the source were left out", report.dropped.len()));
    }
    let inside = report.duplicates.len() - leaks.len();
    if inside > 0 {
        warnings.push(format!("{inside} groups of identical pictures within a split"));
    }
    if !report.repeated_captions.is_empty() {
        let first = &report.repeated_captions[0];
        let count = report.repeated_captions.len();
        warnings
            .push(format!("{count} texts stand under several images, such as {:?} under {}", first.text, first.images));
    }
    if report.lengths.wordless > 0 {
        warnings.push(format!("{} captions have no word", report.lengths.wordless));
    }
    if report.lengths.long > 0 {
        warnings.push(format!("{} captions have more than {} words", report.lengths.long, report.long_words));
    }
    let train = report.splits[0].images > 0;
    for count in report.splits.iter().skip(1).filter(|count| train && count.unknown_words.rate() > 0.1) {
        warnings.push(format!("{:.1} % of {}'s words are unknown", 100.0 * count.unknown_words.rate(), count.split));
    }
    (report.fatal, report.warnings) = (fatal, warnings);
}

impl fmt::Display for DoctorReport {
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
        let per_image: Vec<String> =
            self.captions_per_image.iter().map(|(captions, images)| format!("{captions} on {images} images")).collect();
        writeln!(f, "  captions an image: {}", per_image.join(", "))?;
        let CaptionLengths { least, median, p95, most, .. } = self.lengths;
        writeln!(f, "  words a caption: {least} to {most}, median {median}, 95 % at most {p95}")?;
        writeln!(f, "  training vocabulary: {} words", self.vocabulary)?;
        if let Some([least, most]) = self.sizes {
            writeln!(f, "  pictures: {} × {} to {} × {} pixels", least.0, least.1, most.0, most.1)?;
        }
        let looked = if self.decoded_pixels { "every pixel was decoded" } else { "headers were read, pixels were not" };
        writeln!(f, "  {looked}; data sha256 {}", &self.data_sha[..16])?;
        list(f, "unreadable", self.unreadable.iter().map(|d| format!("{}: {}", d.what, d.reason)))?;
        list(
            f,
            "identical pictures",
            self.duplicates.iter().map(|group| {
                let splits: Vec<String> = group.splits.iter().map(Split::to_string).collect();
                format!("{} ({})", group.images.join(" = "), splits.join(", "))
            }),
        )?;
        list(f, "left out", self.dropped.iter().map(|d| format!("{}: {}", d.what, d.reason)))?;
        self.warnings.iter().try_for_each(|text| writeln!(f, "  warning: {text}"))?;
        self.fatal.iter().try_for_each(|text| writeln!(f, "  fatal: {text}"))?;
        write!(f, "  {}", if self.fatal.is_empty() { "ready to train" } else { "not ready: see fatal above" })
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::Mutex;

    use super::*;
    use crate::SourceOptions;

    fn png(shade: u8) -> Vec<u8> {
        let mut bytes = std::io::Cursor::new(Vec::new());
        let picture = image::RgbImage::from_pixel(u32::from(shade) + 1, 2, image::Rgb([shade; 3]));
        picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    fn open(folder: &Path, lines: &str) -> Dataset {
        fs::write(folder.join("d.jsonl"), lines).unwrap();
        Dataset::open(&folder.join("d.jsonl"), &SourceOptions::default()).unwrap()
    }

    /// Two training images, one of them a copy of the test image; a shared caption; a text file named .jpg.
    #[test]
    fn finds_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.png"), png(1)).unwrap();
        fs::write(folder.path().join("b.png"), png(5)).unwrap();
        fs::write(folder.path().join("copy.png"), png(1)).unwrap();
        fs::write(folder.path().join("text.jpg"), "not a picture").unwrap();
        let mut cut = png(9);
        cut.truncate(cut.len() - 20);
        fs::write(folder.path().join("cut.png"), cut).unwrap();
        let data = open(
            folder.path(),
            r#"{"image":"a.png","captions":["a dog runs","a dog"],"split":"train"}
{"image":"b.png","captions":["a dog"],"split":"train"}
{"image":"copy.png","captions":["a cat sits"],"split":"test"}
{"image":"text.jpg","captions":["!"],"split":"val"}
{"image":"cut.png","captions":["a dog"],"split":"val"}
{"image":"gone.png","captions":["x"],"split":"val"}"#,
        );
        let seen = Mutex::new(Vec::new());
        let options = CheckOptions { long_words: 2, ..CheckOptions::default() };
        let report = check(&data, &options, &|done, total| seen.lock().unwrap().push((done, total)));
        let mut seen = seen.into_inner().unwrap();
        seen.sort();
        assert_eq!(seen, [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]);
        let counts: Vec<_> = report.splits.iter().map(|count| (count.images, count.captions)).collect();
        assert_eq!(counts, [(2, 3), (2, 2), (1, 1)]);
        assert_eq!(report.captions_per_image, BTreeMap::from([(1, 4), (2, 1)]));
        // Words: 3, 2, 2, 3, 0, 2.
        let lengths = CaptionLengths { least: 0, median: 2, p95: 3, most: 3, long: 2, wordless: 1 };
        assert_eq!(report.lengths, lengths);
        // Words at least twice in train: a, dog. Test has "a cat sits": 2 of 3 unknown.
        assert_eq!(report.vocabulary, 2);
        assert_eq!(report.splits[2].unknown_words, UnknownWords { words: 3, unknown: 2 });
        assert_eq!(report.unreadable.len(), 1, "a header does not tell that data are missing: {:?}", report.unreadable);
        assert!(report.unreadable[0].reason.contains("text beginning \"not a picture\""));
        let leaks: Vec<_> = report.leaks().collect();
        assert_eq!(leaks[0].images, ["a.png", "copy.png"]);
        assert_eq!(leaks[0].splits, [Split::Train, Split::Test]);
        assert_eq!(report.repeated_captions, [RepeatedCaption { text: "a dog".into(), images: 3 }]);
        assert_eq!(report.sizes, Some([(2, 2), (10, 2)]));
        assert_eq!(report.fatal.len(), 2, "{:?}", report.fatal);
        let text = report.to_string();
        for part in
            ["train         2         3", "fatal: 1 images cannot", "a.png = copy.png (train, test)", "not ready"]
        {
            assert!(text.contains(part), "{part:?} not in\n{text}");
        }
        assert!(serde_json::to_string(&report).unwrap().contains("\"fatal\":["));

        let closely = check(&data, &CheckOptions { decode_pixels: true, ..options }, &|_, _| {});
        assert_eq!(closely.unreadable.len(), 2, "{:?}", closely.unreadable);
    }

    #[test]
    fn a_healthy_set_is_ready() {
        let folder = tempfile::tempdir().unwrap();
        let mut lines = String::new();
        for (at, split) in ["train", "train", "val", "test"].iter().enumerate() {
            fs::write(folder.path().join(format!("{at}.png")), png(at as u8)).unwrap();
            lines += &format!("{{\"image\":\"{at}.png\",\"caption\":\"picture {at}\",\"split\":\"{split}\"}}\n");
        }
        let report =
            check(&open(folder.path(), &lines), &CheckOptions { min_count: 1, ..CheckOptions::default() }, &|_, _| {});
        assert!(report.fatal.is_empty() && report.unreadable.is_empty() && report.duplicates.is_empty());
        assert!(report.to_string().ends_with("ready to train"));
    }
}
