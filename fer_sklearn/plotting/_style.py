"""What all pictures share: colours and figures."""

from ..emotions import EMOTIONS

__all__ = ["EMOTION_COLORS", "new_figure"]

#: One colour an emotion, in every picture. From Okabe & Ito 2008 ("Color Universal
#: Design"): told apart with each of the three kinds of colour blindness too.
EMOTION_COLORS = dict(
    zip(
        EMOTIONS,
        ("#D55E00", "#009E73", "#CC79A7", "#E69F00", "#333333", "#0072B2", "#56B4E9"),
        strict=True,
    )
)


def new_figure(size):
    """Return a pyplot figure of `size` inches, as scikit-learn's displays make one."""
    # The constrained layout makes room for labels, which would be clipped without it.
    import matplotlib.pyplot as plt

    return plt.figure(figsize=size, layout="constrained")
