//! Parameters of a module by name, to and from safetensors.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use gxn_base::fs::write_atomically;
use gxn_base::{Error, Result};

/// A tensor outside the framework: shape and row-major values.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values.
    pub values: Vec<f32>,
}

/// Tensors by name, in the order of their names.
pub type Arrays = BTreeMap<String, Array>;

/// Every float parameter of `module` by its path, such as `sentence.abstract_gru.forward.w_ih`.
pub fn collect<M: Module>(module: &M) -> Arrays {
    struct Collector {
        path: Vec<String>,
        arrays: Arrays,
    }
    impl ModuleVisitor for Collector {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.push(name.to_string());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let data = param.val().into_data();
            let values = data.iter::<f32>().collect();
            self.arrays.insert(self.path.join("."), Array { shape: param.dims().to_vec(), values });
        }
    }
    let mut collector = Collector { path: Vec::new(), arrays: Arrays::new() };
    module.visit(&mut collector);
    collector.arrays
}

/// `module` with every float parameter taken from `arrays`; `place` names them in errors.
///
/// # Errors
/// When a tensor is missing, superfluous, of another shape, or holds NaN or an infinity. Nothing is changed then.
pub fn assign<M: Module>(module: M, arrays: Arrays, place: &str) -> Result<M> {
    struct Assigner<'a> {
        path: Vec<String>,
        arrays: Arrays,
        problems: Vec<(String, String, String)>,
        place: &'a str,
    }
    impl ModuleMapper for Assigner<'_> {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.push(name.to_string());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.pop();
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let name = self.path.join(".");
            let shape = param.dims().to_vec();
            let what = format!("tensor {name} of {}", self.place);
            let Some(array) = self.arrays.remove(&name) else {
                self.problems.push((what, "nothing".into(), format!("shape {shape:?}")));
                return param;
            };
            if array.shape != shape {
                self.problems.push((what, format!("shape {:?}", array.shape), format!("shape {shape:?}")));
                return param;
            }
            if let Some(at) = array.values.iter().position(|x| !x.is_finite()) {
                self.problems.push((what, format!("{} at position {at}", array.values[at]), "finite numbers".into()));
                return param;
            }
            let trained = param.is_require_grad();
            param.map(|old| {
                let new = Tensor::from_data(TensorData::new(array.values, array.shape), &old.device());
                new.set_require_grad(trained)
            })
        }
    }
    let mut assigner = Assigner { path: Vec::new(), arrays, problems: Vec::new(), place };
    let module = module.map(&mut assigner);
    if let Some((what, found, expected)) = assigner.problems.into_iter().next() {
        let hint = "the weights are those of a model of other sizes (look.embed_dim, imagine.caption.hidden, …), or the file is \
                    damaged";
        return Err(Error::conflict(what, found, expected).with_hint(hint));
    }
    if let Some(name) = assigner.arrays.keys().next() {
        return Err(Error::conflict(format!("tensors of {place}"), name.clone(), "only tensors of this model")
            .with_hint("the weights belong to a model with another configuration"));
    }
    Ok(module)
}

/// `module` with the weights of another network that it begins with. Tensors below the `optional` prefixes may be in one of
/// the two only; the module then keeps its own.
///
/// # Errors
/// As [`assign`].
pub fn begin_with<M: Module>(module: M, mut start: Arrays, optional: &[&str], place: &str) -> Result<M> {
    let may_differ = |name: &str| optional.iter().any(|prefix| name.starts_with(prefix));
    let own = collect(&module);
    start.retain(|name, _| own.contains_key(name) || !may_differ(name));
    for (name, array) in own {
        if may_differ(&name) && !start.contains_key(&name) {
            start.insert(name, array);
        }
    }
    assign(module, start, place)
}

/// Writes `arrays` as a safetensors file, whole or not at all.
///
/// # Errors
/// When the file cannot be written.
pub fn save(arrays: &Arrays, path: &Path) -> Result<()> {
    let views = arrays.iter().map(|(name, array)| {
        let view = TensorView::new(Dtype::F32, array.shape.clone(), bytemuck::cast_slice(&array.values));
        (name.as_str(), view.expect("the number of values fits the shape"))
    });
    let bytes = safetensors::serialize(views, None)
        .map_err(|e| Error::invalid(path.display().to_string(), e.to_string(), "serialisable tensors"))?;
    write_atomically(path, |file| std::io::Write::write_all(file, &bytes))
}

/// Reads a safetensors file of f32 tensors.
///
/// # Errors
/// When the file cannot be read, is no safetensors file, or holds another element type.
pub fn load(path: &Path) -> Result<Arrays> {
    let bytes = std::fs::read(path).map_err(|e| Error::io("cannot read", path, e))?;
    decode(&bytes, &path.display().to_string(), |_| true)
}

/// The f32 tensors of a safetensors file whose names `keep` accepts; `place` names the file in errors.
///
/// # Errors
/// When it is no safetensors file, or a tensor has another element type.
pub(super) fn decode(bytes: &[u8], place: &str, keep: impl Fn(&str) -> bool) -> Result<Arrays> {
    let file = SafeTensors::deserialize(bytes)
        .map_err(|e| Error::damaged(place, e.to_string(), "a complete safetensors file"))?;
    let mut arrays = Arrays::new();
    for (name, view) in file.iter().filter(|(name, _)| keep(name)) {
        if view.dtype() != Dtype::F32 {
            return Err(Error::invalid(format!("tensor {name} of {place}"), format!("{:?}", view.dtype()), "F32"));
        }
        let values = view.data().as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        arrays.insert(name.to_owned(), Array { shape: view.shape().to_vec(), values });
    }
    Ok(arrays)
}

/// The tensors whose names start with `prefix` and a dot, without it; they leave `arrays`.
pub fn take_prefix(arrays: &mut Arrays, prefix: &str) -> Arrays {
    let dotted = format!("{prefix}.");
    let names: BTreeSet<String> = arrays.keys().filter(|name| name.starts_with(&dotted)).cloned().collect();
    names
        .into_iter()
        .filter_map(|name| arrays.remove(&name).map(|array| (name[dotted.len()..].to_string(), array)))
        .collect()
}

/// Adds `part` to `arrays`, every name behind `prefix` and a dot.
pub fn put_prefix(arrays: &mut Arrays, prefix: &str, part: Arrays) {
    arrays.extend(part.into_iter().map(|(name, array)| (format!("{prefix}.{name}"), array)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::look::Init;
    use crate::look::linear::LinearMap;
    use burn::tensor::Device;

    fn map(seed: u64) -> LinearMap {
        LinearMap::new(&Init::new(seed, &Device::flex()), "m", 3, 2)
    }

    #[test]
    fn weights_survive_a_round_trip_and_nothing_else_fits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.safetensors");
        let first = collect(&map(1));
        assert_eq!(first.keys().collect::<Vec<_>>(), ["bias", "weight"]);
        save(&first, &path).unwrap();
        let second = assign(map(2), load(&path).unwrap(), "m").unwrap();
        assert_eq!(collect(&second), first);

        let mut missing = first.clone();
        missing.remove("bias");
        assert!(assign(map(2), missing, "m").unwrap_err().to_string().contains("tensor bias of m: found nothing"));
        let mut extra = first.clone();
        extra.insert("other".into(), Array { shape: vec![1], values: vec![0.0] });
        assert!(assign(map(2), extra, "m").unwrap_err().to_string().contains("other"));
        let mut nan = first.clone();
        nan.get_mut("weight").unwrap().values[4] = f32::NAN;
        assert!(assign(map(2), nan, "m").unwrap_err().to_string().contains("NaN at position 4"));
    }

    #[test]
    fn a_truncated_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.safetensors");
        save(&collect(&map(1)), &path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();
        assert!(load(&path).unwrap_err().to_string().contains("a complete safetensors file"));
    }
}
