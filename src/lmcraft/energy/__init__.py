"""The energy that work draws: a ladder of meters, each reading with its method and an interval.

energy        an amount of electricity: best estimate, interval, method, parts
meter         this process's meter: readings, and the energy between two of them
process_tree  processor time of this process and of all its descendants
carbon        emissions, by the carbon intensity of a region's grid
record        energy.json: what each start of a command has drawn
"""

from lmcraft.energy.carbon import Emissions, emissions, find_grid, format_emissions
from lmcraft.energy.energy import NO_ENERGY, Energy, Part, format_energy
from lmcraft.energy.meter import Measurement, Meter, Reading, measuring, open_meter

__all__ = [
    "NO_ENERGY",
    "Emissions",
    "Energy",
    "Measurement",
    "Meter",
    "Part",
    "Reading",
    "emissions",
    "find_grid",
    "format_emissions",
    "format_energy",
    "measuring",
    "open_meter",
]
