"""What makes an object that holds only its parameters the same as another."""

__all__ = ["ByParameters"]


class ByParameters:
    """Shown, compared and hashed by the parameters that `__init__` assigned."""

    def __repr__(self):
        parameters = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({parameters})"

    def __eq__(self, other):
        return type(other) is type(self) and vars(other) == vars(self)

    def __hash__(self):
        return hash(tuple(vars(self).values()))
