from .correlations import (
    NORMAL_95 as NORMAL_95,
    Correlation as Correlation,
    correlation as correlation,
    difference_interval as difference_interval,
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
    nondominated as nondominated,
    ranks as ranks,
    sort_keys as sort_keys,
    volumes as volumes,
)
from .thresholds import (
    best_thresholds as best_thresholds,
    bootstrap_comparison as bootstrap_comparison,
    bootstrap_samples as bootstrap_samples,
    compare_resamples as compare_resamples,
    confusion as confusion,
    f1_curves as f1_curves,
    image_counts as image_counts,
)
