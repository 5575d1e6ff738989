"""A window on the screen, where the installed OpenCV has windows."""

import os
import re
import sys

__all__ = ["Window", "why_no_window"]

_QUIT = {ord("q"), ord("Q"), 27}


def why_no_window():
    """Say why no window can be opened, or return None if one can.

    Returns
    -------
    str or None
    """
    import cv2

    gui = re.search(r"^\s*GUI:\s*(\S+)", cv2.getBuildInformation(), re.MULTILINE)
    if gui is not None and gui[1] == "NONE":
        return "the installed OpenCV has no windows (opencv-python has, -headless has not)"
    # Without a display, Qt would end the whole process instead of raising.
    if sys.platform == "linux" and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return "there is no display"
    return None


class Window:
    """Show pictures in a window; Q, Escape or its closing button close it.

    To be used by the main thread only, as windows are.

    Parameters
    ----------
    title : str, default="fer-sklearn"

    Raises
    ------
    RuntimeError
        If no window can be opened.
    """

    def __init__(self, *, title="fer-sklearn"):
        import cv2

        problem = why_no_window()
        if problem is None:
            try:
                # Sizeable, and without the tool bar that Qt adds.
                look = cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL
                cv2.namedWindow(title, look)
            except cv2.error as error:
                problem = str(error)
        if problem is not None:
            raise RuntimeError(f"a window cannot be opened: {problem}")
        self.closed = False
        self._title = title
        self._is_new = True

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def show(self, frame):
        """Show an RGB picture, and look whether the window is to be closed."""
        import cv2

        if self._is_new:
            self._is_new = False
            cv2.resizeWindow(self._title, frame.shape[1], frame.shape[0])
        cv2.imshow(self._title, cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        is_quit = cv2.waitKey(1) & 0xFF in _QUIT
        self.closed = self.closed or is_quit or not self._is_there()

    def update(self, status):
        """Take no notice: the picture itself shows what there is to tell."""

    def close(self):
        """Close the window."""
        import cv2

        self.closed = True
        if self._is_there():
            cv2.destroyWindow(self._title)

    def _is_there(self):
        import cv2

        try:
            return cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) >= 1
        except cv2.error:  # Qt's answer once its user has closed the last window
            return False
