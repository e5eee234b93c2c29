"""Ridge regression in closed form: the baseline that any training has to beat."""

from polyclip.models.components.closed_form import fit_ridge
from polyclip.models.method import Method

METHOD = Method(
    about="heads by ridge regression from captions to images, in closed form",
    source="Hoerl and Kennard 1970",
    solve=fit_ridge,
)
