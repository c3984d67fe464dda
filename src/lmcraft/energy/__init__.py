"""The energy that work draws: a ladder of meters, each reading with its method and an interval.

energy        an amount of electricity: best estimate, interval, method, parts
meter         this process's meter: the best rung that can be read here, and the energy between two readings
reading       what the meter has counted at one time
machine_counters  the counters of the whole machine, read together
attribution   what this process draws, from its time and those counters
powercap      counters of processors and memory (RAPL)
nvml, gpus    NVIDIA's library, and what its GPUs drew for this process
process_tree  processor time of this process and of all its descendants
machine_load  how busy all CPUs have been
power_table   the design power of this machine's processor, by its name
power_model   from counters and times to electricity at the plug
flops         the last rung: energy from floating-point operations
cross_check   some seconds of work by every rung, and by CodeCarbon
ranges        quantities that are known within a range
carbon        emissions, by the carbon intensity of a region's grid
record        energy.json: what each start of a command has drawn
recording     measures a command, and keeps its energy.json
"""

from lmcraft.energy.carbon import Emissions, emissions, find_grid, format_emissions
from lmcraft.energy.energy import NO_ENERGY, Energy, Part, format_energy
from lmcraft.energy.meter import Measurement, Meter, measuring, open_meter
from lmcraft.energy.reading import Reading

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
