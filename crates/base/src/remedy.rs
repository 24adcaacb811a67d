//! [`Remedy`]: how a fault is put right, for programs that know by which flag, button or call.

use std::borrow::Cow;

/// How to put a fault right. A command line names its flag, a server its field; a library says [`words`](Self::words).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Remedy {
    /// Advice that needs no flag, button or call.
    Advice(String),
    /// Name the dataset.
    NameData,
    /// See a sample of each dataset format.
    ShowFormats,
    /// Check the dataset: it names what was left out, and why.
    CheckData,
    /// Give a command that decodes the image's format.
    GiveDecodeCommand,
    /// Name the columns of the image and of the caption.
    NameColumns,
    /// Copy the images beside the table.
    CopyImages,
    /// Give splits in the data, or split by content.
    GiveSplits,
    /// Give the validation split more images.
    MoreValidation,
    /// See all configuration keys with their defaults.
    ShowConfig,
    /// Get a file and name it as the CNN's weights; the text says which files, from whom, with which checksum.
    NameWeights(String),
    /// Name a run folder or a checkpoint.
    NameRun,
    /// Name the run that made the index.
    NameIndexModel,
    /// Continue the run, or give the new one another name.
    ResumeOrRename,
    /// Start the run rather than resume it.
    StartRun,
    /// Train a caption decoder on top of this run.
    TrainCaptions,
    /// Train an image generator on top of this run.
    TrainGenerator,
    /// Make the index, or name its folder.
    MakeIndex,
    /// Index this dataset rather than a folder of images.
    IndexDataset,
    /// Index again: the run finishes or replaces what is there.
    IndexAgain,
    /// Repair the index: what is damaged is encoded again.
    RepairIndex,
    /// Make the index again with the model named.
    Reindex,
    /// Name another folder for the index, or replace the index's source.
    ReplaceSource,
    /// Index the images without captions, or replace the index's source.
    KeepImages,
    /// Find out why the dataset is read as another format, or replace the index's source by what it is read as.
    KeepFormat,
    /// Fix the dataset, or replace the index's source by images without captions.
    FixDataset,
    /// Index with the options of the others.
    SameOptions,
    /// Also read hidden files and folders.
    IncludeHidden,
    /// Name all parts to merge, or keep what no part has.
    AllParts,
    /// Calibrate the model.
    Calibrate,
    /// Calibrate the model again.
    Recalibrate,
    /// Give the ids of the images.
    GiveImageIds,
    /// Give the image of each caption.
    GiveCaptionImages,
    /// Evaluate a model and keep the report.
    MakeReport,
    /// Give the results and the references as two files.
    GiveReferences,
    /// Give a corpus for the document frequencies.
    GiveCorpus,
    /// Give another weight of the abstract level, or none.
    ChooseLambda,
    /// Give a key that callers must have, or serve everybody.
    GiveKey,
    /// Build with this feature.
    BuildWith(&'static str),
    /// Compute on another device, such as the CPU.
    ChooseDevice,
    /// Train with batches of at most this many pairs.
    SmallerBatch(usize),
}

impl Remedy {
    /// The remedy in words that name no program's flags.
    pub fn words(&self) -> Cow<'_, str> {
        let words = match self {
            Self::Advice(advice) => return Cow::Borrowed(advice),
            Self::NameWeights(files) => {
                return format!("nothing is downloaded: get one of these and name it as the CNN's weights:\n  {files}")
                    .into();
            }
            Self::BuildWith(feature) => {
                return format!("build with the feature {feature}, or compute on the CPU").into();
            }
            Self::SmallerBatch(pairs) => return format!("try batches of {pairs} pairs").into(),
            Self::NameData => "name the dataset",
            Self::ShowFormats => "compare it with the samples of the supported formats",
            Self::CheckData => "check the dataset: the check gives the reason for each",
            Self::GiveDecodeCommand => "give a command that decodes images of this format",
            Self::NameColumns => "name the columns of the image and of the caption",
            Self::CopyImages => "copy the images too",
            Self::GiveSplits => "give splits in the data, or split by content",
            Self::MoreValidation => "give the validation split more images",
            Self::ShowConfig => "compare it with the list of all configuration keys",
            Self::NameRun => "name a run folder or one of its checkpoints",
            Self::NameIndexModel => "name the run that made the index",
            Self::ResumeOrRename => "resume that run, or give the new run another name",
            Self::StartRun => "start the run rather than resume it",
            Self::TrainCaptions => "train a caption decoder on top of this run",
            Self::TrainGenerator => "train an image generator on top of this run",
            Self::MakeIndex => "make the index first, or name its folder",
            Self::IndexDataset => "index the dataset rather than its folder of images",
            Self::IndexAgain => "index again, or remove the index's folder first",
            Self::RepairIndex => "repair the index: what is damaged in it is encoded again",
            Self::Reindex => "make the index again with this model",
            Self::ReplaceSource => {
                "name another folder for the index, or replace its source: items that the new source lacks are deleted"
            }
            Self::KeepImages => {
                "index all images of the folder without captions, or replace the index's source by the dataset: images \
                 without captions are deleted"
            }
            Self::KeepFormat => {
                "check the dataset: a file that could not be read may be why; or replace the index's source: items that it \
                 lacks now are deleted"
            }
            Self::FixDataset => {
                "fix the data, or replace the index's source by images without captions: its captions are deleted"
            }
            Self::SameOptions => "index all of them with the same options",
            Self::IncludeHidden => "hidden files and folders are skipped unless they are asked for",
            Self::AllParts => "name all parts, or keep the items that no part has",
            Self::Calibrate => "calibrate the model first",
            Self::Recalibrate => "calibrate the model again",
            Self::GiveImageIds => "give the ids of the images",
            Self::GiveCaptionImages => "give the ids of the images and the image of each caption",
            Self::MakeReport => "evaluate a model and keep its report as JSON",
            Self::GiveReferences => "the results come first; the references are a second file",
            Self::GiveCorpus => "give the captions that a model was trained on as a corpus",
            Self::ChooseLambda => "a weight from 0 to 1; a model with one level takes 1 or none",
            Self::GiveKey => "give a key that callers must have, or allow everybody in",
            Self::ChooseDevice => "name another device, or compute on the CPU",
        };
        Cow::Borrowed(words)
    }
}
