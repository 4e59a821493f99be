from .correlations import (
    Correlation as Correlation,
    correlation as correlation,
    interval as interval,
    spearman as spearman,
    standard_error as standard_error,
    wilson as wilson,
)
from .pareto import (
    front as front,
    front_probability as front_probability,
    hypervolume as hypervolume,
    ranks as ranks,
    standing as standing,
    undominated as undominated,
    volumes as volumes,
)
