"""Numbers and their intervals as text, the same in every table."""

import math

__all__ = ["heading", "interval", "nan_to_none", "number", "p_text", "with_interval"]


def heading(metric):
    """Return the name of a metric for people."""
    name = metric.replace("_", " ").replace("f1", "F1")
    return name.replace("cohen", "Cohen's").replace("top 2", "top-2")


def number(value, *, signed=False):
    """Return three decimals, with a true minus sign and, if wanted, a plus sign."""
    if math.isnan(value):
        return "–"
    return f"{value:{'+' if signed else ''}.3f}".replace("-", "−")


def interval(estimate, *, signed=False):
    """Return the ends of the interval of an estimate."""
    if math.isnan(estimate.low):
        return "–"
    between = " to " if signed else "–"
    return between.join(number(end, signed=signed) for end in (estimate.low, estimate.high))


def with_interval(estimate):
    """Return an estimate with its interval in brackets."""
    defined = not math.isnan(estimate.value)
    return f"{number(estimate.value)} ({interval(estimate)})" if defined else "–"


def p_text(p_value):
    """Return a p-value, which is never 0."""
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def nan_to_none(value):
    """Return nested dictionaries and lists with None for NaN, as strict JSON needs it."""
    if isinstance(value, dict):
        return {key: nan_to_none(item) for key, item in value.items()}
    if isinstance(value, list):
        return [nan_to_none(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
