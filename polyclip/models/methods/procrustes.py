"""Orthogonal Procrustes: a rotation in closed form."""

from polyclip.models.components.closed_form import fit_procrustes
from polyclip.models.method import Method

METHOD = Method(
    about="heads by principal directions and one rotation between them, in closed form",
    source="Schoenemann 1966",
    solve=fit_procrustes,
)
