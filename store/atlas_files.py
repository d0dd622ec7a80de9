"""The atlas inside a store: one Zarr group, checked against the manifest when read."""

from __future__ import annotations

import zarr
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.core.buffer import Buffer
from zarr.storage import MemoryStore

from ..errors import DamagedStoreError
from .atlas import MAPS, Atlas
from .frame import Frame
from .segments import read_checked, zarr_arrays, zarr_files
from .storage import StoreFiles

_UNITS = {"white": "fraction", "grey": "fraction", "csf": "fraction", "t1": "arbitrary intensity"}


def write_atlas(files: StoreFiles, atlas: Atlas) -> dict[str, object]:
    """Write an atlas below `atlas/` and return the record that a manifest keeps of it."""
    memory: dict[str, Buffer] = {}
    group = zarr.create_group(MemoryStore(memory), attributes={"name": atlas.name, "frame": atlas.frame.as_record()})
    for name in MAPS:
        values = getattr(atlas, name)
        array = group.create_array(
            name,
            shape=values.shape,
            chunks=values.shape,
            dtype="float32",
            compressors=[BloscCodec(cname="zstd", clevel=5, shuffle="bitshuffle", typesize=4), Crc32cCodec()],
            attributes={"units": _UNITS[name]},
            config={"write_empty_chunks": True},  # a map of zeros alone is one that must not be missing
        )
        array[:] = values
    folder = f"atlas/{atlas.digest[:12]}"
    written: dict[str, list[object]] = {}
    for key, data in sorted(zarr_files(memory).items()):
        full = f"{folder}/{key}"
        if files.sizes_of([full]) != [None]:  # left by a build that died before its first commit
            files.remove(full)
        written[key] = [len(data), files.create(full, data)]
    return {"name": atlas.name, "digest": atlas.digest, "folder": folder, "files": written}


def read_atlas(files: StoreFiles, record: dict[str, object], frame: Frame) -> Atlas:
    """Read the atlas that a manifest's record names.

    Raises:
        DamagedStoreError: a file is missing or not what was written.
    """
    stored: dict[str, tuple[int, str]] = record["files"]  # type: ignore[assignment]
    folder = record["folder"]
    contents = {
        key: read_checked(files, f"{folder}/{key}", int(size), str(digest)) for key, (size, digest) in stored.items()
    }
    maps = zarr_arrays(contents)
    atlas = Atlas(str(record["name"]), frame, **{name: maps[name] for name in MAPS})  # type: ignore[arg-type]
    if atlas.digest != record["digest"]:
        raise DamagedStoreError(f"the atlas in {files.path(str(folder))} does not match the store's manifest")
    return atlas
