from ._blazeface import BlazeFaceDetector as BlazeFaceDetector
from ._crop import crop_face as crop_face
from ._cropper import FaceCropper as FaceCropper
from ._detect import detect_faces as detect_faces
from ._faces import Faces as Faces
from ._opencv import HaarDetector as HaarDetector
from ._opencv import YuNetDetector as YuNetDetector
from ._opencv import fetch_yunet as fetch_yunet
