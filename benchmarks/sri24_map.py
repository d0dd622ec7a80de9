"""Compute the affine between SRI24 and an atlas that `--space sri24` uses, and keep it as numbers.

    python benchmarks/sri24_map.py SRI24_T1.nii.gz [--atlas icbm152]

Needs the skull-stripped SRI24 T1 (see data_manifest.yaml). BraTS aligns patients to SRI24 rigidly, so only the affine
is kept: a deformation between two atlases would not fit any one patient.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

from gliodex.retrieval.imaging import spaces
from gliodex.retrieval.imaging.ants_transform import affine_matrix
from gliodex.retrieval.imaging.registration import register
from gliodex.simulate import load_atlas
from gliodex.store.nifti import load_image

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("t1", type=Path)
parser.add_argument("--atlas", default="icbm152")
arguments = parser.parse_args()

atlas = load_atlas(arguments.atlas)
with tempfile.TemporaryDirectory() as folder:
    found = register(load_image(arguments.t1), None, atlas, Path(folder), method="affine", threads=1)
    matrix = affine_matrix(found)
record = {
    "patient_from_atlas_mm": np.round(matrix, 6).tolist(),
    "volume_factor": round(float(np.linalg.det(matrix[:3, :3])), 4),
    "correlation": found.record.correlation,
    "made_by": f"ANTs affine of the SRI24 T1 to {atlas.name} (benchmarks/sri24_map.py)",
    "atlas_frame": atlas.frame.as_record(),
}
target = Path(spaces.__file__).parent / f"sri24_to_{atlas.name}.json"
target.write_text(json.dumps(record, indent=1) + "\n")
print(target, json.dumps(record))
