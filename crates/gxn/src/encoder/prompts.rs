//! [`Prompts`]: templates that a text is put into before a pretrained encoder reads it.

use gxn_base::{Error, Result};

use crate::look::to_unit_length;

/// Where the text goes.
const PLACE: &str = "{}";

/// Templates such as `a photo of {}`. A text's embedding is the mean of those of the filled templates, of length 1 (Radford et
/// al. 2021, §3.1.4); without templates it is the text's own.
#[derive(Debug, Clone, Default)]
pub(super) struct Prompts(Vec<String>);

impl Prompts {
    /// # Errors
    /// A template in which `{}` does not stand exactly once.
    pub fn new(templates: &[String]) -> Result<Self> {
        for template in templates {
            let places = template.matches(PLACE).count();
            if places != 1 {
                let found = format!("{places} times {PLACE} in \"{template}\"");
                return Err(Error::invalid("a prompt", found, "{} once, where the text goes: a photo of {}"));
            }
        }
        Ok(Self(templates.to_vec()))
    }

    pub fn templates(&self) -> &[String] {
        &self.0
    }

    /// Each text in each template, one text after the other.
    pub fn filled<S: AsRef<str>>(&self, texts: &[S]) -> Vec<String> {
        if self.0.is_empty() {
            return texts.iter().map(|text| text.as_ref().to_owned()).collect();
        }
        let fill = |text: &S| self.0.iter().map(|template| template.replace(PLACE, text.as_ref())).collect::<Vec<_>>();
        texts.iter().flat_map(fill).collect()
    }

    /// The rows of texts, `[N, width]`, from those of their filled templates.
    pub fn mean(&self, rows: Vec<f32>, width: usize) -> Vec<f32> {
        let count = self.0.len();
        if count < 2 {
            return rows;
        }
        let mut means: Vec<f32> = Vec::with_capacity(rows.len() / count);
        for rows in rows.chunks_exact(width * count) {
            let sum = |at: usize| rows.iter().skip(at).step_by(width).sum::<f32>();
            let start = means.len();
            means.extend((0..width).map(sum));
            to_unit_length(&mut means[start..]);
        }
        means
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompts(templates: &[&str]) -> Result<Prompts> {
        Prompts::new(&templates.iter().map(|&template| template.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn each_text_goes_into_each_template() {
        let two = prompts(&["a photo of {}", "{}, from above"]).unwrap();
        let filled = two.filled(&["dog", "cat"]);
        assert_eq!(filled, ["a photo of dog", "dog, from above", "a photo of cat", "cat, from above"]);
        assert_eq!(prompts(&[]).unwrap().filled(&["dog"]), ["dog"]);
        assert!(prompts(&["a photo"]).is_err() && prompts(&["{} {}"]).is_err());
    }

    #[test]
    fn the_mean_of_the_templates_has_length_one() {
        let two = prompts(&["{}", "a {}"]).unwrap();
        let root = 0.5f32.sqrt();
        assert_eq!(two.mean(vec![1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0], 2), [root, root, 0.0, 1.0]);
        assert_eq!(prompts(&["a {}"]).unwrap().mean(vec![0.6, 0.8], 2), [0.6, 0.8]);
    }
}
