"""gliodex: personalise brain-tumour growth models by querying a store of simulated tumours.

>>> import gliodex
>>> store = gliodex.open_store("tumours")
>>> patient = gliodex.Patient.from_files(seg="seg.nii.gz", t1="t1.nii.gz").register(store.atlas)
>>> result = gliodex.personalize(store, patient, refine="local")
>>> result.dice, result.density, result.posterior.to_dataframe()

Research software, not a medical device.
"""

from importlib.metadata import version

import lazy_loader

__version__ = version("gliodex")
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
