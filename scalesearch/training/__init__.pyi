from .recipe import PROXIES as PROXIES, Place as Place, RECIPES as RECIPES, Recipe as Recipe
from .tasks import Score as Score, TASKS as TASKS, Task as Task
from .training import Training as Training
