"""What each layer of a model says when it is read as if it were the last: the logit lens and the Jacobian lens.

jacobian     the Jacobian lens, and the directions along which a lens reads tokens
readout      reads a text through a lens
swap         the check of a lens: exchanges what it reads for two tokens
plan         which random directions go back through which prompt
estimator    rows of the Jacobians, by backward passes
prompts      what a lens is fitted on
fit          fits a lens, and goes on after an interruption
file         the lens of a model folder
folder       fits the lens of a model folder, and keeps it there
"""

from lmcraft.interpretability.lenses.file import load_jacobian_lens, save_jacobian_lens
from lmcraft.interpretability.lenses.fit import fit_jacobian_lens
from lmcraft.interpretability.lenses.folder import fit_folder
from lmcraft.interpretability.lenses.jacobian import FitRecord, JacobianLens
from lmcraft.interpretability.lenses.plan import FitSettings
from lmcraft.interpretability.lenses.prompts import Prompts, cut_prompts, find_prompts, read_prompts
from lmcraft.interpretability.lenses.readout import read_lens
from lmcraft.interpretability.lenses.swap import check_swap

__all__ = [
    "FitRecord",
    "FitSettings",
    "JacobianLens",
    "Prompts",
    "check_swap",
    "cut_prompts",
    "find_prompts",
    "fit_folder",
    "fit_jacobian_lens",
    "load_jacobian_lens",
    "read_lens",
    "read_prompts",
    "save_jacobian_lens",
]
