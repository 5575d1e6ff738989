"""What is wrong with a data set: blank images, copies, contradictions, likely label errors."""

from ._audit import audit_dataset, likely_label_errors
from ._report import AuditReport

__all__ = ["AuditReport", "audit_dataset", "likely_label_errors"]
