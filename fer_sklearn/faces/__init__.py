"""Detect faces in photos and crop them.

The names are loaded from `__init__.pyi` when they are first used: detecting and cropping need no
scikit-learn, :class:`FaceCropper` does.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
