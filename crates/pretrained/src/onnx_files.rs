//! [`OnnxFiles`]: where an encoder's ONNX files lie.

use std::path::{Path, PathBuf};

use gxn_base::{Error, Result};

/// Folders in which publishers put them.
const FOLDERS: [&str; 2] = ["onnx", ""];

/// The ONNX files of an encoder, one for each side that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OnnxFiles {
    pub(crate) images: Option<PathBuf>,
    pub(crate) texts: Option<PathBuf>,
}

impl OnnxFiles {
    /// The files in `folder`, if there are any: `vision_model.onnx` and `text_model.onnx`, or `model.onnx` alone, which is the side
    /// that the folder has settings for.
    ///
    /// # Errors
    /// `model.onnx` alone in a folder with settings for images and for texts.
    pub(crate) fn find(folder: &Path) -> Result<Option<Self>> {
        let named =
            |name: &str| FOLDERS.iter().map(|inside| folder.join(inside).join(name)).find(|path| path.is_file());
        let (images, texts) = (named("vision_model.onnx"), named("text_model.onnx"));
        if images.is_some() || texts.is_some() {
            return Ok(Some(Self { images, texts }));
        }
        let Some(single) = named("model.onnx") else { return Ok(None) };
        let has = |names: &[&str]| names.iter().any(|name| folder.join(name).is_file());
        let has_images = has(&["preprocessor_config.json", "processor_config.json"]);
        let has_texts = has(&["tokenizer.json", "vocab.json", "vocab.txt"]);
        match (has_images, has_texts) {
            (true, false) => Ok(Some(Self { images: Some(single), texts: None })),
            (false, true) => Ok(Some(Self { images: None, texts: Some(single) })),
            (true, true) => Err(Error::unsupported(
                single.display().to_string(),
                "one file for images and texts",
                "vision_model.onnx and text_model.onnx, which run apart",
            )),
            (false, false) => Err(Error::not_found(
                folder.display().to_string(),
                "model.onnx without settings",
                "preprocessor_config.json (images) or tokenizer.json (texts) beside it",
            )),
        }
    }

    /// The files, and those with weights that did not fit into them.
    pub(crate) fn all(&self) -> Vec<PathBuf> {
        let with_data = |file: &PathBuf| {
            let ends = ["_data", ".data"].map(|end| PathBuf::from(format!("{}{end}", file.display())));
            std::iter::once(file.clone()).chain(ends.into_iter().filter(|data| data.is_file())).collect::<Vec<_>>()
        };
        self.images.iter().chain(&self.texts).flat_map(with_data).collect()
    }

    /// Their names.
    #[cfg(any(test, not(feature = "ort")))]
    pub(crate) fn shown(&self) -> String {
        let name =
            |file: &PathBuf| file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        self.images.iter().chain(&self.texts).map(name).collect::<Vec<_>>().join(" and ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(names: &[&str]) -> Result<Option<[Option<PathBuf>; 2]>> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("onnx")).unwrap();
        names.iter().for_each(|name| std::fs::write(folder.path().join(name), "x").unwrap());
        let inside = |path: PathBuf| path.strip_prefix(folder.path()).unwrap().to_owned();
        let files = OnnxFiles::find(folder.path())?;
        Ok(files.map(|files| [files.images.map(inside), files.texts.map(inside)]))
    }

    #[test]
    fn files_are_found_where_publishers_put_them() {
        let path = |name: &str| Some(PathBuf::from(name));
        assert_eq!(found(&["config.json"]).unwrap(), None);
        let two = found(&["onnx/vision_model.onnx", "onnx/text_model.onnx", "onnx/model.onnx"]).unwrap();
        assert_eq!(two, Some([path("onnx/vision_model.onnx"), path("onnx/text_model.onnx")]));
        assert_eq!(found(&["onnx/model.onnx", "tokenizer.json"]).unwrap(), Some([None, path("onnx/model.onnx")]));
        let alone = found(&["model.onnx", "preprocessor_config.json"]).unwrap();
        assert_eq!(alone, Some([path("model.onnx"), None]));
        let both = found(&["model.onnx", "preprocessor_config.json", "tokenizer.json"]).unwrap_err().to_string();
        assert!(both.contains("one file for images and texts"), "{both}");
        assert!(found(&["onnx/model.onnx"]).is_err());
    }

    #[test]
    fn weights_beside_a_file_belong_to_it() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["vision_model.onnx", "vision_model.onnx_data"] {
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        let files = OnnxFiles::find(folder.path()).unwrap().unwrap();
        assert_eq!((files.all().len(), files.shown().as_str()), (2, "vision_model.onnx"));
    }
}
