"""Audits of data sets: blank images, copies, conflicting labels, likely label errors."""

from ._audit import audit_dataset, likely_label_errors
from ._report import AuditReport

__all__ = ["AuditReport", "audit_dataset", "likely_label_errors"]
