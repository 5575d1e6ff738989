"""A colour for every label, those of other models than the seven emotions' included."""

from ._style import EMOTION_COLORS

__all__ = ["label_colors"]

# For labels that are no emotion of this package, such as "contempt"; apart from those colours.
_OTHER_COLORS = ("#8C6D31", "#6A3D9A", "#B2182B", "#8DA0CB", "#4D7C0F", "#A6A6A6")


def label_colors(labels):
    """Give each label a colour.

    Parameters
    ----------
    labels : iterable of str
        Names such as the ``classes_`` of a model.

    Returns
    -------
    dict of str to str
        Label to ``"#RRGGBB"``, in the order of `labels`. Emotions have those of
        :data:`EMOTION_COLORS`; others take turns with six more.

    Examples
    --------
    >>> label_colors(["happy", "contempt"])
    {'happy': '#E69F00', 'contempt': '#8C6D31'}
    """
    labels = list(dict.fromkeys(str(label) for label in labels))
    others = [label for label in labels if label not in EMOTION_COLORS]
    turns = {label: _OTHER_COLORS[i % len(_OTHER_COLORS)] for i, label in enumerate(others)}
    return {label: EMOTION_COLORS.get(label) or turns[label] for label in labels}
