//! [`DecodeCommand`]: the user's own program for image formats that are not decoded here.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use process_control::{ChildExt, Control, Output};
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

use super::image::{ImageLimits, is_decoded_here};
use super::image_source::ContentHash;
use gxn_base::fs::{in_temporary_folder, write_atomically};
use gxn_base::{Error, Result};

/// The longest that the command may take for one image.
const TIME: Duration = Duration::from_secs(60);
/// The most memory that it may reserve for one image.
#[cfg(any(target_os = "linux", windows))]
const MEMORY: usize = 8 << 30;
/// As much of its complaints as is kept.
const LARGEST_COMPLAINT: usize = 4096;

/// A command line such as `heif-convert {in} {out}.png`, which writes an image that is decoded here.
///
/// It is run without a shell, with limits of time, memory and size. `{in}` stands for a copy of the image's file,
/// `{out}` for the path of the result without its ending. Results are kept in the user's cache folder by the content of
/// the image and the command. A command is never read from a file: only its user can give it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeCommand {
    text: Arc<str>,
    words: Arc<[String]>,
}

impl FromStr for DecodeCommand {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |found: &str, expected: &str| {
            Err(Error::invalid("the decode command", found, expected)
                .with_hint("for example: heif-convert {in} {out}.png"))
        };
        let Some(words) = shlex::split(text) else {
            return wrong(&format!("{text:?}, with an open quote"), "closed quotes");
        };
        let Some((program, arguments)) = words.split_first() else { return wrong("nothing", "a program") };
        for placeholder in ["{in}", "{out}"] {
            if !arguments.iter().any(|word| word.contains(placeholder)) {
                return wrong(&format!("{text:?}"), &format!("{placeholder} among the arguments"));
            }
        }
        if !is_program(program) {
            let expected = "a program that is installed";
            return Err(Error::not_found("the decode command", format!("no program {program:?}"), expected));
        }
        Ok(Self { text: text.into(), words: words.into() })
    }
}

impl fmt::Display for DecodeCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for DecodeCommand {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

fn is_program(name: &str) -> bool {
    if name.contains(['/', '\\']) {
        return Path::new(name).is_file();
    }
    let named = |folder: PathBuf| folder.join(name).is_file() || folder.join(format!("{name}.exe")).is_file();
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(named))
}

impl DecodeCommand {
    /// The bytes of the image that the command makes of `bytes`; `name` ends as the image's file does.
    ///
    /// # Errors
    /// The command fails, takes too long or writes no image; the text has its own complaint.
    pub(super) fn run(&self, bytes: &[u8], name: &str) -> Result<Vec<u8>> {
        self.run_cached(bytes, name, cache_folder().as_deref())
    }

    fn run_cached(&self, bytes: &[u8], name: &str, cache: Option<&Path>) -> Result<Vec<u8>> {
        let cached = cache.map(|folder| folder.join(self.key(bytes)));
        if let Some(result) = cached.as_ref().and_then(|path| std::fs::read(path).ok()) {
            return Ok(result);
        }
        let result = in_temporary_folder(|folder| self.convert(bytes, name, folder))?;
        if let (Some(folder), Some(path)) = (cache, cached) {
            // A cache that cannot be written costs time and nothing else.
            let written = std::fs::create_dir_all(folder)
                .map_err(|error| Error::io("cannot write", folder, error))
                .and_then(|()| write_atomically(&path, |file| std::io::Write::write_all(file, &result)));
            drop(written);
        }
        Ok(result)
    }

    fn key(&self, bytes: &[u8]) -> String {
        let mut hash = Sha256::new();
        hash.update((self.text.len() as u64).to_le_bytes());
        hash.update(self.text.as_bytes());
        hash.update(bytes);
        ContentHash(hash.finalize().into()).to_string()
    }

    fn convert(&self, bytes: &[u8], name: &str, folder: &Path) -> Result<Vec<u8>> {
        let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
        let clean: String = ending.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
        let input = folder.join(format!("in.{clean}"));
        std::fs::write(&input, bytes).map_err(|error| Error::io("cannot write", &input, error))?;
        let [input, output] = [input, folder.join("out")].map(|path| path.to_string_lossy().into_owned());
        let arguments = self.words[1..].iter().map(|word| word.replace("{in}", &input).replace("{out}", &output));
        let mut command = Command::new(&self.words[0]);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let expected = format!("an image made by {:?}", self.text);
        let fail = |found: String| Error::invalid(name, found, &expected);
        let finished = wait(command).map_err(|error| fail(format!("that it cannot be run ({error})")))?;
        let Some(Output { status, stderr, .. }) = finished else {
            return Err(fail(format!("none after {} seconds", TIME.as_secs())));
        };
        if !status.success() {
            let complaint = String::from_utf8_lossy(&stderr).split_whitespace().collect::<Vec<_>>().join(" ");
            let shortened: String = complaint.chars().take(300).collect();
            return Err(fail(format!("{status} ({shortened})")));
        }
        let result = result_in(folder).ok_or_else(|| fail("no file `{out}` with an ending".into()))?;
        let length = std::fs::metadata(&result).map_err(|error| Error::io("cannot read", &result, error))?.len();
        let most = ImageLimits::default().max_bytes;
        if length > most {
            return Err(fail(format!("{length} bytes, at most {most} are read")));
        }
        let made = std::fs::read(&result).map_err(|error| Error::io("cannot read", &result, error))?;
        if is_decoded_here(&made) {
            Ok(made)
        } else {
            Err(fail("a file that is no JPEG, PNG, WebP, GIF, BMP or TIFF".into()))
        }
    }
}

/// Runs the command to its end; `None` if that takes too long.
fn wait(mut command: Command) -> std::io::Result<Option<Output>> {
    let mut kept = 0;
    let control = command.spawn()?.controlled_with_output().time_limit(TIME).terminate_for_timeout().stderr_filter(
        move |bytes: &[u8]| {
            kept += bytes.len();
            Ok(kept <= LARGEST_COMPLAINT)
        },
    );
    #[cfg(any(target_os = "linux", windows))]
    let control = control.memory_limit(MEMORY);
    control.wait()
}

/// The file that the command wrote; of several pages the first.
fn result_in(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let named = |path: &PathBuf| path.file_stem().is_some_and(|stem| stem.to_string_lossy().starts_with("out"));
    entries.filter(|path| named(path) && path.is_file()).min_by_key(|path| (path.as_os_str().len(), path.clone()))
}

/// Where results are kept: `gxn/decoded` in the user's cache folder.
fn cache_folder() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let user = folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")));
    let user = user.or_else(|| folder("LOCALAPPDATA"));
    user.filter(|_| !cfg!(test)).map(|user| user.join("gxn").join("decoded"))
}

#[cfg(test)]
#[path = "decode_command_tests.rs"]
mod tests;
