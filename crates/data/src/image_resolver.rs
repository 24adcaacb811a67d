//! [`ImageResolver`]: finds the images that a table names, and refuses names that lead outside their folder.

use std::path::{Component, Path, PathBuf};

use unicode_normalization::UnicodeNormalization;

use gxn_base::{Error, Result};

/// Folder names under which published datasets keep their images.
const USUAL: [&str; 6] = ["images", "Images", "Flicker8k_Dataset", "Flickr8k_Dataset", "flickr30k-images", "photos"];

/// Folders that are searched for an image named by a table, in order.
#[derive(Debug)]
pub(super) struct ImageResolver {
    /// As found, and with every link resolved.
    roots: Vec<(PathBuf, PathBuf)>,
    /// Those of them that do not lie beside the table, but one folder further up.
    above: Vec<PathBuf>,
}

impl ImageResolver {
    /// The folder given by the user alone; without it `images/` (or another usual name) beside `table`, the table's own
    /// folder, then the same beside the folder above. `also` are further names to try first, such as `val2017`.
    pub fn new(table: &Path, given: Option<&Path>, also: &[&str]) -> Result<Self> {
        if let Some(root) = given {
            let real = root.canonicalize().map_err(|error| Error::io("cannot open the image folder", root, error))?;
            if !real.is_dir() {
                return Err(Error::invalid(root.display().to_string(), "a file", "the folder of the images"));
            }
            return Ok(Self { roots: vec![(root.to_path_buf(), real)], above: Vec::new() });
        }
        let beside = match table.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
            _ => PathBuf::from("."),
        };
        let above = beside.canonicalize().ok().and_then(|real| real.parent().map(Path::to_path_buf));
        let names = || also.iter().chain(&USUAL);
        let mut candidates: Vec<PathBuf> = names().map(|name| beside.join(name)).collect();
        candidates.push(beside);
        let above: Vec<PathBuf> = above.iter().flat_map(|above| names().map(|name| above.join(name))).collect();
        candidates.extend(above.iter().cloned());
        candidates.retain(|folder| folder.is_dir());
        let roots = candidates.into_iter().filter_map(|root| Some((root.clone(), root.canonicalize().ok()?))).collect();
        Ok(Self { roots, above })
    }

    /// The folder one further up that an image was found in.
    pub fn above(&self, image: &Path) -> Option<&Path> {
        self.above.iter().find(|folder| image.starts_with(folder)).map(PathBuf::as_path)
    }

    /// The file that one of `names`, tried in order in each root, stands for.
    ///
    /// # Errors
    /// The reason in words: an unsafe name, a link that leaves the root, or no such file.
    pub fn find(&self, names: &[&str]) -> std::result::Result<PathBuf, String> {
        for name in names {
            if Path::new(name).is_absolute() {
                match self.relative(name).filter(|inside| !inside.is_empty()) {
                    Some(inside) => return self.find(&[&inside]),
                    None => return Err(Self::outside(Path::new(name))),
                }
            }
            check_relative(name)?;
        }
        let names: Vec<String> = names.iter().flat_map(|name| spellings(name)).collect();
        for (root, real) in &self.roots {
            for name in &names {
                let path = root.join(name);
                let Ok(target) = path.canonicalize() else { continue };
                if !target.starts_with(real) {
                    return Err(format!("a link that leaves {}", root.display()));
                }
                if target.is_file() {
                    return Ok(path);
                }
            }
        }
        let places: Vec<String> = self.roots.iter().map(|(root, _)| root.display().to_string()).collect();
        Err(format!("no such image file in {}", places.join(", ")))
    }

    /// A path from one of the roots for the absolute path of a file in it. Ids must not depend on where a dataset lies.
    pub fn relative(&self, name: &str) -> Option<String> {
        let real = Path::new(name).is_absolute().then(|| Path::new(name).canonicalize().ok()).flatten()?;
        let below = |(_, root): &(PathBuf, PathBuf)| real.strip_prefix(root).ok()?.to_str().map(str::to_owned);
        self.roots.iter().find_map(below)
    }

    /// Why an absolute path that does not lead into one of the roots is of no use.
    fn outside(path: &Path) -> String {
        match path.canonicalize() {
            Err(_) => "no such image file".into(),
            Ok(path) if path.is_dir() => "not a file".into(),
            Ok(_) => format!(
                "an absolute path outside the dataset's folder: name its folder, {}, as that of the images",
                path.parent().unwrap_or(path).display()
            ),
        }
    }

    /// Whether a file that [`ImageResolver::find`] does not find may be there all the same: it, or its
    /// folder, cannot be read, or is a link to a disk that is not mounted. A file that its folder no longer has is gone.
    pub fn may_hold(&self, names: &[&str]) -> bool {
        if names.iter().any(|name| check_relative(name).is_err() && !Path::new(name).is_absolute()) {
            return false;
        }
        let mut is_folder_there = false;
        for path in self.roots.iter().flat_map(|(root, _)| names.iter().map(move |name| root.join(name))) {
            match std::fs::metadata(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return true,
                Err(_) if path.symlink_metadata().is_ok() => return true,
                _ => is_folder_there |= path.parent().is_some_and(Path::is_dir),
            }
        }
        !is_folder_there
    }
}

/// A name as it is written, with slashes as on other systems, and with its accents composed and apart, as macOS has them.
fn spellings(name: &str) -> Vec<String> {
    let mut all = vec![name.to_owned()];
    if name.contains('\\') {
        all.push(name.replace('\\', "/"));
    }
    if !name.is_ascii() {
        all.extend([name.nfc().collect(), name.nfd().collect()]);
    }
    all
}

/// Refuses names that could lead outside their folder.
pub(super) fn check_relative(name: &str) -> std::result::Result<(), String> {
    if name.is_empty() {
        return Err("an empty file name".into());
    }
    if name.contains('\0') {
        return Err("a file name with a zero byte".into());
    }
    if name.contains("://") {
        return Err("an address; nothing is downloaded".into());
    }
    // Windows forms are refused everywhere, so that a dataset means the same on every system.
    let drive = name.as_bytes().get(1) == Some(&b':') && name.as_bytes()[0].is_ascii_alphabetic();
    if drive || name.starts_with('\\') || Path::new(name).is_absolute() {
        return Err(
            "an absolute path; images are named relative to their folder, or lie below the one that is given".into()
        );
    }
    let climbs = |part: &str| part == "..";
    if Path::new(name).components().any(|part| part == Component::ParentDir) || name.split('\\').any(climbs) {
        return Err("a path with `..`, which leaves its folder".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_leave_are_refused() {
        for bad in [
            "../a.jpg",
            "a/../../b.jpg",
            "/etc/passwd",
            "C:\\a.jpg",
            "\\\\host\\a.jpg",
            "..\\a.jpg",
            "",
            "a\0b",
            "https://x/a.jpg",
        ] {
            assert!(check_relative(bad).is_err(), "{bad:?}");
        }
        for good in ["a.jpg", "a/b.jpg", "./a.jpg", "a..b.jpg", "ü/ñ.png"] {
            assert!(check_relative(good).is_ok(), "{good:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_that_leave_are_refused_and_others_followed() {
        let folder = tempfile::tempdir().unwrap();
        let images = folder.path().join("images");
        std::fs::create_dir(&images).unwrap();
        std::fs::write(folder.path().join("secret.jpg"), b"x").unwrap();
        std::fs::write(images.join("a.jpg"), b"x").unwrap();
        std::os::unix::fs::symlink("../secret.jpg", images.join("out.jpg")).unwrap();
        std::os::unix::fs::symlink("a.jpg", images.join("in.jpg")).unwrap();
        let roots = ImageResolver::new(&folder.path().join("t.csv"), Some(&images), &[]).unwrap();
        assert!(roots.find(&["a.jpg"]).is_ok());
        assert!(roots.find(&["in.jpg"]).is_ok());
        assert!(roots.find(&["out.jpg"]).unwrap_err().contains("leaves"));
        assert!(roots.find(&["b.jpg"]).unwrap_err().contains("no such image"));
    }

    #[cfg(unix)]
    #[test]
    fn an_absolute_path_is_used_inside_the_folder_alone() {
        let folder = tempfile::tempdir().unwrap();
        let images = folder.path().join("images");
        std::fs::create_dir(&images).unwrap();
        for place in ["secret.jpg", "images/a.jpg"] {
            std::fs::write(folder.path().join(place), b"x").unwrap();
        }
        std::os::unix::fs::symlink("../secret.jpg", images.join("out.jpg")).unwrap();
        let roots = ImageResolver::new(&images.join("t.csv"), None, &[]).unwrap();
        let find = |place: &str| roots.find(&[folder.path().join(place).to_str().unwrap()]);
        assert_eq!(find("images/a.jpg").unwrap(), images.join("a.jpg"));
        let expected = format!("name its folder, {}, as that of the images", folder.path().display());
        assert!(find("secret.jpg").unwrap_err().ends_with(&expected));
        for (place, reason) in [("images/out.jpg", "outside"), ("images/b.jpg", "no such"), ("images", "not a file")] {
            assert!(find(place).unwrap_err().contains(reason), "{place}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_cannot_be_read_is_not_gone() {
        let folder = tempfile::tempdir().unwrap();
        let images = folder.path().join("images");
        std::fs::create_dir_all(images.join("here")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("unmounted"), images.join("disk")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("unmounted.jpg"), images.join("a.jpg")).unwrap();
        let roots = ImageResolver::new(&folder.path().join("t.csv"), None, &[]).unwrap();
        for name in ["disk/a.jpg", "a.jpg"] {
            assert!(roots.find(&[name]).is_err() && roots.may_hold(&[name]), "{name}");
        }
        for name in ["b.jpg", "here/b.jpg", "../b.jpg", "/etc/b.jpg", "C:\\b.jpg"] {
            assert!(roots.find(&[name]).is_err() && !roots.may_hold(&[name]), "{name}");
        }
    }

    #[test]
    fn usual_places_are_found() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("text")).unwrap();
        std::fs::create_dir_all(folder.path().join("images/sub")).unwrap();
        std::fs::write(folder.path().join("images/sub/a.jpg"), b"x").unwrap();
        for table in ["t.csv", "text/t.csv"] {
            let roots = ImageResolver::new(&folder.path().join(table), None, &[]).unwrap();
            assert!(roots.find(&["sub/a.jpg"]).is_ok(), "{table}");
            assert!(roots.find(&["elsewhere/a.jpg", "sub/a.jpg"]).is_ok(), "{table}");
        }
    }
}
