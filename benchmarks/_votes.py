"""What ten people saw in each image of FER2013, as probabilities of its own labels."""

import csv

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict


def vote_probabilities(path, files, labels, seed):
    """Return how probable each label of FER2013 is, judged by the votes of FER+.

    The votes (Barsoum et al. 2016, arXiv:1608.01041) are for other categories than the labels,
    and often disagree with them. A logistic regression learns which label such votes go
    with; it judges each image by the other four fifths.

    Parameters
    ----------
    path : str or Path
        CSV with a column ``file`` and ten columns of votes.
    files : sequence of str
        The images, as `load_fer2013` names them.
    labels : ndarray of shape (n,)
    seed : int
        Draws the fifths.

    Returns
    -------
    ndarray of shape (n, n_classes)
        In the order of the sorted labels.
    """
    with open(path, newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    votes = {row[0]: np.array(row[1:], float) for row in rows}
    nobody = np.zeros(len(header) - 1)  # 161 images were not voted on
    shares = np.array([votes.get(name, nobody) for name in files]) / 10
    features = np.hstack([shares, np.sqrt(shares)])
    model = LogisticRegression(C=10, max_iter=500)
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    return cross_val_predict(model, features, labels, cv=folds, method="predict_proba")
