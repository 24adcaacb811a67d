//! Files that are whole or absent: written under a temporary name, synced, renamed.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::{Error, Result};

/// Lets `fill` write to a temporary file beside `path`, syncs it and renames it to `path`.
///
/// # Errors
/// When anything fails, a full disk included; then `path` is as it was and no temporary file is left.
///
/// A link stays a link: the file behind it is replaced. What is no file, such as `/dev/stdout` or a pipe, must never be
/// replaced by one and is written to directly.
pub fn write_atomically(path: &Path, fill: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>) -> Result<()> {
    let fail = |error| Error::io("cannot write", path, error);
    if path.is_dir() {
        return Err(Error::conflict(path.display().to_string(), "a folder", "the name of a file to write"));
    }
    if std::fs::metadata(path).is_ok_and(|meta| !meta.is_file()) {
        let file = File::options().write(true).open(path).map_err(fail)?;
        let mut writer = BufWriter::with_capacity(1 << 16, &file);
        return fill(&mut writer).and_then(|()| writer.flush()).map_err(fail);
    }
    let real =
        if path.is_symlink() { path.canonicalize().unwrap_or_else(|_| path.to_path_buf()) } else { path.to_path_buf() };
    let folder = folder_of(&real);
    let temporary = tempfile::Builder::new().prefix(".writing-").tempfile_in(folder).map_err(fail)?;
    // Temporary files are private by default; a finished data file is as readable as any other.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        temporary.as_file().set_permissions(std::fs::Permissions::from_mode(0o644)).map_err(fail)?;
    }
    let mut writer = BufWriter::with_capacity(1 << 16, temporary.as_file());
    fill(&mut writer).and_then(|()| writer.flush()).map_err(fail)?;
    drop(writer);
    temporary.as_file().sync_all().map_err(fail)?;
    temporary.persist(&real).map_err(|error| fail(error.error))?;
    sync_folder(folder);
    Ok(())
}

/// Writes a text file, whole or not at all.
///
/// # Errors
/// When it cannot be written; then `path` is as it was.
pub fn write_text(path: &Path, text: &str) -> Result<()> {
    write_atomically(path, |file| file.write_all(text.as_bytes()))
}

/// Refuses a path that [`write_atomically`] cannot write to, before long work.
///
/// # Errors
/// When it is a folder, or the folder that it lies in is missing.
pub fn check_output(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Err(Error::conflict(path.display().to_string(), "a folder", "the name of a file to write"));
    }
    let folder = folder_of(path);
    if !folder.is_dir() {
        let what = format!("the folder of {}", path.display());
        return Err(Error::not_found(what, "none", folder.display().to_string()).with_hint("make it first"));
    }
    Ok(())
}

/// Refuses a path that [`build_folder_atomically`] cannot build, before long work.
///
/// # Errors
/// When it is a file, or a folder that holds anything.
pub fn check_new_folder(path: &Path) -> Result<()> {
    let is_empty = match std::fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(Error::io("cannot write", path, error)),
    };
    if is_empty {
        return Ok(());
    }
    Err(Error::conflict(path.display().to_string(), "files", "an empty or a new folder")
        .with_hint("name another folder, or remove this one"))
}

/// Lets `fill` build a folder under a temporary name beside `path` and renames it to `path`, which must not exist or be
/// an empty folder.
///
/// # Errors
/// When anything fails; then nothing is left behind.
pub fn build_folder_atomically(path: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let fail = |error| Error::io("cannot write", path, error);
    check_new_folder(path)?;
    let parent = folder_of(path);
    std::fs::create_dir_all(parent).map_err(fail)?;
    let temporary = tempfile::Builder::new().prefix(".writing-").tempdir_in(parent).map_err(fail)?;
    let inside = temporary.path().join("content");
    std::fs::create_dir(&inside).map_err(fail)?;
    fill(&inside)?;
    sync_folder(&inside);
    // Renaming onto an empty folder is allowed on Unix only; removing it first works everywhere.
    match std::fs::remove_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(error)),
        _ => {}
    }
    std::fs::rename(&inside, path).map_err(fail)?;
    sync_folder(parent);
    Ok(())
}

/// Lets `work` use a private folder that is gone afterwards.
///
/// # Errors
/// When the folder cannot be made, and as `work`.
pub fn in_temporary_folder<T>(work: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    let fail = |error| Error::io("cannot write", &std::env::temp_dir(), error);
    let folder = tempfile::Builder::new().prefix("gxn-").tempdir().map_err(fail)?;
    work(folder.path())
}

/// Writes `bytes` to a new file and syncs it. For use inside [`build_folder_atomically`].
pub fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|error| Error::io("cannot write", path, error))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Makes a rename last over a power cut. Not every file system can, and none must: errors are ignored.
fn sync_folder(folder: &Path) {
    if let Ok(handle) = File::open(folder) {
        let _ = handle.sync_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        write_atomically(&path, |file| file.write_all(b"old")).unwrap();
        let full = |file: &mut BufWriter<&File>| {
            file.write_all(b"half of the n")?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        };
        let error = write_atomically(&path, full).unwrap_err();
        assert!(error.to_string().contains("a.json"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        for refused in [write_text(folder.path(), "x"), check_output(folder.path())] {
            let error = refused.unwrap_err();
            assert!(error.to_string().ends_with("found a folder, expected the name of a file to write"), "{error}");
        }
        check_output(&path).unwrap();
        check_output(&folder.path().join("new.json")).unwrap();
        assert!(
            check_output(&folder.path().join("absent/new.json")).unwrap_err().to_string().contains("the folder of")
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link_and_a_device_a_device() {
        use std::os::unix::fs::{FileTypeExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("a.json"), folder.path().join("link.json"));
        std::fs::write(&file, "old").unwrap();
        symlink(&file, &link).unwrap();
        write_atomically(&link, |out| out.write_all(b"new")).unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read(&file).unwrap(), b"new");
        // Through a link of our own: should this ever fail, it is not the machine's /dev/null that is gone.
        let device = folder.path().join("null");
        symlink("/dev/null", &device).unwrap();
        write_atomically(&device, |out| out.write_all(b"gone")).unwrap();
        assert!(std::fs::metadata(&device).unwrap().file_type().is_char_device());
    }

    #[test]
    fn a_folder_appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/data");
        let failed = build_folder_atomically(&path, |inside| {
            write_synced(&inside.join("x"), b"1")?;
            write_synced(&inside.join("missing/y"), b"2")
        });
        assert!(failed.is_err());
        assert!(!path.exists());
        assert_eq!(std::fs::read_dir(folder.path().join("new")).unwrap().count(), 0);
        build_folder_atomically(&path, |inside| write_synced(&inside.join("x"), b"1")).unwrap();
        assert_eq!(std::fs::read(path.join("x")).unwrap(), b"1");
        let again = build_folder_atomically(&path, |_| Ok(())).unwrap_err();
        assert!(again.to_string().contains("empty or a new folder"), "{again}");
        assert_eq!(std::fs::read(path.join("x")).unwrap(), b"1");
    }
}
