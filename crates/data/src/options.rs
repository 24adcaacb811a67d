//! [`SourceOptions`]: how a source is read. One type for the library, the configuration's `[data]` and the command line.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::decode_command::DecodeCommand;
use super::split::{Split, SplitBy};

/// How a source is read. The default recognises everything by itself.
///
/// With the feature `clap` these are also the command line's arguments, whose help is the text below.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
pub struct SourceOptions {
    /// Folder of the images, when it is not beside the source
    #[cfg_attr(feature = "clap", arg(long, value_name = "DIR"))]
    pub images: Option<PathBuf>,
    /// Folder of the caption files, when images and captions lie in two folders with equal stems
    #[cfg_attr(feature = "clap", arg(long, value_name = "DIR"))]
    pub texts: Option<PathBuf>,
    /// Split by content in place of the splits in the source, such as hash:0.9/0.05/0.05
    #[cfg_attr(feature = "clap", arg(long, value_name = "RULE"))]
    pub split_by: Option<SplitBy>,
    /// The same rule where the source has no splits of its own; without it images are split by [`SplitBy::DEFAULT`].
    #[serde(skip)]
    #[cfg_attr(feature = "clap", arg(skip))]
    pub split_rest_by: Option<SplitBy>,
    /// Leave Karpathy's restval images out instead of training on them
    #[cfg_attr(feature = "clap", arg(long = "no-restval", action = clap::ArgAction::SetFalse))]
    pub use_restval: bool,
    /// Columns of CSV and TSV tables.
    #[cfg_attr(feature = "clap", command(flatten))]
    pub csv: CsvColumns,
    /// Program for image formats that are not decoded here, such as 'heif-convert {in} {out}.png'; run without a shell
    // Never in a file: what a file says is not executed.
    #[serde(skip)]
    #[cfg_attr(feature = "clap", arg(long, value_name = "COMMAND"))]
    pub decode_cmd: Option<DecodeCommand>,
    /// Fail on anything that would be left out
    #[cfg_attr(feature = "clap", arg(long))]
    pub strict: bool,
}

impl Default for SourceOptions {
    fn default() -> Self {
        Self {
            images: None,
            texts: None,
            split_by: None,
            split_rest_by: None,
            use_restval: true,
            csv: CsvColumns::default(),
            decode_cmd: None,
            strict: false,
        }
    }
}

/// What a source's word for a split means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GivenSplit {
    /// It says none.
    None,
    Of(Split),
    /// Karpathy's `restval`, which the options leave out.
    LeftOut,
}

impl SourceOptions {
    /// The split that a source gives as `text`. In every format Karpathy's `restval` is train, or left out as asked.
    ///
    /// # Errors
    /// The reason in words.
    pub(super) fn given_split(&self, text: Option<&str>) -> Result<GivenSplit, String> {
        match text.map(str::trim) {
            None | Some("") => Ok(GivenSplit::None),
            Some(text) if text.eq_ignore_ascii_case("restval") => {
                Ok(if self.use_restval { GivenSplit::Of(Split::Train) } else { GivenSplit::LeftOut })
            }
            Some(text) => match text.parse() {
                Ok(split) => Ok(GivenSplit::Of(split)),
                Err(_) => Err(format!("its split is {text:?}, not train, val, test or restval")),
            },
        }
    }
}

/// Names of a table's columns, where they are not the usual ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
pub struct CsvColumns {
    /// Column of the image in a CSV or TSV table
    #[cfg_attr(feature = "clap", arg(id = "csv_img_key", long = "csv-img-key", value_name = "NAME"))]
    pub image: Option<String>,
    /// Column of the caption in a CSV or TSV table
    #[cfg_attr(feature = "clap", arg(id = "csv_caption_key", long = "csv-caption-key", value_name = "NAME"))]
    pub caption: Option<String>,
    /// Separator of a table
    #[cfg_attr(feature = "clap", arg(id = "csv_separator", long = "csv-separator", value_name = "CHAR"))]
    pub separator: Option<char>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_data_with_no_other_keys() {
        assert_eq!(serde_json::from_str::<SourceOptions>("{}").unwrap(), SourceOptions::default());
        let given = r#"{"split_by":"test","use_restval":false,"csv":{"image":"file"}}"#;
        let options: SourceOptions = serde_json::from_str(given).unwrap();
        assert_eq!((options.use_restval, options.csv.image.as_deref()), (false, Some("file")));
        assert!(serde_json::from_str::<SourceOptions>(r#"{"csv_img_key":"file"}"#).is_err());
    }

    #[cfg(feature = "clap")]
    #[test]
    fn flags_set_the_same_fields() {
        use clap::{Args, FromArgMatches};
        let read = |args: &[&str]| {
            let command = SourceOptions::augment_args(clap::Command::new("x").no_binary_name(true));
            SourceOptions::from_arg_matches(&command.try_get_matches_from(args).unwrap()).unwrap()
        };
        assert_eq!(read(&[]), SourceOptions::default());
        let options = read(&["--no-restval", "--csv-separator", ";", "--split-by", "test", "--strict"]);
        assert!(!options.use_restval && options.strict);
        assert_eq!((options.csv.separator, options.split_by.unwrap().to_string()), (Some(';'), "test".into()));
    }
}
