//! [`Judgements`]: how well captions describe images, as people judged it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use gxn_base::text::read_text;
use gxn_base::{Error, Result};

const EXPECTED: &str = "an image's id, a caption's id and numbers, with tabs between them";

/// What the numbers of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JudgementKind {
    /// Each is one person's rating (Flickr8k's `ExpertAnnotations.txt`: three of 1 to 4).
    Ratings,
    /// The share of people who said that the caption describes the image (Flickr8k's `CrowdFlowerAnnotations.txt`: the share, how
    /// many said yes, how many said no).
    Share,
}

/// One image and caption with what people said.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgedPair {
    /// The image's id.
    pub image: String,
    /// The caption's id.
    pub caption: String,
    /// The ratings, or the one share.
    pub values: Vec<f64>,
}

/// A file of judgements.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgements {
    /// The file.
    pub name: String,
    /// What its numbers are.
    pub kind: JudgementKind,
    /// Its lines, in order.
    pub pairs: Vec<JudgedPair>,
}

impl Judgements {
    /// Reads judgements: on each line the id of an image, a tab, the id of a caption, and behind tabs the ratings. Three numbers of
    /// which the first is, on every line, the share of the second in the sum of the other two are a share.
    ///
    /// # Errors
    /// When the file cannot be read, has no line or one of another form.
    pub fn read(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let text = read_text(path)?;
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let mut pairs = lines.map(|(at, line)| pair(line, &name, at + 1)).collect::<Result<Vec<_>>>()?;
        if pairs.is_empty() {
            return Err(Error::invalid(name, "no line", EXPECTED));
        }
        let kind = if pairs.iter().all(is_share) { JudgementKind::Share } else { JudgementKind::Ratings };
        if kind == JudgementKind::Share {
            pairs.iter_mut().for_each(|pair| pair.values.truncate(1));
        }
        Ok(Self { name, kind, pairs })
    }
}

fn pair(line: &str, name: &str, number: usize) -> Result<JudgedPair> {
    let wrong = |found: String| Error::invalid(format!("{name}, line {number}"), found, EXPECTED);
    let cells: Vec<&str> = line.split('\t').map(str::trim).collect();
    let [image, caption, values @ ..] = &cells[..] else {
        return Err(wrong("no tab".into()));
    };
    if image.is_empty() || caption.is_empty() || values.is_empty() {
        return Err(wrong(format!("{} cells, or an empty id", cells.len())));
    }
    let value = |cell: &&str| {
        let value = cell.parse().ok().filter(|value: &f64| value.is_finite());
        value.ok_or_else(|| wrong(format!("{cell:?} in the place of a number")))
    };
    let values = values.iter().map(value).collect::<Result<_>>()?;
    Ok(JudgedPair { image: (*image).to_owned(), caption: (*caption).to_owned(), values })
}

fn is_share(pair: &JudgedPair) -> bool {
    matches!(pair.values[..], [share, yes, no]
        if yes >= 0.0 && no >= 0.0 && yes + no > 0.0 && (share - yes / (yes + no)).abs() < 0.005)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Judgements> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("judgements.txt");
        std::fs::write(&path, text).unwrap();
        Judgements::read(&path)
    }

    #[test]
    fn experts_and_shares_are_told_apart() {
        let experts = read("a.jpg\tb.jpg#2\t1\t1\t2\r\n\na.jpg\tc.jpg#0\t4\t4\t4\n").unwrap();
        assert_eq!((experts.kind, experts.pairs.len()), (JudgementKind::Ratings, 2));
        let expected = JudgedPair { image: "a.jpg".into(), caption: "b.jpg#2".into(), values: vec![1.0, 1.0, 2.0] };
        assert_eq!(experts.pairs[0], expected);
        let crowd = read("a.jpg\ta.jpg#2\t1\t3\t0\na.jpg\tb.jpg#2\t0.333333333333\t1\t2\n").unwrap();
        assert_eq!(crowd.kind, JudgementKind::Share);
        assert_eq!(crowd.pairs.iter().map(|pair| pair.values[0]).collect::<Vec<_>>(), [1.0, 0.333333333333]);
        assert_eq!(read("a\tb\t4.5\n").unwrap().kind, JudgementKind::Ratings);
    }

    #[test]
    fn lines_of_another_form_are_named() {
        for (text, found) in [
            ("", "found no line"),
            ("a.jpg b.jpg#2 1\n", "line 1: found no tab"),
            ("a\tb\t1\n\na\tb\tx\n", "line 3: found \"x\" in the place of a number"),
            ("a\tb\tNaN\n", "found \"NaN\""),
            ("a\tb\n", "2 cells"),
            ("a\t\t1\n", "an empty id"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(found), "{error}");
        }
    }
}
