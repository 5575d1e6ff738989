"""Facial expression recognition that works like scikit-learn."""

from importlib import import_module

__version__ = "0.1.0"

# Public name -> the module that defines it. A module is imported when one of its names is
# first used, so that `import fer_sklearn` loads neither TensorFlow, OpenCV nor matplotlib.
_EXPORTS = {
    "EMOTIONS": "emotions",
    "canonical_emotion": "emotions",
    "duplicate_groups": "datasets",
    "duplicate_report": "datasets",
    "fetch_fer2013": "datasets",
    "load_dataset": "datasets",
    "load_fer2013": "datasets",
    "load_image_folder": "datasets",
    "make_faces": "datasets",
    "read_image": "images",
    "FaceCropper": "faces",
    "Faces": "faces",
    "HaarDetector": "faces",
    "YuNetDetector": "faces",
    "crop_face": "faces",
    "detect_faces": "faces",
    "fetch_yunet": "faces",
    "GrayscaleResizer": "preprocessing",
    "PixelNormalizer": "preprocessing",
    "BalancedPCA": "features",
    "HOGExtractor": "features",
    "LBPExtractor": "features",
    "MirroredFeatures": "features",
    "HOGSVMClassifier": "svm",
    "LSSVMClassifier": "svm",
    "FERCNNClassifier": "cnn",
    "HOG_SVM_GRID": "pipelines",
    "DESCRIPTOR_SVM_GRID": "pipelines",
    "CNN_GRID": "pipelines",
    "make_cnn_pipeline": "pipelines",
    "make_descriptor_svm_pipeline": "pipelines",
    "make_hog_svm_pipeline": "pipelines",
    "load_pretrained": "pretrained",
    "FaceReader": "face_reader",
    "iter_photo_rows": "photos",
    "predict_photos": "photos",
    "analyze_video": "video",
    "iter_video": "video",
    "draw_faces": "drawing",
    "AbstainingClassifier": "uncertainty",
    "SCORING": "evaluation",
    "compare": "evaluation",
    "coverage_accuracy_curve": "evaluation",
    "evaluate": "evaluation",
    "evaluate_predictions": "evaluation",
    "audit_dataset": "audit",
    "grad_cam": "explain",
    "hog_picture": "explain",
    "hog_weights": "explain",
    "occlusion_map": "explain",
    "region_importance": "explain",
    "EMOTION_COLORS": "emotions",
    "ConfusionMatrixDisplay": "plotting",
    "CoverageAccuracyDisplay": "plotting",
    "EmotionTimelineDisplay": "plotting",
    "LearningCurvesDisplay": "plotting",
    "PrecisionRecallDisplay": "plotting",
    "ReliabilityDisplay": "plotting",
    "plot_faces": "plotting",
    "plot_heatmaps": "plotting",
    "plot_predictions": "plotting",
    "plot_samples": "plotting",
    "benchmark_models": "evaluation",
    "benchmark_table": "evaluation",
    "export": "exporting",
    "load_exported": "inference",
    "load": "persistence",
    "save": "persistence",
}

__all__ = [*_EXPORTS, "__version__"]


def __getattr__(name):
    if name in _EXPORTS:
        value = getattr(import_module(f"{__name__}.{_EXPORTS[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
