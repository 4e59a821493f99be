from .architecture import table as table, write_drawing as write_drawing
from .figures import (
    plotly_figure as plotly_figure,
    plotly_js as plotly_js,
    run_figures as run_figures,
    search_figure as search_figure,
)
from .health import health_page as health_page
from .html import page as page, recipe_text as recipe_text
from .info import environment as environment, gather as gather
from .live import live_page as live_page
from .side_by_side import side_by_side as side_by_side, table_rows as table_rows
from .training import HardShot as HardShot, TrainingInfo as TrainingInfo, training_page as training_page
