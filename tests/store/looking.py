"""What a store holds, read in full, so that two stores or two moments of one can be compared."""

import dataclasses
from datetime import UTC, datetime, timedelta

from gliodex.store import Manifest, open_store
from gliodex.store.local_files import LocalFiles


def keys(path):
    """Every file below a store's folder."""
    return list(LocalFiles(path).sizes())


def versions(path):
    """Versions that a store can still be opened at."""
    return Manifest.versions(LocalFiles(path))


def unnamed(path, *kept):
    """Files of a store that none of the `kept` versions names; by default the newest is kept."""
    named = {"lock"}
    for version in kept or versions(path)[-1:]:
        manifest = Manifest.load(LocalFiles(path), version)
        named.add(f"manifests/{version:08d}.json")
        named |= {f"{manifest.atlas['folder']}/{key}" for key in manifest.atlas["files"]}
        named |= {f"segments/{s.name}/{key}" for s in manifest.segments for key in s.files}
    return sorted(set(keys(path)) - named)


def contents(store):
    """Everything that a snapshot says about each of its tumours, by id."""
    return {
        int(n): (store.integers(n).tobytes(), store.known_parameters(n), store.provenance(n))
        for n in store.ids.tolist()
    }


def contents_at(path, version=None):
    """`contents` of a store that is opened for it."""
    return contents(open_store(path, version))


def backdate(path, days_ago):
    """Publish versions of a store anew as if they had been committed so many days ago; {version: days}."""
    files = LocalFiles(path)
    for manifest in Manifest.history(files):
        if manifest.version in days_ago:
            then = datetime.now(UTC) - timedelta(days=days_ago[manifest.version])
            files.remove(f"manifests/{manifest.version:08d}.json")
            dataclasses.replace(manifest, committed=then.isoformat(timespec="seconds")).publish(files)
