"""The names of the seven emotions, and the codes that data sets use for them.

Labels are names everywhere in this package. The integer codes of a data set are
translated here and nowhere else, where its file is read.
"""

__all__ = ["CK_PLUS_CODES", "EMOTIONS", "FER2013_CODES", "FERPLUS_COLUMNS", "canonical_emotion"]

#: The seven emotions, sorted as ``classes_`` of a fitted classifier sorts them.
EMOTIONS = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")

#: Kaggle's integer codes of FER2013: the position is the code.
FER2013_CODES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")

#: The codes of the Extended Cohn-Kanade set (Lucey et al. 2010): the position is the code.
CK_PLUS_CODES = (
    "neutral",
    "angry",
    "contempt",
    "disgust",
    "fear",
    "happy",
    "sad",
    "surprise",
)

#: The vote columns of FER+ (Barsoum et al. 2016), in the order of its file.
FERPLUS_COLUMNS = (
    "neutral",
    "happy",
    "surprise",
    "sad",
    "angry",
    "disgust",
    "fear",
    "contempt",
    "unknown",
    "not_a_face",
)

_SYNONYMS = {
    "angry": ("anger", "an", "ang", "mad"),
    "disgust": ("disgusted", "di", "dis"),
    "fear": ("fearful", "afraid", "scared", "fe", "fea"),
    "happy": ("happiness", "joy", "joyful", "smile", "smiling", "ha", "hap"),
    "neutral": ("neutrality", "calm", "normal", "ne", "neu"),
    "sad": ("sadness", "unhappy", "sa"),
    "surprise": ("surprised", "surprising", "su", "sur"),
}
_CANONICAL = {name: name for name in EMOTIONS} | {
    synonym: name for name, synonyms in _SYNONYMS.items() for synonym in synonyms
}


def canonical_emotion(label):
    """Translate the usual synonyms of an emotion into this package's name for it.

    Parameters
    ----------
    label : str
        A label as a data set spells it, such as ``"Happiness"`` or ``"anger"``.

    Returns
    -------
    str
        One of :data:`EMOTIONS`, or `label` itself, unchanged, where it is none of
        their synonyms (``"contempt"`` stays ``"contempt"``).

    Examples
    --------
    >>> canonical_emotion("Happiness"), canonical_emotion("fearful")
    ('happy', 'fear')
    >>> canonical_emotion("contempt")
    'contempt'
    """
    return _CANONICAL.get(str(label).strip().lower(), label)
