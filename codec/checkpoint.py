"""Released models on disk: a folder with ``model.safetensors``, ``config.yaml``, a card, and mostly
``entropy.safetensors``."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from weakref import WeakKeyDictionary

import torch
import yaml
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from codec.atomic import AtomicFile
from codec.bitstream.entropy import EntropyCoder
from codec.bitstream.tables import TABLES_NAME, EntropyTables, read_tables
from codec.config import CodecConfig, from_mapping, read_yaml, to_mapping
from codec.errors import CodecError, UsageError
from codec.model import CodecModel

WEIGHTS_NAME = "model.safetensors"
CONFIG_NAME = "config.yaml"
_DECODING_PREFIXES = ("decoder_network.", "bottleneck.quantizer.")
# What training needs and decoding does not.
_TRAINING_PREFIXES = ("bottleneck.quantizer.usage.", "bottleneck.quantizer.averages.")
# What decoding needs of a configuration beside what names and shapes of the weights tell. All else is about
# the encoder, the search or the training; keys that are added later change no id.
_IDENTITY = {
    "spectral": ("kind", "overlap"),
    "seanet": ("kind", "strides", "dilations"),
    "bottleneck": ("kind", "num_codebooks", "codebook_size"),
}

# The id of each model, with what it was made of: hashing takes 16 ms, a fifth of the time of a short clip,
# and every stream asks. The tensors are kept, so that their addresses are not used again.
_IDS: WeakKeyDictionary[CodecModel, tuple[object, list[Tensor], bytes]] = WeakKeyDictionary()


def find_checkpoint(name_or_path: str | Path) -> Path:
    """The folder of a model: a path, or a name in ``$CODEC_CHECKPOINTS`` or among the shipped models.

    Raises:
        CodecError: there is none; the message lists where it was looked for.
    """
    folders = [Path(name_or_path)]
    if len(Path(name_or_path).parts) == 1:
        folders += [folder / name_or_path for folder in _search_path()]
    for folder in folders:
        if (folder / CONFIG_NAME).is_file() and (folder / WEIGHTS_NAME).is_file():
            return folder
    places = ", ".join(str(folder) for folder in folders)
    raise CodecError(
        f"no model {name_or_path} was found: looked at {places}; give the name or the folder of a model"
    )


def load_model(name_or_path: str | Path, device: str | torch.device = "cpu") -> CodecModel:
    """Load a released model, ready for inference.

    Names, shapes and sizes are checked against the configuration before any weight is read.

    Raises:
        CodecError: no such model, or its files are damaged or do not fit each other.
        UsageError: there is no such device.
    """
    folder = find_checkpoint(name_or_path)
    config = from_mapping(CodecConfig, read_yaml(folder / CONFIG_NAME), str(folder / CONFIG_NAME))
    with torch.device("meta"):
        expected = {name: value.shape for name, value in weights_of(CodecModel(config)).items()}
    weights = _read_weights(folder / WEIGHTS_NAME, expected)
    model = CodecModel(config)
    model.load_state_dict(weights, strict=False)
    if (folder / TABLES_NAME).exists():
        model.entropy = _read_coder(folder / TABLES_NAME, model)
    model.requires_grad_(False)
    try:
        return model.eval().to(device)
    except (RuntimeError, AssertionError) as error:  # torch has several for a device that is not there
        raise UsageError(f"the device {device} cannot be used here: name another, such as cpu") from error


def save_model(model: CodecModel, folder: str | Path) -> None:
    """Write a model as a release: weights rounded to 16 bits, which then are the model, and its tables.

    bf16 has 8 bits of precision, too few for codebooks and gains: fp16 is used, whose range all weights must
    fit.

    Raises:
        CodecError: a weight does not fit 16-bit storage.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.detach().cpu().half().contiguous() for name, value in weights_of(model).items()}
    for name, value in weights.items():
        if not torch.isfinite(value).all():
            raise CodecError(
                f"the weight {name} does not fit 16-bit storage: it holds huge or non-finite values"
            )
    config = yaml.safe_dump(to_mapping(model.config), sort_keys=False)
    files = {CONFIG_NAME: config.encode(), WEIGHTS_NAME: save(weights)}
    if model.entropy is None:
        # Those of another model, if there are any, would not fit.
        (folder / TABLES_NAME).unlink(missing_ok=True)
    else:
        files[TABLES_NAME] = model.entropy.tables.to_bytes()
    for name, data in files.items():
        with AtomicFile(folder / name, force=True) as file:
            file.write(data)


def model_id(model: CodecModel) -> bytes:
    """The first 8 bytes of the SHA-256 over all that decoding needs: a better encoder keeps the id.

    Weights are hashed in the 16-bit form they are stored in. A change through ``.data``, which torch does not
    count, goes unnoticed once the id was asked for.
    """
    hashed = {name: value for name, value in weights_of(model).items() if name.startswith(_DECODING_PREFIXES)}
    tables = model.entropy.tables if model.entropy else None
    stamp = (model.config, tables, *((name, v.data_ptr(), v._version) for name, v in hashed.items()))
    known = _IDS.get(model)
    if known is None or known[0] != stamp:
        _IDS[model] = known = (stamp, list(hashed.values()), _hash(model.config, hashed, tables))
    return known[2]


def _hash(config: CodecConfig, weights: dict[str, Tensor], tables: EntropyTables | None) -> bytes:
    digest = hashlib.sha256()
    plain = to_mapping(config)
    identity = {key: plain[key] for key in ("sample_rate", "hop", "dim")}
    identity["network"] = {key: plain["network"][key] for key in _IDENTITY[config.network.kind]}
    identity["bottleneck"] = {key: plain["bottleneck"][key] for key in _IDENTITY["bottleneck"]}
    digest.update(yaml.safe_dump(identity, sort_keys=True).encode())
    for name, value in sorted(weights.items()):
        digest.update(f"{name} {list(value.shape)}".encode())
        digest.update(value.detach().cpu().half().contiguous().numpy().tobytes())
    for name, numbers in tables.arrays() if tables else ():
        digest.update(f"entropy.{name} {list(numbers.shape)}".encode())
        digest.update(numbers.astype(numbers.dtype.newbyteorder("<")).tobytes())
    return digest.digest()[:8]


def weights_of(model: CodecModel) -> dict[str, Tensor]:
    """The tensors that a release holds, by name."""
    state: dict[str, Tensor] = model.state_dict()
    return {name: value for name, value in state.items() if not name.startswith(_TRAINING_PREFIXES)}


def _search_path() -> list[Path]:
    listed = [Path(part) for part in os.environ.get("CODEC_CHECKPOINTS", "").split(os.pathsep) if part]
    package = Path(__file__).resolve().parent
    # Beside the modules in an installed wheel, beside the package in a source tree.
    return [*listed, package / "checkpoints", package.parent / "checkpoints"]


def _read_weights(path: Path, expected: dict[str, torch.Size]) -> dict[str, Tensor]:
    remedy = "get a fresh copy of the checkpoint"
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            shapes = {name: torch.Size(file.get_slice(name).get_shape()) for name in names}
            if shapes != expected:
                wrong = sorted(
                    name for name in shapes.keys() | expected if shapes.get(name) != expected.get(name)
                )
                raise CodecError(f"{path} does not fit its configuration (first at {wrong[0]}): {remedy}")
            return {name: _checked(file.get_tensor(name), name, path).float() for name in names}
    except (SafetensorError, OSError) as error:
        raise CodecError(f"{path} cannot be read ({error}): {remedy}") from error


def _read_coder(path: Path, model: CodecModel) -> EntropyCoder:
    tables = read_tables(path)
    bottleneck = model.bottleneck
    if (tables.num_codebooks, tables.codebook_size) != (bottleneck.num_codebooks, bottleneck.codebook_size):
        raise CodecError(f"{path} is for other codebooks than the model's: make it anew with this model")
    return EntropyCoder(tables)


def _checked(value: Tensor, name: str, path: Path) -> Tensor:
    if value.dtype != torch.float16 or not torch.isfinite(value).all():
        raise CodecError(
            f"{path} does not hold finite 16-bit weights ({name}): get a fresh copy of the checkpoint"
        )
    return value
