"""Facial expression recognition that works like scikit-learn."""

import lazy_loader

__version__ = "0.1.0"

# __init__.pyi lists the public names. A module is imported when one of its names is first used,
# so that `import fer_sklearn` loads neither TensorFlow, OpenCV nor matplotlib.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]
