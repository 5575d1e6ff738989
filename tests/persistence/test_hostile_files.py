"""Any file is loaded or refused: none runs code, and no flipped bit goes unnoticed."""

import contextlib
import copy
import io
import json
import os
import random
import re
import zipfile

import numpy as np
import pytest
import sklearn
from archives import LABEL, MANIFEST, manifest_of, parts_of, sign, write
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from fer_sklearn import FERCNNClassifier, load, load_pretrained, save
from fer_sklearn.exceptions import ModelFileError
from fer_sklearn.persistence import _archive, _estimator, read_card

NULL = _estimator._NULL


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """A small model file."""
    X = np.arange(12.0).reshape(6, 2)
    model = make_pipeline(StandardScaler(), SVC()).fit(X, [0, 1] * 3)
    return save(model, tmp_path_factory.mktemp("small") / "small.fer")


@pytest.fixture
def parts(small):
    return parts_of(small)


@pytest.fixture(scope="session")
def network(tmp_path_factory):
    """The parts of a file with a network as Keras describes it, which here is empty."""
    path = tmp_path_factory.mktemp("network") / "tiny.fer"
    return parts_of(save(load_pretrained("tiny")[-1], path))


@pytest.fixture
def never(tmp_path, monkeypatch):
    """A file that hostile code would make; the test fails if it does."""
    proof = tmp_path / "proof"
    monkeypatch.chdir(tmp_path)
    yield proof
    assert not proof.exists()


def node(loader, name, **content):
    module, _, kind = name.rpartition(".")
    return {"__loader__": loader, "__module__": module, "__class__": kind, **content}


def text(value):
    return NULL | {"content": json.dumps(value)}


def listed(*nodes, kind="list"):
    return node(f"{kind.title()}Node", f"builtins.{kind}", content=list(nodes))


def mapping(kind="builtins.dict", key="builtins.str", **values):
    kinds = [node("TypeNode", key) for _ in values]
    return node("DictNode", kind, content=values, key_types=listed(*kinds))


def an_object(name, **attributes):
    return node("ObjectNode", name, content=mapping(**attributes))


def refused(tmp_path, schema, match, *, arrays=None, trusted=(), card=None, **manifest):
    """Check that a file with this description of an estimator is refused."""
    path = tmp_path / "hostile.fer"
    schema = {"protocol": 2, "_skops_version": "0.16"} | schema
    write(path, {"card.json": card or {}, "estimator.json": schema, **(arrays or {})}, **manifest)
    with pytest.raises(ModelFileError, match=match) as caught:
        load(path, trusted=trusted)
    assert str(caught.value).startswith(f"path={str(path)!r} ")


# Bits


def flipped(content, bit):
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def unnoticed(content, bits, path):
    """Return the bits that load does not notice if they are flipped."""
    missed = []
    for bit in bits:
        path.write_bytes(flipped(content, bit))
        try:
            load(path)
        except ModelFileError:
            continue
        missed.append(bit)
    return missed


def test_flipped_bits_are_noticed(small, tmp_path):
    content = small.read_bytes()
    rng = random.Random(0)
    with zipfile.ZipFile(small) as archive:
        directory = archive.start_dir
    # A bit of each byte of the first header, of the directory's first and of the end, and others.
    headers = [*range(30), *range(directory, directory + 46), *range(-120, 0)]
    bits = [8 * (byte % len(content)) + rng.randrange(8) for byte in headers]
    bits += rng.sample(range(8 * len(content)), 60)
    assert unnoticed(content, bits, tmp_path / "model.fer") == []


@pytest.mark.nightly
@pytest.mark.slow
def test_each_flipped_bit_is_noticed(small, tmp_path):
    content = small.read_bytes()
    assert unnoticed(content, range(8 * len(content)), tmp_path / "model.fer") == []


@pytest.mark.slow
def test_flipped_bits_of_a_large_file_are_noticed(tmp_path):
    path = save(load_pretrained("tiny"), tmp_path / "tiny.fer")
    content = path.read_bytes()
    bits = random.Random(1).sample(range(8 * len(content)), 60)
    assert unnoticed(content, bits, path) == []


@pytest.mark.parametrize("length", [0, 1, 3, 30, 500, -1, -64, -84, -200])
def test_truncated_files(small, tmp_path, length):
    path = tmp_path / "short.fer"
    path.write_bytes(small.read_bytes()[:length])
    with pytest.raises(ModelFileError, match=r"truncated|was not written by fer_sklearn"):
        load(path)


@pytest.mark.parametrize("added", [b"\0", b"PK", b"0" * 64, LABEL + b"0" * 64])
def test_bytes_that_were_appended(small, tmp_path, added):
    path = tmp_path / "long.fer"
    path.write_bytes(small.read_bytes() + added)
    with pytest.raises(ModelFileError, match="checksum"):
        load(path)
    path.write_bytes(added + small.read_bytes())
    with pytest.raises(ModelFileError):
        load(path)


@pytest.mark.nightly
@pytest.mark.slow
def test_random_changes_with_a_right_checksum_end_in_an_error_or_a_model(small, tmp_path):
    rng = random.Random(2)
    content = small.read_bytes()[: -len(LABEL) - 64]
    path = tmp_path / "model.fer"
    for _ in range(3000):
        changed = bytearray(content)
        for _ in range(rng.choice([1, 1, 2, 8])):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        try:
            sign(path, bytes(changed))
        except Exception:  # no archive any more
            continue
        with contextlib.suppress(ModelFileError):
            load(path)


# Archives


def test_a_pickle_is_not_read(tmp_path, never):
    class Harmful:
        def __reduce__(self):
            return os.mkdir, (str(never),)

    import joblib

    path = tmp_path / "a.fer"
    for compress in (0, 3):
        joblib.dump(Harmful(), path, compress=compress)
        with pytest.raises(ModelFileError, match=r"joblib\.load"):
            load(path)
    path.write_bytes(b'fer_sklearn model\n{"format": 1}'.ljust(1024) + path.read_bytes())
    with pytest.raises(ModelFileError, match="as a pickle"):
        load(path)


@pytest.mark.parametrize(
    "name",
    [
        *("/etc/passwd", "../proof", "arrays/../../proof.npy", "arrays/0.npy/", "arrays/00.npy"),
        *("arrays/0.pkl", "arrays\\0.npy", "C:\\proof", "estimator.pkl", "arrays/0.npx\0"),
        *("arrays/٣.npy", "ARRAYS/0.npy", "arrays/0.npy\n"),
    ],
)
def test_names_that_no_model_has(parts, tmp_path, never, name):
    path = write(tmp_path / "a.fer", parts, extra=[(name, b"text")])
    with pytest.raises(ModelFileError, match=r"not belong in a model file|two parts with the"):
        load(path)
    assert {file.name for file in tmp_path.iterdir()} == {"a.fer"}


def test_two_parts_of_one_name(parts, tmp_path):
    extra = [("estimator.json", json.dumps(parts["estimator.json"]).encode())]
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = write(tmp_path / "a.fer", parts, extra=extra)
    with pytest.raises(ModelFileError, match="contains two parts with the same name"):
        load(path)


@pytest.mark.parametrize("extra", [True, False])
def test_parts_that_the_manifest_does_not_describe(parts, tmp_path, extra):
    if extra:
        path = write(tmp_path / "a.fer", parts, extra=[("arrays/999.npy", b"")])
    else:
        manifest = manifest_of({name: part for name, part in parts.items() if name != MANIFEST})
        first = next(iter(manifest["parts"]))
        manifest["parts"][first]["sha256"] = "0" * 64
        path = write(tmp_path / "a.fer", parts, parts=manifest["parts"])
    with pytest.raises(ModelFileError, match="parts that differ from their"):
        load(path)


@pytest.mark.parametrize("lost", ["card.json", "estimator.json"])
def test_a_part_is_missing(parts, tmp_path, lost):
    del parts[lost]
    with pytest.raises(ModelFileError, match=f"lacks the part '{lost}'"):
        load(write(tmp_path / "a.fer", parts))


@pytest.mark.parametrize(
    "changes",
    [
        *({"format": value} for value in ("2", None, True, 1, -3, 2.0)),
        *({"versions": value} for value in ([], {"numpy": 1}, None)),
        *({"parts": value} for value in ([], None, "text")),
    ],
)
def test_a_manifest_that_no_model_has(parts, tmp_path, changes):
    with pytest.raises(ModelFileError, match=r"has no usable 'fer_sklearn\.json'"):
        load(write(tmp_path / "a.fer", parts, **changes))


def bomb(size):
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("arrays/0.npy", "w") as file,
    ):
        for _ in range(size >> 20):
            file.write(bytes(1 << 20))
    return buffer.getvalue()


@pytest.mark.parametrize("size", [2**22, pytest.param(2**29, marks=pytest.mark.slow)])
def test_an_archive_that_unpacks_to_much_more(tmp_path, monkeypatch, size):
    if size < _archive._SMALL:
        monkeypatch.setattr(_archive, "_SMALL", size - 1)
    path = sign(tmp_path / "bomb.fer", bomb(size))
    assert path.stat().st_size < size / 500
    with pytest.raises(ModelFileError, match=f"would unpack from .* to {size:,} bytes"):
        load(path)


def test_an_archive_that_unpacks_to_more_than_it_says(parts, tmp_path):
    path = write(tmp_path / "a.fer", parts, compression=zipfile.ZIP_DEFLATED)
    content = path.read_bytes()[: -len(LABEL) - 64]
    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo("estimator.json").file_size
    changed = content.replace(size.to_bytes(4, "little"), (size - 9).to_bytes(4, "little"))
    assert changed != content
    with pytest.raises(ModelFileError, match="is a damaged archive"):
        load(sign(path, changed))


def test_an_archive_in_an_archive(tmp_path, monkeypatch):
    monkeypatch.setattr(_archive, "_SMALL", 2**20)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.npy", bytes(2**21))
    sparse = node("SparseMatrixNode", "scipy.sparse.csr_matrix", type="scipy", file="arrays/0.npz")
    schema = an_object("sklearn.dummy.DummyClassifier", constant=sparse)
    refused(tmp_path, schema, "would unpack", arrays={"arrays/0.npz": buffer.getvalue()})
    refused(tmp_path, schema, "is a damaged archive", arrays={"arrays/0.npz": b"PK"})


def test_arrays_that_are_built_again_and_again(tmp_path, monkeypatch):
    """A file of 100 kB that refers to its array of 100 MB many times would fill any memory."""
    monkeypatch.setattr(_archive, "_SMALL_BUILT", 2**20)
    array = node("NdArrayNode", "numpy.ndarray", type="numpy", file="arrays/0.npy")
    schema = an_object("sklearn.dummy.DummyClassifier", constant=listed(*[array] * 20))
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(2**17, np.uint8))
    refused(
        tmp_path,
        schema,
        r"would take 2,\d{3},\d{3} bytes",
        arrays={"arrays/0.npy": buffer.getvalue()},
    )


def test_many_archives_in_an_archive(tmp_path, monkeypatch):
    monkeypatch.setattr(_archive, "_SMALL_BUILT", 2**22)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.npy", bytes(2**20))
    arrays = {f"arrays/{i}.npz": buffer.getvalue() for i in range(9)}
    schema = an_object("sklearn.dummy.DummyClassifier")
    refused(tmp_path, schema, r"would take 9,\d{3},\d{3} bytes", arrays=arrays)


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions(parts, tmp_path, compression):
    with pytest.raises(ModelFileError, match="compressed by method"):
        load(write(tmp_path / "a.fer", parts, compression=compression))


def test_an_encrypted_archive(parts, tmp_path):
    path = write(tmp_path / "a.fer", parts)
    content = bytearray(path.read_bytes()[: -len(LABEL) - 64])
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(ModelFileError, match="encrypted"):
        load(sign(path, bytes(content)))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.fer")
    with pytest.raises(ModelFileError, match="this is a pipe"):
        load(tmp_path / "pipe.fer")


# Arrays


def array_file(header, data=b""):
    header = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (array_file("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,)}"), "with"),
        (
            array_file("{'descr': '<f8', 'fortran_order': False, 'shape': (2,)}", b"12345678"),
            "8 by",
        ),
        (array_file("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}"), "with 0 bytes"),
        (array_file("{'descr': '|V0', 'fortran_order': False, 'shape': (10**9,)}"), "unreadable"),
        (
            array_file("{'descr': '|V0', 'fortran_order': False, 'shape': (1000000000,)}"),
            "with 0 bytes",
        ),
        (array_file("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", b"c"), "need pickle"),
        (array_file("__import__('os').mkdir('proof')"), "unreadable header"),
        (array_file("(" * 5000), "unreadable header"),
        (array_file("{" + "'a': 1, " * 5000 + "}"), "unreadable header"),
        (b"\x93NUMPY\x03\x00\x00\x00\x00\x00", "unreadable header"),
        (b"\x80\x04cos\nmkdir\n(Vproof\ntR.", "unreadable header"),
        (b"PK\x03\x04", "unreadable header"),
        (b"", "unreadable header"),
    ],
)
def test_arrays_that_no_model_has(tmp_path, never, content, match):
    array = node("NdArrayNode", "numpy.ndarray", type="numpy", file="arrays/0.npy")
    schema = an_object("sklearn.dummy.DummyClassifier", constant=array)
    refused(tmp_path, schema, match, arrays={"arrays/0.npy": content})


def test_an_array_of_objects_is_not_unpickled(tmp_path, never):
    class Harmful:
        def __reduce__(self):
            return os.mkdir, (str(never),)

    buffer = io.BytesIO()
    np.save(buffer, np.array([Harmful()]), allow_pickle=True)
    array = node("NdArrayNode", "numpy.ndarray", type="numpy", file="arrays/0.npy")
    schema = an_object("sklearn.dummy.DummyClassifier", constant=array)
    refused(tmp_path, schema, "the object array", arrays={"arrays/0.npy": buffer.getvalue()})


@pytest.mark.parametrize("file", ["arrays/7.npy", "../../proof", "card.json", "schema.json", 3])
def test_arrays_that_are_elsewhere(tmp_path, file):
    array = node("NdArrayNode", "numpy.ndarray", type="numpy", file=file)
    refused(tmp_path, an_object("sklearn.dummy.DummyClassifier", constant=array), "lacks the part")


# JSON


@pytest.mark.parametrize("name", [MANIFEST, "estimator.json"])
@pytest.mark.parametrize("depth", [200, 100_000])
def test_deep_json(parts, tmp_path, name, depth):
    content = b"[" * depth + b"]" * depth
    path = tmp_path / "a.fer"
    if name == MANIFEST:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(MANIFEST, content)
        sign(path, buffer.getvalue())
    else:
        write(path, parts | {name: content})
    with pytest.raises(ModelFileError, match="cannot be read"):
        load(path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[1, 2", b"nonsense"])
def test_text_that_is_not_json(parts, tmp_path, content):
    with pytest.raises(ModelFileError, match="cannot be read"):
        load(write(tmp_path / "a.fer", parts | {"estimator.json": content}))


@pytest.mark.parametrize("schema", [[], {}, {"protocol": 2}, {"protocol": 2, "__loader__": "x"}])
def test_descriptions_of_nothing(parts, tmp_path, schema):
    with pytest.raises(ModelFileError):
        load(write(tmp_path / "a.fer", parts | {"estimator.json": schema}))


@pytest.mark.parametrize(
    ("protocol", "match"),
    [(0, "claims"), (1, "claims"), (99, "protocol 99"), (True, "not in the format")],
)
def test_unknown_protocols(tmp_path, protocol, match):
    schema = an_object("sklearn.dummy.DummyClassifier") | {"protocol": protocol}
    refused(tmp_path, schema, match)


def test_references_that_multiply(tmp_path):
    # Each list contains the previous one twice, so that visiting all takes 2 ** 40 steps.
    inner = listed(text(1)) | {"__id__": 1}
    for level in range(2, 42):
        inner = listed(inner, {"__id__": level - 1}) | {"__id__": level}
    schema = an_object("sklearn.dummy.DummyClassifier", constant=inner)
    refused(tmp_path, schema, "refer to each other")
    cached = node("CachedNode", "builtins.list")
    refused(tmp_path, an_object("sklearn.dummy.DummyClassifier", constant=cached), "refer to each")


def test_long_json(parts, tmp_path, monkeypatch):
    monkeypatch.setattr(_archive, "_MAX_JSON", 2**20)
    parts["estimator.json"]["more"] = "x" * 2**20
    with pytest.raises(ModelFileError, match=r"has a part of 1,.* bytes, 'estimator.json'"):
        load(write(tmp_path / "a.fer", parts))


# Code by name

RUN = 'os.mkdir("proof")'


@pytest.mark.parametrize(
    ("part", "named"),
    [
        (node("FunctionNode", "os.system"), "os.system"),
        (node("FunctionNode", "builtins.eval"), "builtins.eval"),
        (node("TypeNode", "subprocess.Popen"), "subprocess.Popen"),
        (node("TypeNode", "builtins.exec"), "builtins.exec"),
        (
            node("ConstructorFromReduceNode", "pathlib.PosixPath", content=listed(kind="tuple")),
            "pathlib.PosixPath",
        ),
        (
            node(
                "ConstructorFromReduceNode",
                "builtins.eval",
                content=listed(text(RUN), kind="tuple"),
            ),
            "builtins.eval",
        ),
        (
            node(
                "PartialNode",
                "functools.partial",
                content={
                    "func": node("FunctionNode", "os.mkdir"),
                    "args": listed(text("proof"), kind="tuple"),
                    "kwds": mapping(),
                    "namespace": text(None),
                },
            ),
            "functools.partial', 'os.mkdir",
        ),
        (
            node(
                "OperatorFuncNode", "operator.methodcaller", attrs=listed(text("x"), kind="tuple")
            ),
            "operator.methodcaller",
        ),
        (
            node(
                "MethodNode",
                "sklearn.svm._classes.SVC",
                content={"func": "fit", "obj": an_object("sklearn.svm._classes.SVC")},
            ),
            "sklearn.svm._classes.SVC.fit",
        ),
        (an_object("joblib.memory.Memory", location=text("proof")), "joblib.memory.Memory"),
        (an_object("fer_sklearn.exporting._web.os.system"), "fer_sklearn.exporting._web.os.system"),
        (node("FunctionNode", "fer_sklearn.cli.main"), "fer_sklearn.cli.main"),
        (node("FunctionNode", "fer_sklearn.pretrained.load_pretrained"), "pretrained"),
        (an_object("fer_sklearn.FERCNNClassifier"), "fer_sklearn.FERCNNClassifier"),
        (an_object("own_module_that_is_not_there.X"), "own_module_that_is_not_there.X"),
        (mapping("builtins.dict", "builtins.exec", x=text(1)), "builtins.exec"),
    ],
)
def test_code_is_refused_by_name(tmp_path, never, part, named):
    schema = an_object("sklearn.dummy.DummyClassifier", constant=part)
    refused(
        tmp_path, schema, f"neither part of fer_sklearn nor trusted by skops: .*{re.escape(named)}"
    )


def test_a_module_is_not_imported_before_it_is_trusted(tmp_path, never, monkeypatch):
    (tmp_path / "harmful.py").write_text("import os\nos.mkdir('proof')\nclass X:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    for part in (an_object("harmful.X"), node("TypeNode", "harmful.X")):
        refused(tmp_path, an_object("sklearn.dummy.DummyClassifier", constant=part), "'harmful.X'")


@pytest.mark.parametrize("loader", ["TypeNode", "FunctionNode", "ConstructorFromReduceNode"])
@pytest.mark.parametrize("name", sorted(_estimator.OWN_TYPES))
def test_own_types_are_built_from_their_state_only(tmp_path, loader, name):
    """A `WeightsNetwork("path")` would read a file; a class as key type would be called."""
    part = node(loader, name, content=listed(text("proof"), kind="tuple"))
    refused(
        tmp_path, an_object("sklearn.dummy.DummyClassifier", constant=part), "which no model does"
    )


def mutated(schema, rng):
    """Return a description with a few changes at random places."""
    changed = copy.deepcopy(schema)
    values = [None, [], {}, "", "text", 3, -1, True, 1e300, "arrays/0.npy", text(1), listed()]
    values += [mapping(a=text(1)), an_object("sklearn.svm._classes.SVC")]
    for _ in range(rng.choice([1, 1, 2, 4])):
        parts = [part for part in _archive.walk(changed) if part and isinstance(part, (dict, list))]
        place = rng.choice(parts)
        key = rng.choice(list(place)) if isinstance(place, dict) else rng.randrange(len(place))
        if key == "__loader__":
            place[key] = rng.choice(LOADERS)
        elif isinstance(place, dict) and rng.random() < 0.2:
            del place[key]
        else:
            place[key] = copy.deepcopy(rng.choice([*values, rng.choice(parts)]))
    return changed


LOADERS = (
    *("BytearrayNode", "BytesNode", "CachedNode", "ConstructorFromReduceNode", "DTypeNode"),
    *("DefaultDictNode", "DictNode", "FunctionNode", "JsonNode", "ListNode", "LossNode"),
    *("MaskedArrayNode", "MethodNode", "NdArrayNode", "ObjectNode", "OperatorFuncNode"),
    *("PartialNode", "RandomGeneratorNode", "RandomStateNode", "SetNode", "SliceNode"),
    *("SparseMatrixNode", "TreeNode", "TupleNode", "TypeNode", "none"),
)


@pytest.mark.parametrize(
    "n", [40, pytest.param(5000, marks=[pytest.mark.slow, pytest.mark.nightly])]
)
@pytest.mark.filterwarnings("ignore")
def test_random_descriptions_end_in_an_error_or_a_model(network, parts, tmp_path, never, n):
    rng = random.Random(3)
    for i in range(n):
        changed = dict(network if i % 10 == 0 else parts)
        try:
            changed["estimator.json"] = mutated(changed["estimator.json"], rng)
        except ModelFileError:  # too deep
            continue
        path = write(tmp_path / "a.fer", changed)
        with contextlib.suppress(ModelFileError):
            load(path)


def test_deep_values(tmp_path):
    schema = an_object("sklearn.dummy.DummyClassifier", constant=NULL | {"content": "[" * 100_000})
    refused(tmp_path, schema, "no estimator that can be built")


# Attributes with a meaning


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("sklearn.pipeline.Pipeline", "memory"),
        ("sklearn.cluster._agglomerative.FeatureAgglomeration", "memory"),
        ("fer_sklearn.cnn._classifier.FERCNNClassifier", "checkpoint_dir"),
    ],
)
def test_folders_are_refused(tmp_path, name, folder):
    """Fitting would read pickles from the first, and write into the last."""
    schema = an_object(name, steps=listed(), **{folder: text("//server/share")})
    refused(tmp_path, schema, f"names a folder for {folder}")


@pytest.mark.parametrize(
    "content",
    [
        NULL | {"content": '{"memory": "proof"}'},
        listed(listed(text("memory"), text("proof"), kind="tuple")),
        mapping("collections.OrderedDict", memory=text("proof")),
        mapping("builtins.dict", "numpy.bytes_", memory=text("proof")),
        node("DefaultDictNode", "collections.defaultdict", content={}),
        {"__loader__": "DictNode", "__module__": "builtins", "__class__": "dict", "content": {}},
        "text",
        [],
    ],
)
def test_attributes_are_a_plain_dictionary(tmp_path, content):
    schema = node("ObjectNode", "sklearn.pipeline.Pipeline", content=content)
    refused(tmp_path, schema, "attributes")


# Networks


def keras_part(class_name, module="keras.layers", config=None, **more):
    return {
        "class_name": class_name,
        "module": module,
        "config": {} if config is None else config,
        "registered_name": None,
        **more,
    }


def sequential(*layers):
    given = keras_part("InputLayer", config={"batch_shape": [None, 48, 48, 1], "dtype": "float32"})
    return keras_part("Sequential", "keras", {"name": "s", "layers": [given, *layers]})


CODE = {"class_name": "__lambda__", "config": {"value": {"code": "4wEAAA=="}}}
HOSTILE_LAYERS = {
    "Lambda": keras_part("Lambda", config={"name": "l", "function": CODE}),
    "Lambda by name": keras_part(
        "Lambda",
        config={"function": keras_part("function", "os", "system", registered_name="system")},
    ),
    "Lambda of old": {"class_name": "Lambda", "config": {"function": ["4wEAAA==", None, None]}},
    "Lambda elsewhere": keras_part("Lambda", "keras.src.layers.core.lambda_layer"),
    "Lambda in a layer": keras_part(
        "TimeDistributed", config={"layer": keras_part("Lambda", config={"function": CODE})}
    ),
    "code as an activation": keras_part("Dense", config={"units": 1, "activation": CODE}),
    "code as an initializer": keras_part(
        "Dense", config={"kernel_initializer": keras_part("__lambda__", None, {"value": "x"})}
    ),
    "SavedModel": keras_part("TFSMLayer", config={"filepath": "proof"}),
    "torch": keras_part("TorchModuleWrapper", config={"module": "gAJjb3MK"}),
    "jax": keras_part("JaxLayer"),
    "flax": keras_part("FlaxLayer"),
    "vocabulary": keras_part("TextVectorization", config={"vocabulary": "/etc/passwd"}),
    "lookup": keras_part("StringLookup", config={"vocabulary": "/etc/passwd"}),
    "os": keras_part("system", "os"),
    "Popen": keras_part("Popen", "subprocess"),
    "function": keras_part("function", "os", "system"),
    "get_file": keras_part("function", "keras.utils", "get_file"),
    "load_model": keras_part("function", "keras.saving", "load_model"),
    "load_model as a class": keras_part("load_model", "keras.models"),
    "function with dots": keras_part("function", "keras.ops", "__builtins__.exec"),
    "initializer in lower case": keras_part("deserialize", "keras.initializers"),
    "ops core": keras_part("Map", "keras.src.ops.core"),
    "registered": keras_part("Dense", registered_name="package>Harmful"),
    "registered function": keras_part(
        "function", "keras.ops", "relu", registered_name="package>harmful"
    ),
    "no module": {"class_name": "Dense", "config": {}},
    "a list": keras_part(["Lambda"]),
    "typespec": {"class_name": "__typespec__", "module": "os", "spec_name": "x", "config": []},
}


def with_network(network, config, **objects):
    """Return the parts of a network's file with another description by Keras."""
    parts = copy.deepcopy(network)
    attributes = parts["estimator.json"]["content"]["content"]
    attributes["_stored"]["content"]["config"] = text(
        config if isinstance(config, str) else json.dumps(config)
    )
    attributes["_stored"]["content"]["objects"] = mapping(**objects)
    attributes["_litert"] = text(None)
    return parts


@pytest.mark.parametrize("kind", HOSTILE_LAYERS)
def test_layers_that_could_run_code(network, tmp_path, never, kind):
    path = tmp_path / "a.fer"
    write(path, with_network(network, sequential(HOSTILE_LAYERS[kind])))
    with pytest.raises(ModelFileError, match="a network with parts that could run code"):
        load(path)


def test_a_layer_does_not_hide_behind_a_name_in_the_file(network, tmp_path):
    # Keras would look for `Lambda` in its own layers, regardless of what the file defines.
    layer = HOSTILE_LAYERS["Lambda"]
    path = tmp_path / "a.fer"
    for name in ("Lambda", "keras.layers>Lambda", "__lambda__"):
        parts = with_network(
            network, sequential(layer), **{name: node("TypeNode", "builtins.float")}
        )
        with pytest.raises(ModelFileError, match=r"keras\.layers\.Lambda"):
            load(write(path, parts))


def test_ordinary_layers_are_accepted(network, tmp_path):
    layers = [keras_part("Flatten"), keras_part("Dense", config={"units": 7})]
    parts = with_network(network, sequential(*layers))
    assert isinstance(load(write(tmp_path / "a.fer", parts)), FERCNNClassifier)


@pytest.mark.parametrize("config", ["nonsense", "[" * 100_000])
def test_networks_that_are_not_json(network, tmp_path, config):
    with pytest.raises(ModelFileError, match="cannot be read"):
        load(write(tmp_path / "a.fer", with_network(network, config)))


@pytest.mark.parametrize("where", ["_stored", "config", "objects"])
@pytest.mark.parametrize("part", [listed(), text([]), node("BytesNode", "builtins.bytes"), "text"])
def test_networks_that_are_described_by_something_else(network, tmp_path, where, part):
    parts = with_network(network, sequential())
    attributes = parts["estimator.json"]["content"]["content"]
    target = attributes if where == "_stored" else attributes["_stored"]["content"]
    if where == "config" and part == text([]):
        part = text({"class_name": "Lambda"})
    target[where] = part
    with pytest.raises(ModelFileError):
        load(write(tmp_path / "a.fer", parts))


@pytest.mark.slow
def test_what_keras_describes_is_accepted():
    from fer_sklearn.cnn.architectures import ARCHITECTURES, build_model
    from fer_sklearn.persistence._estimator import check_network

    for name in ARCHITECTURES:
        network = build_model(name, {"input_shape": (48, 48, 1), "n_classes": 7})
        check_network(json.loads(network.to_json()), (), ())


# Cards


@pytest.mark.parametrize(
    "card",
    [
        [],
        "text",
        {"name": 1},
        {"unknown": 1},
        {"settings": [1]},
        {"settings": [{"step": "a", "type": "b", "parameters": 3}]},
        {"versions": []},
        {"labels": 3},
        {"scores": 3},
        {"tags": "text"},
        {"data": [1]},
    ],
)
def test_cards_that_no_model_has(small, tmp_path, card):
    path = write(tmp_path / "a.fer", parts_of(small) | {"card.json": card})
    with pytest.raises(ModelFileError, match="has no usable model card"):
        read_card(path)
    assert load(path).get_params()


def test_the_limits_are_those_that_are_documented():
    assert _archive._MAX_RATIO == 20
    assert _archive._SMALL == 2**28
    assert _archive._MAX_JSON == 2**26
    assert _archive._SMALL_BUILT == 2**30


def test_a_dummy_of_the_files_above_loads(tmp_path):
    """The files above are refused only because of their hostile parts."""
    array = node("NdArrayNode", "numpy.ndarray", type="numpy", file="arrays/0.npy")
    buffer = io.BytesIO()
    np.save(buffer, np.array([3]))
    schema = an_object("sklearn.dummy.DummyClassifier", constant=array, strategy=text("constant"))
    schema |= {"protocol": 2, "_skops_version": "0.16"}
    schema["content"]["content"]["_sklearn_version"] = text(sklearn.__version__)
    schema["content"]["key_types"]["content"].append(node("TypeNode", "builtins.str"))
    parts = {"card.json": {}, "estimator.json": schema, "arrays/0.npy": buffer.getvalue()}
    loaded = load(write(tmp_path / "a.fer", parts))
    assert isinstance(loaded, DummyClassifier)
    assert loaded.constant.tolist() == [3]
