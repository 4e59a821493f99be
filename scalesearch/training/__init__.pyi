from .recipe import PROXIES as PROXIES, RECIPES as RECIPES, Recipe as Recipe
from .trainer import Trainer as Trainer, TrainingFailed as TrainingFailed
from .zero_cost import proxies as proxies
