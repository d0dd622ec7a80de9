"""What the name of a segmentation tells of its labels, without what it tells of the patient.

Data sets have names of their own, such as BraTS-GLI-01234-000, by which a convention of labels is known that the labels
alone may not tell. Nothing else of a name is sent or kept.
"""

from __future__ import annotations

import re
from pathlib import Path

from ..retrieval.imaging.conventions import named_by_files

_LONGEST = 60


def data_set_in(path: Path) -> str:
    """Find the words that name a data set in a file's name, or in those of the folders above it.

    Args:
        path: of the segmentation, on the client's machine; it need not be there.

    Returns:
        the words, with zeros for the digits that number patients; empty where no convention is known by them.
    """
    named = named_by_files(path)
    patterns = [pattern for known in named for pattern in known.files]
    for part in (path.name, *(folder.name for folder in path.parents)):
        for found in (re.search(pattern, part, re.IGNORECASE) for pattern in patterns):
            if found is None or len(found[0]) > _LONGEST:
                continue
            for words in (re.sub(r"\d", "0", found[0]), re.sub(r"\d(?=\d*\D*$)", "0", found[0]), found[0]):
                if named_by_files(Path("/") / words) == named:
                    return words
    return ""
