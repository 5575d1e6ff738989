"""Detect faces in photos and crop them.

Names are loaded when they are first used, since only :class:`FaceCropper` needs scikit-learn.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
