"""The window, on a stand-in for an OpenCV that has windows."""

import cv2
import numpy as np
import pytest

from fer_sklearn.video import Window, why_no_window


class Screen:
    """Stands in for OpenCV's functions about windows, as Qt answers them."""

    def __init__(self, monkeypatch):
        self.windows, self.shown, self.key = set(), [], -1
        monkeypatch.setenv("DISPLAY", ":0")
        monkeypatch.setattr(cv2, "getBuildInformation", lambda: "\n  GUI:      QT5\n")
        monkeypatch.setattr(cv2, "namedWindow", lambda name, look: self.windows.add(name))
        monkeypatch.setattr(cv2, "resizeWindow", lambda name, width, height: None)
        monkeypatch.setattr(cv2, "imshow", lambda name, image: self.shown.append(image))
        monkeypatch.setattr(cv2, "waitKey", lambda milliseconds: self.key)
        monkeypatch.setattr(cv2, "getWindowProperty", self.get)
        monkeypatch.setattr(cv2, "destroyWindow", self.windows.remove)

    def get(self, name, number):
        if not self.windows:
            raise cv2.error("NULL guiReceiver")
        return float(name in self.windows)


@pytest.fixture
def screen(monkeypatch):
    return Screen(monkeypatch)


def test_a_window_shows_rgb(screen):
    with Window() as window:
        window.show(np.full((4, 5, 3), (255, 0, 7), np.uint8))
        window.update({"faces": []})
        assert not window.closed
        assert screen.shown[0][0, 0].tolist() == [7, 0, 255]
    assert not screen.windows


@pytest.mark.parametrize("key", [ord("q"), 27])
def test_a_key_closes_it(screen, key):
    with Window() as window:
        screen.key = key
        window.show(np.zeros((4, 5, 3), np.uint8))
        assert window.closed


def test_its_button_closes_it(screen):
    with Window() as window:
        screen.windows.clear()
        window.show(np.zeros((4, 5, 3), np.uint8))
        assert window.closed


def test_an_opencv_without_windows_says_so(monkeypatch):
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "\n  GUI:      NONE\n")
    assert why_no_window().startswith("the installed OpenCV has no windows")
    with pytest.raises(RuntimeError, match="a window cannot be opened: the installed OpenCV has"):
        Window()


@pytest.mark.usefixtures("screen")
def test_a_computer_without_a_display_says_so(monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert why_no_window() == "there is no display"


def test_what_opencv_itself_says_is_told(screen, monkeypatch):
    def fail(name, look):
        raise cv2.error("the function is not implemented")

    monkeypatch.setattr(cv2, "namedWindow", fail)
    with pytest.raises(RuntimeError, match="the function is not implemented"):
        Window()
