//! Image files that are not decoded here: told by their ending, counted, or given to the user's decode command.

use std::collections::BTreeMap;
use std::path::Path;

use image::ImageFormat;

use super::account::Dropped;
use super::decode_command::DecodeCommand;
use super::image_source::{ImageSource, is_image_extension};
use gxn_base::words::counted;

/// How names of image files end whose formats are not decoded here.
const ENDINGS: [&str; 18] = [
    "heic", "heif", "hif", "avif", "jxl", "jp2", "j2k", "jpf", "jpx", "psd", "tga", "ppm", "pgm", "pbm", "pnm", "exr",
    "hdr", "svg",
];

/// Raw formats of cameras. Most are TIFF files whose first image is a small preview.
const RAW: [&str; 16] =
    ["dng", "cr2", "cr3", "crw", "nef", "nrw", "arw", "srf", "sr2", "orf", "raf", "rw2", "pef", "srw", "x3f", "3fr"];

/// The ending of an image file whose format is usually not decoded here, in lower case.
fn undecoded_ending(name: &str) -> Option<&'static str> {
    let ending = Path::new(name).extension()?.to_str()?;
    ENDINGS.into_iter().chain(RAW).find(|known| known.eq_ignore_ascii_case(ending))
}

/// Whether the name ends as an image's, decoded here or not.
pub(super) fn has_any_image_extension(name: &str) -> bool {
    let ending = Path::new(name).extension().and_then(std::ffi::OsStr::to_str);
    ending.is_some_and(is_image_extension) || undecoded_ending(name).is_some()
}

/// Whether these bytes, the first of a file of this name or all of them, need a command to become an image.
pub(super) fn need_command(bytes: &[u8], name: &str) -> bool {
    use ImageFormat as F;
    match image::guess_format(bytes) {
        _ if bytes.is_empty() => false,
        Ok(F::Jpeg | F::Png | F::WebP | F::Gif | F::Bmp) => false,
        Ok(F::Tiff) => undecoded_ending(name).is_some_and(|ending| RAW.contains(&ending)),
        _ => true,
    }
}

/// Image files that are left out for want of a decode command, by their endings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Undecoded(BTreeMap<&'static str, usize>);

impl Undecoded {
    /// The source, read through `command` if there is one; `None`, and counted, if there is none and the file is of a
    /// format that needs it. Names tell the candidates, contents decide.
    pub fn admit(&mut self, source: ImageSource, command: Option<&DecodeCommand>) -> Option<ImageSource> {
        if let Some(command) = command {
            return Some(ImageSource::Converted { source: Box::new(source), command: command.clone() });
        }
        let Some(ending) = undecoded_ending(source.name()) else { return Some(source) };
        match source.first_bytes() {
            Ok(start) if need_command(&start, source.name()) => {
                *self.0.entry(ending).or_default() += 1;
                None
            }
            _ => Some(source),
        }
    }

    /// Whether the file is an image of a format that is usually not decoded here.
    pub fn concerns(path: &Path) -> bool {
        path.file_name().is_some_and(|name| undecoded_ending(&name.to_string_lossy()).is_some())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.values().sum()
    }

    /// One line for each ending.
    pub fn dropped(&self) -> Vec<Dropped> {
        let line = |(ending, &count): (&&str, &usize)| Dropped {
            what: counted(count, &format!(".{ending} image")),
            reason: "not decoded here; a decode command makes them usable".into(),
        };
        self.0.iter().map(line).collect()
    }
}
