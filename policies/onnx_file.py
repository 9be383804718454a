"""The file that an exported policy is: an ONNX model with the manifest inside and a digest at its end.

Any ONNX tool reads it. The manifest lies in `metadata_props`, one JSON value an entry, so that what the
inputs and the action mean travels with the weights. The last entry is the SHA-256 of every byte before
it: a protobuf message may be continued by appending fields, so the digest needs no agreement on how
a message is serialized, and no ONNX library to check it.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policies.bundle import BundleManifest, PolicyBundle
from policies.errors import BundleError
from policies.plain import from_plain

FORMAT = 1
PRODUCER = "simreal"
ACTION, FEATURE = "action", "feature"
_DIGEST_KEY = b"sha256"
_MANIFEST = tuple(field.name for field in dataclasses.fields(BundleManifest))
_TAIL_BYTES = 2 + 2 + len(_DIGEST_KEY) + 2 + 64


@dataclass(frozen=True)
class OnnxMetadata:
    """What an exported model says of itself."""

    manifest: BundleManifest
    weights_sha256: str
    """Of the weights of the bundle that was exported."""
    drift: Any
    """Plain values of the drift watch's statistics; None where it has none."""


def metadata_entries(bundle: PolicyBundle, drift: Any = None) -> dict[str, str]:
    """Return the metadata of a bundle's model: name to JSON value."""
    entries = {
        "format": FORMAT,
        **dataclasses.asdict(bundle.manifest),
        "weights_sha256": bundle.weights_sha256,
        "drift": drift,
    }
    return {name: json.dumps(value, allow_nan=False) for name, value in entries.items()}


def sealed(model: bytes) -> bytes:
    """Return a serialized model with its digest at the end."""
    return model + _tail(hashlib.sha256(model).hexdigest().encode())


def read_sealed(path: Path) -> bytes:
    """Return the bytes of an exported model, unchanged since the export.

    Raises:
        BundleError: if it is missing, truncated, tampered with, or of another origin.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise BundleError(f"{path}: no such model; `simreal export` makes one") from None
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from None
    model, tail = content[:-_TAIL_BYTES], content[-_TAIL_BYTES:]
    if tail == _tail(hashlib.sha256(model).hexdigest().encode()):
        return content
    if tail.startswith(_tail(b"")[2:-2], 2):
        raise BundleError(f"{path}: tampered with: its content does not match its SHA-256")
    if PRODUCER.encode() in content[:64]:
        raise BundleError(f"{path}: truncated or tampered with: the SHA-256 at its end is gone")
    raise BundleError(f"{path}: not a model that `simreal export` wrote: it has no SHA-256 at its end")


def read_metadata(path: Path, entries: Mapping[str, str]) -> OnnxMetadata:
    """Return what the metadata of a model says; `path` is named in errors.

    Raises:
        BundleError: if it is of a newer format, or an entry is missing or of another type.
    """
    try:
        plain = {name: json.loads(value) for name, value in entries.items() if name != _DIGEST_KEY.decode()}
        version = plain.get("format")
        if type(version) is not int or version < 1:
            raise BundleError(f"{path}: has no format number, so `simreal export` did not write it")
        if version > FORMAT:
            raise BundleError(
                f"{path}: newer format {version}; this version reads up to {FORMAT}: update simreal"
            )
        manifest = {name: plain[name] for name in _MANIFEST if name in plain}
        return OnnxMetadata(
            from_plain(BundleManifest, manifest, "metadata"), str(plain["weights_sha256"]), plain["drift"]
        )
    except json.JSONDecodeError as error:
        raise BundleError(f"{path}: metadata: not JSON: {error}") from None
    except KeyError as error:
        raise BundleError(f"{path}: metadata: no entry {error.args[0]}") from None
    except BundleError:
        raise
    except ValueError as error:
        raise BundleError(f"{path}: {error}") from None


def _tail(digest: bytes) -> bytes:
    """Return one more entry of `metadata_props` (field 14 of ModelProto) as protobuf writes it.

    Every length here is below 128, so each takes one byte.
    """
    entry = b"\x0a" + bytes([len(_DIGEST_KEY)]) + _DIGEST_KEY + b"\x12" + bytes([len(digest)]) + digest
    return b"\x72" + bytes([len(entry)]) + entry
