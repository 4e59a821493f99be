from .correlations import (
    Correlation as Correlation,
    correlation as correlation,
    interval as interval,
    spearman as spearman,
    standard_error as standard_error,
    wilson as wilson,
)
from .detection import Boxes as Boxes, average_precision as average_precision
from .pareto import (
    front as front,
    front_probability as front_probability,
    hypervolume as hypervolume,
    ranks as ranks,
    sort_keys as sort_keys,
    undominated as undominated,
    volumes as volumes,
)
from .thresholds import (
    best_thresholds as best_thresholds,
    bootstrapped as bootstrapped,
    compared as compared,
    confusion as confusion,
    f1_curves as f1_curves,
    image_counts as image_counts,
    resampled as resampled,
)
