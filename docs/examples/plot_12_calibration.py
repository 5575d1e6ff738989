"""
Right as often as it is sure?
=============================

A probability of 80 % should mean that four in five such answers are right. A reliability
diagram shows whether it does, and scikit-learn's ``CalibratedClassifierCV`` mends it where it
does not, for fitted models as well.
"""

# %%
# A network that is too sure
# --------------------------
#
# It was trained for long on few noisy faces, and knows them by heart.

from fer_sklearn import FERCNNClassifier, evaluate, make_cnn_pipeline, make_faces

X, y = make_faces(280, noise=25, random_state=0, return_X_y=True)
unseen, truth = make_faces(490, noise=25, random_state=1, return_X_y=True)
network = FERCNNClassifier(
    epochs=20, batch_size=16, learning_rate=2e-3, dropout=0.0, random_state=0
)
model = make_cnn_pipeline(network, size=24).fit(X, y)

# %%
# Mend it on other images
# -----------------------
#
# ``FrozenEstimator`` keeps the network as it is. Some hundred images that it was not trained on
# are enough to learn how much less sure it ought to be.

from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

others, their_emotions = make_faces(350, noise=25, random_state=2, return_X_y=True)
calibrated = CalibratedClassifierCV(FrozenEstimator(model), method="temperature")
calibrated.fit(others, their_emotions)

# %%
# Before and after
# ----------------
#
# A point is a bin of answers. Below the diagonal the model claims more than it keeps; the bar is
# the gap, and the mean length of the bars is the expected calibration error (ECE).

import matplotlib.pyplot as plt

from fer_sklearn import ReliabilityDisplay

figure, axes = plt.subplots(1, 2, figsize=(9, 4.4), layout="constrained")
for ax, (name, one) in zip(
    axes, {"as trained": model, "calibrated": calibrated}.items(), strict=True
):
    ReliabilityDisplay.from_estimator(one, unseen, truth, n_bins=10, name=name, ax=ax)
plt.show()

# %%
# The log loss punishes what is surely wrong, and falls as well:

for name, one in {"as trained": model, "calibrated": calibrated}.items():
    overall = evaluate(one, unseen, truth).overall
    error, loss = overall["expected_calibration_error"].value, overall["log_loss"].value
    print(f"{name}: calibration error {error:.3f}, log loss {loss:.2f}")
