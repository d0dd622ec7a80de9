"""What the names of labels, segments and channels mean, as people and tools write them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from ...errors import InputError
from .conventions import Tissue

_WORDS: tuple[tuple[str, Tissue], ...] = (
    # a "clinical target volume of the tumor" is none, and HD-GLIO calls the abnormality of FLAIR NET
    (r"ctv\d*|ptv\d*|itv\d*|clinical target|planning target|background|healthy|normal", Tissue.OTHER),
    (
        r"(non|not|no|without) ?tumou?r|tumou?r ?free|contralateral|mirror(ed)?|whole ?(brain|head|skull|body)",
        Tissue.OTHER,
    ),
    (r"hd ?glio net", Tissue.OEDEMA),
    (r"wt|^whole( \d+)?$|whole ?(tumou?r|lesion|flair)|complete ?tumou?r|tumou?r ?whole", Tissue.WHOLE),
    (r"rc|cavity|resection|resected|tumou?r bed", Tissue.CAVITY),
    (r"cc|cysts?|cystic", Tissue.CYST),
    (r"ed|o?edema\w*|peri ?tumou?r(al)?|flair|t2|snfh|hyper ?intens\w*", Tissue.OEDEMA),
    (r"netc|ncr ?net|necrotic (and )?non ?enh\w*", Tissue.NECROTIC_CORE),
    (r"net|ncet|nce|(non|not|no|without) ?(contrast ?)?enh\w*", Tissue.NON_ENHANCING),
    (r"ncr|nec|necro\w*", Tissue.NECROSIS),
    (r"et|ce|cet|enh\w*|active|gd|t1 ?gd|t1 ?ce?", Tissue.ENHANCING),
    (r"tc|core|tumou?r ?core", Tissue.CORE),
    (r"gtv\d*|gross|tumou?rs?\d*|lesions?|mass|neoplasm|glio\w+|gbm|mets?|metastas[ie]s|meningioma", Tissue.TUMOR),
    (r"brain|brain ?stem|skull|skin|head|ventricles?|csf|(white|gr[ea]y) matter|gm|wm|eyes?|lens", Tissue.OTHER),
    (r"optic|chiasm|cochlea|hippocamp\w*|pituitary|bone|vessels?|dura|cerebell\w+|cerebr\w+", Tissue.OTHER),
)
"""Words by meaning; the first that a name has decides, so that `non-enhancing` is not read as enhancing."""

_MEANINGS = tuple((re.compile(rf"(?:^| )(?:{words})(?= |$)"), tissue) for words, tissue in _WORDS)
_NUMBERED = re.compile(r"^(segment(ation)?|seg|label|class|channel|region|roi|mask)? ?\d*$")


def tissue_of(name: str) -> Tissue | None:
    """Meaning of a name; None where its words are not known."""
    plain = _plain(name)
    for words, tissue in _MEANINGS:
        if words.search(plain):
            return tissue
    return None


def speak(names: Mapping[int, str]) -> bool:
    """Whether any name says more than a number does, as `Segment_1` does not."""
    return any(not _NUMBERED.match(_plain(name)) for name in names.values())


def meanings_of(names: Mapping[int, str], present: tuple[int, ...], path: Path) -> dict[int, Tissue]:
    """Say what each present label means, by its name.

    A `tumor` beside oedema is the core; without oedema it stays what it is called.

    Args:
        names: label or channel to name.
        present: labels that occur.
        path: for messages.

    Raises:
        InputError: a label has no name, or one whose words are not known.
    """
    unknown = [f"{value} `{names[value]}`" if value in names else f"{value} without a name" for value in present]
    unknown = [text for value, text in zip(present, unknown, strict=True) if tissue_of(names.get(value, "?")) is None]
    if unknown:
        listed = ", ".join(f"{value} `{names[value]}`" for value in present if value in names)
        raise InputError(
            f"{path} names its labels {listed}, and it is not known what {', '.join(unknown)} means",
            hint="say which belong to each mask with ‹core_labels=NAME,...› and ‹whole_labels=NAME,...›",
        )
    found = {value: tissue_of(names[value]) or Tissue.OTHER for value in present}
    around = any(tissue in (Tissue.OEDEMA, Tissue.WHOLE) for tissue in found.values())
    for value, tissue in found.items():
        if tissue is Tissue.TUMOR and around:
            found[value] = Tissue.CORE
    return found


def values_of(wanted: tuple[int | str, ...], names: Mapping[int, str], parameter: str, path: Path) -> tuple[int, ...]:
    """Label values of numbers and names, names in any case.

    Raises:
        InputError: the file has no such name.
    """
    by_name: dict[str, list[int]] = {}
    for value, name in names.items():
        by_name.setdefault(_plain(name), []).append(value)
    found: list[int] = []
    for item in wanted:
        if isinstance(item, int):
            found.append(item)
        elif _plain(item) in by_name:
            found.extend(by_name[_plain(item)])
        else:
            has = f"it has {', '.join(f'`{name}`' for name in names.values())}" if names else "its labels have no names"
            raise InputError(f"{path} has no label called `{item}`, as ‹{parameter}› says: {has}", parameter=parameter)
    return tuple(dict.fromkeys(found))


def _plain(name: str) -> str:
    """Lower case words with single blanks between them; `TumorCore` and `tumor_core` become `tumor core`."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", " ", name)
    return re.sub(r"[^a-z0-9]+", " ", spaced.lower()).strip()
